"""Distribution matching: the model's answers are fitted to the people's whole answer distribution.

After Suh et al. 2025 (SubPOP, arXiv:2502.16761) and Cao et al. 2025 (arXiv:2502.07068): forward KL divergence from the
people's distribution over an item's options to the model's next-token distribution over the option labels.
Departures: the label's token forms ("A", " A") are summed; options are shown in several orders and mapped back; the
options are normalised among themselves and their total mass has a term of its own (`mass_weight`).

`normalised_as_published` is the loss of the code of Cao et al.: it calls `torch.nn.functional.kl_div` with reduction
"batchmean" on one question at a time, which divides the divergence by the number of its options, so that a question
with ten options counts a fifth of one with two. With `mass_weight` 0 it is theirs, except for token forms and orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import emd, kl_people_model, log_mass
from train.knobs import not_negative, one_of, positive
from train.run import RunContext

DISTANCES = ("kl", "emd", "normalised_as_published")


@dataclass(frozen=True)
class Match:
    """loss = distance of the model among the options from people - `mass_weight` * log(probability of all labels).

    `distance`: kl, forward in nats; emd, the earth mover's in [0, 1] on the item's scale, where nominal items, which
    have none, keep kl and their share is logged as `nominal_share`; normalised_as_published, kl over the number of
    options. With kl and `mass_weight` 1 this is the expected cross-entropy of `sft` on answers sampled from the people,
    up to a constant; with 0 nothing keeps the model answering with a letter. The small default does, and leaves the
    distribution itself the larger part of the gradient.
    """

    learning_rate: float = 5e-5
    mass_weight: float = 0.1
    distance: str = "kl"

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate)
        not_negative("recipe", mass_weight=self.mass_weight)
        one_of("recipe", DISTANCES, distance=self.distance)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of `losses`."""
        return self.losses(log_probabilities, batch).mean()

    def losses(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The loss of every question, (n,). `log_probabilities` (n, k), -inf where a row has no such option."""
        return self.distances(log_probabilities, batch) - self.mass_weight * log_mass(log_probabilities)

    def distances(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The chosen distance of every question, (n,)."""
        kl = kl_people_model(log_probabilities, batch.people)
        if self.distance == "kl":
            return kl
        if self.distance == "normalised_as_published":
            return kl / batch.options.sum(-1)
        return torch.where(_nominal(batch), kl, emd(log_probabilities, batch.people, batch.gaps.nan_to_num()))

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        return {"nominal_share": _nominal(batch).float().mean()} if self.distance == "emd" else {}


def _nominal(batch: ClosedBatch) -> torch.Tensor:
    return batch.gaps.isnan().any(-1)
