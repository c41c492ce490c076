"""The cost model of a training: what tokens cost in floating point operations. Used for budgets and for what was spent.

After Kaplan et al. 2020 (arXiv:2001.08361): per computed token 2 N forward, 2 backward for every parameter that
gradients pass, from the output back to the first that trains, and 2 for every parameter whose gradient is taken; all
without the embeddings and the output matrix, which is computed for the last tokens alone. A token of a reference's
forward pass costs 2 N. Attention is not counted, nor is a forward pass that gradient checkpointing repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from train.adapters import Adapter
from train.engines import elements


@dataclass(frozen=True)
class Size:
    """Numbers of parameters: `layers` without embeddings and output matrix (an adapter's included), `passed` of these
    by gradients, `fitted` of these that train; `trained` of all that train.
    """

    layers: int
    passed: int = 0
    fitted: int = 0
    trained: int = 0

    def flops(self, computed_tokens: float, reference_tokens: float = 0.0) -> float:
        """Of training on so many computed tokens, and of a reference's forward passes over so many."""
        training = 2 * (self.layers + self.passed + self.fitted)
        return computed_tokens * training + reference_tokens * 2 * self.layers


def size_of(model: Any) -> Size:
    """Of a model under its adapter, whichever share of its weights is here; its parameters stand in forward order."""
    ends = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    ends += [output] if (output := model.get_output_embeddings()) is not None else []
    outside = {id(parameter) for module in ends for parameter in module.parameters()}
    layers = passed = fitted = trained = 0
    for parameter in model.parameters():
        number, inside = elements(parameter), id(parameter) not in outside
        trained += number * parameter.requires_grad
        layers += number * inside
        passed += number * (inside and trained > 0)
        fitted += number * (inside and parameter.requires_grad)
    return Size(layers, passed, fitted, trained)


def empty_model(base: Path, adapter: Adapter, trust_remote_code: bool) -> Any:
    """The model in `base` under its adapter as a shape without weights: nothing is read but its configuration."""
    config = AutoConfig.from_pretrained(base, trust_remote_code=trust_remote_code)
    make: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        return adapter(make(config, trust_remote_code=trust_remote_code))
