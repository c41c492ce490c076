"""Simple preference optimisation: the log-probability itself is the reward, with a margin to win by, no reference.

Meng, Xia and Chen 2024 (SimPO, arXiv:2405.14734), equation 6, and with `likelihood_weight` above 0 its union with CPO
(Xu et al. 2024, arXiv:2401.08417): the loss of TRL's CPOTrainer with loss_type simpo (value and gradient, tested). An
answer is one token, so that the paper's average over tokens is the log-probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.knobs import not_negative, positive
from train.preferences import margin_metrics, pair_of
from train.run import RunContext


@dataclass(frozen=True)
class Simpo:
    """loss = -log sigmoid(`beta` * log(p(chosen) / p(rejected)) - `gamma`) - `likelihood_weight` * log p(chosen).

    With preferences P(a > b) = q(a) / (q(a) + q(b)), `gamma` 0 and `likelihood_weight` 0 the optimum is
    pi(a) ~ q(a) ** (1 / beta), whatever the base; with a `gamma` it is sharper. Only `likelihood_weight` keeps
    probability on the letters.
    """

    learning_rate: float = 5e-6
    beta: float = 2.0
    gamma: float = 1.0
    likelihood_weight: float = 0.0

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta)
        not_negative("recipe", gamma=self.gamma, likelihood_weight=self.likelihood_weight)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(*pair_of(log_probabilities, batch)).mean()

    def losses(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        """Losses (n,) from the log-probabilities of the chosen and the rejected options (n,)."""
        return -logsigmoid(self.beta * (chosen - rejected) - self.gamma) - self.likelihood_weight * chosen

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """Of beta * (log p(chosen) - log p(rejected)): TRL's reward margin."""
        chosen, rejected = pair_of(log_probabilities, batch)
        return margin_metrics(self.beta * (chosen - rejected))
