"""How much memory a training will hold in one process, from the model's config.json: nothing is loaded or downloaded.

The model is built without storage (PyTorch's fake tensors), under its adapter, and asked the run's own heaviest micro
batch as training asks it: so parameters are counted exactly, and activations are the bytes that autograd keeps for the
backward pass. The rest is arithmetic, for N parameters of which T train and P processes (our design; the shares are
those of Rajbhandari et al. 2020, arXiv:1910.02054, section 3, for float32 with Adam):

| | weights | gradients | optimiser | working memory |
|---|---|---|---|---|
| single | as stored | 4T | 8T | the largest weight's gradient, before it is added |
| ddp | as stored | 4T | 8T | the same, gradients that are sent |
| zero2 | as stored + 4T/P (the optimiser's own copy) | 4T/P | 8T/P | the same, two buckets |
| zero3 | as stored / P + 4T/P | 4T/P | 8T/P | the same, weights that are gathered at once |
| fsdp2 | as stored / P | 4T/P | 8T/P | the same, two layers and the embeddings |

On top stand one layer's activations again, for the gradients that pass through it, and what the libraries take. Without
sharing and with one micro batch a step, gradients come as activations go: the larger of the two counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from train.activations import activations_of, bare_model
from train.adapters import Adapter
from train.engines import BUCKET, Engine
from train.partial import decoder_layers

FLOAT32 = 4
ADAM = 8  # bytes a trained parameter: two float32 moments
LIBRARIES = 600 * 2**20  # a process that has imported torch, transformers and trl; a CUDA context takes about as much


@dataclass(frozen=True)
class Estimate:
    """Bytes in one process. `tokens`: how many are computed at once; `parameters` in all and `trained`: numbers.
    `together`: gradients are there while activations are; else the ones come as the others go.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    tokens: int
    parameters: int
    trained: int
    together: bool = True

    @property
    def total(self) -> int:
        passing = (self.gradients, self.activations)
        return self.weights + self.optimizer + self.working + LIBRARIES + (sum if self.together else max)(passing)

    @property
    def total_on_cpu(self) -> int:
        """Where training is done and what was saved is opened beside it (weights and their file), if that is more."""
        return max(self.total, 3 * self.weights + self.optimizer + LIBRARIES)

    def __str__(self) -> str:
        gib = {name: f"{value / 2**30:.1f}" for name, value in vars(self).items()}
        beside = "and" if self.together else "or"
        return (
            f"about {self.total / 2**30:.1f} GiB a process (weights {gib['weights']}, optimizer {gib['optimizer']}, "
            f"gradients {gib['gradients']} {beside} activations {gib['activations']}, working {gib['working']}, "
            f"libraries {LIBRARIES / 2**30:.1f}; {self.trained / 1e6:,.1f} of {self.parameters / 1e6:,.1f} million "
            f"parameters train, {self.tokens:,} tokens at once)"
        )


def estimate(
    config: Any,
    adapter: Adapter,
    engine: Engine,
    dtype: torch.dtype,
    sequences: Sequence[Sequence[int]],
    accumulated: int = 1,
) -> Estimate:
    """Memory of training a model of `config` (transformers') that computes in `dtype`, a micro batch being `sequences`,
    of which `accumulated` make a step.

    Raises ValueError where the adapter does not fit the model, and NotImplementedError where a model of this kind
    cannot be built or asked without its weights.
    """
    stored = torch.float32 if adapter.trains_base else dtype
    try:
        with torch.device("meta"):
            bare: Any = AutoModelForCausalLM.from_config(config, dtype=stored)  # type: ignore[no-untyped-call]
        layers = len(decoder_layers(bare)[1])
    except Exception as error:
        raise NotImplementedError(f"{type(config).__name__}: {error}") from error
    with torch.device("meta"):
        model = adapter(bare)
    parameters = list(model.parameters())
    count = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    size = _stored_bytes(model, adapter)
    largest = max(p.numel() * p.element_size() for p in parameters)
    activations, tokens = activations_of(model, engine, sequences, dtype)
    share = 1 if engine.kind in ("single", "ddp") else engine.processes
    gradients, optimizer = FLOAT32 * trained // share, ADAM * trained // share
    working = FLOAT32 * max((p.numel() for p in parameters if p.requires_grad), default=0)
    if engine.kind == "ddp":
        working += FLOAT32 * trained
    elif engine.kind == "zero2":
        optimizer += FLOAT32 * trained // share
        working += 2 * FLOAT32 * min(BUCKET, trained)
    elif engine.kind == "zero3":
        optimizer += FLOAT32 * trained // share
        working += min(size, 2 * BUCKET * stored.itemsize + largest) + 2 * FLOAT32 * min(BUCKET, trained)
        size //= share
    elif engine.kind == "fsdp2":
        working += min(size, 2 * (size - largest) // layers + 2 * largest)
        size //= share
    return Estimate(
        weights=0 if engine.offload_parameters else size,
        gradients=gradients,
        optimizer=0
        if engine.offload_optimizer or (engine.kind == "fsdp2" and engine.offload_parameters)
        else optimizer,
        activations=activations,
        working=working,
        tokens=tokens,
        parameters=count,
        trained=trained,
        together=accumulated > 1 or engine.kind not in ("single", "ddp"),
    )


def _stored_bytes(model: Any, adapter: Adapter) -> int:
    """Bytes of the weights as they are stored, a base in 4 bits with the scales of its blocks (64 numbers each)."""
    quantization = getattr(adapter, "quantization", None)
    packed: set[int] = set()
    if quantization:
        linear = (m for m in decoder_layers(bare_model(model))[1].modules() if isinstance(m, torch.nn.Linear))
        packed = {id(m.weight) for m in linear if not m.weight.requires_grad}
        scales = (8 + 32 / 256) / 64 if quantization["bnb_4bit_use_double_quant"] else 32 / 64
    total = 0.0
    for parameter in model.parameters():
        whole = parameter.numel() * parameter.element_size()
        total += parameter.numel() * (4 + scales) / 8 if id(parameter) in packed else whole
    return int(total)
