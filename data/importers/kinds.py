"""What can be imported, and the one call that does it: `import_survey("wvs7", "WVS_Cross-National_Wave_7.csv")`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from data.importers.codebook import SHIPPED, read_codebook, shipped
from data.importers.coding import code_people
from data.importers.columns import DataFile
from data.importers.global_opinions import fetch_global_opinions, read_global_opinions
from data.importers.stored import Imported, store
from data.records import Source
from data.survey_file import read_survey_file

KINDS: Mapping[str, str] = {
    "wvs7": "World Values Survey wave 7: the csv, .sav or .dta file from worldvaluessurvey.org",
    "goqa": "GlobalOpinionQA: Anthropic/llm_global_opinions, or a local copy",
    "table": "a table of people (csv, .sav, .dta, parquet) with --codebook",
    "file": "a survey file (JSON Lines)",
}
SHOWN = 12


def import_survey(
    kind: str,
    place: str,
    name: str = "",
    codebook: Path | None = None,
    replace_stored: bool = False,
    allow_absent: bool = False,
) -> str:
    """Read, check and store a survey; returns the name under which `load_survey` finds it.

    `place` is a path, for goqa also a Hub id. `name` defaults to the kind, to the codebook's source for a table, and to
    the file's name for a survey file. Raises ValueError and FileNotFoundError as the readers and `store` do; then
    nothing is stored.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of survey {kind!r}: expected one of {', '.join(KINDS)}")
    if (codebook is not None) != (kind == "table"):
        raise ValueError(
            f"--codebook goes with `import table`, and `import table` needs one; got {kind} and {codebook}"
        )
    readers: Mapping[str, Callable[[], Imported]] = {
        "goqa": lambda: read_global_opinions(fetch_global_opinions(place)),
        "file": lambda: _survey_file(Path(place).expanduser()),
    }
    book = shipped(kind) if kind in SHIPPED else codebook
    imported = _table(Path(place).expanduser(), book, allow_absent) if book is not None else readers[kind]()
    stored = name or (_slug(imported.sources[0].name) if kind == "table" else kind)
    if kind == "file":
        stored = name or _slug(imported.file.stem)
    store(imported, stored, replace_stored)
    return stored


def _table(path: Path, codebook: Path, allow_absent: bool) -> Imported:
    book = read_codebook(codebook)
    file = DataFile(path)
    coded = code_people(file, book, allow_absent)
    more = f" and {len(coded.absent) - SHOWN} more" if len(coded.absent) > SHOWN else ""
    absent = f"{len(coded.absent)} columns of the codebook are not in the file: {', '.join(coded.absent[:SHOWN])}{more}"
    return Imported(
        sources=(replace(book.source, version=book.source.version or path.name),),
        items=coded.items,
        content=coded.people,
        file=path,
        importer=f"table 1, codebook {codebook.name}",
        splits=book.splits,
        notes=(absent,) if coded.absent else (),
    )


def _survey_file(path: Path) -> Imported:
    survey = read_survey_file(path)
    unnamed = Source("unnamed", "a survey file without a source", "no source given", "no terms given")
    return Imported(survey.sources or (unnamed,), survey.items, survey, path, "survey file 1")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-._") or "survey"
