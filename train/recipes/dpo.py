"""Direct preference optimisation on preferences of the same people.

Rafailov et al. 2023 (arXiv:2305.18290), equation 7, and its kin (`train.preferences`). On a closed question one forward
pass over the prompt gives the log-probabilities of chosen and rejected at once, and the reference's are computed once
before training: exact, and as cheap as `match`. Losses and gradients equal those of TRL's DPOTrainer on the same pairs
(tested).
Departures: on closed questions the reply is the option's label alone, without an end-of-turn token, and its token forms
are summed. Open-ended pairs go through TRL as they are (`pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.knobs import one_of, positive
from train.pairs import POOLINGS, train_pairs
from train.preferences import LOSSES, OVER_THE_BATCH, SMOOTHED, margin_metrics, pairs_of
from train.run import RunContext, processes


@dataclass(frozen=True)
class Dpo:
    """`beta` (> 0) ties the model to its reference: the smaller, the further it may go towards the preferred options.

    With preferences P(a > b) = q(a) / (q(a) + q(b)) the optimum of loss type `sigmoid` is
    pi(a) ~ reference(a) * q(a) ** (1 / beta). `label_smoothing` in [0, 0.5): the share of preferences taken to be
    flipped, of the loss types robust, exo_pair (which needs one above 0), aot and aot_unpaired.
    `pairs`: a preference set (`data.preferences`) to train on instead of closed questions; `pooling` says whether its
    prompts state the rater's country.
    """

    learning_rate: float = 5e-6
    beta: float = 0.1
    loss_type: str = "sigmoid"
    label_smoothing: float = 0.0
    discopop_tau: float = 0.05
    pairs: str | None = None
    pooling: str = "country"
    reference_passes = 1  # read by `train.matching`

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta, discopop_tau=self.discopop_tau)
        one_of("recipe", LOSSES, loss_type=self.loss_type)
        one_of("recipe", POOLINGS, pooling=self.pooling)
        if self.pooling != "country" and not self.pairs:
            raise ValueError("recipe.pooling belongs to recipe.pairs; for survey items set mixture.pooling")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"recipe.label_smoothing must lie in [0, 0.5), got {self.label_smoothing}")
        if self.label_smoothing and self.loss_type not in SMOOTHED:
            raise ValueError(
                f"recipe.label_smoothing {self.label_smoothing} would be ignored by loss_type {self.loss_type}; "
                f"it belongs to {', '.join(SMOOTHED)}"
            )
        if self.loss_type == "exo_pair" and not self.label_smoothing:
            raise ValueError("recipe.loss_type exo_pair needs recipe.label_smoothing above 0, such as 0.001")

    def __call__(self, run: RunContext) -> Trainer:
        if self.loss_type in OVER_THE_BATCH and run.budget.split(1)[1] * processes() > 1:
            raise ValueError(
                f"recipe.loss_type {self.loss_type} sorts the questions of a step together: "
                "set budget.micro_batch=null and train in one process"
            )
        if self.pairs:
            return train_pairs(
                run,
                self.pairs,
                self.learning_rate,
                self.pooling,
                beta=self.beta,
                loss_type=[self.loss_type],
                label_smoothing=self.label_smoothing,
                discopop_tau=self.discopop_tau,
            )
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(log_probabilities, batch).mean()

    def losses(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The loss of every preference, (n,); of loss type `sigmoid` -log sigmoid(beta * margin)."""
        return LOSSES[self.loss_type](pairs_of(log_probabilities, batch), self)

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """Of beta * (log-ratio to the reference of chosen minus that of rejected): TRL's reward margin."""
        return margin_metrics(self.beta * pairs_of(log_probabilities, batch).difference)
