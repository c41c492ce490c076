"""Reweighting: the objective of a balanced mixture, by hand, by property and by its effect on a tiny model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from data.prompts import orders
from data.records import Group, Survey, TrainingExample
from train.adapters import Lora
from train.closed import option_log_probabilities
from train.closed_batch import ClosedBatch, Collator, batch_of
from train.loop import read_metrics
from train.recipes.match import Match
from train.recipes.reweight import Reweight, effective_number, group_weights
from train.recipes.sft import Sft
from train.run import Budget, RunContext

GROUPS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=40)


def test_a_case_by_hand() -> None:
    """Three of one group and one of another: shares 3/4 and 1/4, weights 4/3 and 4 over their mean of 2."""
    weights = group_weights(["a", "a", "a", "b"], 1.0, 10.0)
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert effective_number(weights) == pytest.approx(4**2 / (3 * 4 / 9 + 4))
    assert group_weights(["a", "a", "a", "b"], 1.0, 1.5).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1.5])
    assert group_weights(["a", "a", "a", "b"], 0.5, 10.0)[3] == pytest.approx(2 / ((3 * (4 / 3) ** 0.5 + 2) / 4))


@given(GROUPS, st.floats(0, 1), st.floats(1, 20))
def test_weights_are_bounded_average_one_and_never_fall_with_rarity(
    groups: list[str], strength: float, max_weight: float
) -> None:
    weights = group_weights(groups, strength, max_weight)
    counts = Counter(groups)
    assert weights.max() <= max_weight
    assert weights.mean() <= 1 + 1e-9
    assert group_weights(groups, strength, np.inf).mean() == pytest.approx(1)
    by_count = [weight for _, weight in sorted(zip((counts[g] for g in groups), weights, strict=True), reverse=True)]
    assert (np.diff(by_count) >= -1e-12).all()
    assert 1 - 1e-9 <= effective_number(weights) <= len(groups) + 1e-9


@given(GROUPS)
def test_at_full_strength_each_group_has_the_same_weight_in_all_and_at_none_each_example(groups: list[str]) -> None:
    weights = group_weights(groups, 1.0, np.inf)
    totals = [weights[[g == group for g in groups]].sum() for group in set(groups)]
    assert totals == pytest.approx([len(groups) / len(set(groups))] * len(totals))
    assert group_weights(groups, 0.0, 1.0).tolist() == pytest.approx([1.0] * len(groups))


@pytest.mark.parametrize("objective", ["match", "sft"])
def test_the_weighted_loss_is_the_plain_one_of_a_balanced_mixture(objective: str) -> None:
    """Six questions of one group and two of another: each group's mean loss counts half."""
    torch.manual_seed(0)
    scores = (torch.randn(8, 3, dtype=torch.float64) - 2).log_softmax(-1) - 0.1
    groups = ["a"] * 6 + ["b"] * 2
    weights = torch.tensor(group_weights(groups, 1.0, 10.0))
    people = torch.rand(8, 3, dtype=torch.float64).softmax(-1)
    everything = torch.ones(8, 3, dtype=torch.bool)
    none = torch.zeros(8, dtype=torch.long)
    batch = ClosedBatch(people, everything, none, none, torch.arange(8) % 3, people, columns={"weight": weights})
    recipe = Reweight(objective=objective, mass_weight=0.3)
    base: Any = Match(mass_weight=0.3) if objective == "match" else Sft()
    losses = base.losses(scores, batch)
    torch.testing.assert_close(recipe.loss(scores, batch), (losses[:6].mean() + losses[6:].mean()) / 2)
    assert not torch.isclose(recipe.loss(scores, batch), base.loss(scores, batch))


def test_groups_are_what_personas_state(tiny_survey: Survey) -> None:
    item = tiny_survey.items[3]
    young = TrainingExample(item, Group("NOR", age="18-29"), "country+age", (0, 1), (0.5, 0.5), 0, 1, 0)
    anyone = replace(young, group=Group("NOR"), condition="country")
    unsaid = replace(young, condition="country")
    both = Reweight(by=("country", "age"))
    assert [both.group(one) for one in (young, anyone, unsaid)] == [("NOR", "18-29"), ("NOR", ""), ("NOR", "")]
    assert Reweight(by=("age",)).group(replace(young, condition="none")) == ("",)


def unequal(survey: Survey) -> tuple[TrainingExample, ...]:
    """Of every 8 examples 7 of Japan, whose people mostly say yes, and one of Ghana, who mostly say no."""
    item = survey.by_id["toy/poor"]
    order = orders(2, item.ordered)[0]
    answers = {"JPN": (0.9, 0.1), "GHA": (0.1, 0.9)}
    return tuple(
        TrainingExample(item, Group(country), "country", order, answers[country], 0, 1, 0)
        for country in (["JPN"] * 7 + ["GHA"]) * 20
    )


def test_the_minority_is_learned_sooner_than_in_plain_match(
    tiny_run: Callable[..., RunContext], tiny_survey: Survey, tmp_path: Path
) -> None:
    examples = unequal(tiny_survey)
    budget = Budget(examples=160, batch_size=8, checkpoint_every=100, warmup=0.0)
    left = {}
    for name, recipe in (("match", Match(learning_rate=5e-4)), ("reweight", Reweight(learning_rate=5e-4))):
        run = tiny_run(cell=tmp_path / name, examples=examples, budget=budget)
        run.cell.mkdir()
        recipe(run)
        inputs = Collator(run.renderer, 1024)([(example, None) for example in examples[6:8]])
        with torch.no_grad():
            scores, _ = option_log_probabilities(run.model, inputs["sequences"], inputs["label_ids"])
        left[name] = Match().distances(scores, batch_of(inputs)).tolist()
        first = read_metrics(run.metrics)[0]
    assert first["largest_weight"] == pytest.approx(4)
    assert first["effective_examples"] == pytest.approx(160**2 / (140 * (4 / 7) ** 2 + 20 * 16))
    (majority, minority), (heavier_majority, heavier_minority) = left["match"], left["reweight"]
    assert heavier_minority < 0.7 * minority
    assert majority < heavier_majority


@pytest.mark.parametrize("objective", ["match", "sft"])
def test_moves_every_parameter_and_trains_under_lora(
    tiny_run: Callable[..., RunContext], tiny_model: Path, objective: str
) -> None:
    recipe = Reweight(objective=objective, by=("country", "age"), learning_rate=1e-3)
    run = tiny_run()
    recipe(run)
    before = load_file(tiny_model / "model.safetensors")
    after = dict(run.model.named_parameters())
    assert [name for name in before if name in after and torch.equal(before[name], after[name])] == []
    lora = tiny_run(adapter=Lora(rank=4))
    recipe(lora)
    assert all(value.any() for name, value in lora.model.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"learning_rate": 0.0}, "recipe.learning_rate must be positive"),
        ({"objective": "dpo"}, "recipe.objective must be one of match, sft, got 'dpo'"),
        ({"by": ()}, r"recipe.by must name some of \['country', 'age', 'sex', 'education'\], each once, got \[\]"),
        ({"by": ("region",)}, r"recipe.by must name some of .*got \['region'\]"),
        ({"strength": 1.5}, r"recipe.strength must lie in \[0, 1\], got 1.5"),
        ({"max_weight": 0.5}, "recipe.max_weight must be at least 1, the mean weight, got 0.5"),
        ({"mass_weight": -1.0}, "recipe.mass_weight must be at least 0"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Reweight(**knobs)
