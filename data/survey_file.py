"""The survey file: human answer distributions of your own as JSON Lines, versioned, one distribution a line.

    {"format": "polyphony-survey", "version": 1}
    {"item": "my/trust", "question": "Can most people be trusted?", "options": ["Yes", "No"], "ordered": false,
     "country": "Norway", "counts": [612, 388], "source": "My survey", "year": "2024", "terms": "CC BY 4.0"}

(each on one line). A line needs item, question, options, ordered, country, and either `counts` (whole numbers) or
`shares` with, if known, `n` and `n_effective`. Optional: positions, language, topic, paraphrased, age, sex, education,
source, year, terms. A line whose `language` is not that of the item's first line gives the item another wording: it
needs item, question, options (in the same order) and language, and holds a distribution only where it has `country` and
counts or shares. A group may be given once a year: the latest year counts, earlier ones serve splits by time.
The header may hold `sources` (name, title, citation, terms, version) and `excluded`; without
`sources` they are made of the lines' source and terms. Respondents are not part of the format: microdata stays where
its terms allow it. Shares may miss 1 by SHARE_TOLERANCE, since published figures are rounded, and are then rescaled.

A file is read wholly or not at all; an error names file, line, field, what was found and what is expected.
"""

from __future__ import annotations

import difflib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.countries import iso3
from data.files import write_text
from data.records import AnswerDistribution, Group, Item, ItemWording, Source, Survey
from data.waves import latest

FORMAT, VERSION = "polyphony-survey", 1
SHARE_TOLERANCE = 0.01
MOST_PEOPLE = 10**12

_REQUIRED = ("item", "question", "options", "ordered", "country")
_WORDING = ("item", "question", "options", "language")
_TEXT = ("item", "question", "language", "topic", "country", "age", "sex", "education", "source", "year", "terms")
_FIELDS = (*_REQUIRED, *_TEXT, "positions", "paraphrased", "counts", "shares", "n", "n_effective")


def read_survey_file(path: Path) -> Survey:
    """The survey in a file. Raises FileNotFoundError, or ValueError that names the line and field at fault."""
    if not path.is_file():
        raise FileNotFoundError(f"survey file {path} not found: expected a JSON Lines file")
    lines = _lines(path)
    header = next(lines, None)
    if header is None:
        raise ValueError(f"{path} is empty: expected a first line {json.dumps({'format': FORMAT, 'version': VERSION})}")
    sources, excluded = _header(*header)
    items: dict[str, tuple[Item, str]] = {}
    wordings: dict[str, dict[str, tuple[ItemWording, str]]] = {}
    made: dict[tuple[str, Group, str], tuple[AnswerDistribution, str]] = {}
    seen_sources: dict[str, Source] = {}
    for where, row in lines:
        name = row.get("item")
        first, first_where = items.get(name, (None, "")) if isinstance(name, str) else (None, "")
        translates = first is not None and row.get("language", "en") != first.language
        _check_fields(where, row, _WORDING if translates else _REQUIRED)
        if first is not None and translates:
            wording = _wording(where, row, first)
            said, said_where = wordings.setdefault(first.id, {}).setdefault(wording.language, (wording, where))
            _refuse_change(where, path, first.id, wording, said, said_where)
            item = first
            if "country" not in row and not {"counts", "shares"} & set(row):
                continue
            if "country" not in row:
                raise ValueError(f"{where}, field 'country': missing; a line with counts or shares needs it")
        else:
            item = _item(where, row)
            first, first_where = items.setdefault(item.id, (item, where))
            _refuse_change(where, path, item.id, item, first, first_where)
        answer = _distribution(where, row, item)
        key = (answer.item, answer.group, answer.year)
        same, earlier = made.setdefault(key, (answer, where))
        if earlier != where and not (translates and same == answer):
            raise ValueError(
                f"{where}, field 'item': item {item.id!r} for {answer.group.label} was given already in "
                f"{earlier.removeprefix(f'{path}, ')}; expected each item × group once a year"
            )
        if source := row.get("source", ""):
            seen_sources.setdefault(source, Source(source, source, source, row.get("terms", "")))
    if not made:
        raise ValueError(f"{path} holds a header but no distribution: expected one a line")
    found = tuple(answer for answer, _ in made.values())
    last = latest(found)
    newest = set(last)
    return Survey(
        items=tuple(
            replace(item, wordings=tuple(wording for wording, _ in wordings.get(item.id, {}).values()))
            for item, _ in items.values()
        ),
        distributions=last,
        sources=tuple(seen_sources.values()) if sources is None else sources,
        excluded=excluded,
        earlier=tuple(answer for answer in found if answer not in newest),
    )


def write_survey_file(survey: Survey, path: Path) -> None:
    """Write items, distributions, sources and exclusions, atomically; reading gives an equal survey, less its people.

    Raises ValueError for an item without distributions, which the format cannot hold.
    """
    terms = {source.name: source.terms for source in survey.sources}
    order: dict[str, list[AnswerDistribution]] = {item.id: [] for item in survey.items}
    for answer in survey.distributions:
        order[answer.item].append(answer)
    if empty := [item for item, answers in order.items() if not answers]:
        raise ValueError(f"cannot write {path}: no distribution for {', '.join(empty)}")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "sources": [asdict(source) for source in survey.sources],
        "excluded": dict(survey.excluded),
    }
    rows = [header, *(_row(survey.by_id[d.item], d, terms) for d in (*survey.distributions, *survey.earlier))]
    rows += [
        {"item": item.id, "language": wording.language, "question": wording.question, "options": wording.options}
        for item in survey.items
        for wording in item.wordings
    ]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def _row(item: Item, answer: AnswerDistribution, terms: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"item": item.id, "question": item.question, "options": item.options, "ordered": item.ordered}
    if item.positions is not None:
        row["positions"] = item.positions
    row |= {"language": item.language, "topic": item.topic, "paraphrased": item.paraphrased}
    row |= {name: value for name, value in asdict(answer.group).items() if value}
    row |= {"shares": answer.probabilities, "n": answer.n, "n_effective": answer.n_effective}
    return row | {"source": item.survey, "year": answer.year, "terms": terms.get(item.survey, "")}


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line that is not blank, as (place for error messages, JSON object)."""
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            where = f"{path}, line {number}"
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                bad = raw[error.start : error.start + 1].hex()
                raise ValueError(f"{where}: byte 0x{bad} at {error.start} is not UTF-8: expected UTF-8 text") from error
            if not text:
                continue
            try:
                row = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}: not a JSON object on one line: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where}: found {_short(row)}, expected a JSON object")
            yield where, row


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f"a field is given twice: {[name for name, _ in pairs]}")
    return row


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _header(where: str, row: dict[str, Any]) -> tuple[tuple[Source, ...] | None, dict[str, int]]:
    if row.get("format") != FORMAT:
        raise ValueError(f"{where}, field 'format': found {_short(row.get('format'))}, expected {FORMAT!r}")
    version = row.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise ValueError(
            f"{where}, field 'version': found {_short(version)}, expected {VERSION} (this program reads no other)"
        )
    for name in row:
        if name not in ("format", "version", "sources", "excluded"):
            raise ValueError(f"{where}, field {name!r}: unknown; expected format, version, sources, excluded")
    excluded = row.get("excluded", {})
    if not isinstance(excluded, dict) or not all(_is_count(count) for count in excluded.values()):
        raise ValueError(f"{where}, field 'excluded': found {_short(excluded)}, expected an object of reason: count")
    if "sources" not in row:
        return None, excluded
    sources = []
    for entry in row["sources"] if isinstance(row["sources"], list) else [row["sources"]]:
        known = {"name", "title", "citation", "terms", "version"}
        if not isinstance(entry, dict) or not {"name", "title", "citation", "terms"} <= set(entry) <= known:
            raise ValueError(
                f"{where}, field 'sources': found {_short(entry)}, expected objects of name, title, citation, terms "
                f"and, optionally, version"
            )
        if not all(isinstance(value, str) for value in entry.values()):
            raise ValueError(f"{where}, field 'sources': found {_short(entry)}, expected text in every field")
        sources.append(Source(**entry))
    return tuple(sources), excluded


def _check_fields(where: str, row: dict[str, Any], required: Sequence[str]) -> None:
    for name in row:
        if name not in _FIELDS:
            nearest = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0)[0]
            raise ValueError(f"{where}, field {name!r}: unknown; did you mean {nearest!r}?")
    for name in required:
        if name not in row:
            more = ", and counts or shares" if required is _REQUIRED else ""
            raise ValueError(f"{where}, field {name!r}: missing; expected {', '.join(required)}{more}")
    if isinstance(row.get("year"), int):
        row["year"] = str(row["year"])
    for name in _TEXT:
        value = row.get(name, "x")
        if not isinstance(value, str) or (name in (*_REQUIRED, "language") and not value.strip()):
            kind = "non-empty text" if name in (*_REQUIRED, "language") else "text"
            raise ValueError(f"{where}, field {name!r}: found {_short(value)}, expected {kind}")
    for name in ("ordered", "paraphrased"):
        if not isinstance(row.get(name, False), bool):
            raise ValueError(f"{where}, field {name!r}: found {_short(row[name])}, expected true or false")


def _options(where: str, row: dict[str, Any]) -> tuple[str, ...]:
    options = row["options"]
    if not isinstance(options, list) or not all(isinstance(option, str) and option.strip() for option in options):
        raise ValueError(f"{where}, field 'options': found {_short(options)}, expected a list of non-empty texts")
    if len(options) < 2 or len(set(options)) < len(options):
        raise ValueError(f"{where}, field 'options': found {_short(options)}, expected at least two, all different")
    return tuple(options)


def _wording(where: str, row: dict[str, Any], first: Item) -> ItemWording:
    """The item in another language; what the line says of the item beside its wording must be what was said first."""
    options = _options(where, row)
    if len(options) != len(first.options):
        raise ValueError(
            f"{where}, field 'options': found {len(options)} in {row['language']!r}, expected {len(first.options)} as "
            f"item {first.id!r} has in {first.language!r}"
        )
    own = {"ordered": first.ordered, "topic": first.topic, "paraphrased": first.paraphrased}
    own["positions"] = None if first.positions is None else list(first.positions)
    for name, value in own.items():
        if name in row and row[name] != value:
            raise ValueError(f"{where}, field {name!r}: found {_short(row[name])}, but item {first.id!r} has {value!r}")
    return ItemWording(row["language"], row["question"], options)


def _refuse_change(where: str, path: Path, item: str, found: Any, first: Any, first_where: str) -> None:
    """Raise ValueError where a later line words an item otherwise than an earlier one."""
    if found != first:
        field = next(name for name, value in asdict(found).items() if value != asdict(first)[name])
        named = "source" if field == "survey" else field
        raise ValueError(
            f"{where}, field {named!r}: found {getattr(found, field)!r}, but item {item!r} has "
            f"{getattr(first, field)!r} in {first_where.removeprefix(f'{path}, ')}"
        )


def _item(where: str, row: dict[str, Any]) -> Item:
    options, positions = _options(where, row), row.get("positions")
    if positions is not None:
        if not row["ordered"]:
            raise ValueError(f"{where}, field 'positions': found {_short(positions)}, expected none: ordered is false")
        steps = _numbers(where, "positions", positions, len(options))
        gaps = [b - a for a, b in pairwise(steps)]
        if not (all(gap > 0 for gap in gaps) or all(gap < 0 for gap in gaps)):
            raise ValueError(f"{where}, field 'positions': found {_short(positions)}, expected all rising or falling")
        positions = tuple(steps)
    return Item(
        id=row["item"],
        question=row["question"],
        options=options,
        ordered=row["ordered"],
        survey=row.get("source", ""),
        topic=row.get("topic", ""),
        positions=positions,
        language=row.get("language", "en"),
        paraphrased=row.get("paraphrased", False),
    )


def _distribution(where: str, row: dict[str, Any], item: Item) -> AnswerDistribution:
    try:
        country = iso3(row["country"])
    except ValueError as error:
        raise ValueError(f"{where}, field 'country': {error}") from error
    if ("counts" in row) == ("shares" in row):
        found = "both" if "counts" in row else "neither"
        raise ValueError(f"{where}, fields 'counts' and 'shares': found {found}, expected one of them")
    probabilities, n, n_effective = (_counts if "counts" in row else _shares)(where, row, len(item.options))
    group = Group(country, row.get("age", ""), row.get("sex", ""), row.get("education", ""))
    return AnswerDistribution(item.id, group, probabilities, n, n_effective, row.get("year", ""))


def _counts(where: str, row: dict[str, Any], options: int) -> tuple[tuple[float, ...], int, float]:
    counts = _numbers(where, "counts", row["counts"], options)
    if not all(_is_count(count) for count in counts) or sum(counts) == 0:
        raise ValueError(
            f"{where}, field 'counts': found {_short(row['counts'])}, expected whole numbers >= 0, not all 0 "
            f"(weighted answers: give shares, n and n_effective)"
        )
    n = int(sum(counts))
    if row.get("n", n) != n:
        raise ValueError(f"{where}, field 'n': found {_short(row['n'])}, expected the sum of counts, {n}")
    return tuple(count / n for count in counts), n, _n_effective(where, row, n)


def _shares(where: str, row: dict[str, Any], options: int) -> tuple[tuple[float, ...], int, float]:
    shares = _numbers(where, "shares", row["shares"], options)
    total = math.fsum(shares)
    if min(shares) < 0 or abs(total - 1) > SHARE_TOLERANCE:
        hint = "; divide percentages by 100" if abs(total - 100) < 2 else ""
        raise ValueError(
            f"{where}, field 'shares': found {_short(row['shares'])} with sum {total:g}, expected numbers >= 0 that "
            f"sum to 1 (within {SHARE_TOLERANCE}){hint}"
        )
    if abs(total - 1) > 1e-9:
        shares = [share / total for share in shares]
    n = row.get("n", 0)
    if not _is_count(n):
        raise ValueError(f"{where}, field 'n': found {_short(n)}, expected a whole number >= 0 (0 = not known)")
    return tuple(float(share) for share in shares), n, _n_effective(where, row, n)


def _n_effective(where: str, row: dict[str, Any], n: int) -> float:
    value = row.get("n_effective", n)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= n * (1 + 1e-9):
        raise ValueError(f"{where}, field 'n_effective': found {_short(value)}, expected a number from 0 to n = {n}")
    return float(value)


def _numbers(where: str, name: str, values: Any, options: int) -> list[float]:
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ValueError(f"{where}, field {name!r}: found {_short(values)}, expected a list of numbers")
    if len(values) != options:
        raise ValueError(
            f"{where}, field {name!r}: found {len(values)} numbers, expected {options}, one for each option"
        )
    if not all(abs(value) <= sys.float_info.max for value in values):
        raise ValueError(f"{where}, field {name!r}: found {_short(values)}, expected finite numbers")
    return values


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_PEOPLE


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
