"""How a measure responds to the diversity of the training data: a straight line in its log2, and where it levels off.

Every training seed and data draw is a whole sweep of its own, a *row* over all arms. The trend is the mean of the rows'
least-squares slopes: the change of the measure with each doubling of diversity. Its interval covers the audit's items
and countries, resampled alike for all arms, so that what they do to all of them cancels, and seeds and data draws by
Student's t from the spread between the rows' own slopes (`eval.outer_levels`).

The surprise: cells are not independent points about a line. In a sweep of evenness one country dominates all arms of a
draw, and everywhere one country more or less typical moves its arm more than one of sixty does. An interval from
residuals about the line (also with heteroscedastic errors) takes neighbouring arms' errors for independent; one between
whole rows does not mind. It has few degrees of freedom instead: four rows give t 3.2, two 12.7.
`tests/eval/test_curve_fit.py` measures both.

Where it levels off is the smallest diversity from which on the measure stays within a margin of its value at the
largest: by isotonic regression of the arms' means in the direction of the trend (no form is assumed, and a plateau is
flat), the border interpolated in log2 between arms. It errs to the late side: noise makes the last of rising means look
higher than it is. Its interval holds every diversity at which the gap to the largest may be the margin: tests of that
are inverted (as Fieller 1954 does for a ratio), since replicates of the border itself pile that error onto itself. Our
design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

from eval.bootstrap import percentile_interval
from eval.distances import FloatArray
from eval.inference import bootstrap_p
from eval.outer_levels import Level, between_cells

LEAST_FOR_TREND = 3
LEAST_TO_SETTLE = 4
SAME_LEVEL = 0.1
"""Arms whose diversity differs by less than this share are one level."""
GRID = 40
TREND, FLAT, UNDECIDED, ONE_DRAW, FEW, NO_INTERVAL = (
    "trend",
    "flat",
    "undecided",
    "one data draw",
    "too few levels",
    "no interval",
)
NAN = float("nan")


@dataclass(frozen=True)
class Sweep:
    """One measure in all cells of arms that differ in the diversity of their data alone.

    `diversity` (> 0) and `values` are of shape (rows, arms), a row a (training seed, data draw) of `levels`, the arms
    in order of their mean diversity. `inner` (draws, rows, arms) is how the values deviate where the audit's items and
    countries are resampled; None where neither can be.
    """

    diversity: FloatArray
    values: FloatArray
    levels: tuple[Level, ...]
    inner: FloatArray | None

    @property
    def log2(self) -> FloatArray:
        return np.asarray(np.log2(self.diversity))


@dataclass(frozen=True, slots=True)
class Trend:
    """The `slope` a doubling of diversity with its 95% interval and two-sided p, and the `change` that the line makes
    from the least to the most diverse arm, with its own. `state`: TREND (the interval of the slope leaves out 0), FLAT
    (that of the change lies within ±margin), UNDECIDED, or why nothing is said. NaN for what is undefined.
    """

    state: str
    slope: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    change: float = NAN
    change_low: float = NAN
    change_high: float = NAN
    intercept: float = NAN


@dataclass(frozen=True, slots=True)
class Settled:
    """From which diversity on the measure stays within the margin of its value at the largest, with a 95% interval.

    `value` NaN: not within the sweep (`looked` True), or not looked for. `low` or `high` NaN where it
    was looked for: beyond the sweep. Where `value` or `low` is the least diversity of the sweep, it may lie below.
    """

    looked: bool = False
    value: float = NAN
    low: float = NAN
    high: float = NAN


def slope_weights(log2: FloatArray) -> FloatArray:
    """Weights (rows, arms) whose product with the values sums to the mean over rows of each row's slope on `log2`."""
    centred = log2 - log2.mean(axis=1, keepdims=True)
    return np.asarray(centred / (centred**2).sum(axis=1, keepdims=True) / len(log2))


def levels_of_diversity(log2: FloatArray) -> list[list[int]]:
    """The places of ascending mean diversities (arms,) by level: those within `SAME_LEVEL` of their level's first."""
    found: list[list[int]] = []
    for place, value in enumerate(log2):
        if found and value - log2[found[-1][0]] <= np.log2(1 + SAME_LEVEL):
            found[-1].append(place)
        else:
            found.append([place])
    return found


def fit(sweep: Sweep, margin: float, rng: np.random.Generator) -> tuple[Trend, Settled]:
    """The trend, and where the measure levels off; `margin` NaN: no change is known to be too small to matter.

    A trend needs `LEAST_FOR_TREND` levels of diversity and two data draws, levelling off `LEAST_TO_SETTLE` and a trend.
    """
    mean = sweep.log2.mean(axis=0)
    groups = levels_of_diversity(mean)
    if len(groups) < LEAST_FOR_TREND:
        return Trend(FEW), Settled()
    weights = slope_weights(sweep.log2)
    slopes = len(sweep.levels) * (weights * sweep.values).sum(axis=1)
    slope, curve = float(slopes.mean()), sweep.values.mean(axis=0)
    intercept = float((sweep.values - slopes[:, None] * sweep.log2).mean())
    span = float(mean[-1] - mean[0])
    if sweep.inner is None:
        return Trend(NO_INTERVAL, slope, change=slope * span, intercept=intercept), Settled()
    rows = np.column_stack([sweep.values, slopes])
    outer = row_noise(rows, sweep.levels, len(sweep.inner), rng)
    slope_draws = slope + np.einsum("dra,ra->d", sweep.inner, weights) + outer[:, -1]
    low, high = percentile_interval(slope_draws)
    state = UNDECIDED
    if len({draw for _, draw in sweep.levels}) < 2:
        state = ONE_DRAW
    elif np.isnan(low):
        state = NO_INTERVAL
    elif max(-low, high) * span < margin:
        state = FLAT
    elif low > 0 or high < 0:
        state = TREND
    p = bootstrap_p(slope_draws) if np.isfinite(low) else NAN
    trend = Trend(state, slope, low, high, p, slope * span, low * span, high * span, intercept)
    if state != TREND or len(groups) < LEAST_TO_SETTLE or np.isnan(margin):
        return trend, Settled()
    merged = np.array([[(arm in group) / len(group) for arm in range(len(mean))] for group in groups])
    curves = (curve + sweep.inner.mean(axis=1) + outer[:, :-1]) @ merged.T
    return trend, settle(merged @ mean, merged @ curve, curves, slope > 0, margin)


def row_noise(rows: FloatArray, levels: Sequence[Level], draws: int, rng: np.random.Generator) -> FloatArray:
    """What seeds and data draws add to replicates of the mean row: (draws, columns); 0 with a single row.

    Rows (cells, columns) deviate by the effects of their seed and their draw, whose sums are given normal weights and
    a common factor, so that the last column has the variance and the Student's t of `between_cells` and all columns
    move together as in the rows. Multivariate t; our design.
    """
    influence = (rows - rows.mean(axis=0)) / len(rows)
    noise, variance = np.zeros((draws, rows.shape[1])), 0.0
    for side in (0, 1):
        names = sorted({level[side] for level in levels})
        if len(names) < 2:
            continue
        sums = np.stack([influence[[level[side] == name for level in levels]].sum(axis=0) for name in names])
        sums *= np.sqrt(len(names) / (len(names) - 1))
        noise += rng.standard_normal((draws, len(names))) @ sums
        variance += float((sums[:, -1] ** 2).sum())
    error, freedom = between_cells([dict(zip(levels, rows[:, -1].tolist(), strict=True))], [1.0])
    if not variance > 0:
        return noise
    heavy = np.sqrt(freedom / rng.chisquare(freedom, size=draws))
    return np.asarray(noise * (error / np.sqrt(variance) * heavy)[:, None])


def settle(log2: FloatArray, curve: FloatArray, curves: FloatArray, rising: bool, margin: float) -> Settled:
    """Where the curve (levels,) levels off over ascending `log2` diversity, with the interval that its replicates
    (draws, levels) give.
    """
    at = np.concatenate([np.linspace(*ends, GRID, endpoint=False) for ends in pairwise(log2)])
    right = np.searchsorted(log2, at, side="right")
    share = (at - log2[right - 1]) / (log2[right] - log2[right - 1])
    between = curves[:, right - 1] * (1 - share) + curves[:, right] * share
    gaps = (curves[:, -1:] - between) * (1 if rising else -1)
    low, high = np.nanquantile(gaps, [0.025, 0.975], axis=0)
    below, above = np.flatnonzero(low <= margin), np.flatnonzero(high >= margin)
    first = int(below[0]) if len(below) else len(at)
    last = min(int(above[-1]) + 1, len(at) - 1) if len(above) else 0
    ends = [first_within(log2, curve, rising, margin), at[max(first - 1, 0)], at[last]]
    return Settled(True, *(float(2**end) if end <= log2[-2] else NAN for end in ends))


def first_within(log2: FloatArray, curve: FloatArray, rising: bool, margin: float) -> float:
    """The least log2 diversity from which on the monotone curve stays within `margin` of its last value; infinite where
    that is so at the last level alone.
    """
    fitted = isotonic_regression(curve, increasing=rising).x
    gap = np.abs(fitted[-1] - fitted)
    first = int(np.argmax(gap <= margin))
    if first == len(gap) - 1:
        return float("inf")
    if first == 0:
        return float(log2[0])
    share = (gap[first - 1] - margin) / (gap[first - 1] - gap[first])
    return float(log2[first - 1] + share * (log2[first] - log2[first - 1]))
