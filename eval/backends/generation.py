"""Sampled text from a transformers model in this process, many requests at a time.

A request's text depends on its prompt, decoding, seed and repeat alone, whatever else is in the batch: each has a
random generator of its own, seeded with [seed, repeat, hash of the prompt] (our design, because samplers that draw for
a whole batch depend on its make-up; the prompt is in it so that different prompts with one seed are independent). What
remains is rounding: logits in float32 differ by up to 5e-5 between batches, which `eval.backends.sampling` hardly ever
turns into another token; in half precision they differ by about 1e-2, and longer texts often differ.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.files import digest
from data.memory import is_out_of_memory
from data.packed_attention import why_not_packed
from eval.answers import TextAnswer, TextRequest
from eval.backends.constraints import Constraint, Constraints
from eval.backends.decoding import Decoder, PackedDecoder, PaddedDecoder, is_recurrent
from eval.backends.sampling import choose
from eval.backends.ways import unfit

GENERATOR = 1  # raise when the text of a request may change
log = logging.getLogger(__name__)


class TextGenerator:
    """Generates with `model` in batches of at most `rows` requests and `token_budget` distinct prompt tokens.

    Where memory runs out it goes on with fewer at once. `computed` counts the distinct prompt tokens computed so far.
    """

    def __init__(self, model: Any, tokenizer: Any, rows: int = 32, token_budget: int = 2048) -> None:
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        self.computed = 0
        self._affordable = rows
        self._model = model
        self._tokenizer = tokenizer
        self._device: torch.device = next(model.parameters()).device
        self._rows = rows
        self._token_budget = token_budget
        self._constraints: Constraints | None = None
        self._warned = ""

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text."""
        return end_tokens(self._model, self._tokenizer)

    def chunks(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The prompts' indices in batches, neighbours in the prefix tree together; depends on the prompts alone.

        Raises ValueError for an empty prompt.
        """
        if any(len(prompt) == 0 for prompt in prompts):
            raise ValueError("an empty prompt cannot be continued")
        chunks: list[list[int]] = []
        size = 0
        before: tuple[int, ...] = ()
        for prompt, index in sorted((tuple(prompt), index) for index, prompt in enumerate(prompts)):
            new = len(prompt) - _shared(before, prompt)
            if not chunks or len(chunks[-1]) == self._rows or size + new > self._token_budget:
                chunks.append([])
                size, new = 0, len(prompt)
            chunks[-1].append(index)
            size += new
            before = prompt
        return chunks

    @torch.inference_mode()
    def answer(self, prompts: Sequence[Sequence[int]], requests: Sequence[TextRequest]) -> list[TextAnswer]:
        """One text for each prompt (token ids) and request.

        Raises as `Constraints.start` does, and ValueError for a request with both a schema and stop strings and for a
        model whose logits are not numbers.
        """
        longest = max(len(prompt) + request.max_tokens for prompt, request in zip(prompts, requests, strict=True))
        reason = why_not_packed(self._model, longest) or unfit(self._model, prompts, self._device)
        if reason and reason != self._warned:
            log.warning("texts are generated in padded batches, prompts not packed, because %s", reason)
            self._warned = reason
        if reason and is_recurrent(self._model) and len(lengths := sorted({len(prompt) for prompt in prompts})) > 1:
            groups = [[i for i, prompt in enumerate(prompts) if len(prompt) == length] for length in lengths]
            return self._parts(prompts, requests, groups)
        if len(prompts) <= self._affordable:
            try:
                rows = [self._row(request) for request in requests]
                self._run(self._open(prompts, max(request.max_tokens for request in requests), bool(reason)), rows)
                return [row.answer(self._tokenizer) for row in rows]
            except (RuntimeError, MemoryError) as error:
                if len(prompts) == 1 or not is_out_of_memory(error):
                    raise
            self._affordable = len(prompts) // 2
            log.warning("out of memory with %d texts at once: at most %d from now on", len(prompts), self._affordable)
            if self._device.type == "cuda":  # here the failed batch's tensors are gone
                torch.cuda.empty_cache()
        starts = range(0, len(prompts), self._affordable)
        pieces = [list(range(start, min(start + self._affordable, len(prompts)))) for start in starts]
        return self._parts(prompts, requests, pieces)

    def _parts(
        self, prompts: Sequence[Sequence[int]], requests: Sequence[TextRequest], groups: list[list[int]]
    ) -> list[TextAnswer]:
        answers: dict[int, TextAnswer] = {}
        for group in groups:
            found = self.answer([prompts[i] for i in group], [requests[i] for i in group])
            answers |= dict(zip(group, found, strict=True))
        return [answers[i] for i in range(len(prompts))]

    def _open(self, prompts: Sequence[Sequence[int]], room: int, padded: bool) -> Decoder:
        if padded:
            return PaddedDecoder(self._model, prompts, self._device)
        return PackedDecoder(self._model, prompts, room, self._device)

    def _row(self, request: TextRequest) -> _Row:
        if not request.schema:
            return _Row(request, None)
        if request.stop:
            raise ValueError(f"a text with a schema ends by itself and takes no stop strings, got {request.stop}")
        if self._constraints is None:
            vocabulary = self._model.get_output_embeddings().weight.shape[0]
            self._constraints = Constraints(self._tokenizer, vocabulary, sorted(self.ends))
        return _Row(request, self._constraints.start(request.schema))

    def _run(self, decoder: Decoder, rows: list[_Row]) -> None:
        self.computed += decoder.computed
        while True:
            if decoder.logits.isnan().any():
                raise ValueError("the model's logits are not numbers (NaN); its output is not usable")
            vocabulary = decoder.logits.shape[1]
            tokens = choose(
                decoder.logits,
                np.array([row.request.temperature for row in rows], np.float32),
                np.array([row.request.top_p for row in rows], np.float32),
                _exponentials(rows, vocabulary),
                _allowed([row.constraint for row in rows], vocabulary),
            )
            kept = [
                place
                for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True))
                if not row.take(token, self.ends, self._tokenizer)
            ]
            if not kept:
                return
            rows = [rows[place] for place in kept]
            places = torch.tensor(kept, device=self._device)
            decoder.step(tokens.to(self._device)[places], places)


class _Row:
    """One text under way."""

    def __init__(self, request: TextRequest, constraint: Constraint | None) -> None:
        self.request = request
        self.constraint = constraint
        self.random = np.random.default_rng([request.seed, request.repeat, int(digest(request.text)[:16], 16)])
        self._tokens: list[int] = []
        self._ended = 0
        self._finish = ""
        self._cut: int | None = None

    def take(self, token: int, ends: frozenset[int], tokenizer: Any) -> bool:
        """Append a token; True where the text is finished."""
        if token in ends:
            self._finish, self._ended = "stop", 1
            return True
        self._tokens.append(token)
        if self.constraint and self.constraint.take(token):
            self._finish = "stop"
        elif self.request.stop:
            text = _text(tokenizer, self._tokens)
            found = [place for stop in self.request.stop if (place := text.find(stop)) >= 0]
            if found:
                self._finish, self._cut = "stop", min(found)
        if not self._finish and len(self._tokens) == self.request.max_tokens:
            self._finish = "length"
        return bool(self._finish)

    def answer(self, tokenizer: Any) -> TextAnswer:
        text = _text(tokenizer, self._tokens)[: self._cut]
        return TextAnswer(
            text.rstrip("\ufffd"), self._finish, len(self._tokens) + self._ended
        )  # no broken character at the end


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text: those of the model's generation config and of the tokenizer, and the special token
    with which the chat template closes an answer.
    """
    found: list[int] = []
    for source in (getattr(model, "generation_config", None), model.config, tokenizer):
        ids = getattr(source, "eos_token_id", None)
        found += ids if isinstance(ids, list) else [ids] if ids is not None else []
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
        closing = tokenizer.apply_chat_template(turns, tokenize=False).rpartition("answer")[2].lstrip()
        ids = tokenizer(closing, add_special_tokens=False)["input_ids"]
        found += [token for token in ids[:1] if token in tokenizer.added_tokens_decoder]
    return frozenset(found)


def _exponentials(rows: Sequence[_Row], vocabulary: int) -> npt.NDArray[np.float32]:
    """For each row that is sampled, (sampled rows, vocabulary). Drawn in float64: in float32 a zero is no rarity."""
    warm = [row for row in rows if row.request.temperature > 0]
    found = np.empty((len(warm), vocabulary), np.float32)
    for place, row in enumerate(warm):
        found[place] = row.random.standard_exponential(vocabulary)
    return found


def _allowed(constraints: Sequence[Constraint | None], vocabulary: int) -> npt.NDArray[np.bool_] | None:
    if not any(constraints):
        return None
    free = np.ones(vocabulary, dtype=bool)
    return np.stack([constraint.allowed() if constraint else free for constraint in constraints])


def _text(tokenizer: Any, tokens: list[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    for depth, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return depth
    return min(len(left), len(right))
