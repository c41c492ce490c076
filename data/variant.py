"""A variant: the model that a cell produced, with the manifest that says how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.files import digest, read_json
from data.manifest import SCHEMA, STATES, read_manifest, update_manifest
from data.models import ModelSpec, attention_for, dtype_for, fetch, load_model, load_tokenizer, weights_hash

__all__ = ["SCHEMA", "STATES", "Variant", "load_variant", "read_manifest", "update_manifest"]

QUANTIZATION = "adapter_quantization.json"


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


def load_variant(
    cell: Path, spec: ModelSpec, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Model on `device`, tokenizer, and a hash of all that its answers depend on (base weights, adapter, tokenizer).

    An adapter stays unmerged on the base that `spec` names, quantised as it was in training; its own record of the
    base's path is not used.
    """
    kept = locate(cell, spec)
    dtype = dtype_for(spec, device)
    quantization = quantization_of(kept.adapter) if kept.adapter else None
    attention = attention_for(spec, dtype, device)
    model: Any = load_model(kept.folder, dtype, spec.trust_remote_code, attention, quantization)
    if kept.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, kept.adapter).eval()
    return model.to(device), load_tokenizer(kept.folder, spec.trust_remote_code), kept.weights


def quantization_of(adapter: Path) -> dict[str, Any] | None:
    """How the base was quantised under which an adapter was trained; None where it was not."""
    path = adapter / QUANTIZATION
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found


@dataclass(frozen=True)
class Kept:
    """Where a variant lies: the model's folder, the adapter's on it (None: without), and the hash of both."""

    folder: Path
    adapter: Path | None
    weights: str


def locate(cell: Path, spec: ModelSpec) -> Kept:
    """Find the variant in `cell` without loading it; fetches the base where it is needed."""
    kind = Variant(cell, read_manifest(cell)).kind
    folder = cell / "model" if kind == "full" else fetch(spec)
    if kind != "adapter":
        return Kept(folder, None, weights_hash(folder))
    return Kept(folder, cell / "adapter", digest([weights_hash(folder), weights_hash(cell / "adapter")]))
