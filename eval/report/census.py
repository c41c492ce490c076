"""The census's section: the questions with their answers, every model with its tags, groups of models, and sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data.tags import ORIGIN, SIZE, TAGS
from eval.inference import signed
from eval.report import evidence, figures, wording
from eval.report.blocks import Block, Panel, dot, slugged, spoken
from eval.report.census_sizes import Key, key_of, known, signed_cell, sizes
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, arm_cell, estimate_cell, notes, words
from eval.report.wording import DASH

MORE = (
    ("first_token", "js_distance", "country", "all"),
    ("first_token", "between_ratio", "country", "all"),
    ("first_token", "within_ratio", "country", "all"),
    ("first_token", "us_centrism", "none", "all"),
    ("first_token", "age_gap", "country+age", "all"),
)
"""What stands beside every model, whatever the questions are."""
HOLDS = (
    "Nothing was trained here: two models differ in all that their makers did, so what is found is found of "
    "these models. Intervals cover the choice of questions and countries, with the models as given; models are few and "
    "no sample of anything. In a group every family counts alike, and every model alike within its family. “Divided "
    "otherwise” is how often the same families, divided at random into groups as large, differ as much: where that is "
    "often, the tag by which they were divided says little."
)


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """The blocks of summary.json's "census"; none where there was no census."""
    census: Mapping[str, Any] = summary.raw.get("census") or {}
    if not census:
        return []
    keys = list(dict.fromkeys((*map(key_of, census["questions"]), *MORE)))
    made = [
        Block("The questions and their answers", HOLDS, (_questions(census["questions"]),)),
        Block(
            "Every model",
            "As asked alike, with 95% intervals over questions and countries, each for its own model. A heading sorts. "
            "Models that could not be had or answered too little stand here with the reason and take no part.",
            (_models(summary, census, keys),),
        ),
    ]
    if panels := tuple(filter(None, (_panel(svgs, summary, census, key) for key in keys[:6]))):
        made.append(
            Block(
                "Models by origin",
                "A row a model, sorted by origin and then by value. Grey: the mean of an origin's families.",
                panels=panels,
                legend=False,
            )
        )
    if census["groups"]:
        table = _groups(census["groups"], list(dict.fromkeys(map(key_of, census["questions"]))))
        made.append(Block("Groups of models", "Means over families, on what all models share.", (table,), folded=True))
    return made + sizes(svgs, summary, census)


def _questions(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("Question", numeric=False),
        Column("Answer", numeric=False),
        Column("Measure", numeric=False),
        Column("Found", "", "The difference of the groups, the mean over all models, or the p-value of a turn."),
        Column("p, Holm", "", "Corrected for the number of questions."),
        Column("Without any one model", "", "The least and the largest difference when one model is left out."),
        Column("Divided otherwise", "", "Share of the divisions of the same families that differ as much."),
    )
    found, remarks = [], []
    for row in rows:
        measure = wording.measure(row["measure"], row["audit"])
        ends = [as_float(end) for end in row["without_one"] or (None, None)]
        share = as_float((row["exchange"] or {}).get("share"))
        value, low, high, p = (as_float(row[name]) for name in ("value", "low", "high", "p_holm"))
        shown = signed_cell(value, low, high, measure.share, row["method"])
        if row["left_out"]:
            reasons = dict.fromkeys(row["left_out"].values())
            told = (f"{', '.join(n for n, why in row['left_out'].items() if why == one)} ({one})" for one in reasons)
            remarks.append(f"{row['name']}: without {'; '.join(told)}.")
        tone = {"SUPPORTED": "valid", "CONTRADICTED": "collapsed"}.get(row["verdict"], "")
        cells = (
            Cell(row["name"], why=row["statement"]),
            Cell(row["verdict"], tone=tone),
            Cell(measure.title, wording.condition(row["condition"])),
            shown,
            Cell(wording.p_value(p), sort=p if math.isfinite(p) else None),
            Cell(f"{signed(ends[0])} to {signed(ends[1])}" if math.isfinite(ends[0]) else DASH, sort=known(ends[0])),
            Cell(wording.number(share, True), f"of {row['exchange']['ways']}" if known(share) is not None else "",
                 known(share)),
        )  # fmt: skip
        found.append(Row(cells))
    return Table("What was asked before the run, and what was found", columns, tuple(found), tuple(remarks))


def _models(summary: Summary, census: Mapping[str, Any], keys: Sequence[Key]) -> Table:
    arms = [row["arm"] for row in census["models"]]
    keys = [key for key in keys if any(summary.get(arm, *_place(key)) for arm in arms)]
    own = dict.fromkeys(tag for row in census["models"] for tag in row["tags"])
    tags = [*TAGS, *(tag for tag in own if tag not in TAGS)]
    columns = [Column("Model", numeric=False)]
    columns += [Column("Billions" if tag == SIZE else tag.capitalize(), numeric=tag == SIZE) for tag in tags]
    for audit, name, condition, _ in keys:
        measure = wording.measure(name, audit)
        said = "; ".join(filter(None, (wording.condition(condition), measure.direction)))
        columns.append(Column(measure.title, said, measure.plain))
    columns.append(Column("Source", numeric=False))
    rows = []
    for row in census["models"]:
        arm, shown = row["arm"], []
        for audit, name, condition, group in keys:
            found = summary.get(arm, audit, name, group, condition)
            cell = estimate_cell(found, (arm, audit, name, group, condition), wording.measure(name, audit).share)
            shown.append(Cell(DASH, why=row["missing"]) if row["missing"] else cell)
        why = row["missing"] or row["source"]
        cells = (arm_cell(summary, arm), *(_tag(row["tags"].get(tag)) for tag in tags), *shown, words(why))
        rows.append(Row(cells, summary.series(arm)))
    return Table("Models, their tags and their measures", tuple(columns), tuple(rows), notes(columns, rows))


def _place(key: Key) -> tuple[str, str, str, str]:
    """The key as `Summary.get` takes it: audit, measure, group, condition."""
    audit, name, condition, group = key
    return audit, name, group, condition


def _tag(value: Any) -> Cell:
    number = float(value) if isinstance(value, int | float) else None
    return Cell(DASH if value is None else f"{value:g}" if number is not None else str(value), sort=number)


def _panel(svgs: dict[str, str], summary: Summary, census: Mapping[str, Any], key: Key) -> Panel | None:
    """One measure of every model, sorted by origin; the means of origins as references."""
    audit, name, condition, group = key
    measure = wording.measure(name, audit)
    points = []
    for row in census["models"]:
        one = summary.get(row["arm"], audit, name, group, condition)
        ranked = row["status"] not in ("collapsed", "incomplete")
        if ranked and one is not None and math.isfinite(one.value):
            origin = str(row["tags"].get(ORIGIN) or "unknown")
            points.append(
                (
                    origin,
                    one.value,
                    dot(f"{origin}: {row['arm']}", summary.series(row["arm"]), row["arm"], one, measure.share),
                )
            )
    if not points:
        return None
    points.sort(key=lambda point: point[:2])
    means = {
        f"{row['level']}, mean": as_float(row["value"])
        for row in census["groups"]
        if row["by"] == ORIGIN and (row["audit"], row["name"], row["condition"], row["group"]) == key
    }
    slug = slugged("census", *key[:3])
    drawn = [point[2] for point in points]
    svgs[slug] = figures.dots(
        slug,
        f"{measure.title} by origin",
        spoken(one.tip for one in drawn),
        drawn,
        references=means,
        target=measure.target,
        share=measure.share,
        one_row_each=True,
    )
    direction = f" {measure.direction[:1].upper()}{measure.direction[1:]}." if measure.direction else ""
    return Panel(slug, measure.title, f"{measure.plain}{direction} Asked: {wording.condition(condition)}.")


def _groups(rows: Sequence[Mapping[str, Any]], keys: Sequence[Key]) -> Table:
    columns = [Column("By", numeric=False), Column("Group", numeric=False), Column("Models")]
    for audit, name, condition, _ in keys:
        columns.append(Column(wording.measure(name, audit).title, wording.condition(condition)))
    found = {(row["by"], row["level"], row["audit"], row["name"], row["condition"], row["group"]): row for row in rows}
    made = []
    for by, level in dict.fromkeys((row["by"], row["level"]) for row in rows):
        here = [found.get((by, level, *key)) for key in keys]
        names = max((row["models"] for row in here if row), key=len)
        cells = [words(by or DASH), words(level), Cell(str(len(names)), sort=len(names), why=", ".join(names))]
        for row, (audit, name, *_) in zip(here, keys, strict=True):
            share = wording.measure(name, audit).share
            cells.append(Cell(DASH, why="not measured") if row is None else _plain(row, share))
        made.append(Row(tuple(cells)))
    return Table("Groups of models by their tags", tuple(columns), tuple(made))


def _plain(row: Mapping[str, Any], share: bool) -> Cell:
    value, low, high = (as_float(row[name]) for name in ("value", "low", "high"))
    why = f"n = {wording.count(row['n'])}; {row['method']}"
    return Cell(wording.number(value, share), wording.interval(low, high, share), known(value), why=why)
