"""A variant: the model that a cell produced, with the manifest that says how.

A cell's state moves `planned → training → trained → auditing → done | failed`, each step written by atomic rename.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.files import digest, read_json, write_json
from data.models import ModelSpec, dtype_for, fetch, load_model, load_tokenizer, weights_hash

SCHEMA = 1
STATES = ("planned", "training", "trained", "auditing", "done", "failed")


@dataclass(frozen=True)
class Variant:
    """A cell's folder and what its manifest says. `kind` is base (nothing trained), full or adapter."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        if (self.folder / "adapter" / "adapter_config.json").exists():
            return "adapter"
        return "full" if (self.folder / "model" / "config.json").exists() else "base"


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
    manifest = read_manifest(cell) if path.exists() else {"schema": SCHEMA}
    if changes.get("state", "planned") not in STATES:
        raise ValueError(f"state must be one of {STATES}, got {changes['state']!r}")
    for key, value in changes.items():
        old = manifest.get(key)
        manifest[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    write_json(path, manifest)
    return manifest


def load_variant(
    cell: Path, spec: ModelSpec, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Model on `device`, tokenizer, and a hash of all that its answers depend on (base weights, adapter, tokenizer).

    An adapter stays unmerged on the base that `spec` names; its own record of the base's path is not used.
    """
    variant = Variant(cell, read_manifest(cell))
    folder = cell / "model" if variant.kind == "full" else fetch(spec)
    identity = weights_hash(folder)
    model = load_model(folder, dtype_for(spec, device), spec.trust_remote_code)
    if variant.kind == "adapter":
        from peft import PeftModel

        adapter = cell / "adapter"
        model = PeftModel.from_pretrained(model, adapter).eval()
        identity = digest([identity, weights_hash(adapter)])
    tokenizer = load_tokenizer(folder, spec.trust_remote_code)
    return model.to(device), tokenizer, identity
