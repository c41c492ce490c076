"""What the cells left beside their scores: training curves, one question as it was asked, and the traces of MARK."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.report.summary import Summary

TRACES = 300
TRACE_BYTES = 2_500_000
_TRACED = (
    "respondent",
    "item",
    "country",
    "age",
    "sex",
    "education",
    "question",
    "options",
    "human",
    "answer",
    "p",
    "features",
    "type",
    "functions",
)
_CURVES = ("loss", "train_loss", "eval_loss")


@dataclass(frozen=True, slots=True)
class Cell:
    arm: str
    folder: Path


@dataclass(frozen=True)
class Exchange:
    """One question as the model saw it, with its answer and people's, option by option."""

    arm: str
    condition: str
    prompt: str
    options: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Reasoning:
    """How one arm came to its answer: `share` of the vote, function by function, and the stress of each feature."""

    arm: str
    answer: str
    right: bool
    share: float
    type: str
    voices: tuple[str, ...]
    stress: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class Question:
    text: str
    own: str
    decisions: tuple[Reasoning, ...]


@dataclass(frozen=True)
class Trace:
    """A respondent, the questions, and how many of them each arm got right: (arm, right, asked)."""

    person: str
    country: str
    facts: tuple[str, ...]
    questions: tuple[Question, ...]
    score: tuple[tuple[str, int, int], ...]


def find_cells(summary: Summary, runs: Path) -> tuple[Cell, ...]:
    """The cells whose folders are there, in the order of the arms."""
    found = []
    for arm in summary.arms:
        for cell in summary.arm[arm].get("cells", []):
            name = Path(cell["folder"])
            places = [name] if name.is_absolute() else [runs / name, runs / "cells" / name]
            found += [Cell(arm, place) for place in places if place.is_dir()][:1]
    return tuple(found)


def training_curves(cells: Sequence[Cell]) -> dict[str, list[tuple[str, list[float], list[float]]]]:
    """Logged losses by name: a list of (arm, steps, values), one a cell. A torn last line is left out."""
    curves: dict[str, list[tuple[str, list[float], list[float]]]] = defaultdict(list)
    for cell in cells:
        path = cell.folder / "metrics.jsonl"
        if not path.exists():
            continue
        logged: dict[str, dict[float, float]] = defaultdict(dict)
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            for name in _CURVES:
                if isinstance(row.get(name), int | float) and isinstance(row.get("step"), int | float):
                    logged[name][row["step"]] = row[name]
        for name, points in logged.items():
            curves[name].append((cell.arm, list(points), list(points.values())))
    return dict(curves)


def read_items(cell: Cell, audit: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
    """The per-item evidence of one audit of one cell; None where it is not there."""
    path = cell.folder / "audits" / audit / "items.parquet"
    if not path.exists():
        return None
    table = pd.read_parquet(path)
    return table if columns is None else table[[name for name in columns if name in table]]


def exchanges(cells: Sequence[Cell], audit: str = "first_token", condition: str = "country") -> list[Exchange]:
    """The same question as each arm saw it (the first held-out one with a country stated), first cell of each arm."""
    found: dict[str, Exchange] = {}
    wanted: tuple[str, str] | None = None
    for cell in cells:
        table = read_items(cell, audit)
        if cell.arm in found or table is None or not {"prompt", "p", "q", "labels", "order"} <= set(table):
            continue
        rows = table[(table["condition"] == condition) & (table["stratum"] == "held_out")]
        if wanted is not None:
            rows = rows[(rows["item"] == wanted[0]) & (rows["country"] == wanted[1])]
        if rows.empty:
            continue
        row = rows.iloc[0]
        wanted = (row["item"], row["country"])
        model, people = (np.asarray(row[name], dtype=np.float64) for name in ("p", "q"))
        shown = [int(place) for place in row["order"]]
        options = tuple(
            (str(label), float(model[place]), float(people[place]))
            for label, place in zip(row["labels"], shown, strict=True)
        )
        found[cell.arm] = Exchange(cell.arm, condition, str(row["prompt"]), options)
    return list(found.values())


def traces(cells: Sequence[Cell], most: int = TRACES) -> tuple[list[Trace], int]:
    """MARK's decisions person by person, arms side by side (the first cell of each), and how many people there are.

    At most `most` people, taken evenly, and 2.5 MB of text; prompts are left to the parquet file. Evidence of another
    form than MARK writes gives no traces.
    """
    frames: dict[str, pd.DataFrame] = {}
    for cell in cells:
        table = None if cell.arm in frames else read_items(cell, "mark", _TRACED)
        if table is not None and len(table) and set(table) == set(_TRACED):
            frames[cell.arm] = table.assign(arm=cell.arm)
    if not frames:
        return [], 0
    table = pd.concat(frames.values(), ignore_index=True)
    people = list(dict.fromkeys(table["respondent"]))
    chosen = people[:: max(1, math.ceil(len(people) / most))]
    found, size = [], 0
    for person, rows in table[table["respondent"].isin(set(chosen))].groupby("respondent", sort=False):
        trace = _trace(str(person), rows)
        size += 900 * len(rows)
        if size > TRACE_BYTES:
            break
        found.append(trace)
    return found, len(people)


def _trace(person: str, rows: pd.DataFrame) -> Trace:
    first = rows.iloc[0]
    questions = []
    for _, part in rows.groupby("item", sort=False):
        options = [str(option) for option in part["options"].iloc[0]]
        decisions = tuple(_reasoning(row, options) for row in part.to_dict("records"))
        questions.append(Question(str(part["question"].iloc[0]), options[int(part["human"].iloc[0])], decisions))
    score = [
        (str(arm), int((part["answer"] == part["human"]).sum()), len(part))
        for arm, part in rows.groupby("arm", sort=False)
    ]
    facts = tuple(str(first[name]) for name in ("age", "sex", "education") if first[name])
    return Trace(person, str(first["country"]), facts, tuple(questions), tuple(score))


def _reasoning(row: Mapping[Hashable, Any], options: Sequence[str]) -> Reasoning:
    voices = []
    for voice in json.loads(row["functions"]):
        extra = "".join([", under stress" if voice["under_stress"] else "", ", revised" if voice["revised"] else ""])
        voices.append(f"{voice['function']} {voice['rank']}{extra}, {voice['weight']:.2f} → {voice['answer']}")
    stress = tuple(
        (f"{f['name']}: {f['value']}", f"{f['stress']:.0f}", bool(f["kept"])) for f in json.loads(row["features"])
    )
    answer = int(row["answer"])
    return Reasoning(
        str(row["arm"]),
        options[answer],
        answer == int(row["human"]),
        float(row["p"][answer]),
        str(row["type"]),
        tuple(voices),
        stress,
    )
