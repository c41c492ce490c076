"""The activations of a training, counted on a model without weights: the bytes that autograd keeps of a forward pass.

PyTorch's fake tensors compute shapes and types alone, so that a model of any size takes a second and no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from data.packed_attention import NAME, Plan, plan, switched_attention, why_not_packed
from data.packing import pack
from data.prompts import Renderer
from train.engines import Engine
from train.partial import decoder_layers
from train.recompute import recompute_layers

UNLIMITED = 2**62


@dataclass(frozen=True, eq=False)
class Held:
    """A tensor that autograd keeps; gone with the part of the graph that keeps it."""

    tensor: torch.Tensor


def heaviest(renderer: Renderer, prompts: Sequence[str], micro_batch: int) -> list[list[int]]:
    """The token ids of the micro batch that has the most distinct tokens, of prompts in training order."""
    best: list[list[int]] = []
    most = 0
    for start in range(0, len(prompts), micro_batch):
        sequences = renderer.encode(prompts[start : start + micro_batch])
        tokens = sum(len(tree.tokens) for tree in pack(sequences, UNLIMITED))
        if tokens > most:
            best, most = sequences, tokens
    return best


def activations_of(
    model: Any, engine: Engine, sequences: Sequence[Sequence[int]], dtype: torch.dtype
) -> tuple[int, int]:
    """Bytes of activations, and the tokens that are computed at once. Looks at the last layers and counts them as often
    as there are layers through which gradients pass; in place, the model loses the others.
    """
    parent, layers = decoder_layers(bare_model(model))
    name = next(name for name, child in parent.named_children() if child is layers)
    trained = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
    embedded = any(p.requires_grad for p in model.get_input_embeddings().parameters())
    passed = len(layers) if embedded else len(layers) - trained.index(True) if True in trained else 0
    kept: dict[tuple[int, bool], int] = {}
    for count in (2, 1) if passed > 1 else (1,):
        setattr(parent, name, torch.nn.ModuleList(list(layers)[-count:]))
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            _pretend(model)
            try:
                kept[count, False], tokens = _kept(model, sequences, dtype, mode)
                if engine.gradient_checkpointing:
                    recompute_layers(model)
                    kept[count, True], _ = _kept(model, sequences, dtype, mode)
                    bare_model(model).activation_checkpointing_disable()
            except Exception as error:
                raise NotImplementedError(f"{type(bare_model(model)).__name__}: {error}") from error
    again = engine.gradient_checkpointing
    layer = {way: kept[2, way] - kept[1, way] if passed > 1 else kept[1, way] for way in {False, again}}
    return kept[1, again] + max(passed - 1, 0) * layer[again] + layer[False], tokens


def _pretend(model: Any) -> None:
    """Give a model on the meta device fake weights on the CPU, in place, so that it computes in its own types."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    fake = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                    made[id(parameter)] = torch.nn.Parameter(fake, parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cpu")


def _kept(model: Any, sequences: Sequence[Sequence[int]], dtype: torch.dtype, mode: FakeTensorMode) -> tuple[int, int]:
    """Bytes that autograd keeps of a training step's forward pass, weights not counted; and the tokens computed."""
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    held: WeakSet[Held] = WeakSet()

    def keep(tensor: torch.Tensor) -> Held:
        held.add(one := Held(tensor))
        return one

    model.train()
    low = torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one.tensor):
        logits, tokens = _logits(model, sequences, mode, low)
        loss = logits.float().log_softmax(-1).sum()
    storages = {one.tensor.untyped_storage()._cdata: one.tensor.untyped_storage().nbytes() for one in held}
    del loss, logits
    return sum(size for storage, size in storages.items() if storage not in weights), tokens


def _logits(model: Any, sequences: Sequence[Sequence[int]], mode: FakeTensorMode, low: Any) -> tuple[Any, int]:
    """Next-token logits after every sequence, as `data.packed_attention` computes them, of no values."""
    if why_not_packed(model, max(map(len, sequences))):
        shape = (len(sequences), max(map(len, sequences)))
        ids = torch.zeros(shape, dtype=torch.long)
        with low:
            out = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, logits_to_keep=1)
        return out.logits, shape[0] * shape[1]
    (tree,) = pack(sequences, UNLIMITED)
    real = plan(tree, torch.device("cpu"))
    named = ("input_ids", "position_ids", "keys", "allowed", "leaves")
    fakes: dict[str, Any] = {name: mode.from_tensor(getattr(real, name)) for name in named}
    planned = Plan(**fakes, size=real.size)
    with low, switched_attention(model, NAME):
        out = model(
            input_ids=planned.input_ids,
            position_ids=planned.position_ids,
            use_cache=False,
            logits_to_keep=planned.leaves,
            packed_tree=planned,
        )
    return out.logits, len(tree.tokens)


def bare_model(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
