"""One arm's estimates from its cells: seeds and data draws are outer levels of noise.

One cell: its own estimates. Several: the mean over cells. Where an estimate is the mean of unit scores the interval is
bootstrapped over items and countries from these; elsewhere that noise is taken as normal, as wide as the cells' own
intervals on average. The noise between cells is added to both alike (`eval.outer_levels`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import norm

from eval.bootstrap import Interval, mean_interval, percentile_interval
from eval.cells import Arm
from eval.outer_levels import Level, describe_levels, outer_noise
from eval.records import PERSON, Estimate
from eval.summaries import within_scale

Key = tuple[str, str, str]


def pooled_estimates(
    arm: Arm, audit: str, rng: np.random.Generator, draws: int, keep: Callable[[Estimate], bool] = lambda one: True
) -> list[Estimate]:
    """The arm's estimates of an audit, those that `keep` wants. An estimate that some cell lacks is left out."""
    cells = [[one for one in cell.estimates(audit) if keep(one)] for cell in arm.cells]
    if len(cells) == 1:
        return cells[0]
    levels = levels_of(arm)
    return [
        _from_scores(found, arm, audit, rng, draws) or mean_of_cells(found, levels, audit, rng, draws)
        for found in matched(cells).values()
    ]


def levels_of(arm: Arm) -> list[Level]:
    """(training seed, data draw) of each finished cell."""
    return [(cell.seed, cell.draw) for cell in arm.cells]


def matched(cells: Sequence[Sequence[Estimate]]) -> Mapping[Key, list[Estimate]]:
    """The estimates that all cells have, by (name, group, condition), in the first cell's order."""
    tables = [{(one.name, one.group, one.condition): one for one in estimates} for estimates in cells]
    return {key: [table[key] for table in tables] for key in tables[0] if all(key in table for table in tables)}


def mean_of_cells(
    found: Sequence[Estimate], levels: Sequence[Level], audit: str, rng: np.random.Generator, draws: int
) -> Estimate:
    """The mean over cells of an audit, one estimate a cell, with an interval from their own intervals and the noise
    between them, within the measure's scale; a single cell's estimate as it is. NaN bounds where a cell has no interval
    or an infinite value.
    """
    first = found[0]
    if len(found) == 1:
        return first
    values = [one.value for one in found]
    value, low, high = float(np.mean(values)), float("nan"), float("nan")
    if np.isfinite(values).all():
        own = np.sqrt(np.mean([((one.high - one.low) / 2) ** 2 for one in found])) / norm.ppf(0.975)
        inner = own * norm.ppf((rng.permutation(draws) + 0.5) / draws)
        outer = outer_noise([dict(zip(levels, values, strict=True))], [1.0], draws, rng)
        low, high = percentile_interval(value + inner + outer)
    method = f"mean over {len(found)} cells; own intervals taken as normal; {describe_levels([levels])}; {first.method}"
    interval = within_scale(first.name, Interval(value, low, high, first.n, method), audit)
    return Estimate(first.name, first.group, first.condition, *interval)


def _from_scores(
    found: Sequence[Estimate], arm: Arm, audit: str, rng: np.random.Generator, draws: int
) -> Estimate | None:
    """The estimate from the cells' unit scores; None where it is not their mean, or where units are persons, whose own
    intervals resample them.
    """
    first = found[0]
    try:
        units = arm.units(audit, first.name, first.condition, first.group)
    except ValueError:
        return None
    if units.empty or units["value"].isna().any() or (PERSON in units and (units[PERSON] != "").any()):
        return None
    interval = within_scale(first.name, mean_interval(units, rng, draws), audit)
    if not np.isclose(interval.value, np.mean([one.value for one in found]), rtol=1e-6, atol=1e-9):
        return None
    return Estimate(first.name, first.group, first.condition, *interval)
