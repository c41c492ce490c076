"""The training loop around any transformers Trainer: its arguments, what it logs, and how it goes on after a kill.

Every step's numbers go to metrics.jsonl, the source of truth. A checkpoint counts once a marker that lists its files
and sizes stands in it: one torn by a kill is never resumed from. Resumed on a CPU with the same number of threads, the
final weights equal an uninterrupted run's bit for bit.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from data.files import read_json, write_json, write_text
from train.engines import check_wrapped
from train.gate import train_watched
from train.run import RunContext, is_main, processes
from train.snapshots import Snapshots, forget_after

MARKER = "COMPLETE.json"


def arguments(run: RunContext, learning_rate: float) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its descendants (TRL's configs), what matters set explicitly."""
    budget = run.budget
    micro, accumulated = budget.split(processes())
    return {
        "output_dir": str(run.checkpoints),
        "max_steps": budget.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulated,
        "learning_rate": learning_rate * run.adapter.learning_rate_scale,
        "lr_scheduler_type": budget.schedule,
        "warmup_steps": math.ceil(budget.warmup * budget.steps),
        "optim": "adamw_torch_fused",
        "weight_decay": budget.weight_decay,
        "max_grad_norm": budget.max_grad_norm,
        "seed": run.seed,
        "data_seed": run.seed,
        "train_sampling_strategy": "sequential",
        "use_cpu": run.device.type == "cpu",
        "activation_checkpointing": False,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "save_strategy": "steps",
        "save_steps": budget.checkpoint_every,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        **run.engine.arguments(bf16=run.dtype == torch.bfloat16),
    }


def one_device(arguments: TrainingArguments) -> TrainingArguments:
    """One process trains on one device: without a launcher transformers would spread it over all visible GPUs."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def fit(trainer: Trainer, run: RunContext) -> Trainer:
    """Train to the end of the budget, or until `run.gate` stops it, from the last complete checkpoint if there is one.
    Returns the trainer."""  # noqa: D209
    start = last_checkpoint(run.checkpoints)
    step = int(read_json(start / MARKER)["step"]) if start else 0
    if is_main():
        keep_metrics(run.metrics, step)
        forget_after(run.cell, step)
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(Recorder(trainer, run, step))
    trainer.add_callback(Snapshots(trainer, run))
    train_watched(trainer, run, read_metrics(run.metrics), str(start) if start else None)
    return trainer


class Recorder(TrainerCallback):
    """Writes metrics.jsonl, shows the progress, marks complete checkpoints and removes those before; one process."""

    def __init__(self, trainer: Trainer, run: RunContext, step: int) -> None:
        self._trainer = trainer
        self._run = run
        self._main = is_main()
        self._clock = time.perf_counter()
        self._bar: Any = tqdm(
            total=run.budget.steps,
            initial=step,
            desc="training",
            unit="step",
            disable=not self._main,
            dynamic_ncols=True,
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        check_wrapped(self._trainer.model_wrapped, self._run.engine)
        self._clock = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False  # the finished model itself is saved next

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._main or not logs or "loss" not in logs:
            return
        now = time.perf_counter()
        record = {name: float(value) for name, value in logs.items() if name != "epoch"}
        record["seconds"], self._clock = now - self._clock, now
        with self._run.metrics.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"step": state.global_step, **record}) + "\n")
        self._run.on_log(state.global_step, record)
        self._bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
        self._bar.update(state.global_step - self._bar.n)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._trainer.accelerator.wait_for_everyone()  # until every process has written its part
        if self._main:
            folder = self._run.checkpoints / f"checkpoint-{state.global_step}"
            paths = (path for path in folder.rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
            write_json(folder / MARKER, {"step": state.global_step, "files": files})
            for other in self._run.checkpoints.glob("checkpoint-*"):
                if other != folder:
                    shutil.rmtree(other)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._bar.close()


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose marker is there and whose files have the sizes it lists; None without one."""
    found = {int(path.parent.name.split("-")[1]): path.parent for path in folder.glob(f"checkpoint-*/{MARKER}")}
    for _, checkpoint in sorted(found.items(), reverse=True):
        sizes = read_json(checkpoint / MARKER)["files"]
        if all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == n for name, n in sizes.items()):
            return checkpoint
    return None


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The logged steps in order; a last line torn by a kill is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def keep_metrics(path: Path, step: int) -> None:
    """Cut the metrics back to those up to `step`, where training goes on."""
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
