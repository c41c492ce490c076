"""Where the snapshots of a training lie in its cell, and at which steps they are taken. Needs no torch."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = ("model", "adapter")


def snapshot_steps(every: int | None, steps: int) -> range:
    """Every `every`-th of `steps` optimiser steps (None: none); not the last, after which the variant is finished."""
    return range(every, steps, every) if every else range(0)


def snapshot_folder(cell: Path, step: int) -> Path:
    return cell / "snapshots" / f"step-{step:05d}"


def weights_of(folder: Path) -> Path | None:
    """The folder with the trained weights of a cell or snapshot; None where they are not, or no longer, there."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_dir()), None)
