"""Rewards of the options of closed questions, (n, k): what `rlhf` maximises. A source is a function of the batch."""

from __future__ import annotations

import torch

from train.closed_batch import ClosedBatch
from train.divergences import normalised


def rewards_of_people(batch: ClosedBatch, least_share: float) -> torch.Tensor:
    """Log of q(option), (n, k), 0 where there is none: the reward under which P(a > b) = q(a) / (q(a) + q(b)).

    It is the Bradley-Terry reward of the preferences that the mixture draws, known and not learned. Shares below
    `least_share` count as that, so that what nobody answered has a finite reward.
    """
    return people_rewards(batch.people, least_share) * batch.options


def people_rewards(people: torch.Tensor, least_share: float) -> torch.Tensor:
    """Log of shares of people, any shape, none below `least_share`."""
    return people.clamp(min=least_share).log()


def optimum(reference: torch.Tensor, rewards: torch.Tensor, beta: float, entropy_weight: float = 0.0) -> torch.Tensor:
    """Log of the best policy among the options, (n, k), 0 where there is no option:
    pi ~ (reference ** beta * exp(reward)) ** (1 / (beta + entropy_weight)).

    It maximises expected reward - beta * KL(policy || reference) + entropy_weight * H(policy): without the entropy
    term Rafailov et al. 2023 (arXiv:2305.18290), equation 4; with it the same, for beta * KL(policy || reference) -
    entropy_weight * H(policy) is the mean of (beta + entropy_weight) * log policy - beta * log reference.
    """
    return normalised((beta * reference + rewards) / (beta + entropy_weight))


def coverage(shares: torch.Tensor, people: torch.Tensor, draws: int) -> torch.Tensor:
    """The share of people whose answer is among `draws` answers drawn from the policy, (n,): in [0, 1].

    Sum over options of q(a) * (1 - (1 - pi(a)) ** draws). Our design: one draw is the chance that policy and person
    agree, which the mode maximises; the more draws, the more an option that few people chose is worth being given.
    """
    return (people * (1 - (1 - shares) ** draws)).sum(-1)


def centred(values: torch.Tensor, options: torch.Tensor) -> torch.Tensor:
    """(n, k) less each row's mean over its options, 0 where there is none."""
    means = (values * options).sum(-1, keepdim=True) / options.sum(-1, keepdim=True)
    return (values - means) * options


def correlation(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of two vectors, 0-d; NaN where either is constant."""
    one, other = one - one.mean(), other - other.mean()
    return (one * other).sum() / (one.square().sum() * other.square().sum()).sqrt()
