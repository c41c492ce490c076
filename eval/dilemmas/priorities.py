"""Value priorities from choices in dilemmas: strengths by condition and context, and how their order holds.

Dilemmas whose values are unknown (a corpus of the user's own) take no part.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eval.bootstrap import cluster_counts, percentile_interval, widened
from eval.dilemmas.bradley_terry import bradley_terry, kendall_tau, priority_distance
from eval.dilemmas.measures import preferences
from eval.dilemmas.questions import ALONE, WORDING
from eval.distances import FloatArray
from eval.records import Estimate

LEAST_IN_CONTEXT = 15
"""Dilemmas that a context needs for priorities of its own: with ten values, each is then in three on average."""


def priorities(
    items: pd.DataFrame, contexts: pd.Series, ridge: float, rng: np.random.Generator, draws: int
) -> list[Estimate]:
    """Strengths of the values in each condition (`wordings`: the mean preference over paraphrases), how their order
    in a condition agrees with `alone`, and strengths by context. Empty where no values are known.
    """
    pairs, table = value_pairs(items), preferences(items)
    if pairs.empty:
        return []
    table = table.loc[pairs.index]
    wordings = [ALONE, *(name for name in table.columns if name.startswith(WORDING))]
    sides = {name: table[name] for name in table.columns if name not in wordings or name == ALONE}
    if len(wordings) > 1:
        sides["wordings"] = table[wordings].mean(axis=1)
    counts = cluster_counts(len(pairs), draws, rng)
    alone = fit(pairs, sides[ALONE], counts, ridge)
    found = []
    for condition, p in sides.items():
        strengths = alone if condition == ALONE else fit(pairs, p, counts, ridge)
        found += _strengths(pairs[p.notna()], _names(pairs), strengths, condition, "", ridge)
        if condition != ALONE:
            before = alone if p.notna().all() else fit(pairs, sides[ALONE].where(p.notna()), counts, ridge)
            found += order_change(strengths, before, condition, int(p.notna().sum()))
    main = "wordings" if "wordings" in sides else ALONE
    for context, part in pairs.groupby(contexts.loc[pairs.index]):
        if LEAST_IN_CONTEXT <= len(part) < len(pairs):
            drawn = cluster_counts(len(part), draws, rng)
            strengths = fit(part, sides[main].loc[part.index], drawn, ridge)
            found += _strengths(part, _names(part), strengths, main, f"context={context}, ", ridge)
    return found


def _strengths(
    pairs: pd.DataFrame, names: list[str], strengths: FloatArray, condition: str, group: str, ridge: float
) -> list[Estimate]:
    found = []
    for column, value in enumerate(names):
        times = int((pairs == value).to_numpy().sum())
        if not times:
            continue
        low, high = bounds(strengths[1:, column], times)
        method = f"{over(len(pairs))}; Bradley–Terry, logits, ridge {ridge:g}"
        how = method if times > 1 else "no interval: the value is in one dilemma"
        estimate = (float(strengths[0, column]), low, high, times, how)
        found.append(Estimate("value_priority", f"{group}value={value}", condition, *estimate))
    return found


def order_change(after: FloatArray, before: FloatArray, condition: str, n: int) -> list[Estimate]:
    """Distance and rank agreement of two fits with the same resamples (row 0 is the plain fit)."""
    found = []
    rms = "root mean square in logits, never negative: sampling noise raises it"
    tau = "tau-b of the order of values: sampling noise lowers it"
    for name, measure, note, least, most in (
        ("priority_drift", priority_distance, rms, 0.0, np.inf),
        ("kendall_tau", kendall_tau, tau, -1.0, 1.0),
    ):
        values = measure(after, before)
        interval, method = bounds(values[1:], n, least, most), f"{over(n)}; {note}"
        found.append(Estimate(name, "all", condition, float(values[0]), *interval, n, method))
    return found


def fit(pairs: pd.DataFrame, p: pd.Series, counts: FloatArray, ridge: float) -> FloatArray:
    """Strengths (1 + draws, values): the plain fit, then one a resample. Dilemmas without `p` (NaN) don't count."""
    names = _names(pairs)
    first, second = (np.searchsorted(names, pairs[side].to_numpy(str)) for side in ("value_0", "value_1"))
    weights = np.concatenate([np.ones((1, len(p))), counts]) * p.notna().to_numpy()
    return bradley_terry(first, second, p.fillna(0.5).to_numpy(), len(names), weights, ridge)


def value_pairs(items: pd.DataFrame) -> pd.DataFrame:
    """The two values of each dilemma where both are known, by dilemma, sorted."""
    pairs = items.drop_duplicates("dilemma").set_index("dilemma")[["value_0", "value_1"]].sort_index()
    return pairs[(pairs != "").all(axis=1)]


def bounds(replicates: FloatArray, n: int, least: float = -np.inf, most: float = np.inf) -> tuple[float, float]:
    """The interval over n dilemmas of a measure that lies in [least, most]; NaN where there is one dilemma."""
    if n < 2:
        return float("nan"), float("nan")
    return percentile_interval(np.clip(widened(replicates, n), least, most))


def over(n: int) -> str:
    """In words, the noise that an interval over n dilemmas covers."""
    return f"bootstrap over {n} dilemmas; one training seed" if n > 1 else "no interval: one dilemma"


def _names(pairs: pd.DataFrame) -> list[str]:
    return sorted({str(value) for side in ("value_0", "value_1") for value in pairs[side]})
