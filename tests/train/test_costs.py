"""The cost model of a training against operations that PyTorch counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from data.packed_attention import packed_logits, plan
from data.packing import pack
from train.adapters import Full, Lora
from train.costs import size_of
from train.partial import Partial

SEQUENCES = [[(7 * row + place * place) % 300 for place in range(1 + row, 33 + row)] for row in range(8)]


def tiny(tied: bool) -> Any:
    """Wide enough that attention, which the model of costs leaves out, is small."""
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).train()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "adapter", [Full(), Lora(rank=8), Partial(1), Partial(3), Partial(2, head=True)], ids=lambda one: repr(one)
)
def test_flops_are_those_that_are_counted(adapter: Any, tied: bool) -> None:
    model = adapter(tiny(tied))
    (tree,) = pack(SEQUENCES, 2**62)
    tokens = len(tree.tokens)
    with FlopCounterMode(display=False) as counter:
        logits = packed_logits(model, plan(tree, torch.device("cpu")))
        forward = counter.get_total_flops()
        logits.log_softmax(-1).sum().backward()
    size = size_of(model)
    assert size.flops(tokens) == pytest.approx(counter.get_total_flops(), rel=0.05)
    assert size.flops(0, tokens) == pytest.approx(forward, rel=0.05)
