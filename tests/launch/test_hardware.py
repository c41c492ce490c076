"""Hardware presets: what they choose, that a user's own choice stays, and that the large models fit where they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, PretrainedConfig, Qwen2Config

from launch.build import build, build_as
from launch.cells import Cell
from launch.check import check_machine
from launch.compose import Composer
from launch.memory import estimate_cell, memory_line, memory_lines
from train.engines import Engine
from train.memory_estimate import estimate
from train.run import Budget

GIB = 2**30
SHAPE = {"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "num_hidden_layers": 32}
QWEN = {"num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944, "num_hidden_layers": 28}
BIG: dict[str, PretrainedConfig] = {  # config.json of each, as far as memory depends on it
    "llama-3-8b": LlamaConfig(vocab_size=128256, hidden_size=4096, **SHAPE),
    "mistral-7b": MistralConfig(vocab_size=32768, hidden_size=4096, sliding_window=None, **SHAPE),
    "qwen2.5-7b": Qwen2Config(vocab_size=152064, hidden_size=3584, use_sliding_window=False, **QWEN),
}
ROOM = {"gpu16": 16, "gpu24": 24, "gpu80": 80, "node8": 80}
PROMPTS = [[*range(3, 63), *range(63 + 60 * k, 123 + 60 * k)] for k in range(16)]  # 60 tokens shared, 60 of their own


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


@pytest.mark.parametrize(
    ("overrides", "adapter", "engine", "recomputed", "micro"),
    [
        (["hardware=gpu24"], "lora", "single", True, 4),
        (["hardware=gpu24", "adapter=dora", "engine.gradient_checkpointing=false"], "dora", "single", False, 4),
        (["adapter=full", "budget.micro_batch=1", "hardware=gpu16"], "full", "single", True, 1),
        (["hardware=node8"], "full", "zero3", True, 2),
        (["hardware=node8", "engine=fsdp2"], "full", "fsdp2", True, 2),
        (["experiment=quickstart", "hardware=cpu"], "full", "single", False, 8),
    ],
)
def test_a_preset_chooses_and_a_users_own_choice_stays(
    composer: Composer, overrides: list[str], adapter: str, engine: str, recomputed: bool, micro: int
) -> None:
    made = composer(["model=llama-3-8b", *overrides])
    assert (made["chosen"]["adapter"], made["chosen"]["engine"]) == (adapter, engine)
    assert made["engine"]["gradient_checkpointing"] == recomputed
    assert made["budget"]["micro_batch"] == micro
    assert composer(["hardware=gpu24", "model.dtype=float32"])["model"]["dtype"] == "float32"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "llama-3-8b" else [pytest.mark.slow]) for name in BIG]
)
@pytest.mark.parametrize("hardware", list(ROOM))
def test_models_of_seven_and_eight_billion_parameters_fit(composer: Composer, hardware: str, name: str) -> None:
    made = composer([f"hardware={hardware}", f"model={name}"])
    engine = build_as(Engine, made["engine"], "engine")
    micro, accumulated = build_as(Budget, made["budget"], "budget").split(engine.processes)
    adapter: Any = build(made["adapter"], "adapter")
    assert made["model"]["dtype"] == "bfloat16"
    found = estimate(BIG[name], adapter, engine, torch.bfloat16, PROMPTS[:micro], accumulated)
    assert 0.2 * ROOM[hardware] < found.total / GIB < 0.95 * ROOM[hardware], str(found)


def test_a_dry_run_says_what_is_held_and_what_is_lacking_here(
    composer: Composer, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cells = [
        Cell(Path(), {**composer(["model=local", f"model.source={tiny_model}", *more]), "arm": arm})
        for arm, more in (("base", ["recipe=none"]), ("a", []), ("b", ["recipe=dpo"]), ("c", ["engine=fsdp2"]))
    ]
    first, second = memory_lines(cells)
    assert first.startswith("memory of a, b: about 0.6 GiB a process (weights 0.0,")
    assert second.startswith("memory of c: about")
    assert "NOT on this machine: engine fsdp2 needs GPUs" in second
    with pytest.raises(ValueError, match="fsdp2 needs GPUs"):
        check_machine(cells[-1].config)


def test_a_worker_warns_where_memory_is_short(
    composer: Composer, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composer(["model=local", f"model.source={tiny_model}"])
    assert "MORE" not in memory_line(config)
    monkeypatch.setattr("data.memory.room_bytes", lambda device: GIB // 4)
    said = memory_line(config)
    assert "MORE than the 0.2 GiB that a process has here. Set budget.micro_batch below 16" in said
    assert "\n" not in said


def test_memory_is_that_of_the_prompts_which_the_recipe_asks(composer: Composer, tiny_model: Path) -> None:
    """Earlier questions stand before those of `augment`; how long replies get is known only in training."""
    made = ["model=local", f"model.source={tiny_model}", "model.dtype=float32", "budget.examples=32"]
    plain, longer = (
        estimate_cell(composer([*made, f"recipe={recipe}"]), Engine(), torch.float32) for recipe in ("match", "augment")
    )
    assert longer.tokens > 1.5 * plain.tokens
    assert longer.activations > 1.5 * plain.activations
    for more in (["recipe=rlhf", "recipe.estimator=sampled"], ["recipe=dpo", "recipe.pairs=pairs.jsonl"]):
        assert memory_line(composer([*made, *more])).startswith("no estimate for this kind of training (recipe ")
