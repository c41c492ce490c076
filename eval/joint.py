"""Several arms' values of one measure under the same resamples of items and countries, and of trainings.

What is compared among many arms at once (ranks, which one is best) needs their noise together: questions that are hard
for one arm are hard for all. The parts are those of `eval.bootstrap`: deviations when items and when countries are
resampled, alike for all arms, with the noise of single units taken out of differences once (where a score folds at a
target, not at all, which is too wide); the noise of training seeds and data draws is Student's t as in
`eval.outer_levels`, drawn together for arms that have the same ones, so that what a seed does to all of them moves no
difference. For any two arms a difference of replicates has the interval of their paired comparison, or a wider one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.bootstrap import Resampled, described
from eval.distances import FloatArray
from eval.outer_levels import Level, describe_levels
from eval.panels import ROW
from eval.two_way import two_way
from eval.units import Units, shared
from eval.variation import Cells, Together, variation_of

CellValues = Mapping[Level, float]


@dataclass(frozen=True)
class Joint:
    """`values` (arms,) over the units that all arms share, `replicates` (draws, arms; no rows where there is no
    interval), `n` units, and the noise covered, or why none is, in words.
    """

    values: FloatArray
    replicates: FloatArray
    n: int
    method: str

    @classmethod
    def without(cls, values: FloatArray, n: int, why: str) -> Joint:
        return cls(values, np.empty((0, len(values))), n, why)


def joint_means(scores: Sequence[pd.DataFrame], rng: np.random.Generator, draws: int, folded: bool = False) -> Joint:
    """Of the mean of unit scores, a table an arm (as `eval.bootstrap.contrasted` takes them, none undefined); `folded`
    where the distance from a target is what counts.
    """
    tables = shared(scores)
    if tables[0].empty:
        return Joint.without(np.full(len(scores), np.nan), 0, "the arms share no unit")
    units = [Units.of(table) for table in tables]
    values, n, method = np.array([one.value for one in units]), int(units[0].counts[0].sum()), described(units)
    if method.startswith("no interval"):
        return Joint.without(values, n, method)
    drawn = Resampled.of(units, draws, rng)
    both = drawn.items.any() and drawn.countries.any()
    inner = (1.0 if folded or not both else _kept(units)) ** 0.5 * (drawn.items + drawn.countries)
    return Joint(values, values + inner + training_noise([one.cells for one in units], draws, rng), n, method)


def joint_variation(
    arms: Sequence[Cells], names: Sequence[str], condition: str, stratum: str, rng: np.random.Generator, draws: int
) -> dict[str, Joint]:
    """Of quantities of `eval.variation` by name, from the arms' answers tables by cell. One arm after the other, under
    the same draws, since the panels of many arms do not fit into memory at once.
    """
    tables = [
        {cell: one[(one["condition"] == condition) & (one["stratum"] == stratum)] for cell, one in arm.items()}
        for arm in arms
    ]
    rows = {
        (at, cell): pd.MultiIndex.from_frame(one[[*ROW]]) for at, arm in enumerate(tables) for cell, one in arm.items()
    }
    common = next(iter(rows.values()))
    for other in rows.values():
        common = common if other.equals(common) else common.intersection(other)
    seed = int(rng.integers(2**63))
    found: dict[str, list[Together]] = {name: [] for name in names}
    for at, arm in enumerate(tables):
        kept = {cell: one[rows[at, cell].isin(common)] for cell, one in arm.items()}
        for one in variation_of([kept], condition, stratum, np.random.default_rng(seed), draws, names):
            found[one.name].append(one)
    return {name: _joined(each, len(arms), rng, draws) for name, each in found.items()}


def _joined(found: Sequence[Together], arms: int, rng: np.random.Generator, draws: int) -> Joint:
    if len(found) < arms:
        return Joint.without(np.full(arms, np.nan), 0, "the arms share no question that enough countries answered")
    values, first = np.array([float(one.values[0]) for one in found]), found[0]
    columns = [column for one in found if (column := _replicates(one)) is not None]
    if len(columns) < arms:
        return Joint.without(values, first.n, first.method)
    cells = [one.cells[0] for one in found]
    told = f"{first.method}; {describe_levels([list(one) for one in cells])}"
    return Joint(values, np.stack(columns, axis=1) + training_noise(cells, draws, rng), first.n, told)


def training_noise(cells: Sequence[CellValues], draws: int, rng: np.random.Generator) -> FloatArray:
    """What trainings add to each arm's mean over its cells, (draws, arms); 0 for an arm of one cell.

    `cells` are each arm's values by (seed, data draw). For seeds, and apart from them for data draws, the arms' level
    means are weighted by the same normal numbers and divided by the same root of a chi-square, so that any contrast of
    arms with the same cells is its standard error times Student's t with L - 1 degrees of freedom (L levels).
    """
    noise = np.zeros((draws, len(cells)))
    alike: dict[tuple[Level, ...], list[int]] = {}
    for index, one in enumerate(cells):
        alike.setdefault(tuple(sorted(one)), []).append(index)
    for levels, members in alike.items():
        values = np.array([[cells[index][level] for level in levels] for index in members])
        influence = (values - values.mean(axis=1, keepdims=True)) / len(levels)
        for side in _sides(levels):
            names = sorted({level[side] for level in levels})
            freedom = len(names) - 1
            at = [names.index(level[side]) for level in levels]
            means = np.stack([np.bincount(at, weights=row, minlength=len(names)) for row in influence])
            normal = rng.standard_normal((draws, len(names))) * (len(names) / freedom) ** 0.5
            scale = np.sqrt(freedom / rng.chisquare(freedom, size=(draws, 1)))
            noise[:, members] += scale * (normal @ means.T)
    return noise


def _sides(levels: Sequence[Level]) -> list[int]:
    """Which of seeds (0) and data draws (1) vary. Where every seed has a draw of its own they vary as one."""
    numbers = [len({level[side] for level in levels}) for side in (0, 1)]
    varying = [side for side in (0, 1) if numbers[side] > 1]
    return varying[:1] if numbers == [len(levels)] * 2 else varying


def _replicates(one: Together) -> FloatArray | None:
    """An arm's replicates over items and countries, (draws,)."""
    if isinstance(one.resampled, Resampled):
        return np.asarray(one.values[0] + (one.resampled.items + one.resampled.countries)[:, 0])
    return None if one.resampled is None else np.asarray(one.resampled[0])


def _kept(units: Sequence[Units]) -> float:
    """The share of the variance to keep so that single units' noise counts once, the largest of any difference."""
    influence = [one.influence for one in units]
    return max((two_way(one - other)[2] for one, other in itertools.combinations(influence, 2)), default=1.0)
