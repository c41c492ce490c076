"""Train one cell: from a base model, a recipe and a mixture to a variant on disk that was opened again and checked.

`train_variant` is called in a worker, by every process of it; the same call again goes on where a killed one stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import Trainer, set_seed
from transformers.utils.logging import disable_progress_bar

from data.diversity import realised_diversity
from data.files import digest, digest_files
from data.leaks import Guard, check_held_out
from data.memory import peak_gib
from data.models import ModelSpec, device_for, load_model, load_tokenizer, weights_hash
from data.packed_attention import padded_logits
from data.prompts import Asking
from data.records import Split, Survey, TrainingExample
from data.splits import training_part
from data.variant import quantization_of, read_manifest, update_manifest
from train.adapters import Adapter
from train.budget import Budget
from train.closed_rewards import check_reopened
from train.costs import size_of
from train.engines import Engine, leave_deepspeed, whole
from train.gate import Gate, collapse_of
from train.loop import read_metrics
from train.matching import drawn, matched
from train.recipes.none import NoTraining
from train.reward_model import open_scorer
from train.run import OnLog, Recipe, RunContext, is_main
from train.snapshots import forget_after, save_variant

__all__ = ["Budget", "train_variant"]

BEFORE = ("reference_seconds", "reward_seconds")  # what was computed once, before the first step
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
    engine: Engine | None = None,
    gate: Gate | None = None,
) -> None:
    """Train the cell's variant and save it in `cell/model` or `cell/adapter`; nothing to do where that is done.

    The examples depend on the split's seed and on `draw`, their order and the model's randomness on `seed`: so the two
    levels of noise are crossed, and arms of one seed and draw see the same batches. A mixture whose answers are not
    those of the survey's people has a method `taught` (`data.mixture`), which says what else recipes may draw on.
    metrics.jsonl grows by a line a step; the manifest gets state, budget and hashes. With `audit_every` a snapshot is
    left in `cell/snapshots` after every so many steps but the last. A training that `gate` stops is kept as it stood,
    and the manifest says `collapsed`: {"reason", "step"} (None of the others). Raises ValueError when the mixture holds
    a held-out cell or a training text gives away a held-out question (`data.leaks`).
    """
    if (cell / "manifest.json").exists() and read_manifest(cell).get("state") in TRAINED:
        return
    if isinstance(recipe, NoTraining):
        if is_main():
            update_manifest(cell, state="trained", budget=_nothing_spent())
        return
    engine = engine or Engine()
    engine.check_machine()
    seen = training_part(survey, split, asking.language)
    held_out, trained = (
        tuple(item for item in survey.items if (item.id in split.held_out_items) == held) for held in (True, False)
    )
    run = RunContext(
        cell=cell,
        spec=spec,
        adapter=adapter,
        asking=asking,
        examples=(),
        budget=budget,
        seed=seed,
        on_log=on_log,
        guard=Guard(held_out, trained),
        people=mixture.taught(seen, split.seed, draw) if hasattr(mixture, "taught") else seen,
        audit_every=audit_every,
        head=getattr(recipe, "head", "language"),
        engine=engine,
        gate=gate or Gate(),
    )
    examples, counted = matched(run, recipe, drawn(mixture, seen, split, seed, draw))
    check_held_out(examples, split)
    run = replace(run, examples=examples, budget=counted)
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
    if trainer.model is not None:
        trainer.model.zero_grad(set_to_none=True)  # room for the model that is opened now
    _check_saved(trainer, run, partial)
    spent, collapsed = _spent(trainer, run), collapse_of(trainer)
    if is_main():
        target = cell / adapter.folder
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        update_manifest(
            cell,
            state="trained",
            budget=spent,
            collapsed=collapsed,
            hashes={
                "base": weights_hash(run.base),
                adapter.folder: digest_files(sorted(target.glob("*.safetensors")), target),
                "examples": digest([str(example) for example in run.examples]),
            },
            mixture=realised_diversity(examples),
            language=asking.language,
            trained_on={"device": run.device.type, "dtype": str(run.dtype).removeprefix("torch.")},
            left_out={reason: n for reason, n in seen.excluded.items() if reason not in survey.excluded},
        )
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        if collapsed:
            forget_after(cell, collapsed["step"] - 1)
    trainer.accelerator.wait_for_everyone()


def _check_saved(trainer: Trainer, run: RunContext, partial: Path) -> None:
    """Open what was saved as an audit will and compare: equal weights, finite answers. Raises ValueError otherwise.

    Called by every process, each of which may hold a share of the weights; the main one opens and compares.
    """
    trained: Any = trainer.accelerator.unwrap_model(trainer.model)
    leave_deepspeed()
    model = _opened(run, partial) if is_main() else None
    there = dict(model.named_parameters()) if model is not None else {}
    for name, parameter in trained.named_parameters():
        if not (parameter.requires_grad or run.adapter.trains_base):
            continue  # the base's, which is not saved
        with whole(parameter) as value:
            if is_main() and not (name in there and _same(_like(value, there[name]), there[name].detach())):
                raise ValueError(f"{partial}: parameter {name} was not saved as it was trained")
    if model is not None:
        _check_answers(run, trained, model, partial)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit; what is not a number equals itself, and is refused next."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)


def _like(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu().to(other.dtype)


def _opened(run: RunContext, partial: Path) -> Any:
    """What was saved, as an audit opens it."""
    if run.head == "reward":
        dtype = torch.float32 if run.adapter.trains_base else run.dtype
        return open_scorer(partial, None if run.adapter.trains_base else run.base, dtype, run.spec.trust_remote_code)
    if run.adapter.trains_base:
        load_tokenizer(partial, run.spec.trust_remote_code)
        return load_model(partial, torch.float32, run.spec.trust_remote_code)
    from peft import PeftModel

    base = load_model(run.base, run.dtype, run.spec.trust_remote_code, quantization=quantization_of(partial))
    return PeftModel.from_pretrained(base, partial)


def _check_answers(run: RunContext, trained: Any, model: Any, partial: Path) -> None:
    for path in partial.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            if broken := [key for key in tensors.keys() if not torch.isfinite(tensors.get_tensor(key)).all()]:  # noqa: SIM118
                raise ValueError(f"training diverged: {broken[0]} in {path} is not finite; lower recipe.learning_rate")
    if run.head == "reward":
        return check_reopened(run, trained, model, partial)
    ids = run.renderer.encode(_prompts(run)[:1])
    with torch.inference_mode():
        if not torch.isfinite(padded_logits(model, ids, model.device)).all():
            raise ValueError(f"{partial}: the saved model's answers are not finite; lower recipe.learning_rate")


def _prompts(run: RunContext) -> list[str]:
    """One rendered prompt of each distinct item and group that is trained on, the first example's first."""
    distinct = {(e.item.id, e.group, e.condition): e for e in reversed(run.examples)}
    return [run.renderer.survey(e.item, e.order, e.group, e.condition).text for e in reversed(distinct.values())]


def _spent(trainer: Trainer, run: RunContext) -> dict[str, float]:
    """What the training cost, summed over metrics.jsonl and so over interruptions.

    `tokens` counts every prompt in full, `computed_tokens` what was computed; `flops` by `train.costs`.
    """
    steps = read_metrics(run.metrics)
    total = {name: sum(step.get(name, 0.0) for step in steps) for name in _nothing_spent()}
    reference = sum(step.get("reference_tokens", 0.0) for step in steps)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    size = size_of(model)
    return total | {
        "examples": len(steps) * run.budget.batch_size,
        "steps": len(steps),
        "seconds": total["seconds"] + sum(step.get(name, 0.0) for step in steps for name in BEFORE),
        "flops": size.flops(total["computed_tokens"], reference),
        "peak_memory_gib": peak_gib(device_for()),
        "trained_parameters": size.trained,
        "learning_rate": float(trainer.args.learning_rate),
    }


def _nothing_spent() -> dict[str, float]:
    return dict.fromkeys(("examples", "steps", "tokens", "computed_tokens", "seconds", "flops", "peak_memory_gib"), 0)
