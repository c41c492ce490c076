"""The measures once more, as plain as can be, so that right values owe nothing to the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

Array = Any
EXACT, NOISE = 1e-6, 2e-3
"""Tolerances: of what has no chance in it, and of what sampling a million people adds to a distance."""


class Right(NamedTuple):
    """The right value of a measure, and how far from it what is found may be."""

    value: float
    tolerance: float = EXACT


Table = dict[tuple[str, str, str], Right]
"""By (measure, condition, group)."""


def bits(p: Array) -> Array:
    """Entropy in bits over the last axis."""
    p = np.asarray(p, dtype=float)
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)


def nats(p: Array) -> Array:
    return bits(p) * np.log(2)


def jsd(p: Array, q: Array) -> Array:
    """As the entropy of the mean less the mean entropy, in bits."""
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    return np.maximum(bits((p + q) / 2) - (bits(p) + bits(q)) / 2, 0)


def js(p: Array, q: Array) -> Array:
    divergence = jsd(p, q)
    return np.sqrt(np.where(divergence < 1e-14, 0, divergence))


def tv(p: Array, q: Array) -> Array:
    return np.maximum(np.asarray(p) - np.asarray(q), 0).sum(-1)


def kl(p: Array, q: Array) -> float:
    return float(sum(b * np.log(b / a) if a > 0 else np.inf for a, b in zip(p, q, strict=True) if b > 0))


def emd(p: Array, q: Array, positions: Sequence[float]) -> Array:
    """Mass that passes each step, times its length, over the range."""
    moved = np.abs(np.cumsum(np.asarray(p) - np.asarray(q), axis=-1))[..., :-1]
    steps = np.diff(positions)
    return (moved * steps).sum(-1) / steps.sum()


def top1(p: Array, q: Array) -> Array:
    """Chance of the same mode where ties are drawn."""
    a, b = (np.isclose(one, np.max(one, axis=-1, keepdims=True)) for one in (np.asarray(p), np.asarray(q)))
    return (a & b).sum(-1) / (a.sum(-1) * b.sum(-1))


def sampled_noise(p: Array, q: Array, n: float) -> Array:
    """What n answers behind q add to the divergence in bits, by the delta method (`eval.panels`)."""
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    seen = np.where(p + q > 0, p + q, 1)
    return np.where(q > 0, (1 - q) * p / seen, 0).sum(-1) / (4 * n * np.log(2))


def place(p: Sequence[float]) -> int:
    """The first of the most probable options."""
    return int(np.flatnonzero(np.isclose(p, np.max(p)))[0])


def hot(k: int, option: int) -> Array:
    return np.eye(k)[option]


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    a, b = (np.round(one, 9) for one in (x, y))
    return float("nan") if len(set(a)) < 2 or len(set(b)) < 2 else float(stats.spearmanr(a, b).statistic)


def mantel(model: Mapping[tuple[str, str], float], people: Mapping[tuple[str, str], float]) -> float:
    """The share of all orders of the countries under which the two lie as near or nearer, one-sided."""
    names = sorted({name for pair in people for name in pair})
    observed = spearman(list(model.values()), list(people.values()))
    if np.isnan(observed):
        return observed
    beaten = []
    for order in permutations(names):
        renamed = dict(zip(names, order, strict=True))
        moved = [model[tuple(sorted((renamed[a], renamed[b])))] for a, b in people]  # type: ignore[index]
        beaten.append(spearman(moved, list(people.values())) >= observed - 1e-9)
    return float(np.mean(beaten))


def kappa(pairs: Sequence[tuple[str, int, int]]) -> float:
    """Of (item, own answer, predicted): hits beyond chance over those beyond chance that there could be, by item."""
    gained = room = 0.0
    for item in sorted({pair[0] for pair in pairs}):
        own, said = zip(*[(a, b) for name, a, b in pairs if name == item], strict=True)
        chance = sum(own.count(option) * said.count(option) for option in set(own)) / len(own)
        gained += sum(a == b for a, b in zip(own, said, strict=True)) - chance
        room += len(own) - chance
    return gained / room


def alpha(ratings: Sequence[Sequence[float]]) -> float:
    """Krippendorff's nominal alpha by counting pairs: 1 - disagreement observed over expected; NaN: not rated."""
    kept = [[value for value in unit if not np.isnan(value)] for unit in ratings]
    kept = [unit for unit in kept if len(unit) > 1]
    pooled = [value for unit in kept for value in unit]
    if len(set(pooled)) < 2:
        return float("nan")
    observed = sum(2 * sum(a != b for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in kept) / len(pooled)
    ones = sum(pooled)
    expected = 2 * ones * (len(pooled) - ones) / (len(pooled) * (len(pooled) - 1))
    return 1 - observed / expected


def by_chance(values: Array) -> Right:
    """The mean of a measure in as many simulated worlds, within five of its standard deviations."""
    return Right(float(np.mean(values)), 5 * float(np.std(values)) + EXACT)
