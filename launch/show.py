"""Tables for the terminal: what is planned, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launch.asked import trains
from launch.cells import Cell, read_experiment
from launch.grid import COLLAPSED, DONE, STOPPED, counts, grid, seconds_of, standing
from launch.process import last_error
from launch.progress import duration
from launch.snapshots import absent, audited_snapshots

DRAWN, LISTED = 8, 40  # more cells than so many are drawn as a grid; of more than so many the finished are not listed
STYLES = {"done": "green", "failed": "red", "training": "yellow", "auditing": "yellow", "trained": "cyan"}
STYLES |= {COLLAPSED: "red"}


def print_plan(run: Path, cells: Sequence[Cell]) -> None:
    """The cells that a run would have, where they lie and what each still lacks. Nothing is written."""
    table = Table(title=f"{run} (planned, nothing written)", title_justify="left")
    chained = any(map(_built_on, cells))
    for name in ("cell", "recipe", "adapter", "model", *["from"] * chained, "to do"):
        table.add_column(name, overflow="fold")
    for cell in cells:
        chosen = cell.config["chosen"]
        adapter = chosen["adapter"] if trains(cell.config) else "–"
        facts = [cell.name, chosen["recipe"], adapter, cell.config["model"]["name"]]
        table.add_row(*facts, *[_built_on(cell) or "–"] * chained, escape(_no_model(cell) or _todo(cell)))
    Console().print(table)


def print_status(run: Path, every: bool = False) -> None:
    """The run's cells: state, steps, audits, time and failure; above them, where there are many, how all of them stand.
    Of more than `LISTED` cells those that are done are left out, unless `every` one is asked for. Raises
    FileNotFoundError where there is no run.
    """
    _, cells = read_experiment(run)
    found = {cell.name: standing(cell) for cell in cells}
    if len(cells) > DRAWN:
        if drawn := grid(cells, found):
            Console().print(drawn)
        Console().print(escape(f"{run}: {len(cells)} cells: {counts(cells, found)}"), soft_wrap=True)
    listed = [cell for cell in cells if every or len(cells) <= LISTED or found[cell.name] != DONE]
    if listed:
        Console().print(_table(run, listed, found))
    if len(listed) < len(cells):
        Console().print(f"{len(cells) - len(listed)} cells that are done are left out: --all lists them.")
    for sentence in (sentence for cell in cells for sentence in absent(cell)):
        Console().print(escape(sentence))
    planned = {cell.name for cell in cells}
    others = sorted(path.name for path in (run / "cells").iterdir() if path.is_dir() and path.name not in planned)
    if others:
        Console().print(f"Not part of the last command: {', '.join(others)}")
    report = run / "comparison" / "report.html"
    Console().print(f"Report: {report}" if report.exists() else "No comparison yet.")


def _table(run: Path, cells: Sequence[Cell], found: Mapping[str, str]) -> Table:
    table = Table(title=escape(str(run)), title_justify="left")
    along = any(cell.snapshots() for cell in cells)
    chained = any(map(_built_on, cells))
    for name in ("cell", *["from"] * chained, "state", "trained", "audits", *["snapshots"] * along, "time", "to do"):
        table.add_column(name, overflow="fold")
    for cell in cells:
        state = COLLAPSED if _collapse(cell) else str(cell.manifest.get("state", "planned"))
        style = STYLES.get(state, "")
        state += ", stopped" if found[cell.name] == STOPPED else ""
        lacking = cell.lacks()
        audits = len(cell.config["keys"]) - len({*lacking, *cell.unaudited} & set(cell.config["keys"]))
        spent = seconds_of(cell)
        table.add_row(
            cell.name,
            *[_built_on(cell) or "–"] * chained,
            f"[{style}]{state}[/]" if style else state,
            _steps(cell),
            f"{audits}/{len(cell.config['keys'])}" if cell.config["keys"] else "–",
            *[_snapshots(cell)] * along,
            duration(spent) if spent else "–",
            escape(last_error(cell.folder) or _collapse(cell) or _todo(cell)),
        )
    return table


def _collapse(cell: Cell) -> str:
    """Why a cell at its end is collapsed: what its training was stopped for, and which audits failed and why; "" where
    it is not.
    """
    collapsed = cell.manifest.get("collapsed")
    if not collapsed or cell.lacks():
        return ""
    failed = [f"audit {name}: {why}" for name, why in cell.unaudited.items()]
    return "; ".join([f"step {collapsed['step']}: {collapsed['reason']}", *failed])


def _snapshots(cell: Cell) -> str:
    there, planned = audited_snapshots(cell)
    return f"{there}/{planned}" if planned else "–"


def _built_on(cell: Cell) -> str:
    """The cells where it starts and by which it is rewarded; "" where it starts from the base and needs no other."""
    start, judge = cell.config.get("start", ""), cell.config.get("rewarded_by")
    return f"{start or 'base'}, rewarded by {judge}" if judge else start


def _steps(cell: Cell) -> str:
    if not trains(cell.config):
        return "–"
    metrics = cell.folder / "metrics.jsonl"
    budget = cell.config["budget"]
    done = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
    return f"{done}/{budget['examples'] // budget['batch_size']} steps"


def _no_model(cell: Cell) -> str:
    return f"no model: {cell.missing}" if cell.missing and cell.lacks() else ""


def _todo(cell: Cell) -> str:
    work = [name for name in cell.lacks() if name != "train" or trains(cell.config)]
    return ", ".join(work) or "nothing"
