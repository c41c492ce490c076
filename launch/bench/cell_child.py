"""A process that trains one cell as the worker does, and looks at it with the held-out prompts: for `polyphony bench
curve` and `bench recipes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Trainer

from data.manifest import read_manifest
from data.memory import peak_gib
from data.models import ModelSpec, device_for, fetch, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.variant import load_variant
from launch.bench.heldout import HeldOut, held_out_prompts
from launch.bench.machine import clock
from launch.bench.process import serve
from launch.build import build, build_as
from launch.people import people
from train.engines import Engine
from train.recipes.none import NoTraining
from train.reward_model import load_reward_model
from train.run import Budget, RunContext
from train.variant import train_variant

REFUSALS = (ValueError, OSError, ImportError, NotImplementedError)
LOOK_SEED = 20  # which held-out prompts are looked at: the same for all cells of all runs


@dataclass(frozen=True)
class Watched:
    """A recipe with something done to its run before and to its trainer after; all else about it is the recipe's."""

    recipe: Any
    before: Callable[[RunContext], RunContext]
    after: Callable[[Trainer], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recipe, name)

    def __call__(self, run: RunContext) -> Trainer:
        trainer: Trainer = self.recipe(self.before(run))
        self.after(trainer)
        return trainer


class Trained:
    """One cell. `config`: its composed configuration; `prompts`: how many held-out prompts are looked at."""

    def __init__(self, name: str, config: Mapping[str, Any], prompts: int, threads: int, stack: ExitStack) -> None:
        torch.set_num_threads(threads)
        self._config = config
        self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="polyphony-bench-")))
        self._cell = self._folder / "cell"
        self._spec = build_as(ModelSpec, config["model"], "model")
        self._asking = build_as(Asking, config["prompt"], "prompt")
        self._survey, self._split = people(config["survey"])
        self._prompts = prompts

    def base(self) -> dict[str, Any]:
        """The untouched model: `answers` (log-probabilities, None where there is no option) and its distances."""
        look = self._look()
        answers = look.answers(load_model(fetch(self._spec), torch.float32, self._spec.trust_remote_code))
        return {"answers": answers.tolist(), "distances": look.distances(answers)}

    def row(self, base: list[list[float]]) -> dict[str, Any]:
        """Train the cell and say what that did; `refused` with the reason where it cannot be trained."""
        device = device_for()
        started, wall = clock(device), time.perf_counter()
        moved = Moved(self._folder / "before.safetensors")
        try:
            self._train(lambda recipe: Watched(recipe, moved.before, moved.after))
        except REFUSALS as error:
            return {"refused": str(error).splitlines()[0] if str(error) else type(error).__name__}
        seconds = {"seconds": clock(device) - started, "wall_seconds": time.perf_counter() - wall}
        peak, manifest, look = peak_gib(device), read_manifest(self._cell), self._look()
        found: dict[str, Any] = {"moved": moved.share, "tensors": moved.tensors, "peak_gib": peak, **seconds}
        found |= {"collapsed": manifest.get("collapsed"), "spent": manifest["budget"]}
        if getattr(build(self._config["recipe"], "recipe"), "head", "language") == "reward":
            model: Any = load_reward_model(self._cell, torch.float32, self._spec.trust_remote_code)[0]
            model.to(device)
            found["pair_accuracy"] = look.pair_accuracy(model)
        else:
            model = load_variant(self._cell, self._spec, device)[0]
            answers = look.answers(model)
            found |= {"kl": look.divergence(answers, torch.tensor(base)), "distances": look.distances(answers)}
        return found | {"change": self._change(model)}

    def curve(self, every: int) -> list[dict[str, float]]:
        """Points along the training: step, tokens (of all prompts so far), computed tokens and distances."""
        points: list[dict[str, float]] = []
        look, spent = self._look(), {"tokens": 0.0, "computed_tokens": 0.0}

        def before(run: RunContext) -> RunContext:
            def note(step: int, record: Mapping[str, float]) -> None:
                for name in spent:
                    spent[name] += record.get(name, 0.0)
                if step % every == 0 or step == run.budget.steps:
                    points.append({"step": step, **spent, **look.distances(look.answers(run.model))})

            run = replace(run, on_log=note)  # its model, loaded when it is first asked for, is looked at in place
            note(0, {})
            return run

        self._train(lambda recipe: Watched(recipe, before, lambda trainer: None))
        return points

    def _look(self) -> HeldOut:
        tokenizer = load_tokenizer(fetch(self._spec), self._spec.trust_remote_code)
        rng = np.random.default_rng(LOOK_SEED)
        return held_out_prompts(self._survey, self._split, Renderer(self._asking, tokenizer), self._prompts, rng)

    def _train(self, watch: Callable[[Any], Watched]) -> None:
        config, recipe = self._config, build(self._config["recipe"], "recipe")
        train_variant(
            cell=self._cell,
            spec=self._spec,
            recipe=recipe if isinstance(recipe, NoTraining) else watch(recipe),
            adapter=build(config["adapter"], "adapter"),
            mixture=build(config["mixture"], "mixture"),
            asking=self._asking,
            survey=self._survey,
            split=self._split,
            seed=config["seed"],
            draw=config["draw"],
            budget=build_as(Budget, config["budget"], "budget"),
            on_log=lambda step, record: None,
            engine=build_as(Engine, config["engine"], "engine"),
            gate=build(config["gate"], "gate"),
        )

    @torch.no_grad()
    def _change(self, model: Any) -> float:
        """L2 norm of the change of the base's weights over theirs, adapters merged; NaN on a quantised base."""
        if getattr(model, "is_quantized", False):
            return float("nan")
        whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        after = dict(whole.named_parameters())
        base = load_model(fetch(self._spec), torch.float32, self._spec.trust_remote_code)
        change = size = 0.0
        for name, value in base.named_parameters():
            if name in after:
                change += float((after[name].float().cpu() - value).double().square().sum())
                size += float(value.double().square().sum())
        return float((change / size) ** 0.5)


class Moved:
    """Which of the trained tensors changed: kept in a file meanwhile, so that it costs no memory. `share` of `tensors`;
    0 of 0 where nothing was trained.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.share, self.tensors = 0.0, 0

    def before(self, run: RunContext) -> RunContext:
        save_file({name: value.detach().contiguous() for name, value in _trained(run.model).items()}, self._path)
        return run

    def after(self, trainer: Trainer) -> None:
        now = _trained(trainer.accelerator.unwrap_model(trainer.model))
        with safe_open(self._path, framework="pt") as before:
            changed = [not torch.equal(before.get_tensor(name), value.detach().cpu()) for name, value in now.items()]
        self.share, self.tensors = sum(changed) / len(changed), len(changed)


def _trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


if __name__ == "__main__":
    serve(Trained)
