"""Engines: two processes come to the weights of one, what they save is whole, and a kill costs no bit."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data.manifest import read_manifest
from data.mixture import Mixture
from data.models import ModelSpec, load_model
from data.prompts import Asking
from data.records import Split, Survey
from data.variant import load_variant
from launch.process import ACCELERATE_CONFIG, alone, worker_environment
from train import closed
from train.adapters import Dora, Full, Lora, QLora, check_together
from train.engines import Engine, check_wrapped
from train.loop import last_checkpoint, read_metrics
from train.partial import Partial
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.recompute import recompute_layers
from train.run import Budget
from train.variant import train_variant

ROOT = Path(__file__).parents[2]
RECIPES: dict[str, Any] = {"match": Match(learning_rate=1e-3), "dpo": Dpo(learning_rate=1e-3)}
ADAPTERS: dict[str, Any] = {
    "full": Full(),
    "lora": Lora(rank=4),
    "dora": Dora(rank=4),
    "partial": Partial(1, head=True),
}


def train(cell: Path, model: Path, survey: Survey, split: Split, asked: dict[str, Any], **changes: Any) -> None:
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "recipe": RECIPES[asked.get("recipe", "match")],
        "adapter": ADAPTERS[asked.get("adapter", "full")],
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": Budget(examples=48, batch_size=8, checkpoint_every=2, micro_batch=2),
        "on_log": lambda step, record: None,
        "engine": Engine(**asked.get("engine", {})),
        "audit_every": asked.get("audit_every"),
    }
    train_variant(**(settings | changes))


def weights(cell: Path) -> dict[str, torch.Tensor]:
    (path,) = [*cell.glob("model/*.safetensors"), *cell.glob("adapter/*.safetensors")]
    return load_file(path)


def apart(cell: Path, other: Path) -> float:
    """The largest difference of a weight between what two cells saved."""
    one, two = weights(cell), weights(other)
    assert one.keys() == two.keys()
    return max(float((value - two[name]).abs().max()) for name, value in one.items())


def launch(cell: Path, model: Path, asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Its processes train the cell, started as the launcher starts workers."""
    cell.mkdir(parents=True, exist_ok=True)
    count = asked["engine"]["processes"]
    command = [sys.executable, "-m", "launch.launcher", "--config_file", str(ACCELERATE_CONFIG), "--quiet"]
    command += [
        "--num_processes",
        str(count),
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    command += ["--main_process_port", "0"]
    command += ["--multi_gpu"] * (count > 1)
    command += [str(Path(__file__).with_name("engine_child.py"))]
    command += [str(ROOT), str(cell), str(model), json.dumps(asked)]
    environment = worker_environment(1) | {"POLYPHONY_PARENT_HOLDS_STDIN": "0"} | (alone() if count == 1 else {})
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


NEEDS_DEEPSPEED = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install deepspeed"
)
CASES = [
    pytest.param({"engine": {"kind": "ddp", "processes": 2}, "recipe": "dpo"}, id="ddp"),
    pytest.param({"engine": {"kind": "zero2", "processes": 2}, "recipe": "dpo"}, id="zero2", marks=NEEDS_DEEPSPEED),
    pytest.param(
        {"engine": {"kind": "zero3", "processes": 2}, "recipe": "dpo", "audit_every": 3},
        id="zero3",
        marks=NEEDS_DEEPSPEED,
    ),
    pytest.param(
        {"engine": {"kind": "zero3", "processes": 2, "gradient_checkpointing": True}, "adapter": "lora"},
        id="zero3-lora-recomputed",
        marks=NEEDS_DEEPSPEED,
    ),
    pytest.param(
        {"engine": {"kind": "zero2", "processes": 1, "offload_optimizer": True}, "recipe": "dpo"},
        id="zero2-alone-offloaded",
        marks=NEEDS_DEEPSPEED,
    ),
]


@pytest.mark.slow  # `pytest -m slow tests/train/test_engines.py`: a minute each, and once more to compile
@pytest.mark.parametrize("asked", CASES)
def test_engines_come_to_the_weights_of_one_process(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, asked: dict[str, Any]
) -> None:
    """Saved weights were opened, compared and asked by `train_variant`; they are opened again here, as audits do."""
    two, one = tmp_path / "two", tmp_path / "one"
    done = launch(two, tiny_model, asked)
    assert done.returncode == 0, done.stderr[-2000:]
    train(one, tiny_model, tiny_survey, tiny_split, {**asked, "engine": {}})
    assert apart(one, two) < (1e-5 if "adapter" in asked else 1e-6)
    ours, theirs = (read_metrics(cell / "metrics.jsonl") for cell in (one, two))
    for left, right in zip(ours, theirs, strict=True):
        for name in ("loss", "grad_norm", "option_mass", "tokens"):
            assert left[name] == pytest.approx(right[name], rel=1e-3), name
    spent, other = (read_manifest(cell)["budget"] for cell in (one, two))
    assert spent["trained_parameters"] == other["trained_parameters"] > 0
    load_variant(two, ModelSpec(str(tiny_model)), torch.device("cpu"))
    if "audit_every" in asked:
        (snapshot,) = (two / "snapshots").iterdir()
        load_variant(snapshot, ModelSpec(str(tiny_model)), torch.device("cpu"))
        assert apart(snapshot, two) > 0


@pytest.mark.slow
@NEEDS_DEEPSPEED
def test_zero3_killed_and_resumed_equals_uninterrupted(tiny_model: Path, tmp_path: Path) -> None:
    """kill -9 of the main process after step 3; the newest checkpoint, in shares of both, is that of step 2."""
    asked = {"engine": {"kind": "zero3", "processes": 2}}
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert launch(killed, tiny_model, {**asked, "die_at": 3}).returncode == 1
    assert [record["step"] for record in read_metrics(killed / "metrics.jsonl")] == [1, 2, 3]
    (checkpoint,) = (killed / "checkpoints").glob("checkpoint-*")
    assert last_checkpoint(killed / "checkpoints") == checkpoint
    shutil.copytree(checkpoint, tmp_path / "torn" / "checkpoint-2")
    next((tmp_path / "torn").glob("*/global_step*/*_rank_1_*optim_states.pt")).unlink()
    assert last_checkpoint(tmp_path / "torn") is None  # one process's share is lost
    for cell in (killed, straight):
        done = launch(cell, tiny_model, asked)
        assert done.returncode == 0, done.stderr[-2000:]
    assert apart(killed, straight) == 0


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"kind": "zero4"}, "must be one of single, ddp, zero2, zero3, fsdp2, got 'zero4'"),
        ({"kind": "ddp"}, "got kind ddp and 1 processes"),
        ({"kind": "zero2"}, "got kind zero2 and 1 processes"),
        ({"processes": 2}, "kind single means one process"),
        ({"kind": "ddp", "processes": 2, "offload_optimizer": True}, "offload_optimizer needs kind zero2 or zero3"),
        ({"kind": "zero2", "processes": 2, "offload_parameters": True}, "needs kind zero3 or fsdp2, got zero2"),
    ],
)
def test_bad_engines_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Engine(**knobs)


@pytest.mark.parametrize(
    ("kind", "missing", "words"),
    [
        ("fsdp2", "", "fsdp2 needs GPUs: on CPUs accelerate runs plain DDP in its place; use zero3 or ddp"),
        ("zero2", "deepspeed", "zero2 needs DeepSpeed: pip install"),
        ("zero3", "ninja", "found no ninja: pip install ninja"),
        ("zero3", "g++", r"found no g\+\+"),
    ],
)
def test_what_a_machine_lacks_is_said_before_the_start(
    kind: str, missing: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/usr/bin/{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ValueError, match=words):
        Engine(kind, 2).check_machine()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"engine\.processes is 2, and there are 1 GPUs"):
        Engine("ddp", 2).check_machine()
    Engine().check_machine()


class DeepSpeedEngine(torch.nn.Module):
    def zero_optimization_stage(self) -> int:
        return 2


class DistributedDataParallel(torch.nn.Module):
    pass


@pytest.mark.parametrize(
    ("engine", "wrapped", "world"),
    [
        (Engine("ddp", 2), torch.nn.Linear(1, 1), 1),  # two processes asked for, one started
        (Engine("ddp", 2), torch.nn.Linear(1, 1), 2),
        (Engine("fsdp2", 2), DistributedDataParallel(), 2),
        (Engine("zero3", 2), DeepSpeedEngine(), 2),
        (Engine("zero2", 2), DistributedDataParallel(), 2),
        (Engine(), DistributedDataParallel(), 1),
    ],
)
def test_a_wrong_start_that_ends_well_is_refused(
    engine: Engine, wrapped: torch.nn.Module, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)
    with pytest.raises(ValueError, match=f"engine {engine.kind} with .* was asked for, and"):
        check_wrapped(wrapped, engine)


def test_what_was_asked_for_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    check_wrapped(torch.nn.Linear(1, 1), Engine())
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    check_wrapped(DistributedDataParallel(), Engine("ddp", 2))
    check_wrapped(DeepSpeedEngine(), Engine("zero2", 2))


def test_deepspeed_is_told_of_the_knobs() -> None:
    plain = Engine("zero3", 8).deepspeed(bf16=True)
    assert "optimizer" not in plain
    assert plain["torch_autocast"]["enabled"]
    assert plain["zero_optimization"]["stage"] == 3
    assert "offload_optimizer" not in plain["zero_optimization"]
    away = Engine("zero3", 8, offload_optimizer=True, offload_parameters=True).deepspeed(bf16=False)
    assert away["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert away["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert not away["torch_autocast"]["enabled"]
    assert not away["zero_force_ds_cpu_optimizer"]


@pytest.mark.parametrize("padded", [False, True])
def test_layers_computed_again_give_the_same_gradients(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, padded: bool
) -> None:
    """Of packed trees and of padded batches: the second pass through a layer attends as the first did."""
    if padded:
        monkeypatch.setattr(closed, "why_not_packed", lambda model, longest: "a test")
    sequences = [[5, 6, 7, 8, 9], [5, 6, 7, 10], [5, 11, 12]]
    labels = torch.tensor([[[20], [21]], [[20], [21]], [[20], [21]]])
    found = []
    for again in (False, True):
        model: Any = load_model(tiny_model, torch.float32).train()
        calls: list[int] = []
        model.model.layers[0].input_layernorm.register_forward_hook(lambda *_, seen=calls: seen.append(1))
        if again:
            recompute_layers(model)
        closed.option_log_probabilities(model, sequences, labels)[0].sum().backward()
        assert len(calls) == 1 + again
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, found[1][name], atol=1e-7, rtol=1e-5, msg=name)


def test_training_with_layers_computed_again_is_the_same_training(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    budget = Budget(examples=8, batch_size=4, checkpoint_every=100)
    for name, engine in (("kept", {}), ("again", {"gradient_checkpointing": True})):
        asked = {"adapter": "lora", "engine": engine}
        train(tmp_path / name, tiny_model, tiny_survey, tiny_split, asked, budget=budget)
    assert apart(tmp_path / "kept", tmp_path / "again") < 1e-6


def test_what_cannot_go_together_is_refused() -> None:
    for engine, adapter, head, words in (
        (Engine("zero3", 2), QLora(), "language", "qlora cannot be trained by engine zero3"),
        (Engine("fsdp2", 2), Lora(), "language", "fsdp2 shards weights of one type"),
        (Engine("zero3", 2), Full(), "reward", "reward model cannot be trained by engine zero3"),
        (Engine(), QLora(), "reward", "reward model cannot be trained with adapter qlora"),
    ):
        with pytest.raises(ValueError, match=words):
            check_together(engine, adapter, head)
    check_together(Engine("zero2", 2), QLora(), "language")
    check_together(Engine("zero3", 2), Lora(), "language")
