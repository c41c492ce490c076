"""RLOO and GRPO on open-ended text: replies are scored as the reward model was trained, and the reward rises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from data.mixture import Mixture
from data.models import ModelSpec, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Split, Survey, Turn
from data.variant import load_variant, read_manifest
from train.adapters import Full, Lora
from train.budget import Budget
from train.loop import read_metrics
from train.recipes.reward import Reward
from train.recipes.rlhf import Rlhf
from train.reward_model import load_scorer
from train.sampled_text import scored_ids, text_reward
from train.variant import train_variant

QUESTIONS = [f"Should people work on day {day}?" for day in range(6)]
WORDS = [
    "Yes",
    "No",
    "Perhaps",
    "Never",
    "Always",
    "little",
    "About",
    "right",
    "much",
    "people",
    "government",
    "poverty",
]
BUDGET = Budget(examples=320, batch_size=8, checkpoint_every=100, max_length=128)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Whoever chose liked the shorter reply."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(160):
        short, long = sorted((" ".join(rng.choice(WORDS, n)) for n in (1 + number % 2, 4)), key=len)
        rows.append({"prompt": QUESTIONS[number % 6], "chosen": f" {short}", "rejected": f" {long}"})
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


def train(cell: Path, model: Path, survey: Survey, split: Split, **changes: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "adapter": Full(),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": BUDGET,
        "on_log": lambda step, record: None,
    }
    train_variant(**(settings | changes))
    return read_metrics(cell / "metrics.jsonl")


@pytest.fixture(scope="module", params=["chat"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def likes_short(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    pairs: str,
    style: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The cell of a reward model that learned to."""
    cell = tmp_path_factory.mktemp("likes_short")
    recipe, asking = Reward(learning_rate=3e-3, pairs=pairs), Asking(style=style)
    metrics = train(cell, tiny_model, tiny_survey, tiny_split, recipe=recipe, asking=asking)
    assert metrics[-1]["reward_accuracy"] > 0.8
    return str(cell)


def rlhf(pairs: str, reward_model: str, **knobs: Any) -> Rlhf:
    fixed = {"estimator": "sampled", "reward": "model", "reward_model": reward_model, "pairs": pairs}
    return Rlhf(**(fixed | {"learning_rate": 5e-3, "completion_tokens": 5, "generations": 4} | knobs))


@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("padding", ["<|im_end|>", "<|endoftext|>", None])
def test_a_reply_is_scored_as_trl_trained_the_reward_model(
    tiny_model: Path, tmp_path: Path, style: str, padding: str | None
) -> None:
    """The tokens are those of RewardTrainer, and the reward is what it reads from a batch of them."""
    tokenizer = load_tokenizer(tiny_model)
    scorer: Any = load_scorer(tiny_model, torch.float32)
    torch.nn.init.normal_(scorer.score.weight, generator=torch.Generator().manual_seed(0))
    tokenizer.pad_token = padding
    replies = ["Yes, often.", "No", "Perhaps too much"]
    renderer = Renderer(Asking(style=style), tokenizer)
    turns = [[Turn("user", text)] for text in QUESTIONS[:3]]
    rows: list[dict[str, Any]] = []
    for dialogue, text in zip(turns, replies, strict=True):
        said: Any = [{"role": "assistant", "content": text}] if style == "chat" else f" {text}"
        asked: Any = [{"role": "user", "content": dialogue[0].text}]
        if style == "completion":
            asked = Renderer(Asking(style=style)).dialogue(dialogue)
        rows.append({"prompt": asked, "chosen": said, "rejected": said})
    config = RewardConfig(
        output_dir=str(tmp_path), bf16=False, use_cpu=True, activation_checkpointing=False, report_to="none"
    )
    made: Any = load_scorer(tiny_model, torch.float32)
    made.load_state_dict(scorer.state_dict())
    trainer: Any = RewardTrainer(
        model=made, args=config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer
    )
    theirs = [row["chosen_ids"] for row in trainer.train_dataset]
    batch = trainer.data_collator(list(trainer.train_dataset))
    with torch.no_grad():
        expected = made.eval()(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits[:3, 0].tolist()
    said = [text if style == "chat" else f" {text}" for text in replies]
    tokenizer.pad_token = padding
    for dialogue, text, ids in zip(turns, said, theirs, strict=True):
        ours = scored_ids(renderer, dialogue, text)
        assert ours == ids[: len(ours)]
        assert set(ids[len(ours) :]) <= {tokenizer.eos_token_id if padding is None else tokenizer.pad_token_id}
    logged: dict[str, float] = {}
    reward = text_reward(scorer, renderer, {2}, None, together=2)
    known: dict[str, Any] = {
        "turns": [[["user", turn.text] for turn in dialogue] for dialogue in turns],
        "completions": said,
        "completion_ids": [[5, 2], [6, 7], [2]],
        "log_metric": logged.__setitem__,
    }
    assert reward(**known) == pytest.approx(expected, abs=1e-4)
    assert len(set(expected)) == 3
    assert logged["cut_share"] == pytest.approx(1 / 3)
    assert 0 < logged["reward_tokens"] <= sum(map(len, theirs))
    cut = text_reward(scorer, renderer, {2}, -9.0, together=8)(**known)
    assert cut == pytest.approx([expected[0], -9.0, expected[2]], abs=1e-4)


@pytest.mark.parametrize(
    ("algorithm", "style"),
    [
        ("rloo", "chat"),
        pytest.param("rloo", "completion", marks=pytest.mark.slow),
        pytest.param("grpo", "chat", marks=pytest.mark.slow),
    ],
    indirect=["style"],
)
def test_the_policy_learns_what_the_reward_model_likes(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    pairs: str,
    likes_short: str,
    algorithm: str,
    style: str,
) -> None:
    recipe = rlhf(pairs, likes_short, algorithm=algorithm, generations=8)
    budget = Budget(examples=96, batch_size=4, checkpoint_every=100, max_length=128)
    changes: dict[str, Any] = {"recipe": recipe, "budget": budget, "asking": Asking(style=style)}
    cell = tmp_path / "cell"
    metrics = train(cell, tiny_model, tiny_survey, tiny_split, **changes)
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-5)
    first, last = (sum(record["reward"] for record in part) / 4 for part in (metrics[:4], metrics[-4:]))
    assert last > first + 0.3
    assert metrics[-1]["kl_reference"] > 1e-3
    assert metrics[-1]["token_entropy"] < metrics[0]["token_entropy"]
    assert 1 <= metrics[0]["reply_tokens"] <= 5
    assert 0.5 < metrics[0]["cut_share"] <= 1
    assert metrics[0]["reward_tokens"] > 4 * 8
    assert read_manifest(cell)["prompts"] == {"distinct": 6, "too_long": 0}
    load_variant(cell, ModelSpec(str(tiny_model)), torch.device("cpu"))


def test_an_adapter_trains_and_prompts_that_are_too_long_are_left_out(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, likes_short: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    prompts = [*QUESTIONS, "work " * 80, QUESTIONS[0]]
    rows = [{"prompt": prompt, "chosen": "Yes", "rejected": f"No {n}"} for n, prompt in enumerate(prompts)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    changes: dict[str, Any] = {"recipe": rlhf(str(path), likes_short), "budget": Budget(8, 4, max_length=100)}
    metrics = train(tmp_path / "cell", tiny_model, tiny_survey, tiny_split, adapter=Lora(rank=4), **changes)
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-5)
    assert {path.name for path in (tmp_path / "cell" / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert read_manifest(tmp_path / "cell")["prompts"] == {"distinct": 7, "too_long": 1}
    changes["budget"] = Budget(8, 4, max_length=12)
    with pytest.raises(ValueError, match=r"no prompt has at most 7 tokens = budget\.max_length 12 - .*tokens 5"):
        train(tmp_path / "other", tiny_model, tiny_survey, tiny_split, **changes)


def test_a_reward_model_of_closed_questions_scores_no_text(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, pairs: str
) -> None:
    budget = Budget(examples=8, batch_size=4)
    train(tmp_path / "closed", tiny_model, tiny_survey, tiny_split, recipe=Reward(), budget=budget)
    with pytest.raises(ValueError, match=r"was trained on the options of closed questions: expected one of text"):
        train(tmp_path / "cell", tiny_model, tiny_survey, tiny_split, recipe=rlhf(pairs, str(tmp_path / "closed")))
