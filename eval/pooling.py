"""One arm's estimates from its cells: seeds and data draws are outer levels of noise.

One cell: its own estimates. Several: the mean over cells; where an estimate is the mean of unit scores the interval is
bootstrapped over items, countries, seeds and draws together, elsewhere its variance is the cells' own (from the width
of their intervals) plus the variance between cells over their number, and the interval is normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval.bootstrap import mean_interval
from eval.cells import Arm
from eval.records import Estimate
from eval.summaries import select

_Z = 1.959964
Key = tuple[str, str, str]


def pooled_estimates(arm: Arm, audit: str, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """The arm's estimates of an audit. An estimate that some cell lacks is left out."""
    cells = [cell.estimates(audit) for cell in arm.cells]
    if len(cells) == 1:
        return cells[0]
    scores = arm.scores(audit)
    return [_from_scores(found, scores, rng, draws) or mean_of_cells(found) for found in matched(cells).values()]


def matched(cells: Sequence[Sequence[Estimate]]) -> Mapping[Key, list[Estimate]]:
    """The estimates that all cells have, by (name, group, condition), in the first cell's order."""
    tables = [{(one.name, one.group, one.condition): one for one in estimates} for estimates in cells]
    return {key: [table[key] for table in tables] for key in tables[0] if all(key in table for table in tables)}


def mean_of_cells(found: Sequence[Estimate]) -> Estimate:
    """The mean over cells with a normal interval from the cells' own intervals and their spread."""
    first, values = found[0], np.array([one.value for one in found])
    if len(found) == 1:
        return first
    own = np.mean([((one.high - one.low) / (2 * _Z)) ** 2 for one in found])
    half = float(_Z * np.sqrt(own + values.var(ddof=1) / len(values)))
    value = float(values.mean())
    method = f"mean over {len(found)} cells; normal interval from their own intervals and their spread; {first.method}"
    return Estimate(first.name, first.group, first.condition, value, value - half, value + half, first.n, method)


def _from_scores(
    found: Sequence[Estimate], scores: pd.DataFrame, rng: np.random.Generator, draws: int
) -> Estimate | None:
    """The estimate from the cells' unit scores; None where it is not their mean."""
    first = found[0]
    try:
        units = select(scores, first.name, first.condition, first.group)
    except ValueError:
        return None
    if units.empty or units["value"].isna().any():
        return None
    interval = mean_interval(units, rng, draws)
    if not np.isclose(interval.value, np.mean([one.value for one in found]), rtol=1e-6, atol=1e-9):
        return None
    return Estimate(first.name, first.group, first.condition, *interval)
