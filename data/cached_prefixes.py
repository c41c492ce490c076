"""Next-token logits by cached prefixes: the way to ask a model whose layers do not fit a packed tree.

Sorted sequences are cut into groups that begin alike. A group's common beginning is computed once with the model's own
cache, the cache is repeated over the rows, and the rest of every row is computed right-padded in one batch. Nothing
after a row's last token can reach it, whatever the layers are (sliding window, soft-capped, recurrent), so no mask is
needed. With nothing in common a group is a plain right-padded batch.

`grouped_logits(..., share=False)` uses such batches alone: for models that cannot go on from a cache.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

CALL_TOKENS = 64  # what a forward pass costs beside its tokens, in tokens: keeps groups from becoming too small
HELD_TOKENS = 4  # tokens that the caches of a group may hold, in budgets: each is kept for all layers until its end


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences `start` to `stop` of a sorted list; their first `shared` tokens are computed once (0: no cache)."""

    start: int
    stop: int
    shared: int


def groups(sequences: Sequence[Sequence[int]], budget: int, share: bool = True) -> list[Group]:
    """The cheapest cut of sorted sequences into groups, by tokens computed (padding included) and passes made.

    A group of several computes at most `budget` tokens a pass, and its rows hold at most `HELD_TOKENS` budgets.
    """
    lengths = [len(sequence) for sequence in sequences]
    alike = [0, *(_shared(left, right) for left, right in pairwise(sequences))]
    best: list[tuple[int, Group | None]] = [(0, None)]
    for stop in range(1, len(sequences) + 1):
        found: list[tuple[int, Group | None]] = []
        common = longest = shortest = lengths[stop - 1]
        for start in range(stop - 1, -1, -1):
            longest, shortest = max(longest, lengths[start]), min(shortest, lengths[start])
            rows = stop - start
            if rows > 1 and rows * longest > HELD_TOKENS * budget:
                break
            before = best[start][0]
            prefix = min(common, shortest - 1) if share and rows > 1 else 0
            if prefix and rows * (longest - prefix) <= budget:
                cost = prefix + rows * (longest - prefix) + 2 * CALL_TOKENS
                found.append((before + cost, Group(start, stop, prefix)))
            if rows == 1 or rows * longest <= budget:
                found.append((before + rows * longest + CALL_TOKENS, Group(start, stop, 0)))
            common = min(common, alike[start])
        best.append(min(found, key=lambda pair: pair[0]))
    cut: list[Group] = []
    stop = len(sequences)
    while stop:
        group = best[stop][1]
        assert group is not None  # only the empty beginning has none
        cut.append(group)
        stop = group.start
    return cut[::-1]


def grouped_logits(
    model: Any, sequences: Sequence[Sequence[int]], cut: Sequence[Group], device: torch.device
) -> tuple[torch.Tensor, int]:
    """Logits after every sequence, float32, (sequences, vocabulary), and the tokens computed. `cut` as by `groups`."""
    logits = [_group(model, sequences[group.start : group.stop], group.shared, device) for group in cut]
    computed = sum(
        group.shared + sum(len(sequence) - group.shared for sequence in sequences[group.start : group.stop])
        for group in cut
    )
    return torch.cat(logits), computed


def _group(model: Any, rows: Sequence[Sequence[int]], shared: int, device: torch.device) -> torch.Tensor:
    ends = torch.tensor([len(row) - shared - 1 for row in rows])
    ids = torch.zeros(len(rows), int(ends.max()) + 1, dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row) - shared] = torch.as_tensor(row[shared:])
    past = _past(model, rows[0][:shared], len(rows), device) if shared else {"use_cache": False}
    places = torch.arange(len(rows), device=device)
    with _only_at(model, places, ends.to(device)):
        logits = model(input_ids=ids.to(device), **past).logits
    if logits.shape[1] > 1:  # a model that has no output layer of its own to hook
        logits = logits[places, ends.to(device)][:, None]
    return logits[:, 0].float()  # type: ignore[no-any-return]


def _past(model: Any, prefix: Sequence[int], rows: int, device: torch.device) -> dict[str, Any]:
    """The cache of a prefix repeated over rows, as keyword arguments of the model's next call."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    name = "past_key_values" if "past_key_values" in inspect.signature(inner.forward).parameters else "cache_params"
    cache = model(input_ids=torch.tensor([list(prefix)], device=device), use_cache=True, logits_to_keep=1)[name]
    cache.reorder_cache(torch.zeros(rows, dtype=torch.long, device=device))
    return {name: cache, "use_cache": True}


@contextmanager
def _only_at(model: Any, rows: torch.Tensor, ends: torch.Tensor) -> Iterator[None]:
    """Let only one token of each row through the output layer; what the model does to its logits afterwards stays."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    handle = head.register_forward_pre_hook(lambda module, given: (given[0][rows, ends][:, None], *given[1:]))
    try:
        yield
    finally:
        handle.remove()


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    for depth, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return depth
    return min(len(left), len(right))
