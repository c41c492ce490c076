"""What a recipe is given: the base model under its adapter, the training examples, the budget, and where to write.

A recipe of your own is a frozen dataclass whose `__call__(self, run: RunContext)` trains `run.model` and returns the
`Trainer` that did it. One that is a loss over the options of closed questions is three lines around
`train.closed.train_closed`, see `train.recipes.match`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase, Trainer

from data.leaks import Guard
from data.models import ModelSpec, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import TrainingExample
from train.adapters import Adapter

OnLog = Callable[[int, dict[str, float]], None]
SCHEDULES = ("linear", "cosine", "constant_with_warmup")


@dataclass(frozen=True)
class Budget:
    """How much is trained; the same for all arms that are compared.

    `examples` are seen once each, `batch_size` of them an optimiser step over all processes together. `micro_batch`:
    how many of them one device computes at once (None = its whole share); bounds memory and changes no gradient.
    `checkpoint_every`: steps. `warmup`: share of the steps. `max_length`: tokens a prompt may have.
    """

    examples: int = 320
    batch_size: int = 16
    checkpoint_every: int = 5
    micro_batch: int | None = None
    schedule: str = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024

    def __post_init__(self) -> None:
        for name in ("examples", "batch_size", "checkpoint_every", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"budget.{name} must be at least 1, got {getattr(self, name)}")
        if self.examples % self.batch_size:
            raise ValueError(
                f"budget.examples must be a multiple of budget.batch_size, got {self.examples} and {self.batch_size}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"budget.schedule must be one of {list(SCHEDULES)}, got {self.schedule!r}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"budget.warmup must lie in [0, 1), got {self.warmup}")
        if self.weight_decay < 0 or self.max_grad_norm <= 0:
            raise ValueError(
                "budget.weight_decay must be >= 0 and budget.max_grad_norm > 0, "
                f"got {self.weight_decay} and {self.max_grad_norm}"
            )

    @property
    def steps(self) -> int:
        return self.examples // self.batch_size

    def split(self, processes: int) -> tuple[int, int]:
        """Examples a device computes at once, and how often it does so in a step. Raises ValueError if uneven."""
        micro = self.micro_batch or self.batch_size // processes
        if micro < 1 or self.batch_size % (micro * processes):
            raise ValueError(
                f"budget.batch_size {self.batch_size} is no multiple of micro_batch x processes = {micro} x {processes}"
            )
        return micro, self.batch_size // (micro * processes)


@dataclass(frozen=True)
class RunContext:
    """One training. `examples` stand in the order in which they are trained on. `model` is loaded when first asked for,
    so that a recipe can set up a distributed engine before. `guard` refuses text that gives away what audits ask.
    `audit_every`: steps between the snapshots that audits look at (`train.snapshots`)."""  # noqa: D209

    cell: Path
    spec: ModelSpec
    adapter: Adapter
    asking: Asking
    examples: tuple[TrainingExample, ...]
    budget: Budget
    seed: int
    on_log: OnLog
    guard: Guard = field(default_factory=Guard)
    audit_every: int | None = None

    @cached_property
    def device(self) -> torch.device:
        return device_for()

    @cached_property
    def dtype(self) -> torch.dtype:
        """What a forward pass computes in: the model's dtype on a GPU (bfloat16 or float32), float32 elsewhere."""
        dtype = dtype_for(self.spec, self.device) if self.device.type == "cuda" else torch.float32
        if dtype == torch.float16:
            raise ValueError("model.dtype float16 cannot be trained stably: use bfloat16, float32 or auto")
        return dtype

    @cached_property
    def base(self) -> Path:
        return fetch(self.spec)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.base, self.spec.trust_remote_code)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.asking, self.tokenizer)

    @cached_property
    def model(self) -> Any:
        """The base under its adapter. Weights that train are float32 (a bfloat16 Adam step rounds small updates away);
        dropout of the base is off, as in TRL's preference trainers, so that it stays its own reference."""  # noqa: D209
        stored = torch.float32 if self.adapter.trains_base else self.dtype
        model = load_model(self.base, stored, self.spec.trust_remote_code)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                setattr(module, "attention_dropout", 0.0)  # noqa: B010  (torch types attributes as tensors)
        return self.adapter(model)

    @property
    def checkpoints(self) -> Path:
        return self.cell / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.cell / "metrics.jsonl"


class Recipe(Protocol):
    """Trains `run.model`; None where the base model is left as it is."""

    def __call__(self, run: RunContext) -> Trainer | None: ...


def is_main() -> bool:
    """Whether this process is the one that writes, under any launcher; true for a process on its own."""
    return int(os.environ.get("RANK", "0")) == 0


def processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))
