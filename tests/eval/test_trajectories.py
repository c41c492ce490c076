"""Rows in time from what snapshots and versions left: which numbers, which steps, which distances."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.files import write_json
from eval.cells import CellResult
from eval.records import SCORE_COLUMNS, Estimate
from eval.trajectories import Snapshot, trajectories

DRAWS = 200
LEVELS = {(0, 0): 0.0, (1, 0): 0.02}


def estimates(value: float) -> list[Estimate]:
    def one(name: str, group: str, condition: str) -> Estimate:
        return Estimate(name, group, condition, value, value - 0.1, value + 0.1, 4, "bootstrap")

    return [
        one("flip_rate", "all", "form"),
        one("flip_rate", "country=NOR", "form"),
        one("flip_rate", "all", "reference:asked_again"),
        one("control_effect", "all", "control:told"),
        one("value_priority", "value=power", "alone"),
    ]


def cell(folder: Path, arm: str, value: float, seed: int = 0, recipe: str = "match", **model: Any) -> CellResult:
    """A cell with audit edc whose every estimate is `value`, and whose evidence says so too."""
    audit = folder / "audits" / "edc"
    audit.mkdir(parents=True)
    pd.DataFrame({"p": [value]}).to_parquet(audit / "items.parquet")
    pd.DataFrame(columns=list(SCORE_COLUMNS)).to_parquet(audit / "scores.parquet")
    write_json(audit / "estimates.json", {"estimates": [asdict(one) for one in estimates(value)]})
    manifest = {"state": "done", "budget": {"steps": 6}}
    config = {"audit": {"edc": {}}, "model": model}
    return CellResult(arm, seed, 0, folder, manifest, config, recipe, "full", "diverse")


def drift(items: pd.DataFrame, before: pd.DataFrame) -> list[Estimate]:
    moved = float(items["p"].iloc[0] - before["p"].iloc[0])
    rows = [("training:alone", moved), ("reference:asked_again:alone", 9.0)]
    return [Estimate("moved", "all", condition, value, value, value, 1, "exact") for condition, value in rows]


def known(*cells: tuple[str, float]) -> list[dict[str, Any]]:
    """The summary's rows of arms."""
    return [{"arm": arm, "audit": "edc", **asdict(one)} for arm, value in cells for one in estimates(value)]


def table(rows: list[dict[str, Any]], name: str, condition: str, at: str = "step") -> dict[Any, float]:
    return {row[at]: row["value"] for row in rows if (row["name"], row["condition"]) == (name, condition)}


@pytest.fixture
def two_seeds(tmp_path: Path) -> tuple[list[CellResult], list[Snapshot]]:
    """A base at 0.1, and an arm of two seeds that goes 0.3, 0.4, 0.5; the second seed is always 0.02 higher."""
    cells = [cell(tmp_path / "base", "base", 0.1, recipe="none")]
    snapshots = []
    for (seed, _), more in LEVELS.items():
        folder = tmp_path / f"match{seed}"
        cells.append(cell(folder, "match", 0.5 + more, seed))
        for step, value in ((4, 0.4), (2, 0.3)):
            snapshots.append(Snapshot(step, cell(folder / "snapshots" / str(step), "match", value + more, seed)))
    return cells, snapshots


def test_a_line_from_base_to_variant(two_seeds: tuple[list[CellResult], list[Snapshot]]) -> None:
    cells, snapshots = two_seeds
    found = trajectories(cells, snapshots, known(("base", 0.1), ("match", 0.51)), {"edc": drift}, draws=DRAWS)
    rows = found["training"]
    assert found["absent"] == found["calendar"] == []
    assert table(rows, "flip_rate", "form") == pytest.approx({0: 0.1, 2: 0.31, 4: 0.41, 6: 0.51})
    assert table(rows, "value_priority", "alone") == pytest.approx({0: 0.1, 2: 0.31, 4: 0.41, 6: 0.51})
    assert table(rows, "moved", "training:alone") == pytest.approx({0: 0.0, 2: 0.21, 4: 0.31, 6: 0.41})
    assert table(rows, "moved", "previous:alone") == pytest.approx({2: 0.21, 4: 0.1, 6: 0.1})
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert {row["condition"] for row in rows} == {"form", "alone", "training:alone", "previous:alone"}
    assert {row["group"] for row in rows} == {"all", "value=power"}
    assert {(row["step"], tuple(row["seeds"])) for row in rows} == {(0, (0,)), (2, (0, 1)), (4, (0, 1)), (6, (0, 1))}
    between = [row for row in rows if row["step"] == 2 and row["condition"] == "form"]
    assert between[0]["low"] < 0.31 - 0.1, "the noise between two seeds widens the interval of one"
    assert "2 training seeds" in between[0]["method"]


def test_a_step_that_one_seed_lacks_is_left_out_and_said(
    two_seeds: tuple[list[CellResult], list[Snapshot]],
) -> None:
    cells, snapshots = two_seeds
    fewer = [one for one in snapshots if (one.step, one.result.seed) != (4, 1)]
    found = trajectories(cells, fewer, known(("base", 0.1), ("match", 0.51)), {"edc": drift}, ["lost"], draws=DRAWS)
    assert list(table(found["training"], "flip_rate", "form")) == [0, 2, 6]
    said = "match, edc: step 4 is left out, because not all of its 2 cells have it"
    assert found["absent"] == ["lost", said]
    assert table(found["training"], "moved", "previous:alone") == pytest.approx({2: 0.21, 6: 0.2})


def test_without_a_base_nothing_is_held_against_it(two_seeds: tuple[list[CellResult], list[Snapshot]]) -> None:
    cells, snapshots = two_seeds
    found = trajectories(cells[1:], snapshots, known(("match", 0.51)), {"edc": drift}, draws=DRAWS)
    assert list(table(found["training"], "flip_rate", "form")) == [2, 4, 6]
    assert table(found["training"], "moved", "training:alone") == {}
    assert list(table(found["training"], "moved", "previous:alone")) == [4, 6]


def test_without_snapshots_and_for_unfinished_cells_there_is_no_line(
    two_seeds: tuple[list[CellResult], list[Snapshot]],
) -> None:
    cells, snapshots = two_seeds
    nothing = {"training": [], "calendar": [], "absent": []}
    assert trajectories(cells, [], known(("base", 0.1), ("match", 0.5)), {"edc": drift}, draws=DRAWS) == nothing
    stale = [Snapshot(o.step, CellResult(**{**vars_of(o.result), "config": {"audit": {}}})) for o in snapshots]
    assert trajectories(cells, stale, known(("match", 0.5)), {"edc": drift}, draws=DRAWS) == nothing
    half = [CellResult(**{**vars_of(one), "manifest": {"state": "auditing"}}) for one in cells]
    assert trajectories(half, snapshots, [], {"edc": drift}, draws=DRAWS) == nothing


def vars_of(result: CellResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in CellResult.__dataclass_fields__}


def test_versions_of_a_series_in_order_of_their_dates(tmp_path: Path) -> None:
    dated = {"new": ("toy", "2025-01-31", 0.9), "old": ("toy", "2023-01-31", 0.2), "middle": ("toy", "2024-01-31", 0.6)}
    dated["alone"] = ("another", "2024-01-31", 0.3)
    cells = [
        cell(tmp_path / arm, arm, value, recipe="none", series=series, released=day)
        for arm, (series, day, value) in dated.items()
    ]
    cells.append(cell(tmp_path / "undated", "undated", 0.4, recipe="none"))
    rows = known(*((arm, value) for arm, (_, _, value) in dated.items()))
    found = trajectories(cells, [], rows, {"edc": drift}, draws=DRAWS)
    calendar = found["calendar"]
    assert found["training"] == []
    assert {row["series"] for row in calendar} == {"toy"}, "one version is no series"
    assert list(table(calendar, "flip_rate", "form", "date").items()) == [
        ("2023-01-31", 0.2),
        ("2024-01-31", 0.6),
        ("2025-01-31", 0.9),
    ]
    assert table(calendar, "moved", "previous:alone", "arm") == pytest.approx({"middle": 0.4, "new": 0.3})
    assert table(calendar, "moved", "first:alone", "arm") == pytest.approx({"old": 0.0, "middle": 0.4, "new": 0.7})


def test_undefined_stays_undefined(two_seeds: tuple[list[CellResult], list[Snapshot]]) -> None:
    cells, snapshots = two_seeds

    def unknown(items: pd.DataFrame, before: pd.DataFrame) -> list[Estimate]:
        return [Estimate("moved", "all", "training:alone", np.nan, np.nan, np.nan, 0, "undefined")]

    found = trajectories(cells, snapshots, known(("base", 0.1), ("match", 0.5)), {"edc": unknown}, draws=DRAWS)
    assert all(math.isnan(value) for value in table(found["training"], "moved", "training:alone").values())
