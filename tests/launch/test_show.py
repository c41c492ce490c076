"""`polyphony status` of large runs: the grid, the counts, the time left, and which cells are listed."""

from __future__ import annotations

from typing import Any

import pytest
from filelock import FileLock

from data.files import write_json
from data.manifest import update_manifest
from launch.cells import Cell, read_experiment
from launch.cli import main
from launch.grid import COLLAPSED, DONE, PLANNED, RUNNING, STOPPED, counts, seconds_left, standing


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("launch.pipeline.dispatch", lambda *_: [])
    monkeypatch.setattr("launch.pipeline.finish", lambda run: None)


def planned(toys: Any, *more: str) -> list[Cell]:
    assert toys.run("-m", "recipe=match,sft", "~recipe.learning_rate", *more) == 1
    return read_experiment(toys.folder / "toy")[1]


def end(cell: Cell, seconds: float) -> None:
    """As if it were trained and audited in so many seconds of each."""
    update_manifest(cell.folder, state="done", trained=True, budget={"seconds": seconds})
    for name, key in cell.config["keys"].items():
        estimates = {"key": key, "estimates": [], "costs": {"seconds": seconds}}
        write_json(cell.folder / "audits" / name / "estimates.json", estimates)


def test_the_grid_shows_every_cell(toys: Any, capsys: Any) -> None:
    cells = {(cell.arm, cell.config["seed"]): cell for cell in planned(toys, "seeds=[0,1,2,3]")}
    for arm, seed in (("base", 0), ("match-full", 0), ("match-full", 1)):
        end(cells[arm, seed], 60)
    update_manifest(cells["match-full", 2].folder, state="failed", error={"stage": "a", "type": "b", "message": "why"})
    update_manifest(cells["match-full", 3].folder, state="auditing", trained=True)
    update_manifest(cells["sft-full", 0].folder, state="training")
    end(cells["sft-full", 1], 60)
    update_manifest(cells["sft-full", 1].folder, collapsed={"step": 2, "reason": "entropy"})
    capsys.readouterr()
    with FileLock(cells["sft-full", 0].folder / ".lock"):
        assert main(["status", str(toys.folder / "toy")]) == 0
    said = capsys.readouterr().out
    grid = [line.split() for line in said.splitlines()[:4]]
    assert grid == [
        ["arm", "s0d0", "s1d0", "s2d0", "s3d0"],
        ["base", "✓"],
        ["match-full", "✓", "✓", "✗", "‖"],
        ["sft-full", "▶", "!", "·", "·"],
    ]
    number = "9 cells: 3 ✓ done, 1 ✗ failed, 1 ! COLLAPSED, 1 ▶ running, 1 ‖ stopped, 2 · planned; "
    assert f"{number}about 8 min 0 s left with 1 at a time" in said, "four cells of 60 s each twice"
    assert "auditing, stopped" in said
    assert all(cell.name in said for cell in cells.values())


def test_of_many_cells_those_that_are_done_are_not_listed(toys: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("launch.show.LISTED", 6)
    cells = planned(toys, "seeds=[0,1,2]", "audit=[]")
    assert len(cells) == 7
    for cell in cells[:4]:
        end(cell, 1)
    capsys.readouterr()
    assert main(["status", str(toys.folder / "toy")]) == 0
    said = capsys.readouterr().out
    listed = [cell.name for cell in cells if cell.name in said]
    assert listed == [cell.name for cell in cells[4:]]
    assert "4 cells that are done are left out: --all lists them." in said
    assert main(["status", "--all", str(toys.folder / "toy")]) == 0
    said = capsys.readouterr().out
    assert all(cell.name in said for cell in cells)


def test_how_a_cell_stands_and_what_is_left(toys: Any) -> None:
    first, second, third = planned(toys)
    assert [standing(cell) for cell in (first, second, third)] == [PLANNED] * 3
    end(second, 30)
    cells = [Cell(cell.folder, cell.config) for cell in (first, second, third)]
    found = {cell.name: standing(cell) for cell in cells}
    assert list(found.values()) == [PLANNED, DONE, PLANNED]
    assert seconds_left(cells, found) == "", "no cell that trains nothing is finished"
    assert counts(cells, found) == "1 ✓ done, 2 · planned"
    left = seconds_left(cells[1:], found)
    assert left == "about 1 min 0 s left with 1 at a time, as long as finished cells took", "as another arm that trains"
    update_manifest(third.folder, state="trained")
    assert standing(Cell(third.folder, third.config)) == STOPPED
    with FileLock(third.folder / ".lock"):
        assert standing(Cell(third.folder, third.config)) == RUNNING
    update_manifest(second.folder, collapsed={"step": 1, "reason": "loss"})
    assert standing(Cell(second.folder, second.config)) == COLLAPSED
