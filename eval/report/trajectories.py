"""The section on time: how measures moved along the trainings, and from version to version of a model series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from eval.dilemmas.questions import ALONE
from eval.records import Estimate
from eval.report import evidence, wording
from eval.report.blocks import Block, Panel, slugged, spoken, tip
from eval.report.lines import Moment, lines
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, estimate_cell, words
from eval.trajectories import AGAINST_BASE, AGAINST_FIRST, AGAINST_PREVIOUS

ALONG = (
    "Step 0 is the base, the last step the finished variant; between them stand the snapshots that training left. All "
    "were asked the same questions, so how two points of a line differ is known better than their intervals, each for "
    "its own point, suggest. With one training seed nothing here says how another "
    "training would have gone. The learning rate follows the whole training's schedule: a snapshot is what this "
    "training was at that step, not what a training of so few steps would have ended as."
)
DATED = (
    "Versions of one model series by the date of their release, asked the same questions. What differs between two "
    "versions is everything that their makers changed; nothing was trained here."
)


_At = tuple[str, Any]
"""An arm and a time: an optimiser step or an ISO date."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A measure to draw: as it was asked on its own (`against` ""), or moved against an earlier model."""

    audit: str
    name: str
    against: str = ""
    title: str = ""
    plain: str = ""


_MEASURES = (
    _Shown("first_token", "js_distance"),
    _Shown("first_token", "between_ratio"),
    _Shown("first_token", "within_ratio"),
    _Shown("def", "js_distance"),
    _Shown("edc", "flip_rate"),
    _Shown("mark", "accuracy"),
)
_FLIPS = "Share of dilemmas, asked plainly, whose preferred action is another one than"
_TAU = "Kendall's tau between the order of the ten values now and"
_PREVIOUS = _Shown("edc", "flip_rate", AGAINST_PREVIOUS, "Flips since the point before", f"{_FLIPS} one point earlier.")
_TRAINING = (
    _Shown("edc", "flip_rate", AGAINST_BASE, "Flips since the base", f"{_FLIPS} the base's."),
    _PREVIOUS,
    _Shown(
        "edc", "kendall_tau", AGAINST_BASE, "Order of values kept", f"{_TAU} in the base: 1 the same order, 0 none."
    ),
)
_CALENDAR = (
    _Shown("edc", "flip_rate", AGAINST_FIRST, "Flips since the first version", f"{_FLIPS} the first version's."),
    _PREVIOUS,
    _Shown(
        "edc", "kendall_tau", AGAINST_FIRST, "Order of values kept", f"{_TAU} in the first version: 1 the same order."
    ),
)


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """A block for the trainings and one a model series, from summary.json's "trajectories"; figures go to `svgs`."""
    found = summary.raw.get("trajectories") or {}
    made = []
    if rows := found.get("training"):
        made.append(_Part(summary, rows, "step", _TRAINING).block("Along the training", ALONG, svgs))
    for series in dict.fromkeys(row["series"] for row in found.get("calendar") or []):
        rows = [row for row in found["calendar"] if row["series"] == series]
        made.append(_Part(summary, rows, "date", _CALENDAR).block(f"{series}, version by version", DATED, svgs))
    if found.get("absent"):
        made.append(Block("What is not there", "; ".join(found["absent"]) + "."))
    return made


@dataclass(frozen=True)
class _Part:
    """Rows of one kind of time: `field` is "step", with a line an arm, or "date", with one line over all arms."""

    summary: Summary
    rows: Sequence[Mapping[str, Any]]
    field: str
    drifts: Sequence[_Shown]

    def block(self, heading: str, intro: str, svgs: dict[str, str]) -> Block:
        shown = [(one, picked) for one in (*_MEASURES, *self.drifts) if (picked := self._picked(one))]
        panels = tuple(self._panel(heading, one, picked, svgs) for one, picked in shown)
        return Block(heading, intro, (self._table(heading, shown),), panels)

    @cached_property
    def moments(self) -> list[_At]:
        """(arm, time) of all rows: arm by arm along a training, else by date."""
        found = dict.fromkeys((row["arm"], row[self.field]) for row in self.rows)
        arms = self.summary.arms
        return sorted(found, key=lambda at: (arms.index(at[0]) if self.field == "step" else 0, at[1]))

    def _picked(self, one: _Shown) -> dict[_At, Estimate]:
        """The measure over the held-out part under its main condition, by arm and time; without undefined values."""
        condition = one.against + ALONE if one.against else self.summary.main_condition(one.audit, [one.name])
        wanted = (one.audit, one.name, "all", condition)
        found = {
            (row["arm"], row[self.field]): _estimate(row)
            for row in self.rows
            if (row["audit"], row["name"], row["group"], row["condition"]) == wanted
        }
        return {at: found[at] for at in self.moments if at in found}

    def _panel(self, heading: str, one: _Shown, picked: Mapping[_At, Estimate], svgs: dict[str, str]) -> Panel:
        measure = wording.measure(one.name, one.audit)
        title, plain = one.title or measure.title, one.plain or measure.plain
        paths: dict[int, list[Moment]] = {}
        for at, estimate in picked.items():
            if self.field == "step" and at[0] not in self.summary.drawn:
                continue
            line = self.summary.series(at[0]) if self.field == "step" else 0
            paths.setdefault(line, []).append(self._moment(at, estimate, measure.share))
        dated = {_place(time): str(time) for _, time in self.moments} if self.field == "date" else None
        slug = slugged(heading, one.audit, one.name, one.against)
        told = spoken(moment.tip for path in paths.values() for moment in path)
        label = "optimiser step" if dated is None else "released"
        target = None if one.against else measure.target
        svgs[slug] = lines(slug, title, told, paths, axis=label, ticks=dated, target=target, share=measure.share)
        asked = "" if one.against else f" Asked: {wording.condition(next(iter(picked.values())).condition)}."
        direction = f" {said[:1].upper()}{said[1:]}." if (said := measure.direction) and not one.against else ""
        source = wording.AUDITS.get(one.audit, (one.audit, ""))[0]
        return Panel(slug, title, f"{plain}{direction} {source}.{asked}")

    def _moment(self, at: _At, one: Estimate, share: bool) -> Moment:
        arm, time = at
        base = time == 0 and self.summary.base
        who = f"{base or arm}, {f'step {time}' if self.field == 'step' else time}"
        series = 0 if base else self.summary.series(arm)
        return Moment(_place(time), series, one.value, one.low, one.high, tip(who, one, share))

    def _table(self, heading: str, shown: Sequence[tuple[_Shown, Mapping[_At, Estimate]]]) -> Table:
        seeds = {(row["arm"], row[self.field]): len(row.get("seeds") or [0]) for row in self.rows}
        columns = [Column("Arm", numeric=False), Column("Step" if self.field == "step" else "Released")]
        for one, _ in shown:
            measure = wording.measure(one.name, one.audit)
            direction = "" if one.against else measure.direction  # training is to move a model: how far is no merit
            columns.append(Column(one.title or measure.title, direction, one.plain or measure.plain))
        rows = []
        for at in self.moments:
            cells = [
                estimate_cell(picked.get(at), (), wording.measure(one.name, one.audit).share) for one, picked in shown
            ]
            head = (words(at[0]), Cell(str(at[1]), sort=_place(at[1])))
            rows.append(Row((*head, *cells), self.summary.series(at[0])))
        pooled = max(seeds.values())
        notes = (f"Pooled over {pooled} training seeds.",) if pooled > 1 else ()
        return Table(f"{heading}: numbers", tuple(columns), tuple(rows), notes)


def _place(time: int | str) -> float:
    """Where a step or an ISO date lies on the axis."""
    return float(date.fromisoformat(time).toordinal() if isinstance(time, str) else time)


def _estimate(row: Mapping[str, Any]) -> Estimate:
    value, low, high = (as_float(row[name]) for name in ("value", "low", "high"))
    return Estimate(row["name"], row["group"], row["condition"], value, low, high, row["n"], row["method"])
