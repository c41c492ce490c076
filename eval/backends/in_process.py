"""A transformers model in this process: exact option probabilities with every distinct token computed once.

Prompts are laid out as a prefix tree (`data.packed_attention`; `eval.backends.ways` has others for models that do not
fit), in float32 log-softmax over the whole vocabulary. A long list is sorted by text and goes through in slabs, which
are tokenised, cut into chunks of bounded size and scored one after the other, each chunk stored on disk before the
next begins. Slabs and chunks are cut from the whole list of prompts, never from what is left of it, so a resumed audit
gets the same numbers; and of several processes each takes every n-th chunk, so they get the numbers of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from data.files import digest
from data.memory import peak_gib
from data.models import ModelSpec, device_for
from data.packing import pack
from data.prompts import Asking, OptionPrompt, Renderer
from data.variant import load_variant
from eval.answer_store import AnswerStore
from eval.answers import Costs, Opened, OptionAnswer, Progress, TextAnswer, TextRequest, option_key, text_key
from eval.backends.generation import TextGenerator
from eval.backends.scoring import OptionScorer
from eval.backends.sharing import Processes, current
from eval.backends.texts import TextShare, text_share, writer

PACED = 8  # tokens of a text that are generated to measure the pace
SCORER = 2  # raise when the numbers that a scorer returns for a prompt may change


@dataclass(frozen=True)
class InProcess:
    """`token_budget` bounds the distinct tokens computed at once, `slab` the prompts tokenised at once, `rows` the
    texts generated at once; all bound the memory. `shares`: several processes ask together, each its share.
    """

    name: str = "transformers"
    token_budget: int = 2048
    slab: int = 4096
    rows: int = 32
    shares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for knob in ("token_budget", "slab", "rows"):
            if getattr(self, knob) < 1:
                raise ValueError(f"{knob} must be at least 1, got {getattr(self, knob)}")

    @contextmanager
    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> Iterator[Opened]:
        model, tokenizer, weights = load_variant(cell, spec, device_for())
        renderer = Renderer(asking, tokenizer)
        answerer = TransformersAnswerer(model, renderer, weights, store, self.token_budget, self.slab, self.rows)
        yield Opened(answerer, renderer, weights)


@dataclass
class _Share:
    """What one process found out about its chunks of a slab: answers by place in the slab, and what they cost."""

    answers: dict[int, OptionAnswer] = field(default_factory=dict)
    prompt_tokens: int = 0
    computed_tokens: int = 0
    stored: int = 0
    peak_memory_gib: float = 0.0


@dataclass
class TransformersAnswerer:
    """A transformers model in this process (knobs as in `InProcess`). Where memory runs out it goes on with half the
    budget.
    """

    model: Any
    renderer: Renderer
    weights: str
    store: AnswerStore | None = None
    token_budget: int = 2048
    slab: int = 4096
    rows: int = 32
    processes: Processes = field(default_factory=current)
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.renderer.tokenizer is None:
            raise ValueError("a model in this process needs a renderer with a tokenizer")
        self._device: torch.device = next(self.model.parameters()).device
        self._score = OptionScorer(self.model, self.renderer.tokenizer, self.token_budget)
        self._write = TextGenerator(self.model, self.renderer.tokenizer, self.rows, self.token_budget)

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

    @property
    def ways(self) -> dict[str, str]:
        """How prompts have been asked so far, and why not in a faster way ("" for packed trees, the fastest)."""
        return self._score.ways

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        """Option probabilities of each prompt, in the order of `prompts`.

        Raises as `OptionTokens` and `encode` do, RuntimeError where not even one prompt fits into memory, and
        `ProcessError` where another process failed.
        """
        started = time.perf_counter()
        order = sorted(range(len(prompts)), key=lambda place: (prompts[place].text, place))
        answers: list[OptionAnswer | None] = [None] * len(prompts)
        for start in range(0, len(order), self.slab):
            places = order[start : start + self.slab]

            def advance(done: int, start: int = start) -> None:
                if progress:
                    progress(start + done, len(prompts))

            for share in self._slab([prompts[place] for place in places], advance):
                for place, answer in share.answers.items():
                    answers[places[place]] = answer
                self._count(share)
        self.costs.prompts += len(prompts)
        self.costs.seconds += time.perf_counter() - started
        return answers  # type: ignore[return-value]  # every chunk is some process's share

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        """Sampled text for each request, in the order of `requests`. Raises as `TextGenerator` does."""
        started = time.perf_counter()

        def advance(done: int) -> None:
            if progress:
                progress(done, len(requests))

        def work() -> TextShare:
            prompts = self.renderer.encode([request.text for request in requests]) if requests else []
            return text_share(self._write, requests, prompts, self.identity, self.store, self.processes, advance)

        asked = [asdict(request) for request in requests] if self.processes.world > 1 else []
        answers: dict[int, TextAnswer] = {}
        for share in self.processes.gather(f"generate {digest(asked)}", work):
            answers |= share.answers
            self.costs.prompt_tokens += share.prompt_tokens
            self.costs.computed_tokens += share.computed_tokens
            self.costs.generated_tokens += share.generated_tokens
            self.costs.stored += share.stored
        self.costs.texts += len(requests)
        self.costs.peak_memory_gib = max(self.costs.peak_memory_gib or 0.0, peak_gib(self._device))
        self.costs.seconds += time.perf_counter() - started
        return [answers[place] for place in range(len(requests))]

    def _slab(self, prompts: Sequence[OptionPrompt], advance: Callable[[int], None]) -> list[_Share]:
        """The shares of all processes."""
        asked = [[prompt.text, prompt.labels] for prompt in prompts] if self.processes.world > 1 else []
        return self.processes.gather(f"score {digest(asked)}", lambda: self._share(prompts, advance))

    def _share(self, prompts: Sequence[OptionPrompt], advance: Callable[[int], None]) -> _Share:
        """Answer this process's chunks of a slab: from the store where it has the whole chunk, else computed."""
        share = _Share()
        sequences = self.renderer.encode([prompt.text for prompt in prompts])
        identity, done = self.identity, 0
        for number, tree in enumerate(pack(sequences, self.token_budget)):
            members: list[int] = tree.members.tolist()
            done += len(members)
            if number % self.processes.world == self.processes.rank:
                keys = [option_key(identity, prompts[member]) for member in members]
                known = self.store.get(keys) if self.store else {}
                if all(key in known for key in keys):
                    found = [OptionAnswer(np.asarray(known[key][0]), known[key][1]) for key in keys]
                    share.stored += len(found)
                else:
                    found, computed = self._score.answer(tree, sequences, prompts)
                    share.computed_tokens += computed
                    if self.store:
                        self.store.put(
                            {key: [a.probabilities.tolist(), a.option_mass] for key, a in zip(keys, found, strict=True)}
                        )
                share.answers |= dict(zip(members, found, strict=True))
                share.prompt_tokens += sum(len(sequences[member]) for member in members)
            advance(done)
        share.peak_memory_gib = peak_gib(self._device)
        return share

    def _count(self, share: _Share) -> None:
        self.costs.prompt_tokens += share.prompt_tokens
        self.costs.computed_tokens += share.computed_tokens
        self.costs.stored += share.stored
        self.costs.peak_memory_gib = max(self.costs.peak_memory_gib or 0.0, share.peak_memory_gib)

    def stored(self, prompts: Sequence[OptionPrompt], requests: Sequence[TextRequest]) -> int:
        """How many of these have been answered before."""
        keys = [option_key(self.identity, prompt) for prompt in prompts]
        keys += [text_key(writer(self.identity), request) for request in requests]
        known = self.store.get(list(dict.fromkeys(keys))) if self.store else {}
        return sum(key in known for key in keys)

    def pace(self, prompts: Sequence[OptionPrompt], requests: Sequence[TextRequest]) -> tuple[float, float]:
        """Distinct prompt tokens a second in `score`, and tokens a second in `generate`, measured on some of these; NaN
        where there are none. Nothing is stored or counted.
        """
        scored = written = float("nan")
        if prompts:
            some = sorted(prompts, key=lambda prompt: prompt.text)[: self.rows]
            sequences = self.renderer.encode([prompt.text for prompt in some])
            tree = pack(sequences, self.token_budget)[0]
            self._score.answer(tree, sequences, some)  # the first pass also proves the way of asking
            started = time.perf_counter()
            _, computed = self._score.answer(tree, sequences, some)
            scored = computed / (time.perf_counter() - started)
        if requests:
            some_texts = requests[: self.rows]
            encoded = self.renderer.encode([request.text for request in some_texts])
            spent: list[tuple[float, int]] = []
            for most in (1, 1, PACED):  # the first pass also proves the way of asking
                short = [replace(r, max_tokens=min(most, r.max_tokens), schema="") for r in some_texts]
                started = time.perf_counter()
                texts = self._write.answer(encoded, short)
                spent.append((time.perf_counter() - started, sum(text.tokens for text in texts)))
            _, (once, first), (longer, all_of_them) = spent
            written = (all_of_them - first) / (longer - once) if all_of_them > first and longer > once else written
            if not prompts:
                scored = sum(len(tree.tokens) for tree in pack(encoded, self.token_budget)) / once
        return self.processes.world * scored, self.processes.world * written

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
