"""Insensitive replies of simulated survey takers: how many on each axis, how far that can be trusted, and examples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.labelled import AXES
from eval.insensitivity.labels import worthless
from eval.report import wording
from eval.report.blocks import Block
from eval.report.evidence import Cell as Folder
from eval.report.evidence import read_items
from eval.report.summary import Summary
from eval.report.tables import Cell, Column, Row, Table, arm_cell, estimate_cell, words

AUDIT = "def"
NAMES: Mapping[str, tuple[str, str]] = {
    "instruction": ("Instruction", "names no option, several, or gives no reason"),
    "question_capture": ("Question", "does not speak to the question that was asked"),
    "role_play": ("Role", "speaks as a machine, as an examiner, or as somebody of another country"),
    "value_conflict": ("Choice and reason", "the explanation goes with another option than the one chosen"),
    "false_facts": ("False facts", "states what is not so of the country, the place, the options or earlier answers"),
    "irrelevance": ("Irrelevance", "goes beyond the point, repeats itself, or is no language"),
}
"""Axis → its short name, and what an insensitive reply does."""
EXAMPLES = 2
LONGEST = 280


def blocks(summary: Summary, cells: Sequence[Folder], svgs: dict[str, str]) -> list[Block]:
    """The blocks of DEF's section; none where no written replies were judged."""
    there = {key[3].removeprefix("axis=") for key in summary.estimates if key[1:3] == (AUDIT, "insensitivity_rate")}
    axes = [axis for axis in AXES if axis in there]
    if not axes:
        return []
    arms = [arm for arm in summary.arms if _of(summary, arm, "insensitivity_rate", axes[0], "by rule") is not None]
    judged = [arm for arm in arms if _of(summary, arm, "judge_kappa", axes[0], "by judge") is not None]
    intro = (
        "Liu et al. (2025) name six ways in which a simulated person's reply can be insensitive. Rules decide the "
        "plain cases and leave the others open. What stays undecided counts for neither side: the rate of the decided "
        "is one of plain cases, and where much is undecided no rate of all replies."
    )
    found = [Block("Insensitive replies", intro, (_rates(summary, arms, axes, bool(judged)),))]
    found.append(
        Block(
            "How far these verdicts can be trusted", _trust(summary, judged, axes), _tables(summary, arms, judged, axes)
        )
    )
    if rows := _examples(cells, axes):
        columns = [Column(title, numeric=False) for title in ("Axis", "Arm", "Reply", "Why")]
        table = Table("Replies that were found insensitive", tuple(columns), tuple(rows))
        found.append(Block("Insensitive replies, read", "The first ones of each axis and arm.", (table,), folded=True))
    return found


def _of(summary: Summary, arm: str, name: str, axis: str, condition: str) -> Any:
    return summary.get(arm, AUDIT, name, f"axis={axis}", condition)


def _cell(summary: Summary, arm: str, name: str, axis: str, condition: str, share: bool = False) -> Cell:
    key = (arm, AUDIT, name, f"axis={axis}", condition)
    return estimate_cell(summary.estimates.get(key), key, share)


def _rates(summary: Summary, arms: Sequence[str], axes: Sequence[str], judged: bool) -> Table:
    """An axis × arm a row: what was found and what stays undecided, of all replies; the rate among those decided."""
    last = "decided" if judged else "by rule"
    titles = ["Axis", "Arm", "Found", "Undecided", "Of the decided", *["Of the decided, by rule alone"] * judged]
    rows = []
    for axis in axes:
        for arm in arms:
            shares = [_cell(summary, arm, name, axis, last, True) for name in ("found_rate", "undecided_rate")]
            ways = (last, "by rule")[: 1 + judged]
            rates = [_cell(summary, arm, "insensitivity_rate", axis, way, True) for way in ways]
            rows.append(Row((_axis(axis), arm_cell(summary, arm), *shares, *rates), summary.series(arm)))
    columns = [Column(title, numeric=place > 1) for place, title in enumerate(titles)]
    note = (
        "Found: of all replies to which the axis applies. As far as the verdicts are right, the true share lies "
        "between that and found plus undecided."
    )
    return Table("Insensitive replies by axis", tuple(columns), tuple(rows), (note,))


def _axis(axis: str) -> Cell:
    return Cell(NAMES[axis][0], why=NAMES[axis][1])


def _trust(summary: Summary, judged: Sequence[str], axes: Sequence[str]) -> str:
    text = (
        "Rules and judge are held against replies that were labelled by a language model reading them, most of them "
        "written by SmolLM2-135M. Kappa is agreement beyond chance: 1 perfect, 0 none. Accuracy counts for little "
        "where it is no higher than that of always giving the more frequent label. The rules were corrected on some of "
        "these replies; how they do on the others stands apart."
    )
    if not judged:
        return f"{text} No judge was asked here (judge=none)."
    guesses = [
        NAMES[axis][0].lower()
        for axis in axes
        if any(worthless(one.low) for arm in judged if (one := _of(summary, arm, "judge_kappa", axis, "by judge")))
    ]
    if not guesses:
        return f"{text} The judge is better than guessing on every axis."
    which = "every axis" if len(guesses) == len(axes) else wording.listing(guesses)
    return (
        f"{text} THE JUDGE IS NO BETTER THAN GUESSING on {which} (the interval of its kappa includes 0): take the "
        "rates by rule there, not those of rules then judge."
    )


def _tables(summary: Summary, arms: Sequence[str], judged: Sequence[str], axes: Sequence[str]) -> tuple[Table, ...]:
    names = ("rule_coverage", "rule_accuracy", "rule_kappa", "rule_unseen_accuracy", "rule_unseen_kappa")
    rows = []
    for axis in axes:
        cells = [_cell(summary, arms[0], name, axis, "by rule", not name.endswith("kappa")) for name in names]
        cells.append(_cell(summary, arms[0], "majority_accuracy", axis, "reference:majority", True))
        rows.append(Row((_axis(axis), *map(_quiet, cells))))
    titles = ("Axis", "Decided", "Right", "Kappa", "Right, unseen replies", "Kappa, unseen replies", "Always one label")
    columns = tuple(Column(title, numeric=place > 0) for place, title in enumerate(titles))
    tables = Table("Rules against labels", columns, tuple(rows))
    return (tables, _judge_table(summary, judged, axes)) if judged else (tables,)


def _judge_table(summary: Summary, judged: Sequence[str], axes: Sequence[str]) -> Table:
    """An axis × arm a row: one judge of all arms gives the same numbers, a variant that judges itself its own."""
    ways = {name: "by judge" for name in ("judge_accuracy", "judge_kappa", "judge_position_effect")}
    rows = []
    for axis in axes:
        for arm in judged:
            cells = {name: _cell(summary, arm, name, axis, way, name == "judge_accuracy") for name, way in ways.items()}
            verdict = _of(summary, arm, "judge_kappa", axis, "by judge")
            if worthless(verdict.low):
                cells["judge_kappa"] = replace(cells["judge_kappa"], tone="warned")
            both = _cell(summary, arm, "decided_kappa", axis, "decided")
            shown = map(_quiet, (*cells.values(), both))
            rows.append(Row((_axis(axis), arm_cell(summary, arm), *shown), summary.series(arm)))
    titles = ("Axis", "Arm", "Judge right", "Judge's kappa", "Position effect", "Rules then judge, kappa")
    columns = tuple(Column(title, numeric=place > 1) for place, title in enumerate(titles))
    note = "Position effect: 0, the order of the two answers does not matter to the judge; 1, it alone decides."
    return Table("The judge against labels", columns, tuple(rows), (note,))


def _quiet(cell: Cell) -> Cell:
    """The cell without the words "no interval", which say nothing where a whole column has none."""
    return replace(cell, interval="" if cell.interval == "no interval" else cell.interval)


def _examples(cells: Sequence[Folder], axes: Sequence[str]) -> list[Row]:
    rows: list[tuple[int, Row]] = []
    seen: set[str] = set()
    for cell in cells:
        table = None if cell.arm in seen else read_items(cell, AUDIT)
        if table is None or not {"reasons", "reply", "condition", *axes} <= set(table):
            continue
        seen.add(cell.arm)
        replies = table[table["condition"] == "participants"]
        for place, axis in enumerate(axes):
            for row in replies[replies[axis] == 1].head(EXAMPLES).to_dict("records"):
                reply, why = str(row["reply"]), _why(str(row["reasons"]), axis)
                shown = reply if len(reply) <= LONGEST else f"{reply[:LONGEST]}…"
                rows.append((place, Row((_axis(axis), words(cell.arm), words(shown), words(why)))))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _why(reasons: str, axis: str) -> str:
    told = json.loads(reasons)[axis]
    if told["rule"] == "insensitive":
        return str(told["reason"])
    p = told.get("judge", math.nan)
    return f"the judge: {wording.number(p)}"
