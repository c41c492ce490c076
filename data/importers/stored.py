"""Imported surveys in the user's own folder, `$POLYPHONY_CACHE/surveys/NAME`: microdata stays on the user's disk.

`survey.json` holds what the survey is (source, items, named splits, the imported file's hash, the importer's version
and what was left out); `people.parquet` the persons, or `distributions.parquet` published shares. Both appear together
or not at all, and a parquet file that is not the one that was imported is refused.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from data.blocks import BLOCKS
from data.blocks.block import Block
from data.files import cache_folder, read_json, write_json
from data.records import AnswerDistribution, Group, Item, ItemWording, Source, Survey
from data.table_of_people import TableOfPeople

FORMAT, VERSION = "polyphony-imported-survey", 1
PEOPLE, SHARES = "people.parquet", "distributions.parquet"
_FEATURE, _ANSWER = "feature:", "answer:"

Splits = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True)
class Imported:
    """What an importer hands over. `content` is a table of people, or a Survey where only shares are published."""

    sources: tuple[Source, ...]
    items: tuple[Item, ...]
    content: TableOfPeople | Survey
    file: Path
    importer: str
    splits: Splits = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def surveys_folder() -> Path:
    return cache_folder() / "surveys"


def stored_names() -> list[str]:
    """Names of the imported surveys, sorted."""
    folder = surveys_folder()
    found = folder.glob("*/survey.json") if folder.is_dir() else []
    return sorted(path.parent.name for path in found if not path.parent.name.startswith("."))


def store(imported: Imported, name: str, replace: bool = False) -> Path:
    """Write the survey under `name`, whole or not at all, and return its folder.

    Raises ValueError for a name that is not small letters, digits, `-`, `_` and `.`, that a built-in survey has, or
    that is taken already (unless `replace`).
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ValueError(f"survey name {name!r}: expected small letters, digits, '-', '_' and '.', such as my-survey")
    if name in BLOCKS:
        raise ValueError(f"survey name {name!r} is that of a built-in survey: choose another with --name")
    target = surveys_folder() / name
    if target.exists() and not replace:
        raise ValueError(f"survey {name!r} is imported already in {target}: choose another --name, or --replace it")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}."))
    try:
        data = made / (PEOPLE if isinstance(imported.content, TableOfPeople) else SHARES)
        _frame(imported.content).to_parquet(data, index=False)
        write_json(made / "survey.json", _describe(imported, name, data))
        if target.exists():
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}."))
            target.rename(old / "old")
            made.replace(target)
            shutil.rmtree(old)
        else:
            made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def stored_block(name: str) -> Block | None:
    """The imported survey of that name as a block that is read when asked for; None where there is none."""
    if name not in stored_names():
        return None
    about = describe_stored(name)
    items = tuple(_item(entry) for entry in about["items"])
    return Block(Source(**about["sources"][0]), items, lambda: _read(name, about, items))


def named_splits(name: str) -> dict[str, dict[str, list[str]]]:
    """The splits that an imported survey brings: name → the four lists of `data.splits.SIDES`; {} for any other survey.

    Items are ids and countries alpha-3 codes; they may name what the imported file lacks.
    """
    if name not in stored_names():
        return {}
    splits: dict[str, dict[str, list[str]]] = describe_stored(name)["splits"]
    return splits


def describe_stored(name: str) -> dict[str, Any]:
    """What `survey.json` says. Raises ValueError where it was written by a later version or is damaged."""
    path = surveys_folder() / name / "survey.json"
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError(f"{path}: expected format {FORMAT!r}, version {VERSION}; import the survey again")
    return about


def _describe(imported: Imported, name: str, data: Path) -> dict[str, Any]:
    content = imported.content
    if isinstance(content, TableOfPeople):
        answered = content.people[(content.answers >= 0).any(axis=1)]
        countries, years, people = sorted(set(answered["country"])), set(answered["year"]), len(answered)
    else:
        countries, years, people = list(content.countries), {d.year for d in content.distributions}, 0
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "importer": imported.importer,
        "sources": [asdict(source) for source in imported.sources],
        "file": {"name": imported.file.name, "sha256": _sha256(imported.file)},
        "data": {"name": data.name, "sha256": _sha256(data)},
        "summary": {"items": len(imported.items), "countries": countries, "people": people, "years": sorted(years)},
        "excluded": dict(content.excluded),
        "notes": list(imported.notes),
        "splits": {
            split: {side: list(names) for side, names in sides.items()} for split, sides in imported.splits.items()
        },
        "items": [asdict(item) for item in imported.items],
    }


def _frame(content: TableOfPeople | Survey) -> pd.DataFrame:
    if isinstance(content, Survey):
        both = [(d, False) for d in content.distributions] + [(d, True) for d in content.earlier]
        return pd.DataFrame(
            {"item": d.item, **asdict(d.group), **_numbers(d), "earlier": earlier} for d, earlier in both
        )
    people = content.people.astype({name: "category" for name in ("country", "year", "age", "sex", "education")})
    features = content.features.add_prefix(_FEATURE).astype("category")
    return pd.concat([people, features, content.answers.add_prefix(_ANSWER)], axis=1)


def _numbers(answer: AnswerDistribution) -> dict[str, Any]:
    return {
        "probabilities": list(answer.probabilities),
        "n": answer.n,
        "n_effective": answer.n_effective,
        "year": answer.year,
    }


def _read(name: str, about: Mapping[str, Any], items: tuple[Item, ...]) -> TableOfPeople | Survey:
    path = surveys_folder() / name / about["data"]["name"]
    if not path.is_file() or _sha256(path) != about["data"]["sha256"]:
        raise ValueError(f"{path} is missing or not what was imported: import {about['file']['name']} again")
    frame = pd.read_parquet(path)
    if about["data"]["name"] == SHARES:
        made = {
            earlier: tuple(_distribution(row) for row in frame[frame["earlier"] == earlier].to_dict("records"))
            for earlier in (False, True)
        }
        sources = tuple(Source(**source) for source in about["sources"])
        return Survey(items, made[False], (), sources, about["excluded"], made[True])
    features = frame[[column for column in frame if column.startswith(_FEATURE)]]
    answers = frame[[f"{_ANSWER}{item.id}" for item in items]]
    text = ["id", "country", "year", "age", "sex", "education"]
    return TableOfPeople(
        people=frame[["id", "country", "year", "weight", "age", "sex", "education"]].astype(
            dict.fromkeys(text, object)
        ),
        features=features.rename(columns=lambda column: column.removeprefix(_FEATURE)).astype(object),
        answers=answers.rename(columns=lambda column: column.removeprefix(_ANSWER)),
        excluded=about["excluded"],
    )


def _distribution(row: Mapping[str, Any]) -> AnswerDistribution:
    return AnswerDistribution(
        row["item"],
        Group(row["country"], row["age"], row["sex"], row["education"]),
        tuple(float(share) for share in row["probabilities"]),
        int(row["n"]),
        float(row["n_effective"]),
        row["year"],
    )


def _item(entry: Mapping[str, Any]) -> Item:
    wordings = tuple(ItemWording(w["language"], w["question"], tuple(w["options"])) for w in entry["wordings"])
    positions = None if entry["positions"] is None else tuple(entry["positions"])
    return Item(**{**entry, "options": tuple(entry["options"]), "positions": positions, "wordings": wordings})


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
