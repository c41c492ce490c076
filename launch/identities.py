"""What a base model is known by: the hash of its files or, of a served one, its name and address.

Hashes are remembered in the run folder (`MEMORY`) so that a second run need not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files import digest, read_json
from data.served import is_served, served_weights

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py")


MEMORY = ".models.json"


def remembered(run: Path) -> dict[str, Any]:
    """What a run folder remembers of base models; empty where it does not or is not there."""
    path = run / MEMORY
    return read_json(path) if path.exists() else {}


def weights_identity(model: Mapping[str, Any], memory: dict[str, Any]) -> str:
    """SHA-256 of the weights, config and tokenizer that the config's `model` node names; fetches the model if needed.

    The hash that `memory` holds counts while the folder holds the same files with the same sizes and times; a new one
    is added to it. Raises as `data.models.fetch` does.
    """
    entry = memory.get(digest(model))
    if entry and _facts(Path(entry["folder"])) == entry["files"]:
        return str(entry["hash"])
    from data.models import ModelSpec, fetch, weights_hash
    from launch.build import build_as

    folder = fetch(build_as(ModelSpec, model, "model"))
    found = weights_hash(folder)
    memory[digest(model)] = {"folder": str(folder), "files": _facts(folder), "hash": found}
    return found


def last_identity(model: Mapping[str, Any], memory: Mapping[str, Any]) -> str:
    """The hash that a model had when it was last here, by `memory`: what was made of it then is still of that model.
    "" where it never was.
    """
    return str((memory.get(digest(model)) or {}).get("hash", ""))


def served_identity(cell: Mapping[str, Any]) -> str:
    """Name, address and revision of the served model that a cell's config asks; "" where its model has weights here."""
    model = cell["model"]
    if not is_served(str(model["source"])):
        return ""
    return served_weights(model["source"], model.get("revision"), str(cell["backend"].get("base_url", "")))


def _facts(folder: Path) -> list[list[Any]]:
    files = sorted(path for pattern in PATTERNS for path in folder.glob(pattern))
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
