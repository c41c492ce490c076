"""The report's tables: what stands in which cell, where it comes from, and why a cell is empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eval.records import Estimate
from eval.report import wording
from eval.report.summary import DRAWN, Summary, as_float
from eval.report.wording import DASH, REFERENCE

NOT_COMPUTED = "not computed for this row"
MANNER = " ("
"""In a condition: what follows is the style or language of a further way of asking the same."""
_DENSE = 0.7
MOST_ROWS = 500
"""No table on the page is longer: it is cut there and says so."""
MOST_NOTES = 4
ACROSS = 8
"""So many columns stand beside each other where a table of too many arms is turned."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`text` with its `interval` below; `sort` orders a column (None: text); `key` names the estimate of summary.json
    that the numbers are; `why` says where the interval comes from, or why there is none.
    """

    text: str
    interval: str = ""
    sort: float | None = None
    key: str = ""
    why: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """`series` where the column is an arm's, so that hiding the arm hides it."""

    title: str
    direction: str = ""
    plain: str = ""
    numeric: bool = True
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]
    series: int | None = None
    reference: bool = False


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    meanings: tuple[tuple[str, str, str], ...] = ()


def arm_columns(summary: Summary, arms: Sequence[str] | None = None) -> tuple[Column, ...]:
    """A column an arm: of all arms, or of these."""
    return tuple(Column(arm, series=summary.series(arm)) for arm in (summary.arms if arms is None else arms))


def readable(table: Table) -> tuple[Table, ...]:
    """The table as the page can show it: with arms in rows where they are too many to stand side by side, in parts of
    ACROSS columns, and no part longer than MOST_ROWS.
    """
    arms = [place for place, column in enumerate(table.columns) if column.series is not None]
    if len(arms) <= DRAWN or len({table.columns[place].series for place in arms}) < len(arms):
        return (_cut(table),)
    heads = [place for place in range(len(table.columns)) if place not in arms]
    columns = []
    for row in table.rows:
        title, *more = (row.cells[place] for place in heads)
        said = "; ".join(text for text in (*(cell.text for cell in more), title.interval) if text)
        columns.append(Column(title.text, said))
    parts = []
    for start in range(0, len(columns), ACROSS):
        rows = [
            Row((words(table.columns[place].title), *(row.cells[place] for row in table.rows[start : start + ACROSS])),
                table.columns[place].series)
            for place in arms
        ]  # fmt: skip
        which = f" ({1 + start // ACROSS} of {-(-len(columns) // ACROSS)})" if len(columns) > ACROSS else ""
        shown = (Column("Arm", numeric=False), *columns[start : start + ACROSS])
        parts.append(_cut(Table(table.caption + which, shown, tuple(rows))))
    parts[-1] = replace(parts[-1], notes=table.notes, meanings=table.meanings)
    return tuple(parts)


def _cut(table: Table) -> Table:
    if len(table.rows) <= MOST_ROWS:
        return table
    note = f"The first {MOST_ROWS} of {len(table.rows)} rows; the others stand in summary.json or the cells' evidence."
    return replace(table, rows=table.rows[:MOST_ROWS], notes=(note, *table.notes))


def words(text: Any, tone: str = "") -> Cell:
    return Cell(str(text), tone=tone)


def estimate_cell(estimate: Estimate | None, key: Sequence[str] = (), share: bool = False) -> Cell:
    """An estimate with its interval, or a dash with the reason."""
    if estimate is None:
        return Cell(DASH, why=NOT_COMPUTED)
    why = f"n = {wording.count(estimate.n)}; {estimate.method}"
    if not math.isfinite(estimate.value):
        return Cell(DASH, key="|".join(key), why=_undefined(estimate))
    text = wording.number(estimate.value, share)
    bounds = wording.interval(estimate.low, estimate.high, share)
    return Cell(text, bounds or "no interval", estimate.value, "|".join(key), why)


def _undefined(estimate: Estimate) -> str:
    needs, method = wording.measure(estimate.name).needs, estimate.method
    if needs or not method:
        return f"undefined here: it {needs}" if needs else "undefined, without a reason recorded"
    return method if method.startswith("undefined") else f"undefined ({method})"


def notes(columns: Sequence[Column], rows: Sequence[Row], names: Sequence[str] = ()) -> tuple[str, ...]:
    """What to know of the measures `names`, and why there are dashes and missing intervals, once for each reason."""
    shown = [wording.measure(name) for name in names]
    cautions = tuple(f"{one.title}: {one.caution}." for one in shown if one.caution)
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for column, cell in zip(columns, row.cells, strict=True):
            if cell.text == DASH and cell.why and not (row.reference and cell.why == NOT_COMPUTED):
                reasons.setdefault(f"{DASH} {cell.why}", []).append(column.title)
            elif cell.interval == "no interval":
                why = cell.why.split("; ", 1)[-1].removeprefix("no interval: ")
                reasons.setdefault(f"no interval: {why}", []).append(column.title)
    said = [f"{', '.join(dict.fromkeys(titles))}: {reason}." for reason, titles in reasons.items()]
    if len(said) > MOST_NOTES:
        rest = len(said) - MOST_NOTES
        said[MOST_NOTES:] = [f"{rest} more reasons like these: each is said where the pointer rests on its cell."]
    return (*cautions, *said)


def _measure_columns(names: Sequence[str], audit: str = "") -> list[Column]:
    found = [wording.measure(name, audit) for name in names]
    return [Column(m.title, m.direction, m.plain) for m in found]


def arm_cell(summary: Summary, arm: str) -> Cell:
    status, _ = summary.validity(arm)
    ranked = status not in ("collapsed", "incomplete")
    return Cell(arm, "" if ranked else wording.STATUS[status], tone=status if status != "valid" else "")


def measure_tables(summary: Summary, audit: str) -> tuple[list[Table], list[Table]]:
    """Tables of the audit's measures, a family each: first what matters most, then the rest.

    First: held-out units under the main condition, an arm a row, then the reference rows. The rest: other
    conditions and items seen in training; further styles and languages have tables of their own. Measures that were
    mostly taken under different conditions stand measure × condition in rows instead, with the arms side by side, all
    of them in the first list.
    """
    first: list[Table] = []
    rest: list[Table] = []
    for family, title in wording.FAMILIES.items():
        for group in wording.STRATA:
            names = [n for n in summary.values(audit, "name", group) if wording.measure(n, audit).family == family]
            every = dict.fromkeys(c for name in names for c in summary.conditions(audit, name, group))
            asked = [c for c in every if MANNER not in c]
            if not asked:
                continue
            where = f"{title}: {wording.STRATA[group]}" if wording.STRATA[group] else title
            full = sum(len(summary.conditions(audit, name, group)) for name in names) >= _DENSE * len(names) * len(
                asked
            )
            if not full:
                rows = list(dict.fromkeys(c for name in names for c in summary.values(audit, "condition", group, name)))
                drift = [c for c in rows if c.startswith((wording.TRAINING, f"{REFERENCE}asked_again:"))]
                plain = [c for c in rows if c not in drift]
                (first if group == "all" else rest).append(_side_by_side(summary, audit, group, names, where, plain))
                if drift:
                    what = f"{where}: trained against base"
                    rest.append(_side_by_side(summary, audit, group, names, what, drift))
                continue
            by_itself = family == "home" and "none" in asked
            main = "none" if by_itself else summary.main_condition(audit, names, group) or asked[0]
            for condition in [main, *(one for one in asked if one != main)]:
                words_ = f"{where} ({wording.condition(condition)})"
                table = _by_arm(summary, audit, group, names, words_, condition)
                (first if (group, condition) == ("all", main) else rest).append(table)
    return first, rest


def _by_arm(summary: Summary, audit: str, group: str, names: Sequence[str], title: str, condition: str) -> Table:
    rows = []
    names = [name for name in names if condition in summary.conditions(audit, name, group)]
    shares = [wording.measure(name, audit).share for name in names]
    for arm in summary.arms:
        keys = [(arm, audit, name, group, condition) for name in names]
        found = [summary.estimates.get(key) for key in keys]
        if any(found):
            cells = [estimate_cell(one, key, share) for one, key, share in zip(found, keys, shares, strict=True)]
            rows.append(Row((arm_cell(summary, arm), *cells), summary.series(arm)))
    beside = {name: summary.references(audit, name, group, beside=condition) for name in names}
    for reference in dict.fromkeys(c for found in beside.values() for c in found):
        cells = [
            estimate_cell(beside[name].get(reference), (), share) for name, share in zip(names, shares, strict=True)
        ]
        rows.append(Row((words(wording.condition(reference.split(" (")[0])), *cells), None, True))
    columns = [Column("Arm", numeric=False), *_measure_columns(names, audit)]
    return Table(title, tuple(columns), tuple(rows), notes(columns, rows, names))


def _side_by_side(
    summary: Summary, audit: str, group: str, names: Sequence[str], title: str, conditions: Sequence[str]
) -> Table:
    columns = [Column("Measure", numeric=False), Column("Asked with", numeric=False), *arm_columns(summary)]
    rows = []
    for name in names:
        for condition in conditions:
            keys = [(arm, audit, name, group, condition) for arm in summary.arms]
            found = [summary.estimates.get(key) for key in keys]
            if any(found):
                share = wording.measure(name, audit).share
                cells = [estimate_cell(one, key, share) for one, key in zip(found, keys, strict=True)]
                head = Cell(wording.measure(name, audit).title, wording.measure(name, audit).direction)
                rows.append(
                    Row((head, words(wording.condition(condition)), *cells), None, condition.startswith(REFERENCE))
                )
    return Table(title, tuple(columns), tuple(rows), notes(columns, rows, names))


def meanings(names: Sequence[str], audit: str = "") -> tuple[tuple[str, str, str], ...]:
    """(title, one line, direction) of each measure that has words."""
    found = (wording.measure(name, audit) for name in dict.fromkeys(names))
    return tuple((m.title, m.plain, m.direction) for m in found if m.plain)


def gate_table(summary: Summary) -> Table:
    """Arm by arm: status, reasons, and the figures behind them (summary.json: arms[].validity.figures)."""
    figures = {arm: summary.arm[arm].get("validity", {}).get("figures") or {} for arm in summary.arms}
    names = list(dict.fromkeys(name for found in figures.values() for name in found))
    columns = [Column("Arm", numeric=False), Column("Status", numeric=False), *_measure_columns(names)]
    columns.append(Column("Reasons", numeric=False))
    rows = []
    for arm in summary.arms:
        status, reasons = summary.validity(arm)
        shown = status.upper() if status == "collapsed" else status
        cells = [words(arm), Cell(shown, why=wording.STATUS.get(status, ""), tone=status)]
        for name in names:
            value = as_float(figures[arm].get(name))
            text = wording.number(value, wording.measure(name).share)
            cells.append(
                Cell(text, sort=value if math.isfinite(value) else None, why="" if text != DASH else "not measured")
            )
        rows.append(Row((*cells, words("; ".join(reasons) or "none")), summary.series(arm)))
    return Table("What the gate found", tuple(columns), tuple(rows), notes(columns, rows), meanings(names))


def group_words(group: str) -> str:
    """`"age=18-29"` → `"age 18-29"`; `"country=NOR"` → `"Norway"`; `"all"` → `"held out"`."""
    if group == "all":
        return "held out"
    name, _, value = group.partition("=")
    if name == "country" and value:
        return wording.country(value)
    return f"{wording.plain_name(name)} {value}".strip()


def fact(value: Any) -> Cell:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return Cell(wording.count(value), sort=number)


def plain_table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table | None:
    """A table of words and counts; None when it would be empty."""
    if not rows:
        return None
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(titles))]
    columns = tuple(Column(title, numeric=is_number) for title, is_number in zip(titles, numeric, strict=True))
    return Table(caption, columns, tuple(Row(tuple(fact(value) for value in row)) for row in rows))
