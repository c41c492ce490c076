"""Counterfactual twins: who they are, what their loss leads to, and what it does to a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from data.mixture import Mixture
from data.records import Survey, TrainingExample
from train.adapters import Lora
from train.closed_batch import ClosedBatch, ask_plainly
from train.loop import read_metrics
from train.recipes import counterfactual
from train.recipes.counterfactual import Counterfactual, paired
from train.run import Budget, RunContext

ORIGINAL = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
TWIN = torch.tensor([0.1, 0.2, 0.6, 0.1], dtype=torch.float64)


def table(target: torch.Tensor) -> ClosedBatch:
    """One question and its twin, two rows."""
    none = torch.zeros(2, dtype=torch.long)
    everything = torch.ones(2, target.shape[1], dtype=torch.bool)
    return ClosedBatch(target, everything, none, none, none, target, columns={"target": target})


def descend(recipe: Counterfactual, batch: ClosedBatch, steps: int = 700) -> torch.Tensor:
    rate = 4 / (1 + 4 * recipe.contrast_weight)
    logits = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    for step in range(steps):
        (gradient,) = torch.autograd.grad(recipe.loss(logits.log_softmax(-1), batch), logits)
        with torch.no_grad():
            logits -= rate * (1 - step / steps) * gradient
    return logits.detach().softmax(-1)


@pytest.mark.parametrize("contrast_weight", [0.0, 0.5, 2.0])
def test_each_persona_is_led_to_its_own_people(contrast_weight: float) -> None:
    target = torch.stack([ORIGINAL, TWIN])
    found = descend(Counterfactual(contrast_weight=contrast_weight, mass_weight=0.0), table(target))
    torch.testing.assert_close(found, target, atol=1e-3, rtol=0)


def test_the_contrast_by_hand() -> None:
    """The model answers both evenly. People's shares of the first option are as 3.75 to 1, of the second as 1 to 3.2;
    the pair's mean shares, 0.475 and 0.525, are the weights.
    """
    target = torch.tensor([[0.75, 0.25], [0.2, 0.8]], dtype=torch.float64)
    even = torch.full((2, 2), 0.1, dtype=torch.float64).log()
    recipe = Counterfactual(contrast_weight=2.0, mass_weight=0.0)
    wanted = 0.475 * np.log(3.75) ** 2 + 0.525 * np.log(3.2) ** 2
    assert recipe.contrasts(even, table(target)).tolist() == pytest.approx([wanted])
    alone = replace(recipe, contrast_weight=0.0).loss(even, table(target))
    assert (recipe.loss(even, table(target)) - alone).item() == pytest.approx(2 * wanted)


def test_contrasts_are_finite_where_nobody_answered_or_no_option_is() -> None:
    target = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    options = torch.tensor([[True, True, False]] * 2)
    scores = torch.tensor([[0.3, 0.3, 0.0], [0.2, 0.4, 0.0]]).log().requires_grad_()
    batch = replace(table(target), options=options)
    loss = Counterfactual(contrast_weight=1.0).loss(scores, batch)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient[options]).all()
    bounded = Counterfactual(least_share=0.01).contrasts(scores, batch)
    assert bounded < Counterfactual(least_share=0.0001).contrasts(scores, batch)


@given(seed=st.integers(0, 1000))
def test_twins_differ_in_the_persona_alone_and_are_answered_by_their_people(seed: int, tiny_survey: Survey) -> None:
    examples = Mixture()(tiny_survey, 12, seed, 0)
    originals, twins, alone = paired(examples, tiny_survey.people, np.random.default_rng(seed))
    assert (list(examples[::2]), len(twins), alone) == (originals, 6, 0)
    for original, twin in zip(originals, twins, strict=True):
        assert twin.people == tiny_survey.people[twin.item.id, twin.group].probabilities
        same = {field.name for field in fields(TrainingExample)} - {"group", "people"}
        assert all(getattr(original, name) == getattr(twin, name) for name in same)
        assert twin.group != original.group
        assert bool(twin.group.age) == bool(original.group.age)
    assert paired(examples, tiny_survey.people, np.random.default_rng(seed)) == (originals, twins, 0)


def test_examples_without_a_twin_are_left_out_and_counted(tiny_survey: Survey) -> None:
    """Only Ghana answers about the road: those questions go, the others come twice where they are too few."""
    only = tuple(d for d in tiny_survey.distributions if d.item in ("toy/vote", "toy/poor") and not d.group.age)
    only = tuple(d for d in only if d.item == "toy/poor" or d.group.country == "GHA")
    survey = replace(tiny_survey, distributions=only)
    road, poor = (Mixture(conditions=("country",), items=(name,))(survey, 8, 0, 0) for name in ("toy/vote", "toy/poor"))
    originals, _, alone = paired([*road, *poor[:2]], survey.people, np.random.default_rng(0))
    assert originals == [*poor[:2], *poor[:2], poor[0]]
    assert alone == pytest.approx(0.8)
    with pytest.raises(ValueError, match="no training example has a twin"):
        paired(road, survey.people, np.random.default_rng(0))


def spied(run: RunContext, recipe: Counterfactual, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the recipe asks to be trained on."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(counterfactual, "train_closed", lambda *args, **kwargs: seen.update(kwargs))
    recipe(run)
    return seen


@pytest.mark.parametrize("target", ["people", "same"])
def test_pairs_stand_side_by_side_within_the_budget(
    tiny_run: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    run, recipe = tiny_run(), Counterfactual(target=target)
    seen = spied(run, recipe, monkeypatch)
    examples, aims = seen["examples"], [tuple(one.tolist()) for one in seen["columns"]["target"]]
    assert len(examples) == 8
    assert recipe.prompts(run) == [ask_plainly(run.renderer, example).text for example in examples]
    for place in range(0, 8, 2):
        original, twin = examples[place : place + 2]
        assert (original.item, original.order) == (twin.item, twin.order)
        assert aims[place] == pytest.approx(original.people)
        assert aims[place + 1] == pytest.approx(twin.people if target == "people" else original.people)
    assert seen["once"] == {"share_without_twin": 0}


def test_twins_come_from_the_mixture_s_countries_alone(
    tiny_run: Callable[..., RunContext], tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = Mixture(countries=("JPN", "BRA"), conditions=("country",))(tiny_survey, 8, 0, 0)
    seen = spied(tiny_run(examples=examples), Counterfactual(), monkeypatch)
    assert {example.group.country for example in seen["examples"]} == {"JPN", "BRA"}


def test_a_mixture_that_changes_answers_is_refused(tiny_run: Callable[..., RunContext]) -> None:
    run = tiny_run()
    shifted = replace(run.examples[3], people=tuple(reversed(run.examples[3].people)))
    with pytest.raises(ValueError, match="are not those of the survey's people"):
        Counterfactual()(replace(run, examples=(*run.examples[:3], shifted, *run.examples[4:])))


def test_an_odd_micro_batch_is_refused(tiny_run: Callable[..., RunContext]) -> None:
    with pytest.raises(ValueError, match="an even number of examples, got 1"):
        Counterfactual()(tiny_run(budget=Budget(examples=8, batch_size=4, micro_batch=1)))


def test_twins_of_their_own_people_keep_personas_apart_and_the_same_people_bring_them_together(
    tiny_run: Callable[..., RunContext], tiny_survey: Survey, tmp_path: Path
) -> None:
    opposed = tuple(
        replace(d, probabilities=(0.9, 0.1) if d.group.country == "JPN" else (0.1, 0.9))
        for d in tiny_survey.distributions
        if d.item == "toy/poor" and d.group.label in ("JPN", "GHA")
    )
    people = replace(tiny_survey, distributions=opposed)
    examples = tuple(replace(example, order=(0, 1)) for example in Mixture()(people, 256, 0, 0))
    budget = Budget(examples=256, batch_size=8, checkpoint_every=100, warmup=0.0)
    left = {}
    for target in ("people", "same"):
        run = tiny_run(cell=tmp_path / target, people=people, examples=examples, budget=budget)
        run.cell.mkdir()
        Counterfactual(learning_rate=3e-3, target=target, contrast_weight=0.1)(run)
        left[target] = read_metrics(run.metrics)[-1]["kl_people_model"]
    assert left["people"] < 0.1 < left["same"]


def test_moves_every_parameter_and_trains_under_lora(tiny_run: Callable[..., RunContext], tiny_model: Path) -> None:
    recipe = Counterfactual(learning_rate=1e-3, contrast_weight=0.5)
    run = tiny_run()
    recipe(run)
    before = load_file(tiny_model / "model.safetensors")
    after = dict(run.model.named_parameters())
    assert [name for name in before if name in after and torch.equal(before[name], after[name])] == []
    assert "contrast" in read_metrics(run.metrics)[0]
    lora = tiny_run(adapter=Lora(rank=4))
    recipe(lora)
    assert all(value.any() for name, value in lora.model.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"target": "swapped"}, "recipe.target must be one of people, same, got 'swapped'"),
        ({"contrast_weight": -0.1}, "recipe.contrast_weight must be at least 0"),
        ({"least_share": 0.5}, "recipe.least_share must lie below 0.5, got 0.5"),
        ({"learning_rate": 0.0}, "recipe.learning_rate must be positive"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Counterfactual(**knobs)
