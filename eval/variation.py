"""Does the model preserve cultural variation? Three quantities, reported apart; people score 1 by construction.

    between_ratio      spread between countries: mean pairwise Jensen-Shannon divergence, model over people, averaged
                       over questions; sampling noise is removed on both sides
    between_structure  Spearman correlation of the model's and people's country-by-country distances (Mantel 1967)
    within_ratio       dispersion within countries: mean entropy, model over people
    mode_share         share of item x group with over 0.9 on one option (0 to 1; people's beside it)

The surprise: a model can gain one and lose another, and one that answers the same for every country has between_ratio
0. Our design (no source measures all three).

Intervals are those of `eval.bootstrap` (between_ratio without its shrinking: too wide where single answers are noisy),
but between_structure has plain percentiles of both resampled at once: a correlation has bounds. Few questions pull it
towards 0 (simulated: 0.90 with 12 questions where many give 0.99) and resampled ones more so: its interval is too wide
for what audits of this size give and says nothing of larger ones. `tests/eval/test_coverage.py` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from eval.bootstrap import (
    DRAWS,
    FEWEST,
    Resampled,
    cluster_counts,
    clusters_worth,
    describe,
    percentile_interval,
    widening,
)
from eval.distances import FloatArray
from eval.outer_levels import Level, outer_noise
from eval.panels import LEAST_COUNTRIES, ROW, Panel, stratum_group, widely_asked
from eval.records import Estimate
from eval.summaries import share_interval
from eval.units import Units
from eval.variation_measures import (
    PERMUTATIONS,
    between_ratio,
    between_structure,
    by_item,
    mantel_p,
    mode_share,
    within_ratio,
)

BETWEEN = ("between_ratio", "between_structure")
WITHIN = ("within_ratio", "mode_share")
STRUCTURE_DRAWS = 2_000


class Replicated(NamedTuple):
    """An estimate with the bootstrap replicates behind its interval (NaN where a replicate is undefined)."""

    estimate: Estimate
    replicates: FloatArray


Cells = Mapping[Level, pd.DataFrame]
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
    units, low, high = _units({(0, 0): panel}, "people_mode", None), float("nan"), float("nan")
    method = describe(len(panel.items), len(panel.countries), (), *clusters_worth(units))
    if not method.startswith("no interval"):
        low, high = percentile_interval(Resampled.of([units], draws, rng).replicates([1.0], rng))
        low, high = share_interval(units.value, low, high, units)
    n = int((~np.isnan(panel.people_mode)).sum())
    return Estimate("mode_share", group, "reference:people", units.value, low, high, n, method)


def _units(arm: Mapping[Level, Panel], over: str, under: str | None) -> Units:
    """The ratio of two fields of the cells' panels, summed over items x countries; `under` None counts the groups."""
    panel = next(iter(arm.values()))
    fields = [
        (getattr(one, over), getattr(one, under) if under else np.ones_like(one.people_mode)) for one in arm.values()
    ]
    sums, counts = (
        np.stack([by_item(one, pair[side]) for one, pair in zip(arm.values(), fields, strict=True)]) for side in (0, 1)
    )
    return Units(sums, counts, panel.items, panel.countries, tuple(arm), cells_known=True)


def _replicated(
    names: tuple[str, ...],
    first: Mapping[Level, Panel],
    second: Mapping[Level, Panel] | None,
    condition: str,
    group: str,
    rng: np.random.Generator,
    draws: int,
) -> list[Replicated]:
    """Each quantity of an arm, or its difference to a second arm; all panels have the same items and countries."""
    panel = next(iter(first.values()))
    arms, contrast = ([first], [1.0]) if second is None else ([first, second], [1.0, -1.0])
    known = [] if second is None else [list(arm) for arm in arms]
    sizes, paired = (len(panel.items), len(panel.countries)), "" if second is None else "paired "
    covered = paired + describe(*sizes, known)
    groups = int((~np.isnan(panel.people_mode)).sum())
    found = []
    for name in names:
        statistic, over, n = {
            "between_ratio": (between_ratio, None, int((~np.isnan(panel.people_js)).sum()) // 2),
            "between_structure": (between_structure, None, _country_pairs(panel)),
            "within_ratio": (within_ratio, ("model_entropy", "people_entropy"), groups),
            "mode_share": (mode_share, ("model_mode", None), groups),
        }[name]
        cells = [{level: float(statistic(one)[0]) for level, one in arm.items()} for arm in arms]
        value = float(np.dot(contrast, [np.mean(list(arm.values())) for arm in cells]))
        units = [] if over is None else [_units(arm, *over) for arm in arms]
        method = covered if over is None else paired + describe(*sizes, known, *clusters_worth(units[0]))
        low, high, replicates = float("nan"), float("nan"), np.empty(0)
        if np.isfinite(value) and "no interval" not in method:
            if over is not None:
                replicates = Resampled.of(units, draws, rng).replicates(contrast, rng)
            else:
                resample = _spread_draws if name == "between_ratio" else _structure_draws
                inner = np.tensordot(contrast, resample(arms, rng, draws), axes=1)
                replicates = inner + outer_noise(cells, contrast, len(inner), rng)
            low, high = percentile_interval(replicates)
            if second is None and name == "mode_share":
                low, high = share_interval(value, low, high, units[0])
            elif second is None and name != "between_structure":  # noise removed may leave less than nothing
                low = max(low, min(value, 0.0))
        if name == "between_structure":
            method += "; plain percentiles"
        if name == "between_ratio" and panel.without_n:
            method += f"; people's noise not removed in {panel.without_n} groups without n"
        found.append(Replicated(Estimate(name, group, condition, value, low, high, n, method), replicates))
    return found


def _spread_draws(arms: Sequence[Mapping[Level, Panel]], rng: np.random.Generator, draws: int) -> FloatArray:
    """Replicates of each arm's mean `between_ratio`, (arms, draws): items and countries in turn, as in `Resampled`."""
    panel = next(iter(arms[0].values()))
    items, countries = _draw(panel, rng, draws)
    wide = [widening(size) if (size := len(side)) >= FEWEST else 0.0 for side in (panel.items, panel.countries)]

    def replicates(one: Panel) -> FloatArray:
        value = between_ratio(one)
        by_item, by_country = between_ratio(one, items=items) - value, between_ratio(one, countries=countries) - value
        return np.asarray(value + wide[0] * by_item + wide[1] * by_country)

    return np.stack([np.mean([replicates(one) for one in arm.values()], axis=0) for arm in arms])


def _structure_draws(arms: Sequence[Mapping[Level, Panel]], rng: np.random.Generator, draws: int) -> FloatArray:
    """Replicates of each arm's mean `between_structure`, (arms, draws), items and countries at once: a correlation has
    bounds, beyond which a sum of widened parts would lie.
    """
    items, countries = _draw(next(iter(arms[0].values())), rng, min(draws, STRUCTURE_DRAWS))
    return np.stack(
        [np.mean([between_structure(one, items, countries) for one in arm.values()], axis=0) for arm in arms]
    )
