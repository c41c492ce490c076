"""Cells to Hydra's launcher: one after the other here (basic), side by side (joblib), on a cluster (submitit, Ray).

A launcher sees a cell as one override, `cell=/its/folder`; the task starts the worker there and waits. A cell that
fails does not stop the others: what became of it is in its manifest. Cells that others are built on come first, level
by level; a cell whose parent is not trained then is not started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from launch.asked import trains
from launch.cells import Cell, read_cell
from launch.chains import cells_built_on, levels, unfit
from launch.compose import Composer
from launch.process import run_worker


def dispatch(composer: Composer, cells: Sequence[Cell], overrides: Sequence[str], run: Path) -> list[int]:
    """Run the cells on the launcher that `overrides` choose (hydra/launcher=…). Returns the workers' exit codes; a cell
    that could not be started has none, and is named on stderr.
    """
    codes: list[int] = []
    for level in levels(cells):
        ready = [cell for cell in level if cell.trained or _may_start(cell)]
        codes += _launch(composer, ready, overrides, run, len(codes)) if ready else []
    return codes


def _may_start(cell: Cell) -> bool:
    """Whether all that the cell is built on is trained and has not collapsed; says on stderr what is or has. Asking a
    collapsed variant in another way is asking a collapsed variant, and is no start of anything.
    """
    for knob, other in cells_built_on(cell).items():
        if (problem := unfit(other)) and (trains(cell.config) or not other.trained):
            print(f"{cell.name} is not started: {knob} {other.name} {problem}", file=sys.stderr)
            return False
    return True


def _launch(composer: Composer, cells: Sequence[Cell], overrides: Sequence[str], run: Path, first: int) -> list[int]:
    config = composer.with_hydra([*overrides, f"hydra.sweep.dir={_quoted(run)}"], "dispatch")
    with open_dict(config):
        config.hydra.job.name = "polyphony"
        config.hydra.job.config_name = "dispatch"
        config.hydra.runtime.cwd = str(Path.cwd())
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(GlobalHydra.instance().config_loader(), Callbacks(config)),
        task_function=run_cell,
        config=config,
    )
    returned = launcher.launch([[f"cell={_quoted(cell.folder)}"] for cell in cells], initial_job_idx=first)
    return [int(job.return_value) for job in returned]


def run_cell(config: Any) -> int:
    """The task of a launcher: bring one cell to its end. Returns the worker's exit code."""
    folder = Path(str(OmegaConf.select(config, "cell")))
    return run_worker(folder, "train,audit", read_cell(folder).config["engine"])


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
