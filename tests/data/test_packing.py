"""The packed tree against its plain definition, and packed attention against one prompt at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from data.models import load_model
from data.packed_attention import packed_logits, padded_logits, plan, why_not_packed
from data.packing import Tree, blocks, pack

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=30)
CPU = torch.device("cpu")


def path_tokens(tree: Tree, node: int) -> list[int]:
    found = []
    while node >= 0:
        found.append(int(tree.tokens[node]))
        node = int(tree.parents[node])
    return found[::-1]


@given(SEQUENCES, st.integers(1, 40))
def test_every_sequence_is_a_path_of_its_tree(sequences: list[list[int]], budget: int) -> None:
    trees = pack(sequences, budget)
    assert sorted(int(m) for tree in trees for m in tree.members) == list(range(len(sequences)))
    for tree in trees:
        for leaf, member in zip(tree.leaves, tree.members, strict=True):
            assert path_tokens(tree, int(leaf)) == sequences[member]
        assert len(tree.tokens) <= max(budget, max(len(sequences[m]) for m in tree.members))


@given(SEQUENCES)
def test_one_tree_holds_each_distinct_prefix_once(sequences: list[list[int]]) -> None:
    (tree,) = pack(sequences, 10_000)
    prefixes = {tuple(s[: i + 1]) for s in sequences for i in range(len(s))}
    assert len(tree.tokens) == len(prefixes)


@given(SEQUENCES, st.sampled_from([1, 2, 5, 64]))
def test_blocks_allow_exactly_the_ancestors(sequences: list[list[int]], size: int) -> None:
    (tree,) = pack(sequences, 10_000)
    wanted = blocks(tree, size)
    for node in range(len(tree.tokens)):
        row, place = divmod(node, size)
        seen = sorted(int(k) for k, ok in zip(wanted.keys[row], wanted.allowed[row, place], strict=True) if ok)
        ancestors = []
        walk = node
        while walk >= 0:
            ancestors.append(walk)
            walk = int(tree.parents[walk])
        assert seen == sorted(ancestors)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="empty prompt"):
        pack([[1], []], 10)


def shared_prompts(rng: np.random.Generator, vocabulary: int) -> list[list[int]]:
    starts = [rng.integers(0, vocabulary, size=n).tolist() for n in (70, 40, 3)]
    middles = [rng.integers(0, vocabulary, size=n).tolist() for n in (30, 5, 90)]
    ends = [rng.integers(0, vocabulary, size=n).tolist() for n in (1, 4, 9, 20)]
    return [a + b + c for a in starts for b in middles for c in ends] + [starts[0]]


FAMILIES = {
    "llama": {},
    "qwen2": {"use_sliding_window": False},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": None},
    "gemma": {"head_dim": 16},
    "gemma3_text": {"head_dim": 16, "sliding_window": 512},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_logits_equal_one_prompt_at_a_time(family: str) -> None:
    torch.manual_seed(1)
    sizes = {
        "vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    config = AutoConfig.for_model(family, **(sizes | FAMILIES[family]))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    prompts = shared_prompts(np.random.default_rng(0), 97)
    assert why_not_packed(model, max(map(len, prompts))) == ""
    with torch.inference_mode():
        plain = torch.cat([model(input_ids=torch.tensor([p])).logits[:, -1] for p in prompts])
        for budget in (150, 10_000):
            packed = torch.empty_like(plain)
            for tree in pack(prompts, budget):
                packed[torch.from_numpy(tree.members)] = packed_logits(model, plan(tree, CPU))
            torch.testing.assert_close(packed, plain, atol=1e-4, rtol=0)
        torch.testing.assert_close(padded_logits(model, prompts, CPU), plain, atol=1e-4, rtol=0)
    assert model.config._attn_implementation == "sdpa"


def test_packed_gradients_equal_separate_prompts(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    prompts = shared_prompts(np.random.default_rng(2), 300)
    weight = torch.randn(len(prompts), model.config.vocab_size, generator=torch.Generator().manual_seed(0))

    def gradients(logits: torch.Tensor) -> list[torch.Tensor]:
        model.zero_grad()
        (logits.log_softmax(-1) * weight).sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain = gradients(torch.cat([model(input_ids=torch.tensor([p])).logits[:, -1] for p in prompts]))
    (tree,) = pack(prompts, 100_000)
    packed = gradients(packed_logits(model, plan(tree, CPU))[torch.from_numpy(tree.members).argsort()])
    for left, right in zip(packed, plain, strict=True):
        torch.testing.assert_close(left, right, atol=2e-4, rtol=1e-4)


def test_models_that_do_not_fit_say_why() -> None:
    config = AutoConfig.for_model("mistral", vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                                  num_attention_heads=2, num_key_value_heads=1, sliding_window=16)  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    assert why_not_packed(model, 16) == ""
    assert "sliding window of 16" in why_not_packed(model, 17)
    capped = AutoConfig.for_model("gemma2", vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                                  num_attention_heads=2, num_key_value_heads=1, head_dim=16)  # fmt: skip
    assert "soft-capped" in why_not_packed(AutoModelForCausalLM.from_config(capped), 4)


@settings(max_examples=20)
@given(SEQUENCES)
def test_packing_does_not_depend_on_the_order_of_the_list(sequences: list[list[int]]) -> None:
    (left,) = pack(sequences, 10_000)
    (right,) = pack(sequences[::-1], 10_000)
    assert left.tokens.tolist() == right.tokens.tolist()
