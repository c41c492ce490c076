"""The fastest way of asking that is exact for a model: packed trees, cached prefixes, or padded batches.

Whatever does not fit packing is asked with cached prefixes. Neither is taken on trust: the first time, some of the
answers are compared with a plain forward pass, and a model whose attention is not what it seems (`unfit`), or that does
not go on from its cache exactly, is asked in the next way from then on. Each step down is said once, with its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch

from data.cached_prefixes import Group, grouped_logits, groups
from data.memory import is_out_of_memory
from data.packed_attention import packed_logits, plan, why_not_packed
from data.packing import Tree, pack

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1.5e-2, torch.bfloat16: 0.12}
PROOFS = 3  # prompts that are compared
PROOF = 2  # how many tolerances a log-probability may differ on average: a forgotten state makes far more
UNFIT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
_known: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # what `unfit` found out about each model
log = logging.getLogger(__name__)


def tolerance(dtype: torch.dtype) -> float:
    """By how much an option's probability may differ between a fast way and a plain pass, for weights of `dtype`.

    float32: 1e-4, the project's promise. Half precision: our design, a bit under three times the largest difference
    seen with SmolLM2-135M on 40 survey prompts (CPU; bfloat16 0.046, float16 0.006). There the plain pass is itself
    0.035 and 0.006 away from float32, the packed one 0.037 and 0.005.
    """
    return TOLERANCE[dtype]


def unfit(model: Any, sequences: Sequence[Sequence[int]], device: torch.device) -> str:
    """What is wrong with packed trees for a model that `why_not_packed` has nothing against, "" where nothing is: two
    of the sequences in one tree must have the logits of a plain pass. Tried once for each model.
    """
    if model not in _known:
        tried = [sequences[0], sequences[-1]]
        (tree,) = pack(tried, sum(map(len, tried)))
        try:
            packed = packed_logits(model, plan(tree, device))[-1:]
            plain = _plain(model, tried[int(tree.members[-1])], device)
        except UNFIT as error:
            if is_out_of_memory(error):
                return ""  # no verdict: whoever asks will run out of memory as well, and knows what to do
            _known[model] = f"{type(model).__name__} takes no packed trees ({type(error).__name__}: {error})"
            return _known[model]
        difference = _apart(packed, plain)
        exact = difference <= PROOF * tolerance(model.dtype)
        _known[model] = "" if exact else f"packing moves its log-probabilities by {difference:.1e} on average"
    return _known[model]


@dataclass
class Asker:
    """Next-token logits of a model. `used` maps each way used so far to why no faster one was ("" for packed)."""

    model: Any
    device: torch.device
    used: dict[str, str] = field(default_factory=dict)
    _proven: bool = False
    _forgets: bool = False

    def __call__(self, tree: Tree, sequences: Sequence[Sequence[int]], budget: int) -> tuple[torch.Tensor, int]:
        """Logits after each member of `tree`, float32, (members, vocabulary), and how many tokens were computed.
        `sequences` are the members' tokens in their order.
        """
        reason = why_not_packed(self.model, max(map(len, sequences))) or unfit(self.model, sequences, self.device)
        if not reason:
            self.used.setdefault("packed trees", "")
            return packed_logits(self.model, plan(tree, self.device)), len(tree.tokens)
        if not self._forgets:
            cut = groups(sequences, budget)
            if not self._proven and any(group.shared for group in cut):
                self._prove(sequences, cut)
            if not self._forgets:
                self._say("cached prefixes", "packed trees", reason)
                return grouped_logits(self.model, sequences, cut, self.device)
        return grouped_logits(self.model, sequences, groups(sequences, budget, share=False), self.device)

    def _prove(self, sequences: Sequence[Sequence[int]], cut: Sequence[Group]) -> None:
        """Compare a group that goes on from a cache with plain passes; the one with the longest prompt."""
        group = max((one for one in cut if one.shared), key=lambda one: max(map(len, sequences[one.start : one.stop])))
        rows = sequences[group.start : group.stop]
        checked = sorted(range(len(rows)), key=lambda place: -len(rows[place]))[:PROOFS]
        alone = Group(0, len(rows), group.shared)
        try:
            cached, _ = grouped_logits(self.model, rows, [alone], self.device)
        except UNFIT as error:
            if is_out_of_memory(error):
                raise
            self._refuse(f"{type(self.model).__name__} takes no cache ({type(error).__name__}: {error})")
            return
        plain = torch.cat([_plain(self.model, rows[place], self.device) for place in checked])
        difference = _apart(cached[checked], plain)
        if not difference <= PROOF * tolerance(self.model.dtype):
            self._refuse(f"going on from its cache moves log-probabilities by {difference:.1e} on average")
            return
        self._proven = True

    def _refuse(self, reason: str) -> None:
        self._forgets = True
        self._say("padded batches", "cached prefixes", reason)

    def _say(self, way: str, instead: str, reason: str) -> None:
        if way not in self.used:
            self.used[way] = reason
            log.warning("prompts are asked in %s, not %s, because %s", way, instead, reason)


def _apart(left: torch.Tensor, right: torch.Tensor) -> float:
    """By how much log-probabilities differ on average."""
    return float((left.log_softmax(-1) - right.log_softmax(-1)).abs().mean())


def _plain(model: Any, sequence: Sequence[int], device: torch.device) -> torch.Tensor:
    row = torch.tensor([list(sequence)], device=device)
    return model(input_ids=row, use_cache=False, logits_to_keep=1).logits[:, -1].float()  # type: ignore[no-any-return]
