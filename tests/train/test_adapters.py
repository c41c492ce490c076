"""Which parameters move under each adapter, which stay, and that what was saved is what was trained."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, LlamaForCausalLM

from data.merging import whole_model
from data.mixture import Mixture
from data.models import ModelSpec, attention_for, load_model
from data.packed_attention import padded_logits
from data.prompts import Asking
from data.records import Split, Survey
from data.variant import QUANTIZATION, load_variant, quantization_of
from train.adapters import Dora, QLora
from train.partial import Partial, decoder_layers
from train.recipes.match import Match
from train.run import Budget
from train.variant import train_variant

CPU = torch.device("cpu")


def train(cell: Path, model: Path, survey: Survey, split: Split, adapter: Any) -> None:
    train_variant(
        cell=cell,
        spec=ModelSpec(str(model)),
        recipe=Match(learning_rate=1e-3),
        adapter=adapter,
        mixture=Mixture(),
        asking=Asking(),
        survey=survey,
        split=split,
        seed=0,
        draw=0,
        budget=Budget(examples=16, batch_size=8, checkpoint_every=100),
        on_log=lambda step, record: None,
    )


def moved(cell: Path, base: Path) -> set[str]:
    before, after = load_file(base / "model.safetensors"), load_file(cell / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(("last", "head"), [(1, False), (1, True), (2, False)])
def test_partial_moves_the_last_layers_and_nothing_else(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, last: int, head: bool
) -> None:
    train(tmp_path, tiny_model, tiny_survey, tiny_split, Partial(last_layers=last, head=head))
    every = set(load_file(tiny_model / "model.safetensors"))
    wanted = {name for name in every if any(f"layers.{number}." in name for number in range(2 - last, 2))}
    assert moved(tmp_path, tiny_model) == wanted | ({"lm_head.weight", "model.norm.weight"} if head else set())
    load_variant(tmp_path, ModelSpec(str(tiny_model)), CPU)


def test_partial_wants_layers_that_are_there(tiny_model: Path) -> None:
    model: Any = load_model(tiny_model, torch.float32)
    with pytest.raises(ValueError, match="last_layers is 3, and the model has 2 layers"):
        Partial(3)(model)
    with pytest.raises(ValueError, match="last_layers must be positive, got 0"):
        Partial(0)
    assert len(decoder_layers(model)[1]) == 2


def test_partial_says_that_tied_embeddings_train_with_the_head(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = AutoConfig.from_pretrained(tiny_model)
    config.tie_word_embeddings = True
    for head, said in ((False, 0), (True, 1)):
        with caplog.at_level(logging.WARNING, "polyphony"):
            model: Any = Partial(1, head=head)(LlamaForCausalLM(config))
        assert len(caplog.records) == said
        assert model.get_input_embeddings().weight.requires_grad == head
    assert "output matrix is its embedding" in caplog.text


def test_partial_trains_the_head_of_a_reward_model(tiny_model: Path) -> None:
    from train.reward_model import load_scorer

    model: Any = Partial(1)(load_scorer(tiny_model, torch.float32))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "score.weight" in trained
    assert {name.split(".")[2] for name in trained - {"score.weight"}} == {"1"}


def test_low_rank_adapters_of_a_reward_model_train_and_save_its_head(tiny_model: Path) -> None:
    from train.reward_model import load_scorer

    model: Any = Dora(rank=2)(load_scorer(tiny_model, torch.float32))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert any("score.modules_to_save" in name for name in trained)


def test_dora_trains_directions_and_lengths_reloads_equal_and_merges(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    train(tmp_path, tiny_model, tiny_survey, tiny_split, Dora(rank=2))
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    lengths = {name: value for name, value in saved.items() if "lora_magnitude_vector" in name}
    base = load_file(tiny_model / "model.safetensors")
    assert len(lengths) == 2 * 7
    for name, value in lengths.items():
        inner = name.removeprefix("base_model.model.").split(".lora_magnitude_vector")[0]
        assert (value - base[f"{inner}.weight"].norm(dim=1)).abs().max() > 1e-4, name
    assert [name for name, value in saved.items() if "lora_B" in name and not value.any()] == []
    model, _, _ = load_variant(tmp_path, ModelSpec(str(tiny_model)), CPU)
    merged = load_model(whole_model(tmp_path, ModelSpec(str(tiny_model))), torch.float32)
    with torch.inference_mode():
        one, other, plain = (
            padded_logits(m, [[5, 6, 7], [8, 9]], CPU) for m in (model, merged, load_model(tiny_model, torch.float32))
        )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert (one - plain).abs().max() > 1e-2


def test_dora_begins_where_the_base_is(tiny_model: Path) -> None:
    model = Dora(rank=2)(load_model(tiny_model, torch.float32))
    with torch.inference_mode():
        begun, base = (
            padded_logits(m.eval(), [[5, 6, 7]], CPU) for m in (model, load_model(tiny_model, torch.float32))
        )
    torch.testing.assert_close(begun, base, atol=1e-5, rtol=1e-5)


def test_qlora_is_refused_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"qlora needs a GPU.*use lora or dora on a CPU"):
        QLora().check_machine()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        QLora().check_machine()


def test_qlora_is_told_to_transformers_and_kept_beside_the_adapter(tmp_path: Path) -> None:
    from transformers import BitsAndBytesConfig

    asked = QLora(double_quantization=False).quantization
    config = BitsAndBytesConfig(**asked)
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", False)
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert quantization_of(tmp_path) is None
    (tmp_path / QUANTIZATION).write_text('{"load_in_4bit": true}')
    assert quantization_of(tmp_path) == {"load_in_4bit": True}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_one_asked_for_and_answers_alike(tiny_model: Path, attention: str) -> None:
    spec = ModelSpec(str(tiny_model), attention=attention)
    chosen = attention_for(spec, torch.float32, CPU)
    model: Any = load_model(tiny_model, torch.float32, attention=chosen)
    assert model.config._attn_implementation == attention
    with torch.inference_mode():
        one, other = (padded_logits(m, [[5, 6, 7]], CPU) for m in (model, load_model(tiny_model, torch.float32)))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_flash_attention_is_taken_where_it_is_there_and_refused_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    with pytest.raises(ValueError, match=r"flash_attention_2 needs a GPU.*float32 on cpu: set model\.attention=auto"):
        attention_for(ModelSpec("x", attention="flash_attention_2"), torch.float32, CPU)
    with pytest.raises(ValueError, match="attention must be one of auto, sdpa, flash_attention_2, eager, got 'flash'"):
        ModelSpec("x", attention="flash")
    monkeypatch.setattr("data.models.is_flash_attn_2_available", lambda: False)
    assert attention_for(ModelSpec("x"), torch.bfloat16, gpu) is None
    monkeypatch.setattr("data.models.is_flash_attn_2_available", lambda: True)
    assert attention_for(ModelSpec("x"), torch.bfloat16, gpu) == "flash_attention_2"
    assert attention_for(ModelSpec("x"), torch.float32, gpu) is None
    assert attention_for(ModelSpec("x"), torch.bfloat16, CPU) is None
