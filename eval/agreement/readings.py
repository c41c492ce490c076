"""Readings: where an arm stands on an axis by one way of asking, and contrasts of readings with their intervals.

Two kinds. `Placed`: a mean over units (items x countries, items x respondents, dilemmas), each item counting alike;
its noise is the two-way bootstrap of `eval.bootstrap`. `Fitted`: what all choices in dilemmas imply, by Bradley-Terry
strengths s of the ten values (`eval.dilemmas.bradley_terry`): tanh of half the difference between the poles' mean s,
which is 2 P - 1 for a dilemma between two such values; its noise is a bootstrap over dilemmas. Our design, because few
of a sample of dilemmas set the two poles of an axis against each other.

Training seeds and data draws add their noise to either (`eval.outer_levels`), paired cell by cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dilemmas.corpus import VALUES
from data.value_axes import Axis
from eval.agreement.units import Source, units_of
from eval.bootstrap import Resampled, described, percentile_interval, widened
from eval.dilemmas.bradley_terry import bradley_terry
from eval.distances import FloatArray
from eval.outer_levels import Level, describe_levels, outer_noise
from eval.units import Units

NAN = float("nan")


@dataclass(frozen=True)
class Placed:
    """A mean over units: `table` as `agreement_units.unit_table` makes it, of one `source`. `known` is False where
    nothing is known of cells (people's own answers).
    """

    table: pd.DataFrame
    source: Source
    known: bool = True

    @cached_property
    def units(self) -> Units:
        return units_of(self.table, self.known)

    @property
    def cells(self) -> Mapping[Level, float]:
        return self.units.cells

    @property
    def n(self) -> int:
        return len(self.table)

    @property
    def items(self) -> tuple[str, ...]:
        """Items or dilemmas."""
        return self.units.items

    @property
    def method(self) -> str:
        """`described` with the names that the audit's units have."""
        text = described([self.units])
        if self.source.audit == "edc" or self.source.condition == "none":
            text = text.replace("; one country", "").replace(" and one country", "")
        if self.source.audit == "edc":
            text = text.replace(" items", " dilemmas").replace("one item", "one dilemma")
        if self.source.audit == "mark":
            text = text.replace(" countries", " respondents").replace("one country", "one respondent")
        return text

    @property
    def flat(self) -> Units:
        """The mean over cells as one cell: seeds and data draws apart."""
        sums, counts = (part.mean(axis=0, keepdims=True) for part in (self.units.sums, self.units.counts))
        return replace(self.units, sums=sums, counts=counts, levels=self.units.levels[:1])


@dataclass(frozen=True)
class Choices:
    """What an arm chose in dilemmas: colliding values as indices (dilemmas,), `p` (cells, dilemmas) for the first."""

    dilemmas: tuple[str, ...]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    p: FloatArray
    levels: tuple[Level, ...]
    counts: FloatArray
    """(draws, dilemmas): how often each dilemma counts; the same for all arms that were asked the same."""

    @cached_property
    def by_cell(self) -> FloatArray:
        """Strengths (cells, ten values)."""
        return np.concatenate([bradley_terry(self.first, self.second, row, len(VALUES)) for row in self.p])

    @cached_property
    def resampled(self) -> FloatArray:
        """Strengths (draws, ten values) from the cells' mean choices."""
        return np.asarray(bradley_terry(self.first, self.second, self.p.mean(axis=0), len(VALUES), self.counts))


@dataclass(frozen=True)
class Fitted:
    """The position that all choices imply. Undefined where a pole has no value among the dilemmas asked.

    Simulated (150 corpora of 24 or 60 dilemmas, strengths of standard deviation 0.5, noise of 0.3 or 1 logit a dilemma)
    its 95% intervals cover 88 to 96%, and it lies 0.01 to 0.05 nearer to 0 than the truth.
    """

    choices: Choices
    axis: Axis

    @property
    def cells(self) -> Mapping[Level, float]:
        return dict(zip(self.choices.levels, self._at(self.choices.by_cell).tolist(), strict=True))

    @property
    def n(self) -> int:
        return len(self.choices.dilemmas)

    @property
    def items(self) -> tuple[str, ...]:
        return self.choices.dilemmas

    @property
    def method(self) -> str:
        levels = describe_levels([self.choices.levels])
        return f"Bradley–Terry over all {self.n} dilemmas, bootstrap over dilemmas; {levels}"

    @property
    def deviations(self) -> FloatArray:
        """By how much resampling dilemmas moves the position, (draws,), widened for few of them."""
        moved = self._at(self.choices.resampled)
        return np.asarray(widened(moved, self.n) - moved.mean())

    def _at(self, strengths: FloatArray) -> FloatArray:
        first, second = (
            [VALUES.index(one) for one in pole if VALUES.index(one) in self._asked] for pole in self._poles
        )
        return np.asarray(np.tanh((strengths[:, first].mean(axis=1) - strengths[:, second].mean(axis=1)) / 2))

    @property
    def _poles(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.axis.first_values, self.axis.second_values

    @property
    def _asked(self) -> set[int]:
        return {*self.choices.first.tolist(), *self.choices.second.tolist()}

    @property
    def defined(self) -> bool:
        return all(any(VALUES.index(one) in self._asked for one in pole) for pole in self._poles) and self.n > 1


Reading = Placed | Fitted


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of readings with its 95% interval and replicates (empty where there is no interval)."""

    value: float
    low: float
    high: float
    n: int
    method: str
    replicates: FloatArray

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies wholly on one side of 0; 0 where it doesn't or there is none."""
        return int(self.low > 0) - int(self.high < 0)


def value_of(reading: Reading) -> float:
    """The mean over cells."""
    return float(np.mean(list(reading.cells.values())))


def contrast(groups: Sequence[Sequence[tuple[Reading, float]]], draws: int, rng: np.random.Generator) -> Contrast:
    """`sum weight * reading`, clipped to what the weights allow. The readings of a group are over the same units, which
    are resampled alike (ValueError where they differ); groups are resampled independently of each other.
    """
    every = [one for group in groups for one in group]
    value = float(sum(weight * value_of(reading) for reading, weight in every))
    methods = [("paired " if len(group) > 1 else "") + group[0][0].method for group in groups]
    n, method = sum(group[0][0].n for group in groups), " | ".join(dict.fromkeys(methods))
    inner = [_deviations(group, draws, rng) for group in groups]
    known = [one for one in inner if one is not None]
    if len(known) < len(inner):
        return Contrast(value, NAN, NAN, n, method, np.empty(0))
    weights = [weight for _, weight in every]
    outer = outer_noise([reading.cells for reading, _ in every], weights, draws, rng)
    total = value + np.sum(known, axis=0) + outer
    most = float(np.abs(weights).sum())
    low, high = percentile_interval(np.clip(total, -most, most))
    return Contrast(value, low, high, n, method, total)


def jointly(readings: Sequence[Reading], draws: int, rng: np.random.Generator) -> FloatArray | None:
    """Replicates of each reading, (draws, readings), over the same units resampled alike; None where there are none."""
    found = []
    state = rng.bit_generator.state
    for number, reading in enumerate(readings):
        rng.bit_generator.state = state
        alone = [(one, float(place == number)) for place, one in enumerate(readings)]
        moved = _deviations(alone, draws, rng)
        if moved is None:
            return None
        found.append(value_of(reading) + moved + outer_noise([reading.cells], [1.0], draws, rng.spawn(1)[0]))
    return np.stack(found, axis=1)


def _deviations(group: Sequence[tuple[Reading, float]], draws: int, rng: np.random.Generator) -> FloatArray | None:
    """What resampling units adds to `sum weight * reading`, (draws,); None where nothing can be resampled."""
    weights = [weight for _, weight in group]
    fitted = [one for one, _ in group if isinstance(one, Fitted)]
    placed = [one for one, _ in group if isinstance(one, Placed)]
    if fitted:
        if placed or len({one.choices.dilemmas for one in fitted}) > 1:
            raise ValueError("choices that are compared must be about the same dilemmas")
        return np.asarray(np.tensordot(weights, [one.deviations for one in fitted], axes=1))
    if described([one.units for one in placed]).startswith("no interval"):
        return None
    flat = [one.flat for one in placed]
    value = float(np.dot(weights, [one.value for one in flat]))
    return Resampled.of(flat, draws, rng).replicates(weights, rng) - value
