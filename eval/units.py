"""Unit scores as matrices over items and countries, and the units that several tables of scores share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import FloatArray
from eval.outer_levels import Level
from eval.records import PERSON, SCORE_KEYS


@dataclass(frozen=True)
class Units:
    """An arm's statistic, a ratio of two sums over items x countries in each cell: the mean of unit scores, or alike.

    `sums` and `counts` are of shape (cells, items, countries): of scores, what they add up to and how many there are.
    `levels` is each cell's (training seed, data draw); `cells_known` is False where nothing is known of cells.
    """

    sums: FloatArray
    counts: FloatArray
    items: tuple[str, ...]
    countries: tuple[str, ...]
    levels: tuple[Level, ...]
    cells_known: bool

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Units:
        """From score rows; columns `seed` and `draw` tell cells apart where they are there. NaN scores are refused."""
        values = scores["value"].to_numpy(dtype=np.float64)
        if np.isnan(values).any():
            raise ValueError(
                f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN: leave undefined units out"
            )
        item, items = pd.factorize(scores["item"], sort=True)
        country, countries = pd.factorize(scores["country"], sort=True)
        levels, cell = _cells(scores)
        shape = (len(levels), len(items), len(countries))
        flat = (cell * shape[1] + item) * shape[2] + country
        size = shape[0] * shape[1] * shape[2]
        return cls(
            sums=np.bincount(flat, weights=values, minlength=size).astype(np.float64).reshape(shape),
            counts=np.bincount(flat, minlength=size).astype(np.float64).reshape(shape),
            items=tuple(str(name) for name in items),
            countries=tuple(str(name) for name in countries),
            levels=tuple((int(seed), int(draw)) for seed, draw in levels),
            cells_known="seed" in scores,
        )

    @property
    def cells(self) -> dict[Level, float]:
        """Each cell's statistic; NaN where its counts sum to 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self.sums.sum(axis=(1, 2)) / self.counts.sum(axis=(1, 2))
        return dict(zip(self.levels, values.tolist(), strict=True))

    @property
    def value(self) -> float:
        """The mean over cells."""
        return float(np.mean(list(self.cells.values())))

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.sums).all())

    @property
    def influence(self) -> FloatArray:
        """By how much each item x country moves the statistic, to first order, (items, countries); sums to 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            cells = np.array(list(self.cells.values()))[:, None, None]
            moved = (self.sums - cells * self.counts) / self.counts.sum(axis=(1, 2), keepdims=True)
        return np.asarray(moved.mean(axis=0))

    def within(self, axis: int) -> tuple[FloatArray, float]:
        """By how much each item (axis 1) or country (axis 2) moves the statistic through its deviations from the means
        of the other side's clusters, which keep their weights: (clusters,), summing to 0; and how many equally large
        clusters they are worth, 0 where no cluster of the other side holds two.
        """
        counts, sums = self.counts.mean(axis=0), self.sums.mean(axis=0)
        if axis == 1:
            counts, sums = counts.T, sums.T
        several = (counts > 0).sum(axis=1) > 1
        kept, own = counts[several], sums[several]
        means = own.sum(axis=1, keepdims=True) / kept.sum(axis=1, keepdims=True)
        weights = kept.sum(axis=0)
        worth = float(weights.sum() ** 2 / (weights**2).sum()) if several.any() else 0.0
        return np.asarray((own - means * kept).sum(axis=0) / counts.sum()), worth

    def under(self, draws: FloatArray, axis: int) -> FloatArray:
        """The statistic where items (axis 1) or countries (axis 2) count `draws` (draws, clusters) times: (draws,).

        NaN where a draw leaves no unit.
        """
        other = 3 - axis
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = (draws @ self.sums.sum(axis=other).T) / (draws @ self.counts.sum(axis=other).T)
        return np.asarray(ratios.mean(axis=1))


def _cells(scores: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cells' (training seed, data draw), sorted, and each row's place among them."""
    zeros = np.zeros(len(scores), dtype=np.int64)
    levels = [scores[name].to_numpy(dtype=np.int64) if name in scores else zeros for name in ("seed", "draw")]
    found, cell = np.unique(np.stack(levels, axis=1), axis=0, return_inverse=True)
    return found, cell.reshape(-1)


def shared(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The rows of each table whose unit (`SCORE_KEYS`, and PERSON where there are such) every cell of every table has.
    ValueError where a cell has one twice.
    """
    keys = [*SCORE_KEYS, *{PERSON}.intersection(*tables)]
    rows = pd.concat([table[keys] for table in tables], ignore_index=True)
    units = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    size = int(units.max(initial=-1)) + 1
    common = np.ones(size, dtype=bool)
    owned = np.split(units, np.cumsum([len(table) for table in tables])[:-1])
    for table, own in zip(tables, owned, strict=True):
        levels, cell = _cells(table)
        shape = (max(len(levels), 1), size)
        times = np.bincount(cell * size + own, minlength=shape[0] * size).reshape(shape)
        if (times > 1).any():
            twice = rows[units == np.argmax((times > 1).any(axis=0))].iloc[0]
            raise ValueError(f"a unit is there twice: {twice.to_dict()}")
        common &= (times == 1).all(axis=0)
    return [table[common[own]] for table, own in zip(tables, owned, strict=True)]
