"""Intervals by a two-way cluster bootstrap over items and countries, fast enough for 10,000 draws of a large audit.

A draw resamples items and countries with replacement, independently; a unit counts as often as its cluster was drawn.
The deviation from the estimate that resampled items make (all countries once) and the one that resampled countries make
(all items once) are added up: the first order of Owen's pigeonhole bootstrap (2007), which counts the noise of single
units three times. Three corrections, all of which vanish for many clusters:

- `widening`: percentiles of n resampled clusters are stretched to what Student's t with n - 1 degrees of freedom asks;
- the sum of both deviations counts the noise of single units twice: it shrinks to the variance that `eval.two_way`
  leaves when it is taken out once;
- training seeds and data draws add noise of their own (`eval.outer_levels`).

Clusters that are as good as fewer than `FEWEST` cannot speak for others: Student's t with under two degrees of freedom
has no variance, and a valid interval would be wider than any scale. They are taken as given, `method` says so, and the
interval covers the other side alone, by the deviations from the given clusters' means.

Percentile intervals, 95%. By `tests/eval/test_coverage.py` they cover 94 to 96% with 3 x 10, 5 x 20, 12 x 20, 30 x 30
and 60 x 20 items and countries, equal or not, 97% where single units make all the noise, and 91% where the effects of
items and countries are as skewed as a lognormal. The stretch is right for 95% intervals and so for whether p is under
5%; smaller p-values are approximate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from eval.distances import FloatArray
from eval.outer_levels import Level, describe_levels, outer_noise
from eval.two_way import two_way
from eval.units import Units, shared

DRAWS = 10_000
FEWEST = 3
_CHUNK = 2_000_000


class Interval(NamedTuple):
    """A mean with its 95% interval; NaN bounds where undefined. `n` counts units (of one cell), `method` says the
    noise.
    """

    value: float
    low: float
    high: float
    n: int
    method: str


def cluster_counts(clusters: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """How often each cluster is drawn in each resample, shape (draws, clusters); all 1 where there is one cluster."""
    if clusters == 1:
        return np.ones((draws, 1))
    counts = np.empty((draws, clusters))
    step = max(1, _CHUNK // clusters)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        picks = rng.integers(0, clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        counts[start : start + rows] = np.bincount(picks.reshape(-1), minlength=rows * clusters).reshape(rows, clusters)
    return counts


def percentile_interval(replicates: FloatArray) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of the replicates; NaN if under 90% of them are defined or any is infinite."""
    defined = replicates[~np.isnan(replicates)]
    if defined.size < max(2, 0.9 * replicates.size) or np.isinf(defined).any():
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def effective(counts: FloatArray) -> float:
    """How many equally large clusters would weigh as these do: (sum n)^2 / sum n^2 (Kish 1965)."""
    return float(counts.sum() ** 2 / (counts**2).sum())


def widening(clusters: float) -> float:
    """The factor that stretches the deviations of a bootstrap over so many (effective) clusters, for a 95% interval.

    sqrt(n / (n - 1)) since resampled clusters vary by (n - 1) / n of what they should, times t_{n-1} over the normal
    quantile; n under 2 counts as 2.
    """
    n = max(clusters, 2.0)
    return float(np.sqrt(n / (n - 1)) * student.ppf(0.975, n - 1) / norm.ppf(0.975))


def widened(replicates: FloatArray, clusters: float) -> FloatArray:
    """Replicates of a bootstrap over so many (effective) clusters, their deviations from their mean stretched.

    For statistics without a closed form of their noise; from the replicates' mean, so that what resampling adds to a
    distance on average is not stretched as well. Simulated (2000 data sets, 1000 draws), intervals of a mean cover, of
    normal clusters, 93% with 2, 94 to 95% with 3 to 45; of uniform ones 91, 92, 93 and 95% with 2, 3, 4 and 6 or more;
    unstretched 50, 73, 80, 86, 89, 92 and 94% with 2, 3, 4, 6, 10, 20 and 45. Of means of two yes-or-no answers each,
    whose spread is 0 in small samples by chance: 64, 84, 92, 92 and 94 to 96% with 2, 3, 4, 6 and 10 or more.
    """
    defined = replicates[~np.isnan(replicates)]
    if not defined.size:
        return replicates
    centre = defined.mean()
    return np.asarray(centre + widening(clusters) * (replicates - centre))


def describe(
    items: int,
    countries: int,
    arms: Sequence[Sequence[Level]] = (),
    as_good_as: float = float("inf"),
    good_countries: float = float("inf"),
) -> str:
    """In words, the noise that an interval covers: "bootstrap over 12 items and 20 countries; one training seed and
    data draw".

    No `arms`: a cell by itself, of which nothing is said.
    """
    worth = {"items": min(as_good_as, items), "countries": min(good_countries, countries)}
    named, alone = [], []
    for count, name, one in ((items, "items", "item"), (countries, "countries", "country")):
        unequal = f" (unequal, as good as {worth[name]:.1f})" if worth[name] < 0.7 * count else ""
        if count == 1:
            alone.append(f"one {one}")
        elif worth[name] < FEWEST:
            alone.append(f"these {count} {name}{unequal} as given, too few to speak for others")
        else:
            named.append(f"{count} {name}{unequal}")
    if named:
        alone.insert(0, f"bootstrap over {' and '.join(named)}")
    elif all(len(levels) == 1 for levels in arms):
        return (
            "no interval: one item and one country"
            if max(items, countries) == 1
            else f"no interval: {'; '.join(alone)}"
        )
    return "; ".join([*alone, describe_levels(arms)] if arms else alone)


def clusters_worth(units: Units) -> tuple[float, float]:
    """How many equally large items and countries a statistic's are as good as (`effective`)."""
    items, countries = (effective(units.counts.sum(axis=(0, 3 - axis))) for axis in (1, 2))
    return items, countries


def described(arms: Sequence[Units]) -> str:
    """`describe` for arms over the same items and countries; "no interval: ..." where there is none."""
    if not all(arm.finite for arm in arms):
        return "no interval: infinite scores"
    known = [arm.levels for arm in arms if arm.cells_known]
    first = arms[0]
    return describe(len(first.items), len(first.countries), known, *clusters_worth(first))


@dataclass(frozen=True)
class Resampled:
    """Arms over the same items and countries under the same draws: replicates of any contrast of them.

    `items` and `countries` (draws, arms): by how much each arm's statistic deviates when these are resampled.
    """

    arms: tuple[Units, ...]
    items: FloatArray
    countries: FloatArray

    @classmethod
    def of(cls, arms: Sequence[Units], draws: int, rng: np.random.Generator) -> Resampled:
        """ValueError where arms have different items or countries."""
        first = arms[0]
        worth = clusters_worth(first)
        if any((arm.items, arm.countries) != (first.items, first.countries) for arm in arms):
            raise ValueError(
                "arms that are compared must have the same items and countries: restrict them with shared()"
            )
        parts = []
        for axis, clusters in ((1, len(first.items)), (2, len(first.countries))):
            if worth[axis - 1] < FEWEST:
                parts.append(np.zeros((draws, len(arms))))
                continue
            counts = cluster_counts(clusters, draws, rng)
            if worth[2 - axis] < FEWEST:
                parts.append(np.stack([_given(arm, counts, axis) for arm in arms], axis=1))
                continue
            wide = widening(worth[axis - 1])
            parts.append(np.stack([wide * (arm.under(counts, axis) - arm.value) for arm in arms], axis=1))
        return cls(tuple(arms), parts[0], parts[1])

    def replicates(self, contrast: Sequence[float], rng: np.random.Generator) -> FloatArray:
        """Replicates of `sum contrast * arm`, (draws,); `rng` draws the noise of seeds and data draws."""
        weights = np.asarray(contrast, dtype=np.float64)
        value = float(weights @ [arm.value for arm in self.arms])
        kept = two_way(np.tensordot(weights, [arm.influence for arm in self.arms], axes=1))[2]
        kept = kept if self.items.any() and self.countries.any() else 1.0
        inner = kept**0.5 * (self.items @ weights + self.countries @ weights)
        return np.asarray(value + inner + outer_noise([arm.cells for arm in self.arms], contrast, len(inner), rng))


def _given(arm: Units, counts: FloatArray, axis: int) -> FloatArray:
    """Widened deviations (draws,) where clusters of `axis` are drawn and those of the other side are given."""
    influence, worth = arm.within(axis)
    return np.asarray(widening(worth) * (counts @ influence)) if worth else np.full(len(counts), np.nan)


def mean_interval(scores: pd.DataFrame, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """The mean of unit scores with its interval over items and countries (and seeds and data draws, if several).

    `scores` has columns item, country, value, and optionally seed and draw. A single item gives an interval over
    countries alone, a single country (or none, "") over items alone, and both single none. No scores: NaN, n = 0.
    """
    if scores.empty:
        return Interval(float("nan"), float("nan"), float("nan"), 0, "no units")
    return _measured([Units.of(scores)], [1.0], rng, draws).interval


@dataclass(frozen=True)
class Paired:
    """A paired difference with its bootstrap replicates (empty where there is no interval)."""

    interval: Interval
    replicates: FloatArray


def paired(first: pd.DataFrame, second: pd.DataFrame, rng: np.random.Generator, draws: int = DRAWS) -> Paired:
    """The mean of the first arm minus that of the second, as `contrasted`."""
    return contrasted([first, second], [1.0, -1.0], rng, draws)


def contrasted(
    arms: Sequence[pd.DataFrame], contrast: Sequence[float], rng: np.random.Generator, draws: int = DRAWS
) -> Paired:
    """`sum contrast * mean of arm` over the units that all cells of all arms share, paired by `SCORE_KEYS`.

    Items and countries are drawn alike for all arms. Seeds and data draws are paired where arms have the same ones,
    else each arm adds its own noise. Units that some arm lacks do not enter. ValueError where a cell has a unit twice.
    """
    tables = shared(arms)
    if tables[0].empty:
        return Paired(Interval(float("nan"), float("nan"), float("nan"), 0, "no units in common"), np.empty(0))
    return _measured([Units.of(table) for table in tables], contrast, rng, draws)


def _measured(arms: Sequence[Units], contrast: Sequence[float], rng: np.random.Generator, draws: int) -> Paired:
    value, n = float(np.dot(contrast, [arm.value for arm in arms])), int(arms[0].counts[0].sum())
    method = described(arms)
    if method.startswith("no interval"):
        return Paired(Interval(value, float("nan"), float("nan"), n, method), np.empty(0))
    replicates = Resampled.of(arms, draws, rng).replicates(contrast, rng)
    method = method if len(arms) == 1 else f"paired {method}"
    return Paired(Interval(value, *percentile_interval(replicates), n, method), replicates)
