"""Reward maximisation under a KL leash, the objective of RLHF: computed exactly, or estimated by sampling.

Ziegler et al. 2019 (arXiv:1909.08593) and Ouyang et al. 2022 (arXiv:2203.02155): expected reward - beta * KL(policy ||
reference). On a closed question both expectations are sums over its options, so that `estimator` exact follows the
gradient which PPO, RLOO and GRPO estimate by sampling, without their noise. The optimum is known: pi(a) ~ reference(a)
* exp(reward(a) / beta), and the distance to it is logged. `estimator` sampled is TRL's RLOO or GRPO (`train.sampled`,
which says what each estimates). PPO is not offered: TRL removed it in 1.13.
Departures of the exact one: the policy is the distribution among the options, and their total mass has a term of its
own (`mass_weight`), as in `match`; without it nothing would tell an answer from no answer. The sampled ones have the
policy over all tokens, and `invalid_reward` for replies that are no option. Open-ended text has the sampled ones alone
(`pairs`, `train.sampled_text`).

Two terms keep a policy from collapsing onto the most rewarded option. `entropy_weight` is the entropy bonus of Williams
and Peng 1991 (Connection Science 3(3), 241-268). `coverage_weight` is our design (`train.rewards.coverage`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import Trainer

from train.closed import train_closed
from train.closed_batch import ClosedBatch
from train.closed_rewards import rewards_of_model
from train.divergences import entropy, kl_reference, log_mass, normalised, shares
from train.knobs import not_negative, one_of, positive
from train.pairs import POOLINGS
from train.preferences import known_reference
from train.rewards import coverage, optimum, people_rewards, rewards_of_people
from train.run import RunContext
from train.sampled import ALGORITHMS, Sampling, train_sampled
from train.sampled_text import Texts, train_sampled_text

ESTIMATORS = ("exact", "sampled")
REWARDS = ("people", "model")
MODEL = "reward"
LETTER = 4  # tokens a reply to a closed question may have


@dataclass(frozen=True)
class Rlhf:
    """loss = -(expected reward - `beta` * KL(policy || reference) + `entropy_weight` * entropy + `coverage_weight` *
    coverage) - `mass_weight` * log(probability of all labels).

    `reward` people: log of the share of people who chose the option, at least log(`least_share`); the optimum is then
    pi(a) ~ reference(a) * q(a) ** (1 / beta), that of `dpo`. model: what the reward model in the cell folder
    `reward_model` says, computed once. With the entropy term the optimum is (reference ** beta * exp(reward)) ** (1 /
    (beta + entropy_weight)). Coverage is the share of people whose answer is among `coverage_draws` answers of the
    policy; with it the optimum has no closed form. `algorithm`, `generations` (replies a prompt), `completion_tokens`
    and `invalid_reward` (null: log(`least_share`)) belong to the sampled estimator, the other terms to the exact one.
    `pairs`: a preference set (`data.preferences`) whose prompts are replied to, instead of closed questions, for a
    `reward_model` that was trained on such pairs; `pooling` says whether they state the rater's country, and
    `invalid_reward` is that of a reply cut off at `completion_tokens` (null: what the reward model says of it).
    """

    learning_rate: float = 5e-6
    beta: float = 0.1
    estimator: str = "exact"
    algorithm: str = "rloo"
    reward: str = "people"
    reward_model: str | None = None
    least_share: float = 0.001
    mass_weight: float = 0.1
    entropy_weight: float = 0.0
    coverage_weight: float = 0.0
    coverage_draws: int = 4
    generations: int = 8
    completion_tokens: int = 1
    invalid_reward: float | None = None
    pairs: str | None = None
    pooling: str = "country"
    reference_passes = 1  # read by `train.matching`

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, beta=self.beta, least_share=self.least_share)
        if not self.least_share < 0.5:
            raise ValueError(f"recipe.least_share must lie below 0.5, got {self.least_share}")
        not_negative(
            "recipe",
            mass_weight=self.mass_weight,
            entropy_weight=self.entropy_weight,
            coverage_weight=self.coverage_weight,
        )
        one_of("recipe", ESTIMATORS, estimator=self.estimator)
        one_of("recipe", ALGORITHMS, algorithm=self.algorithm)
        one_of("recipe", REWARDS, reward=self.reward)
        one_of("recipe", POOLINGS, pooling=self.pooling)
        if (self.reward == "model") != bool(self.reward_model):
            raise ValueError(
                "recipe.reward model and recipe.reward_model (a trained arm or cell of recipe=reward) belong together, "
                f"got {self.reward!r} and {self.reward_model!r}"
            )
        if self.estimator == "sampled" and (self.entropy_weight or self.coverage_weight):
            raise ValueError("recipe.entropy_weight and coverage_weight need recipe.estimator exact: sums over options")
        if self.coverage_draws < 1 or self.generations < 2:
            raise ValueError(
                "recipe.coverage_draws must be at least 1 and generations at least 2, "
                f"got {self.coverage_draws} and {self.generations}"
            )
        if self.pairs and not (self.estimator == "sampled" and self.reward_model):
            raise ValueError("recipe.pairs need recipe.estimator sampled and a recipe.reward_model of such text")
        if self.pooling != "country" and not self.pairs:
            raise ValueError("recipe.pooling belongs to recipe.pairs; for survey items set mixture.pooling")
        if self.completion_tokens < 1 or (self.completion_tokens > LETTER) != bool(self.pairs):
            raise ValueError(
                f"recipe.completion_tokens must be in 1 to {LETTER}, with recipe.pairs {LETTER + 1} or more (64, say), "
                f"got {self.completion_tokens}"
            )

    def __call__(self, run: RunContext) -> Trainer:
        sampling = Sampling(self.algorithm, self.beta, self.generations, self.completion_tokens)
        if self.pairs and self.reward_model:
            texts = Texts(self.pairs, self.pooling, self.reward_model, self.invalid_reward)
            return train_sampled_text(run, texts, sampling, self.learning_rate)
        scored, costs = rewards_of_model(run, self.reward_model) if self.reward_model else ([], {})
        if self.estimator == "exact":
            return train_closed(
                run,
                self.loss,
                self.learning_rate,
                metrics=self.metrics,
                reference=True,
                columns={MODEL: scored} if scored else None,
                once=costs,
            )
        rewards = scored or [people_rewards(torch.tensor(e.people), self.least_share) for e in run.examples]
        nobody = people_rewards(torch.zeros(()), self.least_share).item()
        invalid = nobody if self.invalid_reward is None else self.invalid_reward
        return train_sampled(run, rewards, invalid, sampling, self.learning_rate, costs)

    def loss(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats."""
        return (-self.objective(log_probabilities, batch) - self.mass_weight * log_mass(log_probabilities)).mean()

    def objective(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """What is maximised of every question, (n,), the term of the mass apart."""
        policy = shares(log_probabilities)
        value = (policy * self.rewards(batch)).sum(-1)
        value = value - self.beta * kl_reference(log_probabilities, known_reference(batch))
        if self.entropy_weight:
            value = value + self.entropy_weight * entropy(log_probabilities)
        if self.coverage_weight:
            value = value + self.coverage_weight * coverage(policy, batch.people, self.coverage_draws)
        return value

    def rewards(self, batch: ClosedBatch) -> torch.Tensor:
        """The reward of every option, (n, k), 0 where there is none."""
        return batch.columns[MODEL] if self.reward == "model" else rewards_of_people(batch, self.least_share)

    def metrics(self, log_probabilities: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """The expected reward, the coverage, and KL(policy || the objective's optimum) in nats: 0 where training can
        gain no more; not there with a coverage term.
        """
        policy, rewards = shares(log_probabilities), self.rewards(batch)
        found = {
            "reward": (policy * rewards).sum(-1).mean(),
            "coverage": coverage(policy, batch.people, self.coverage_draws).mean(),
        }
        if self.coverage_weight:
            return found
        best = optimum(known_reference(batch), rewards, self.beta, self.entropy_weight)
        return found | {"kl_optimum": (policy * (normalised(log_probabilities) - best)).sum(-1).mean()}
