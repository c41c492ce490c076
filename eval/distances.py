"""Distances between a model's answers and people's: one function each, float64, over the last axis.

`p` is the model, `q` the people; arrays of shape (..., k) broadcast against each other and give shape (...). Rows must
be non-negative and sum to 1 (within 1e-6), else ValueError with what was found. Example: `js_distance([1, 0], [0, 1])`
is 1.

The surprise: some published numbers rest on code that changes the meaning of the measure. These are kept under names
that end in `_as_published`, to be compared with the papers' tables, and are never used for a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-6


def distributions(values: npt.ArrayLike, name: str = "p") -> FloatArray:
    """`values` as float64 of shape (..., k); ValueError unless every row is non-negative and sums to 1 within 1e-6."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (..., k) with k >= 1, got shape {array.shape}")
    if array.size and not array.min() >= 0:
        raise ValueError(f"{name} must be non-negative numbers, found {array.min()}")
    error = np.abs(array.sum(axis=-1) - 1)
    if error.size and not error.max() <= TOLERANCE:
        found = array.sum(axis=-1).reshape(-1)[error.reshape(-1).argmax()]
        raise ValueError(f"{name} must sum to 1 over the last axis, found {found}")
    return array


def _pair(p: npt.ArrayLike, q: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = distributions(p, "p"), distributions(q, "q")
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(f"p has {first.shape[-1]} options, q has {second.shape[-1]}")
    return first, second


def _relative_entropy(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum of a ln(a / b) over the last axis, with 0 ln 0 = 0 and infinity where b = 0 < a."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        terms = np.where(a > 0, a * np.log(a / b), 0.0)
    return np.asarray(terms.sum(axis=-1))


def js_divergence(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """Jensen-Shannon divergence in bits, in [0, 1]; symmetric (Lin 1991, eq. 3.2)."""
    first, second = _pair(p, q)
    total = first + second
    nats = (_relative_entropy(2 * first, total) + _relative_entropy(2 * second, total)) / 4
    return np.asarray(np.clip(nats / np.log(2), 0, 1))


def js_distance(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """Square root of the Jensen-Shannon divergence in bits: a metric in [0, 1] (Endres & Schindelin 2003)."""
    return np.asarray(np.sqrt(js_divergence(p, q)))


def one_minus_js_as_published(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """`1 - sqrt(JSD in nats)`, in [1 - sqrt(ln 2), 1] = [0.167, 1]: what Cao et al. 2025 (2502.07068) call 1-JSD.

    The quirk: answers without any overlap score 0.167, not 0.
    """
    return np.asarray(1 - js_distance(p, q) * np.sqrt(np.log(2)))


def scale_gaps(positions: npt.ArrayLike) -> FloatArray:
    """Share of the scale's range between neighbouring options, shape (k - 1,), summing to 1.

    ValueError unless the positions are finite, ascend or descend, and span a range.
    """
    places = np.asarray(positions, dtype=np.float64)
    steps = np.diff(places) if places.ndim == 1 else np.empty(0)
    if not np.isfinite(places).all() or steps.size == 0 or not ((steps >= 0).all() or (steps <= 0).all()):
        raise ValueError(f"positions must be finite and ascend or descend, got {places.tolist()}")
    gaps = np.abs(steps)
    if gaps.sum() == 0:
        raise ValueError(f"positions must differ, got {places.tolist()}")
    return np.asarray(gaps / gaps.sum())


def emd(p: npt.ArrayLike, q: npt.ArrayLike, positions: npt.ArrayLike) -> FloatArray:
    """Earth mover's distance on the item's scale over its range, in [0, 1]; ordered items only (Santurkar et al. 2023).

    The sum over steps of |F_p - F_q| * gap / range, F the cumulative distribution; `positions` has shape (k,).
    """
    first, second = _pair(p, q)
    gaps = scale_gaps(positions)
    if gaps.shape[0] != first.shape[-1] - 1:
        raise ValueError(f"{gaps.shape[0] + 1} positions for {first.shape[-1]} options")
    difference = np.cumsum(first - second, axis=-1)[..., :-1]
    return np.asarray(np.minimum(np.abs(difference) @ gaps, 1.0))


def emd_as_published(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """Mean |sorted p - sorted q|, in [0, 1): what the code of Cao et al. 2025 computes as the earth mover's distance.

    The quirk: it passes probabilities as sample values (`scipy.stats.wasserstein_distance(p, q)`), so that it does not
    see on which option the mass is. Opposite answers, [1, 0] and [0, 1], score 0.
    """
    first, second = _pair(p, q)
    return np.asarray(np.abs(np.sort(first, axis=-1) - np.sort(second, axis=-1)).mean(axis=-1))


def total_variation(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """Half the sum of absolute differences, in [0, 1]: the share of answers that would have to change."""
    first, second = _pair(p, q)
    return np.asarray(np.minimum(np.abs(first - second).sum(axis=-1) / 2, 1.0))


def kl_people_model(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """KL(q || p) in nats, in [0, inf]: forward, the objective of the `match` recipe; inf if p lacks an answer of q."""
    first, second = _pair(p, q)
    return np.asarray(np.maximum(_relative_entropy(second, first), 0.0))


def kl_model_people_as_published(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """KL(p || q) in nats with infinite values replaced by the array's largest finite value + 1 (Liu et al. 2025, DEF).

    The quirks: the value of one row depends on the others, and DEF keeps the share of failed answers as a column of `p`
    to which people give 0, so that one failed answer makes a row infinite (to have this, pass that column in both).
    NaN where no row is finite.
    """
    first, second = _pair(p, q)
    values = np.maximum(_relative_entropy(first, second), 0.0)
    finite = values[np.isfinite(values)]
    return np.asarray(np.where(np.isfinite(values), values, finite.max() + 1 if finite.size else np.nan))


def top1_agreement(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """1 where the most frequent answers agree, else 0, in [0, 1].

    Where there are ties: the probability of agreement when both break theirs at random, so that a uniform `p` scores
    1/k.
    """
    first, second = _pair(p, q)
    a = first >= first.max(axis=-1, keepdims=True) - 1e-12
    b = second >= second.max(axis=-1, keepdims=True) - 1e-12
    return np.asarray((a & b).sum(axis=-1) / (a.sum(axis=-1) * b.sum(axis=-1)))


def accuracy_as_published(p: npt.ArrayLike, q: npt.ArrayLike) -> FloatArray:
    """1 where the first most probable option of both is the same, else 0: top-1 accuracy as benchmarks compute it.

    The quirk: ties go to the option that comes first (`argmax`), so that an even answer scores 1 wherever people prefer
    the first option; `top1_agreement` shares ties.
    """
    first, second = _pair(p, q)
    return np.asarray((first.argmax(axis=-1) == second.argmax(axis=-1)).astype(np.float64))


def cohen_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Cohen's kappa of two lists of labels of individuals, in [-1, 1] (Cohen 1960).

    NaN without labels and where both always give the same one label (chance agreement is 1). ValueError on unequal
    lengths.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected two lists of labels of one length, got shapes {a.shape} and {b.shape}")
    if a.size == 0:
        return float("nan")
    labels = np.unique(np.concatenate([a, b]))
    chance = float(sum((a == label).mean() * (b == label).mean() for label in labels))
    return float("nan") if chance == 1 else float(((a == b).mean() - chance) / (1 - chance))


def entropy(p: npt.ArrayLike) -> FloatArray:
    """Shannon entropy in nats, in [0, ln k]."""
    first = distributions(p)
    return np.asarray(np.maximum(-_relative_entropy(first, np.ones_like(first)), 0.0))


class Measure(NamedTuple):
    """A distance or agreement of `p` and `q`; called with `positions` too where `needs_positions`."""

    function: Callable[..., Any]
    needs_positions: bool


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "js_distance": Measure(js_distance, False),
        "emd": Measure(emd, True),
        "total_variation": Measure(total_variation, False),
        "kl_people_model": Measure(kl_people_model, False),
        "top1_agreement": Measure(top1_agreement, False),
        "one_minus_js_as_published": Measure(one_minus_js_as_published, False),
        "emd_as_published": Measure(emd_as_published, False),
        "accuracy_as_published": Measure(accuracy_as_published, False),
        "kl_model_people_as_published": Measure(kl_model_people_as_published, False),
    }
)
"""Every measure that compares a model's distribution with people's, by name."""

HIGHER_IS_CLOSER = frozenset({"top1_agreement", "one_minus_js_as_published", "accuracy_as_published"})
"""The measures of `MEASURES` that grow as the model comes closer to people; all others shrink."""
