"""Replay of the base's own answers: part of what is learned is what the model answered before training.

Of experience replay (Rolnick et al. 2019, CLEAR, arXiv:1811.11682, whose cloning term is a KL divergence from the
policy of the past to the present one) it keeps that term; the questions are those of the training, answered by the
untouched model, as in learning without forgetting (Li and Hoiem 2016, arXiv:1606.09282). For language models rehearsal
of earlier tasks was shown by Scialom et al. 2022 (arXiv:2205.12393), with their data instead of the model's answers.
Departure: whole distributions over an item's options, computed once before training, instead of stored samples.

With s = `share` and w = `replay_weight` the optimum on every question is known, whichever way of mixing:
pi = ((1 - s) * people + s * w * base) / (1 - s + s * w), so with w = 1 people and base in the proportion of the share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import kl_people_model, log_mass, shares
from train.knobs import not_negative, one_of, positive
from train.preferences import known_reference
from train.run import RunContext

MIXES = ("examples", "targets")
REPLAYED = "replayed"


@dataclass(frozen=True)
class Replay:
    """loss = (1 - r) * KL(people || model) + r * `replay_weight` * KL(base || model) - `mass_weight` * log(mass).

    `mix` examples: r is 1 for a share `share` of every batch's examples, drawn by the seed, and 0 for the others;
    targets: r is the share itself on every example, the same objective without the noise of the draw. KL is among the
    options; the probability of all labels together has the term of `match` on every example.
    """

    learning_rate: float = 5e-5
    share: float = 0.25
    replay_weight: float = 1.0
    mix: str = "examples"
    mass_weight: float = 0.1
    reference_passes = 1  # read by `train.matching`

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, replay_weight=self.replay_weight)
        not_negative("recipe", mass_weight=self.mass_weight)
        one_of("recipe", MIXES, mix=self.mix)
        if not 0 <= self.share < 1:
            raise ValueError(f"recipe.share must lie in [0, 1), got {self.share}: at 1 nothing is learned of people")

    def __call__(self, run: RunContext) -> Trainer:
        replayed = (
            drawn(self.share, run.budget.steps, run.budget.batch_size, run.generator("replay"))
            if self.mix == "examples"
            else np.full(len(run.examples), self.share)
        )
        columns = {REPLAYED: [torch.tensor(one, dtype=torch.float32) for one in replayed]}
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True, columns=columns)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats."""
        r = batch.columns[REPLAYED]
        learned = kl_people_model(log_probabilities, batch.people)
        kept = self.replay_weight * kl_base(log_probabilities, batch)
        return ((1 - r) * learned + r * kept - self.mass_weight * log_mass(log_probabilities)).mean()

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        return {
            "kl_base": kl_base(log_probabilities, batch).mean(),
            "replayed_share": batch.columns[REPLAYED].mean(),
        }


def kl_base(log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
    """KL(base || model) in nats among the options, (n,): the direction of `match`, with the base for people."""
    return kl_people_model(log_probabilities, shares(known_reference(batch)))


def drawn(share: float, steps: int, batch_size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """1.0 for the examples that are replayed, (steps * batch_size,): of every step the same number, or where `share`
    does not come out even one more in some, so that the sum over steps never strays by a whole example.
    """
    due = np.floor(share * batch_size * np.arange(steps + 1) + 1e-9).astype(np.int64)
    found = np.zeros((steps, batch_size))
    for step, number in enumerate(np.diff(due)):
        found[step, rng.choice(batch_size, size=number, replace=False)] = 1.0
    return found.reshape(-1)
