"""What the cells left beside their scores: training curves, one question as it was asked, and the traces of MARK."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from eval.mark.decisions import DECIDED
from eval.report.summary import Summary
from eval.report.traces import NEEDED, OPTIONAL, person_trace
from eval.report.traces import Trace as Trace

TRACES = 500
TRACE_BYTES = 6_000_000
Kind = TypeVar("Kind")
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


def traces(cells: Sequence[Cell], most: int = TRACES, room: int = TRACE_BYTES) -> tuple[list[Trace], int]:
    """MARK's decisions person by person, arms side by side (the first cell of each), and how many people there are.

    At most `most` people and `room` bytes of JSON, people taken evenly; prompts are left to the parquet file. Evidence
    of another form than MARK writes gives no traces.
    """
    frames: dict[str, pd.DataFrame] = {}
    for cell in cells:
        table = None if cell.arm in frames else read_items(cell, "mark", (*NEEDED, *OPTIONAL))
        if table is not None and set(NEEDED) <= set(table):
            decided = table[table["condition"] == DECIDED] if "condition" in table else table
            frames[cell.arm] = decided.assign(arm=cell.arm)
    by_person: dict[str, list[dict[Hashable, Any]]] = {}
    for frame in frames.values():
        for row in frame.to_dict("records"):
            by_person.setdefault(str(row["respondent"]), []).append(row)
    if not by_person:
        return [], 0
    ids = list(by_person)
    found = [person_trace(person, by_person[person]) for person in _evenly(ids, most)]
    sizes = np.array([len(json.dumps(trace)) for trace in found])
    fit = len(found)
    while fit > 1 and sum(_evenly(sizes.tolist(), fit)) > room:
        fit -= 1
    return _evenly(found, fit), len(ids)


def _evenly(of: list[Kind], most: int) -> list[Kind]:
    """At most so many, evenly spaced, the first among them."""
    places = np.unique(np.linspace(0, len(of), min(most, len(of)), endpoint=False).astype(int))
    return [of[place] for place in places]
