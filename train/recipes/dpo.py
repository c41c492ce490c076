"""Direct preference optimisation on preferences of the same people.

Rafailov et al. 2023 (arXiv:2305.18290), equation 7. On a closed question one forward pass over the prompt gives the
log-probabilities of chosen and rejected at once, and the reference's are computed once before training: exact, and as
cheap as `match`. Loss and gradients equal those of TRL's DPOTrainer on the same pairs (tested).
Departures: on closed questions the reply is the option's label alone, without an end-of-turn token, and its token forms
are summed. Open-ended pairs go through TRL as they are (`pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import ClosedBatch, train_closed
from train.pairs import train_pairs
from train.run import RunContext


@dataclass(frozen=True)
class Dpo:
    """`beta` (> 0) ties the model to its reference: the smaller, the further it may go towards the preferred options.

    With preferences P(a > b) = q(a) / (q(a) + q(b)) the optimum is pi(a) ~ reference(a) * q(a) ** (1 / beta).
    `pairs`: a JSON Lines file of {"prompt", "chosen", "rejected", "country"?} to train on instead of closed questions.
    """

    learning_rate: float = 5e-6
    beta: float = 0.1
    pairs: str | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"recipe.learning_rate must be positive, got {self.learning_rate}")
        if not self.beta > 0:
            raise ValueError(f"recipe.beta must be positive, got {self.beta}")

    def __call__(self, run: RunContext) -> Trainer:
        if self.pairs:
            return train_pairs(run, self.pairs, self.beta, self.learning_rate)
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of -log sigmoid(beta * margin) over the questions."""
        return -torch.nn.functional.logsigmoid(self.margin(log_probabilities, batch)).mean()

    def margin(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Return beta * (log-ratio to the reference of chosen minus that of rejected), (n,): TRL's reward margin."""
        if batch.reference is None:
            raise ValueError("dpo needs the reference's log-probabilities in the batch")
        ratio = log_probabilities - batch.reference
        pair = [ratio.gather(-1, option[:, None])[:, 0] for option in (batch.chosen, batch.rejected)]
        return self.beta * (pair[0] - pair[1])

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        margin = self.margin(log_probabilities, batch)
        return {"reward_margin": margin.mean(), "reward_accuracy": (margin > 0).float().mean()}
