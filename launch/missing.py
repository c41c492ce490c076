"""Models that cannot be had, where a run keeps a row for each (`missing_models: row`): they cost their own cells alone.

Such a cell is failed, with the reason in its manifest. Where nothing is known of the model's weights its folder's name
ends in `missing`, since it is no cell of any model; once the model is there, the cell has a folder of its own and that
one goes. Every command tries anew, when it plans.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.manifest import update_manifest
from data.served import is_served
from launch.build import build, build_as
from launch.cells import MISSING, Cell

STAGE = "model"
"""The stage in which a cell without a model fails, in its manifest."""


def check_model(model: Mapping[str, Any]) -> None:
    """Raise ValueError where the config's `model` node has a wrong knob."""
    from data.models import ModelSpec

    build_as(ModelSpec, model, "model")


def without_key(cell: Cell) -> Cell:
    """The cell, with the reason where it lacks something that only a served model could give and there is no key."""
    if cell.missing or not is_served(str(cell.config["model"]["source"])) or not cell.lacks():
        return cell
    from data.models import ModelSpec
    from data.prompts import Asking

    backend = build(cell.config["backend"], "backend")
    asked = (build_as(ModelSpec, cell.config["model"], "model"), build_as(Asking, cell.config["prompt"], "prompt"))
    try:
        getattr(backend, "check", lambda *_: None)(*asked)
    except PermissionError as error:
        return Cell(cell.folder, {**cell.config, MISSING: str(error)})
    return cell


def clear_rows(run: Path) -> None:
    """Remove the folders that earlier commands left for cells whose model was missing: each command plans them anew."""
    for folder in (run / "cells").glob(f"*--{MISSING}"):
        shutil.rmtree(folder)


def keep_rows(unfinished: Sequence[Cell]) -> list[Cell]:
    """Mark the unfinished cells without a model as failed, with the reason, and say it. Returns them."""
    gone = [cell for cell in unfinished if cell.missing]
    for cell in gone:
        error = {"stage": STAGE, "type": "Missing", "message": cell.missing}
        update_manifest(cell.folder, state="failed", error=error)
        print(f"{cell.arm} has no model: {cell.missing}", file=sys.stderr, flush=True)
    return gone
