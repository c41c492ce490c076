"""Preference sets on open-ended text, from a file, a folder or the Hub, as pairs.

    >>> load_preferences("prism/")[0].country
    'GBR'

`data.preference_forms` says which forms are known. Nothing is half imported: a row that is not of its set's form is an
error that names it; what is left out by rule is counted, with the reason.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.preference_forms import (
    Reading,
    Row,
    form_of,
    read_messages,
    read_pairs,
    read_transcripts,
    read_utterances,
)
from data.records import PreferencePair

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".parquet")
EXPECTED = (
    "prompt, chosen, rejected as text (and country); chosen, rejected as lists of {role, content} (UltraFeedback); "
    "chosen, rejected as 'Human: … Assistant: …' (HH-RLHF); or conversation_id, turn, user_prompt, model_response, "
    "if_chosen, user_id (PRISM)"
)
_HUB = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(@(?P<revision>[^:@]+))?(:(?P<split>[\w.-]+))?")
_READERS = {"pairs": read_pairs, "messages": read_messages, "transcripts": read_transcripts}


@dataclass(frozen=True)
class Preferences:
    """`left_out` counts what was not taken by its reason. `unknown_countries` counts pairs that are kept without a
    country by the name that nobody knows.
    """

    pairs: tuple[PreferencePair, ...]
    left_out: Mapping[str, int]
    unknown_countries: Mapping[str, int]


def load_preferences(source: str) -> tuple[PreferencePair, ...]:
    """The pairs of `read_preferences`."""
    return read_preferences(source).pairs


def read_preferences(source: str) -> Preferences:
    """The pairs of a file, of all files of a folder, or of a data set on the Hub, in their order there.

    `source`: a .jsonl, .jsonl.gz, .json or .parquet file; a folder of such; or `owner/name[@revision][:split]`, whose
    split is `train` unless it says so. What lies at a path is never looked for on the Hub. Raises FileNotFoundError
    where there is nothing, ValueError for what is no preference set, naming place and columns, or cannot be fetched.
    """
    on_hub = check_source(source)
    tables = _from_hub(source, on_hub) if on_hub else [_read_file(file) for file in files_of(Path(source))]
    reading = Reading()
    forms = [(rows, form_of(rows[0][1])) for rows in tables if rows]
    people = [row for rows, form in forms if form == "people" for row in rows]
    prism = any(form == "utterances" for _, form in forms)
    for rows, form in forms:
        if form == "utterances":
            read_utterances(rows, people, reading)
        elif form in _READERS:
            _READERS[form](rows, reading)
        elif not prism:  # PRISM's folder holds the same conversations in other forms as well
            place, row = rows[0]
            raise ValueError(f"{place} is of no known preference set: it holds {', '.join(row)}. Expected: {EXPECTED}")
    if not reading.pairs:
        reasons = "; ".join(f"{count} {reason}" for reason, count in reading.left_out.items())
        raise ValueError(f"{source} holds no preference pair{f' but {reasons}' if reasons else ''}")
    return Preferences(tuple(reading.pairs), dict(reading.left_out), dict(reading.unknown_countries))


def check_source(source: str) -> re.Match[str] | None:
    """None where something lies at `source`, else its parts as a name on the Hub; reads nothing.

    Raises FileNotFoundError where it can be neither.
    """
    if Path(source).exists():
        return None
    match = _HUB.fullmatch(source)
    if match is None or source.endswith(SUFFIXES):
        raise FileNotFoundError(
            f"preference pairs {source!r} not found: expected a file ({', '.join(SUFFIXES)}), a folder of such files, "
            "or a data set on the Hub as owner/name[@revision][:split]"
        )
    return match


def files_of(path: Path) -> list[Path]:
    """The files that are read where `path` lies, sorted. Raises as `read_preferences` where there are none."""
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise ValueError(f"{path} must end with one of {', '.join(SUFFIXES)}")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES))
    if not found:
        raise FileNotFoundError(f"{path} holds no file that ends with {', '.join(SUFFIXES)}")
    return found


def _read_file(path: Path) -> list[Row]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            rows = pyarrow.parquet.read_table(path).to_pylist()
            return [(f"{path} row {number}", row) for number, row in enumerate(rows, start=1)]
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if path.suffix == ".json":
        return [_row(f"{path} entry {number}", row) for number, row in enumerate(_array(path, text), start=1)]
    lines = enumerate(text.split("\n"), start=1)
    return [
        _row(f"{path} line {number}", _json(f"{path} line {number}", line)) for number, line in lines if line.strip()
    ]


def _array(path: Path, text: str) -> Iterable[Any]:
    found = _json(str(path), text)
    if not isinstance(found, list):
        raise ValueError(f"{path} must hold a list of pairs, got {type(found).__name__}")
    return found


def _json(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is not JSON: {error}") from error


def _row(place: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"{place} must hold named columns, got {str(row)[:80]!r}. Expected: {EXPECTED}")
    return place, row


def _from_hub(source: str, match: re.Match[str]) -> list[list[Row]]:
    import datasets

    path, revision, split = match["path"], match["revision"], match["split"] or "train"
    try:
        configs = datasets.get_dataset_config_names(path, revision=revision)
        wanted: list[str | None] = [name for name in ("utterances", "survey") if name in configs]
        made = [datasets.load_dataset(path, name, revision=revision, split=split) for name in wanted or [None]]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source}: nothing lies at this path, and it cannot be loaded from the Hub (split {split!r}): {error}"
        ) from error
    return [[(f"{source} row {number}", dict(row)) for number, row in enumerate(part, start=1)] for part in made]
