"""A model is asked in the fastest way that is exact for it, and each step down is said once."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data.packing import pack
from eval.backends import ways
from eval.backends.ways import Asker

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def made(family: str, **more: Any) -> Any:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES, **more)).eval()


def prompts(shared: int = 60) -> list[list[int]]:
    rng = np.random.default_rng(0)
    start = rng.integers(3, 97, size=shared).tolist()
    return [start + rng.integers(3, 97, size=n).tolist() for n in (3, 9, 4, 20, 5, 2)]


@torch.inference_mode()
def largest_difference(asker: Asker, asked: list[list[int]], budget: int = 10_000) -> float:
    worst = 0.0
    for tree in pack(asked, budget):
        mine = [asked[member] for member in tree.members.tolist()]
        logits, _ = asker(tree, mine, budget)
        plain = torch.cat([asker.model(input_ids=torch.tensor([one])).logits[:, -1] for one in mine])
        worst = max(worst, float((logits - plain).abs().max()))
    return worst


def test_a_model_that_fits_is_packed(caplog: pytest.LogCaptureFixture) -> None:
    asker = Asker(made("llama"), CPU)
    assert largest_difference(asker, prompts()) < 1e-4
    assert asker.used == {"packed trees": ""}
    assert not caplog.records


def test_an_adapter_stays_unmerged_and_counts() -> None:
    from peft import LoraConfig, get_peft_model

    model: Any = made("llama")
    before = model(input_ids=torch.tensor(prompts()[:1])).logits
    config = LoraConfig(target_modules="all-linear", init_lora_weights=False, r=4)
    adapted: Any = get_peft_model(model, config).eval()
    asker = Asker(adapted, CPU)
    assert largest_difference(asker, prompts()) < 1e-4
    assert asker.used == {"packed trees": ""}
    assert (adapted(input_ids=torch.tensor(prompts()[:1])).logits - before).abs().max() > 1e-2


def test_a_model_with_a_mask_of_its_own_is_not_packed(caplog: pytest.LogCaptureFixture) -> None:
    """Doge adds a bias that depends on the values to its mask, and announces nothing that would tell."""
    caplog.set_level(logging.WARNING)
    model = made("doge")
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.mul_(8 if "proj" in name else 5 if "lm_head" in name else 1)
            if name.endswith(".A"):
                value.normal_()
    asker = Asker(model, CPU)
    assert largest_difference(asker, prompts()) < 1e-4
    assert "makes a mask of its own" in asker.used["cached prefixes"]


def test_a_model_that_passes_no_plan_on_is_not_packed() -> None:
    asker = Asker(made("nemotron"), CPU)
    assert largest_difference(asker, prompts()) < 1e-4
    assert "takes no packed trees (TypeError" in asker.used["cached prefixes"]


def test_a_model_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = []
    alone = ways._plain
    monkeypatch.setattr(ways, "_plain", lambda model, *rest: plain.append(model) or alone(model, *rest))
    model = made("llama")
    for _ in range(2):
        assert largest_difference(Asker(model, CPU), prompts(), 40) < 1e-4
    assert plain == [model]


def test_a_window_shorter_than_a_prompt_means_cached_prefixes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    asker = Asker(made("mistral", sliding_window=24), CPU)
    asked = prompts()
    assert largest_difference(asker, asked, 80) < 1e-4
    assert asker.used == {"cached prefixes": "its sliding window of 24 tokens is shorter than a prompt of 65"}
    (record,) = caplog.records
    assert record.getMessage().startswith("prompts are asked in cached prefixes, not packed trees, because its sliding")
    tree = pack(asked, 10_000)[0]
    _, computed = asker(tree, [asked[member] for member in tree.members.tolist()], 10_000)
    assert computed == 60 + sum(len(one) - 60 for one in asked)


def test_a_model_that_forgets_its_state_is_asked_in_padded_batches(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    asker = Asker(made("mamba", state_size=8), CPU)
    for _ in range(2):
        assert largest_difference(asker, prompts()) < 1e-4
    assert list(asker.used) == ["padded batches"]
    (record,) = [record for record in caplog.records if record.name == "eval.backends.ways"]
    assert "not cached prefixes, because going on from its cache moves log-probabilities by" in record.getMessage()


def test_a_model_without_a_cache_is_asked_in_padded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("mistral", sliding_window=24)
    forward = model.forward

    def without_cache(**given: Any) -> Any:
        if given.pop("use_cache"):
            raise TypeError("no cache here")
        return forward(**given, use_cache=False)

    asker = Asker(model, CPU)
    monkeypatch.setattr(model, "forward", lambda use_cache=False, **given: without_cache(use_cache=use_cache, **given))
    assert largest_difference(asker, prompts()) < 1e-4
    assert asker.used == {"padded batches": "MistralForCausalLM takes no cache (TypeError: no cache here)"}


def test_what_shares_nothing_needs_no_proof() -> None:
    asker = Asker(made("mamba", state_size=8), CPU)
    assert largest_difference(asker, prompts(shared=0)) < 1e-4
    assert list(asker.used) == ["cached prefixes"]
