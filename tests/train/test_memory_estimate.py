"""What a training will hold: counted on models without weights, held against real passes and a real training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config

from data.models import load_model, load_tokenizer
from data.packed_attention import packed_logits, plan
from data.packing import pack
from train.activations import Held
from train.adapters import Dora, Full, Lora, QLora
from train.engines import Engine
from train.memory_estimate import LIBRARIES, Estimate, estimate
from train.partial import Partial
from train.recompute import recompute_layers

GIB = 2**30
WITHIN = 0.25
"""The share by which the peak of a real training may differ from its estimate."""
TRAINED: dict[str, tuple[Any, Engine]] = {
    "full": (Full(), Engine()),
    "recomputed": (Full(), Engine(gradient_checkpointing=True)),
    "lora": (Lora(), Engine()),
    "dora": (Dora(), Engine()),
    "partial": (Partial(2), Engine()),
}
QWEN = Qwen2Config(  # Qwen2.5-7B, 7.62 billion parameters as its model card says
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    use_sliding_window=False,
)
PROMPTS = [[*range(3, 63), *range(63 + 60 * k, 123 + 60 * k)] for k in range(4)]  # 60 tokens shared, 60 of their own


def kept(model: Any, sequences: list[list[int]]) -> int:
    """Bytes that autograd keeps of a real packed pass, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: WeakSet[Held] = WeakSet()

    def keep(tensor: torch.Tensor) -> Held:
        held.add(one := Held(tensor))
        return one

    (tree,) = pack(sequences, 2**62)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one.tensor):
        loss = packed_logits(model.train(), plan(tree, torch.device("cpu"))).log_softmax(-1).sum()
    storages = {one.tensor.untyped_storage().data_ptr(): one.tensor.untyped_storage().nbytes() for one in held}
    del loss
    return sum(size for storage, size in storages.items() if storage not in weights)


@pytest.mark.parametrize("kind", list(TRAINED))
def test_parameters_are_counted_and_activations_are_those_of_a_real_pass(tiny_model: Path, kind: str) -> None:
    adapter, engine = TRAINED[kind]
    found = estimate(AutoConfig.from_pretrained(tiny_model), adapter, engine, torch.float32, PROMPTS)
    model = adapter(load_model(tiny_model, torch.float32))
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.weights == 4 * found.parameters
    assert (found.gradients, found.optimizer) == (4 * found.trained, 8 * found.trained)
    assert found.tokens == 60 + 4 * 60
    everything = kept(model, PROMPTS)
    if engine.gradient_checkpointing:
        recompute_layers(model)
        assert everything / 4 < found.activations < everything
    else:  # and a layer of two once more
        assert everything < found.activations < 1.6 * everything
        assert found.activations == pytest.approx(1.5 * everything, rel=0.15)


def test_what_each_engine_holds() -> None:
    size = 7.62e9
    found = {
        kind: estimate(QWEN, Full(), Engine(kind, 1 if kind == "single" else 8), torch.bfloat16, PROMPTS)
        for kind in ("single", "ddp", "zero2", "zero3", "fsdp2")
    }
    for kind, weights, gradients, optimizer in (
        ("single", 4, 4, 8),
        ("ddp", 4, 4, 8),
        ("zero2", 4, 4 / 8, 12 / 8),
        ("zero3", 4 / 8, 4 / 8, 12 / 8),
        ("fsdp2", 4 / 8, 4 / 8, 8 / 8),
    ):
        one = found[kind]
        assert one.weights == pytest.approx(weights * size, rel=0.01), kind
        assert one.gradients == pytest.approx(gradients * size, rel=0.01), kind
        assert one.optimizer == pytest.approx(optimizer * size, rel=0.01), kind
    assert found["zero3"].total < found["zero2"].total < found["ddp"].total
    away = Engine("zero3", 8, offload_optimizer=True, offload_parameters=True)
    assert estimate(QWEN, Full(), away, torch.bfloat16, PROMPTS).total < found["zero3"].total


def test_a_base_in_four_bits_takes_a_quarter_and_checkpointing_most_of_the_activations() -> None:
    found = {
        name: estimate(QWEN, adapter, engine, torch.bfloat16, PROMPTS)
        for name, adapter, engine in (
            ("four", QLora(), Engine()),
            ("sixteen", Lora(), Engine()),
            ("again", Lora(), Engine(gradient_checkpointing=True)),
        )
    }
    assert 0.25 < found["four"].weights / found["sixteen"].weights < 0.42  # embeddings and output stay in 16 bits
    assert found["again"].activations < 0.2 * found["sixteen"].activations


def test_an_estimate_speaks() -> None:
    said = str(Estimate(GIB, GIB, 2 * GIB, GIB // 2, 0, 1234, 5_000_000, 2_500_000))
    assert said == (
        "about 5.1 GiB a process (weights 1.0, optimizer 2.0, gradients 1.0 and activations 0.5, working 0.0, "
        "libraries 0.6; 2.5 of 5.0 million parameters train, 1,234 tokens at once)"
    )
    assert Estimate(0, GIB, 0, 2 * GIB, 0, 1, 1, 1, together=False).total == 2 * GIB + LIBRARIES
    assert Estimate(GIB, 0, 0, 0, 0, 1, 1, 1).total_on_cpu == 3 * GIB + LIBRARIES


def test_an_adapter_that_does_not_fit_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="last_layers is 3, and the model has 2 layers"):
        estimate(AutoConfig.from_pretrained(tiny_model), Partial(3), Engine(), torch.float32, PROMPTS)


@pytest.mark.slow  # `pytest -m slow tests/train/test_memory_estimate.py`
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.parametrize("kind", list(TRAINED))
def test_the_peak_of_a_real_training_is_near_its_estimate(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    """60 million parameters in a process of their own, with the shapes of a small chat model."""
    tokenizer = load_tokenizer(tiny_model)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=18,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    child, root = Path(__file__).with_name("memory_child.py"), Path(__file__).parents[2]
    command = [sys.executable, str(child), str(root), str(tmp_path / "model"), str(tmp_path / "cell"), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            told |= json.loads(line)
    assert told["estimate"] == pytest.approx(told["peak"], rel=WITHIN), told["said"]
    assert np.isfinite(told["peak"])
