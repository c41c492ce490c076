"""The dilemma audit's own part of the report: what was asked, how firm each choice is, and which dilemmas turn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.dilemmas.corpus import VALUES
from eval.dilemmas.bradley_terry import POLES
from eval.dilemmas.estimates import EXACT
from eval.dilemmas.measures import flips, preferences
from eval.dilemmas.questions import ALONE, NEUTRAL, REPEAT
from eval.dilemmas.scores import BY_CHANCE, numbered
from eval.report import evidence, wording
from eval.report.blocks import Block, Panel, slugged, spoken, tip
from eval.report.lines import Moment, lines
from eval.report.summary import Summary
from eval.report.tables import Cell, Column, Row, Table, arm_columns, estimate_cell, plain_table, words

AUDIT = "edc"
EXAMPLES = 3
_NEEDED = ("dilemma", "value_0", "value_1", "context", "condition", "p_action_0", "weight")
_TEXTS = ("scenario", "action_0", "action_1")
_BESIDE = ("decisiveness", "flip_rate", "kendall_tau", "excess_disagreement", "js_distance")


def blocks(summary: Summary, cells: Sequence[evidence.Cell], svgs: dict[str, str]) -> list[Block]:
    """What this summary and these cells have evidence for; figures go into `svgs`. Empty without the audit."""
    if AUDIT not in summary.audits:
        return []
    items = _items(cells)
    found = [_conditions(summary), _length(summary, svgs), _priorities(summary), _asked(items), _examples(items)]
    return [block for block in found if block is not None]


def _items(cells: Sequence[evidence.Cell]) -> dict[str, pd.DataFrame]:
    """The evidence of the first cell of each arm that has one."""
    found: dict[str, pd.DataFrame] = {}
    for cell in cells:
        table = None if cell.arm in found else evidence.read_items(cell, AUDIT, (*_NEEDED, *_TEXTS))
        if table is not None and len(table) and set(_NEEDED) <= set(table):
            found[cell.arm] = table
    return found


def _conditions(summary: Summary) -> Block | None:
    every = [c for c in summary.conditions(AUDIT, "flip_rate") if not c.startswith(wording.TRAINING)]
    if not every:
        return None
    measures = [wording.measure(name, AUDIT) for name in _BESIDE]
    columns = [Column("Asked with", numeric=False), Column("Arm", numeric=False)]
    columns += [Column(one.title, one.direction, one.plain) for one in measures]
    columns.append(Column("Floor of the distance", "", "What asking the same again would show."))
    rows = []
    for condition in every:
        for arm in summary.arms:
            keys = [(arm, AUDIT, name, "all", condition) for name in _BESIDE]
            found = [summary.estimates.get(key) for key in keys]
            if not any(found):
                continue
            cells = [
                estimate_cell(one, key, measure.share) for one, key, measure in zip(found, keys, measures, strict=True)
            ]
            chance = summary.get(arm, AUDIT, "js_distance", "all", BY_CHANCE)
            floor = estimate_cell(chance) if condition == REPEAT else Cell("0", "exact", 0.0, why=EXACT)
            rows.append(Row((words(wording.condition(condition)), words(arm), *cells, floor), summary.series(arm)))
    return Block(
        "Every condition against the plain question",
        "Probabilities are read off exactly, so the same question asked again gives the same answer and the floor is "
        "0; texts are sampled and have the floor shown. Read flips beside how far the preferred action leads: a model "
        "that decides by next to nothing flips at every touch. With the two actions exchanged the same dilemma is "
        "asked in its other order; everything else is averaged over both orders.",
        (Table("Conditions", tuple(columns), tuple(rows)),),
    )


def _length(summary: Summary, svgs: dict[str, str]) -> Block | None:
    lengths = numbered(summary.conditions(AUDIT, "js_distance"), NEUTRAL)
    panels = []
    for name in ("js_distance", "flip_rate"):
        measure = wording.measure(name, AUDIT)
        paths: dict[int, list[Moment]] = {}
        for arm in summary.drawn:
            series = summary.series(arm)
            path = [Moment(0, series, 0.0, math.nan, math.nan, f"{arm}: asked plainly, 0 by definition")]
            for turns, condition in lengths.items():
                found = summary.get(arm, AUDIT, name, "all", condition)
                if found and math.isfinite(found.value):
                    said = f"{turns} exchanges: {tip(arm, found, measure.share)}"
                    path.append(Moment(turns, series, found.value, found.low, found.high, said))
            if len(path) > 1:
                paths[series] = path
        if not paths:
            continue
        slug = slugged(AUDIT, name, "length")
        described = spoken(moment.tip for path in paths.values() for moment in path)
        title = f"{measure.title} by length of the dialogue"
        svgs[slug] = lines(
            slug, title, described, paths, axis="exchanges of small talk before the question", share=measure.share
        )
        panels.append(Panel(slug, title, f"{measure.plain} At 0 nothing has changed, by definition."))
    if not panels:
        return None
    intro = (
        "The same dilemma after more and more small talk about nothing. What rises from 0 to the first length may be "
        "the change of prompt; what goes on rising after it goes with length."
    )
    return Block("Drift with the length of a dialogue", intro, panels=tuple(panels))


def _priorities(summary: Summary) -> Block | None:
    """Value priorities and preferences between poles, a row each, the arms side by side."""
    tables = []
    for name, kind, levels, caption in (
        ("value_priority", "value", VALUES, "Value priorities (logits)"),
        ("pole_preference", "pole", tuple(POLES), "Preference between higher-order values"),
    ):
        asked = [c for level in levels for c in summary.conditions(AUDIT, name, f"{kind}={level}")]
        condition = next((c for c in ("wordings", ALONE) if c in asked), None)
        if condition is None:
            continue
        share = wording.measure(name, AUDIT).share
        rows = []
        for level in levels:
            keys = [(arm, AUDIT, name, f"{kind}={level}", condition) for arm in summary.arms]
            found = [summary.estimates.get(key) for key in keys]
            if any(found):
                cells = [estimate_cell(one, key, share) for one, key in zip(found, keys, strict=True)]
                rows.append(Row((words(wording.plain_name(level)), *cells)))
        columns = (Column(kind.capitalize(), numeric=False), *arm_columns(summary))
        tables.append(Table(f"{caption}, {wording.condition(condition)}", columns, tuple(rows)))
    if not tables:
        return None
    intro = (
        "Which value's action is chosen where two collide. The higher-order values are Schwartz's; hedonism belongs to "
        "two of them and is in neither."
    )
    return Block("What comes first, in numbers", intro, tuple(tables), folded=True)


def _asked(items: dict[str, pd.DataFrame]) -> Block | None:
    if not items:
        return None
    table = next(iter(items.values())).drop_duplicates("dilemma")
    contexts = sorted(set(table["context"]))
    rows = []
    for value in VALUES:
        first, second = table["value_0"] == value, table["value_1"] == value
        counts = [int(((first | second) & (table["context"] == context)).sum()) for context in contexts]
        if first.any() or second.any():
            rows.append([wording.plain_name(value), int(first.sum()), int(second.sum()), *counts])
    titles = ["Value", "Its action comes first", "second", *contexts]
    counted = plain_table(f"Values in the {len(table)} dilemmas asked, by the country of the story", titles, rows)
    intro = (
        "How often each of the ten values is one of the two that collide. Countries are where a story is set, not whom "
        "the model was asked to be."
        if counted
        else f"{len(table)} dilemmas were asked; which values collide in them is not known."
    )
    return Block("What was asked", intro, (counted,) if counted else (), folded=True)


def _examples(items: dict[str, pd.DataFrame]) -> Block | None:
    """The dilemmas of each arm whose preferred action turns under most conditions; of equals those that move most."""
    rows = []
    for arm, table in items.items():
        if not set(_TEXTS) <= set(table):
            continue
        p = preferences(table)
        others = [name for name in p.columns if name != ALONE]
        turned = pd.DataFrame({name: flips(p[name], p[ALONE]) for name in others}, index=p.index).fillna(0.0) > 0
        ranked = pd.DataFrame(
            {"count": turned.sum(axis=1), "moved": (p[others].sub(p[ALONE], axis=0)).abs().max(axis=1)}, index=p.index
        )
        texts = table[table["condition"] == ALONE].drop_duplicates("dilemma").set_index("dilemma")
        for name, rank in (
            ranked[ranked["count"] > 0].sort_values(["count", "moved"], ascending=False)[:EXAMPLES].iterrows()
        ):
            text = texts.loc[name]
            low, high = (wording.number(float(end(p.loc[name, others])), share=True) for end in (np.nanmin, np.nanmax))
            rows.append([
                arm,
                str(text["scenario"]),
                str(text["action_0"]),
                str(text["action_1"]),
                wording.number(float(p.loc[name, ALONE]), share=True),
                f"{low} to {high}",
                f"{int(rank['count'])} of {len(others)}",
            ])  # fmt: skip
    titles = ["Arm", "Dilemma", "First action", "Second action", "Asked plainly", "otherwise", "Turns"]
    table = plain_table(f"Up to {EXAMPLES} an arm", titles, rows)
    if table is None:
        return None
    intro = (
        "Where the preferred action changes most often, with the probability of the first action asked plainly and "
        "its range under the other conditions, and under how many of these it turns. Exchanging the two actions is not "
        "among them: everything here is averaged over both orders."
    )
    return Block("Dilemmas that turn most", intro, (table,), folded=True)
