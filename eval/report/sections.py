"""What each section of the page shows: figures drawn, tables filled, and a sentence where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.controls import BLIND, SEES
from eval.report import (
    agreement,
    census,
    collapse,
    comparison_tables,
    def_report,
    dilemmas,
    evidence,
    figures,
    insensitivity,
    leaderboard,
    mark_report,
    representation,
    response_curves,
    tables,
    trajectories,
    wording,
)
from eval.report.audit_sections import Audit, audit_section, forest
from eval.report.blocks import Block, Panel, slugged
from eval.report.figures import Place
from eval.report.summary import Summary, as_float
from eval.report.tables import Table
from eval.report.wording import number

Blocks = Callable[[Summary, Sequence[evidence.Cell], dict[str, str]], list[Block]]

OVERVIEW = (
    ("first_token", "js_distance"),
    ("first_token", "between_ratio"),
    ("first_token", "within_ratio"),
    ("first_token", "age_gap"),
    ("edc", "flip_rate"),
    ("mark", "accuracy"),
)
OF_AUDITS: Mapping[str, tuple[Blocks, ...]] = {
    "first_token": (representation.blocks,),
    "def": (def_report.blocks, insensitivity.blocks),
    "edc": (dilemmas.blocks,),
    "mark": (mark_report.blocks,),
}
"""What an audit's section shows beside the tables and figures that all audits have."""


@dataclass(frozen=True, slots=True)
class Study:
    """A section of its own between "At a glance" and the validity gate: its anchor `id`, its heading `title`, its link
    in the navigation `short`, and the `blocks` that stand in it. It is left out where there are none. `leads`: its
    first points stand at the head of the page too.
    """

    id: str
    title: str
    short: str
    blocks: Blocks
    leads: bool = False


STUDIES: tuple[Study, ...] = (
    Study("leaderboard", "Leaderboard", "Leaderboard", leaderboard.blocks, leads=True),
    Study("response", "Response to the diversity of training data", "Response curves", response_curves.blocks),
    Study("census", "The census", "Census", census.blocks),
    Study("collapse", "Variation over beta, measured and predicted", "Collapse curve", collapse.blocks, leads=True),
)


@dataclass(frozen=True, slots=True)
class Map:
    """People and every arm's countries in one space, by the answers of one audit."""

    title: str
    stress: float
    panels: tuple[Panel, ...]


HEADLINES = 6


@dataclass
class Sections:
    """Everything the template needs beside summary.json; `svgs` holds the figures by name."""

    svgs: dict[str, str] = field(default_factory=dict)
    overview: list[Panel] = field(default_factory=list)
    studies: list[tuple[Study, list[Block]]] = field(default_factory=list)
    headlines: list[tuple[Study, tuple[str, ...]]] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    gate: Table | None = None
    audits: list[Audit] = field(default_factory=list)
    of_audits: dict[str, list[Block]] = field(default_factory=dict)
    controls: Table | None = None
    absent: list[str] = field(default_factory=list)
    agreement: list[Block] = field(default_factory=list)
    time: list[Block] = field(default_factory=list)
    maps: list[Map] = field(default_factory=list)
    curves: list[Panel] = field(default_factory=list)
    training: Table | None = None
    primary: Table | None = None
    exploratory: Table | None = None
    left_out: int = 0
    effects: Table | None = None
    exclusions: Table | None = None
    exchanges: list[evidence.Exchange] = field(default_factory=list)
    traces: list[evidence.Trace] = field(default_factory=list)
    respondents: int = 0


def draw(summary: Summary, cells: Sequence[evidence.Cell]) -> Sections:
    """Draw every figure and fill every table that the summary and the evidence have something for.

    Of more than `summary.DRAWN` arms the evidence of those is shown that the figures draw.
    """
    cells = [cell for cell in cells if cell.arm in summary.drawn]
    page = Sections()
    for audit, name in OVERVIEW:
        panel = forest(page.svgs, summary, audit, name, "overview")
        if panel:
            page.overview.append(panel)
    page.studies = [(one, made) for one in STUDIES if (made := one.blocks(summary, cells, page.svgs))]
    for study, blocks in page.studies:
        told = next((block.points for block in blocks if block.points), ())
        if study.leads and told:
            page.headlines.append((study, told[:HEADLINES]))
    page.made = {name: comparison_tables.made(arm) for name, arm in summary.arm.items()}
    page.gate = tables.gate_table(summary)
    for key in [*wording.AUDITS, *(a for a in summary.audits if a not in wording.AUDITS)]:
        if key in summary.audits:
            page.audits.append(audit_section(page.svgs, summary, key))
            page.of_audits[key] = [b for make in OF_AUDITS.get(key, ()) for b in make(summary, cells, page.svgs)]
        else:
            page.absent.append(wording.AUDITS[key][0])
    page.controls = _controls(summary)
    page.agreement = agreement.blocks(summary, cells, page.svgs)
    page.time = trajectories.blocks(summary, cells, page.svgs)
    page.maps = _maps(page.svgs, summary)
    page.curves = _curves(page.svgs, summary, cells)
    page.training = comparison_tables.training_table(summary)
    comparisons: Sequence[Mapping[str, Any]] = summary.raw.get("comparisons") or []
    primary = [row for row in comparisons if row.get("family") == "primary"]
    rest = [row for row in comparisons if row.get("family") != "primary" and row["group"] in wording.STRATA]
    if len(rest) > tables.MOST_ROWS:
        page.left_out, rest = len(rest), [row for row in rest if _at_a_glance(summary, row)]
    page.primary = comparison_tables.comparison_table(summary, primary, "Primary comparisons (pre-registered)")
    page.exploratory = comparison_tables.comparison_table(summary, rest, "Exploratory comparisons")
    page.effects = comparison_tables.effects_table(summary.raw.get("effects") or {})
    page.exclusions = tables.plain_table(
        "Exclusions",
        ("Arm", "Audit", "Reason", "Count"),
        [
            (row["arm"], wording.AUDITS.get(row["audit"], (row["audit"], ""))[0], row["reason"], row["count"])
            for row in summary.raw.get("exclusions") or []
        ],
    )
    page.exchanges = evidence.exchanges(cells)
    page.traces, page.respondents = evidence.traces(cells)
    return page


def _at_a_glance(summary: Summary, row: Mapping[str, Any]) -> bool:
    shown = (row["audit"], row["name"]) in OVERVIEW
    return shown and row["condition"] == summary.main_condition(row["audit"], [row["name"]])


def _controls(summary: Summary) -> Table | None:
    """What each audit's positive controls found: a row a manipulation, a column an arm."""
    found = {(row["audit"], row["manipulation"], row["arm"]): row for row in summary.raw.get("controls") or []}
    if not found:
        return None
    arms = [arm for arm in summary.arms if any(arm == of for _, _, of in found)]
    columns = [tables.Column("Audit", numeric=False), tables.Column("Manipulation", numeric=False)]
    rows = []
    for audit, manipulation in dict.fromkeys(key[:2] for key in found):
        named = (tables.words(wording.AUDITS.get(audit, (audit, ""))[0]), tables.words(manipulation))
        rows.append(tables.Row((*named, *(_control(found.get((audit, manipulation, arm))) for arm in arms))))
    shown = (*columns, *tables.arm_columns(summary, arms))
    return Table("Moved by, and whether the audit sees it", shown, tuple(rows))


def _control(row: Mapping[str, Any] | None) -> tables.Cell:
    if row is None:
        return tables.Cell(wording.DASH, why=tables.NOT_COMPUTED)
    tone = {SEES: "valid", BLIND: "collapsed"}.get(row["state"], "")
    value, low, high = (as_float(row[name]) for name in ("value", "low", "high"))
    text = f"{row['state']}: {number(value)}"
    why = f"n = {wording.count(row['n'])}; {row['method']}"
    return tables.Cell(text, wording.interval(low, high) or "no interval", value, why=why, tone=tone)


def _maps(svgs: dict[str, str], summary: Summary) -> list[Map]:
    found = []
    for audit, drawn in (summary.raw.get("culture_maps") or {}).items():
        title = wording.AUDITS.get(audit, (audit, ""))[0]
        if panels := _map(svgs, summary, audit, drawn.get("points") or []):
            found.append(Map(title, as_float(drawn.get("stress")), tuple(panels)))
    return found


def _map(svgs: dict[str, str], summary: Summary, audit: str, points: Sequence[Mapping[str, Any]]) -> list[Panel]:
    places: dict[str, list[Place]] = {}
    for point in points:
        x, y = as_float(point.get("x")), as_float(point.get("y"))
        if math.isfinite(x) and math.isfinite(y):
            places.setdefault(point["arm"], []).append(Place(point["country"], x, y))
    people = places.get("people", [])
    if not people:
        return []
    every = [place for group in places.values() for place in group]
    xs, ys = [p.x for p in every], [p.y for p in every]
    half = 0.55 * max(max(xs) - min(xs), max(ys) - min(ys), 1e-9)
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    limits = (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
    slug, told = slugged("map", audit, "people"), f"{len(people)} countries by the answers of their people."
    svgs[slug] = figures.map_panel(slug, "People", told, people, [], 0, limits)
    panels = [Panel(slug, "people", "Countries by the answers of their people alone.")]
    for arm in summary.drawn:
        if arm in places:
            slug = slugged("map", audit, arm)
            described = f"Where {arm} puts {len(places[arm])} countries, each joined by a line to its people."
            svgs[slug] = figures.map_panel(slug, arm, described, people, places[arm], summary.series(arm), limits)
            told = "Grey: people. Coloured: the model when that country is stated."
            panels.append(Panel(slug, arm, told, summary.series(arm)))
    return panels


def _curves(svgs: dict[str, str], summary: Summary, cells: Sequence[evidence.Cell]) -> list[Panel]:
    panels = []
    for name, logged in evidence.training_curves(cells).items():
        for arm in dict.fromkeys(arm for arm, _, _ in logged):
            own = [(steps, values) for of, steps, values in logged if of == arm]
            lines = {f"{arm} {i}": (summary.series(arm), steps, values) for i, (steps, values) in enumerate(own)}
            slug = slugged("training", name, arm)
            last = ", ".join(number(values[-1]) for _, values in own)
            svgs[slug] = figures.curves(
                slug, f"{name} of {arm}", f"Last value {last}.", lines, wording.plain_name(name)
            )
            runs = "one line a cell" if len(own) > 1 else "one cell"
            if any(len(steps) > figures.POINTS for steps, _ in own):
                runs += f", {figures.POINTS} means of equal parts"
            told = f"Training {wording.plain_name(name)}, {runs}; last value {last}."
            panels.append(Panel(slug, arm, told, summary.series(arm)))
    return panels
