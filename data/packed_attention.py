"""Attention over a packed prefix tree, for any transformers model whose attention goes through its interface.

One `scaled_dot_product_attention` call a layer: queries in blocks, keys gathered by the plan of `data.packing.blocks`,
grouped-query heads as extra query rows. Differentiable, so training on closed questions uses the same packing and gets
the gradients of separate prompts. Sliding windows shorter than the prompts, attention soft-capping and recurrent layers
do not fit; `why_not_packed` names the reason and callers then ask the padded way (`padded_logits`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from data.packing import Tree, blocks

NAME = "packed_tree"


@dataclass(frozen=True, slots=True)
class Plan:
    """A tree on its device: `input_ids`, `position_ids` (1, nodes); `keys` (blocks, length); `allowed`; `leaves`."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    keys: torch.Tensor
    allowed: torch.Tensor
    leaves: torch.Tensor
    size: int
    masks: dict[tuple[int, torch.dtype], torch.Tensor] = field(default_factory=dict)

    def mask(self, group: int, dtype: torch.dtype) -> torch.Tensor:
        """`allowed` as what is added to attention scores, (blocks, 1, group * block, length): made once for all layers
        of `group` query heads a key head.
        """
        if (group, dtype) not in self.masks:
            bias = torch.zeros(self.allowed.shape, dtype=dtype, device=self.allowed.device)
            bias.masked_fill_(~self.allowed, -torch.inf)
            self.masks[group, dtype] = bias.repeat(1, group, 1)[:, None]
        return self.masks[group, dtype]


def plan(tree: Tree, device: torch.device, size: int = 64) -> Plan:
    """Move a tree and its attention plan to `device`."""
    wanted = blocks(tree, size)
    return Plan(
        input_ids=torch.from_numpy(tree.tokens).to(device)[None],
        position_ids=torch.from_numpy(tree.depths).to(device)[None],
        keys=torch.from_numpy(wanted.keys).to(device),
        allowed=torch.from_numpy(wanted.allowed).to(device),
        leaves=torch.from_numpy(tree.leaves).to(device),
        size=size,
    )


def packed_logits(model: Any, tree: Plan, cache: Any | None = None) -> torch.Tensor:
    """Next-token logits after every sequence of the tree, float32, shape (sequences, vocabulary), differentiable.

    `model` is a causal LM, bare, wrapped by PEFT or by a distributed engine. An empty transformers `cache` gets the
    keys and values of every node.
    """
    leaves, places = torch.unique(tree.leaves, return_inverse=True)
    with switched_attention(model, NAME):
        out = model(
            input_ids=tree.input_ids,
            position_ids=tree.position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=leaves,
            packed_tree=tree,
        )
    return out.logits[0].index_select(0, places).float()  # type: ignore[no-any-return]


def padded_logits(model: Any, sequences: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """The same from one left-padded batch, shape (sequences, vocabulary): works for every causal LM, shares nothing."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.as_tensor(sequence)
        mask[row, width - len(sequence) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    out = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=positions.to(device),
        use_cache=False,
        logits_to_keep=1,
    )
    return out.logits[:, -1].float()  # type: ignore[no-any-return]


def why_not_packed(model: Any, longest: int) -> str:
    """Why this model cannot be asked in packed trees with prompts of up to `longest` tokens; empty if it can."""
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = model.config.get_text_config()
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention scores are soft-capped"
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if odd := layers - {"full_attention", "sliding_attention"}:
        return f"it has layers of type {sorted(odd)}"
    window = getattr(config, "sliding_window", None)
    used = "sliding_attention" in layers or not getattr(config, "layer_types", None)
    if window and used and getattr(config, "use_sliding_window", True) and longest > window:
        return f"its sliding window of {window} tokens is shorter than a prompt of {longest}"
    if getattr(type(model), "_is_stateful", False):
        return "it has recurrent layers"
    if not getattr(type(model), "_supports_attention_backend", False):
        return f"{type(model).__name__} does not use the attention interface"
    if not getattr(type(model), "_supports_sdpa", False):
        return f"the attention of {type(model).__name__} is more than scaled dot products"
    return ""


@contextmanager
def switched_attention(model: Any, name: str) -> Iterator[None]:
    """Switch the attention implementation for the duration of a forward pass (backward needs no switch)."""
    inner = model
    while hasattr(inner, "module"):
        inner = inner.module
    configs: dict[int, Any] = {id(m.config): m.config for m in inner.modules() if isinstance(m, PreTrainedModel)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = name
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]


def _packed_tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    packed_tree: Plan,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Query (1, heads, nodes, d), key and value (1, kv heads, nodes, d) → (1, nodes, heads, d)."""
    if attention_mask is not None:
        raise ValueError(f"{type(module).__name__} makes a mask of its own, which packed trees cannot follow")
    _, heads, nodes, width = query.shape
    kv_heads = key.shape[1]
    count, length = packed_tree.keys.shape
    size, group = packed_tree.size, heads // kv_heads
    padded = torch.nn.functional.pad(query[0], (0, 0, 0, count * size - nodes))
    rows = padded.view(kv_heads, group, count, size, width).permute(2, 0, 1, 3, 4).reshape(count, kv_heads, -1, width)
    flat = packed_tree.keys.reshape(-1)
    keys = key[0].index_select(1, flat).view(kv_heads, count, length, -1).transpose(0, 1)
    values = value[0].index_select(1, flat).view(kv_heads, count, length, -1).transpose(0, 1)
    mask = packed_tree.mask(group, query.dtype)
    mixed = scaled_dot_product_attention(rows, keys, values, attn_mask=mask, dropout_p=dropout, scale=scaling)
    mixed = mixed.view(count, kv_heads, group, size, -1).permute(0, 3, 1, 2, 4).reshape(1, count * size, heads, -1)
    return mixed[:, :nodes].contiguous(), None


AttentionInterface.register(NAME, _packed_tree_attention)
