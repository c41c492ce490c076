"""The page: which sections it has, in which order, and the file that they become."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data.files import write_text
from eval.report import evidence, sections, wording
from eval.report.summary import Summary
from eval.report.svg import ARM_DARK, ARM_LIGHT, SIGNS, hue, inline, standalone


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
    script = source(environment, "report.js")[0]
    sheet = source(environment, "report.css")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.filters |= {"number": wording.number, "count": wording.count, "country": wording.country}
    return environment.get_template("report.html.j2").render(
        summary=summary,
        raw=summary.raw,
        drawn=drawn,
        figure={name: Markup(inline(svg)) for name, svg in drawn.svgs.items()},
        legend=[(arm, SIGNS[summary.series(arm) % len(SIGNS)], hue(summary.series(arm))) for arm in summary.arms],
        css=Markup(_theme() + sheet),
        script=Markup(script),
        script_hash=digest,
        numbers=numbers(summary),
        hue=hue,
        wording=wording,
    )


def numbers(summary: Summary) -> dict[str, Any]:
    """Every estimate for the page's browser of all numbers: rows of indices into `strings` and plain numbers (null:
    NaN).
    """
    strings: dict[str, int] = {}

    def index(text: Any) -> int:
        return strings.setdefault(str(text), len(strings))

    rows = []
    for row in summary.raw["estimates"]:
        texts = [index(row[name]) for name in ("arm", "audit", "name", "group", "condition")]
        rows.append(
            [*texts, row.get("value"), row.get("low"), row.get("high"), row.get("n"), index(row.get("method", ""))]
        )
    return {"strings": list(strings), "rows": rows}


def _theme() -> str:
    def variables(colours: Mapping[int, str]) -> str:
        return "".join(f"--arm-{index}:{colour};" for index, colour in colours.items())

    light, dark = (variables(dict(enumerate(colours))) for colours in (ARM_LIGHT, ARM_DARK))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
