"""A transformers model in this process: exact option probabilities with every distinct token computed once.

Prompts are laid out as a prefix tree (`data.packed_attention`), in float32 log-softmax over the whole vocabulary. Every
finished chunk is stored on disk before the next begins. Chunks are cut from the whole list of prompts, never from what
is left of it, so a resumed audit gets the same numbers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.files import digest
from data.models import ModelSpec, device_for
from data.options import OptionTokens
from data.packed_attention import packed_logits, padded_logits, plan, why_not_packed
from data.packing import Tree, pack
from data.prompts import Asking, OptionPrompt, Renderer
from data.variant import load_variant
from eval.answer_store import AnswerStore
from eval.answers import Costs, Opened, OptionAnswer, Progress, TextAnswer, TextRequest, option_key

SCORER = 1  # raise when the numbers that a scorer returns for a prompt may change
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InProcess:
    """`token_budget` bounds the distinct tokens computed at once, and so the memory."""

    name: str = "transformers"
    token_budget: int = 2048

    def __post_init__(self) -> None:
        if self.token_budget < 1:
            raise ValueError(f"token_budget must be at least 1, got {self.token_budget}")

    @contextmanager
    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> Iterator[Opened]:
        model, tokenizer, weights = load_variant(cell, spec, device_for())
        renderer = Renderer(asking, tokenizer)
        yield Opened(TransformersAnswerer(model, renderer, weights, store, self.token_budget), renderer, weights)


@dataclass
class TransformersAnswerer:
    """A transformers model in this process. `token_budget` bounds the distinct tokens computed at once."""

    model: Any
    renderer: Renderer
    weights: str
    store: AnswerStore | None = None
    token_budget: int = 2048
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.renderer.tokenizer is None:
            raise ValueError("a model in this process needs a renderer with a tokenizer")
        self._tokens = OptionTokens(self.renderer.tokenizer)
        self._device: torch.device = next(self.model.parameters()).device
        self._warned = ""

    @property
    def identity(self) -> str:
        tokenizer: Any = self.renderer.tokenizer
        facts = [
            self.weights,
            tokenizer.chat_template,
            len(tokenizer),
            str(self.model.dtype),
            self._device.type,
            SCORER,
        ]
        return digest(facts)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        """Option probabilities of each prompt, in the order of `prompts`. Raises as `OptionTokens` and `encode` do."""
        if not prompts:
            return []
        started = time.perf_counter()
        sequences = self.renderer.encode([prompt.text for prompt in prompts])
        labels = [self._tokens(prompt.text, prompt.labels) for prompt in prompts]
        identity = self.identity
        keys = [option_key(identity, prompt) for prompt in prompts]
        known = self.store.get(keys) if self.store else {}
        done = 0
        answers: dict[int, OptionAnswer] = {}
        for tree in pack(sequences, self.token_budget):
            members = tree.members.tolist()
            if not all(keys[member] in known for member in members):
                found = dict(zip(members, self._chunk(tree, sequences, labels), strict=True))
                if self.store:
                    self.store.put(
                        {keys[member]: [a.probabilities.tolist(), a.option_mass] for member, a in found.items()}
                    )
                answers |= found
                self.costs.computed_tokens += len(tree.tokens)
            else:
                for member in members:
                    probabilities, mass = known[keys[member]]
                    answers[member] = OptionAnswer(np.asarray(probabilities), mass)
            done += len(members)
            if progress:
                progress(done, len(prompts))
        self.costs.prompts += len(prompts)
        self.costs.prompt_tokens += sum(map(len, sequences))
        self.costs.seconds += time.perf_counter() - started
        return [answers[index] for index in range(len(prompts))]

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        raise NotImplementedError

    @torch.inference_mode()
    def _chunk(
        self, tree: Tree, sequences: list[list[int]], labels: list[tuple[tuple[int, ...], ...]]
    ) -> list[OptionAnswer]:
        mine = [sequences[member] for member in tree.members.tolist()]
        reason = why_not_packed(self.model, max(map(len, mine)))
        if not reason:
            logits = packed_logits(self.model, plan(tree, self._device))
        else:
            if reason != self._warned:
                log.warning("prompts are asked in padded batches, not packed, because %s", reason)
                self._warned = reason
            logits = torch.cat(
                [padded_logits(self.model, mine[i : i + 16], self._device) for i in range(0, len(mine), 16)]
            )
        probabilities = torch.log_softmax(logits, -1).exp().cpu()
        return [
            _answer(row.numpy(), labels[member])
            for row, member in zip(probabilities, tree.members.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def perplexity(self, texts: Sequence[str]) -> float:
        """Exp of the mean negative log-likelihood a token (first token of each text excluded), over plain texts."""
        total, count = 0.0, 0
        for ids in self.renderer.encode(texts):
            row = torch.tensor([ids], device=self._device)
            logits = self.model(input_ids=row, use_cache=False).logits[0, :-1].float()
            total += torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item()
            count += len(ids) - 1
        return float(np.exp(total / count))


def _answer(probabilities: npt.NDArray[np.float32], labels: tuple[tuple[int, ...], ...]) -> OptionAnswer:
    raw = np.array([probabilities[list(ids)].astype(np.float64).sum() for ids in labels])
    mass = float(raw.sum())
    if not mass > 0:
        raise ValueError(f"the model gives no probability to any option label (mass {mass}); its output is not usable")
    return OptionAnswer(raw / mass, min(mass, 1.0))
