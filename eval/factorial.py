"""Exact decomposition of a balanced factorial experiment, such as objective x parameters x data, into its effects.

Every combination of the factors' levels is an arm, and an arm's statistic is the overall mean plus an effect of each
factor plus their interactions (sum coding). Balanced, these are fixed contrasts of the arms' statistics, so nothing is
fitted and nothing is confounded: "full fine-tuning against RLHF" becomes what the objective does and what the
parameters do. The statistic may be a mean of unit scores or a ratio such as variation between countries: its value in
each arm is what is decomposed, and a contrast is taken in every bootstrap replicate, under draws that all arms share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, Resampled, described, percentile_interval
from eval.distances import FloatArray
from eval.inference import bootstrap_p
from eval.units import Units, shared

Levels = tuple[str, ...]


class Effect(NamedTuple):
    """An effect in the measure's unit with its 95% interval, two-sided p that it is 0, and n units of one cell.

    `name` says what is contrasted: "mean"; "objective: dpo − mean" for one of several levels; "data: people − shuffled"
    for the second of two levels minus the first; "objective × data: (dpo − mean) × (people − shuffled)" for how much
    the one differs by the other. NaN bounds and p where nothing can be resampled.
    """

    name: str
    value: float
    low: float
    high: float
    p: float
    n: int
    method: str


class Statistics(NamedTuple):
    """A statistic of arms: `values` (arms,), n units of one cell, the `method` of its interval, and `replicates` of any
    contrast of the arms, (draws,), empty where nothing can be resampled.
    """

    values: FloatArray
    n: int
    method: str
    replicates: Callable[[Sequence[float]], FloatArray]


def decompose(
    arms: Mapping[Levels, pd.DataFrame], factors: Sequence[str], rng: np.random.Generator, draws: int = DRAWS
) -> list[Effect]:
    """The overall mean, main effects and interactions of all orders, from unit scores of one measure and condition.

    `arms` maps each combination of levels, in the order of `factors`, to its unit scores (columns `SCORE_COLUMNS`,
    `seed` and `draw` where there are several cells); the units that all cells of all arms share enter. Items and
    countries are drawn alike for all arms, and seeds and data draws are paired where arms have the same ones.
    ValueError where a combination is missing, a factor has one level, names don't fit or nothing is shared.
    """
    levels = levels_of(list(arms), factors)
    tables = shared([arms[combination] for combination in itertools.product(*levels)])
    if tables[0].empty:
        raise ValueError(
            f"the arms {_words(levels)} share no unit: pass scores of the same measure, items and countries"
        )
    units = [Units.of(table) for table in tables]
    method, values = described(units), np.array([arm.value for arm in units])
    resampled = None if method.startswith("no interval") else Resampled.of(units, draws, rng)

    def replicates(contrast: Sequence[float]) -> FloatArray:
        return np.empty(0) if resampled is None else resampled.replicates(contrast, rng)

    return effects_of(levels, factors, Statistics(values, int(units[0].counts[0].sum()), method, replicates))


def effects_of(levels: Sequence[Levels], factors: Sequence[str], found: Statistics) -> list[Effect]:
    """The overall mean, main effects and interactions of all orders of a statistic, `found` in the arm of every
    combination of the factors' `levels`, in the order of their product.
    """
    effects = []
    for name, contrast in _contrasts(factors, levels):
        replicates = found.replicates(contrast.tolist())
        (low, high), p = (float("nan"), float("nan")), float("nan")
        if replicates.size:
            (low, high), p = percentile_interval(replicates), bootstrap_p(replicates)
        value, method = float(contrast @ found.values), f"balanced contrast of {len(contrast)} arms; {found.method}"
        effects.append(Effect(name, value, low, high, p, found.n, method))
    return effects


def levels_of(combinations: Sequence[Levels], factors: Sequence[str]) -> list[Levels]:
    """Each factor's levels in the order in which they come; ValueError where they are no balanced design."""
    if not factors or len(set(factors)) < len(factors):
        raise ValueError(f"factors must be different names, got {list(factors)}")
    if not combinations:
        raise ValueError("there are no arms to decompose")
    for combination in combinations:
        if len(combination) != len(factors):
            raise ValueError(f"arm {combination} names {len(combination)} levels; the factors are {list(factors)}")
    levels = [tuple(dict.fromkeys(names)) for names in zip(*combinations, strict=True)]
    for factor, names in zip(factors, levels, strict=True):
        if len(names) < 2:
            raise ValueError(f"factor {factor!r} needs two levels or more, found {list(names)}")
    missing = [each for each in itertools.product(*levels) if each not in set(combinations)]
    if missing:
        raise ValueError(
            "a balanced design has an arm for every combination; missing: "
            + "; ".join(
                ", ".join(f"{factor}={name}" for factor, name in zip(factors, each, strict=True)) for each in missing
            )
        )
    return levels


def _contrasts(factors: Sequence[str], levels: Sequence[Levels]) -> list[tuple[str, FloatArray]]:
    """(name, weights over the combinations in product order) of the mean and every effect, lower orders first."""
    found: list[tuple[str, FloatArray]] = [("mean", _product([np.full(len(one), 1 / len(one)) for one in levels]))]
    for order in range(1, len(factors) + 1):
        for chosen in itertools.combinations(range(len(factors)), order):
            for coded in itertools.product(*(_coding(levels[index]) for index in chosen)):
                sides = [np.full(len(one), 1 / len(one)) for one in levels]
                for index, (_, weights) in zip(chosen, coded, strict=True):
                    sides[index] = weights
                words = [words for words, _ in coded]
                what = words[0] if order == 1 else " × ".join(f"({one})" for one in words)
                found.append((f"{' × '.join(factors[index] for index in chosen)}: {what}", _product(sides)))
    return found


def _coding(levels: Levels) -> list[tuple[str, FloatArray]]:
    """A factor's contrasts: the difference of two levels, or each level's deviation from the mean of several."""
    if len(levels) == 2:
        return [(f"{levels[1]} − {levels[0]}", np.array([-1.0, 1.0]))]
    return [(f"{level} − mean", row - 1 / len(levels)) for level, row in zip(levels, np.eye(len(levels)), strict=True)]


def _product(sides: Sequence[FloatArray]) -> FloatArray:
    weights = np.ones(1)
    for side in sides:
        weights = np.outer(weights, side).reshape(-1)
    return weights


def _words(levels: Sequence[Levels]) -> str:
    return " x ".join("/".join(names) for names in levels)
