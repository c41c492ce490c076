"""How values move in time: along a training, snapshot by snapshot, and over the dated versions of a model series.

Every row is an estimate with its place in time. Along a training, step 0 is the model where it started (the base, or
the parent of a chain; absent where the parent is not an arm of the run) and the last step the variant,
with the numbers of the summary; those in between are pooled over the cells of the arm as these are (`eval.pooling`),
at the steps that all of its cells have. Where an audit knows how far one model moved from another (`drift`), each
snapshot is held against step 0 (condition "training:…") and against the snapshot before ("previous:…"), each version
against the first ("first:…") and the one before. Per-country numbers stay in the snapshots' own estimates.json.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS
from eval.cells import Arm, CellResult, arms_of
from eval.dilemmas.questions import ALONE
from eval.panels import STRATUM_GROUPS
from eval.pooling import levels_of, matched, mean_of_cells, pooled_estimates
from eval.records import Estimate

Drift = Callable[[pd.DataFrame, pd.DataFrame], list[Estimate]]
"""(a model's per-item evidence of an audit, an earlier model's) -> how far it moved, conditions "training:…"."""
AGAINST_BASE, AGAINST_PREVIOUS, AGAINST_FIRST = "training:", "previous:", "first:"
Row = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """A cell as it was after `step` optimiser steps. `result.config["audit"]` names the audits that count."""

    step: int
    result: CellResult


@dataclass(frozen=True)
class _Moment:
    """What the cells of an arm were at one time: their pooled estimates, and themselves for their evidence."""

    facts: Row
    estimates: list[Estimate]
    cells: tuple[CellResult, ...]


def trajectories(
    cells: Sequence[CellResult],
    snapshots: Sequence[Snapshot],
    estimates: Iterable[Mapping[str, Any]],
    drift: Mapping[str, Drift],
    absent: Sequence[str] = (),
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, list[Any]]:
    """For summary.json: `training` (rows with arm, step, seeds, draws, audit and the fields of an Estimate), `calendar`
    (series, arm, date instead of arm, step) and `absent`, in sentences: what should be there and is not.

    `estimates` are the summary's rows, `cells` all cells, finished or not; `snapshots` those of finished cells count;
    `drift` has the audits that know how far a model moved. Both lists are empty where there is nothing to show: no
    snapshot, or no series with two versions.
    """
    arms = arms_of(cells)
    known = _Known(estimates)
    missing = list(absent)
    rows = []
    base = next((arm for arm in arms if arm.untouched and arm.cells), None)
    for arm in (arm for arm in arms if arm.trained and arm.cells):
        levels, start = levels_of(arm), _start(arm, base, arms)
        mine = [one for one in snapshots if one.result.arm == arm.name and _level(one.result) in levels]
        for audit in arm.audits:
            moments, left_out = _steps(arm, start, audit, mine, known, _rng(seed, arm.name, audit), draws)
            missing += left_out
            rng = _rng(seed, arm.name, audit, "drift")
            rows += _rows(audit, moments, drift.get(audit), AGAINST_BASE, rng, draws)
    calendar = []
    for series, versions in _series(arms).items():
        for audit in sorted(set.intersection(*(set(arm.audits) for _, arm in versions))):
            moments = [
                _Moment({"series": series, "arm": a.name, "date": date}, known.of(a.name, audit), a.cells[:1])
                for date, a in versions
            ]
            rng = _rng(seed, series, audit)
            calendar += _rows(audit, moments, drift.get(audit), AGAINST_FIRST, rng, draws)
    return {"training": rows, "calendar": calendar, "absent": missing}


class _Known:
    """The summary's own estimates, those that a trajectory shows."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._by: dict[tuple[str, str], list[Estimate]] = {}
        for row in rows:
            one = Estimate(**{name: row[name] for name in Estimate.__slots__})
            if _shown(one):
                self._by.setdefault((row["arm"], row["audit"]), []).append(one)

    def of(self, arm: str, audit: str) -> list[Estimate]:
        return self._by.get((arm, audit), [])


def _shown(one: Estimate) -> bool:
    """Whole strata, and value priorities as asked plainly: no reference rows, no positive controls."""
    priority = one.group.startswith("value=") and one.condition == ALONE
    other = one.condition.startswith(("reference:", "control:", AGAINST_BASE))
    return (one.group in STRATUM_GROUPS.values() or priority) and not other


def _steps(
    arm: Arm,
    start: Arm | None,
    audit: str,
    snapshots: Sequence[Snapshot],
    known: _Known,
    rng: np.random.Generator,
    draws: int,
) -> tuple[list[_Moment], list[str]]:
    """Start, snapshots and variant in order, and sentences about steps that some cells lack; no moments where no step
    is there in full.
    """
    facts = {"arm": arm.name, "seeds": arm.seeds, "draws": arm.draws}
    found: list[_Moment] = []
    lacking: list[int] = []
    for step in sorted({one.step for one in snapshots}):
        there = {_level(o.result): o.result for o in snapshots if o.step == step and audit in o.result.config["audit"]}
        if len(there) == len(arm.cells):
            pooled = Arm(arm.name, tuple(there[level] for level in levels_of(arm)), ())
            own = pooled_estimates(pooled, audit, rng, draws, _shown)
            found.append(_Moment({**facts, "step": step}, own, pooled.cells))
        elif there:
            lacking.append(step)
    left_out = [
        f"{arm.name}, {audit}: step {step} is left out, because not all of its {len(arm.cells)} cells have it"
        for step in lacking
    ]
    if not found:
        return [], left_out
    if start is not None and audit in start.audits:
        of_level = {_level(cell): cell for cell in start.cells}
        parents = [of_level[level] if start.trained else start.cells[0] for level in levels_of(arm)]
        first = {**facts, "seeds": start.seeds, "draws": start.draws, "step": 0}
        found.insert(0, _Moment(first, known.of(start.name, audit), tuple(parents)))
    last = {**facts, "step": int(arm.first.manifest["budget"]["steps"])}
    return [*found, _Moment(last, known.of(arm.name, audit), arm.cells)], left_out


def _start(arm: Arm, base: Arm | None, arms: Sequence[Arm]) -> Arm | None:
    """Where the arm's training started: the base, or the arm of its parents, None where one of them is not finished."""
    parents = {Path(place).name for cell in arm.cells if (place := cell.config.get("start"))}
    if not parents:
        return base
    return next((other for other in arms if parents <= {cell.folder.name for cell in other.cells}), None)


def _rows(
    audit: str, moments: Sequence[_Moment], drift: Drift | None, prefix: str, rng: np.random.Generator, draws: int
) -> list[Row]:
    """All moments' estimates, and how far each moved from the first (`prefix`; along a training the base, where it is
    there) and from the one before it.
    """
    rows = []
    for place, moment in enumerate(moments):
        others = {AGAINST_PREVIOUS: moments[place - 1]} if place else {}
        if moments[0].facts.get("step", 0) == 0:
            others[prefix] = moments[0]
        moved = [one for name, other in others.items() for one in _moved(moment, other, audit, name, drift, rng, draws)]
        rows += [{**moment.facts, "audit": audit, **asdict(one)} for one in [*moment.estimates, *moved]]
    return rows


def _moved(
    moment: _Moment, other: _Moment, audit: str, prefix: str, drift: Drift | None, rng: np.random.Generator, draws: int
) -> list[Estimate]:
    """The drift from `other`, cell by cell, pooled over the cells."""
    if drift is None:
        return []
    pairs = list(zip(moment.cells, other.cells, strict=True))
    found = matched([drift(now.items(audit), before.items(audit)) for now, before in pairs])
    pooled = [mean_of_cells(each, [_level(now) for now, _ in pairs], audit, rng, draws) for each in found.values()]
    return [
        replace(one, condition=prefix + one.condition.removeprefix(AGAINST_BASE))
        for one in pooled
        if one.condition.startswith(AGAINST_BASE)
    ]


def _series(arms: Sequence[Arm]) -> dict[str, list[tuple[str, Arm]]]:
    """Untrained models by series, each with its date, in order; series of a single version are none."""
    found: dict[str, list[tuple[str, Arm]]] = {}
    for arm in arms:
        model = arm.first.config.get("model") or {}
        if arm.cells and not arm.trained and model.get("series"):
            found.setdefault(str(model["series"]), []).append((str(model["released"]), arm))
    return {name: sorted(versions, key=lambda one: one[0]) for name, versions in found.items() if len(versions) > 1}


def _level(cell: CellResult) -> tuple[int, int]:
    return cell.seed, cell.draw


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
