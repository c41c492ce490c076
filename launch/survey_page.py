"""One self-contained page about a survey: who answered what, how many they were, and how much chance there is in it.

Items are written into the page, their answers as compact JSON that the page's script draws where the reader is: 250
questions × 60 countries × 3 age bands stay a few megabytes. Nothing is loaded from a network.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from data.countries import country_name
from data.files import write_text
from data.languages import frame, languages
from data.records import AGE_BANDS, AnswerDistribution, Item, Survey
from data.waves import years
from eval.references import people_again
from eval.report import wording
from eval.report.palette import ARMS, theme

FLOOR_DRAWS = 100
RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")


def write_survey_page(survey: Survey, name: str, out: Path) -> Path:
    """Write the page to `out`, whole or not at all; returns it. Floors are simulated with a fixed seed."""
    write_text(out, render(survey, name, np.random.default_rng(0)))
    return out


def render(survey: Survey, name: str, rng: np.random.Generator) -> str:
    """The page's HTML text. Raises ValueError where the survey holds no item."""
    if not survey.items:
        raise ValueError(f"survey {name!r} holds no item that could be shown")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("launch", ""), PackageLoader("eval.report", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader.get_source  # type: ignore[union-attr]
    script = source(environment, "survey_page.js")[0]
    sheets = theme() + source(environment, "report.css")[0] + source(environment, "survey_page.css")[0]
    environment.filters["count"] = wording.count
    by_item: dict[str, list[AnswerDistribution]] = {item.id: [] for item in survey.items}
    for d in survey.distributions:
        by_item[d.item].append(d)
    floors = sampling_floors(survey, rng)
    spans = [span for d in survey.distributions if (span := years(d.year))]
    return environment.get_template("survey_page.html.j2").render(
        name=name,
        items=[_described(item, by_item[item.id]) for item in survey.items],
        parts=_parts(survey),
        countries=len(survey.countries),
        groups=len(survey.distributions),
        span=_span(spans),
        spoken=[_language(code) for code in dict.fromkeys(code for item in survey.items for code in item.languages)],
        sources=survey.sources,
        excluded=[(reason, count) for reason, count in survey.excluded.items() if count],
        data=_data(survey, by_item, floors),
        draws=FLOOR_DRAWS,
        css=Markup(sheets),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def sampling_floors(survey: Survey, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """For each distribution the expected Jensen-Shannon distance between two samples of its effective n, in [0, 1]; NaN
    where the source gives no n. By simulation with FLOOR_DRAWS pairs of samples.
    """
    found = np.full(len(survey.distributions), np.nan)
    sizes = np.array([len(d.probabilities) for d in survey.distributions])
    for options in np.unique(sizes):
        rows = np.flatnonzero(sizes == options)
        q = np.array([survey.distributions[row].probabilities for row in rows])
        n = np.array([survey.distributions[row].n_effective for row in rows])
        found[rows] = people_again(q, n, rng=rng, draws=FLOOR_DRAWS)
    return found


def _described(item: Item, made: Sequence[AnswerDistribution]) -> dict[str, Any]:
    """What stands above an item's charts."""
    own = [d for d in made if d.group.label == d.group.country]
    wordings = [
        (item.language, item.question, item.options),
        *((w.language, w.question, w.options) for w in item.wordings),
    ]
    return {
        "item": item,
        "wordings": [
            {
                "language": _language(code),
                "code": code,
                "question": question,
                "options": options,
                "dir": _direction(code),
            }
            for code, question, options in wordings
        ],
        "countries": len({d.group.country for d in made}),
        "n": sum(d.n for d in own),
        "published": any(d.n for d in made),
        "span": _span([span for d in made if (span := years(d.year))]),
        "ages": len({d.group.country for d in made if d.group.age}),
        "rows": len(own),
        "hue": _hues(item),
    }


def _parts(survey: Survey) -> list[tuple[str, list[tuple[int, Item]]]]:
    """The table of contents: items by the survey they come from, with their number on the page."""
    titles = {source.name: source.title or source.name for source in survey.sources}
    parts: dict[str, list[tuple[int, Item]]] = {}
    for number, item in enumerate(survey.items):
        parts.setdefault(titles.get(item.survey, item.survey), []).append((number, item))
    return list(parts.items())


def _data(
    survey: Survey, by_item: dict[str, list[AnswerDistribution]], floors: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Countries and years by number, and for each item rows of country, age band (0: all ages), year, n, effective n,
    floor (null: no n) and the shares in thousandths. Groups by sex and education are not drawn.
    """
    codes = {code: place for place, code in enumerate(survey.countries)}
    floor_of = {id(d): value for d, value in zip(survey.distributions, floors, strict=True)}
    known_years: dict[str, int] = {}
    bands = ("", *sorted({d.group.age for d in survey.distributions} - {""} | {*AGE_BANDS}, key=_youngest))
    items = []
    for item in survey.items:
        rows = []
        for d in by_item[item.id]:
            if d.group.sex or d.group.education:
                continue
            year = known_years.setdefault(d.year, len(known_years))
            floor = floor_of[id(d)]
            rows.append(
                [codes[d.group.country], bands.index(d.group.age), year, d.n, round(d.n_effective)]
                + [None if math.isnan(floor) else round(float(floor), 3)]
                + [round(1000 * share) for share in d.probabilities]
            )
        items.append(sorted(rows, key=lambda row: (row[0], row[1])))
    return {
        "countries": [country_name(code) for code in codes],
        "ages": list(bands),
        "years": list(known_years),
        "items": items,
    }


def _youngest(band: str) -> tuple[int, str]:
    numbers = re.findall(r"\d+", band)
    return int(numbers[0]) if numbers else 0, band


def _hues(item: Item) -> list[str]:
    """A CSS colour an option: orange over grey to blue for a scale, the report's colours for nominal options."""
    count = len(item.options)
    if not item.ordered:
        return [f"var(--arm-{1 + place % (len(ARMS) - 1)})" for place in range(count)]
    places = [place / (count - 1) for place in range(count)]
    return [
        f"color-mix(in oklab, var(--{end}) {round(abs(place - 0.5) * 200)}%, var(--middle))"
        for place, end in ((place, "low" if place < 0.5 else "high") for place in places)
    ]


def _language(code: str) -> str:
    return f"{frame(code).name} ({code})" if code in languages() else code


def _direction(code: str) -> str:
    return "rtl" if code.split("-")[0] in RIGHT_TO_LEFT else "ltr"


def _span(spans: Sequence[tuple[int, int]]) -> str:
    if not spans:
        return ""
    first, last = min(a for a, _ in spans), max(b for _, b in spans)
    return str(first) if first == last else f"{first}–{last}"
