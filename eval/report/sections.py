"""What each section of the page shows: figures drawn, tables filled, and a sentence where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.records import Estimate
from eval.report import evidence, figures, tables, wording
from eval.report.figures import Dot, Place
from eval.report.summary import Summary, as_float
from eval.report.tables import Table
from eval.report.wording import number

OVERVIEW = (
    ("first_token", "js_distance"),
    ("first_token", "between_ratio"),
    ("first_token", "within_ratio"),
    ("first_token", "age_gap"),
    ("edc", "flip_rate"),
    ("mark", "accuracy"),
)
_GROUPED = {"first_token": ("age", "sex", "education"), "def": ("age",)}


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawn figure: its file name, and the words above and below it."""

    name: str
    heading: str
    caption: str


@dataclass(frozen=True)
class Audit:
    key: str
    title: str
    about: str
    tables: tuple[Table, ...]
    more: tuple[Table, ...]
    meanings: tuple[tuple[str, str, str], ...]
    groups: tuple[tuple[str, tuple[Panel, ...]], ...]


@dataclass
class Sections:
    """Everything the template needs beside summary.json; `svgs` holds the figures by name."""

    svgs: dict[str, str] = field(default_factory=dict)
    overview: list[Panel] = field(default_factory=list)
    gate: Table | None = None
    audits: list[Audit] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    maps: list[Panel] = field(default_factory=list)
    curves: list[Panel] = field(default_factory=list)
    training: Table | None = None
    primary: Table | None = None
    exploratory: Table | None = None
    effects: Table | None = None
    exclusions: Table | None = None
    exchanges: list[evidence.Exchange] = field(default_factory=list)
    traces: list[evidence.Trace] = field(default_factory=list)
    respondents: int = 0


def draw(summary: Summary, cells: Sequence[evidence.Cell]) -> Sections:
    """Draw every figure and fill every table that the summary and the evidence have something for."""
    page = Sections()
    for audit, name in OVERVIEW:
        panel = _forest(page, summary, audit, name, "overview")
        if panel:
            page.overview.append(panel)
    page.gate = tables.gate_table(summary)
    for key in [*wording.AUDITS, *(a for a in summary.audits if a not in wording.AUDITS)]:
        if key in summary.audits:
            page.audits.append(_audit(page, summary, key))
        else:
            page.absent.append(wording.AUDITS[key][0])
    _maps(page, summary)
    _curves(page, summary, cells)
    page.training = tables.training_table(summary)
    comparisons: Sequence[Mapping[str, Any]] = summary.raw.get("comparisons") or []
    primary = [row for row in comparisons if row.get("family") == "primary"]
    rest = [row for row in comparisons if row.get("family") != "primary" and row["group"] in wording.STRATA]
    page.primary = tables.comparison_table(summary, primary, "Primary comparisons (pre-registered)")
    page.exploratory = tables.comparison_table(summary, rest, "Exploratory comparisons")
    page.effects = tables.effects_table(summary.raw.get("effects") or {})
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


def tip(arm: str, estimate: Estimate, share: bool) -> str:
    bounds = wording.interval(estimate.low, estimate.high, share)
    return (
        f"{arm}: {number(estimate.value, share)} {bounds}".strip()
        + f" (n = {wording.count(estimate.n)}; {estimate.method})"
    )


def _dot(row: str, series: int, arm: str, estimate: Estimate, share: bool) -> Dot:
    return Dot(row, series, estimate.value, estimate.low, estimate.high, tip(arm, estimate, share))


def _slug(*parts: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else "-" for c in part.lower()) for part in parts)


def _forest(page: Sections, summary: Summary, audit: str, name: str, prefix: str) -> Panel | None:
    """Arms in rows, references below, for one measure over the held-out part."""
    condition = summary.main_condition(audit, [name])
    if condition is None:
        return None
    words = wording.measure(name, audit)
    points = [
        _dot(arm, summary.series(arm), arm, found, words.share)
        for arm in summary.arms
        if (found := summary.get(arm, audit, name, "all", condition)) and math.isfinite(found.value)
    ]
    if not points:
        return None
    references = {
        wording.condition(key.split(" (")[0]): found.value
        for key, found in summary.references(audit, name, "all", beside=condition).items()
    }
    for without in wording.WITHOUT:
        if summary.base and condition != without and (plain := summary.get(summary.base, audit, name, "all", without)):
            references[f"{summary.base}, {wording.condition(without).split(',')[0]}"] = plain.value
    title = f"{words.title}, {wording.condition(condition)}"
    described = "; ".join(point.tip for point in points)
    slug = _slug(prefix, audit, name)
    page.svgs[slug] = figures.dots(
        slug, title, described, points, references=references, target=words.target, share=words.share, one_row_each=True
    )
    source = wording.AUDITS.get(audit, (audit, ""))[0]
    direction = f"{words.direction[:1].upper()}{words.direction[1:]}. " if words.direction else ""
    return Panel(slug, words.title, f"{direction}{words.plain} {source}; {wording.condition(condition)}.")


def _audit(page: Sections, summary: Summary, key: str) -> Audit:
    title, about = wording.AUDITS.get(key, (wording.plain_name(key), ""))
    groups: list[tuple[str, tuple[Panel, ...]]] = []
    if countries := _journeys(page, summary, key):
        groups.append(("Country by country", tuple(countries)))
    for kind in _GROUPED.get(key, ()):
        panel = _by_group(page, summary, key, "fidelity", kind) or _by_group(page, summary, key, "js_distance", kind)
        if panel:
            groups.append((f"By {kind}", (panel,)))
    if near := _similarity(page, summary, key):
        groups.append(("Nearest people without a persona", (near,)))
    if key == "edc":
        for heading, drift in (("Condition by condition", False), ("What training moved", True)):
            names = ("flip_rate", "js_distance", "kendall_tau")
            panels = [p for name in names if (p := _by_condition(page, summary, key, name, drift))]
            if panels:
                groups.append((heading, tuple(panels)))
        if values := _by_group(page, summary, key, "value_priority", "value"):
            groups.append(("What comes first", (values,)))
    if key == "mark" and (panel := _forest(page, summary, "mark", "accuracy", "mark")):
        groups.append(("Against what is known without the model's reasoning", (panel,)))
    first, rest = tables.measure_tables(summary, key)
    meanings = tables.meanings(summary.values(key, "name"), key)
    return Audit(key, title, about, tuple(first), tuple(rest), meanings, tuple(groups))


def _journeys(page: Sections, summary: Summary, audit: str) -> list[Panel]:
    """Country distances, base to arm: a panel for each trained arm, all on one scale."""
    name, condition = "js_distance", summary.main_condition(audit, ["js_distance"])
    if condition is None or summary.base is None:
        return []
    by_arm: dict[str, dict[str, float]] = {}
    for (arm, of, measure, group, asked), found in summary.estimates.items():
        kind, _, code = group.partition("=")
        if (of, measure, asked, kind) == (audit, name, condition, "country") and math.isfinite(found.value):
            by_arm.setdefault(arm, {})[code] = found.value
    floor = {
        code: again.value
        for code in by_arm.get(summary.base, {})
        if (again := summary.reference(audit, name, "reference:people_again", f"country={code}"))
    }
    every = [value for values in by_arm.values() for value in values.values()] + list(floor.values())
    panels = []
    for arm in summary.arms:
        both = sorted(set(by_arm.get(arm, {})) & set(by_arm.get(summary.base, {})))
        if arm == summary.base or not both:
            continue
        start, end = ({code: by_arm[one][code] for code in both} for one in (summary.base, arm))
        nearer = sum(end[code] < start[code] for code in both)
        slug, margin = _slug("countries", audit, arm), 0.05 * (max(every) - min(every) or 1)
        page.svgs[slug] = figures.journeys(
            slug,
            f"JS distance by country, {summary.base} to {arm}",
            f"{nearer} of {len(both)} countries are closer to their people in {arm} than in {summary.base}.",
            start,
            end,
            summary.series(arm),
            floor=floor,
            limits=(min(every) - margin, max(every) + margin),
            axis="JS distance to people",
        )
        floors = " The tick is the distance of people asked again." if floor else ""
        panels.append(
            Panel(
                slug,
                arm,
                f"{nearer} of {len(both)} countries come closer to their people by their point estimates. "
                f"Hollow: {summary.base}; filled: {arm}.{floors}",
            )
        )
    return panels


def _by_group(page: Sections, summary: Summary, audit: str, name: str, kind: str) -> Panel | None:
    """One measure over the levels of a group ("age=18-29" …), a series an arm."""
    levels = [g for g in summary.values(audit, "group", name=name) if g.startswith(f"{kind}=")]
    if not levels:
        return None
    asked = summary.conditions(audit, name, levels[0])
    stated = [c for c in (f"country+{kind}", "wordings") if c in asked]
    condition = stated[0] if stated else summary.main_condition(audit, [name], levels[0])
    words = wording.measure(name, audit)
    points = [
        _dot(wording.plain_name(level.partition("=")[2]), summary.series(arm), arm, found, words.share)
        for level in (levels if kind == "value" else sorted(levels))
        for arm in summary.arms
        if condition is not None
        and (found := summary.get(arm, audit, name, level, condition))
        and math.isfinite(found.value)
    ]
    if not points or condition is None:
        return None
    slug = _slug(audit, name, kind)
    page.svgs[slug] = figures.dots(
        slug,
        f"{words.title} by {kind}",
        "; ".join(p.tip for p in points),
        points,
        target=words.target,
        share=words.share,
    )
    direction = f" {words.direction[:1].upper()}{words.direction[1:]}." if words.direction else ""
    return Panel(slug, f"{words.title} by {kind}", f"{words.plain}{direction} Asked: {wording.condition(condition)}.")


def _by_condition(page: Sections, summary: Summary, audit: str, name: str, drift: bool) -> Panel | None:
    """One measure over everything that was asked, a series an arm; with `drift` trained arms against their base."""
    words = wording.measure(name, audit)
    asked = [c for c in summary.conditions(audit, name) if c.startswith(wording.TRAINING) == drift]
    points = [
        _dot(wording.condition(condition.removeprefix(wording.TRAINING)), summary.series(arm), arm, found, words.share)
        for condition in asked
        for arm in summary.arms
        if (found := summary.get(arm, audit, name, "all", condition)) and math.isfinite(found.value)
    ]
    if len(asked) < 2 - drift or not points:
        return None
    references = {} if drift else {wording.condition(k): e.value for k, e in summary.references(audit, name).items()}
    slug = _slug(audit, name, "training" if drift else "conditions")
    page.svgs[slug] = figures.dots(
        slug, words.title, "; ".join(p.tip for p in points), points, references=references, share=words.share
    )
    plain = "Each trained arm against its base, both asked alike." if drift else words.plain
    return Panel(slug, words.title, f"{plain} {words.direction[:1].upper()}{words.direction[1:]}.")


def _similarity(page: Sections, summary: Summary, audit: str, most: int = 10) -> Panel | None:
    """Whose people the model's own answers are nearest to: the nearest countries of the base, all arms."""
    name = "similarity"
    groups = [g for g in summary.values(audit, "group", name=name) if g.startswith("country=")]
    arm = summary.base or summary.arms[0]
    own = {g: e.value for g in groups if (e := summary.get(arm, audit, name, g, "none")) and math.isfinite(e.value)}
    if len(own) < 2:
        return None
    nearest = sorted(own, key=lambda group: -own[group])[:most]
    points = [
        _dot(wording.country(group.partition("=")[2]), summary.series(one), one, found, False)
        for group in nearest
        for one in summary.arms
        if (found := summary.get(one, audit, name, group, "none")) and math.isfinite(found.value)
    ]
    slug = _slug(audit, name)
    page.svgs[slug] = figures.dots(slug, "Similarity without a persona", "; ".join(p.tip for p in points), points)
    which = (
        f"the {len(nearest)} of {len(own)} countries nearest to {arm}" if len(own) > most else f"in the order of {arm}"
    )
    return Panel(slug, "Similarity, no persona", f"1 − JS distance to each country's people; {which}.")


def _maps(page: Sections, summary: Summary) -> None:
    points = (summary.raw.get("culture_map") or {}).get("points") or []
    places: dict[str, list[Place]] = {}
    for point in points:
        x, y = as_float(point.get("x")), as_float(point.get("y"))
        if math.isfinite(x) and math.isfinite(y):
            places.setdefault(point["arm"], []).append(Place(point["country"], x, y))
    people = places.get("people", [])
    if not people:
        return
    every = [place for group in places.values() for place in group]
    xs, ys = [p.x for p in every], [p.y for p in every]
    half = 0.55 * max(max(xs) - min(xs), max(ys) - min(ys), 1e-9)
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    limits = (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
    page.svgs["map-people"] = figures.map_panel(
        "map-people", "People", f"{len(people)} countries by the answers of their people.", people, [], 0, limits
    )
    page.maps.append(Panel("map-people", "people", "Countries by the answers of their people alone."))
    for arm in summary.arms:
        if arm in places:
            slug = _slug("map", arm)
            described = f"Where {arm} puts {len(places[arm])} countries, each joined by a line to its people."
            page.svgs[slug] = figures.map_panel(slug, arm, described, people, places[arm], summary.series(arm), limits)
            page.maps.append(Panel(slug, arm, "Grey: people. Coloured: the model when that country is stated."))


def _curves(page: Sections, summary: Summary, cells: Sequence[evidence.Cell]) -> None:
    for name, logged in evidence.training_curves(cells).items():
        for arm in dict.fromkeys(arm for arm, _, _ in logged):
            own = [(steps, values) for of, steps, values in logged if of == arm]
            lines = {f"{arm} {i}": (summary.series(arm), steps, values) for i, (steps, values) in enumerate(own)}
            slug = _slug("training", name, arm)
            last = ", ".join(number(values[-1]) for _, values in own)
            page.svgs[slug] = figures.curves(
                slug, f"{name} of {arm}", f"Last value {last}.", lines, wording.plain_name(name)
            )
            runs = "one line a cell" if len(own) > 1 else "one cell"
            page.curves.append(Panel(slug, arm, f"Training {wording.plain_name(name)}, {runs}; last value {last}."))
