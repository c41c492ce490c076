"""`polyphony tune`: the knobs of a recipe searched by optuna (Akiba et al. 2019, arXiv:1907.10902), trial after trial.

A trial is an arm of an ordinary run, `trial-007`, with values that the sampler asked for. Nothing else is kept: the
sampler is seeded and what it is told is read from the cells, so the same command asks for the same trials again, finds
those done, and goes on. Hydra's own plug-in for optuna wants a version below 3 and loses its study with the process.

Trial 0 is the recipe as it is, where its values lie within the ranges. A trial that failed is told as failed, one that
collapsed, or whose answers are unusable (`eval.validity`), as pruned: it is nobody's best.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from data.files import read_json
from data.manifest import read_manifest, update_manifest
from launch.arms import ask
from launch.build import nearest
from launch.cells import Cell, read_experiment
from launch.compose import Composer
from launch.grid import PLANNED, STOPPED, standing
from launch.pipeline import run, say
from launch.process import last_error
from launch.ranges import as_it_is, as_text, searched

DEFAULT_GOAL = "first_token/js_distance/country/seen items"
GATED = "first_token"
NOT_AGAIN = ("name=", "seed=", "seeds=", "draw=", "draws=", "hydra/", "hydra.")
OTHERS = ("all", "seen items")
"""The groups of the first-token audit that are shown beside the one that is tuned on: new questions, trained ones."""


@dataclass(frozen=True)
class Goal:
    """What is made small (or large): an estimate of an audit, named as `AUDIT/MEASURE/CONDITION/GROUP`."""

    audit: str
    measure: str
    condition: str
    group: str
    large: bool = False

    def value(self, cell: Cell) -> float:
        """The estimate in a finished cell, NaN where it is undefined. Raises ValueError where there is no such one."""
        found = _estimates(cell, self.audit)
        name = (self.measure, self.condition, self.group)
        if name not in found:
            close = nearest("/".join(name), {"/".join(one) for one in found})
            raise ValueError(f"audit {self.audit} of {cell.name} has no estimate {'/'.join(name)!r}{close}")
        return found[name]

    def beside(self, cells: Sequence[Cell], group: str) -> float:
        """Its mean over cells for another group; NaN where that has none."""
        name = (self.measure, self.condition, group)
        return fmean(_estimates(cell, self.audit).get(name, math.nan) for cell in cells)


def _estimates(cell: Cell, audit: str) -> dict[tuple[str, str, str], float]:
    """By measure, condition and group; undefined ones are NaN."""
    rows = read_json(cell.folder / "audits" / audit / "estimates.json")["estimates"]
    return {
        (row["name"], row["condition"], row["group"]): math.nan if row["value"] is None else float(row["value"])
        for row in rows
    }


def goal_of(text: str, large: bool) -> Goal:
    """The goal that a text names. Raises ValueError where it is not of four parts."""
    parts = text.split("/", 3)
    if len(parts) < 4 or not all(parts):
        raise ValueError(f"what is tuned must be AUDIT/MEASURE/CONDITION/GROUP, e.g. {DEFAULT_GOAL!r}, got {text!r}")
    return Goal(parts[0], parts[1], parts[2], parts[3], large)


@dataclass(frozen=True)
class Told:
    """What a trial came to: the mean of its cells, or why it has none; `state` as optuna calls it."""

    arm: str
    values: Mapping[str, str]
    state: str
    value: float
    why: str = ""


def tune(
    overrides: Sequence[str],
    goal: Goal,
    *,
    trials: int,
    at_once: int = 1,
    seed: int = 0,
    folders: Sequence[Path] = (),
    retry_failed: bool = False,
    command: str = "",
) -> int:
    """Search the overrides that are ranges, all others fixed, and print the trials and the best. Returns the exit code
    of `polyphony run` over all trials. Raises ValueError for what is wrong with the request.
    """
    optuna = _optuna()
    if trials < 1 or at_once < 1:
        raise ValueError(f"--trials and --at-once must be at least 1, got {trials} and {at_once}")
    with Composer(folders) as composer:
        spaces, fixed = searched(composer, overrides)
        fixed = fixed if any(one.startswith("name=") for one in fixed) else [*fixed, f"name={_name(fixed)}"]
        asked = ask(composer, fixed, False)
        start = as_it_is(asked.cells, spaces)
    if goal.audit not in {name for cell in asked.cells for name in cell["audit"]}:
        raise ValueError(f"audit {goal.audit!r} is not asked for: add it to audit=[…]")
    if {cell["arm"] for cell in asked.cells} - {"base"} != {cell["arm"] for cell in asked.cells[-1:]}:
        raise ValueError("tune searches the knobs of one arm: leave out experiment=, arms and what else names several")
    direction = "maximize" if goal.large else "minimize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed))
    if start:
        study.enqueue_trial(start)
    run_folder, code = asked.runs / asked.name, 0
    if retry_failed:
        _forget_failures(run_folder)
    arms: dict[str, dict[str, str]] = {}
    told: list[Told] = []
    while len(arms) < trials:
        batch = [study.ask(spaces) for _ in range(min(at_once, trials - len(arms)))]
        values = {f"trial-{one.number:03d}": {key: as_text(one.params[key]) for key in spaces} for one in batch}
        arms |= values
        more = [*fixed, f"+arms={{{','.join(f'{arm}:{_changes(found)}' for arm, found in arms.items())}}}"]
        last = len(arms) == trials
        code = run(more, folders=folders, command=command, finishes=last)
        cells = read_experiment(run_folder)[1]
        if cut := [cell.name for cell in cells if cell.arm in values and standing(cell) in (PLANNED, STOPPED)]:
            say(f"{', '.join(cut)} did not come to an end; the same command goes on with it")
            return 1
        for trial, (arm, found) in zip(batch, values.items(), strict=True):
            told.append(_outcome(arm, found, [cell for cell in cells if cell.arm == arm], goal))
            state = optuna.trial.TrialState[told[-1].state]
            study.tell(trial, told[-1].value if told[-1].state == "COMPLETE" else None, state)
            said = f"{told[-1].value:.4g}" if told[-1].state == "COMPLETE" else f"{told[-1].state}: {told[-1].why}"
            say(f"{arm} {_shown(found)}: {said}")
    _print(told, goal, read_experiment(run_folder)[1], fixed, bool(start))
    return code


def _forget_failures(run_folder: Path) -> None:
    """Trials that failed are cells to do again: each once, when its turn comes."""
    for path in run_folder.glob("cells/trial-*/manifest.json"):
        if read_manifest(path.parent).get("state") == "failed":
            update_manifest(path.parent, state="planned", error=None)


def _outcome(arm: str, values: Mapping[str, str], cells: Sequence[Cell], goal: Goal) -> Told:
    for cell in cells:
        if cell.manifest.get("state") != "done" or cell.lacks():
            return Told(arm, values, "FAIL", math.nan, last_error(cell.folder) or "not finished")
        if why := _unusable(cell):
            return Told(arm, values, "PRUNED", math.nan, why)
    value = fmean(goal.value(cell) for cell in cells)
    if not math.isfinite(value):
        return Told(arm, values, "FAIL", math.nan, "what is tuned is undefined")
    return Told(arm, values, "COMPLETE", value)


def _unusable(cell: Cell) -> str:
    """Why a cell's training or answers have collapsed; "" where they have not."""
    if collapsed := cell.manifest.get("collapsed"):
        return f"collapsed at step {collapsed['step']}: {collapsed['reason']}"
    items = cell.folder / "audits" / GATED / "items.parquet"
    if not items.exists():
        return ""
    import pandas as pd

    from eval.validity import gate

    found = gate(pd.read_parquet(items))
    return "; ".join(found.reasons) if found.status == "collapsed" else ""


def _print(told: Sequence[Told], goal: Goal, cells: Sequence[Cell], fixed: Sequence[str], started: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    name = f"{goal.audit}/{goal.measure}/{goal.condition}"
    beside = [group for group in OTHERS if goal.audit == GATED and group != goal.group]
    best = min((one for one in told if one.state == "COMPLETE"), key=_order(goal), default=None)
    table = Table(title=escape(f"{name}: {'higher' if goal.large else 'lower'} is better"), title_justify="left")
    for column in ("trial", *told[0].values, escape(goal.group), *(f"not tuned on: {group}" for group in beside), ""):
        table.add_column(column, overflow="fold")
    for one in sorted(told, key=_order(goal)):
        mine = [cell for cell in cells if cell.arm == one.arm]
        complete = one.state == "COMPLETE"
        others = [f"{goal.beside(mine, group):.4g}" if complete else "" for group in beside]
        notes = ["best"] * (one is best) + ["as it is"] * (started and one is told[0])
        value = f"{one.value:.4g}" if complete else one.state.lower()
        table.add_row(one.arm, *one.values.values(), value, *others, escape(one.why) or ", ".join(notes))
    Console().print(table)
    if best is None:
        print("No trial came to its end with usable answers.")
        return
    seeds = [number for cell in cells for number in (cell.config["seed"], cell.config["draw"])]
    fresh = f"seeds={[max(seeds) + 1 + step for step in range(3)]}".replace(" ", "")
    again = [text for text in fixed if not text.startswith(NOT_AGAIN)]
    named = next(text for text in fixed if text.startswith("name="))
    command = ["polyphony", "run", *again, *(f"{key}={value}" for key, value in best.values.items())]
    print(f"Best: {best.arm}, {_shown(best.values)}: {best.value:.4g}, of {len(told)} trials.")
    print("It was selected on these very answers, so it looks better than it is. Confirm it with other seeds and other")
    print("draws of the data, and read what it does on questions that the search did not look at:")
    print("  " + shlex.join([*command, fresh, "draws=seeds", f"{named}-confirmed"]))


def _order(goal: Goal) -> Any:
    """Sorts complete trials first, best first."""
    sign = -1 if goal.large else 1
    return lambda one: (one.state != "COMPLETE", sign * one.value if one.state == "COMPLETE" else 0.0, one.arm)


def _changes(values: Mapping[str, str]) -> str:
    quoted = (f"{key}={value}".replace("\\", "\\\\").replace("'", "\\'") for key, value in values.items())
    return "[" + ",".join(f"'{one}'" for one in quoted) + "]"


def _shown(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def _name(fixed: Sequence[str]) -> str:
    return "tune-" + next((text.partition("=")[2] for text in fixed if text.startswith("recipe=")), "recipe")


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ValueError("polyphony tune needs optuna: pip install 'polyphony[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
