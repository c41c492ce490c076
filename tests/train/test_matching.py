"""Matched budgets by what was really spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey, TrainingExample
from data.splits import training_part
from data.variant import read_manifest
from train.adapters import Full, Lora
from train.budget import Budget
from train.loop import read_metrics
from train.matching import drawn, matched
from train.recipes.augment import Augment
from train.recipes.counterfactual import Counterfactual
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.recipes.rlhf import Rlhf
from train.run import RunContext
from train.variant import train_variant

BUDGET = Budget(examples=32, batch_size=8, checkpoint_every=100)
Plan = Callable[..., tuple[tuple[TrainingExample, ...], Budget]]


@pytest.fixture
def plan(tiny_model: Path, tiny_survey: Survey, tiny_split: Split) -> Plan:
    """The examples and the budget of an arm, without training it."""
    draw = drawn(Mixture(), training_part(tiny_survey, tiny_split, "en"), tiny_split, 0, 0)

    def run(budget: Budget, recipe: Any = None, adapter: Any = None) -> tuple[tuple[TrainingExample, ...], Budget]:
        context = RunContext(
            cell=Path(),
            spec=ModelSpec(str(tiny_model)),
            adapter=adapter or Full(),
            asking=Asking(),
            examples=(),
            budget=budget,
            seed=0,
            on_log=lambda step, record: None,
        )
        return matched(context, recipe or Match(), draw)

    return run


def spent(folder: Path, model: Path, survey: Survey, split: Split, **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    """What a training spent, and its steps."""
    settings: dict[str, Any] = {
        "cell": folder,
        "spec": ModelSpec(str(model)),
        "recipe": Match(),
        "adapter": Full(),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "on_log": lambda step, record: None,
    }
    train_variant(**(settings | changes))
    return read_manifest(folder)["budget"], read_metrics(folder / "metrics.jsonl")


def test_the_same_flops_whatever_trains(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    amount = 1.2e9
    budget = replace(BUDGET, match="flops", amount=amount)
    arms = {
        "full": {"recipe": Match()},
        "lora": {"recipe": Match(), "adapter": Lora(rank=4)},
        "dpo": {"recipe": Dpo()},
    }
    found = {
        name: spent(tmp_path / name, tiny_model, tiny_survey, tiny_split, budget=budget, **arm)
        for name, arm in arms.items()
    }
    steps = {}
    for name, (costs, logged) in found.items():
        batch = max(step["computed_tokens"] for step in logged) / costs["computed_tokens"] * costs["flops"]
        assert abs(costs["flops"] - amount) <= batch, name
        assert costs["examples"] == costs["steps"] * 8 == len(logged) * 8
        steps[name] = len(logged)
    assert steps["lora"] > steps["full"] > steps["dpo"]  # the cheaper arm is trained longer
    tokens = {name: [step["tokens"] for step in logged] for name, (_, logged) in found.items()}
    assert tokens["dpo"] == tokens["lora"][: steps["dpo"]]  # on the same batches
    assert tokens["full"] == tokens["lora"][: steps["full"]]


def test_the_same_tokens(tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> None:
    budget = replace(BUDGET, match="tokens", amount=3000)
    for name, adapter in (("full", Full()), ("lora", Lora(rank=4))):
        costs, logged = spent(tmp_path / name, tiny_model, tiny_survey, tiny_split, budget=budget, adapter=adapter)
        assert abs(costs["tokens"] - 3000) <= max(step["tokens"] for step in logged), name


def test_arms_see_the_same_examples_as_far_as_they_go(plan: Plan) -> None:
    budget = replace(BUDGET, match="flops", amount=3e9)
    short, _ = plan(budget, Dpo())
    long, counted = plan(budget, adapter=Lora(rank=4))
    assert len(short) < len(long)
    assert short == long[: len(short)]
    assert (counted.match, counted.amount, counted.examples) == ("examples", None, len(long))


@pytest.mark.parametrize("match", ["tokens", "flops"])
@pytest.mark.parametrize("recipe", [Counterfactual(), Augment()], ids=["counterfactual", "augment"])
def test_recipes_with_prompts_of_their_own_are_measured(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, recipe: Any, match: str
) -> None:
    amount = {"tokens": 6000.0, "flops": 1.5e9}[match]
    budget = replace(BUDGET, match=match, amount=amount)
    costs, _ = spent(tmp_path / "cell", tiny_model, tiny_survey, tiny_split, budget=budget, recipe=recipe)
    assert costs[match] == pytest.approx(amount, rel=0.15)


def test_steps_are_counted(plan: Plan) -> None:
    assert plan(replace(BUDGET, match="steps"))[1].steps == BUDGET.steps == 4
    examples, counted = plan(replace(BUDGET, match="steps", amount=7))
    assert (len(examples), counted.steps) == (56, 7)


def test_the_default_draws_what_it_always_drew(plan: Plan) -> None:
    examples, counted = plan(BUDGET)
    assert counted == BUDGET
    assert plan(replace(BUDGET, match="steps", amount=4))[0] == examples


@dataclass(frozen=True)
class Twins(Match):
    prompts_per_example = 2


def test_prompts_of_an_example_are_counted(plan: Plan) -> None:
    examples, counted = plan(BUDGET, Twins())
    assert (len(examples), counted.steps) == (16, 2)
    assert len(plan(replace(BUDGET, match="steps"), Twins())[0]) == 32
    budget = replace(BUDGET, match="tokens", amount=8000)
    assert 1.5 < plan(budget)[1].steps / plan(budget, Twins())[1].steps < 2.5
    with pytest.raises(ValueError, match="8 x 2: this recipe computes 2 prompts for one example"):
        plan(replace(BUDGET, examples=40), Twins())


@pytest.mark.parametrize("match", ["tokens", "flops"])
def test_a_missing_amount_is_proposed(plan: Plan, match: str) -> None:
    with pytest.raises(ValueError, match=r"budget.examples=32 of this arm would cost [\d.e+]+ ") as caught:
        plan(replace(BUDGET, match=match))
    proposed = float(str(caught.value).split("set budget.amount=")[1].split(" ")[0])
    assert 3 <= plan(replace(BUDGET, match=match, amount=proposed))[1].steps <= 5


@pytest.mark.parametrize(
    ("recipe", "words"),
    [(Dpo(pairs="pairs.jsonl"), "trains on other texts"), (Rlhf(estimator="sampled"), "draws replies")],
)
def test_what_cannot_be_measured_before_is_refused(plan: Plan, recipe: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(replace(BUDGET, match="tokens", amount=100), recipe)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"match": "minutes"}, "budget.match must be one of"),
        ({"amount": 5.0}, "with match=examples set budget.examples"),
        ({"match": "steps", "amount": 2.5}, "a whole number"),
        ({"match": "flops", "amount": 0.0}, "above 0 and finite"),
    ],
)
def test_budgets_that_mean_nothing_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Budget(**knobs)


def test_steps_that_are_not_known_yet_are_not_told() -> None:
    with pytest.raises(ValueError, match="known once the examples were measured"):
        _ = Budget(match="flops", amount=1e12).steps
    assert Budget(match="flops", amount=1e12).told == "until 1e+12 FLOPs"
    assert Budget().told == "20 steps"
