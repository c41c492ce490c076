"""Two readings of one arm side by side, what training moved in each, and whether arms rank alike by both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from eval.agreement.readings import Contrast, Fitted, Reading, contrast, jointly, value_of
from eval.agreement.units import FITTED, WORDINGS, Source
from eval.bootstrap import FEWEST, percentile_interval
from eval.distances import FloatArray
from eval.diversity_enhanced.participants import PARTICIPANTS
from eval.mark.decisions import DECIDED

SURVEY, TAKERS, RESPONDENTS = Source("first_token", "country"), Source("def", PARTICIPANTS), Source("mark", DECIDED)
TOGETHER = ((SURVEY, TAKERS), (SURVEY, RESPONDENTS), (TAKERS, RESPONDENTS))
"""Audits that ask the same items of the same countries."""
CHOSEN = (Source("edc", FITTED), Source("edc", WORDINGS))
LEAST_ARMS = 4
Readings = Mapping[Source, Reading]
Sides = Mapping[Source, list[tuple[Reading, float]]]


def numbers(made: Contrast) -> dict[str, Any]:
    """The interval as fields of a row."""
    return {"value": made.value, "low": made.low, "high": made.high, "n": made.n, "method": made.method}


def pairs(found: Readings, homes: Mapping[str, str], draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Every survey beside the choices in dilemmas, over units of each one's own, and the surveys of TOGETHER beside
    each other over the units that they share; `homes` gives respondents' countries. Differences are first less second.
    """
    plain: dict[Source, list[tuple[Reading, float]]] = {source: [(one, 1.0)] for source, one in found.items()}
    for one, two in _across(plain):
        yield {"same_questions": False} | _paired(one, two, plain[one], plain[two], None, draws, rng)
    for one, two in TOGETHER:
        if one in found and two in found and (both := _joined(found[one], found[two], homes)):
            first, second = both
            joint = [(first, 1.0), (second, -1.0)]
            made = _paired(one, two, [(first, 1.0)], [(second, 1.0)], joint, draws, rng)
            yield {"same_questions": True} | made


def moves(after: Readings, before: Readings) -> dict[Source, list[tuple[Reading, float]]]:
    """A variant's reading less its base's over the units that both have, as groups of a contrast."""
    found = {}
    for source, one in after.items():
        if source in before and (both := _shared(one, before[source])):
            found[source] = [(both[0], 1.0), (both[1], -1.0)]
    return found


def move_pairs(moved: Sides, draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """What moved in each survey beside what moved in dilemmas."""
    for one, two in _across(moved):
        yield _paired(one, two, moved[one], moved[two], None, draws, rng)


def across_arms(found: Sequence[Readings], draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Spearman's correlation over arms (LEAST_ARMS or more) of each survey's positions with those in dilemmas.

    The interval covers the choice of items and dilemmas, resampled alike for all arms; not the choice of arms. Noise
    pulls it towards 0, so that it may lie below the value.
    """
    for one in dict.fromkeys(source for arm in found for source in arm if source.audit != "edc"):
        both = [arm for arm in found if one in arm and CHOSEN[0] in arm]
        if len(both) < LEAST_ARMS:
            continue
        sides = [_common([arm[source] for arm in both]) for source in (one, CHOSEN[0])]
        if not all(sides):
            continue
        value = _spearman(*(np.array([[value_of(each) for each in side]]) for side in sides))[0]
        drawn = [jointly(side, draws, luck) for side, luck in zip(sides, rng.spawn(2), strict=True)]
        low, high, method = np.nan, np.nan, "no interval: one item"
        if drawn[0] is not None and drawn[1] is not None:
            low, high = percentile_interval(_spearman(drawn[0], drawn[1]))
            method = f"Spearman over {len(both)} arms; the interval covers items and dilemmas, not the choice of arms"
        yield one._asdict() | {"value": value, "low": low, "high": high, "n": len(both), "method": method}


def _across(found: Mapping[Source, Any]) -> list[tuple[Source, Source]]:
    return [(one, two) for one in found if one.audit != "edc" for two in CHOSEN if two in found]


def _paired(
    one: Source,
    two: Source,
    first: list[tuple[Reading, float]],
    second: list[tuple[Reading, float]],
    joint: list[tuple[Reading, float]] | None,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Both sides, their difference (over `joint` units, or each over its own) and whether they point the same way."""
    each = [contrast([side], draws, rng) for side in (first, second)]
    minus = [(side, -weight) for side, weight in second]
    difference = contrast([joint] if joint else [first, minus], draws, rng)
    row: dict[str, Any] = {}
    for side, source, made in (("first", one, each[0]), ("second", two, each[1])):
        row |= {f"{side}_{name}": value for name, value in {**source._asdict(), **numbers(made)}.items()}
    direction = {1: "same side", -1: "opposite sides", 0: "not settled"}[each[0].sign * each[1].sign]
    if min(len(side[0][0].items) for side in (first, second)) < FEWEST:
        direction = "too few items"
    return row | numbers(difference) | {"direction": direction}


def _shared(after: Reading, before: Reading) -> tuple[Reading, Reading] | None:
    """Both over the units that both have; None where there are none."""
    both = _common([after, before])
    return (both[0], both[1]) if both else None


def _common(readings: Sequence[Reading]) -> list[Reading]:
    """All over the units that all have; empty where there are none."""
    fitted = [one for one in readings if isinstance(one, Fitted)]
    if fitted:
        return list(readings) if len({one.choices.dilemmas for one in fitted}) == 1 else []
    placed = [one for one in readings if not isinstance(one, Fitted)]
    index = placed[0].table.index
    for one in placed[1:]:
        index = index.intersection(one.table.index)
    return [replace(one, table=one.table.loc[index]) for one in placed] if len(index) else []


def _joined(first: Reading, second: Reading, homes: Mapping[str, str]) -> tuple[Reading, Reading] | None:
    """Both over the second's units whose item and country the first has; None where there are none."""
    if isinstance(first, Fitted) or isinstance(second, Fitted):
        return None
    index = second.table.index
    if second.source.audit == "mark":
        index = pd.MultiIndex.from_arrays([index.get_level_values(0), index.get_level_values(1).map(homes)])
    there = index.isin(first.table.index)
    if not there.any():
        return None
    kept = second.table[there]
    told = first.table.loc[index[there]].set_axis(kept.index)
    return replace(first, table=told, source=second.source), replace(second, table=kept)


def _spearman(first: FloatArray, second: FloatArray) -> FloatArray:
    """Rank correlation of each row, (rows,); NaN where a side does not vary."""
    a, b = (rankdata(side, axis=1) for side in (first, second))
    a, b = (side - side.mean(axis=1, keepdims=True) for side in (a, b))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0))
