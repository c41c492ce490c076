"""Does a measure simply rise or fall with a model's size, or does it turn? The two-lines test on a ladder of models.

A turn needs a line that falls over the smaller sizes and one that rises over the larger ones, or the other way round,
each clearly by more than a margin (Simonsohn 2018, doi:10.1177/2515245918805755: a quadratic term cannot tell a turn
from a curve that flattens). The slope of a least-squares line is a weighted mean of the differences between any two of
its models, so where a measure never falls with size no line over any part of the sizes falls, wherever the sizes are
cut: the test is valid for every cut. Departures from Simonsohn, whose data are many points: every size between the ends
is tried as the cut (it belongs to both lines) and the smallest p-value is multiplied by their number, instead of one
cut found by an algorithm; the noise is that of items and countries, shared by all models (`eval.model_groups`), and not
the scatter of models around the lines, of which so few cannot tell.

So a turn is a fact about these models. That size does it, and not what else differs between two models, takes the same
turn in other families: lines are fitted within families (each with a level of its own), and family by family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eval.distances import FloatArray
from eval.model_groups import Measured, Sum, Weights

LEAST_SIZES = 5
NAN = math.nan
WITHIN = "within families"


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a line rises (below 0: falls) from its smallest to its largest size, with its 95% interval."""

    smallest: float
    largest: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A ladder of models: the line over all sizes, the `bend` (the quadratic term of log10 size; above 0: it opens
    upwards), and the cut where a turn is clearest, with its two lines and its p-value for all `cuts` that were tried.

    `shape` is "U" or "∩" where the p-value is at most 0.05, "falling" or "rising" where both lines at every cut go one
    way by more than the margin, else "". `models` are the arms in order of size.
    """

    scope: str
    models: tuple[str, ...]
    sizes: int
    line: Change
    bend: tuple[float, float, float]
    cut: float
    before: Change
    after: Change
    cuts: int
    p: float
    shape: str

    def row(self) -> dict[str, Any]:
        """For summary.json."""
        return asdict(self)


class _Cut(NamedTuple):
    """Two lines that meet at a size, and the p-value that they do not turn there."""

    p: float
    cut: float
    before: Change
    after: Change


_UNKNOWN = Change(NAN, NAN, NAN, NAN, NAN)


def trends(
    found: Measured, size: Mapping[str, float], family: Mapping[str, str], margin: float, least: int = LEAST_SIZES
) -> list[Trend]:
    """The trend within all families at once, then in each family, where there are at least `least` different sizes.

    `size` in billions of parameters; models without one are left out, as are, within families, those that are alone in
    theirs. Without five sizes a turn has too few places to be.
    """
    sized = [name for name in found.names if name in size]
    ladders = {one: [n for n in sized if family[n] == one] for one in dict.fromkeys(family[n] for n in sized)}
    several = {one: names for one, names in ladders.items() if len({size[n] for n in names}) > 1}
    scopes = {WITHIN: [name for names in several.values() for name in names]} if len(several) > 1 else {}
    scopes |= several
    return [
        _trend(scope, found, sorted(names, key=lambda name: (size[name], name)), size, family, margin)
        for scope, names in scopes.items()
        if len({size[name] for name in names}) >= least
    ]


def _trend(
    scope: str,
    found: Measured,
    names: Sequence[str],
    size: Mapping[str, float],
    family: Mapping[str, str],
    margin: float,
) -> Trend:
    sizes = sorted({size[name] for name in names})
    tried: list[_Cut] = []
    for cut in sizes[1:-1]:
        halves = ([n for n in names if size[n] <= cut], [n for n in names if size[n] >= cut])
        sides = [_laddered(half, size, family) for half in halves]
        weights = [change_weights(side, size, family) for side in sides]
        if all(weights):  # on each side some family has two sizes
            before, after = (found.sum(one) for one in weights)
            p = turn_p(before.replicates, after.replicates, margin)
            tried.append(_Cut(p, cut, _change(sides[0], size, before), _change(sides[1], size, after)))
    best = min(tried, key=_clearness, default=_Cut(NAN, NAN, _UNKNOWN, _UNKNOWN))
    p = min(1.0, best.p * len(tried)) if math.isfinite(best.p) else NAN
    changes = [change for one in tried for change in (one.before, one.after)]
    shape = ""
    if p <= 0.05:
        shape = "U" if best.before.value < 0 else "∩"
    elif changes and all(change.high < -margin for change in changes):
        shape = "falling"
    elif changes and all(change.low > margin for change in changes):
        shape = "rising"
    line = _change(names, size, found.sum(change_weights(names, size, family)))
    bend = found.sum(bend_weights(names, size, family))[:3]
    return Trend(scope, tuple(names), len(sizes), line, bend, best.cut, best.before, best.after, len(tried), p, shape)


def _clearness(one: _Cut) -> tuple[bool, float, float]:
    """Sorts the clearest turn first; of those that no replicate speaks against, that whose flatter line is steepest."""
    return math.isnan(one.p), one.p, -min(abs(one.before.value), abs(one.after.value))


def _laddered(names: Sequence[str], size: Mapping[str, float], family: Mapping[str, str]) -> list[str]:
    """Without those whose family has a single size here: no line runs as far as such a model."""
    return [name for name in names if any(family[n] == family[name] and size[n] != size[name] for n in names)]


def _change(names: Sequence[str], size: Mapping[str, float], one: Sum) -> Change:
    there = [size[name] for name in names]
    return Change(min(there), max(there), one.value, one.low, one.high)


def change_weights(names: Sequence[str], size: Mapping[str, float], family: Mapping[str, str]) -> Weights:
    """What each model counts in the change along the least-squares line in log10 size with a level for each family,
    from the smallest to the largest of these sizes; empty where no family has two sizes.
    """
    x, centred = _log_sizes(names, size, family)
    total = float((centred**2).sum())
    if total < 1e-12:
        return {}
    return dict(zip(names, (np.ptp(x) * centred / total).tolist(), strict=True))


def bend_weights(names: Sequence[str], size: Mapping[str, float], family: Mapping[str, str]) -> Weights:
    """What each model counts in the quadratic term of log10 size, beside the linear one and a level for each family."""
    x, _ = _log_sizes(names, size, family)
    levels = [[float(family[name] == one) for name in names] for one in dict.fromkeys(family[n] for n in names)]
    design = np.column_stack([*levels, x, x**2])
    return dict(zip(names, np.linalg.pinv(design)[-1].tolist(), strict=True))


def _log_sizes(
    names: Sequence[str], size: Mapping[str, float], family: Mapping[str, str]
) -> tuple[FloatArray, FloatArray]:
    """log10 of the sizes, and the same less each family's mean."""
    x = np.log10([size[name] for name in names])
    of = [family[name] for name in names]
    means = np.array([x[[other == one for other in of]].mean() for one in of])
    return x, x - means


def turn_p(before: FloatArray, after: FloatArray, margin: float) -> float:
    """The p-value that the two lines do not turn: the larger of both lines' two-sided p-values where one falls and the
    other rises by more than the margin, at the better of the two turns. NaN without replicates.
    """
    if not (len(before) and len(after)):
        return math.nan
    falls = [_p(one >= -margin) for one in (before, after)]
    rises = [_p(one <= margin) for one in (before, after)]
    return min(max(falls[0], rises[1]), max(rises[0], falls[1]))


def _p(against: npt.NDArray[np.bool_]) -> float:
    """Twice the share of replicates that speak against it, with one added so that it is never 0."""
    return float(min(1.0, 2 * (1 + against.sum()) / (1 + against.size)))
