"""Two audits that asked one arm the same item of the same country: are the answers the same, beyond sampling?

Per item x country the Jensen-Shannon divergence of both audits' distributions (in bits), and what the chance of few
participants or respondents adds to it: `1 / (8 ln 2) * sum of variance(mean share) / share` over the options, for any
side that is a mean over persons (the delta method of `eval.panels`, with the persons' own variance in place of a
multinomial's). Their difference, the excess, is 0 on average where both audits say the same of the country.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from data.value_axes import Axis, ValueAxes
from eval.agreement.readings import Contrast, Placed, contrast
from eval.agreement.units import Source, unit_table
from eval.bootstrap import FEWEST, cluster_counts, percentile_interval, widened
from eval.distances import FloatArray, js_divergence

LEAST_UNITS = 6
"""A correlation over fewer item x country is left undefined."""
_SHARED = Source("both", "country")
Scales = Mapping[str, tuple[float, ...] | None]


def by_country(answers: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, item and country: the mean `p`, and `noise`, the bits that the persons' number adds to its
    divergence from anything; 0 where the answer is nobody's own, NaN where it is one person's.
    """
    rows = []
    for keys, part in answers.groupby(["seed", "draw", "item", "country"], sort=True):
        stacked = np.stack(part["p"].to_list())
        mean = stacked.mean(axis=0)
        noise = 0.0 if (part["who"] == "").all() else _noise(stacked, mean)
        rows.append({**dict(zip(("seed", "draw", "item", "country"), keys, strict=True)), "p": mean, "noise": noise})
    return pd.DataFrame(rows)


def _noise(persons: FloatArray, mean: FloatArray) -> float:
    if len(persons) < 2:
        return float("nan")
    variance = persons.var(axis=0, ddof=1) / len(persons)
    return float((variance[mean > 0] / mean[mean > 0]).sum() / (8 * np.log(2)))


def same_questions(
    first: pd.DataFrame, second: pd.DataFrame, axes: ValueAxes, scales: Scales, draws: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Rows axis ("" for all items), measure, value, low, high, n, method for two sources' answers of one arm; empty
    where they share no item x country.

    `js_distance` (mean, in [0, 1]), `js_from_sampling` (the distance that sampling alone makes), `js_excess` (bits; may
    be negative by chance), and over item x country the Pearson `correlation` of expected positions and
    `correlation_within_items`, the items' means taken out, which is what is left for countries. Simulated
    (items, countries or single answers that vary most; true correlations of 0, 0.6 and 0.9), 95% intervals of
    correlations cover 98 to 100% with 3 x 5 to 5 x 10 items and countries, so that they are too wide there, and 90 to
    100% with 12 x 25, least where items vary most. The delta method on Fisher's z is narrower, and covers as little as
    82% there.
    """
    keys = ["seed", "draw", "item", "country"]
    both = by_country(first).merge(by_country(second), on=keys, suffixes=("_1", "_2"))
    both = both[[len(a) == len(b) for a, b in zip(both["p_1"], both["p_2"], strict=True)]]
    if both.empty:
        return []
    divergence = np.array([float(js_divergence(a, b)) for a, b in zip(both["p_1"], both["p_2"], strict=True)])
    noise = both["noise_1"].to_numpy() + both["noise_2"].to_numpy()
    found = []
    for measure, values in (
        ("js_distance", np.sqrt(divergence)),
        ("js_from_sampling", np.sqrt(noise)),
        ("js_excess", divergence - noise),
    ):
        table = unit_table(both.assign(value=values).dropna(subset="value"), "country")
        if len(table):
            made = contrast([[(Placed(table, _SHARED), 1.0)]], draws, rng)
            if measure != "js_excess":
                made = replace(made, low=float(np.maximum(made.low, 0)), high=float(np.maximum(made.high, 0)))
            found.append(_row("", measure, made))
        else:
            why = "undefined: one person for every item and country, so that sampling noise is unknown"
            found.append(_row("", measure, Contrast(np.nan, np.nan, np.nan, 0, why, np.empty(0))))
    mean = both.groupby(["item", "country"], sort=True)[["p_1", "p_2"]].agg(
        lambda part: np.mean(np.stack(part), axis=0)
    )
    for axis in (None, *axes.axes):
        found += _correlations(mean.reset_index(), axis, axes, scales, draws, rng)
    return found


def _correlations(
    both: pd.DataFrame, axis: Axis | None, axes: ValueAxes, scales: Scales, draws: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    places = [_places(item, len(p), axis, axes, scales) for item, p in zip(both["item"], both["p_1"], strict=True)]
    rows = both[[place is not None for place in places]]
    if rows.empty:
        return []
    known = [place for place in places if place is not None]
    x, y = (np.array([np.dot(p, place) for p, place in zip(rows[name], known, strict=True)]) for name in ("p_1", "p_2"))
    item, items = pd.factorize(rows["item"])
    country, countries = pd.factorize(rows["country"])
    counts = [
        cluster_counts(len(names), draws, rng) if len(names) >= FEWEST else np.ones((draws, len(names)))
        for names in (items, countries)
    ]
    weights = counts[0][:, item] * counts[1][:, country]
    drawn = [
        f"{len(names)} {word}" for names, word in ((items, "items"), (countries, "countries")) if len(names) >= FEWEST
    ]
    method = f"Pearson over item × country; bootstrap over {' and '.join(drawn)}" if drawn else "no interval: few units"
    fewest = min((len(names) for names in (items, countries) if len(names) >= FEWEST), default=FEWEST)
    found = []
    for measure, group in (("correlation", None), ("correlation_within_items", item)):
        several = np.ones(len(x), dtype=bool) if group is None else np.bincount(item)[item] > 1
        freedom = int(several.sum()) - (0 if group is None else len(set(item[several])) - 1)
        if freedom < LEAST_UNITS:
            why = f"undefined: fewer than {LEAST_UNITS} item × country to correlate"
            made = Contrast(np.nan, np.nan, np.nan, int(several.sum()), why, np.empty(0))
        else:
            part = None if group is None else group[several]
            value = float(_pearson(x[several], y[several], np.ones((1, int(several.sum()))), part)[0])
            replicates = _pearson(x[several], y[several], weights[:, several], part) if drawn else np.empty(0)
            low, high = percentile_interval(np.clip(widened(replicates, fewest), -1, 1))
            made = Contrast(value, low, high, int(several.sum()), method, replicates)
        found.append(_row(axis.name if axis else "", measure, made))
    return found


def _places(item: str, options: int, axis: Axis | None, axes: ValueAxes, scales: Scales) -> FloatArray | None:
    """On an axis; without one, on the item's own scale from its first to its last option, -1 to 1."""
    if item not in scales:
        return None
    scale = scales[item]
    if axis is not None:
        return axes.toward(axis, item, options, scale)
    if scale is None:
        return None
    places = np.asarray(scale)
    return np.asarray(2 * (places - places[0]) / (places[-1] - places[0]) - 1)


def _pearson(x: FloatArray, y: FloatArray, weights: FloatArray, group: FloatArray | None) -> FloatArray:
    """Weighted correlation under each row of weights (draws, n), means taken out by `group` where given: (draws,).

    NaN where a side does not vary.
    """
    groups = np.zeros(len(x), dtype=np.int64) if group is None else np.unique(group, return_inverse=True)[1]
    member = np.eye(int(groups.max()) + 1)[groups]
    total = weights @ member

    def centred(values: FloatArray) -> FloatArray:
        means = np.divide((weights * values) @ member, total, out=np.zeros_like(total), where=total > 0)
        return np.asarray(values - means @ member.T)

    a, b = centred(x), centred(y)
    product, size = (weights * a * b).sum(axis=1), (weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1)
    varies = size > 1e-20
    ratio = np.divide(
        product, np.sqrt(size, where=varies, out=np.ones_like(size)), where=varies, out=np.full(len(size), np.nan)
    )
    return np.asarray(np.clip(ratio, -1, 1))


def _row(axis: str, measure: str, made: Contrast) -> dict[str, Any]:
    return {
        "axis": axis, "measure": measure, "value": made.value, "low": made.low, "high": made.high, "n": made.n,
        "method": made.method,
    }  # fmt: skip
