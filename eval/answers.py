"""Asking a model closed questions: prompts with option labels in, option probabilities out.

`TransformersAnswerer` scores any number of prompts with each distinct token of their prefix tree computed once
(`data.packed_attention`), in float32 log-softmax over the whole vocabulary. Every finished chunk is stored on disk
before the next begins, keyed by the model and the prompt, so an interrupted audit goes on where it was and gets the
same numbers: chunks are cut from the whole list of prompts, never from what is left of it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from data.files import digest
from data.options import OptionTokens
from data.packed_attention import packed_logits, padded_logits, plan, why_not_packed
from data.packing import Tree, pack
from data.prompts import OptionPrompt, Renderer

SCORER = 1  # raise when the numbers that a scorer returns for a prompt may change
log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class OptionAnswer:
    """`probabilities` (k,) float64 over the labels in the order shown, summing to 1; `option_mass` in [0, 1] is the
    probability that the model gave to all labels together before normalising.
    """

    probabilities: npt.NDArray[np.float64]
    option_mass: float


class Answerer(Protocol):
    """What an audit needs of a model. `identity` names everything that an answer depends on besides the prompt."""

    @property
    def identity(self) -> str: ...

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]: ...

    def perplexity(self, texts: Sequence[str]) -> float:
        """Perplexity on plain texts, at least 1; NaN where the model does not tell."""
        ...


@dataclass
class Costs:
    """What asking has cost so far; `prompt_tokens` counts every prompt in full, `computed_tokens` the distinct ones."""

    prompts: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    seconds: float = 0.0


class AnswerStore:
    """Answers on disk by key; a chunk is committed whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("create table if not exists answers (key text primary key, value text not null)")

    def get(self, keys: Sequence[str]) -> dict[str, OptionAnswer]:
        found: dict[str, OptionAnswer] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            with closing(self._db.execute(f"select key, value from answers where key in ({marks})", some)) as rows:
                for key, value in rows:
                    probabilities, mass = json.loads(value)
                    found[key] = OptionAnswer(np.asarray(probabilities), mass)
        return found

    def put(self, answers: dict[str, OptionAnswer]) -> None:
        rows = [(key, json.dumps([a.probabilities.tolist(), a.option_mass])) for key, a in answers.items()]
        with self._db:
            self._db.executemany("insert or replace into answers values (?, ?)", rows)

    def close(self) -> None:
        self._db.close()


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
        keys = [digest([identity, prompt.text, prompt.labels]) for prompt in prompts]
        known = self.store.get(keys) if self.store else {}
        done = 0
        answers: dict[int, OptionAnswer] = {}
        for tree in pack(sequences, self.token_budget):
            members = tree.members.tolist()
            if not all(keys[member] in known for member in members):
                found = dict(zip(members, self._chunk(tree, sequences, labels), strict=True))
                if self.store:
                    self.store.put({keys[member]: answer for member, answer in found.items()})
                answers |= found
                self.costs.computed_tokens += len(tree.tokens)
            else:
                answers |= {member: known[keys[member]] for member in members}
            done += len(members)
            if progress:
                progress(done, len(prompts))
        self.costs.prompts += len(prompts)
        self.costs.prompt_tokens += sum(map(len, sequences))
        self.costs.seconds += time.perf_counter() - started
        return [answers[index] for index in range(len(prompts))]

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
