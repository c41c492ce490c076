"""Train one cell: from a base model, a recipe and a mixture to a variant on disk that was opened again and checked.

`train_variant` is called in a worker, by every process of it; the same call again goes on where a killed one stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import Trainer, set_seed
from transformers.utils.logging import disable_progress_bar

from data.files import digest, digest_files
from data.leaks import Guard
from data.memory import peak_gib
from data.mixture import check_held_out, realised_diversity
from data.models import ModelSpec, device_for, load_model, load_tokenizer, weights_hash
from data.packed_attention import padded_logits
from data.prompts import Asking
from data.records import Split, Survey, TrainingExample
from data.splits import training_part
from data.variant import read_manifest, update_manifest
from train.adapters import Adapter
from train.batches import arrange
from train.loop import read_metrics
from train.recipes.none import NoTraining
from train.run import Budget, OnLog, Recipe, RunContext, is_main
from train.snapshots import save_variant

__all__ = ["Budget", "train_variant"]

TRAINED = ("trained", "auditing", "done")
MixtureOf = Callable[[Survey, int, int, int], tuple[TrainingExample, ...]]


def train_variant(
    *,
    cell: Path,
    spec: ModelSpec,
    recipe: Recipe,
    adapter: Adapter,
    mixture: MixtureOf,
    asking: Asking,
    survey: Survey,
    split: Split,
    seed: int,
    draw: int,
    budget: Budget,
    on_log: OnLog,
    audit_every: int | None = None,
) -> None:
    """Train the cell's variant and save it in `cell/model` or `cell/adapter`; nothing to do where that is done.

    The examples depend on the split's seed and on `draw`, their order and the model's randomness on `seed`: so the two
    levels of noise are crossed, and arms of one seed and draw see the same batches. metrics.jsonl grows by a line a
    step; the manifest gets state, budget and hashes. With `audit_every` a snapshot is left in `cell/snapshots` after
    every so many steps but the last. Raises ValueError when the mixture holds a held-out cell or a
    training text gives away a held-out question (`data.leaks`).
    """
    if (cell / "manifest.json").exists() and read_manifest(cell).get("state") in TRAINED:
        return
    if isinstance(recipe, NoTraining):
        if is_main():
            update_manifest(cell, state="trained", budget=_nothing_spent())
        return
    seen = training_part(survey, split, asking.language)
    examples = mixture(seen, budget.examples, split.seed, draw)
    check_held_out(examples, split)
    held_out, trained = (
        tuple(item for item in survey.items if (item.id in split.held_out_items) == held) for held in (True, False)
    )
    run = RunContext(
        cell=cell,
        spec=spec,
        adapter=adapter,
        asking=asking,
        examples=arrange(examples, np.random.default_rng([seed, draw])),
        budget=budget,
        seed=seed,
        on_log=on_log,
        guard=Guard(held_out, trained),
        audit_every=audit_every,
    )
    run.guard.refuse(_prompts(run), "training prompt")
    if is_main():
        cell.mkdir(parents=True, exist_ok=True)
        update_manifest(cell, state="training", seed=seed, draw=draw)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # one bar is enough: that of the steps
    set_seed(seed)
    trainer = recipe(run)
    if trainer is None:
        raise ValueError(
            f"recipe {type(recipe).__name__} returned no trainer; a recipe that trains nothing is NoTraining"
        )
    partial = cell / f".{adapter.folder}.partial"
    save_variant(trainer, run, partial)
    if is_main():
        _check_saved(trainer, run, partial)
        target = cell / adapter.folder
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        update_manifest(
            cell,
            state="trained",
            budget=_spent(trainer, run),
            hashes={
                "base": weights_hash(run.base),
                adapter.folder: digest_files(sorted(target.glob("*.safetensors")), target),
                "examples": digest([str(example) for example in run.examples]),
            },
            mixture=realised_diversity(examples),
            language=asking.language,
            left_out={reason: n for reason, n in seen.excluded.items() if reason not in survey.excluded},
        )
        shutil.rmtree(run.checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


def _check_saved(trainer: Trainer, run: RunContext, partial: Path) -> None:
    """Open what was saved as an audit will and compare: equal weights, finite answers. Raises ValueError otherwise."""
    trained: Any = trainer.accelerator.unwrap_model(trainer.model)
    if run.adapter.trains_base:
        model: Any = load_model(partial, torch.float32, run.spec.trust_remote_code)
        load_tokenizer(partial, run.spec.trust_remote_code)
    else:
        from peft import PeftModel

        model = PeftModel.from_pretrained(load_model(run.base, run.dtype, run.spec.trust_remote_code), partial)
    there = dict(model.named_parameters())
    for name, value in trained.named_parameters():
        if name not in there or not torch.equal(there[name].detach().cpu(), value.detach().cpu().to(there[name].dtype)):
            raise ValueError(f"{partial}: parameter {name} was not saved as it was trained")
    for path in partial.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            if broken := [key for key in tensors.keys() if not torch.isfinite(tensors.get_tensor(key)).all()]:  # noqa: SIM118
                raise ValueError(f"training diverged: {broken[0]} in {path} is not finite; lower recipe.learning_rate")
    ids = run.renderer.encode(_prompts(run)[:1])
    with torch.inference_mode():
        if not torch.isfinite(padded_logits(model, ids, torch.device("cpu"))).all():
            raise ValueError(f"{partial}: the saved model's answers are not finite; lower recipe.learning_rate")


def _prompts(run: RunContext) -> list[str]:
    """One rendered prompt of each distinct item and group that is trained on, the first example's first."""
    distinct = {(e.item.id, e.group, e.condition): e for e in reversed(run.examples)}
    return [run.renderer.survey(e.item, e.order, e.group, e.condition).text for e in reversed(distinct.values())]


def _spent(trainer: Trainer, run: RunContext) -> dict[str, float]:
    """What the training cost, summed over metrics.jsonl and so over interruptions.

    `tokens` counts every prompt in full, `computed_tokens` what was computed. `flops` after Kaplan et al. 2020
    (arXiv:2001.08361): per computed token 2 N forward, 2 N backward through the layers, and 2 for every parameter whose
    gradient is taken, N without the embeddings; attention and the output matrix are not counted.
    """
    steps = read_metrics(run.metrics)
    total = {name: sum(step.get(name, 0.0) for step in steps) for name in _nothing_spent()}
    reference = sum(step.get("reference_tokens", 0.0) for step in steps)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    size = model.num_parameters(exclude_embeddings=True)
    training = min(size, sum(p.numel() for p in model.parameters() if p.requires_grad))
    return total | {
        "examples": run.budget.examples,
        "steps": len(steps),
        "seconds": total["seconds"] + sum(step.get("reference_seconds", 0.0) for step in steps),
        "flops": total["computed_tokens"] * (4 * size + 2 * training) + reference * 2 * size,
        "peak_memory_gib": peak_gib(device_for()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "learning_rate": float(trainer.args.learning_rate),
    }


def _nothing_spent() -> dict[str, float]:
    return dict.fromkeys(("examples", "steps", "tokens", "computed_tokens", "seconds", "flops", "peak_memory_gib"), 0)
