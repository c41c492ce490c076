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

from eval.bootstrap import FEWEST, cluster_counts, percentile_interval, widening
from eval.outer_levels import outer_noise
from eval.units import Units


def on_these_items(
    arms: Sequence[Units], contrast: Sequence[float], rng: np.random.Generator, draws: int
) -> tuple[float, float]:
    """The 95% interval of `sum contrast * arm`; NaN where countries are as good as fewer than `FEWEST` (each in an
    item that others answered too) or scores are infinite.

    `arms` are over the same units.
    """
    nan = float("nan")
    if not all(arm.finite for arm in arms):
        return nan, nan
    value = float(np.dot(contrast, [arm.value for arm in arms]))
    parts = [arm.within(axis=2) for arm in arms]
    worth = parts[0][1]
    if worth < FEWEST:
        return nan, nan
    influence = np.tensordot(contrast, [part for part, _ in parts], axes=1)
    deviations = widening(worth) * (cluster_counts(len(influence), draws, rng) @ influence)
    return percentile_interval(value + deviations + outer_noise([arm.cells for arm in arms], contrast, draws, rng))
