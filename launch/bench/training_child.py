"""A process that trains in one way, for `polyphony bench train`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import set_seed
from transformers.utils.logging import disable_progress_bar

from data.memory import peak_gib
from data.models import ModelSpec, device_for
from data.prompts import Asking
from launch.bench import machine
from launch.bench.batches import training_batches
from launch.bench.process import serve
from launch.bench.training_ways import WAYS
from launch.build import build, build_as
from train.run import Budget, RunContext


class Way:
    """One way of training, ready to begin. `config`: a composed configuration; `steps` of `batch` examples are timed,
    after one step of the first batch that is not. `layers`: the model keeps so many of its layers (None: all).
    """

    def __init__(
        self,
        name: str,
        way: str,
        config: Mapping[str, Any],
        sharing: float | None,
        batch: int,
        steps: int,
        threads: int,
        layers: int | None,
        stack: ExitStack,
    ) -> None:
        torch.set_num_threads(threads)
        disable_progress_bar()  # type: ignore[no-untyped-call]
        self._layers = layers
        self._recipe, self._make = build(config["recipe"], "recipe"), WAYS[name][way]
        knobs = {**config["budget"], "examples": batch * steps, "batch_size": batch, "checkpoint_every": steps + 1}
        run = RunContext(
            cell=Path(stack.enter_context(TemporaryDirectory())),
            spec=build_as(ModelSpec, config["model"], "model"),
            adapter=build(config["adapter"], "adapter"),
            asking=build_as(Asking, config["prompt"], "prompt"),
            examples=(),
            budget=build_as(Budget, {**knobs, "micro_batch": None}, "budget"),
            seed=config["seed"],
            on_log=lambda step, record: None,
        )
        batches = training_batches(config, run.renderer, sharing, batch, steps)
        self._run = replace(run, examples=batches.examples)
        self._first = replace(self._run, examples=batches.examples[:batch], budget=replace(run.budget, examples=batch))

    def measure(self) -> dict[str, Any]:
        """`seconds` of training the budget, `losses` of its steps, `peak_gib` of this process, dtype."""
        set_seed(self._run.seed)
        self._first.__dict__["model"] = model = self._run.model  # one model, loaded once
        if self._layers is not None:
            _shorten(model, self._layers)
        self._make(self._first, self._recipe)()  # its learning rate begins at 0: no weight changes
        train = self._make(self._run, self._recipe)
        device = device_for()
        started = machine.clock(device)
        trainer = train()
        seconds = machine.clock(device) - started
        losses = [float(logs["loss"]) for logs in trainer.state.log_history if "loss" in logs]
        return {
            "seconds": seconds,
            "losses": losses,
            "peak_gib": peak_gib(device),
            "dtype": str(self._run.dtype).removeprefix("torch."),
            "parameters": sum(value.numel() for value in model.parameters()),
        }


def _shorten(model: Any, layers: int) -> None:
    decoder = (model.get_base_model() if hasattr(model, "get_base_model") else model).get_decoder()
    decoder.layers = decoder.layers[:layers]
    decoder.config.num_hidden_layers = layers


if __name__ == "__main__":
    serve(Way)
