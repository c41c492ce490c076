"""One audit's section of the page: its tables, and figures by country, group and condition."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eval.report import figures, tables, wording
from eval.report.blocks import Panel, dot, slugged, spoken
from eval.report.summary import Summary
from eval.report.tables import Table

_CLOSED = ("edc", "mark")
"""Audits whose own blocks show what matters: their long tables of all measures are closed until opened."""
_GROUPED = {"first_token": ("age", "sex", "education"), "def": ("age", "sex", "education")}


@dataclass(frozen=True)
class Audit:
    key: str
    title: str
    about: str
    tables: tuple[Table, ...]
    more: tuple[Table, ...]
    meanings: tuple[tuple[str, str, str], ...]
    groups: tuple[tuple[str, tuple[Panel, ...]], ...]
    folded: str


def audit_section(svgs: dict[str, str], summary: Summary, key: str) -> Audit:
    title, about = wording.AUDITS.get(key, (wording.plain_name(key), ""))
    groups: list[tuple[str, tuple[Panel, ...]]] = []
    if countries := _journeys(svgs, summary, key):
        groups.append(("Country by country", tuple(countries)))
    for kind in _GROUPED.get(key, ()):
        panel = _by_group(svgs, summary, key, "fidelity", kind) or _by_group(svgs, summary, key, "js_distance", kind)
        if panel:
            groups.append((f"By {kind}", (panel,)))
    if near := _similarity(svgs, summary, key):
        groups.append(("Nearest people without a persona", (near,)))
    if key == "edc":
        for heading, drift in (("Condition by condition", False), ("What training moved", True)):
            names = ("flip_rate", "js_distance", "kendall_tau")
            panels = [p for name in names if (p := _by_condition(svgs, summary, key, name, drift))]
            if panels:
                groups.append((heading, tuple(panels)))
        if values := _by_group(svgs, summary, key, "value_priority", "value"):
            groups.append(("What comes first", (values,)))
    if key == "mark" and (panel := forest(svgs, summary, "mark", "accuracy", "mark")):
        groups.append(("Against what is known without the model's reasoning", (panel,)))
    first, rest = tables.measure_tables(summary, key)
    meanings = tables.meanings(summary.values(key, "name"), key)
    folded = "Asked in other ways, and items seen in training"
    if key in _CLOSED:
        first, rest, folded = [], [*first, *rest], "Every measure under every condition"
    return Audit(key, title, about, tuple(first), tuple(rest), meanings, tuple(groups), folded)


def _journeys(svgs: dict[str, str], summary: Summary, audit: str) -> list[Panel]:
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
    for arm in summary.drawn:
        both = sorted(set(by_arm.get(arm, {})) & set(by_arm.get(summary.base, {})))
        if arm == summary.base or not both:
            continue
        start, end = ({code: by_arm[one][code] for code in both} for one in (summary.base, arm))
        nearer = sum(end[code] < start[code] for code in both)
        slug, margin = slugged("countries", audit, arm), 0.05 * (max(every) - min(every) or 1)
        svgs[slug] = figures.journeys(
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
                summary.series(arm),
            )
        )
    return panels


def _by_group(svgs: dict[str, str], summary: Summary, audit: str, name: str, kind: str) -> Panel | None:
    """One measure over the levels of a group ("age=18-29" …), a series an arm."""
    levels = [g for g in summary.values(audit, "group", name=name) if g.startswith(f"{kind}=")]
    if not levels:
        return None
    asked = summary.conditions(audit, name, levels[0])
    stated = [c for c in (f"country+{kind}", "wordings") if c in asked]
    condition = stated[0] if stated else summary.main_condition(audit, [name], levels[0])
    words = wording.measure(name, audit)
    points = [
        dot(wording.plain_name(level.partition("=")[2]), summary.series(arm), arm, found, words.share)
        for level in (levels if kind == "value" else sorted(levels))
        for arm in summary.drawn
        if condition is not None
        and (found := summary.get(arm, audit, name, level, condition))
        and math.isfinite(found.value)
    ]
    if not points or condition is None:
        return None
    slug = slugged(audit, name, kind)
    svgs[slug] = figures.dots(
        slug,
        f"{words.title} by {kind}",
        spoken(p.tip for p in points),
        points,
        target=words.target,
        share=words.share,
    )
    direction = f" {words.direction[:1].upper()}{words.direction[1:]}." if words.direction else ""
    return Panel(slug, f"{words.title} by {kind}", f"{words.plain}{direction} Asked: {wording.condition(condition)}.")


def _by_condition(svgs: dict[str, str], summary: Summary, audit: str, name: str, drift: bool) -> Panel | None:
    """One measure over everything that was asked, a series an arm; with `drift` trained arms against their base."""
    words = wording.measure(name, audit)
    asked = [c for c in summary.conditions(audit, name) if c.startswith(wording.TRAINING) == drift]
    points = [
        dot(wording.condition(condition.removeprefix(wording.TRAINING)), summary.series(arm), arm, found, words.share)
        for condition in asked
        for arm in summary.drawn
        if (found := summary.get(arm, audit, name, "all", condition)) and math.isfinite(found.value)
    ]
    if len(asked) < 2 - drift or not points:
        return None
    plain_references = {k: e for k, e in summary.references(audit, name).items() if " (" not in k} if not drift else {}
    references = {wording.condition(k): e.value for k, e in plain_references.items()}
    slug = slugged(audit, name, "training" if drift else "conditions")
    svgs[slug] = figures.dots(
        slug, words.title, spoken(p.tip for p in points), points, references=references, share=words.share
    )
    plain = "Each trained arm against its base, both asked alike." if drift else words.plain
    return Panel(slug, words.title, f"{plain} {words.direction[:1].upper()}{words.direction[1:]}.")


def _similarity(svgs: dict[str, str], summary: Summary, audit: str, most: int = 10) -> Panel | None:
    """Whose people the model's own answers are nearest to: the nearest countries of the base, all arms."""
    name = "similarity"
    groups = [g for g in summary.values(audit, "group", name=name) if g.startswith("country=")]
    arm = summary.base or summary.arms[0]
    own = {g: e.value for g in groups if (e := summary.get(arm, audit, name, g, "none")) and math.isfinite(e.value)}
    if len(own) < 2:
        return None
    nearest = sorted(own, key=lambda group: -own[group])[:most]
    points = [
        dot(wording.country(group.partition("=")[2]), summary.series(one), one, found, False)
        for group in nearest
        for one in summary.drawn
        if (found := summary.get(one, audit, name, group, "none")) and math.isfinite(found.value)
    ]
    slug = slugged(audit, name)
    svgs[slug] = figures.dots(slug, "Similarity without a persona", spoken(p.tip for p in points), points)
    which = (
        f"the {len(nearest)} of {len(own)} countries nearest to {arm}" if len(own) > most else f"in the order of {arm}"
    )
    return Panel(slug, "Similarity, no persona", f"1 − JS distance to each country's people; {which}.")


def forest(svgs: dict[str, str], summary: Summary, audit: str, name: str, prefix: str) -> Panel | None:
    """Arms in rows, references below, for one measure over the held-out part."""
    condition = summary.main_condition(audit, [name])
    if condition is None:
        return None
    words = wording.measure(name, audit)
    points = [
        dot(summary.label(arm), summary.series(arm), arm, found, words.share)
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
    described = spoken(point.tip for point in points)
    slug = slugged(prefix, audit, name)
    svgs[slug] = figures.dots(
        slug, title, described, points, references=references, target=words.target, share=words.share, one_row_each=True
    )
    source = wording.AUDITS.get(audit, (audit, ""))[0]
    direction = f"{words.direction[:1].upper()}{words.direction[1:]}. " if words.direction else ""
    return Panel(slug, words.title, f"{direction}{words.plain} {source}; {wording.condition(condition)}.")
