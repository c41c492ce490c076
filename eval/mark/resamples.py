"""Intervals over respondents, who answer several items and stay together; the few items are taken as given.

Stretched for few respondents (`eval.bootstrap.widened`, where the coverage is stated) within the measure's bounds. One
respondent has no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.bootstrap import cluster_counts, effective, percentile_interval, widened
from eval.distances import FloatArray
from eval.records import Estimate


@dataclass(frozen=True)
class Resamples:
    """Respondents drawn with replacement: `counts` (draws, respondents), `ids` in the order of its columns."""

    counts: FloatArray
    ids: tuple[str, ...]

    @classmethod
    def of(cls, respondents: Sequence[str], draws: int, rng: np.random.Generator) -> Resamples:
        ids = tuple(sorted(set(respondents)))
        return cls(cluster_counts(len(ids), draws, rng), ids)

    @property
    def method(self) -> str:
        if len(self.ids) == 1:
            return "no interval: one respondent"
        return f"bootstrap over {len(self.ids)} respondents; items as given"

    def sums(self, respondents: Sequence[str], values: npt.NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
        """Sums of `values` (rows, ...) over everybody, shape (...), and under each resample, shape (draws, ...)."""
        places = np.searchsorted(self.ids, np.asarray(respondents))
        own = np.zeros((len(self.ids), *values.shape[1:]))
        np.add.at(own, places, values)
        return own.sum(axis=0), np.tensordot(self.counts, own, axes=1)

    def interval(
        self,
        replicates: FloatArray,
        respondents: Sequence[str],
        least: float = 0.0,
        most: float = 1.0,
        weights: FloatArray | None = None,
    ) -> tuple[float, float]:
        """The interval of a measure in [least, most] to which each of `respondents` gave as many rows as it is named,
        each with its weight. NaN where one respondent gave all.
        """
        _, places = np.unique(np.asarray(respondents), return_inverse=True)
        rows = np.bincount(places, weights).astype(np.float64)
        if len(rows) < 2:
            return float("nan"), float("nan")
        return percentile_interval(np.clip(widened(replicates, effective(rows)), least, most))

    def mean(
        self,
        name: str,
        condition: str,
        respondents: Sequence[str],
        values: Sequence[float],
        group: str = "all",
        least: float = 0.0,
        weights: Sequence[float] | None = None,
    ) -> Estimate:
        """The mean of the defined values in [least, 1], each of a respondent, by `weights` where there are such; NaN
        with n = 0 where none is defined.
        """
        array = np.asarray(values, dtype=np.float64)
        defined = ~np.isnan(array)
        if not defined.any():
            return Estimate(name, group, condition, np.nan, np.nan, np.nan, 0, "undefined")
        who = np.asarray(respondents)[defined].tolist()
        parts = np.ones(len(who)) if weights is None else np.asarray(weights, dtype=np.float64)[defined]
        total, drawn = self.sums(who, np.column_stack([parts * array[defined], parts]))
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = self.interval(drawn[:, 0] / drawn[:, 1], who, least, weights=parts)
        value = float(total[0] / total[1])
        method, people = self.method + ("" if weights is None else "; weighted by design"), len(set(who))
        if people == 1:
            method = "no interval: one respondent"
        elif least == 0 and value in (0.0, 1.0) and not np.ptp(array[defined]):
            low, high = all_alike(value, people)
            method = f"all alike: exact for {people} respondents; items as given"
        return Estimate(name, group, condition, value, low, high, int(defined.sum()), method)


def all_alike(value: float, people: int) -> tuple[float, float]:
    """The 95% interval of a share that is 0 or 1 for all of so many people, where a bootstrap knows no doubt (Clopper
    and Pearson 1934).
    """
    far = 1 - 0.025 ** (1 / people)
    return (0.0, far) if value == 0 else (1 - far, 1.0)
