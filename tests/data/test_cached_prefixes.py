"""Cached prefixes and padded batches against one prompt at a time, on every kind of layer that does not pack."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from data.cached_prefixes import CALL_TOKENS, HELD_TOKENS, Group, grouped_logits, groups
from data.models import load_model
from data.packed_attention import why_not_packed

CPU = torch.device("cpu")
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=14)
SIZES = {
    "vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LINEAR = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "head_dim": 16,
}  # fmt: skip
ODD = {
    "mistral": ({"sliding_window": 24}, "sliding window of 24"),
    "gemma3_text": ({"head_dim": 16, "sliding_window": 24}, "sliding window of 24"),
    "gemma2": ({"head_dim": 16, "sliding_window": 24, "attn_logit_softcapping": 0.5}, "soft-capped"),
    "qwen3_next": (LINEAR | {"num_experts": 0, "mlp_only_layers": [0, 1, 2, 3]}, "linear_attention"),
    "qwen3_5_text": (LINEAR, "linear_attention"),
    "lfm2": ({"block_auto_adjust_ff_dim": False, "layer_types": ["conv", "full_attention"] * 2}, "conv"),
    "mamba": ({"state_size": 8}, "linear_attention"),
    "gpt_oss": (
        {"head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 512},
        "more than scaled dot products",
    ),
}


def odd_model(family: str) -> Any:
    torch.manual_seed(1)
    config = AutoConfig.for_model(family, **(SIZES | ODD[family][0]))
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # attention that a random model of this size really uses
        for name, value in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                value.mul_(8)
    return model


def prompts() -> list[list[int]]:
    """Sorted; several beginnings, lengths from 2 to 161, one prompt twice, one the beginning of another."""
    rng = np.random.default_rng(0)
    starts = [rng.integers(3, 97, size=n).tolist() for n in (70, 40, 1)]
    middles = [rng.integers(3, 97, size=n).tolist() for n in (30, 5, 90)]
    ends = [rng.integers(3, 97, size=n).tolist() for n in (1, 4, 9)]
    made = [a + b + c for a in starts for b in middles for c in ends]
    return sorted([*made, starts[0], made[3], starts[2] + [5]])


def plain(model: Any, sequences: list[list[int]]) -> torch.Tensor:
    return torch.cat([model(input_ids=torch.tensor([one]), use_cache=False).logits[:, -1] for one in sequences])


FORGETS = {"mamba"}  # begins anew when several tokens follow its cache


@pytest.mark.parametrize(
    ("family", "share"),
    [(family, share) for family in ODD for share in (True, False) if not share or family not in FORGETS],
)
@torch.inference_mode()
def test_logits_equal_one_prompt_at_a_time(family: str, share: bool) -> None:
    model, asked = odd_model(family), prompts()
    assert ODD[family][1] in why_not_packed(model, max(map(len, asked)))
    cut = groups(asked, 400, share)
    logits, computed = grouped_logits(model, asked, cut, CPU)
    torch.testing.assert_close(logits, plain(model, asked), atol=1e-4, rtol=0)
    assert any(group.shared for group in cut) == share
    assert computed == sum(map(len, asked)) if not share else computed < 0.75 * sum(map(len, asked))


@torch.inference_mode()
def test_an_adapter_stays_unmerged_and_counts() -> None:
    from peft import LoraConfig, get_peft_model

    model, asked = odd_model("gemma2"), prompts()
    before = plain(model, asked)
    adapted: Any = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False, r=4))
    logits, _ = grouped_logits(adapted.eval(), asked, groups(asked, 400), CPU)
    expected = plain(adapted, asked)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert (expected - before).abs().max() > 1e-2


@torch.inference_mode()
def test_soft_capping_is_honoured_by_a_model_that_is_loaded(tmp_path: Path) -> None:
    made, asked = odd_model("gemma2"), prompts()
    made.set_attn_implementation("eager")
    made.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, torch.float32)
    torch.testing.assert_close(plain(loaded, asked), plain(made, asked))
    made.config.attn_logit_softcapping = 50.0
    for layer in made.model.layers:
        layer.self_attn.attn_logit_softcapping = 50.0
    assert (plain(loaded, asked) - plain(made, asked)).abs().max() > 1e-3


@torch.inference_mode()
def test_what_a_model_does_to_its_logits_stays() -> None:
    model, asked = odd_model("gemma2"), prompts()
    model.config.final_logit_softcapping = 0.1
    logits, _ = grouped_logits(model, asked, groups(asked, 400), CPU)
    assert logits.abs().max() <= 0.1
    torch.testing.assert_close(logits, plain(model, asked), atol=1e-4, rtol=0)


@given(SEQUENCES, st.integers(1, 60), st.booleans())
def test_groups_cover_the_list_share_what_is_alike_and_keep_the_budget(
    sequences: list[list[int]], budget: int, share: bool
) -> None:
    asked = sorted(sequences)
    cut = groups(asked, budget, share)
    assert [place for group in cut for place in range(group.start, group.stop)] == list(range(len(asked)))
    for group in cut:
        rows = asked[group.start : group.stop]
        longest = max(map(len, rows))
        assert len({tuple(row[: group.shared]) for row in rows}) == 1
        assert group.shared < min(map(len, rows))
        assert share or not group.shared
        assert len(rows) == 1 or len(rows) * (longest - group.shared) <= budget
        assert len(rows) == 1 or len(rows) * longest <= HELD_TOKENS * budget


def cost(asked: list[list[int]], group: Group) -> int:
    rows = asked[group.start : group.stop]
    padded = len(rows) * (max(map(len, rows)) - group.shared)
    return group.shared + padded + CALL_TOKENS * (2 if group.shared else 1)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=90), min_size=1, max_size=6))
def test_no_other_cut_is_cheaper(sequences: list[list[int]]) -> None:
    asked = sorted(sequences)
    mine = sum(cost(asked, group) for group in groups(asked, 10_000))
    for bits in range(1 << (len(asked) - 1)):
        edges = [0, *(i + 1 for i in range(len(asked) - 1) if bits >> i & 1), len(asked)]
        total = 0
        for start, stop in pairwise(edges):
            rows = asked[start:stop]
            alike = next((d for d in range(min(map(len, rows)) - 1) if len({r[d] for r in rows}) > 1), None)
            shared = 0 if len(rows) == 1 else min(map(len, rows)) - 1 if alike is None else alike
            total += min(cost(asked, Group(start, stop, 0)), cost(asked, Group(start, stop, shared)))
        assert mine <= total
