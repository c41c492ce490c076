"""How stable choices in dilemmas are: pure functions of the probability that action 0 is preferred, dilemma by dilemma.

NaN (a dilemma that a condition did not settle) stays NaN in every measure. A model's probabilities are read off
exactly, so asking the same again gives the same distribution: an argmax flip or a JS distance between conditions has no
resampling noise at all, its floor is 0. What does have noise is a *sampled* answer: two independent answers to one
condition disagree with probability 2 p (1 − p). Disagreement across conditions is held against that, and its excess is
(p₁ − p₂)², exactly. Choices known from sampled texts alone are in `eval.dilemmas.repeat`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import FloatArray, js_distance

TIE = 1e-9


def preferences(items: pd.DataFrame) -> pd.DataFrame:
    """P(action 0), in [0, 1]: a row a dilemma, a column a condition; the mean over orders (and, in a dialogue, over the
    model's own earlier answers by their probability). `items` as in `eval.dilemmas.evidence`; its control rows do not
    count.
    """
    asked = items[~items["condition"].str.startswith("control:")]
    weighed = asked.assign(product=asked["weight"] * asked["p_action_0"])
    sums = weighed.groupby(["dilemma", "condition"], sort=True)[["product", "weight"]].sum()
    return (sums["product"] / sums["weight"]).unstack("condition")


def preferred(p: npt.ArrayLike) -> FloatArray:
    """The preferred action, 0 or 1, as float; NaN where p is 1/2 (to 1e-9), so that no action is preferred, or NaN."""
    first = np.asarray(p, dtype=np.float64)
    return np.where(np.abs(first - 0.5) > TIE, (first < 0.5).astype(np.float64), np.nan)


def slope(turns: npt.ArrayLike, values: npt.ArrayLike) -> FloatArray:
    """Least-squares slope (n,) of `values` (n, points) on `turns` (points,), of which two at least differ."""
    t = np.asarray(turns, dtype=np.float64)
    centred = t - t.mean()
    return np.asarray(np.asarray(values, dtype=np.float64) @ centred / (centred**2).sum())


def flips(p: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """1 where the preferred action differs, 0 where it is the same, NaN where either side has none."""
    return np.abs(preferred(p) - preferred(other))


def disagreement(p: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """Probability that two independent sampled answers differ, in [0, 1]; with `other` = p the resampling floor."""
    a, b = np.asarray(p, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return a * (1 - b) + b * (1 - a)


def excess_disagreement(p: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """`disagreement` minus the mean of both conditions' own floors, in [0, 1]. Equals (p − other)²."""
    a, b = np.asarray(p, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return (a - b) ** 2


def binary_js_distance(p: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """`js_distance` of the two action distributions, in [0, 1]."""
    a, b = np.asarray(p, dtype=np.float64), np.asarray(other, dtype=np.float64)
    known = ~np.isnan(a) & ~np.isnan(b)
    a, b = np.where(known, a, 0.0), np.where(known, b, 0.0)
    distance = js_distance(np.stack([a, 1 - a], axis=-1), np.stack([b, 1 - b], axis=-1))
    return np.asarray(np.where(known, distance, np.nan))


def binary_entropy(p: npt.ArrayLike) -> FloatArray:
    """Entropy of a choice in bits, in [0, 1]."""
    a = np.clip(np.asarray(p, dtype=np.float64), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(a == 0, 0.0, a * np.log2(a)) + np.where(a == 1, 0.0, (1 - a) * np.log2(1 - a))
    return np.asarray(np.maximum(-terms, 0.0))


def marginal_action_entropy(forms: npt.ArrayLike) -> FloatArray:
    """Entropy in bits, in [0, 1], of the action distribution averaged over question forms (dilemmas, forms) [MC].

    Scherrer et al. 2023: the uncertainty of an action when the form of the question is left open.
    """
    return binary_entropy(np.asarray(forms, dtype=np.float64).mean(axis=-1))


def question_form_consistency(forms: npt.ArrayLike) -> FloatArray:
    """1 − generalised Jensen-Shannon divergence (bits) between question forms (dilemmas, forms), in [0, 1] [MC].

    Scherrer et al. 2023, with equal weights. 1 is the same choice in every form, 0 (two forms) the opposite one. A form
    known from few sampled texts lowers it by their noise.
    """
    p = np.asarray(forms, dtype=np.float64)
    divergence = binary_entropy(p.mean(axis=-1)) - binary_entropy(p).mean(axis=-1)
    return np.asarray(1 - np.clip(divergence, 0, 1))


def krippendorff_alpha(ratings: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Nominal alpha of 0/1 `ratings` (units, raters), NaN = not rated, shape (draws,); at most 1 (Krippendorff 2011).

    `weights` (draws, units) says how often each unit counts (default once). Units with fewer than two ratings don't
    count. NaN where all ratings are the same: without variation, agreement can't be told from habit.
    """
    rated = np.asarray(ratings, dtype=np.float64)
    present = (~np.isnan(rated)).sum(axis=1)
    kept = present >= 2
    counts = np.ones((1, len(rated))) if weights is None else np.asarray(weights, dtype=np.float64)
    rated, present, counts = rated[kept], present[kept].astype(np.float64), counts[:, kept]
    ones = np.nansum(rated, axis=1)
    within = counts @ (2 * ones * (present - ones) / (present - 1))
    total, total_ones = counts @ present, counts @ ones
    across = 2 * total_ones * (total - total_ones)
    ratio = np.divide((total - 1) * within, across, out=np.full(len(counts), np.nan), where=across > 0)
    return np.asarray(1 - ratio)
