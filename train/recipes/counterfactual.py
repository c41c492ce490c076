"""Counterfactual persona swap: every question is asked twice, of one group and of another, side by side.

Counterfactual data augmentation (Lu et al. 2018, arXiv:1807.11714; Zmigrod et al. 2019, arXiv:1906.04571) adds to an
example its twin in which the person is another and the target is the same. `target` same does that. With `target`
people, our design, the twin's target is the answer of its own people, so that the model learns what in its answer the
persona must change and what it must not. `contrast_weight` fits that change itself: a squared distance between the
model's log-probability difference of the two and the target's, kin to the logit pairing of Garg et al. 2019
(arXiv:1809.10610), which it is up to the distance where the targets are the same.

The budget counts originals and twins: half of its examples are questions of the mixture, so that arms stay matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
import torch
from transformers import Trainer

from data.personas import FIELDS
from data.records import AnswerDistribution, Group, TrainingExample
from train.closed import train_closed
from train.closed_batch import ClosedBatch, ask_plainly
from train.divergences import kl_people_model, log_mass, normalised
from train.knobs import not_negative, one_of, positive
from train.run import RunContext, processes
from train.trained_people import Known, trained_people

TARGETS = ("people", "same")
TARGET = "target"


@dataclass(frozen=True)
class Counterfactual:
    """loss = KL(target || model) - `mass_weight` * log(probability of all labels), over both of every pair, +
    `contrast_weight` * the pairs' contrast.

    `target`: people, each their own; same, the original's for both. `contrast_weight` (>= 0); shares of the target
    below `least_share` count as that in the contrast, so that it is finite.
    """

    learning_rate: float = 5e-5
    target: str = "people"
    contrast_weight: float = 0.0
    least_share: float = 0.001
    mass_weight: float = 0.1

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, least_share=self.least_share)
        not_negative("recipe", contrast_weight=self.contrast_weight, mass_weight=self.mass_weight)
        one_of("recipe", TARGETS, target=self.target)
        if not self.least_share < 0.5:
            raise ValueError(f"recipe.least_share must lie below 0.5, got {self.least_share}")

    def __call__(self, run: RunContext) -> Trainer:
        """Raises ValueError where the micro batch is odd, or no example has a twin, or as `trained_people`."""
        micro, _ = run.budget.split(processes())
        if micro % 2:
            raise ValueError(
                f"recipe counterfactual keeps a question and its twin in one micro batch: an even number of examples, "
                f"got {micro}; set budget.micro_batch or budget.batch_size to an even number a process"
            )
        originals, twins, alone = self.pairs(run)
        targets = twins if self.target == "people" else originals
        return train_closed(
            run,
            self.loss,
            self.learning_rate,
            metrics=self.metrics,
            columns={TARGET: [torch.tensor(example.people) for example in _in_turn(originals, targets)]},
            examples=_in_turn(originals, twins),
            once={"share_without_twin": alone},
        )

    def pairs(self, run: RunContext) -> tuple[list[TrainingExample], list[TrainingExample], float]:
        """As `paired`, of the run's examples, by its seed."""
        return paired(run.examples, trained_people(run), run.generator("counterfactual"))

    def prompts(self, run: RunContext) -> list[str]:
        """What would be asked of these examples, in the order of training, for `train.matching`."""
        originals, twins, _ = self.pairs(run)
        return [ask_plainly(run.renderer, example).text for example in _in_turn(originals, twins)]

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats, and over the pairs."""
        fitted = kl_people_model(log_probabilities, batch.columns[TARGET])
        loss = (fitted - self.mass_weight * log_mass(log_probabilities)).mean()
        return loss + self.contrast_weight * self.contrasts(log_probabilities, batch).mean()

    def contrasts(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Squared distance, in nats^2, of every pair's log-ratio to the target's, (n / 2,); pairs stand in turn.

        A mean over the options, each weighing as much as the target of the pair has on it.
        """
        target = batch.columns[TARGET]
        clamped = target.clamp(min=self.least_share) * batch.options
        wanted = (clamped / clamped.sum(-1, keepdim=True)).masked_fill(~batch.options, 1.0).log()
        away = normalised(log_probabilities) - wanted
        return ((target[::2] + target[1::2]) / 2 * (away[::2] - away[1::2]) ** 2).sum(-1)

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        return {"contrast": self.contrasts(log_probabilities, batch).mean()}


def paired(
    examples: Sequence[TrainingExample], people: Known, rng: np.random.Generator
) -> tuple[list[TrainingExample], list[TrainingExample], float]:
    """Half as many originals as there are examples, a twin of each, and the share of examples that have none.

    Originals are every second example, so that with twins as many questions on one item stand together as without;
    those that have no twin make room for the others, and where these are too few they come again with new twins.
    A twin is the original with the group and people of another group of the same fields, drawn evenly; its preference
    and answer stay the original's. Raises ValueError where no example has a twin.
    """
    others: dict[tuple[str, frozenset[str]], list[AnswerDistribution]] = {}
    for known in sorted(people.values(), key=lambda one: (one.item, one.group)):
        others.setdefault((known.item, _fields(known.group)), []).append(known)
    with_twins = [
        e for e in (*examples[::2], *examples[1::2]) if len(others.get((e.item.id, _fields(e.group)), [])) > 1
    ]
    if not with_twins:
        raise ValueError(
            "no training example has a twin: no item was answered by two groups of the same fields in the countries "
            "that the mixture holds; use a mixture of several countries or of several ages"
        )
    originals = list(islice(cycle(with_twins), len(examples) // 2))
    twins = []
    for original in originals:
        choices = [one for one in others[original.item.id, _fields(original.group)] if one.group != original.group]
        twin = choices[rng.integers(len(choices))]
        twins.append(replace(original, group=twin.group, people=twin.probabilities))
    return originals, twins, 1 - len(with_twins) / len(examples)


def _in_turn(originals: Sequence[TrainingExample], others: Sequence[TrainingExample]) -> list[TrainingExample]:
    return [one for pair in zip(originals, others, strict=True) for one in pair]


def _fields(group: Group) -> frozenset[str]:
    return frozenset(name for name in FIELDS if getattr(group, name))
