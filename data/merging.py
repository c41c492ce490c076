"""The whole model of a finished cell, from which another training may start: as it is, or an adapter merged into it.

An adapter is merged once, in float32 (W + alpha / rank * B A for LoRA; PEFT knows the formula of each kind), and the
result is opened again and held against the adapter beside its base: the same log-probability of every next token. A
base that was quantised in training is dequantised first: what the adapter was trained on is what it is merged into.
Needs the memory of the model in float32 on the CPU. A reward model is merged likewise; its answers are its rewards.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import PreTrainedModel

from data.files import digest_files
from data.manifest import read_manifest, update_manifest
from data.models import ModelSpec, fetch, load_model, load_tokenizer, weights_hash
from data.variant import Variant, quantization_of

MERGED = "merged"
TOLERANCE = 1e-4
"""Nats by which a log-probability (a reward: its unit) may differ: rounding of W + BA, amplified by the layers."""
PROBES = (
    "The capital of Norway is",
    "Which of these matters most to you? A. Family B. Work C. Friends. Answer with one letter:",
    "People in different countries answer this question in different ways, because",
)


Load = Callable[..., PreTrainedModel]
"""(folder, dtype, trust_remote_code) -> the model there, on the CPU: `load_model`, or one for another head."""


def whole_model(cell: Path, base: ModelSpec, load: Load = load_model) -> Path:
    """The folder of the model that a finished cell holds, with its tokenizer: `model`, or `merged` where the cell
    trained an adapter on `base`, merged now if it was not before. `load` opens a model with the cell's head.

    Raises ValueError where the weights are not those that the cell's manifest promises, its base is not the one that
    the adapter was trained on, or the merged model answers otherwise; FileNotFoundError where there are no weights.
    """
    part, weights = trained_weights(cell)
    if part == "model":
        return cell / "model"
    manifest, folder = read_manifest(cell), fetch(base)
    _check_promise(folder, weights_hash(folder), manifest["hashes"]["base"])
    with FileLock(cell / f".{MERGED}.lock"):
        made_of = {"adapter": weights, "base": manifest["hashes"]["base"]}
        target = cell / MERGED
        if (target / "manifest.json").exists() and read_manifest(target)["made_of"] == made_of:
            return target
        partial = cell / f".{MERGED}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        difference = _merge(folder, cell / "adapter", partial, base.trust_remote_code, load)
        update_manifest(partial, made_of=made_of, largest_difference=difference)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target


def trained_weights(cell: Path) -> tuple[str, str]:
    """Where in a finished cell its weights lie, "model" or "adapter", and their hash, which is the promised one.

    Raises ValueError where it is not, FileNotFoundError where there are no weights.
    """
    manifest = read_manifest(cell)
    kind = Variant(cell, manifest).kind
    if kind == "base":
        raise FileNotFoundError(f"{cell} holds no weights any more (neither model/ nor adapter/): train it again")
    part = "model" if kind == "full" else "adapter"
    weights = digest_files(sorted((cell / part).glob("*.safetensors")), cell / part)
    _check_promise(cell / part, weights, manifest["hashes"][part])
    return part, weights


def _merge(base: Path, adapter: Path, target: Path, trust_remote_code: bool, load: Load) -> float:
    """Merge into `target`; returns the largest difference of an answer. ValueError where it is off."""
    from peft import PeftModel

    tokenizer = load_tokenizer(base, trust_remote_code)
    ids = [tokenizer(text)["input_ids"] for text in PROBES]
    quantization = quantization_of(adapter)
    quantized = {"quantization": quantization} if quantization else {}
    model: Any = load(base, torch.float32, trust_remote_code, **quantized)
    model = model.dequantize().to("cpu", torch.float32) if quantization else model
    model = PeftModel.from_pretrained(model, adapter).eval()
    before = [_answers(model, one) for one in ids]
    model.merge_and_unload(safe_merge=True).save_pretrained(target)
    tokenizer.save_pretrained(target)
    del model  # one model at a time in memory
    merged = load(target, torch.float32, trust_remote_code)
    differences = [(_answers(merged, one) - was).abs().max() for one, was in zip(ids, before, strict=True)]
    difference = float(torch.stack(differences).max())
    if not difference <= TOLERANCE:
        shutil.rmtree(target)
        raise ValueError(
            f"{adapter}: merged into its base it answers otherwise than beside it (log-probabilities or rewards differ "
            f"by {difference:.3g}, expected at most {TOLERANCE}): it cannot be a parent; train it with adapter=full"
        )
    return difference


@torch.inference_mode()
def _answers(model: Any, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of every next token after each place, (tokens, vocabulary); a reward model's reward, (1,)."""
    logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0].float()
    return logits.log_softmax(-1) if logits.dim() == 2 else logits


def _check_promise(folder: Path, found: str, promised: str) -> None:
    if found != promised:
        raise ValueError(
            f"{folder}: these weights are not those that the manifest of the cell promises "
            f"(found {found[:12]}, expected {promised[:12]}): move the cell's folder away and run again"
        )
