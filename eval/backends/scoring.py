"""Option probabilities of a packed chunk of prompts, in pieces where memory is short."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from data.memory import is_out_of_memory
from data.options import OptionTokens
from data.packing import Tree, pack
from data.prompts import OptionPrompt
from eval.answers import OptionAnswer
from eval.backends.ways import Asker

log = logging.getLogger(__name__)


class OptionScorer:
    """Scores with `model` at most `token_budget` distinct tokens at once; where memory runs out it goes on with half of
    that. `ways`: how prompts have been asked so far, and why not faster ("" for packed trees, the fastest).
    """

    def __init__(self, model: Any, tokenizer: Any, token_budget: int) -> None:
        self._device: torch.device = next(model.parameters()).device
        self._tokens = OptionTokens(tokenizer)
        self._affordable = token_budget
        self._ask = Asker(model, self._device)

    @property
    def ways(self) -> dict[str, str]:
        return dict(self._ask.used)

    def answer(
        self, tree: Tree, sequences: Sequence[Sequence[int]], prompts: Sequence[OptionPrompt]
    ) -> tuple[list[OptionAnswer], int]:
        """The answers of a chunk's members in their order, and the tokens computed. `sequences` and `prompts` are the
        lists of which they are members. Raises RuntimeError where not even one prompt fits into memory.
        """
        if len(tree.tokens) <= self._affordable or len(tree.members) == 1:
            try:
                return self._compute(tree, sequences, prompts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._afford_less(tree, prompts, error)
            if self._device.type == "cuda":  # here the failed pass's tensors are gone
                torch.cuda.empty_cache()
        members: list[int] = tree.members.tolist()
        found: dict[int, OptionAnswer] = {}
        total = 0
        for piece in pack([sequences[member] for member in members], self._affordable):
            mine = replace(piece, members=tree.members[piece.members])
            answers, computed = self.answer(mine, sequences, prompts)
            found |= dict(zip(mine.members.tolist(), answers, strict=True))
            total += computed
        return [found[member] for member in members], total

    def _afford_less(self, tree: Tree, prompts: Sequence[OptionPrompt], error: BaseException) -> None:
        if len(tree.members) == 1:
            text = prompts[int(tree.members[0])].text
            raise RuntimeError(
                f"out of memory on a single prompt, of {len(tree.tokens)} tokens: {text[:80]!r}..."
            ) from error
        before = self._affordable
        self._affordable = max(1, min(before, len(tree.tokens)) // 2)
        log.warning("out of memory: token_budget goes from %d to %d for the rest", before, self._affordable)

    @torch.inference_mode()
    def _compute(
        self, tree: Tree, sequences: Sequence[Sequence[int]], prompts: Sequence[OptionPrompt]
    ) -> tuple[list[OptionAnswer], int]:
        members: list[int] = tree.members.tolist()
        labels = [self._tokens(prompts[member].text, prompts[member].labels) for member in members]
        logits, computed = self._ask(tree, [sequences[member] for member in members], self._affordable)
        owners = [row for row, forms in enumerate(labels) for ids in forms for _ in ids]
        tokens = [token for forms in labels for ids in forms for token in ids]
        chosen = logits[owners, tokens] - torch.logsumexp(logits, -1)[owners]
        left = iter(np.exp(chosen.double().cpu().numpy()).tolist())
        return [_answer([[next(left) for _ in ids] for ids in forms]) for forms in labels], computed


def _answer(probabilities: list[list[float]]) -> OptionAnswer:
    """From the probabilities of each label's forms."""
    raw = np.array([sum(forms) for forms in probabilities])
    mass = float(raw.sum())
    if not mass > 0:
        raise ValueError(f"the model gives no probability to any option label (mass {mass}); its output is not usable")
    return OptionAnswer(raw / mass, min(mass, 1.0))
