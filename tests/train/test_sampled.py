"""RLOO and GRPO on closed questions: what they estimate, that they learn, and that a kill changes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from safetensors.torch import load_file

from data.mixture import Mixture
from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking
from data.records import Split, Survey
from data.variant import load_variant
from train.adapters import Full, Lora
from train.budget import Budget
from train.loop import read_metrics
from train.recipes.match import Match
from train.recipes.reward import Reward
from train.recipes.rlhf import Rlhf
from train.sampled import _classes, option_reward
from train.variant import train_variant

CPU = {"bf16": False, "use_cpu": True, "activation_checkpointing": False, "report_to": "none"}


def train(cell: Path, model: Path, survey: Survey, split: Split, **changes: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "recipe": Rlhf(estimator="sampled", learning_rate=1e-3),
        "adapter": Full(),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": Budget(examples=16, batch_size=4, checkpoint_every=2),
        "on_log": lambda step, record: None,
    }
    train_variant(**(settings | changes))
    return read_metrics(cell / "metrics.jsonl")


@pytest.fixture(scope="module")
def answering(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model after some training, so that it answers with letters: what is drawn is an answer now and then."""
    cell = tmp_path_factory.mktemp("answering")
    budget = Budget(examples=160, batch_size=8, checkpoint_every=100)
    metrics = train(
        cell, tiny_model, tiny_survey, tiny_split, recipe=Match(learning_rate=5e-3, mass_weight=1.0), budget=budget
    )
    assert metrics[-1]["option_mass"] > 0.3
    return cell / "model"


def trainer_of(algorithm: str, model: Any, tokenizer: Any, reward: Any, folder: Path, **knobs: Any) -> Any:
    trainer_class, config_class = _classes(algorithm)
    config = config_class(
        output_dir=str(folder), **CPU, per_device_train_batch_size=knobs["num_generations"], max_steps=1, **knobs
    )
    rows = datasets.Dataset.from_list([{"prompt": "Yes or no?"}])
    made = trainer_class(
        once={}, model=model, reward_funcs=reward, args=config, train_dataset=rows, processing_class=tokenizer
    )
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def test_the_mean_gradient_of_rloo_is_the_exact_one(tiny_model: Path, tmp_path: Path) -> None:
    """A policy that has left its reference, and a reward of every token: 20 x 128 replies to one prompt.

    The exact objective over the whole vocabulary is sum pi * (reward - beta * log(pi / reference)).
    """
    tokenizer, beta = load_tokenizer(tiny_model), 0.7
    policy: Any = load_model(tiny_model, torch.float32)
    rewards = torch.randn(len(tokenizer), generator=torch.Generator().manual_seed(3))

    def reward(completion_ids: list[list[int]], **unused: Any) -> list[float]:
        return [rewards[ids[0]].item() for ids in completion_ids]

    trainer = trainer_of(
        "rloo", policy, tokenizer, reward, tmp_path, num_generations=128, max_completion_length=1, beta=beta
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    ids = torch.tensor([tokenizer("Yes or no?", add_special_tokens=False)["input_ids"]])

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        policy.zero_grad()
        torch.autograd.backward(loss)
        return torch.cat([parameter.grad.flatten() for parameter in policy.parameters()])

    with torch.no_grad():
        reference = trainer.ref_model(ids).logits[0, -1].log_softmax(-1)
    scores = policy(ids).logits[0, -1].log_softmax(-1)
    objective = (scores.exp() * (rewards - beta * (scores - reference))).sum()
    exact = gradient(-objective)
    torch.manual_seed(0)
    shares = []
    for _ in range(20):
        inputs = trainer._generate_and_score_completions([{"prompt": "Yes or no?"}] * 128)
        shares.append(float(gradient(trainer._compute_loss(policy, inputs)) @ exact / exact.square().sum()))
    found = torch.tensor(shares)
    error = found.std() / len(found) ** 0.5
    assert error < 0.1
    assert found.mean().item() == pytest.approx(1, abs=4 * error.item())


def test_a_reply_names_an_option_by_its_first_token_alone(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    (a,), (b,) = ids("A"), ids("B")
    logged: dict[str, float] = {}
    score = option_reward(tokenizer, -7.0)
    replies = [[a], [b], [a, *ids(".")], [a, *ids("p")], [a, tokenizer.eos_token_id], ids("9")]
    found = score(completion_ids=replies, named=[[[a, 0.5], [b, -0.5]]] * len(replies), log_metric=logged.__setitem__)
    assert found == [0.5, -0.5, 0.5, -7.0, 0.5, -7.0]
    assert logged == {"invalid_share": pytest.approx(2 / 6)}


@pytest.mark.parametrize("algorithm", ["rloo", pytest.param("grpo", marks=pytest.mark.slow)])
def test_the_reward_rises_and_every_parameter_moves(
    answering: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, algorithm: str
) -> None:
    recipe = Rlhf(estimator="sampled", algorithm=algorithm, learning_rate=5e-3)
    budget = Budget(examples=64, batch_size=8, checkpoint_every=100)
    cell = tmp_path / "cell"
    metrics = train(cell, answering, tiny_survey, tiny_split, recipe=recipe, budget=budget)
    assert len(metrics) == 8
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-5)
    assert max(abs(record["loss"]) for record in metrics) < 0.5
    first, last = (sum(record["reward"] for record in part) / 4 for part in (metrics[:4], metrics[-4:]))
    assert last > first + 0.5
    assert metrics[-1]["invalid_share"] < metrics[0]["invalid_share"]
    assert metrics[-1]["entropy"] < metrics[0]["entropy"]
    assert metrics[-1]["kl_reference"] > 1e-3
    assert metrics[0]["tokens"] == metrics[0]["computed_tokens"] > 8 * 8 * 20
    before, after = load_file(answering / "model.safetensors"), load_file(cell / "model" / "model.safetensors")
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_a_trained_reward_model_rewards_both_estimators_of_an_adapter(
    answering: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    """reward (LoRA) -> rlhf (LoRA): nothing of TRL's copy of the adapter is left."""
    reward = Reward(learning_rate=3e-4, preferences="expected")
    train(tmp_path / "reward", answering, tiny_survey, tiny_split, recipe=reward, adapter=Lora(rank=4))
    for estimator in ("exact", "sampled"):
        recipe = Rlhf(
            learning_rate=1e-3,
            estimator=estimator,
            algorithm="grpo",
            reward="model",
            reward_model=str(tmp_path / "reward"),
            completion_tokens=2,
            generations=4,
        )
        cell = tmp_path / estimator
        metrics = train(cell, answering, tiny_survey, tiny_split, recipe=recipe, adapter=Lora(rank=4))
        assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-5)
        assert {path.name for path in cell.iterdir()} == {"manifest.json", "metrics.jsonl", "adapter"}
        assert {path.name for path in (cell / "adapter").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        load_variant(cell, ModelSpec(str(answering)), torch.device("cpu"))


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ("algorithm", "micro_batch"), [("rloo", 2), pytest.param("grpo", None, marks=pytest.mark.slow)]
)
def test_interrupted_and_resumed_equals_uninterrupted(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, algorithm: str, micro_batch: int | None
) -> None:
    """Draws included: the random state is in the checkpoint, and a step's replies are all drawn at its beginning."""
    recipe = Rlhf(estimator="sampled", algorithm=algorithm, learning_rate=1e-3, generations=2, completion_tokens=2)
    budget = Budget(examples=24, batch_size=4, checkpoint_every=2, micro_batch=micro_batch)
    once: list[int] = []

    def kill(step: int, record: dict[str, float]) -> None:
        if step == 3 and not once:
            once.append(step)
            raise KilledError

    changes: dict[str, Any] = {"recipe": recipe, "budget": budget}
    with pytest.raises(KilledError):
        train(tmp_path / "killed", tiny_model, tiny_survey, tiny_split, on_log=kill, **changes)
    torch.manual_seed(99)
    ours = train(tmp_path / "killed", tiny_model, tiny_survey, tiny_split, **changes)
    theirs = train(tmp_path / "straight", tiny_model, tiny_survey, tiny_split, **changes)
    assert [one["step"] for one in ours] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "reward", "kl_reference", "tokens"):
        assert [one[name] for one in ours] == [one[name] for one in theirs], name
    hashes = {
        hashlib.sha256((tmp_path / name / "model" / "model.safetensors").read_bytes()).hexdigest()
        for name in ("killed", "straight")
    }
    assert len(hashes) == 1
