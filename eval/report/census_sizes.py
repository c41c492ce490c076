"""The census's blocks about size: a ladder of each family, and the two-lines test in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data.tags import FAMILY, SIZE
from eval.census_words import change
from eval.inference import signed
from eval.report import wording
from eval.report.blocks import Block, Panel, slugged, spoken, tip
from eval.report.ladders import Rung, ladders
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, words
from eval.report.wording import DASH

Key = tuple[str, str, str, str]
"""audit, measure, condition, group."""
TURNING = (
    "A turn takes two lines that go opposite ways, one over the sizes up to a cut and one from there on, each by more "
    "than the margin; every size between the ends was tried as the cut, and p is corrected for that (the two-lines "
    "test of Simonsohn 2018). Lines are fitted with a level for each family. “Bend” is the quadratic term in "
    "log size: beside 0 the line is no straight one, which is no turn yet."
)


def sizes(svgs: dict[str, str], summary: Summary, census: Mapping[str, Any]) -> list[Block]:
    """A block a question about sizes: the ladder of each family, and the two-lines test in numbers."""
    made = []
    for row in census["questions"]:
        if row["by"] != SIZE or not row["models"][0]:
            continue
        tables = (_trends(row["trends"]),) if row["trends"] else ()
        panel = _ladder(svgs, summary, census, row)
        title = f"{wording.measure(row['measure'], row['audit']).title} and size ({row['name']})"
        made.append(Block(title, TURNING, tables, (panel,) if panel else (), legend=False))
    return made


def _trends(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("Models", numeric=False),
        Column("Sizes"),
        Column("Over all sizes"),
        Column("Bend"),
        Column("Cut at"),
        Column("Up to the cut"),
        Column("From the cut on"),
        Column("p of a turn"),
        Column("Shape", numeric=False),
    )
    found = []
    for row in rows:
        (bend, low, high), p = (as_float(one) for one in row["bend"]), as_float(row["p"])
        cells = (
            Cell(row["scope"], why=", ".join(row["models"])),
            Cell(str(row["sizes"]), sort=row["sizes"]),
            *(_change(row["line"]), signed_cell(bend, low, high, False)),
            Cell(DASH if row["cut"] is None else f"{row['cut']:g}", sort=row["cut"]),
            *(_change(row["before"]), _change(row["after"])),
            Cell(wording.p_value(p), sort=known(p), why=f"smallest of {row['cuts']} cuts, times {row['cuts']}"),
            words(row["shape"] or "not clear"),
        )
        found.append(Row(cells))
    return Table("Lines over sizes (billions of parameters)", columns, tuple(found))


def _change(one: Mapping[str, Any]) -> Cell:
    value, low, high = (as_float(one[name]) for name in ("value", "low", "high"))
    said = change({**one, "value": value, "low": low, "high": high}) if math.isfinite(value) else ""
    return Cell(signed(value) if said else DASH, wording.interval(low, high), known(value), why=said)


def _ladder(svgs: dict[str, str], summary: Summary, census: Mapping[str, Any], row: Mapping[str, Any]) -> Panel | None:
    """The measure over log size, a line a family, in the colour and shape of its first model."""
    audit, name, condition, group = key_of(row)
    measure = wording.measure(name, audit)
    tags = {one["arm"]: one["tags"] for one in census["models"]}
    ladders_of: dict[str, list[str]] = {}
    for arm in sorted(row["models"][0], key=lambda arm: float(tags[arm][SIZE])):
        ladders_of.setdefault(str(tags[arm].get(FAMILY) or arm), []).append(arm)
    drawn: dict[str, tuple[int, list[Rung]]] = {}
    for family, arms in ladders_of.items():
        rungs = []
        for arm in arms:
            one = summary.get(arm, audit, name, group, condition)
            if one is not None and math.isfinite(one.value):
                rungs.append(Rung(float(tags[arm][SIZE]), one.value, one.low, one.high, tip(arm, one, measure.share)))
        if len({rung.size for rung in rungs}) > 1:
            drawn[family] = (summary.series(arms[0]), rungs)
    if not drawn:
        return None
    slug = slugged("census", "size", row["name"])
    told = spoken(rung.tip for _, rungs in drawn.values() for rung in rungs)
    title = f"{measure.title} by size"
    svgs[slug] = ladders(slug, title, told, drawn, target=measure.target, share=measure.share)
    alone = [family for family in ladders_of if family not in drawn]
    without = f" Not drawn, of one size: {', '.join(alone)}." if alone else ""
    return Panel(slug, measure.title, f"A line a family. Asked: {wording.condition(condition)}.{without}")


def key_of(question: Mapping[str, Any]) -> Key:
    return question["audit"], question["measure"], question["condition"], question["group"]


def signed_cell(value: float, low: float, high: float, share: bool, why: str = "") -> Cell:
    text = wording.number(value, share)
    more = "+" if math.isfinite(value) and value > 0 else ""
    return Cell(f"{more}{text}", wording.interval(low, high, share), known(value), why=why)


def known(value: float) -> float | None:
    return value if math.isfinite(value) else None
