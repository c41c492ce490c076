"""Kahneman-Tversky optimisation: each option of a preference is good or bad on its own, against a point of reference.

Ethayarajh et al. 2024 (arXiv:2402.01306), equations 7 and 8, the loss of TRL's KTOTrainer (value and gradient, tested)
on the chosen options as desirable and the rejected as undesirable.
Departure: the point of reference z0 = KL(model || reference) is not estimated from answers to other questions but
computed for each question, over its options and, as one more outcome, all other tokens (`kl_next_token`). It is never
negative, has no noise and does not depend on the micro batch; as in the paper no gradient passes through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import kl_next_token
from train.knobs import not_negative, positive
from train.preferences import known_reference, margin_metrics, pairs_of
from train.run import RunContext


@dataclass(frozen=True)
class Kto:
    """`beta` (> 0): how fast gains and losses saturate. The weights (>= 0): how much either kind of option counts."""

    learning_rate: float = 5e-6
    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    reference_passes = 1  # read by `train.matching`

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta)
        not_negative("recipe", desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight)
        if not self.desirable_weight + self.undesirable_weight:
            raise ValueError("recipe.desirable_weight and recipe.undesirable_weight are both 0: nothing is learned")

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the 2 n options."""
        with torch.no_grad():
            z0 = kl_next_token(log_probabilities, known_reference(batch))
        return self.losses(*pairs_of(log_probabilities, batch).ratios, z0).mean()

    def losses(self, chosen: torch.Tensor, rejected: torch.Tensor, z0: torch.Tensor) -> torch.Tensor:
        """Losses of n desirable and n undesirable options, (2 n,), from their log-ratios and each question's z0."""
        desirable = 1 - torch.sigmoid(self.beta * (chosen - z0))
        undesirable = 1 - torch.sigmoid(self.beta * (z0 - rejected))
        return torch.cat([self.desirable_weight * desirable, self.undesirable_weight * undesirable])

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        margin = margin_metrics(self.beta * pairs_of(log_probabilities, batch).difference)
        return margin | {"kl_next_token": kl_next_token(log_probabilities, known_reference(batch)).mean()}
