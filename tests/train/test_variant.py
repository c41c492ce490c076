"""Training by its effect, on disk: what moved, what was saved, and what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import data.mixture
from data.mixture import Mixture
from data.models import ModelSpec, device_for
from data.prompts import Asking
from data.records import ItemWording, Split, Survey
from data.variant import load_variant, read_manifest
from train.adapters import Full, Lora
from train.budget import Budget
from train.loop import MARKER, keep_metrics, last_checkpoint, read_metrics
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.recipes.none import NoTraining
from train.recipes.reward import Reward
from train.recipes.rlhf import Rlhf
from train.recipes.sft import Sft
from train.variant import train_variant

BUDGET = Budget(examples=64, batch_size=8, checkpoint_every=3)
CPU = torch.device("cpu")


def train(cell: Path, model: Path, survey: Survey, split: Split, **changes: Any) -> list[tuple[int, dict[str, float]]]:
    logged: list[tuple[int, dict[str, float]]] = []
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "recipe": Match(learning_rate=3e-3),
        "adapter": Full(),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": BUDGET,
        "on_log": lambda step, record: logged.append((step, record)),
    }
    train_variant(**(settings | changes))
    return logged


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_match_full_moves_every_parameter_and_learns(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    cell = tmp_path / "cell"
    budget = Budget(examples=240, batch_size=8, checkpoint_every=100)
    logged = train(cell, tiny_model, tiny_survey, tiny_split, budget=budget)
    metrics = read_metrics(cell / "metrics.jsonl")
    assert [record["step"] for record in metrics] == [step for step, _ in logged] == list(range(1, 31))
    first, last = metrics[:5], metrics[-5:]
    for name, sign in (("loss", -1), ("option_mass", 1)):
        change = sum(record[name] for record in last) - sum(record[name] for record in first)
        assert sign * change > 0.5, name
    wanted = {"loss", "option_mass", "kl_people_model", "entropy", "grad_norm", "learning_rate", "tokens", "seconds"}
    assert wanted <= set(metrics[0])

    before, after = load_file(tiny_model / "model.safetensors"), load_file(cell / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    manifest = read_manifest(cell)
    spent = manifest["budget"]
    assert (manifest["state"], spent["steps"], spent["examples"]) == ("trained", 30, 240)
    assert spent["tokens"] == sum(record["tokens"] for record in metrics) > 1.5 * spent["computed_tokens"] > 0
    assert spent["flops"] > 0
    assert spent["peak_memory_gib"] > 0
    assert {path.suffix for path in (cell / "model").iterdir()} == {".safetensors", ".json", ".jinja"}
    assert not (cell / "checkpoints").exists()
    load_variant(cell, ModelSpec(str(tiny_model)), CPU)

    assert train(cell, tiny_model, tiny_survey, tiny_split, budget=budget) == []  # trained already: nothing to do


def test_micro_batches_change_no_step(tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> None:
    weights = {}
    for micro in (8, 2):
        budget = Budget(examples=32, batch_size=8, checkpoint_every=100, micro_batch=micro)
        train(
            tmp_path / str(micro), tiny_model, tiny_survey, tiny_split, budget=budget, recipe=Match(learning_rate=1e-4)
        )
        weights[micro] = load_file(tmp_path / str(micro) / "model" / "model.safetensors")
        weights[-micro] = read_metrics(tmp_path / str(micro) / "metrics.jsonl")
    for one, other in zip(weights[-8], weights[-2], strict=True):
        for name in ("loss", "grad_norm", "option_mass", "entropy", "tokens"):
            assert one[name] == pytest.approx(other[name], rel=1e-3), name
    for name, value in weights[8].items():
        torch.testing.assert_close(value, weights[2][name], atol=1e-5, rtol=0)


def test_lora_leaves_the_base_alone_and_reloads_equal(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    base = sha(tiny_model / "model.safetensors")
    cell = tmp_path / "cell"
    train(cell, tiny_model, tiny_survey, tiny_split, adapter=Lora(rank=4, dropout=0.1))
    assert sha(tiny_model / "model.safetensors") == base
    assert not (cell / "model").exists()
    saved = load_file(cell / "adapter" / "adapter_model.safetensors")
    assert [name for name, value in saved.items() if "lora_B" in name and not value.any()] == []

    model, _, _ = load_variant(cell, ModelSpec(str(tiny_model)), CPU)
    loaded = {name.replace(".default", ""): value for name, value in model.named_parameters()}
    assert all(torch.equal(loaded[name], value) for name, value in saved.items())
    own = load_file(tiny_model / "model.safetensors")
    inner = {name.replace(".base_layer", ""): value for name, value in model.get_base_model().named_parameters()}
    assert all(torch.equal(inner[name], value) for name, value in own.items() if name in inner)
    manifest = read_manifest(cell)
    assert manifest["hashes"]["base"]
    assert manifest["trained_on"] == {"device": device_for().type, "dtype": "float32"}
    assert manifest["budget"]["learning_rate"] == pytest.approx(3e-2)
    assert manifest["budget"]["trained_parameters"] == sum(value.numel() for value in saved.values())


def test_dpo_starts_at_its_reference_and_learns_the_preferences(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tmp_path / "cell"
    budget = Budget(examples=160, batch_size=8, checkpoint_every=100)
    # One order of options: a random model of this size learns letters, not what stands behind them.
    monkeypatch.setattr(data.mixture, "orders", lambda options, ordered: [tuple(range(options))])
    agreed = [  # nearly everybody chose the first option, so that preferences are not noise
        replace(d, probabilities=(0.98,) + (0.02 / (len(d.probabilities) - 1),) * (len(d.probabilities) - 1))
        for d in tiny_survey.distributions
    ]
    survey = replace(tiny_survey, distributions=tuple(agreed))
    train(cell, tiny_model, survey, tiny_split, recipe=Dpo(learning_rate=1e-3, beta=1.0), budget=budget)
    metrics = read_metrics(cell / "metrics.jsonl")
    assert metrics[0]["kl_reference"] == pytest.approx(0, abs=1e-6)
    assert metrics[0]["reward_margin"] == pytest.approx(0, abs=1e-6)
    assert metrics[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert metrics[-1]["kl_reference"] > 1e-3
    assert sum(record["loss"] for record in metrics[-8:]) / 8 < 0.65
    assert sum(record["reward_margin"] for record in metrics[-8:]) / 8 > 0.1
    assert read_manifest(cell)["budget"]["steps"] == 20


def test_a_reference_of_another_model_is_refused(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import closed

    right = closed._reference

    def wrong(*arguments: Any) -> Any:
        known, costs = right(*arguments)
        return [row + torch.linspace(0, 1, len(row)) for row in known], costs

    monkeypatch.setattr(closed, "_reference", wrong)
    with pytest.raises(ValueError, match="differs from its reference before the first step"):
        train(tmp_path / "cell", tiny_model, tiny_survey, tiny_split, recipe=Dpo())


def test_recipes_of_one_seed_see_the_same_examples(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    """Match and dpo log the same first-step facts; another training seed keeps the examples and changes their order."""
    budget = Budget(examples=16, batch_size=8, checkpoint_every=100)
    hashes, first = {}, {}
    for name, changes in {
        "match": {},
        "dpo": {"recipe": Dpo()},
        "seed": {"seed": 1},
        "draw": {"draw": 1},
    }.items():
        train(tmp_path / name, tiny_model, tiny_survey, tiny_split, budget=budget, **changes)
        hashes[name] = read_manifest(tmp_path / name)["hashes"]["examples"]
        first[name] = read_metrics(tmp_path / name / "metrics.jsonl")[0]
    assert hashes["match"] == hashes["dpo"]
    assert len(set(hashes.values())) == 3
    for fact in ("kl_people_model", "entropy", "option_mass", "tokens"):
        assert first["match"][fact] == pytest.approx(first["dpo"][fact], abs=1e-6)


def test_no_training_leaves_only_a_manifest(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    train(tmp_path, tiny_model, tiny_survey, tiny_split, recipe=NoTraining())
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path)["state"] == "trained"


CHILD = """
import sys
from pathlib import Path
root, cell, model = sys.argv[1:]
sys.path[:0] = [root, root + "/tests", root + "/tests/train"]
import conftest, test_variant
from data.records import Split
split = Split(("toy/work", "toy/poor"), ("USA", "JPN"), ("toy/bribe", "toy/vote"), ("NOR", "GHA", "BRA", "IND"), 0)
def log(step, record):
    print("step", step, flush=True)
    if step == 5 and not (Path(cell) / "killed").exists():
        (Path(cell) / "killed").touch()
        sys.stdin.readline()
kind = test_variant.KINDS[Path(cell).name]
test_variant.train(Path(cell), Path(model), conftest.make_survey(), split, on_log=log, **kind)
"""
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"adapter": Lora(rank=4, dropout=0.1)},
    "sft": {"recipe": Sft(learning_rate=3e-3)},
    "dpo": {"recipe": Dpo(learning_rate=1e-3)},
    "rlhf": {"recipe": Rlhf(learning_rate=1e-3)},
    "rloo": {"recipe": Rlhf(learning_rate=1e-3, estimator="sampled", generations=2)},
    "reward": {"recipe": Reward(learning_rate=1e-3), "adapter": Lora(rank=4, dropout=0.1)},
}


SLOW = ("sft", "dpo", "reward", "rloo")  # the first two are as full and rlhf, with another loss


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] if k in SLOW else []) for k in KINDS])
def test_killed_and_resumed_equals_uninterrupted(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, kind: str
) -> None:
    """kill -9 after step 5; the newest complete checkpoint is that of step 3, and a torn later one is not taken."""
    cell = tmp_path / kind
    cell.mkdir()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CHILD, str(root), str(cell), str(tiny_model)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (cell / "killed").exists():
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert [record["step"] for record in read_metrics(cell / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    assert read_manifest(cell)["state"] == "training"
    torn = cell / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{")

    train(cell, tiny_model, tiny_survey, tiny_split, **KINDS[kind])
    straight = tmp_path / "straight"
    train(straight, tiny_model, tiny_survey, tiny_split, **KINDS[kind])
    (resumed,) = cell.glob("*/*.safetensors")
    assert sha(resumed) == sha(straight / resumed.relative_to(cell))
    ours, theirs = (read_metrics(folder / "metrics.jsonl") for folder in (cell, straight))
    assert [record["step"] for record in ours] == list(range(1, 9))
    assert [record["loss"] for record in ours] == [record["loss"] for record in theirs]


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, size in ((3, 4), (6, 5)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        (folder / MARKER).write_text(json.dumps({"step": step, "files": {"weights": size}}))
    (tmp_path / "checkpoint-9").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-3"


def test_metrics_are_cut_to_the_step_where_training_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    keep_metrics(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Match(learning_rate=0.0), "learning_rate must be positive, got 0"),
        (lambda: Match(mass_weight=-1.0), "mass_weight must be at least 0, got -1"),
        (lambda: Dpo(beta=0.0), "beta must be positive, got 0"),
        (lambda: Dpo(learning_rate=-1.0), "learning_rate must be positive, got -1"),
        (lambda: Lora(rank=0), "rank must be positive, got 0"),
        (lambda: Lora(dropout=1.0), "dropout must lie in"),
        (lambda: Full(learning_rate_scale=0.0), "learning_rate_scale must be positive"),
        (lambda: Budget(examples=10, batch_size=4), "multiple of budget.batch_size, got 10 and 4"),
        (lambda: Budget(examples=0), "examples must be at least 1"),
        (lambda: Budget(schedule="lineal"), "'lineal'"),
        (lambda: Budget(warmup=1.0), "warmup must lie in"),
        (lambda: Budget(max_grad_norm=0.0), "max_grad_norm > 0"),
        (lambda: Budget(micro_batch=3).split(1), "no multiple of micro_batch x processes = 3 x 1"),
        (lambda: Budget(batch_size=16).split(32), "micro_batch x processes = 0 x 32"),
    ],
)
def test_bad_knobs_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_budget_is_split_over_processes() -> None:
    assert Budget(batch_size=16).split(2) == (8, 1)
    assert Budget(batch_size=16, micro_batch=2).split(2) == (2, 4)


def test_training_in_another_language_and_on_earlier_waves(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    """Only `toy/work` has Chinese wording; the other training item is left out, counted, and never put in English."""
    wording = ItemWording("zh", "人们应该多久上一次夜班？", ("从不", "很少", "经常"))
    items = tuple(replace(i, wordings=(wording,)) if i.id == "toy/work" else i for i in tiny_survey.items)
    earlier = tuple(
        replace(d, probabilities=(1.0, *(0.0 for _ in d.probabilities[1:])), year="1999")
        for d in tiny_survey.distributions
    )
    survey = replace(tiny_survey, items=items, earlier=earlier)
    split = replace(tiny_split, train_before=2005)
    seen: list[Any] = []

    def mixture(part: Survey, size: int, seed: int, draw: int) -> Any:
        made = Mixture()(part, size, seed, draw)
        seen.extend(made)
        return made

    cell = tmp_path / "cell"
    budget = Budget(examples=8, batch_size=8)
    train(
        cell,
        tiny_model,
        survey,
        split,
        mixture=mixture,
        asking=Asking(style="completion", language="zh"),
        budget=budget,
    )
    assert {example.item.id for example in seen} == {"toy/work"}
    assert {example.people for example in seen} == {(1.0, 0.0, 0.0)}, "the earlier wave, not the one that is audited"
    manifest = read_manifest(cell)
    assert manifest["language"] == "zh"
    assert manifest["left_out"] == {"training items without a wording in 'zh'": 1}
