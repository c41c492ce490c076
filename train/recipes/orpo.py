"""Odds ratio preference optimisation: fine-tuning on the preferred option with a penalty on the other, no reference.

Hong, Lee and Thorne 2024 (arXiv:2403.07691), equations 4, 6 and 7; the odds-ratio term is that of TRL's ORPOTrainer
(value and gradient, tested).
Departure from TRL, not from the paper: the cross-entropy is that of the answer, TRL's is also that of the prompt.
The surprise: the chosen options of evenly drawn pairs are not distributed as people are. Of q = (0.6, 0.3, 0.1) they
hold (0.51, 0.36, 0.13), which is where the cross-entropy alone would lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import log_rest
from train.knobs import positive
from train.preferences import margin_metrics, pair_of
from train.run import RunContext


@dataclass(frozen=True)
class Orpo:
    """loss = -log p(chosen) - `beta` * log sigmoid(log odds(chosen) - log odds(rejected)); odds = p / (1 - p)."""

    learning_rate: float = 5e-6
    beta: float = 0.1

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(*pair_of(log_probabilities, batch)).mean()

    def losses(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        """Losses (n,) from the log-probabilities of the chosen and the rejected options (n,)."""
        return -chosen - self.beta * logsigmoid(self.log_odds_ratio(chosen, rejected))

    def log_odds_ratio(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        """Log of odds(chosen) / odds(rejected), (n,)."""
        return (chosen - log_rest(chosen)) - (rejected - log_rest(rejected))

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """Of beta * (log p(chosen) - log p(rejected)): TRL's reward margin."""
        chosen, rejected = pair_of(log_probabilities, batch)
        return margin_metrics(self.beta * (chosen - rejected))
