"""RLHF with a reward model: the optimum on a real model, and which knobs go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import data.mixture
from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey
from train.adapters import Full
from train.budget import Budget
from train.loop import read_metrics
from train.recipes import rlhf
from train.recipes.rlhf import Rlhf
from train.run import RunContext
from train.variant import train_variant


@pytest.mark.parametrize(("entropy_weight", "learning_rate"), [(0.0, 4e-3), (0.5, 2e-3)])
def test_a_reward_model_that_knows_the_people_leads_to_the_optimum(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entropy_weight: float,
    learning_rate: float,
) -> None:
    """Rewards log q + a constant: pi ~ (reference^beta * q)^(1 / (beta + entropy weight))."""
    monkeypatch.setattr(data.mixture, "orders", lambda options, ordered: [tuple(range(options))])

    def knows(run: RunContext, folder: str) -> tuple[list[torch.Tensor], dict[str, float]]:
        assert folder == "a cell"
        return [torch.tensor(example.people).log() + 2 for example in run.examples], {"reward_tokens": 1.0}

    monkeypatch.setattr(rlhf, "rewards_of_model", knows)
    recipe = Rlhf(
        learning_rate=learning_rate, beta=0.5, reward="model", reward_model="a cell", entropy_weight=entropy_weight
    )
    cell = tmp_path / "cell"
    train_variant(
        cell=cell,
        spec=ModelSpec(str(tiny_model)),
        recipe=recipe,
        adapter=Full(),
        mixture=Mixture(conditions=("country",), countries=1, items=("toy/work",)),
        asking=Asking(),
        survey=tiny_survey,
        split=tiny_split,
        seed=0,
        draw=0,
        budget=Budget(examples=240, batch_size=8, checkpoint_every=100),
        on_log=lambda step, record: None,
    )
    metrics = read_metrics(cell / "metrics.jsonl")
    first, last = (sum(record["kl_optimum"] for record in part) / 8 for part in (metrics[:8], metrics[-8:]))
    assert first > 0.1
    assert last < 0.01
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-6)
    assert metrics[0]["reference_tokens"] > 0


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"reward": "model"}, r"reward_model .* belong together, got 'model' and None"),
        ({"reward_model": "x"}, r"belong together, got 'people' and 'x'"),
        ({"estimator": "monte carlo"}, "estimator must be one of exact, sampled"),
        ({"algorithm": "ppo"}, "algorithm must be one of rloo, grpo, got 'ppo'"),
        ({"entropy_weight": -1.0}, "entropy_weight must be at least 0"),
        ({"estimator": "sampled", "entropy_weight": 0.1}, "need recipe.estimator exact"),
        ({"estimator": "sampled", "coverage_weight": 0.1}, "need recipe.estimator exact"),
        ({"coverage_draws": 0}, "got 0 and 8"),
        ({"generations": 1}, "got 4 and 1"),
        ({"completion_tokens": 0}, "in 1 to 4, with recipe.pairs 5 or more .* got 0"),
        ({"completion_tokens": 5}, "in 1 to 4, with recipe.pairs 5 or more .* got 5"),
        ({"pairs": "x", "estimator": "sampled"}, "pairs need recipe.estimator sampled and a recipe.reward_model"),
        ({"pairs": "x", "reward": "model", "reward_model": "y"}, "pairs need recipe.estimator sampled"),
        ({"pairs": "x", "estimator": "sampled", "reward": "model", "reward_model": "y"}, "5 or more .* got 1"),
        ({"pooling": "population"}, r"set mixture\.pooling"),
        ({"pooling": "people"}, "pooling must be one of country, population"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rlhf(**knobs)
