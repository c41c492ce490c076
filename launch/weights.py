"""The weights of variants that nobody needs any more: removed once all audits are done, where `keep_models` is false.

What is audited later in another way needs them: then the cell is trained again, to the same weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from data.manifest import read_manifest, update_manifest
from data.snapshots import weights_of
from launch.asked import trains
from launch.cells import REMOVED, Cell
from launch.heads import REWARD


def kept(config: Mapping[str, Any]) -> bool:
    """Whether a cell's weights stay: as configured, and those of reward models, which nobody audits."""
    return bool(config.get("keep_models", True)) or config.get("head") == REWARD


def remove_weights(cell: Cell) -> None:
    """Remove the weights of an audited variant that are not kept. What was begun is finished."""
    weights = weights_of(cell.folder)
    if weights is None or kept(cell.config) or not trains(cell.config) or Cell(cell.folder, cell.config).audits_to_do():
        return
    update_manifest(cell.folder, weights=REMOVED)
    shutil.rmtree(weights)


def begin_anew(cell: Cell) -> None:
    """Let a cell whose weights were removed be trained again."""
    if read_manifest(cell.folder).get("weights") == REMOVED:
        update_manifest(cell.folder, state="planned", trained=False, weights=None)
