"""Next-token logits for a batch of growing texts, prompts computed once.

`open_decoder` chooses between two ways with one interface. *Packed*: the prompts are computed as one prefix tree (every
distinct token once) and the keys and values of the beginning that all rows share are kept once for the whole batch,
each row's own behind it. *Padded*, for models whose attention does not fit a tree: each distinct prompt once in a
left-padded batch (of prompts of one length where a layer is recurrent), with the model's own cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, LinearAttentionCacheLayerMixin

from data.packed_attention import packed_logits, plan, switched_attention
from data.packing import pack

NAME = "shared_prefix"


class Decoder(Protocol):
    """A batch under way. `logits` (rows, vocabulary) float32 come after what the rows have so far; `computed` counts
    the distinct prompt tokens that were computed.
    """

    logits: torch.Tensor
    computed: int

    def step(self, tokens: torch.Tensor, rows: torch.Tensor) -> None:
        """Keep `rows` (indices, int64) of the batch and append to each its token of `tokens`, both (kept,)."""
        ...


class PackedDecoder:
    """`prompts` one a row, repeats welcome; `room` is the most tokens that a row may still get."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], room: int, device: torch.device) -> None:
        (tree,) = pack(prompts, sum(map(len, prompts)))
        cache = DynamicCache()
        logits = packed_logits(model, plan(tree, device), cache)
        first, last = prompts[int(tree.members[0])], prompts[int(tree.members[-1])]
        shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, prompts)))
        width = max(map(len, prompts)) - shared
        paths = np.zeros((len(prompts), width), dtype=np.int64)
        hidden = np.ones((len(prompts), width), dtype=bool)
        for leaf, member in zip(tree.leaves.tolist(), tree.members.tolist(), strict=True):
            node, place = leaf, width
            while node >= shared:
                place -= 1
                paths[member, place], hidden[member, place] = node, False
                node = int(tree.parents[node])
        own = torch.from_numpy(paths).to(device)
        layers: list[Any] = cache.layers
        self.cache = Cache(layers=[_Layer(layer.keys, layer.values, shared, own, room) for layer in layers])
        self.hidden = torch.from_numpy(hidden).to(device) if hidden.any() else None
        self.computed = len(tree.tokens)
        self.logits = logits[torch.from_numpy(np.argsort(tree.members)).to(device)]
        self._model = model
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)

    def step(self, tokens: torch.Tensor, rows: torch.Tensor) -> None:
        if len(rows) < len(self._lengths):
            _select(self.cache, rows)
            self._lengths = self._lengths[rows]
            self.hidden = None if self.hidden is None else self.hidden[rows]
        with switched_attention(self._model, NAME):
            out = self._model(
                input_ids=tokens[:, None],
                position_ids=self._lengths[:, None],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
                decoder=self,
            )
        self._lengths = self._lengths + 1
        self.logits = out.logits[:, -1].float()


class PaddedDecoder:
    """The same with the model's own attention and cache."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], device: torch.device) -> None:
        distinct = {tuple(prompt): place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        width = max(map(len, distinct))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in distinct], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in distinct], device=device)
        rows = torch.tensor([distinct[tuple(prompt)] for prompt in prompts], device=device)
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = getattr(out, "past_key_values", None)
        if not isinstance(cache, Cache):
            raise ValueError(f"{type(model).__name__} keeps no cache of the transformers kind: it cannot generate here")
        self.cache = cache
        _select(self.cache, rows)
        self.computed = sum(map(len, distinct))
        self.logits = out.logits[rows, -1].float()
        self._model = model
        self._mask = mask[rows]

    def step(self, tokens: torch.Tensor, rows: torch.Tensor) -> None:
        if len(rows) < len(self._mask):
            _select(self.cache, rows)
            self._mask = self._mask[rows]
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        out = self._model(
            input_ids=tokens[:, None],
            attention_mask=self._mask,
            position_ids=self._mask.sum(-1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits = out.logits[:, -1].float()


def is_recurrent(model: Any) -> bool:
    """Whether a layer carries a state that padding would change, so that a batch must have prompts of one length."""
    layers = DynamicCache(config=model.config).layers
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values: (kv heads, shared, d) for all rows, then (rows, kv heads, length, d) in a buffer
    with room, so that a step copies nothing.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, shared: int, own: torch.Tensor, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shared_keys, self.shared_values = keys[0, :, :shared].clone(), values[0, :, :shared].clone()
        self.keys, self.values = _buffer(keys, own, room), _buffer(values, own, room)
        self.length = own.shape[1]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys[:, :, self.length] = key_states[:, :, 0]
        self.values[:, :, self.length] = value_states[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        return self.shared_keys.shape[1] + self.length

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self.keys, self.values = self.keys.index_select(0, beam_idx), self.values.index_select(0, beam_idx)


def _select(cache: Cache, rows: torch.Tensor) -> None:
    cache.reorder_cache(rows)  # type: ignore[arg-type]


def _buffer(nodes: torch.Tensor, own: torch.Tensor, room: int) -> torch.Tensor:
    rows, width = own.shape
    buffer = nodes.new_empty(rows, nodes.shape[1], width + room, nodes.shape[3])
    buffer[:, :, :width] = nodes[0][:, own].transpose(0, 1)
    return buffer


def _shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    decoder: PackedDecoder,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Query (rows, heads, 1, d), own keys and values (rows, kv heads, length, d) → (rows, 1, heads, d)."""
    layer: Any = decoder.cache.layers[module.layer_idx]
    (rows, heads, _, width), kv_heads = query.shape, key.shape[1]
    group, shared = heads // kv_heads, layer.shared_keys.shape[1]
    grouped = query.view(rows, kv_heads, group, width) * (width**-0.5 if scaling is None else scaling)
    flat = grouped.transpose(0, 1).reshape(kv_heads, rows * group, width)
    common = (flat @ layer.shared_keys.transpose(1, 2)).view(kv_heads, rows, group, shared).transpose(0, 1)
    own = grouped @ key.transpose(2, 3)
    if decoder.hidden is not None:
        own[..., : decoder.hidden.shape[1]].masked_fill_(decoder.hidden[:, None, None], -torch.inf)
    weights = torch.cat([common, own], -1).softmax(-1, dtype=torch.float32).to(value.dtype)
    flat = weights[..., :shared].transpose(0, 1).reshape(kv_heads, rows * group, shared)
    mixed = (flat @ layer.shared_values).view(kv_heads, rows, group, -1).transpose(0, 1)
    mixed = mixed + weights[..., shared:] @ value
    return mixed.reshape(rows, 1, heads, -1), None


AttentionInterface.register(NAME, _shared_prefix_attention)
