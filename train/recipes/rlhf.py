"""Reward maximisation under a KL leash, computed exactly: the objective of RLHF with nothing sampled.

The objective of Ziegler et al. 2019 (arXiv:1909.08593) and Ouyang et al. 2022 (arXiv:2203.02155), expected reward -
beta * KL(policy || reference). On a closed question both expectations are sums over its options, so that the gradient
is the one which PPO, RLOO and GRPO estimate by sampling, without their noise. The optimum is known:
pi(a) ~ reference(a) * exp(reward(a) / beta), and the distance to it is logged.
Departures: the policy is the distribution among the options, and their total mass has a term of its own
(`mass_weight`), as in `match`; without it nothing would tell an answer from no answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.divergences import kl_reference, log_mass, normalised, shares
from train.knobs import not_negative, one_of, positive
from train.preferences import known_reference
from train.rewards import optimum, rewards_of_people
from train.run import RunContext

ESTIMATORS = ("exact",)
REWARDS = ("people",)


@dataclass(frozen=True)
class Rlhf:
    """loss = -(expected reward - `beta` * KL(policy || reference)) - `mass_weight` * log(probability of all labels).

    `estimator` exact: summed over the options. `reward` people: log of the share of people who chose the option, at
    least log(`least_share`); the optimum is then pi(a) ~ reference(a) * q(a) ** (1 / beta), that of `dpo`.
    """

    learning_rate: float = 5e-6
    beta: float = 0.1
    estimator: str = "exact"
    reward: str = "people"
    least_share: float = 0.001
    mass_weight: float = 0.1

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta, least_share=self.least_share)
        if not self.least_share < 0.5:
            raise ValueError(f"recipe.least_share must lie below 0.5, got {self.least_share}")
        not_negative("recipe", mass_weight=self.mass_weight)
        one_of("recipe", ESTIMATORS, estimator=self.estimator)
        one_of("recipe", REWARDS, reward=self.reward)

    def __call__(self, run: RunContext) -> Trainer:
        return train_closed(run, self.loss, self.learning_rate, metrics=self.metrics, reference=True)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats."""
        return (-self.objective(log_probabilities, batch) - self.mass_weight * log_mass(log_probabilities)).mean()

    def objective(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Expected reward - beta * KL(policy || reference) of every question, (n,)."""
        expected = (shares(log_probabilities) * self.rewards(batch)).sum(-1)
        return expected - self.beta * kl_reference(log_probabilities, known_reference(batch))

    def rewards(self, batch: ClosedBatch) -> torch.Tensor:
        """The reward of every option, (n, k), 0 where there is none."""
        return rewards_of_people(batch, self.least_share)

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """The expected reward, and KL(policy || the objective's optimum) in nats: 0 where training can gain no more."""
        policy, rewards = shares(log_probabilities), self.rewards(batch)
        best = optimum(known_reference(batch), rewards, self.beta)
        return {
            "reward": (policy * rewards).sum(-1).mean(),
            "kl_optimum": (policy * (normalised(log_probabilities) - best)).sum(-1).mean(),
        }
