"""Distribution matching: the model's answers are fitted to the people's whole answer distribution.

After Suh et al. 2025 (SubPOP, arXiv:2502.16761) and Cao et al. 2025 (arXiv:2502.07068): forward KL divergence from the
people's distribution over an item's options to the model's next-token distribution over the option labels.
Departures: the label's token forms ("A", " A") are summed; options are shown in several orders and mapped back; the
options are normalised among themselves and their total mass has a term of its own (`mass_weight`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import ClosedBatch, kl_people_model, train_closed
from train.run import RunContext


@dataclass(frozen=True)
class Match:
    """loss = KL(people || model among the options) - `mass_weight` * log(probability of all option labels together).

    With `mass_weight` 1 this is the expected cross-entropy of supervised fine-tuning on answers sampled from the
    people, up to a constant; with 0 nothing keeps the model answering with a letter. The small default does, and
    leaves the distribution itself the larger part of the gradient.
    """

    learning_rate: float = 5e-5
    mass_weight: float = 0.1

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"recipe.learning_rate must be positive, got {self.learning_rate}")
        if not self.mass_weight >= 0:
            raise ValueError(f"recipe.mass_weight must be at least 0, got {self.mass_weight}")

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats. `log_probabilities` (n, k), -inf where a row has no such option."""
        mass = log_probabilities.logsumexp(-1)
        return (kl_people_model(log_probabilities, batch.people) - self.mass_weight * mass).mean()
