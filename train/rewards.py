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
    return batch.people.clamp(min=least_share).log() * batch.options


def optimum(reference: torch.Tensor, rewards: torch.Tensor, beta: float) -> torch.Tensor:
    """Log of the best policy among the options, (n, k), 0 where there is no option: reference * exp(reward / beta).

    It maximises expected reward - beta * KL(policy || reference) (Rafailov et al. 2023, arXiv:2305.18290, equation 4).
    """
    return normalised(reference + rewards / beta)
