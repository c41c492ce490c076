"""A reward model: a score of answers under which the preferences of people are likely.

The Bradley-Terry model of Christiano et al. 2017 (arXiv:1706.03741) as Ouyang et al. 2022 (arXiv:2203.02155, equation
1) train it: P(a preferred to b) = sigmoid(r(a) - r(b)), loss -log sigmoid(r(chosen) - r(rejected)). The mixture's
preferences follow P(a over b) = q(a) / (q(a) + q(b)), so the best reward is log q(a) up to a constant for each
question, and the distance to it is logged. On closed questions all options of a prompt are scored in one forward pass
(`train.reward_model`); loss and gradients equal those of TRL's RewardTrainer on the same pairs (tested).
Departures: the reply is the option's label alone, as in `dpo`; pairs of one question are seen one at a time, and not
all K over 2 of a ranking as Ouyang et al. have them, unless `preferences` is expected.
Open-ended pairs go through TRL as they are (`pairs`).

What it leaves is no model that answers: the cell is not audited, and `rlhf` takes it as `reward_model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid
from transformers import Trainer

from train.closed_batch import ClosedBatch
from train.closed_rewards import train_closed_rewards
from train.knobs import not_negative, one_of, positive
from train.pairs import POOLINGS
from train.preferences import margin_metrics, pair_of
from train.reward_pairs import train_reward_pairs
from train.rewards import centred, correlation, rewards_of_people
from train.run import RunContext

PREFERENCES = ("sampled", "expected")


@dataclass(frozen=True)
class Reward:
    """loss = -log sigmoid(r(chosen) - r(rejected)) + `center_weight` * (r(chosen) + r(rejected)) ** 2.

    `preferences` sampled: the one preference that the example carries; expected: the mean over all pairs of options
    that somebody chose, each both ways with its probability, which is the expectation of sampled without its noise.
    `center_weight` keeps rewards near 0 (Eisenstein et al. 2023, arXiv:2312.09244), which pairs alone leave open.
    `least_share`: what shares below it count as in the log q that rewards are held against in the log.
    `pairs`: a preference set (`data.preferences`) to train on instead of closed questions; `pooling` says whether its
    prompts state the rater's country.
    """

    learning_rate: float = 1e-5
    preferences: str = "sampled"
    center_weight: float = 0.0
    least_share: float = 0.001
    pairs: str | None = None
    pooling: str = "country"
    head = "reward"

    def __post_init__(self) -> None:
        positive("recipe", learning_rate=self.learning_rate, least_share=self.least_share)
        not_negative("recipe", center_weight=self.center_weight)
        one_of("recipe", PREFERENCES, preferences=self.preferences)
        one_of("recipe", POOLINGS, pooling=self.pooling)
        if self.pooling != "country" and not self.pairs:
            raise ValueError("recipe.pooling belongs to recipe.pairs; for survey items set mixture.pooling")
        if self.pairs and self.preferences == "expected":
            raise ValueError("recipe.preferences expected needs closed questions: recipe.pairs are single preferences")

    def __call__(self, run: RunContext) -> Trainer:
        if self.pairs:
            return train_reward_pairs(run, self.pairs, self.learning_rate, self.pooling, self.center_weight)
        return train_closed_rewards(run, self.loss, self.learning_rate, metrics=self.metrics)

    def loss(self, rewards: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """Mean over the questions, in nats. `rewards` (n, k)."""
        if self.preferences == "expected":
            return self.expected_losses(rewards, batch).mean()
        return self._pair_loss(*pair_of(rewards, batch)).mean()

    def expected_losses(self, rewards: torch.Tensor, batch: ClosedBatch) -> torch.Tensor:
        """The expectation of the pair loss for every question, (n,): over pairs evenly, and who wins by its chance."""
        a, b = torch.triu_indices(rewards.shape[-1], rewards.shape[-1], offset=1, device=rewards.device)
        first, second = batch.people[:, a], batch.people[:, b]
        chosen_by_some = first + second
        chance = first / chosen_by_some.clamp(min=torch.finfo(first.dtype).tiny)
        one, other = rewards[:, a], rewards[:, b]
        losses = chance * self._pair_loss(one, other) + (1 - chance) * self._pair_loss(other, one)
        pairs = ((chosen_by_some > 0) & batch.options[:, a] & batch.options[:, b]).to(losses.dtype)
        return (losses * pairs).sum(-1) / pairs.sum(-1)

    def _pair_loss(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return -logsigmoid(chosen - rejected) + self.center_weight * (chosen + rejected) ** 2

    def metrics(self, rewards: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
        """Margin and accuracy on the sampled preferences; root mean square distance in nats of rewards to log q, both
        less their mean over a question's options; and the correlation of the two (NaN where the rewards are constant).
        """
        chosen, rejected = pair_of(rewards, batch)
        ours, truth = (centred(one, batch.options) for one in (rewards, rewards_of_people(batch, self.least_share)))
        distance = ((ours - truth) ** 2).sum() / batch.options.sum()
        return margin_metrics(chosen - rejected) | {
            "reward_distance": distance.sqrt(),
            "reward_correlation": correlation(ours[batch.options], truth[batch.options]),
        }
