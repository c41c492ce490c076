"""Cells to Hydra's launcher: one after the other here (basic), side by side (joblib), on a cluster (submitit, Ray).

A launcher sees a cell as one override, `cell=/its/folder`; the task starts the worker there and waits. A cell that
fails does not stop the others: what became of it is in its manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from launch.cells import Cell, read_cell
from launch.compose import Composer
from launch.process import run_worker


def dispatch(composer: Composer, cells: Sequence[Cell], overrides: Sequence[str], run: Path) -> list[int]:
    """Run the cells on the launcher that `overrides` choose (hydra/launcher=…). Returns the workers' exit codes."""
    if not cells:
        return []
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
    returned = launcher.launch([[f"cell={_quoted(cell.folder)}"] for cell in cells], initial_job_idx=0)
    return [int(job.return_value) for job in returned]


def run_cell(config: Any) -> int:
    """The task of a launcher: bring one cell to its end. Returns the worker's exit code."""
    folder = Path(str(OmegaConf.select(config, "cell")))
    return run_worker(folder, "train,audit", read_cell(folder).config["engine"])


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
