"""The section on the collapse curve: variation by the beta of preference arms, over what their optimum would show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.collapse import MEASURES
from eval.records import Estimate
from eval.report import evidence, wording
from eval.report.blocks import Block, Panel, slugged, spoken, tip
from eval.report.curve import Anchor, Mark, curve
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, arm_cell, estimate_cell, words
from eval.report.wording import DASH, interval, number

INTRO = (
    "A preference recipe's objective has an optimum that can be written down: with people's shares as rewards it is "
    "the start's own answer times these shares to the power 1/beta. The line is that optimum for these very questions "
    "and countries, from what the start and the people answered to them, and measured as everything else is. Towards "
    "small beta one answer takes all, so that dispersion within a country collapses; variation between countries goes "
    "with it only where countries share their most frequent answer, as pooled people always do. Towards large beta "
    "nothing is left but the start (where the leash is split, an even answer). Marks are the arms with 95% intervals, "
    "dotted lines lead to each one's optimum, and arms that differ in this one knob are joined. The line asks for a "
    "training without end that carries over to countries, and of held-out questions to questions, that it did not "
    "see: an arm beside the line was trained briefly or did not carry over what it learned, and nothing here tells "
    "one from the other. It has no interval and holds for these questions and people."
)
_POOLED = " The people of all countries are pooled, as these arms were taught: one answer for everybody."
_STRATA = {"all": "held-out questions", "seen items": "trained questions", "later wave": "a later wave"}


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """Two blocks a curve, its figures and its numbers, from summary.json's "collapse"; empty without it. Figures go to
    `svgs`.
    """
    found = (summary.raw.get("collapse") or {}).get("curves") or []
    made = [block for place, one in enumerate(found) for block in _blocks(summary, one, f"collapse-{place}", svgs)]
    return [Block("How to read it", INTRO), *made] if made else []


def _blocks(summary: Summary, one: Mapping[str, Any], name: str, svgs: dict[str, str]) -> list[Block]:
    arms = list(dict.fromkeys(row["arm"] for row in one["points"]))
    groups = [group for group in _STRATA if any(row["group"] == group for row in one["points"])]
    panels = [
        panel for group in groups for each in MEASURES if (panel := _panel(summary, one, each, group, name, svgs))
    ]
    formula = one["formula"].replace("reference", str(one["reference"]))
    heading = f"Optimum {formula}" if formula else f"{wording.listing(arms)}, no optimum known"
    heading += ", people pooled" if one["pooled"] else ""
    intro = f"{wording.listing(arms)}, by {one['knob']}.{_POOLED if one['pooled'] else ''}"
    told = (*one["why_not"], *_trends(one, groups), *_ways(one, groups))
    tables = tuple(_table(summary, one, group) for group in groups)
    measured, away = "Measured, and what each arm's own optimum would show.", tuple(_sentences(one, arms))
    numbers = Block(f"{heading}: numbers", measured, tables, folded=True, points=away)
    return [Block(heading, intro, (), tuple(panels), points=told), numbers]


def _trends(one: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    """Of arms that differ in the knob alone, how variation goes with it, beside their optima."""
    rows = {(row["arm"], row["name"]): row for row in one["points"] if row["group"] in groups[:1]}
    made = []
    for family in one["families"]:
        for name, what in (("within_ratio", "dispersion within countries"), ("between_ratio", "between countries")):
            found = [row for arm in family if (row := rows.get((arm, name)))]
            shown = [_with_interval(*(as_float(row[field]) for field in ("value", "low", "high"))) for row in found]
            best = [number(as_float(row["predicted"])) for row in found]
            ats = " → ".join(f"{row['at']:g}" for row in found)
            optima = "" if set(best) == {DASH} else f", at their optima {' → '.join(best)}"
            made.append(
                f"{wording.listing(row['arm'] for row in found)}, {one['knob']} {ats}, {_STRATA[groups[0]]}: "
                f"{what} {' → '.join(shown)}{optima} (people = 1)."
            )
    return made


def _ways(one: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    """Which arms came nearer to their optimum than where they started, and how much of the way, part by part."""
    made = []
    for group in groups:
        gone: dict[str, list[str]] = {"less for": [], "not shown to be less for": [], "more for": []}
        for row in (row for row in one["distances"] if row["group"] == group):
            nearer, start = as_float(row["nearer"]), as_float(row["start"])
            if as_float(row["nearer_low"]) > 0:
                gone["less for"].append(f"{row['arm']} ({100 * nearer / start:.0f}% of the way)")
            else:
                gone["more for" if as_float(row["nearer_high"]) < 0 else "not shown to be less for"].append(row["arm"])
        if said := "; ".join(f"{how} {wording.listing(who)}" for how, who in gone.items() if who):
            made.append(f"KL to an arm's own optimum against that of {one['reference']}, {_STRATA[group]}: {said}.")
    return made


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{number(value)} {interval(low, high)}".strip()


def _sentences(one: Mapping[str, Any], arms: Sequence[str]) -> list[str]:
    """How far each arm is from its optimum, and how much nearer than where it started."""
    made = []
    for arm in arms:
        rows = [row for row in one["distances"] if row["arm"] == arm]
        if rows:
            parts = "; ".join(_away(row, one["reference"]) for row in rows)
            made.append(f"{arm} ({one['knob']} {rows[0]['at']:g}), KL to its optimum: {parts}.")
    return made


def _away(row: Mapping[str, Any], start: str) -> str:
    """Of one arm in one part of the questions."""
    value, low, high, began = (as_float(row[name]) for name in ("value", "low", "high", "start"))
    nearer, least, most = (as_float(row[name]) for name in ("nearer", "nearer_low", "nearer_high"))
    if least > 0:
        moved = f"nearer by {number(nearer)} {interval(least, most)}, {100 * nearer / began:.0f}% of the way"
    elif most < 0:
        moved = f"farther by {number(-nearer)} {interval(-most, -least)}"
    else:
        moved = f"not shown to be nearer ({_with_interval(nearer, least, most)})"
    own = _with_interval(value, low, high)
    return f"{_STRATA.get(row['group'], row['group'])} {own} nats, where {start} has {number(began)}: {moved}"


def _panel(
    summary: Summary, one: Mapping[str, Any], name: str, group: str, slug: str, svgs: dict[str, str]
) -> Panel | None:
    rows = {row["arm"]: row for row in one["points"] if (row["name"], row["group"]) == (name, group)}
    marks = {
        arm: Mark(
            as_float(row["at"]),
            summary.series(arm),
            as_float(row["value"]),
            as_float(row["low"]),
            as_float(row["high"]),
            as_float(row["predicted"]),
            f"{tip(arm, _estimate(row), False)}; its optimum: {number(as_float(row['predicted']))}",
        )
        for arm, row in rows.items()
        if math.isfinite(as_float(row["value"]))
    }
    if not marks:
        return None
    measure = wording.measure(name)
    line = [(row["at"], as_float(row[name])) for row in one["predicted"] if row["group"] == group]
    start = summary.series(one["reference"]) if one["reference"] in summary.arm else None
    anchors = [
        Anchor(_held_against(one, row), as_float(row[name]), start if row["of"] == "start" else None)
        for row in one["references"]
        if row["group"] == group
    ]
    joined = [[marks[arm] for arm in family if arm in marks] for family in one["families"]]
    slug, title = slugged(slug, name, group), f"{measure.title}, {_STRATA[group]}"
    told, root = spoken(mark.tip for mark in marks.values()), name == "between_ratio"
    end = "flatter" if one["knob"] == "entropy_weight" else f"nearer to {one['reference'] or 'the start'}"
    axis = f"{one['knob']} (← sharper, {end} →)"
    svgs[slug] = curve(slug, title, told, list(marks.values()), joined, line, anchors, axis=axis, root=root)
    caption = f"{measure.plain} {measure.direction[:1].upper()}{measure.direction[1:]}."
    return Panel(slug, title, f"{caption} The scale grows with the square root." if root else caption)


def _held_against(one: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """What a row of references is called."""
    return {"start": str(one["reference"]), "people": "people", "even": "every option alike"}[reference["of"]]


def _table(summary: Summary, one: Mapping[str, Any], group: str) -> Table:
    rows = {(row["arm"], row["name"]): row for row in one["points"] if row["group"] == group}
    away = {row["arm"]: row for row in one["distances"] if row["group"] == group}
    columns = [Column("Arm", numeric=False), Column(one["knob"])]
    for name in MEASURES:
        measure = wording.measure(name)
        columns += [Column(measure.title, measure.direction, measure.plain), Column("… at its optimum")]
    columns += [Column("KL to its optimum, nats", "0 is there"), Column("… of the start"), Column("Nearer by")]
    lines = []
    for arm in dict.fromkeys(arm for arm, _ in rows):
        at = next(row["at"] for (of, _), row in rows.items() if of == arm)
        cells = [arm_cell(summary, arm), Cell(f"{at:g}", sort=at)]
        for name in MEASURES:
            row = rows.get((arm, name))
            cells += [estimate_cell(_estimate(row) if row else None), _plain(row and row["predicted"])]
        found = away.get(arm)
        cells.append(estimate_cell(_estimate(found) if found else None))
        cells.append(_plain(found and found["start"]))
        cells.append(_nearer(found))
        lines.append(Row(tuple(cells), summary.series(arm)))
    for row in (row for row in one["references"] if row["group"] == group):
        shown = [cell for each in MEASURES for cell in (_plain(row[each]), Cell(""))]
        lines.append(Row((words(_held_against(one, row)), Cell(""), *shown, *(Cell("") for _ in range(3))), None, True))
    return Table(_STRATA[group].capitalize(), tuple(columns), tuple(lines))


def _plain(value: Any) -> Cell:
    known = as_float(value)
    if not math.isfinite(known):
        return Cell(DASH, why="not known here")
    return Cell(number(known), sort=known)


def _nearer(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell(DASH, why="not known here")
    value, low, high = (as_float(row[name]) for name in ("nearer", "nearer_low", "nearer_high"))
    return Cell(number(value), interval(low, high) or "no interval", value, why=row["method"])


def _estimate(row: Mapping[str, Any]) -> Estimate:
    value, low, high = (as_float(row[name]) for name in ("value", "low", "high"))
    return Estimate(row["name"], row["group"], row["condition"], value, low, high, row["n"], row["method"])
