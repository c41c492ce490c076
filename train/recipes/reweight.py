"""Group-balanced reweighting: examples of groups that the mixture holds little of count for more.

An example weighs (1 / its group's share of the examples) ** `strength`, over the mean of that: inverse frequency at 1,
the limit beta -> 1 of the class-balanced loss of Cui et al. 2019 (arXiv:1901.05555), with groups of people for classes.
Reweighing training data for fairness goes back to Kamiran and Calders 2012 (Knowledge and Information Systems 33).
Departures, our design: the power between no weighting and the full one, and the largest weight, as a group of one
example in a thousand would otherwise set the whole step. In expectation the full weighting is the plain objective on a
mixture in which groups are equally common; what differs is that few examples are used more instead of more being drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import Trainer

from data.personas import FIELDS
from data.records import TrainingExample
from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.knobs import not_negative, one_of, positive
from train.recipes.match import Match
from train.recipes.sft import Sft
from train.run import RunContext

OBJECTIVES = ("match", "sft")
WEIGHT = "weight"


@dataclass(frozen=True)
class Reweight:
    """loss = weight * the loss of `objective`: match with distance kl and `mass_weight`, or sft, which needs none.

    `by`: the fields whose values, as far as an example's persona states them, make its group; a persona without an age
    belongs with all others without one. `strength` in [0, 1]: 0 is the plain objective, 1 counts groups alike.
    `max_weight` (>= 1): what a larger weight is cut to; the mean is 1 before the cut.
    """

    learning_rate: float = 5e-5
    objective: str = "match"
    by: tuple[str, ...] = ("country",)
    strength: float = 1.0
    max_weight: float = 10.0
    mass_weight: float = 0.1

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate)
        not_negative("recipe", mass_weight=self.mass_weight)
        one_of("recipe", OBJECTIVES, objective=self.objective)
        if not self.by or len(set(self.by)) < len(self.by) or set(self.by) - set(FIELDS):
            raise ValueError(f"recipe.by must name some of {list(FIELDS)}, each once, got {list(self.by)}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"recipe.strength must lie in [0, 1], got {self.strength}")
        if not self.max_weight >= 1:
            raise ValueError(f"recipe.max_weight must be at least 1, the mean weight, got {self.max_weight}")

    def __call__(self, run: RunContext) -> Trainer:
        weights = group_weights([self.group(e) for e in run.examples], self.strength, self.max_weight)
        return train_closed(
            run,
            self.loss,
            self.learning_rate,
            columns={WEIGHT: [torch.tensor(weight, dtype=torch.float32) for weight in weights]},
            once={"largest_weight": float(weights.max()), "effective_examples": effective_number(weights)},
        )

    def group(self, example: TrainingExample) -> tuple[str, ...]:
        """What the example's persona states of the fields, "" where it states nothing."""
        stated = example.condition.split("+")
        return tuple(str(getattr(example.group, name)) if name in stated else "" for name in self.by)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean of the weighted losses over the questions, in nats."""
        base = Match(mass_weight=self.mass_weight) if self.objective == "match" else Sft()
        return (batch.columns[WEIGHT] * base.losses(log_probabilities, batch)).mean()


def group_weights(groups: Sequence[Hashable], strength: float, max_weight: float) -> npt.NDArray[np.float64]:
    """A weight for every member, (n,): (1 / share of its group) ** strength over the mean, at most `max_weight`."""
    counts = Counter(groups)
    raw = np.array([(len(groups) / counts[group]) ** strength for group in groups])
    weights: npt.NDArray[np.float64] = np.minimum(raw / raw.mean(), max_weight)
    return weights


def effective_number(weights: npt.NDArray[np.float64]) -> float:
    """Kish's (sum w)^2 / sum w^2: how many equally weighted examples are as noisy as these."""
    return float(weights.sum() ** 2 / (weights**2).sum())
