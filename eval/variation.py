"""Does the model preserve cultural variation? Three quantities, reported apart; people score 1 by construction.

    between_ratio      spread between countries: mean pairwise Jensen-Shannon divergence, model over people, averaged
                       over questions; sampling noise is removed on both sides
    between_structure  Spearman correlation of the model's and people's country-by-country distances (Mantel 1967)
    within_ratio       dispersion within countries: mean entropy, model over people
    mode_share         share of item x group with over 0.9 on one option (0 to 1; people's beside it)

The surprise: a model can gain one and lose another, and one that answers the same for every country has between_ratio
0. Our design (no source measures all three). A bootstrap draw weighs items and countries by how often they were drawn;
two copies of one country make no pair, so that they don't count as a distance of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.bootstrap import DRAWS, cluster_counts, describe, level_counts, percentile_interval
from eval.distances import FloatArray
from eval.panels import LEAST_COUNTRIES, ROW, Panel, stratum_group, widely_asked
from eval.records import Estimate
from eval.structure import complete, mantel, mean_distances, spearman

IntArray = npt.NDArray[np.int64]
BETWEEN = ("between_ratio", "between_structure")
WITHIN = ("within_ratio", "mode_share")
STRUCTURE_DRAWS = 2_000
PERMUTATIONS = 9_999
_CHUNK = 2_000_000


class Replicated(NamedTuple):
    """An estimate with the bootstrap replicates behind its interval (NaN where a replicate is undefined)."""

    estimate: Estimate
    replicates: FloatArray


def between_ratio(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Mean pairwise divergence between countries, model over people, under cluster counts (draws, ...): (draws,).

    Without counts the plain estimate, shape (1,). NaN where people's spread is not above their sampling noise.
    """
    item_counts, country_counts = _counts(panel, items, countries)
    model, people, total = (np.zeros(len(item_counts)) for _ in range(3))
    pairs_of: dict[bytes, FloatArray] = {}
    for g, item in enumerate(panel.item_of):
        there = ~np.isnan(panel.people_spread[g])
        if not there.any():
            continue
        key = there.tobytes()
        if key not in pairs_of:
            pairs_of[key] = _pair_sum(there.astype(np.float64), country_counts)
        drawn = pairs_of[key]
        weight = np.where(drawn > 0, item_counts[:, item], 0.0)
        share = weight / np.where(drawn > 0, drawn, 1.0)
        model += share * _pair_sum(np.nan_to_num(panel.model_spread[g]), country_counts)
        people += share * _pair_sum(np.nan_to_num(panel.people_spread[g]), country_counts)
        total += weight
    return np.asarray(np.divide(model, people, out=np.full(len(model), np.nan), where=(total > 0) & (people > 0)))


def _pair_sum(matrix: FloatArray, counts: FloatArray) -> FloatArray:
    return np.asarray(((counts @ matrix) * counts).sum(axis=1) / 2)


def within_ratio(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Mean entropy of the model over that of people, shape (draws,); NaN where people's is 0."""
    model = _cell_sum(panel, panel.model_entropy, items, countries)
    people = _cell_sum(panel, panel.people_entropy, items, countries)
    return np.asarray(np.divide(model, people, out=np.full(len(model), np.nan), where=people > 0))


def mode_share(
    panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None, *, people: bool = False
) -> FloatArray:
    """Share of item x group whose largest share is over 0.9, of the model or of `people`, shape (draws,), in [0, 1]."""
    total = _cell_sum(panel, np.ones_like(panel.model_mode), items, countries)
    mode = _cell_sum(panel, panel.people_mode if people else panel.model_mode, items, countries)
    return np.asarray(np.divide(mode, total, out=np.full(len(mode), np.nan), where=total > 0))


def _cell_sum(panel: Panel, values: FloatArray, items: FloatArray | None, countries: FloatArray | None) -> FloatArray:
    item_counts, country_counts = _counts(panel, items, countries)
    there = np.where(np.isnan(panel.people_entropy), 0.0, values)
    by_item = np.zeros((len(panel.items), len(panel.countries)))
    np.add.at(by_item, panel.item_of, there)
    return np.asarray(((item_counts @ by_item) * country_counts).sum(axis=1))


def _counts(panel: Panel, items: FloatArray | None, countries: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    draws = len(items) if items is not None else len(countries) if countries is not None else 1
    return (
        np.ones((draws, len(panel.items))) if items is None else items,
        np.ones((draws, len(panel.countries))) if countries is None else countries,
    )


def between_structure(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Spearman correlation of the model's and people's distances over country pairs, in [-1, 1], shape (draws,).

    A pair's distance is the mean of `js_distance` over the questions both countries were asked, each question centred
    on its own mean, so that pairs that were asked different questions compare (without missing questions this changes
    no rank). NaN with fewer than four countries and where one side does not vary.
    """
    item_counts, country_counts = _counts(panel, items, countries)
    upper = np.triu_indices(len(panel.countries), 1)
    correlation = np.full(len(item_counts), np.nan)
    if len(panel.countries) < 4:
        return correlation
    model, people, there = _pair_distances(panel, upper)
    questions = item_counts[:, panel.item_of]
    step = max(1, _CHUNK // len(upper[0]))
    for start in range(0, len(questions), step):
        part = slice(start, start + step)
        asked = questions[part] @ there
        weight = country_counts[part][:, upper[0]] * country_counts[part][:, upper[1]] * (asked > 0)
        divisor = np.where(asked > 0, asked, 1.0)
        correlation[part] = spearman(questions[part] @ model / divisor, questions[part] @ people / divisor, weight)
    return correlation


def _pair_distances(panel: Panel, upper: tuple[IntArray, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centred js distances of the model and of people, and which are there, each (questions, pairs); 0 if not there."""
    sides = []
    for js in (panel.model_js, panel.people_js):
        pairs = np.sqrt(js[:, upper[0], upper[1]])
        count = np.maximum((~np.isnan(pairs)).sum(axis=1, keepdims=True), 1)
        sides.append(np.nan_to_num(pairs - np.nansum(pairs, axis=1, keepdims=True) / count))
    return sides[0], sides[1], (~np.isnan(panel.people_js[:, upper[0], upper[1]])).astype(np.float64)


def mantel_p(panel: Panel, rng: np.random.Generator, permutations: int = PERMUTATIONS) -> float:
    """One-sided p-value of `between_structure` with the model's countries permuted, in (0, 1].

    Over the countries that share a question with every other kept country. NaN with fewer than four of these.
    """
    model, people = (mean_distances(np.sqrt(js)) for js in (panel.model_js, panel.people_js))
    keep = complete(people)
    return mantel(model[np.ix_(keep, keep)], people[np.ix_(keep, keep)], rng, permutations)[1]


Cells = Mapping[tuple[int, int], pd.DataFrame]
"""The answers tables of an arm's cells by (seed, data draw)."""


def variation(
    answers: pd.DataFrame, rng: np.random.Generator, draws: int = DRAWS, permutations: int = PERMUTATIONS
) -> list[Estimate]:
    """The four quantities for each condition and stratum of one variant's answers, with intervals over items and
    countries.

    People's `mode_share` is the row with condition "reference:people", and the Mantel p-value is `between_structure_p`.
    """
    estimates = []
    for (condition, stratum), part in answers.groupby(["condition", "stratum"], sort=True):
        group, panel = stratum_group(str(stratum)), Panel.of(part)
        estimates += [one.estimate for one in _measured({(0, 0): part}, None, str(condition), group, rng, draws)]
        if not any(found.condition == "reference:people" and found.group == group for found in estimates):
            estimates.append(_mode_share_of_people(panel, group, rng, draws))
        rows = widely_asked(part)
        if rows.empty:
            continue
        wide = Panel.of(rows)
        p = mantel_p(wide, rng, permutations)
        pairs, nan = _country_pairs(wide), float("nan")
        how = f"Mantel test, {permutations} permutations of countries, one-sided"
        estimates.append(Estimate("between_structure_p", group, str(condition), p, nan, nan, pairs, how))
    return estimates


def variation_differences(
    first: Cells, second: Cells, rng: np.random.Generator, draws: int = DRAWS
) -> list[Replicated]:
    """First arm minus second for each quantity, condition and stratum, paired: both are measured on the questions and
    groups that all cells have, under the same draws of items and countries (and of cells, where they have the same
    ones).
    """
    found: list[Replicated] = []
    tables = [*first.values(), *second.values()]
    settings = set.intersection(*({*zip(t["condition"], t["stratum"], strict=True)} for t in tables))
    for condition, stratum in sorted(settings):
        parts = [t[(t["condition"] == condition) & (t["stratum"] == stratum)] for t in tables]
        rows = [pd.MultiIndex.from_frame(part[[*ROW]]) for part in parts]
        common = rows[0]
        for other in rows[1:]:
            common = common.intersection(other)
        if len(common) == 0:
            continue
        parts = [part[index.isin(common)] for part, index in zip(parts, rows, strict=True)]
        a = dict(zip(first, parts[: len(first)], strict=True))
        b = dict(zip(second, parts[len(first) :], strict=True))
        found += _measured(a, b, condition, stratum_group(stratum), rng, draws)
    return found


def _measured(
    first: Cells, second: Cells | None, condition: str, group: str, rng: np.random.Generator, draws: int
) -> list[Replicated]:
    """Between countries on the questions asked widely, if there are any; within countries on all."""
    found: list[Replicated] = []
    for names, least in ((BETWEEN, LEAST_COUNTRIES), (WITHIN, 1)):
        sides = [
            {cell: widely_asked(table, least) for cell, table in side.items()}
            for side in (first, second)
            if side is not None
        ]
        if any(table.empty for side in sides for table in side.values()):
            continue
        panels = [{cell: Panel.of(table) for cell, table in side.items()} for side in sides]
        found += _replicated(names, panels[0], panels[1] if second is not None else None, condition, group, rng, draws)
    return found


def _country_pairs(panel: Panel) -> int:
    return int((~np.isnan(panel.people_js)).any(axis=0).sum()) // 2


def _draw(panel: Panel, rng: np.random.Generator, draws: int) -> tuple[FloatArray, FloatArray]:
    return cluster_counts(len(panel.items), draws, rng), cluster_counts(len(panel.countries), draws, rng)


def _mode_share_of_people(panel: Panel, group: str, rng: np.random.Generator, draws: int) -> Estimate:
    value = float(mode_share(panel, people=True)[0])
    low = high = float("nan")
    if len(panel.items) > 1 or len(panel.countries) > 1:
        low, high = percentile_interval(mode_share(panel, *_draw(panel, rng, draws), people=True))
    n, method = int((~np.isnan(panel.people_mode)).sum()), describe(len(panel.items), len(panel.countries))
    return Estimate("mode_share", group, "reference:people", value, low, high, n, method)


def _replicated(
    names: tuple[str, ...],
    first: Mapping[tuple[int, int], Panel],
    second: Mapping[tuple[int, int], Panel] | None,
    condition: str,
    group: str,
    rng: np.random.Generator,
    draws: int,
) -> list[Replicated]:
    """Each quantity of an arm, or its difference to a second arm; all panels have the same items and countries."""
    panel = next(iter(first.values()))
    items, countries = _draw(panel, rng, draws)
    arms = [first] if second is None else [first, second]
    weights = [level_counts(list(arm), draws, rng) for arm in arms]
    if second is not None and list(first) == list(second):
        weights[1] = weights[0]
    shape = (
        len(panel.items),
        len(panel.countries),
        max(len({seed for seed, _ in arm}) for arm in arms) * (second is not None),
        max(len({draw for _, draw in arm}) for arm in arms) * (second is not None),
    )
    cells = int((~np.isnan(panel.people_mode)).sum())
    pairs = int((~np.isnan(panel.people_js)).sum()) // 2
    country_pairs = _country_pairs(panel)
    found = []
    for name, statistic, n in (
        ("between_ratio", between_ratio, pairs),
        ("between_structure", between_structure, country_pairs),
        ("within_ratio", within_ratio, cells),
        ("mode_share", mode_share, cells),
    ):
        if name not in names:
            continue
        kept = min(draws, STRUCTURE_DRAWS) if name == "between_structure" else draws
        values, replicates = [], []
        for arm, weight in zip(arms, weights, strict=True):
            values.append(float(np.mean([statistic(one)[0] for one in arm.values()])))
            each = np.stack([statistic(one, items[:kept], countries[:kept]) for one in arm.values()], axis=1)
            replicates.append((each * weight[:kept]).sum(axis=1) / weight[:kept].sum(axis=1))
        value = values[0] if second is None else values[0] - values[1]
        drawn = replicates[0] if second is None else replicates[0] - replicates[1]
        low, high = float("nan"), float("nan")
        if max(shape) > 1 and np.isfinite(value):
            low, high = percentile_interval(drawn)
        method = ("" if second is None else "paired ") + describe(*shape)
        if name == "between_ratio" and panel.without_n:
            method += f"; people's noise not removed in {panel.without_n} groups without n"
        found.append(Replicated(Estimate(name, group, condition, value, low, high, n, method), drawn))
    return found
