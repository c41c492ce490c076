"""A cell's manifest: what state the cell is in and everything that says how its variant came to be.

The state moves `planned → training → trained → auditing → done | failed`, each step written by atomic rename.
Reading it needs neither torch nor a model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.files import read_json, write_json

SCHEMA = 1
STATES = ("planned", "training", "trained", "auditing", "done", "failed")


def read_manifest(cell: Path) -> dict[str, Any]:
    """The cell's manifest. Raises ValueError where another version of the project wrote it."""
    manifest: dict[str, Any] = read_json(cell / "manifest.json")
    if manifest.get("schema") != SCHEMA:
        raise ValueError(
            f"{cell / 'manifest.json'} has schema {manifest.get('schema')!r}, this version writes {SCHEMA}: "
            "move the folder away and run again"
        )
    return manifest


def update_manifest(cell: Path, **changes: Any) -> dict[str, Any]:
    """Merge `changes` into the manifest (dictionaries one level deep) and write it atomically."""
    path = cell / "manifest.json"
    manifest: dict[str, Any] = read_manifest(cell) if path.exists() else {"schema": SCHEMA}
    if changes.get("state", "planned") not in STATES:
        raise ValueError(f"state must be one of {STATES}, got {changes['state']!r}")
    for key, value in changes.items():
        old = manifest.get(key)
        manifest[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    write_json(path, manifest)
    return manifest
