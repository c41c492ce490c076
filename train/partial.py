"""Training some of the base model's layers: the last ones, which read the answer out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from torch import nn

from train.knobs import positive

log = logging.getLogger("polyphony")


@dataclass(frozen=True)
class Partial:
    """The last `last_layers` decoder layers train, with `head` the final norm and the output matrix; all else stays.

    Embeddings are frozen. In a model whose output matrix is its embedding, `head` trains both, which is said. The head
    of a reward model is new and always trains. The variant is a whole model, as with `Full`.
    """

    last_layers: int = 4
    head: bool = False
    learning_rate_scale: float = 1.0
    folder = "model"
    trains_base = True

    def __post_init__(self) -> None:
        positive("adapter", last_layers=self.last_layers, learning_rate_scale=self.learning_rate_scale)

    def __call__(self, model: Any) -> Any:
        parent, layers = decoder_layers(model)
        if self.last_layers > len(layers):
            raise ValueError(f"adapter.last_layers is {self.last_layers}, and the model has {len(layers)} layers")
        model.requires_grad_(False)
        for layer in layers[-self.last_layers :]:
            layer.requires_grad_(True)
        if hasattr(model, "score"):
            model.score.requires_grad_(True)
        if self.head:
            for child in parent.children():
                if child is not layers and not isinstance(child, nn.Embedding):
                    child.requires_grad_(True)
            _train_output(model)
        return model


def decoder_layers(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The module that holds the decoder layers, and they. Raises ValueError where they cannot be told."""
    expected = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        for child in module.children():
            if isinstance(child, nn.ModuleList) and len(child) == expected:
                return module, child
    raise ValueError(
        f"{type(model).__name__} has no list of {expected} decoder layers, so that adapter=partial has none"
    )


def _train_output(model: Any) -> None:
    output = model.get_output_embeddings()
    if output is None:
        return
    output.requires_grad_(True)
    if output.weight is model.get_input_embeddings().weight:
        log.warning("adapter partial: this model's output matrix is its embedding, so that head=true trains both")
