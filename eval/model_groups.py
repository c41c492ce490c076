"""One measure of several models, measured together: any weighted sum of them, with the noise of items and countries.

Groups of models (by a tag such as their origin) are compared by the mean over families of the mean over each family's
models: siblings of one maker are alike, and ten sizes of one family are not ten witnesses. Our design.

What an interval covers: the choice of items and countries (`eval.bootstrap`), with the models as given. Models are few
and no sample of anything, so no interval here says what another model of the group would do. `exchanged` says it in its
own way: how often families that are divided at random into groups as large differ as much.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from eval.bootstrap import Resampled, described, percentile_interval
from eval.cells import AnswersOf, Arm
from eval.distances import FloatArray
from eval.panels import STRATUM_OF
from eval.units import Units, shared
from eval.variation import QUANTITIES, variation_of

MOST_WAYS = 20_000
Weights = Mapping[str, float]


class Sum(NamedTuple):
    """A weighted sum of models with its 95% interval and the replicates behind it (NaN and empty: no interval)."""

    value: float
    low: float
    high: float
    replicates: FloatArray


class Exchange(NamedTuple):
    """`share` of the `ways` to divide the families into groups of these sizes in which the groups differ as much."""

    share: float
    ways: int


@dataclass(frozen=True)
class Measured:
    """One measure of the models `names` over the `n` units that all share: `values` (names,), and `method`, what an
    interval covers. `replicates` of a weighted sum are (draws,), or empty where there is no interval.
    """

    names: tuple[str, ...]
    values: FloatArray
    n: int
    method: str
    replicates: Callable[[FloatArray], FloatArray]

    def sum(self, weights: Weights) -> Sum:
        """`sum weights * model`; models that are not named count 0. KeyError for one that was not measured."""
        contrast = np.zeros(len(self.names))
        for name, weight in weights.items():
            contrast[self.names.index(name)] = weight
        found = self.replicates(contrast)
        bounds = percentile_interval(found) if len(found) else (math.nan, math.nan)
        counted = np.flatnonzero(contrast)  # 0 times infinite is no number
        value = float(contrast[counted] @ self.values[counted])
        return Sum(value, *bounds, found if math.isfinite(bounds[0]) else np.empty(0))


def measured(
    arms: Mapping[str, Arm],
    audit: str,
    key: tuple[str, str, str],
    rng: np.random.Generator,
    draws: int,
    answers: AnswersOf | None = None,
    beside: Mapping[str, pd.DataFrame] | None = None,
) -> Measured | None:
    """The measure `key` (measure, condition, group) of an audit, of all `arms`, on what they share; None where one of
    them lacks it or they share nothing. `beside`: score rows of references by name, measured as if they were models.
    """
    measure, condition, group = key
    if not arms or not all(audit in arm.audits for arm in arms.values()):
        return None
    if measure in QUANTITIES:
        if answers is None or beside:
            return None
        cells = [arm.answers(audit, answers) for arm in arms.values()]
        found = variation_of(cells, condition, STRATUM_OF.get(group, group), rng, draws, (measure,))
        if not found:
            return None
        one = found[0]
        return Measured(tuple(arms), np.asarray(one.values), one.n, one.method, lambda w: one.replicates(list(w), rng))
    untrained = [] if any(arm.trained for arm in arms.values()) else ["seed", "draw"]  # nothing to say of either
    scores = [
        arm.units(audit, measure, condition, group).dropna(subset="value").drop(columns=untrained)
        for arm in arms.values()
    ]
    parts = shared([*scores, *(beside or {}).values()])
    if parts[0].empty:
        return None
    units = [Units.of(part) for part in parts]
    method, n = described(units), int(units[0].counts[0].sum())
    bare = method.startswith("no interval")
    resampled = None if bare else Resampled.of(units, draws, rng)
    return Measured(
        (*arms, *(beside or {})),
        np.array([one.value for one in units]),
        n,
        method if bare else f"paired {method}",
        lambda w: np.empty(0) if resampled is None else resampled.replicates(list(w), rng),
    )


def group_weights(names: Sequence[str], family: Mapping[str, str]) -> dict[str, float]:
    """What each model counts in the mean over families of the mean over a family's models; they add up to 1."""
    families = [family[name] for name in names]
    return {name: 1 / (len(set(families)) * families.count(family[name])) for name in names}


def difference_weights(first: Sequence[str], second: Sequence[str], family: Mapping[str, str]) -> dict[str, float]:
    """Group `first` minus group `second`."""
    return group_weights(first, family) | {n: -weight for n, weight in group_weights(second, family).items()}


def without_one(
    values: Mapping[str, float], first: Sequence[str], second: Sequence[str], family: Mapping[str, str]
) -> tuple[float, float]:
    """The least and the largest difference of the groups when any one model is left out; NaN where a group has one."""
    found = []
    for gone in (*first, *second):
        one, other = ([name for name in side if name != gone] for side in (first, second))
        if one and other:
            weights = difference_weights(one, other, family)
            found.append(sum(weight * values[name] for name, weight in weights.items()))
    least_two = min(len(first), len(second)) > 1
    return (min(found), max(found)) if found and least_two else (math.nan, math.nan)


def exchanged(
    values: Mapping[str, float],
    first: Sequence[str],
    second: Sequence[str],
    family: Mapping[str, str],
    rng: np.random.Generator,
) -> Exchange:
    """How unusual the groups' difference is among all ways to divide their families into groups of as many families.

    A randomisation test that takes families as exchangeable units: every way up to `MOST_WAYS`, else so many drawn by
    chance beside the one at hand. NaN where a family is in both groups, or each group is one family.
    """
    means = [
        {one: float(np.mean([values[n] for n in side if family[n] == one])) for one in {family[n] for n in side}}
        for side in (first, second)
    ]
    size, total = len(means[0]), len(means[0]) + len(means[1])
    if set(means[0]) & set(means[1]) or total < 3:
        return Exchange(math.nan, 0)
    pool = np.array([*means[0].values(), *means[1].values()])
    ways = math.comb(total, size)
    if ways <= MOST_WAYS:
        chosen = np.array(list(itertools.combinations(range(total), size)))
    else:
        drawn = [rng.permutation(total)[:size] for _ in range(MOST_WAYS - 1)]
        chosen = np.array([np.arange(size), *drawn])
    sums = pool[chosen].sum(axis=1)
    differences = np.abs(sums / size - (pool.sum() - sums) / (total - size))
    observed = abs(pool[:size].mean() - pool[size:].mean())
    return Exchange(float((differences >= observed - 1e-12).mean()), len(chosen))
