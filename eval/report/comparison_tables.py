"""The report's tables of differences between arms, of factors' effects, and of what each arm was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.cells import UNTRAINED
from eval.report import wording
from eval.report.summary import Summary, as_float
from eval.report.tables import Cell, Column, Row, Table, fact, group_words, notes, words
from eval.report.wording import DASH

DIVERSITY = {
    "hill_0": "countries",
    "hill_1": "effective_countries",
    "items_hill_1": "effective_items",
    "mean_js_between": "js_distance_between_countries",
}
"""What `data.diversity` measured of a mixture → what the column is called."""


def comparison_table(summary: Summary, rows: Sequence[Mapping[str, Any]], caption: str) -> Table | None:
    """Paired differences, arm minus the arm it is held against."""
    if not rows:
        return None
    columns = (
        Column("Arm", numeric=False),
        Column("minus", numeric=False),
        Column("Measure", numeric=False),
        Column("Over", numeric=False),
        Column("Asked with", numeric=False),
        Column("Difference"),
        Column("On these questions", "", "The interval over countries alone, for the questions that were asked."),
        Column("p", "", "Two-sided bootstrap p-value."),
        Column("p, Holm", "", "Corrected for the number of primary comparisons; exploratory ones have none."),
        Column("n"),
        Column("Noise covered", numeric=False),
    )
    found = []
    for row in rows:
        what, difference, n, method = _signed_cells(row)
        p = (_p(row.get("p")), _p(row.get("p_holm")))
        share = wording.measure(row["name"], row["audit"]).share
        low, high = (as_float(row.get(name)) for name in ("low_here", "high_here"))
        here = Cell(wording.interval(low, high, share) or DASH, sort=low if math.isfinite(low) else None)
        cells = (words(row["arm"]), words(row["against"]), *map(words, what), difference, here, *p, n, method)
        found.append(Row(cells, summary.series(row["arm"]) if row["arm"] in summary.arms else None))
    names = list(dict.fromkeys(row["name"] for row in rows))
    return Table(caption, columns, tuple(found), notes(columns, (), names))


def effects_table(effects: Mapping[str, Any]) -> Table | None:
    """What each factor does to each measure, from summary.json's "effects"; None where nothing was decomposed."""
    if not effects.get("rows"):
        return None
    columns = (
        Column("Effect", numeric=False),
        Column("Value"),
        Column("p", "", "Two-sided bootstrap p-value."),
        Column("n"),
        Column("Measure", numeric=False),
        Column("Over", numeric=False),
        Column("Asked with", numeric=False),
        Column("Method", numeric=False),
    )
    found = []
    for row in effects["rows"]:
        (title, *where), value, n, method = _signed_cells(row)
        measure = Cell(title, wording.measure(row["name"], row["audit"]).direction)
        found.append(Row((words(row["effect"]), value, _p(row.get("p")), n, measure, *map(words, where), method)))
    return Table("Effects (exploratory)", columns, tuple(found), tuple(effects.get("notes") or ()))


def _signed_cells(row: Mapping[str, Any]) -> tuple[tuple[str, str, str], Cell, Cell, Cell]:
    """(measure, group, condition) in words, value with its interval, n and method of a comparison or an effect."""
    measure = wording.measure(row["name"], row["audit"])
    value, low, high = (as_float(row.get(name)) for name in ("value", "low", "high"))
    what = (measure.title, group_words(row["group"]), wording.condition(row["condition"]))
    bounds = wording.interval(low, high, measure.share)
    shown = Cell(signed(value, measure.share), bounds, value if math.isfinite(value) else None)
    return what, shown, Cell(wording.count(row.get("n")), sort=as_float(row.get("n"))), words(row.get("method", ""))


def signed(value: float, share: bool = False) -> str:
    text = wording.number(value, share)
    return f"+{text}" if math.isfinite(value) and value > 0 else text


def _p(value: Any) -> Cell:
    p = as_float(value)
    return Cell(wording.p_value(p), sort=p if math.isfinite(p) else None)


def training_table(summary: Summary) -> Table | None:
    """What each arm was trained on: everything that summary.json says, one row an arm."""
    training = {arm: _spent(summary, arm) for arm in summary.arms}
    keys = list(
        dict.fromkeys(k for facts in training.values() for k, v in facts.items() if not isinstance(v, dict | list))
    )
    columns = [Column("Arm", numeric=False)] + [
        Column(title, numeric=False) for title in ("Recipe", "Adapter", "Mixture", "At inference")
    ]
    columns += [Column(title) for title in ("Seed no.", "Draw no.")] + [
        Column(wording.plain_name(key).capitalize()) for key in keys
    ]
    rows = []
    for name in summary.arms:
        arm = summary.arm[name]
        trained = arm.get("recipe") != UNTRAINED
        parts = [arm.get(k) if trained or k == "inference" else DASH for k in ("adapter", "mixture", "inference")]
        head = [words(name), words(arm.get("recipe") or DASH), *(words(part or DASH) for part in parts)]
        head += [words(", ".join(map(str, arm.get(k) or [])) or DASH) for k in ("seeds", "draws")]
        rows.append(Row((*head, *(fact(training[name].get(key)) for key in keys)), summary.series(name)))
    return Table("Training", tuple(columns), tuple(rows)) if rows else None


def made(arm: Mapping[str, Any]) -> str:
    """How an arm came to be, in a few words: "recipe sft → rlhf, adapter full, mixture diverse"."""
    inference = arm.get("inference", UNTRAINED)
    asked = "" if inference == UNTRAINED else f", asked with {inference}"
    if arm.get("recipe") == UNTRAINED:
        return f"untrained{asked}"
    parts = (f"{part} {arm[part]}" for part in ("recipe", "adapter", "mixture") if arm.get(part))
    return f"{', '.join(parts)}{asked}"


def _spent(summary: Summary, arm: str) -> dict[str, Any]:
    """What the first cell's training cost (its manifest's budget, where something was spent), how diverse the people
    were that it saw, and what it was set to.
    """
    manifests = [cell.get("manifest") or {} for cell in summary.arm[arm].get("cells", [])]
    first = manifests[0] if manifests else {}
    budget, drawn = first.get("budget") or {}, first.get("mixture") or {}
    spent = budget if any(budget.values()) else {}
    diversity = {name: drawn[key] for key, name in DIVERSITY.items() if drawn.get(key) is not None}
    return {**spent, **diversity, **((summary.raw.get("training") or {}).get(arm) or {})}
