"""The gate during training by its effect: what it stops, what is kept then, and that it touches nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import Trainer

from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey
from data.snapshots import snapshot_folder
from data.variant import load_variant, read_manifest
from train.adapters import Full
from train.budget import Budget
from train.closed import train_closed
from train.gate import Gate, Watch
from train.loop import read_metrics
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.run import RunContext
from train.variant import train_variant

BUDGET = Budget(examples=96, batch_size=8, checkpoint_every=4)
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> Train:
    """Train a cell in the folder `name`; its manifest."""

    def run(name: str, **changes: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "cell": tmp_path / name,
            "spec": ModelSpec(str(tiny_model)),
            "recipe": Match(learning_rate=1e-3),
            "adapter": Full(),
            "mixture": Mixture(),
            "asking": Asking(),
            "survey": tiny_survey,
            "split": tiny_split,
            "seed": 0,
            "draw": 0,
            "budget": BUDGET,
            "on_log": lambda step, record: None,
        }
        train_variant(**(settings | changes))
        return read_manifest(tmp_path / name)

    return run


def weights(cell: Path) -> dict[str, torch.Tensor]:
    return load_file(cell / "model" / "model.safetensors")


def test_an_absurd_learning_rate_is_stopped_and_kept(train: Train, tiny_model: Path, tmp_path: Path) -> None:
    manifest = train("wild", recipe=Match(learning_rate=1e2), audit_every=1)
    collapsed, spent = manifest["collapsed"], manifest["budget"]
    assert "entropy of the answers has collapsed" in collapsed["reason"]
    assert manifest["state"] == "trained"
    logged = read_metrics(tmp_path / "wild" / "metrics.jsonl")
    assert collapsed["step"] == len(logged) == spent["steps"] < BUDGET.steps
    assert spent["examples"] == spent["steps"] * BUDGET.batch_size
    assert all(value.isfinite().all() for value in weights(tmp_path / "wild").values())
    load_variant(tmp_path / "wild", ModelSpec(str(tiny_model)), torch.device("cpu"))
    steps = range(1, BUDGET.steps)
    taken = [step for step in steps if snapshot_folder(tmp_path / "wild", step).exists()]
    assert taken == list(range(1, collapsed["step"]))  # that of the last step is the variant itself

    before = (tmp_path / "wild" / "metrics.jsonl").read_bytes()
    assert train("wild", recipe=Match(learning_rate=1e2))["collapsed"] == collapsed
    assert (tmp_path / "wild" / "metrics.jsonl").read_bytes() == before  # not trained again


def test_a_preference_policy_that_sharpens_without_end_is_stopped(train: Train) -> None:
    manifest = train("dpo", recipe=Dpo(learning_rate=2e-2, beta=0.001), budget=replace(BUDGET, examples=400))
    assert manifest["collapsed"]["step"] < 50


def test_disabled_it_trains_to_the_end(train: Train) -> None:
    manifest = train("wild", recipe=Match(learning_rate=1e2), gate=Gate(enabled=False))
    assert (manifest["collapsed"], manifest["budget"]["steps"]) == (None, BUDGET.steps)


def test_a_normal_training_is_untouched_bit_for_bit(train: Train, tmp_path: Path) -> None:
    for name, gate in (("with", Gate()), ("without", Gate(enabled=False))):
        assert train(name, gate=gate)["collapsed"] is None
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    timed = ("seconds",)
    logs = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("with", "without")]
    assert len({str([{k: v for k, v in r.items() if k not in timed} for r in log]) for log in logs}) == 1


@dataclass(frozen=True)
class Broken:
    """`match` whose loss (or gradient) is not finite from the batch `at` on; one batch is one step."""

    at: int
    gradient: bool = False

    def __call__(self, run: RunContext) -> Trainer:
        plain, seen = Match(), iter(range(10**6))

        def loss(scores: torch.Tensor, batch: Any) -> torch.Tensor:
            found = plain.loss(scores, batch)
            if next(seen) < self.at:
                return found
            if not self.gradient:
                return found * math.nan
            found.register_hook(lambda gradient: gradient * math.inf)
            return found

        return train_closed(run, loss, 1e-3)


@pytest.mark.parametrize("gradient", [False, True], ids=["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_weights(train: Train, tmp_path: Path, gradient: bool) -> None:
    manifest = train("broken", recipe=Broken(4, gradient), audit_every=4)
    what = "gradient" if gradient else "loss"
    assert manifest["collapsed"] == {"reason": f"the {what} is not finite", "step": 5}
    assert manifest["budget"]["steps"] == 4
    kept, after_four = weights(tmp_path / "broken"), weights(snapshot_folder(tmp_path / "broken", 4))
    assert all(torch.equal(value, after_four[name]) and value.isfinite().all() for name, value in kept.items())


def test_weights_that_are_not_finite_are_still_refused(train: Train) -> None:
    with pytest.raises(ValueError, match=r"is not finite; lower recipe\.learning_rate"):
        train("broken", recipe=Broken(4), gate=Gate(enabled=False))


HEALTHY = {"loss": 0.5, "entropy": 1.0, "option_mass": 0.9, "kl_reference": 0.5}


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ({"entropy": 0.01}, "entropy of the answers has collapsed: 0.01 nats; at least 0.06 is allowed, for 3 steps"),
        ({"option_mass": 0.01}, "options have lost their probability"),
        ({"kl_reference": 11.0}, "run away from its reference: KL 11 nats; at most 10"),
    ],
)
def test_a_sign_must_last(sign: dict[str, float], words: str) -> None:
    gate, ill = Gate(), HEALTHY | sign
    assert gate.reason([HEALTHY, ill, ill], 0.6) == ""
    assert gate.reason([HEALTHY, ill, ill, HEALTHY, ill], 0.6) == ""
    assert words in gate.reason([HEALTHY, ill, ill, ill], 0.6)
    assert Gate(patience=1).reason([HEALTHY, ill], 0.6) != ""
    assert Gate(enabled=False).reason([HEALTHY, ill, ill, ill], 0.6) == ""


def test_a_base_that_is_sharp_already_has_not_collapsed() -> None:
    sharp = HEALTHY | {"entropy": 0.02, "option_mass": 0.004}
    assert Gate().reason([sharp] * 5, 1.2) == ""


def test_the_first_step_is_that_of_the_training_and_not_of_a_resume() -> None:
    """Resumed on the way down, the option mass is still held against what it was before."""
    ill: Any = HEALTHY | {"option_mass": 0.01}
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(num_processes=1))
    for before, stops in (([HEALTHY, ill], True), ([ill], False)):
        watch, control = Watch(trainer, Gate(), 1.0, before), SimpleNamespace(should_training_stop=False)
        for step in (3, 4):
            state: Any = SimpleNamespace(global_step=step)
            watch.on_log(SimpleNamespace(), state, control, logs=ill)  # type: ignore[arg-type]
        assert control.should_training_stop is stops
        assert (watch.collapse is not None) is stops


OTHERS = st.dictionaries(st.sampled_from(["grad_norm", "reward_margin", "tokens"]), st.floats(allow_nan=True))


@given(st.lists(OTHERS, max_size=6))
def test_metrics_that_are_not_logged_are_not_judged(steps: list[dict[str, float]]) -> None:
    assert Gate().reason([step | {"loss": 0.7} for step in steps], 1.0) == ""


def test_a_loss_that_is_not_finite_needs_no_patience() -> None:
    assert Gate().reason([{"loss": math.nan}]) == "the loss is not finite"


@pytest.mark.parametrize(
    "knobs", [{"patience": 0}, {"min_entropy_share": 1.0}, {"min_option_mass": -0.1}, {"max_kl": 0.0}]
)
def test_knobs_are_checked(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"gate.{next(iter(knobs))}"):
        Gate(**knobs)
