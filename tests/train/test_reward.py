"""The reward model: TRL's loss and gradient, the truth that it recovers, and that it comes back as it was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from safetensors.torch import load_file, save_file
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

import data.mixture
from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey
from data.variant import read_manifest
from train.adapters import Adapter, Full, Lora
from train.budget import Budget
from train.loop import read_metrics
from train.recipes.reward import Reward
from train.reward_model import load_reward_model, load_scorer, open_scorer, option_rewards
from train.rewards import centred, correlation
from train.variant import train_variant


def train(cell: Path, model: Path, survey: Survey, split: Split, **changes: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "recipe": Reward(learning_rate=3e-3),
        "adapter": Full(),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": Budget(examples=64, batch_size=8, checkpoint_every=3),
        "on_log": lambda step, record: None,
    }
    train_variant(**(settings | changes))
    return read_metrics(cell / "metrics.jsonl")


@pytest.fixture
def scorer(tiny_model: Path) -> Any:
    """A reward model with a head of its own."""
    model: Any = load_scorer(tiny_model, torch.float32)
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(0))
    return model.train()


@pytest.mark.parametrize("center_weight", [0.0, 0.1])
def test_loss_and_gradient_equal_trl(preferences: Any, scorer: Any, tmp_path: Path, center_weight: float) -> None:
    config = RewardConfig(
        output_dir=str(tmp_path),
        bf16=False,
        use_cpu=True,
        activation_checkpointing=False,
        report_to="none",
        center_rewards_coefficient=center_weight or None,
    )
    rows = [
        {name: row["prompt_ids"] + row[name] for name in ("chosen_ids", "rejected_ids")} for row in preferences.rows
    ]
    trainer: Any = RewardTrainer(
        model=scorer,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=preferences.tokenizer,
    )
    theirs = trainer.compute_loss(scorer, trainer.data_collator(rows))
    rewards, _ = option_rewards(scorer, preferences.inputs["sequences"], preferences.inputs["label_ids"])
    case = replace(preferences, policy=scorer)
    case.check_equal(Reward(center_weight=center_weight).loss(rewards, preferences.batch), theirs)
    (margin,) = trainer._metrics["train"]["margin"]
    assert Reward().metrics(rewards, preferences.batch)["reward_margin"].item() == pytest.approx(margin, abs=1e-5)


def test_rewards_of_a_tree_are_those_of_single_replies(preferences: Any, scorer: Any) -> None:
    """Packed and padded, against transformers' own classifier asked one prompt with its label at a time."""
    sequences, label_ids = preferences.inputs["sequences"], preferences.inputs["label_ids"]
    with torch.no_grad():
        packed, computed = option_rewards(scorer, sequences, label_ids)
        scorer.config.attn_logit_softcapping = 30.0  # says that it cannot be packed; the tiny model does not read it
        padded, more = option_rewards(scorer, sequences, label_ids)
        for row, option in (label_ids[..., 0] >= 0).nonzero().tolist():
            ids = torch.tensor([[*sequences[row], int(label_ids[row, option, 0])]])
            alone = scorer(input_ids=ids).logits.item()
            assert packed[row, option].item() == pytest.approx(alone, abs=1e-4)
            assert padded[row, option].item() == pytest.approx(alone, abs=1e-4)
    assert (packed[label_ids[..., 0] < 0] == 0).all()
    assert packed.std() > 0.01
    assert computed < more / 3


def test_centred_and_correlation() -> None:
    options = torch.tensor([[True, True, False]])
    assert centred(torch.tensor([[1.0, 3.0, 7.0]]), options).tolist() == [[-1.0, 1.0, 0.0]]
    assert correlation(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 3.0])).item() == pytest.approx(-1)
    assert correlation(torch.zeros(2), torch.tensor([5.0, 3.0])).isnan()


def agreeing(survey: Survey) -> Survey:
    """Nearly everybody chose the first option, so that preferences are not noise."""
    made = [
        replace(d, probabilities=(0.9, *((0.1 / (len(d.probabilities) - 1),) * (len(d.probabilities) - 1))))
        for d in survey.distributions
    ]
    return replace(survey, distributions=tuple(made))


@pytest.mark.parametrize(
    ("adapter", "preferences"), [(Full(), "expected"), (Full(), "sampled"), (Lora(rank=4), "expected")]
)
def test_training_recovers_the_truth_and_is_reloaded_equal(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    adapter: Adapter,
    preferences: str,
) -> None:
    monkeypatch.setattr(data.mixture, "orders", lambda options, ordered: [tuple(range(options))])
    scale = 1 if adapter.trains_base else 0.1
    recipe = Reward(learning_rate=4e-3 * scale, preferences=preferences)
    budget = Budget(examples=320, batch_size=8, checkpoint_every=100)
    cell = tmp_path / "cell"
    metrics = train(cell, tiny_model, agreeing(tiny_survey), tiny_split, recipe=recipe, adapter=adapter, budget=budget)
    assert metrics[0]["loss"] == pytest.approx(0.693147, abs=1e-5)  # the head is 0
    near = {"expected": 0.3, "sampled": 0.7}[preferences]  # single preferences are noisy
    assert metrics[-1]["reward_distance"] < near < metrics[0]["reward_distance"]
    assert metrics[-1]["reward_correlation"] > 0.9
    assert sum(record["reward_accuracy"] for record in metrics[-8:]) / 8 > 0.75
    assert metrics[0]["tokens"] > 1.5 * metrics[0]["computed_tokens"] > 0
    assert read_manifest(cell)["state"] == "trained"

    loaded = load_reward_model(cell)
    model: Any = loaded[0]
    assert loaded[1].chat_template
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.score.weight.abs().max() > 0
    (file,) = cell.glob("*/*.safetensors")
    saved = load_file(file)
    (head,) = [name for name in saved if name.endswith("score.weight")]
    del saved[head]
    save_file(saved, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="the head 'score' of the reward model was not saved"):
        load_reward_model(cell)


def test_other_rewards_after_saving_are_refused(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(folder: Path, *rest: Any) -> Any:
        model = open_scorer(folder, *rest)
        torch.nn.Module.register_forward_hook(model.score, lambda module, given, scores: scores + 0.01)
        return model

    monkeypatch.setattr("train.variant.open_scorer", off)
    with pytest.raises(ValueError, match=r"gives other rewards than the trained one: they differ by up to 0\.01"):
        train(tmp_path / "cell", tiny_model, tiny_survey, tiny_split)


def test_a_folder_without_a_reward_model_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no trained reward model"):
        load_reward_model(tmp_path)
    with pytest.raises(ValueError, match="the head 'score' of the reward model was not saved"):
        open_scorer(tiny_model, None, torch.float32)


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_open_ended_pairs_go_through_trl(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, style: str
) -> None:
    rows = [f'{{"prompt": "Work on day {d}?", "chosen": "Yes, often.", "rejected": "Never."}}' for d in range(6)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    metrics = train(
        tmp_path / "cell",
        tiny_model,
        tiny_survey,
        tiny_split,
        recipe=Reward(learning_rate=1e-3, pairs=str(tmp_path / "pairs.jsonl")),
        asking=Asking(style=style),
        budget=Budget(examples=16, batch_size=4, checkpoint_every=2, max_length=128),
    )
    assert metrics[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert metrics[-1]["reward_margin"] > 0.01
    assert metrics[-1]["reward_accuracy"] == 1
    assert metrics[0]["tokens"] > 0
    load_reward_model(tmp_path / "cell")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Reward(learning_rate=0.0), "learning_rate must be positive"),
        (lambda: Reward(preferences="all"), "preferences must be one of sampled, expected, got 'all'"),
        (lambda: Reward(center_weight=-1.0), "center_weight must be at least 0"),
        (lambda: Reward(preferences="expected", pairs="x.jsonl"), "expected needs closed questions"),
        (lambda: Reward(pooling="population"), "belongs to recipe.pairs"),
    ],
)
def test_bad_knobs_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
