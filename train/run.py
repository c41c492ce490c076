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

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase, Trainer

from data.leaks import Guard
from data.models import ModelSpec, attention_for, device_for, dtype_for, fetch, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Survey, TrainingExample
from train.adapters import Adapter
from train.budget import Budget as Budget
from train.engines import Engine
from train.gate import Gate
from train.recompute import recompute_layers
from train.reward_model import load_scorer

OnLog = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class RunContext:
    """One training. `examples` stand in the order in which they are trained on. `model` is loaded when first asked for,
    so that a recipe can set up a distributed engine before. `guard` refuses text that gives away what audits ask.
    `audit_every`: steps between the snapshots that audits look at (`train.snapshots`). `head`, what the recipe trains:
    "language", a model that answers, or "reward", one that scores answers (`train.reward_model`). `people`: the part of
    the survey that may be trained on. `gate`: when a training has collapsed and is stopped."""  # noqa: D209

    cell: Path
    spec: ModelSpec
    adapter: Adapter
    asking: Asking
    examples: tuple[TrainingExample, ...]
    budget: Budget
    seed: int
    on_log: OnLog
    guard: Guard = field(default_factory=Guard)
    people: Survey = field(default_factory=lambda: Survey((), ()))
    audit_every: int | None = None
    head: str = "language"
    engine: Engine = field(default_factory=Engine)
    gate: Gate = field(default_factory=Gate)

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
        model: Any
        if self.head == "reward":
            model = load_scorer(self.base, stored, self.spec.trust_remote_code)
        else:
            attention = attention_for(self.spec, self.dtype, self.device)
            quantization = getattr(self.adapter, "quantization", None)
            model = load_model(self.base, stored, self.spec.trust_remote_code, attention, quantization)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                setattr(module, "attention_dropout", 0.0)  # noqa: B010  (torch types attributes as tensors)
        model = self.adapter(model)
        if self.engine.gradient_checkpointing:
            recompute_layers(model)
        return model

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers of the run's seed for one purpose, such as "replay": the same whenever they are asked for."""
        return np.random.default_rng([self.seed, *purpose.encode()])

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
