"""Soft preference learning: the entropy of the answers and the closeness to the reference are paid for separately.

Slocum, Parker-Sartori and Hadfield-Menell 2025 (ICLR, arXiv:2511.08594). The KL penalty of preference learning is the
cross-entropy from the reference minus the policy's entropy, beta * KL = beta * CE(pi, reference) - beta * H(pi). Given
weights of their own, a on the entropy and b on the cross-entropy, the optimum is
pi(x) ~ reference(x) ** (b / a) * q(x) ** (1 / a): a = 1, b = 0 gives people in proportion, a = b is `dpo` (equal to the
last bit, tested). The loss is DPO's with the margin a * (model's log-odds) - b * (reference's log-odds).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.knobs import not_negative, positive
from train.preferences import margin_metrics, pairs_of
from train.run import RunContext


@dataclass(frozen=True)
class Spl:
    """`entropy_weight` (> 0): the smaller, the sharper the answers. `cross_entropy_weight` (>= 0): pull of the base."""

    learning_rate: float = 5e-6
    entropy_weight: float = 1.0
    cross_entropy_weight: float = 0.1
    reference_passes = 1  # read by `train.matching`

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, entropy_weight=self.entropy_weight)
        not_negative("recipe", cross_entropy_weight=self.cross_entropy_weight)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(log_probabilities, batch).mean()

    def losses(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """-log sigmoid(margin) of every preference, (n,)."""
        return -logsigmoid(self.margin(log_probabilities, batch))

    def margin(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The implicit reward of the chosen minus that of the rejected, (n,); not 0 at the start if weights differ."""
        pairs = pairs_of(log_probabilities, batch)
        beyond = self.entropy_weight - self.cross_entropy_weight
        return self.entropy_weight * pairs.difference + beyond * (pairs.reference_chosen - pairs.reference_rejected)

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        return margin_metrics(self.margin(log_probabilities, batch))
