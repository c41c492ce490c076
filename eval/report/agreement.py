"""The section "Do the audits agree?": by value axis, what arms say in surveys beside what they choose."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.agreement.units import FITTED, PEOPLE
from eval.dilemmas.questions import ALONE
from eval.records import Estimate
from eval.report import evidence, figures, wording
from eval.report.agreement_words import SAME, UNSAID, Rows, findings, ground, of_axis, sign, survey
from eval.report.blocks import Block, Panel, dot, slugged
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, arm_cell, estimate_cell, plain_table, words

HEADING = "Do the audits agree?"
_MEASURES = {
    "js_distance": "Distance",
    "js_from_sampling": "From sampling alone",
    "js_excess": "Excess, bits",
    "correlation": "Correlation",
    "correlation_within_items": "Within items",
}


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """Two blocks an axis (what is found; audit by audit), one for single values and one for the same questions, from
    summary.json's "agreement"; empty without it. Figures go to `svgs`.
    """
    found = summary.raw.get("agreement")
    if not found:
        return []
    made: list[Block] = []
    for axis in (axis for axis in found["axes"] if not axis["single"]):
        title = f"{axis['first']} against {axis['second']}"
        heading = title[0].upper() + title[1:]
        panel = _figure(summary, found, axis, title, svgs)
        positions, *rest = _tables(summary, found, axis)
        first, *more = findings(found, axis, title)
        points = (*more, *ground(found, axis))
        made.append(Block(heading, first, (positions,), (panel,) if panel else (), points=points))
        if rest:
            made.append(
                Block(f"{heading}, audit by audit", "Differences are first less second.", tuple(rest), (), True)
            )
    singles = [axis for axis in found["axes"] if axis["single"]]
    if singles:
        intro = "Each value against the nine others, where at least three of the items asked bear on it most."
        tables = [table for axis in singles for table in _tables(summary, found, axis)]
        made.append(Block("Single values", intro, tuple(tables), folded=True))
    if same := _same(summary, found["same_questions"]):
        made.append(Block("The same questions, put by two audits", SAME, same, folded=True))
    counted = [(reason, count) for reason, count in found["left_out"].items()]
    if table := plain_table("Left out of the agreement", ("Reason", "Count"), counted):
        made.append(Block("What was left out", "Counted once for each item, dilemma or arm.", (table,), folded=True))
    return [*made, Block("What this cannot say", UNSAID)]


def _figure(
    summary: Summary, found: Mapping[str, Any], axis: Mapping[str, Any], title: str, svgs: dict[str, str]
) -> Panel | None:
    every = [row for row in of_axis(found["positions"], axis) if math.isfinite(as_float(row["value"]))]
    rows = [row for row in every if row["condition"] != ALONE]
    points = [
        dot(_source(row), summary.series(row["arm"]), row["arm"], _estimate(row), False)
        for source in _sources(rows)
        for row in rows
        if _source(row) == source and row["arm"] in summary.drawn
    ]
    if not points:
        return None
    people = {_short(row): as_float(row["value"]) for row in rows if row["condition"] == PEOPLE}
    slug = slugged("agreement", axis["name"])
    svgs[slug] = figures.dots(
        slug,
        f"Positions on {title}",
        f"Every audit's position of every arm between {axis['second']} at −1 and {axis['first']} at 1.",
        points,
        references=people,
        target=0.0,
        axis=f"{axis['first']} →",
    )
    caption = (
        "Every audit a row, every arm a mark; 0 is the middle of each audit's own scale. Dashed: people's answers."
    )
    return Panel(slug, "where the audits put each arm", caption)


def _tables(summary: Summary, found: Mapping[str, Any], axis: Mapping[str, Any]) -> list[Table]:
    title = f"{axis['first']} (1) against {axis['second']} (−1)"
    positions, pairs, moves = (of_axis(found[name], axis) for name in ("positions", "pairs", "move_pairs"))
    made = [_wide(summary, positions, f"Positions: {title}")]
    for rows, what, caption in (
        (pairs, "position", f"Two audits of one arm: {title}"),
        (moves, "move from the base", f"Moves from the base: {title}"),
    ):
        if rows:
            made.append(_pairs(summary, rows, what, caption))
    return made


def _wide(summary: Summary, rows: Rows, caption: str) -> Table:
    """Arms in rows, ways of asking in columns, people last."""
    sources = _sources(rows)
    at = {(row["arm"], _source(row)): _estimate(row) for row in rows}
    lines = [
        Row(
            (arm_cell(summary, arm), *(_cell(at.get((arm, source))) for source in sources)),
            summary.series(arm),
        )
        for arm in summary.arms
    ]
    lines.append(Row((words("people"), *(_cell(at.get(("people", source))) for source in sources)), reference=True))
    return Table(caption, (Column("Arm", numeric=False), *(Column(source) for source in sources)), tuple(lines))


def _pairs(summary: Summary, rows: Rows, what: str, caption: str) -> Table:
    titles = ("Arm", "First audit", "Second audit", f"First {what}", f"Second {what}", "Difference", "Direction")
    columns = tuple(Column(title, numeric=index in (3, 4, 5)) for index, title in enumerate(titles))
    lines = []
    for row in rows:
        names = [_named(*survey(row, side)) for side in ("first_", "second_")]
        if row.get("same_questions"):
            names = [f"{name}, shared questions" for name in names]
        numbers = [_cell(_estimate(row, side)) for side in ("first_", "second_", "")]
        cells = (arm_cell(summary, row["arm"]), *map(words, names), *numbers, words(row["direction"]))
        lines.append(Row(cells, summary.series(row["arm"])))
    return Table(caption, columns, tuple(lines))


def _same(summary: Summary, rows: Rows) -> tuple[Table, ...]:
    """Arms and pairs of audits in rows, measures in columns."""
    if not rows:
        return ()
    keys = list(dict.fromkeys((row["arm"], row["first_audit"], row["second_audit"], row["axis"]) for row in rows))
    titles = [Column(title, numeric=False) for title in ("Arm", "Audits", "Items")]
    lines = []
    for key in keys:
        arm, first, second, axis = key
        at = {
            row["measure"]: _estimate(row)
            for row in rows
            if (row["arm"], row["first_audit"], row["second_audit"], row["axis"]) == key
        }
        both = wording.listing(wording.AUDITS.get(audit, (audit, ""))[0] for audit in (first, second))
        named = (arm_cell(summary, arm), words(both), words(f"of {axis}" if axis else "all shared"))
        lines.append(Row((*named, *(estimate_cell(at.get(name)) for name in _MEASURES)), summary.series(arm)))
    columns = (*titles, *(Column(title) for title in _MEASURES.values()))
    notes = tuple(dict.fromkeys(f"{row['method']}." for row in rows if row["method"].startswith("undefined")))
    return (Table("The same item and country by two audits", columns, tuple(lines), notes),)


def _sources(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ways of asking of the arms in order of how many have them, in words."""
    counts = Counter(_source(row) for row in rows if row["condition"] != PEOPLE)
    return sorted(counts, key=lambda name: list(counts).index(name))


def _source(row: Mapping[str, Any]) -> str:
    condition = row["condition"]
    if condition == PEOPLE:  # people's own answers stand where countries are stated
        condition = "country" if row["audit"] == "first_token" else ""
    return _named(row["audit"], condition, row["group"])


def _named(audit: str, condition: str, group: str) -> str:
    """A way of asking in few words, short enough for a figure's row."""
    base = {
        "first_token": "survey, nobody stated" if condition == "none" else "survey, country stated",
        "def": "survey takers",
        "mark": "respondents (MARK)",
        "edc": {FITTED: "dilemmas, all fitted", ALONE: "dilemmas, plain"}.get(condition, "dilemmas, all wordings"),
    }[audit]
    return base if group == "all" else f"{base}, {'seen' if group == 'seen items' else group}"


def _short(row: Mapping[str, Any]) -> str:
    """People's row of the figure."""
    asked = {"first_token": "people", "def": "people (as survey takers)", "mark": "people (as in MARK)"}[row["audit"]]
    return asked if row["group"] == "all" else f"{asked}, seen items"


def _estimate(row: Mapping[str, Any], side: str = "") -> Estimate:
    value, low, high = (as_float(row[f"{side}{name}"]) for name in ("value", "low", "high"))
    return Estimate("position", "all", "", value, low, high, row[f"{side}n"], row[f"{side}method"])


def _cell(estimate: Estimate | None) -> Cell:
    """An estimate with its sign."""
    cell = estimate_cell(estimate)
    if estimate is None or cell.sort is None:
        return cell
    known = math.isfinite(estimate.low)
    bounds = f"[{sign(estimate.low, 3)}, {sign(estimate.high, 3)}]" if known else cell.interval
    return Cell(sign(estimate.value, 3), bounds, cell.sort, cell.key, cell.why)
