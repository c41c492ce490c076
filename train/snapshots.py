"""Snapshots along a training: the variant as it was after every so many steps, kept for the audits.

`cell/snapshots/step-00010` holds what `cell` holds at the end: `model` (with its tokenizer) or `adapter`, and a
manifest. It appears whole or not at all. Saving one draws no random number and changes no weight, so the trained
variant is the same with and without.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.files import write_json
from data.manifest import update_manifest
from data.snapshots import snapshot_folder, snapshot_steps
from data.variant import QUANTIZATION
from train.run import RunContext, is_main


def save_variant(trainer: Trainer, run: RunContext, partial: Path) -> None:
    """Weights as safetensors, with the tokenizer where the whole model is saved. Called by every process."""
    if is_main():
        shutil.rmtree(partial, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(partial))
    if is_main():
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle
        (partial / "README.md").unlink(missing_ok=True)
        if run.adapter.trains_base:
            run.tokenizer.save_pretrained(partial)
        else:  # the tokenizer is the base's; some trainers save it again
            if quantization := getattr(run.adapter, "quantization", None):
                write_json(partial / QUANTIZATION, dict(quantization))
            for path in partial.iterdir():
                if not path.name.startswith("adapter_"):
                    path.unlink()


class Snapshots(TrainerCallback):
    """Saves a snapshot after every `run.audit_every` steps but the last, whose variant the cell itself keeps."""

    def __init__(self, trainer: Trainer, run: RunContext) -> None:
        self._trainer = trainer
        self._run = run

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step, run = state.global_step, self._run
        if step not in snapshot_steps(run.audit_every, run.budget.steps):
            return
        folder = snapshot_folder(run.cell, step)
        partial = folder.with_name(f".{folder.name}.partial")
        save_variant(self._trainer, run, partial / run.adapter.folder)
        if is_main():
            update_manifest(partial, state="trained", step=step, seed=run.seed)
            partial.rename(folder)


def forget_after(cell: Path, step: int) -> None:
    """Remove the snapshots past `step`, where training goes on, and what a kill left half-written: each is made once,
    by the training that led to the variant.
    """
    for folder in (cell / "snapshots").glob("step-*"):
        if int(folder.name.removeprefix("step-")) > step:
            shutil.rmtree(folder)
    for partial in (cell / "snapshots").glob(".step-*.partial"):
        shutil.rmtree(partial)
