"""Pack prompts that share beginnings so that every distinct token is computed once.

The token sequences are sorted and laid out as a prefix tree in depth-first order: one node per distinct token of the
tree, `position = depth`, and node j is an ancestor-or-self of node i exactly when j <= i < end[j]. A long list is cut
into chunks of bounded size; each chunk is a tree of its own, so chunks are independent and memory is bounded.

    >>> pack([[5, 6, 7], [5, 6, 8]], budget=100)[0].tokens.tolist()
    [5, 6, 7, 8]

The surprise: within a block of consecutive nodes, every ancestor that lies before the block is an ancestor of the
block's *first* node. So attention of a block needs only that one path plus the block itself (`blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tree:
    """A chunk: nodes in depth-first order. All arrays are int64 of shape (nodes,), `leaves` and `members` (sequences,).

    `leaves[s]` is the node of the last token of the sequence `members[s]` (its index in the list given to `pack`).
    `parents[i]` is the parent node, -1 at a root.
    """

    tokens: Ints
    depths: Ints
    ends: Ints
    parents: Ints
    leaves: Ints
    members: Ints


@dataclass(frozen=True, slots=True)
class Blocks:
    """Which keys each block of queries reads. `keys` (blocks, key length) int64 node indices, padded with 0;
    `allowed` (blocks, block, key length) bool, at least one True per query row, padded query rows included.
    """

    size: int
    keys: Ints
    allowed: npt.NDArray[np.bool_]


def pack(sequences: Sequence[Sequence[int]], budget: int) -> list[Tree]:
    """Chunks of at most `budget` distinct tokens (a single longer sequence gets a chunk of its own).

    Deterministic: depends on the sequences alone. Raises ValueError for an empty sequence or a budget below 1.
    """
    if budget < 1:
        raise ValueError(f"budget must be at least 1 token, got {budget}")
    if any(len(sequence) == 0 for sequence in sequences):
        raise ValueError("an empty prompt cannot be scored")
    order = sorted(range(len(sequences)), key=lambda i: (tuple(sequences[i]), i))
    trees: list[Tree] = []
    group: list[int] = []
    size = 0
    for index in order:
        new = len(sequences[index]) - (_shared(sequences[group[-1]], sequences[index]) if group else 0)
        if group and size + new > budget:
            trees.append(_tree(sequences, group))
            group, size, new = [], 0, len(sequences[index])
        group.append(index)
        size += new
    if group:
        trees.append(_tree(sequences, group))
    return trees


def blocks(tree: Tree, size: int = 64) -> Blocks:
    """The attention plan of a tree: for each run of `size` queries, its keys and who may see which."""
    count = len(tree.tokens)
    starts = np.arange(0, count, size)
    paths = [_ancestors(tree, int(start)) for start in starts]
    width = max(len(path) for path in paths) + size
    keys = np.zeros((len(starts), width), dtype=np.int64)
    used = np.zeros((len(starts), width), dtype=bool)
    for row, (start, path) in enumerate(zip(starts.tolist(), paths, strict=True)):
        stop = start + size if start + size < count else count
        found = np.concatenate([path, np.arange(start, stop)])
        keys[row, : len(found)] = found
        used[row, : len(found)] = True
    queries = starts[:, None] + np.arange(size)[None, :]
    allowed = (keys[:, None, :] <= queries[:, :, None]) & (queries[:, :, None] < tree.ends[keys][:, None, :])
    allowed &= used[:, None, :]
    allowed[queries >= count, 0] = True
    return Blocks(size, keys, allowed)


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    limit = min(len(left), len(right))
    for depth in range(limit):
        if left[depth] != right[depth]:
            return depth
    return limit


def _tree(sequences: Sequence[Sequence[int]], members: list[int]) -> Tree:
    tokens: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    ends: list[int] = []
    leaves: list[int] = []
    path: list[int] = []
    previous: Sequence[int] = ()
    for member in members:
        sequence = sequences[member]
        shared = _shared(previous, sequence)
        for node in path[shared:]:
            ends[node] = len(tokens)
        del path[shared:]
        for depth in range(shared, len(sequence)):
            parents.append(path[-1] if path else -1)
            path.append(len(tokens))
            tokens.append(sequence[depth])
            depths.append(depth)
            ends.append(-1)
        leaves.append(path[len(sequence) - 1])
        previous = sequence
    for node in path:
        ends[node] = len(tokens)
    arrays = (tokens, depths, ends, parents, leaves, members)
    return Tree(*(np.asarray(values, dtype=np.int64) for values in arrays))


def _ancestors(tree: Tree, node: int) -> Ints:
    path = np.empty(tree.depths[node], dtype=np.int64)
    while (node := int(tree.parents[node])) >= 0:
        path[tree.depths[node]] = node
    return path
