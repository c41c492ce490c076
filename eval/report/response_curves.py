"""The section on response curves: how each measure responds to the diversity of what otherwise equal arms saw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.curve_families import OVER
from eval.curve_fit import FEW, TREND
from eval.curve_words import interval, sentence
from eval.report import evidence, wording
from eval.report.blocks import Block, Panel, slugged
from eval.report.response_figure import Border, Limits, Line, Point, limits, response
from eval.report.summary import NAN, Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, words
from eval.report.wording import DASH, number

FIRST = "first_token"
READ = (
    "Each mark is a cell, one training seed and data draw of an arm, at the diversity that its data turned out to have."
    " The grey line joins the means of levels, the band reaches from their lowest to their highest cell. The straight "
    "line is fitted in log2 of diversity: it says the average change, not the form, and is dashed where no trend is "
    "shown. A dotted vertical line says from where on the measure stays within the margin of its value at the most "
    "diverse arm, the bar at the foot its 95% interval. Where few countries are drawn, which they are moves an arm "
    "more than anything else: intervals rest on the spread between whole sweeps, one a seed and draw, and are wide "
    "with few of them."
)
DIVERSITY = {
    "hill_0": "Countries",
    "hill_1": "Effective countries",
    "ages_hill_1": "Effective age bands",
    "topics_hill_1": "Effective topics",
    "items_hill_1": "Effective questions",
    "mean_js_between": "JS between countries",
}
Curve = Mapping[str, Any]


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """A block for the first-token audit and one, folded, for the others, from summary.json's "response_curves"; figures
    go to `svgs`.
    """
    found = summary.raw.get("response_curves") or {}
    curves: Sequence[Curve] = found.get("curves") or []
    lost = [f"{said}." for said in found.get("left_out") or ()]
    if not curves:
        return (
            [Block("No curve is left", "Arms differ in the diversity of their data alone, but:", points=tuple(lost))]
            if lost
            else []
        )
    over = found["over"]
    scales = _scales(summary, curves)
    curves = sorted(curves, key=lambda curve: [_measure(one) for one in curves].index(_measure(curve)))
    own = [curve for curve in curves if curve["audit"] == FIRST]
    rest = [curve for curve in curves if curve["audit"] != FIRST]
    notes = [*_beside(found["beside"], over), _multiplicity(curves), *lost]
    made = []
    for heading, part, folded in (("Over the " + OVER[over][0], own or rest, False), ("Other audits", rest, True)):
        if not part or (folded and not own):
            continue
        panels = tuple(_panel(summary, curve, over, scales, svgs) for curve in part)
        tables = (_table(part, over), *((_arms(summary, curves),) if not folded else ()))
        intro, points = ("Read as above.", ()) if folded else (READ, tuple(notes))
        made.append(Block(heading, intro, tables, panels, folded, points))
    return made


def _beside(rows: Iterable[Mapping[str, Any]], over: str) -> list[str]:
    return [
        f"Along {row['family']} the {row['what']} changes too, from {row['least']:.3g} to {row['most']:.3g}: what it "
        f"does and what the {OVER[over][0]} does cannot be told apart here."
        for row in rows
    ]


def _multiplicity(curves: Sequence[Curve]) -> str:
    shown = sum(curve["trend"]["state"] == TREND for curve in curves)
    return (
        f"{shown} of {len(curves)} curves show a trend; of curves without any, one in twenty would. None is "
        "pre-registered, and the table has Holm's p over all of them."
    )


def _title(curve: Curve) -> str:
    where = wording.STRATA[curve["group"]]
    title = wording.measure(curve["name"], curve["audit"]).title
    return f"{title}, {where}" if where else title


def _references(summary: Summary, curve: Curve) -> dict[str, float]:
    """What the curve is held against: people, an even guess, the base."""
    key = (curve["audit"], curve["name"])
    rows = summary.references(*key, curve["group"], beside=curve["condition"])
    found = {label: rows[row].value for row, label in _ROWS.items() if row in rows}
    target = wording.measure(curve["name"], curve["audit"]).target
    if target is not None:
        found["people"] = target
    if summary.base and (base := summary.get(summary.base, *key, curve["group"], curve["condition"])):
        found[summary.base] = base.value
    return {label: value for label, value in found.items() if math.isfinite(value)}


_ROWS = {"reference:people_again": "people again", "reference:uniform": "even guess", "reference:people": "people"}


def _scales(summary: Summary, curves: Sequence[Curve]) -> dict[tuple[str, ...], Limits]:
    """One value axis a measure for all families, so that they can be held against each other."""
    values: dict[tuple[str, ...], list[float]] = {}
    references = {}
    for curve in curves:
        key = _measure(curve)
        values.setdefault(key, []).extend(cell["value"] for cell in curve["cells"])
        references[key] = _references(summary, curve)
    return {key: limits(found, references[key]) for key, found in values.items()}


def _measure(curve: Curve) -> tuple[str, ...]:
    return tuple(curve[part] for part in ("audit", "name", "condition", "group"))


def _panel(
    summary: Summary, curve: Curve, over: str, scales: Mapping[tuple[str, ...], Limits], svgs: dict[str, str]
) -> Panel:
    measure, title = wording.measure(curve["name"], curve["audit"]), _title(curve)
    slug = slugged("response", *_measure(curve), curve["family"])
    points = [
        Point(cell["diversity"], cell["value"], summary.series(cell["arm"]), _tip(cell, over, measure.share))
        for cell in curve["cells"]
    ]
    trend, settled = curve["trend"], curve["settled"]
    fitted = trend["state"] != FEW
    line = Line(trend["slope"], trend["intercept"], trend["state"] == TREND) if fitted else None
    border = Border(*(as_float(settled[end]) for end in ("value", "low", "high"))) if settled["looked"] else None
    said = sentence(curve, over, title)
    svgs[slug] = response(
        slug,
        f"{title}, {curve['family']}",
        said,
        points,
        line=line,
        border=border,
        references=_references(summary, curve),
        within=scales[_measure(curve)],
        axis=OVER[over][0],
        share=measure.share,
    )
    direction = f" {measure.direction[:1].upper()}{measure.direction[1:]}." if measure.direction else ""
    return Panel(
        slug, f"{title}: {curve['family']}", f"{said}{direction} Asked: {wording.condition(curve['condition'])}."
    )


def _tip(cell: Mapping[str, Any], over: str, share: bool) -> str:
    where = f"seed {cell['seed']}, draw {cell['draw']}"
    return f"{cell['arm']}, {where}: {number(cell['value'], share)} at {OVER[over][0]} {cell['diversity']:.3g}"


def _table(curves: Sequence[Curve], over: str) -> Table:
    columns = (
        Column("Measure", numeric=False),
        Column("Arms", numeric=False),
        Column("Change a doubling", plain=f"Slope of the line on log2 of the {OVER[over][0]}."),
        Column("Change over the sweep", plain="By the line, from the least to the most diverse arm."),
        Column("p (Holm)"),
        Column("Levels off at", plain="From which diversity on there is no further gain or loss beyond the margin."),
        Column("Margin"),
    )
    rows = []
    for curve in curves:
        trend, why = curve["trend"], f"n = {wording.count(curve['n'])}; {curve['method']}"
        margin, p = as_float(curve["margin"]), as_float(trend["p_holm"])
        cells = (
            Cell(_title(curve), wording.measure(curve["name"], curve["audit"]).direction),
            words(curve["family"]),
            _estimated(trend, ("slope", "low", "high"), why),
            _estimated(trend, ("change", "change_low", "change_high"), why),
            Cell(wording.p_value(p), sort=p if math.isfinite(p) else None),
            _levels_off(curve),
            Cell(f"{margin:g}" if math.isfinite(margin) else DASH, sort=margin if math.isfinite(margin) else None),
        )
        rows.append(Row(cells))
    notes = tuple(dict.fromkeys(f"Intervals: {curve['method']}." for curve in curves))
    return Table("Trends, and where they level off", columns, tuple(rows), notes)


def _estimated(trend: Mapping[str, Any], keys: tuple[str, str, str], why: str) -> Cell:
    value, low, high = (as_float(trend[key]) for key in keys)
    if not math.isfinite(value):
        return Cell(DASH, why=f"no line: {trend['state']}")
    return Cell(number(value), wording.interval(low, high) or "no interval", value, why=why)


def _levels_off(curve: Curve) -> Cell:
    settled = curve["settled"]
    if not settled["looked"]:
        return Cell(DASH, why=f"not looked for: {curve['trend']['state']}")
    value = as_float(settled["value"])
    text = f"{value:.2g}" if math.isfinite(value) else "not within the sweep"
    return Cell(text, interval(curve), value if math.isfinite(value) else None)


def _arms(summary: Summary, curves: Sequence[Curve]) -> Table:
    """What the arms' data turned out to be: the mean over cells, and from least to most."""
    names = list(dict.fromkeys(arm for curve in curves for arm in curve["arms"]))
    columns = (Column("Arm", numeric=False), *(Column(title) for title in DIVERSITY.values()))
    rows = []
    for name in names:
        drawn = [(cell.get("manifest") or {}).get("mixture") or {} for cell in summary.arm[name]["cells"]]
        rows.append(Row((words(name), *(_span(drawn, key) for key in DIVERSITY)), summary.series(name)))
    return Table("What the arms' data turned out to be", columns, tuple(rows))


def _span(drawn: Sequence[Mapping[str, Any]], key: str) -> Cell:
    values = [value for value in (as_float(one.get(key, NAN)) for one in drawn) if math.isfinite(value)]
    if not values:
        return Cell(DASH, why="undefined: there are not two of them, or none is stated")
    mean = sum(values) / len(values)
    alike = max(values) - min(values) < 0.0005
    return Cell(number(mean), "" if alike else f"{number(min(values))} to {number(max(values))}", mean)
