"""Supervised fine-tuning on answers of single people: cross-entropy on the option that a sampled person chose.

Each example carries one answer drawn from the people's distribution (`data.mixture`). In expectation over answers this
is `match` with `mass_weight` 1, up to the people's entropy, which does not depend on the model (tested): what differs
is the noise of the gradient.
Departure from fine-tuning on text: the reply is the option's label alone, without an end-of-turn token, and its token
forms ("A", " A") are summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.knobs import positive
from train.run import RunContext


@dataclass(frozen=True)
class Sft:
    """loss = -log p(answered option), p over the whole vocabulary."""

    learning_rate: float = 5e-5

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(log_probabilities, batch).mean()

    def losses(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The loss of every question in nats, (n,)."""
        return -log_probabilities.gather(-1, batch.answered[:, None])[:, 0]
