"""The interval of a difference on these very items: what countries and training vary, with the items held fixed.

An interval over items says what to expect of other questions, and with as good as two or three questions that is nearly
nothing. Whether the answers to *these* questions changed is another matter, and is told by the countries alone: each
item keeps its weight, and the deviations of countries from their items' means are resampled, widened for few countries
(`eval.bootstrap.widening`), with the noise of seeds and data draws added. Items of a single country add no noise, since
nothing is known of it. Our design.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.bootstrap import cluster_counts, effective, percentile_interval, widening
from eval.outer_levels import outer_noise
from eval.units import Units


def on_these_items(
    arms: Sequence[Units], contrast: Sequence[float], rng: np.random.Generator, draws: int
) -> tuple[float, float]:
    """The 95% interval of `sum contrast * arm`; NaN where no item was asked in two countries or scores are infinite.

    `arms` are over the same units.
    """
    nan = float("nan")
    if not all(arm.finite for arm in arms):
        return nan, nan
    value = float(np.dot(contrast, [arm.value for arm in arms]))
    counts = arms[0].counts[0]
    several = (counts > 0).sum(axis=1) > 1
    if not several.any():
        return nan, nan
    sums = sum(weight * arm.sums.mean(axis=0) for weight, arm in zip(contrast, arms, strict=True))
    own, kept = np.asarray(sums)[several], counts[several]
    means = own.sum(axis=1, keepdims=True) / kept.sum(axis=1, keepdims=True)
    influence = (own - means * kept).sum(axis=0) / counts.sum()
    there = kept.sum(axis=0) > 0
    deviations = cluster_counts(int(there.sum()), draws, rng) @ influence[there]
    wide = widening(effective(kept.sum(axis=0)[there]))
    return percentile_interval(value + wide * deviations + outer_noise([a.cells for a in arms], contrast, draws, rng))
