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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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


QUANTITIES = (*BETWEEN, *WITHIN)


class Replicated(NamedTuple):
    """An estimate with the bootstrap replicates behind its interval (NaN where a replicate is undefined)."""

    estimate: Estimate
    replicates: FloatArray


@dataclass(frozen=True)
class Together:
    """A quantity of several arms, on the same questions and countries and under the same draws of them: `values`
    (arms,), each the mean over the arm's `cells`. `resampled` is None where there is no interval, and `units` are what
    a quantity that is a mean over item x country is made of.
    """

    name: str
    values: FloatArray
    n: int
    method: str
    cells: tuple[Mapping[Level, float], ...]
    resampled: Resampled | FloatArray | None
    units: tuple[Units, ...] = ()

    def replicates(self, contrast: Sequence[float], rng: np.random.Generator) -> FloatArray:
        """Replicates of `sum contrast * arm`, (draws,); empty where there is no interval."""
        if self.resampled is None:
            return np.empty(0)
        if isinstance(self.resampled, Resampled):
            return self.resampled.replicates(contrast, rng)
        inner = np.tensordot(contrast, self.resampled, axes=1)
        return np.asarray(inner + outer_noise(self.cells, contrast, len(inner), rng))


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
        estimates += [_alone(one, str(condition), group, rng) for one in _measured([{(0, 0): part}], rng, draws)]
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
    """First arm minus second for each quantity, condition and stratum, as `variation_contrasts`."""
    tables = [*first.values(), *second.values()]
    settings = set.intersection(*({*zip(t["condition"], t["stratum"], strict=True)} for t in tables))
    return [
        one
        for condition, stratum in sorted(settings)
        for one in variation_contrasts([first, second], [1.0, -1.0], condition, stratum, rng, draws)
    ]


def variation_contrasts(
    arms: Sequence[Cells],
    contrast: Sequence[float],
    condition: str,
    stratum: str,
    rng: np.random.Generator,
    draws: int = DRAWS,
    names: Collection[str] = QUANTITIES,
) -> list[Replicated]:
    """`sum contrast * arm` of the quantities `names` in one condition and stratum, paired: all arms are measured on the
    questions and groups that all cells have, under the same draws of items and countries (and of cells, where they have
    the same ones). A quantity that is not there has no row.
    """
    found = []
    for one in variation_of(arms, condition, stratum, rng, draws, names):
        replicates = one.replicates(contrast, rng)
        bounds = percentile_interval(replicates) if len(replicates) else (float("nan"), float("nan"))
        value, group = float(np.dot(contrast, one.values)), stratum_group(stratum)
        found.append(Replicated(Estimate(one.name, group, condition, value, *bounds, one.n, one.method), replicates))
    return found


def variation_of(
    arms: Sequence[Cells],
    condition: str,
    stratum: str,
    rng: np.random.Generator,
    draws: int = DRAWS,
    names: Collection[str] = QUANTITIES,
) -> list[Together]:
    """The quantities `names` of several arms, as measured together for any contrast of them."""
    tables = [
        table[(table["condition"] == condition) & (table["stratum"] == stratum)]
        for arm in arms
        for table in arm.values()
    ]
    rows = [pd.MultiIndex.from_frame(table[[*ROW]]) for table in tables]
    common = rows[0]
    for other in rows[1:]:
        common = common.intersection(other)
    if len(common) == 0:
        return []
    kept = iter([table[index.isin(common)] for table, index in zip(tables, rows, strict=True)])
    return _measured([{level: next(kept) for level in arm} for arm in arms], rng, draws, names)


def _measured(
    arms: Sequence[Cells], rng: np.random.Generator, draws: int, names: Collection[str] = QUANTITIES
) -> list[Together]:
    """Between countries on the questions asked widely, if there are any; within countries on all."""
    found: list[Together] = []
    for own, least in ((BETWEEN, LEAST_COUNTRIES), (WITHIN, 1)):
        sides = [{cell: widely_asked(table, least) for cell, table in arm.items()} for arm in arms]
        wanted = [name for name in own if name in names]
        if not wanted or any(table.empty for side in sides for table in side.values()):
            continue
        panels = [{cell: Panel.of(table) for cell, table in side.items()} for side in sides]
        found += [_together(name, panels, rng, draws) for name in wanted]
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


def _together(name: str, arms: Sequence[Mapping[Level, Panel]], rng: np.random.Generator, draws: int) -> Together:
    """A quantity of arms whose panels all have the same items and countries; one arm is a variant by itself."""
    panel = next(iter(arms[0].values()))
    known = [list(arm) for arm in arms] if len(arms) > 1 else []
    sizes, paired = (len(panel.items), len(panel.countries)), "paired " if len(arms) > 1 else ""
    groups = int((~np.isnan(panel.people_mode)).sum())
    statistic, over, n = {
        "between_ratio": (between_ratio, None, int((~np.isnan(panel.people_js)).sum()) // 2),
        "between_structure": (between_structure, None, _country_pairs(panel)),
        "within_ratio": (within_ratio, ("model_entropy", "people_entropy"), groups),
        "mode_share": (mode_share, ("model_mode", None), groups),
    }[name]
    cells = [{level: float(statistic(one)[0]) for level, one in arm.items()} for arm in arms]
    values = np.array([np.mean(list(arm.values())) for arm in cells])
    units = [] if over is None else [_units(arm, *over) for arm in arms]
    method = paired + (describe(*sizes, known, *clusters_worth(units[0])) if units else describe(*sizes, known))
    resampled: Resampled | FloatArray | None = None
    if np.isfinite(values).all() and "no interval" not in method:
        resample = _spread_draws if name == "between_ratio" else _structure_draws
        resampled = Resampled.of(units, draws, rng) if units else resample(arms, rng, draws)
    if name == "between_structure":
        method += "; plain percentiles"
    if name == "between_ratio" and panel.without_n:
        method += f"; people's noise not removed in {panel.without_n} groups without n"
    return Together(name, values, n, method, tuple(cells), resampled, tuple(units))


def _alone(one: Together, condition: str, group: str, rng: np.random.Generator) -> Estimate:
    """The estimate of a single arm's quantity, its interval within what the quantity can be."""
    value, low, high = float(one.values[0]), float("nan"), float("nan")
    if len(replicates := one.replicates([1.0], rng)):
        low, high = percentile_interval(replicates)
        if one.name == "mode_share":
            low, high = share_interval(value, low, high, one.units[0])
        elif one.name != "between_structure":  # noise removed may leave less than nothing
            low = max(low, min(value, 0.0))
    return Estimate(one.name, group, condition, value, low, high, one.n, one.method)


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
