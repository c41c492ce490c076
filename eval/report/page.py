"""The page: which sections it has, in which order, and the file that they become."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data.files import write_text
from eval.report import evidence, sections, tables, wording
from eval.report.numbers import Numbers, packed
from eval.report.palette import hue, theme
from eval.report.strip import strip
from eval.report.summary import Summary, as_float
from eval.report.svg import SIGNS, inline, standalone
from eval.report.wording import DASH

CHOICES = 12


def write_report(comparison: Path, runs: Path | None = None) -> Path:
    """Write `comparison`/report.html and `comparison`/figures/*.svg from `comparison`/summary.json; returns the
    report's path.

    `runs` is the experiment's folder, against which the cells' folders are resolved (default: the parent of
    `comparison`); a cell that is gone costs its evidence and curves only. Raises FileNotFoundError or ValueError
    where summary.json is missing or of another version.
    """
    summary = Summary.read(comparison / "summary.json")
    cells = evidence.find_cells(summary, runs or comparison.parent)
    drawn = sections.draw(summary, cells)
    folder = comparison / "figures"
    for name, svg in drawn.svgs.items():
        write_text(folder / f"{name}.svg", standalone(svg))
    for old in folder.glob("*.svg"):
        if old.stem not in drawn.svgs:
            old.unlink()
    report = comparison / "report.html"
    write_text(report, render(summary, drawn))
    return report


def render(summary: Summary, drawn: sections.Sections) -> str:
    """The whole HTML text."""
    environment = Environment(
        loader=PackageLoader("eval.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader.get_source  # type: ignore[union-attr]
    script = source(environment, "report.js")[0] + source(environment, "browse.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.filters |= {
        "number": wording.number,
        "count": wording.count,
        "country": wording.country,
        "readable": tables.readable,
        "clipped": wording.clipped,
    }
    embedded = Numbers(summary)
    return environment.get_template("report.html.j2").render(
        summary=summary,
        raw=summary.raw,
        drawn=drawn,
        figure={name: Markup(inline(svg)) for name, svg in drawn.svgs.items()},
        strip=lambda *ends: Markup(strip(*(as_float(end) for end in ends))),
        legend=[(arm, SIGNS[summary.series(arm) % len(SIGNS)], summary.series(arm)) for arm in summary.arms],
        css=Markup(theme() + source(environment, "report.css")[0]),
        script=Markup(script),
        script_hash=digest,
        numbers=embedded,
        hues={arm: hue(summary.series(arm)) for arm in summary.arms},
        factors=factors(summary),
        packed=packed,
        hue=hue,
        wording=wording,
    )


def factors(summary: Summary) -> dict[str, dict[str, list[str]]]:
    """What arms differ in, for the page's filter: part → value → arms. Parts in which all are alike are left out, and
    those of too many values to choose from.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name, arm in summary.arm.items():
        parts = {part: arm.get(part) for part in ("recipe", "adapter", "mixture", "inference")}
        for part, value in {**parts, **(arm.get("tags") or {})}.items():
            found.setdefault(part, {}).setdefault(DASH if value is None else str(value), []).append(name)
    return {part: values for part, values in found.items() if 1 < len(values) <= CHOICES}
