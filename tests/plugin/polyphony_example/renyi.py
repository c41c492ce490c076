"""Rényi matching: the model's answers are fitted to the people's by a divergence of any order.

    D_a(q || p) = log(sum of q^a p^(1-a) over the options) / (a - 1)

Rényi 1961; the limit of order 1 is the KL divergence that `match` trains on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import log_mass, normalised
from train.knobs import not_negative, positive
from train.run import RunContext


@dataclass(frozen=True)
class RenyiMatch:
    """loss = divergence of people's answers from the model's - `mass_weight` * log(probability of all labels)."""

    learning_rate: float = 5e-5
    order: float = 0.5
    mass_weight: float = 0.1

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, order=self.order)
        not_negative("recipe", mass_weight=self.mass_weight)
        if self.order == 1:
            raise ValueError("recipe.order must not be 1: that is recipe=match")

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions. `log_probabilities` (n, k), -inf where a row has no such option."""
        divergences = renyi(log_probabilities, batch.people, self.order)
        return (divergences - self.mass_weight * log_mass(log_probabilities)).mean()


def renyi(log_probabilities: torch.Tensor, people: torch.Tensor, order: float) -> torch.Tensor:
    """Divergence in nats of people's shares (n, k) from the model's among the options, (n,)."""
    terms = order * people.log() + (1 - order) * normalised(log_probabilities)
    return terms.logsumexp(-1) / (order - 1)
