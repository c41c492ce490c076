"""Every mixture trains: a tiny model moves on a control as on the people, and the manifest says what was drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey
from data.variant import read_manifest
from train.adapters import Full
from train.loop import read_metrics
from train.recipes.counterfactual import Counterfactual
from train.recipes.match import Match
from train.run import Budget
from train.variant import train_variant

MIXTURES = {
    "uneven": Mixture(evenness=0.5),
    "pooled": Mixture(pooling="population"),
    "shuffled_labels": Mixture(control="shuffled_labels"),
    "shuffled_countries": Mixture(control="shuffled_countries", min_countries=2),
    "neutral": Mixture(control="neutral"),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_a_model_moves_on_every_mixture(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, name: str
) -> None:
    train_variant(
        cell=tmp_path,
        spec=ModelSpec(str(tiny_model)),
        recipe=Match(learning_rate=3e-3),
        adapter=Full(),
        mixture=MIXTURES[name],
        asking=Asking(),
        survey=tiny_survey,
        split=tiny_split,
        seed=0,
        draw=0,
        budget=Budget(examples=64, batch_size=8, checkpoint_every=100),
        on_log=lambda step, record: None,
    )
    first, *_, last = read_metrics(tmp_path / "metrics.jsonl")
    assert last["option_mass"] > 1.8 * first["option_mass"]
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / "model"))
    assert [key for key in before if torch.equal(before[key], after[key])] == []
    drawn = read_manifest(tmp_path)["mixture"]
    assert drawn["hill_0"] == 2
    assert drawn["hill_1"] == pytest.approx(1.5 if name == "uneven" else 2, abs=0.15)
    assert drawn["items_hill_0"] == (2 if name != "neutral" else 10)
    if name == "neutral":
        assert drawn["mean_js_between"] is None
    else:
        assert (drawn["mean_js_between"] > 0.01) == (name != "pooled")


@pytest.mark.parametrize("name", ["pooled", "shuffled_labels", "shuffled_countries"])
def test_recipes_that_draw_on_more_people_are_taught_the_same_truth(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, name: str
) -> None:
    """They refuse answers that contradict those of the examples; a mixture says what it teaches beyond these."""
    train_variant(
        cell=tmp_path,
        spec=ModelSpec(str(tiny_model)),
        recipe=Counterfactual(learning_rate=1e-3),
        adapter=Full(),
        mixture=MIXTURES[name],
        asking=Asking(),
        survey=tiny_survey,
        split=tiny_split,
        seed=0,
        draw=0,
        budget=Budget(examples=16, batch_size=8, checkpoint_every=100),
        on_log=lambda step, record: None,
    )
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2
