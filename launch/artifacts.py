"""Variants and base models as Weights & Biases artifacts: by reference to folders, nothing is copied.

The same cell makes the same artifact in every run, so that a child's run uses the very one that its parent's logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.snapshots import weights_of
from launch.cells import Cell
from launch.chains import cells_built_on


def variant_artifact(cell: Cell, manifest: Mapping[str, Any]) -> Any:
    """What a cell trained; its metadata says from what."""
    import wandb

    made = {"parent": manifest.get("parent") or {}, "hashes": manifest.get("hashes"), "cell": cell.name}
    artifact = wandb.Artifact(_slug(f"{cell.config['experiment']}-{cell.name}"), "model", metadata=made)
    if (folder := weights_of(cell.folder)) is not None:
        artifact.add_reference(folder.resolve().as_uri(), checksum=False)
    return artifact


def made_from(cell: Cell, manifest: Mapping[str, Any]) -> list[Any]:
    """What a cell was trained from: its base or the variant of its parent, and the reward model where there is one."""
    import wandb

    parent = manifest.get("parent") or {}
    found = [variant_artifact(other, other.manifest) for other in cells_built_on(cell).values()]
    if parent and "cell" not in parent:
        found.insert(0, wandb.Artifact(_slug(f"base-{parent['name']}"), "model", metadata=dict(parent)))
    return found


def _slug(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name)
