"""Every recipe by its effect on a tiny model: it starts at its reference, moves every parameter, and learns its aim."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import data.mixture
import data.options
from data.mixture import Mixture
from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Split, Survey
from data.variant import read_manifest
from train.adapters import Full, Lora
from train.closed import option_log_probabilities
from train.closed_batch import Collator, batch_of
from train.loop import read_metrics
from train.recipes.dpo import Dpo
from train.recipes.kto import Kto
from train.recipes.match import Match
from train.recipes.orpo import Orpo
from train.recipes.rlhf import Rlhf
from train.recipes.sft import Sft
from train.recipes.simpo import Simpo
from train.recipes.spl import Spl
from train.run import Budget
from train.variant import train_variant

RECIPES: dict[str, Any] = {
    "sft": Sft(learning_rate=1e-3),
    "match-emd": Match(learning_rate=1e-3, distance="emd"),
    "match-published": Match(learning_rate=1e-3, distance="normalised_as_published"),
    "ipo": Dpo(learning_rate=1e-3, loss_type="ipo"),
    "aot": Dpo(learning_rate=1e-3, loss_type="aot"),
    "spl": Spl(learning_rate=1e-3),
    "kto": Kto(learning_rate=1e-3),
    "orpo": Orpo(learning_rate=1e-3),
    "simpo": Simpo(learning_rate=1e-3),
    "rlhf": Rlhf(learning_rate=1e-3),
}
TIED = ("ipo", "aot", "spl", "kto", "rlhf")
LOGGED = {
    "match-emd": {"nominal_share"},
    "kto": {"reward_margin", "reward_accuracy", "kl_next_token"},
    "rlhf": {"reward", "kl_optimum"},
    **{key: {"reward_margin", "reward_accuracy"} for key in ("ipo", "aot", "spl", "orpo", "simpo")},
}


def train(cell: Path, model: Path, survey: Survey, split: Split, recipe: Any, **changes: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {
        "adapter": Full(),
        "budget": Budget(examples=24, batch_size=8, checkpoint_every=100),
        "seed": 0,
        "draw": 0,
    }
    train_variant(
        cell=cell,
        spec=ModelSpec(str(model)),
        recipe=recipe,
        mixture=Mixture(),
        asking=Asking(),
        survey=survey,
        split=split,
        on_log=lambda step, record: None,
        **(settings | changes),
    )
    return read_metrics(cell / "metrics.jsonl")


@pytest.mark.parametrize("name", list(RECIPES))
def test_starts_at_its_reference_and_moves_every_parameter(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, name: str
) -> None:
    first, *_, last = train(tmp_path, tiny_model, tiny_survey, tiny_split, RECIPES[name])
    wanted = {"loss", "entropy", "option_mass", "kl_people_model"} | LOGGED.get(name, set())
    if name in TIED:
        wanted |= {"kl_reference"}
        assert first["kl_reference"] == pytest.approx(0, abs=1e-6)
        assert last["kl_reference"] > 1e-5
    assert wanted <= first.keys() & last.keys()
    assert all(math.isfinite(value) for value in last.values())
    before, after = (load_file(one / "model.safetensors") for one in (tiny_model, tmp_path / "model"))
    assert [key for key in before if torch.equal(before[key], after[key])] == []


def test_recipes_see_the_same_examples(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    facts = {}
    for name in ("sft", "kto", "rlhf"):
        (first, *_) = train(tmp_path / name, tiny_model, tiny_survey, tiny_split, RECIPES[name])
        facts[name] = {key: first[key] for key in ("kl_people_model", "entropy", "option_mass", "tokens")}
        facts[name] |= {"examples": read_manifest(tmp_path / name)["hashes"]["examples"]}
    assert len({facts[name].pop("examples") for name in facts}) == 1
    for name in ("kto", "rlhf"):
        assert facts[name] == pytest.approx(facts["sft"], abs=1e-6)


@pytest.mark.parametrize("name", ["sft", "rlhf"])
def test_trains_under_lora_too(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, name: str
) -> None:
    train(tmp_path, tiny_model, tiny_survey, tiny_split, RECIPES[name], adapter=Lora(rank=4))
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert [key for key, value in saved.items() if "lora_B" in key and not value.any()] == []


def agreed(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> Survey:
    """Everybody answers alike, options in one order: a random model learns letters, not what stands behind them."""
    monkeypatch.setattr(data.mixture, "orders", lambda options, ordered: [tuple(range(options))])
    shares = {2: (0.8, 0.2), 3: (0.6, 0.3, 0.1), 4: (0.4, 0.3, 0.2, 0.1)}
    same = tuple(replace(d, probabilities=shares[len(d.probabilities)]) for d in survey.distributions)
    return replace(survey, distributions=same)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_rlhf_approaches_its_predicted_optimum(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beta: float,
) -> None:
    survey = agreed(tiny_survey, monkeypatch)
    budget = Budget(examples=320, batch_size=8, checkpoint_every=100)
    metrics = train(tmp_path, tiny_model, survey, tiny_split, Rlhf(learning_rate=1e-3, beta=beta), budget=budget)
    assert metrics[0]["kl_optimum"] > 0.01
    assert metrics[-1]["kl_optimum"] < 0.05 * metrics[0]["kl_optimum"]
    assert metrics[-1]["reward"] > metrics[0]["reward"]


def test_sft_brings_sampled_answers_to_the_people(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = agreed(tiny_survey, monkeypatch)
    budget = Budget(examples=480, batch_size=16, checkpoint_every=100)
    metrics = train(tmp_path, tiny_model, survey, tiny_split, Sft(learning_rate=3e-3), budget=budget)
    assert metrics[-1]["kl_people_model"] < 0.25 * metrics[0]["kl_people_model"]
    assert metrics[-1]["option_mass"] > 0.5 > 0.1 > metrics[0]["option_mass"]


def test_sft_is_the_cross_entropy_of_transformers(
    tiny_model: Path, tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token form a label: the loss of the model's own `labels` on prompt + letter, value and gradients."""
    monkeypatch.setattr(data.options, "FORMS", ("{}",))
    model: Any = load_model(tiny_model, torch.float32)
    collator = Collator(Renderer(Asking(), load_tokenizer(tiny_model)), 1024)
    examples = Mixture()(tiny_survey, 6, 0, 0)
    inputs = collator([(example, None) for example in examples])
    scores, _ = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
    ours = Sft().loss(scores, batch_of(inputs))
    theirs = []
    for row, (example, prompt) in enumerate(zip(examples, inputs["sequences"], strict=True)):
        letter = inputs["label_ids"][row, example.answered, 0]
        ids = torch.tensor([[*prompt, letter]])
        labels = torch.full_like(ids, -100)
        labels[0, -1] = letter
        theirs.append(model(input_ids=ids, labels=labels).loss)
    plain = torch.stack(theirs).mean()
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    parameters = list(model.parameters())
    for mine, other in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(plain, parameters), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-3)


def test_what_sorts_a_step_refuses_micro_batches(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    budget = Budget(examples=8, batch_size=8, micro_batch=4)
    with pytest.raises(ValueError, match="loss_type aot sorts the questions of a step together"):
        train(tmp_path, tiny_model, tiny_survey, tiny_split, RECIPES["aot"], budget=budget)


def test_the_collator_scales_gaps_and_knows_nominal_items(tiny_model: Path, tiny_survey: Survey) -> None:
    collator = Collator(Renderer(Asking(), load_tokenizer(tiny_model)), 1024)
    bribe, work, vote = (
        Mixture(items=(name,))(tiny_survey, 1, 0, 0)[0] for name in ("toy/bribe", "toy/work", "toy/vote")
    )
    uneven = replace(bribe, item=replace(bribe.item, positions=(9.0, 5.0, 2.0, 1.0)))
    gaps = batch_of(collator([(example, None) for example in (uneven, work, vote)])).gaps
    assert gaps[0].tolist() == pytest.approx([4 / 8, 3 / 8, 1 / 8, 0])
    assert gaps[1].tolist() == pytest.approx([0.5, 0.5, 0, 0])
    assert gaps[2].isnan().all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sft(learning_rate=0.0), "recipe.learning_rate must be positive, got 0"),
        (lambda: Match(distance="kld"), "recipe.distance must be one of kl, emd, normalised_as_published, got 'kld'"),
        (lambda: Dpo(loss_type="kto_pair"), "recipe.loss_type must be one of sigmoid, hinge, .*got 'kto_pair'"),
        (lambda: Dpo(label_smoothing=0.1), "would be ignored by loss_type sigmoid; it belongs to robust"),
        (lambda: Dpo(loss_type="robust", label_smoothing=0.5), r"label_smoothing must lie in \[0, 0.5\), got 0.5"),
        (lambda: Dpo(loss_type="exo_pair"), "exo_pair needs recipe.label_smoothing above 0"),
        (lambda: Dpo(discopop_tau=0.0), "discopop_tau must be positive, got 0"),
        (lambda: Spl(entropy_weight=0.0), "entropy_weight must be positive, got 0"),
        (lambda: Spl(cross_entropy_weight=-1.0), "cross_entropy_weight must be at least 0, got -1"),
        (lambda: Kto(beta=0.0), "beta must be positive, got 0"),
        (lambda: Kto(desirable_weight=0.0, undesirable_weight=0.0), "both 0: nothing is learned"),
        (lambda: Orpo(beta=-1.0), "beta must be positive, got -1"),
        (lambda: Simpo(gamma=-0.5), "gamma must be at least 0, got -0.5"),
        (lambda: Rlhf(estimator="guessed"), "recipe.estimator must be one of exact, sampled, got 'guessed'"),
        (lambda: Rlhf(reward="learned"), "recipe.reward must be one of people, model, got 'learned'"),
        (lambda: Rlhf(least_share=0.7), "least_share must lie below 0.5, got 0.7"),
        (lambda: Rlhf(mass_weight=math.nan), "mass_weight must be at least 0, got nan"),
    ],
)
def test_bad_knobs_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
