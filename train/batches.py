"""The order in which examples are trained on: a shuffle that keeps those sharing a prompt's beginning together.

Every example is used exactly once, so the objective over the budget is that of a plain shuffle; only which examples
stand in one batch is not independent. Examples are grouped by item and option order (they share the whole question when
the persona comes last), at random within; groups are cut into clusters of at most `cluster`, which are shuffled and
laid end to end. The order depends on the examples and the seed alone: compared arms train on the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.records import TrainingExample

CLUSTER = 4


def arrange(
    examples: Sequence[TrainingExample], rng: np.random.Generator, cluster: int = CLUSTER
) -> tuple[TrainingExample, ...]:
    """The examples in training order. Raises ValueError for a cluster below 1; 1 is a plain shuffle."""
    if cluster < 1:
        raise ValueError(f"a cluster holds at least 1 example, got {cluster}")
    kinds: dict[tuple[str, tuple[int, ...]], list[TrainingExample]] = {}
    for place in rng.permutation(len(examples)):
        example = examples[place]
        kinds.setdefault((example.item.id, example.order), []).append(example)
    clusters = [kind[start : start + cluster] for kind in kinds.values() for start in range(0, len(kind), cluster)]
    return tuple(example for place in rng.permutation(len(clusters)) for example in clusters[place])
