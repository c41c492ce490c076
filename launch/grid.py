"""A large run at a glance: arms × seeds and draws with a mark for each cell, counts, and the time that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table

from launch.asked import trains
from launch.cells import Cell, audit_seconds
from launch.progress import duration
from launch.waiting import is_held

DONE, FAILED, COLLAPSED, RUNNING, STOPPED, PLANNED = "done", "failed", "COLLAPSED", "running", "stopped", "planned"
MARKS = {
    DONE: ("✓", "green"),
    FAILED: ("✗", "red"),
    COLLAPSED: ("!", "red"),
    RUNNING: ("▶", "yellow"),
    STOPPED: ("‖", "yellow"),
    PLANNED: ("·", ""),
}
"""Of each standing its mark and style."""


def standing(cell: Cell) -> str:
    """How a cell stands: COLLAPSED is done, and its training had broken down; stopped was begun and nobody is at it."""
    state = str(cell.manifest.get("state", PLANNED))
    if cell.manifest.get("collapsed") and not cell.lacks():
        return COLLAPSED
    if is_held(cell.folder):
        return RUNNING
    if state == DONE:
        return PLANNED if cell.lacks() else DONE
    return state if state in (FAILED, PLANNED) else STOPPED


def grid(cells: Sequence[Cell], found: Mapping[str, str]) -> Table | None:
    """The marks, an arm a line; None where every arm has one cell alone. `found` is each cell's standing, by name."""
    levels = sorted({(cell.config["seed"], cell.config["draw"]) for cell in cells})
    arms: dict[str, dict[tuple[int, int], str]] = {}
    for cell in cells:
        arms.setdefault(cell.arm, {})[cell.config["seed"], cell.config["draw"]] = found[cell.name]
    if max(map(len, arms.values())) < 2:
        return None
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for seed, draw in levels:
        table.add_column(f"s{seed}d{draw}", justify="center")
    for arm, row in arms.items():
        marks = [MARKS[row[level]] if level in row else ("", "") for level in levels]
        table.add_row(arm, *[f"[{style}]{mark}[/]" if style else mark for mark, style in marks])
    return table


def counts(cells: Sequence[Cell], found: Mapping[str, str]) -> str:
    """How many cells stand how, and the time left: "12 ✓ done, 1 ✗ failed, 5 · planned; about 2 h 5 min left …"."""
    number = Counter(found[cell.name] for cell in cells)
    said = ", ".join(f"{number[name]} {mark} {name}" for name, (mark, _) in MARKS.items() if number[name])
    seconds = seconds_left(cells, found)
    return f"{said}; {seconds}" if seconds else said


def seconds_left(cells: Sequence[Cell], found: Mapping[str, str]) -> str:
    """The time that what is planned, stopped or running takes if it takes what finished cells of its arm took (else
    those that train, or do not, as it does), as many at once as now; "" where nothing is left or known. Our design.
    """
    left = [cell for cell in cells if found[cell.name] in (PLANNED, STOPPED, RUNNING)]
    spent: dict[object, list[float]] = {}
    for cell in cells:
        if found[cell.name] in (DONE, COLLAPSED) and (seconds := seconds_of(cell)):
            for kind in (cell.arm, trains(cell.config)):
                spent.setdefault(kind, []).append(seconds)
    took = [spent.get(cell.arm) or spent.get(trains(cell.config)) or [] for cell in left]
    if not left or not all(took):
        return ""
    at_once = max(1, sum(found[cell.name] == RUNNING for cell in cells))
    total = sum(sum(one) / len(one) for one in took) / at_once
    return f"about {duration(total)} left with {at_once} at a time, as long as finished cells took"


def seconds_of(cell: Cell) -> float:
    """Wall clock of its training and of the audits that it and its snapshots have."""
    audits = sum(audit_seconds(one.folder) for one in (cell, *cell.snapshots()))
    return float(cell.manifest.get("budget", {}).get("seconds", 0) + audits)
