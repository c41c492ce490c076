"""RLOO and GRPO on closed questions: what is drawn and estimated, that they learn, and that a kill changes nothing."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import datasets
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chi2

from data.mixture import Mixture
from data.models import ModelSpec, load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Split, Survey
from data.variant import load_variant
from train.adapters import Adapter, Full, Lora
from train.budget import Budget
from train.loop import read_metrics
from train.recipes.match import Match
from train.recipes.reward import Reward
from train.recipes.rlhf import Rlhf
from train.run import RunContext
from train.sampled import ALGORITHMS, _classes, option_reward, prompts_at_once
from train.variant import train_variant

EACH = 150
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
        names={}, once={}, model=model, reward_funcs=reward, args=config, train_dataset=rows, processing_class=tokenizer
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


class Watched(Rlhf):
    """Keeps what it was given and the trainer that it made."""

    seen: ClassVar[dict[str, Any]] = {}

    def __call__(self, run: RunContext) -> Any:
        self.seen["examples"] = run.examples
        self.seen["trainer"] = super().__call__(run)
        return self.seen["trainer"]


@pytest.mark.parametrize(("algorithm", "tokens", "adapter"), [("rloo", 1, Full()), ("grpo", 2, Lora(rank=4))])
def test_replies_are_drawn_from_the_policy_itself(
    answering: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    tokens: int,
    adapter: Adapter,
) -> None:
    """600 replies of a policy that does not move, from a model that is shipped with rules against most of them.

    Against its next-token probabilities, each prompt asked alone: first tokens by chi-square (each option, and others),
    every token by what its log-probability should be on average. And their rewards, looked up by hand.
    """
    shutil.copytree(answering, tmp_path / "model")
    rules = {"do_sample": True, "top_k": 1, "temperature": 0.5, "top_p": 0.5, "min_p": 0.5, "repetition_penalty": 9.0}
    rules |= {"no_repeat_ngram_size": 1, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 2}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(rules))
    replies: list[tuple[str, list[int]]] = []

    def watching(tokenizer: Any, invalid_reward: float) -> Any:
        score = option_reward(tokenizer, invalid_reward)

        def reward(prompts: list[str], completion_ids: list[list[int]], **rest: Any) -> list[float]:
            replies.extend(zip(prompts, completion_ids, strict=True))
            return score(completion_ids=completion_ids, **rest)

        return reward

    monkeypatch.setattr("train.sampled.option_reward", watching)
    recipe = Watched(
        estimator="sampled", algorithm=algorithm, learning_rate=1e-12, generations=EACH, completion_tokens=tokens
    )
    changes: dict[str, Any] = {"recipe": recipe, "adapter": adapter, "budget": Budget(examples=4, batch_size=4)}
    (metrics,) = train(tmp_path / "cell", tmp_path / "model", tiny_survey, tiny_split, **changes)
    trainer, examples = Watched.seen["trainer"], Watched.seen["examples"]
    assert trainer.beta == trainer.args.beta == 0.1
    tokenizer = load_tokenizer(answering)
    renderer = Renderer(Asking(), tokenizer)
    prompts = [renderer.survey(e.item, e.order, e.group, e.condition) for e in examples]
    assert [prompt for prompt, _ in replies[::EACH]] == [prompt.text for prompt in prompts]
    assert len({len(tokenizer(prompt.text)["input_ids"]) for prompt in prompts}) > 1, "padding is not tested"

    model: Any = load_model(answering, torch.float32)

    def scores(ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).double()
        return found

    statistic, freedom, rewards, invalid, surprises = 0.0, 0, list[float](), 0, list[tuple[float, float]]()
    for place, (example, prompt) in enumerate(zip(examples, prompts, strict=True)):
        start = tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
        exact = scores(start)
        named = {
            tokenizer(form + letter, add_special_tokens=False)["input_ids"][0]: math.log(max(example.people[o], 0.001))
            for letter, o in zip(prompt.labels, example.order, strict=True)
            for form in ("", " ", "(", " (")
            if len(tokenizer(form + letter, add_special_tokens=False)["input_ids"]) == 1
        }
        drawn = [ids for _, ids in replies[place * EACH : (place + 1) * EACH]]
        often = {token: share for token in named if (share := EACH * exact[token].exp().item()) > 5}
        counts = {token: sum(ids[0] == token for ids in drawn) for token in often}
        cells = [(counts[token], often[token]) for token in often]
        cells.append((EACH - sum(counts.values()), EACH - sum(often.values())))
        statistic += sum((count - share) ** 2 / share for count, share in cells)
        freedom += len(often)
        for ids in drawn:
            assert len(ids) == tokens or ids[-1] == tokenizer.eos_token_id
            goes_on = "".join(tokenizer.decode(ids[1:], skip_special_tokens=True))[:1].isalnum()
            value = None if goes_on else named.get(ids[0])
            invalid += value is None
            rewards.append(math.log(0.001) if value is None else value)
        for ids in drawn[:: 1 if tokens == 1 else 10]:
            for position, token in enumerate(ids):
                there = exact if not position else scores([*start, *ids[:position]])
                mean = (there.exp() * there).sum()
                surprises.append(((there[token] - mean).item(), (there.exp() * (there - mean) ** 2).sum().item()))
    assert freedom > 8
    assert 0.001 < chi2.sf(statistic, freedom) < 0.999
    assert abs(sum(one for one, _ in surprises)) < 3.5 * sum(variance for _, variance in surprises) ** 0.5
    assert metrics["reward"] == pytest.approx(sum(rewards) / len(replies), abs=1e-4)
    assert metrics["invalid_share"] == pytest.approx(invalid / len(replies), abs=1e-6)


def test_dropout_of_an_adapter_is_refused(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"estimator sampled needs adapter\.dropout 0, got 0\.1"):
        train(tmp_path, tiny_model, tiny_survey, tiny_split, adapter=Lora(rank=4, dropout=0.1))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_step_is_a_training(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, algorithm: str
) -> None:
    """What is logged at the end, where no metric of a step is left, is no step."""
    recipe = Rlhf(estimator="sampled", algorithm=algorithm, generations=2)
    metrics = train(
        tmp_path, tiny_model, tiny_survey, tiny_split, recipe=recipe, budget=Budget(examples=4, batch_size=4)
    )
    assert [record["step"] for record in metrics] == [1]
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-5)


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
    assert metrics[0]["computed_tokens"] > metrics[0]["tokens"] > 8 * 8 * 20  # TRL pads
    assert metrics[0]["reference_tokens"] == (3 if algorithm == "rloo" else 2) * metrics[0]["computed_tokens"]
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
        assert [name for name, value in metrics[0].items() if name.startswith("reward_tok") and value > 100]
        assert {path.name for path in cell.iterdir()} == {"manifest.json", "metrics.jsonl", "adapter"}
        assert {path.name for path in (cell / "adapter").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        load_variant(cell, ModelSpec(str(answering)), torch.device("cpu"))


@pytest.mark.parametrize(
    ("batch", "micro", "generations", "expected"),
    [(16, None, 4, 4), (16, None, 8, 2), (16, None, 32, 1), (6, None, 4, 3), (16, 8, 8, 8), (2, None, 2, 2)],
)
def test_replies_trained_on_at_once_are_few(batch: int, micro: int | None, generations: int, expected: int) -> None:
    budget = Budget(examples=batch, batch_size=batch, micro_batch=micro)
    assert prompts_at_once(SimpleNamespace(budget=budget), generations) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_how_many_are_trained_on_at_once_changes_no_weight(
    answering: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, algorithm: str
) -> None:
    recipe = Rlhf(estimator="sampled", algorithm=algorithm, learning_rate=1e-3, generations=8)
    weights = []
    for micro in (None, 4):
        budget = Budget(examples=8, batch_size=4, checkpoint_every=100, micro_batch=micro)
        cell = tmp_path / str(micro)
        train(cell, answering, tiny_survey, tiny_split, recipe=recipe, budget=budget)
        weights.append(load_file(cell / "model" / "model.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=2e-5, rtol=0)


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
