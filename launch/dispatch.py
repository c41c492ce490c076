"""Cells to Hydra's launcher: one after the other here (basic), side by side (joblib), on a cluster (submitit, Ray).

A launcher sees a cell as one override, `cell=/its/folder`; the task starts the worker there and waits. A cell that
fails does not stop the others: what became of it is in its manifest. Cells that others are built on come first, level
by level; a cell whose parent is not trained then is not started.

Nor does a launcher that gives up, as they do when one of their own processes is killed, a job runs out of time or a
node is lost: what goes on is waited for, and what a broken pool of processes left is launched again, once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from launch.asked import trains
from launch.beside import gpus, seated
from launch.cells import Cell, read_cell
from launch.chains import cells_built_on, levels, unfit
from launch.compose import Composer
from launch.process import last_error, run_worker
from launch.waiting import is_held, wait_for_others

STAGES = "train,audit"


def dispatch(composer: Composer, cells: Sequence[Cell], overrides: Sequence[str], run: Path) -> list[int]:
    """Run the cells on the launcher that `overrides` choose (hydra/launcher=…). Returns the workers' exit codes; a cell
    that could not be started, or whose launcher gave up, has none, and that is said on stderr.
    """
    codes: list[int] = []
    config = _config(composer, overrides, run)
    before = _stamps(cells)
    if wait_for_others(run, cells):
        cells = _left(cells, before)
    for level in levels(cells):
        ready = [cell for cell in level if cell.trained or _may_start(cell)]
        codes += _launch_all(config, ready, len(codes))
    return codes


def _may_start(cell: Cell) -> bool:
    """Whether all that the cell is built on is trained and has not collapsed; says on stderr what is or has. Asking a
    collapsed variant in another way is asking a collapsed variant, and is no start of anything.
    """
    for knob, other in cells_built_on(cell).items():
        if (problem := unfit(other)) and (trains(cell.config) or not other.trained):
            _say(f"{cell.name} is not started: {knob} {other.name} {problem}")
            return False
    return True


def _launch_all(config: Any, cells: list[Cell], first: int) -> list[int]:
    """Launch the cells until the launcher comes to its end, or gives up. What a lost process of joblib or Ray left is
    launched again: cells that were begun one by one, so that what ends a process takes no other cell with it. A queue's
    jobs are their own: what one of them lost waits for the next command.
    """
    codes: list[int] = []
    batches = [cells] if cells else []
    while batches:
        batch = batches.pop(0)
        before = _stamps(batch)
        try:
            codes += _launch(config, batch, first + len(codes))
            continue
        except Exception as error:  # of any plug-in
            first_line = (str(error).strip().splitlines() or [""])[0]
            _say(f"the launcher gave up: {type(error).__name__}: {first_line[:300]}")
        wait_for_others(Path(config.hydra.sweep.dir), batch)
        begun = [name for name, stamp in _stamps(batch).items() if stamp != before[name]]
        if len(batch) == 1 or not begun or "submitit" in _kind(config):
            continue
        left = _left(batch, before)
        anew = [cell for cell in left if cell.name not in begun]
        batches += [anew] * bool(anew) + [[cell] for cell in left if cell.name in begun]
        _say(f"{len(left)} of its cells are left, and launched again")
    return codes


def _stamps(cells: Sequence[Cell]) -> dict[str, int]:
    """When each cell's manifest was written last: as soon as a worker begins."""
    return {cell.name: (cell.folder / "manifest.json").stat().st_mtime_ns for cell in cells}


def _left(cells: Sequence[Cell], before: dict[str, int]) -> list[Cell]:
    """The cells as they stand now, without those that are done, or have failed since."""
    now, stamps = [Cell(cell.folder, cell.config) for cell in cells], _stamps(cells)
    failed = [cell for cell in now if cell.manifest.get("state") == "failed" and stamps[cell.name] != before[cell.name]]
    done = [cell for cell in now if cell.manifest.get("state") == "done" and not cell.lacks()]
    return [cell for cell in now if cell not in (*failed, *done)]


def _launch(config: Any, cells: Sequence[Cell], first: int) -> list[int]:
    if "submitit" in _kind(config):
        _say(f"{len(cells)} cells become jobs; what they print is in {config.hydra.sweep.dir}/.submitit/JOB/")
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(GlobalHydra.instance().config_loader(), Callbacks(config)),
        task_function=run_cell if _kind(config) == "basic" else run_beside,
        config=config,
    )
    returned = launcher.launch([[f"cell={_quoted(cell.folder)}"] for cell in cells], initial_job_idx=first)
    return [int(job.return_value) for job in returned]


def _config(composer: Composer, overrides: Sequence[str], run: Path) -> Any:
    """Hydra's configuration, with which its launchers are made."""
    config = composer.with_hydra([*overrides, f"hydra.sweep.dir={_quoted(run)}"], "dispatch")
    with open_dict(config):
        config.hydra.job.name = "polyphony"
        config.hydra.job.config_name = "dispatch"
        config.hydra.runtime.cwd = str(Path.cwd())
    return config


def _kind(config: Any) -> str:
    return str(config.hydra.runtime.choices["hydra/launcher"])


def run_cell(config: Any) -> int:
    """The task of a launcher: bring one cell to its end. Returns the worker's exit code."""
    folder = Path(str(OmegaConf.select(config, "cell")))
    try:
        return _told(folder, run_worker(folder, STAGES, read_cell(folder).config["engine"]))
    except Exception as error:
        return _not_run(folder, error)


def run_beside(config: Any) -> int:
    """The task of a launcher that runs several cells at once, here or elsewhere: what they print carries their names,
    and cells that joblib runs on a machine with several GPUs take turns at those.
    """
    folder = Path(str(OmegaConf.select(config, "cell")))
    hydra = HydraConfig.get()
    try:
        os.chdir(hydra.runtime.cwd)
        engine = read_cell(folder).config["engine"]
        there = gpus() if "joblib" in hydra.launcher["_target_"] else []
        with seated(int(engine["processes"]), there):
            return _told(folder, run_worker(folder, STAGES, engine, name=folder.name.rpartition("--")[0]))
    except Exception as error:
        return _not_run(folder, error)


def _told(folder: Path, code: int) -> int:
    """The exit code; of a worker that was killed, and so could not say anything, it is said that it was."""
    if code and not (last_error(folder) or is_held(folder)):
        _say(f"{folder.name} was ended from outside; the same command goes on with it")
    return code


def _not_run(folder: Path, error: Exception) -> int:
    """A cell whose worker could not be started, or whose job a queue took away from it, stays as it is: the same
    command goes on with it.
    """
    _say(f"{folder.name} stopped: {type(error).__name__}: {error}")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
