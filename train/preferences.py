"""One preference a closed question: the log-probabilities of the preferred and the other option, and losses on them.

The losses are those of TRL 1.16's DPOTrainer for replies of one token, value and gradient (tested). Each takes pairs
and the recipe's knobs and gives the losses, (n,). Left out of TRL's: `sigmoid_norm`, which is `sigmoid` where replies
have one token, and `sft`, which is no preference loss (see `train.recipes.sft`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch.nn.functional import logsigmoid

from train.closed_batch import ClosedBatch


class Pairs(NamedTuple):
    """Log-probabilities of n preferred and n other options, by the model and by its reference, (n,) each."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor

    @property
    def ratios(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-ratios to the reference, of the chosen and of the rejected."""
        return self.chosen - self.reference_chosen, self.rejected - self.reference_rejected

    @property
    def difference(self) -> torch.Tensor:
        """Log-ratio of the chosen minus that of the rejected: the implicit reward's margin over beta."""
        chosen, rejected = self.ratios
        return chosen - rejected


class Knobs(Protocol):
    @property
    def beta(self) -> float: ...
    @property
    def label_smoothing(self) -> float: ...
    @property
    def discopop_tau(self) -> float: ...


PairLoss = Callable[[Pairs, Knobs], torch.Tensor]


def pair_of(log_probabilities: torch.Tensor, batch: ClosedBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """What (n, k) holds for the chosen and for the rejected options, (n,) each."""
    chosen, rejected = (log_probabilities.gather(-1, one[:, None])[:, 0] for one in (batch.chosen, batch.rejected))
    return chosen, rejected


def pairs_of(log_probabilities: torch.Tensor, batch: ClosedBatch) -> Pairs:
    """The batch's preferences. Raises ValueError where the batch has no reference."""
    reference = known_reference(batch)
    return Pairs(*pair_of(log_probabilities, batch), *pair_of(reference, batch))


def known_reference(batch: ClosedBatch) -> torch.Tensor:
    """The reference's log-probabilities, (n, k). Raises ValueError where the batch has none."""
    if batch.reference is None:
        raise ValueError("the recipe needs the reference's log-probabilities in the batch: train with reference=True")
    return batch.reference


def margin_metrics(margin: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is logged of reward margins (n,): their mean, and the share of preferences that they agree with."""
    return {"reward_margin": margin.mean(), "reward_accuracy": (margin > 0).float().mean()}


def sigmoid(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Rafailov et al. 2023 (arXiv:2305.18290), equation 7."""
    return -logsigmoid(knobs.beta * pairs.difference)


def hinge(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Zhao et al. 2023 (SLiC, arXiv:2305.10425) on the reward margin, as in Liu et al. 2024 (arXiv:2309.06657)."""
    return torch.relu(1 - knobs.beta * pairs.difference)


def ipo(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Azar et al. 2023 (arXiv:2310.12036), equation 17: `beta` is their tau, the margin's target is 1 / (2 beta)."""
    return (pairs.difference - 1 / (2 * knobs.beta)) ** 2


def robust(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Chowdhury et al. 2024 (arXiv:2403.00409): unbiased where a share `label_smoothing` of preferences is flipped."""
    flipped, scores = knobs.label_smoothing, knobs.beta * pairs.difference
    return (-(1 - flipped) * logsigmoid(scores) + flipped * logsigmoid(-scores)) / (1 - 2 * flipped)


def exo_pair(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Ji et al. 2024 (arXiv:2402.00856), equation 16: reverse KL from (1 - e, e), e = `label_smoothing`."""
    scores = knobs.beta * pairs.difference
    e = scores.new_tensor(knobs.label_smoothing)
    won, lost = logsigmoid(scores), logsigmoid(-scores)
    return won.exp() * (won - torch.log1p(-e)) + lost.exp() * (lost - e.log())


def nca_pair(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Chen et al. 2024 (arXiv:2402.05369), noise-contrastive alignment of a pair."""
    chosen, rejected = (knobs.beta * ratio for ratio in pairs.ratios)
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco_pair(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Jung et al. 2024 (arXiv:2404.04656) without the running mean of rewards, as TRL has it for pairs."""
    chosen, rejected = (knobs.beta * ratio for ratio in pairs.ratios)
    return -logsigmoid(chosen) - logsigmoid(-rejected)


def sppo_hard(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Wu et al. 2024 (arXiv:2405.00675), equation 4.7, with preferences of 1 and 0."""
    chosen, rejected = pairs.ratios
    return (chosen - 0.5 / knobs.beta) ** 2 + (rejected + 0.5 / knobs.beta) ** 2


def apo_zero(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 7: the chosen goes up, the rejected down."""
    chosen, rejected = pairs.ratios
    return 1 - torch.sigmoid(knobs.beta * chosen) + torch.sigmoid(knobs.beta * rejected)


def apo_down(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 8: both go down, the rejected further."""
    chosen, _ = pairs.ratios
    return torch.sigmoid(knobs.beta * chosen) + 1 - torch.sigmoid(knobs.beta * pairs.difference)


def aot(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Melnyk et al. 2024 (arXiv:2406.05882), paired: sorted margins of the model against the reference's."""
    model, reference = pairs.chosen - pairs.rejected, pairs.reference_chosen - pairs.reference_rejected
    return _smoothed(model.sort().values - reference.sort().values, knobs)


def aot_unpaired(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Melnyk et al. 2024 (arXiv:2406.05882), unpaired: sorted rewards of the chosen against the rejected's."""
    chosen, rejected = pairs.ratios
    return _smoothed(chosen.sort().values - rejected.sort().values, knobs)


def discopop(pairs: Pairs, knobs: Knobs) -> torch.Tensor:
    """Lu et al. 2024 (arXiv:2406.08414), equation 5: a found blend of the logistic and the exponential loss."""
    scores = knobs.beta * pairs.difference
    blend = torch.sigmoid(scores / knobs.discopop_tau)
    return -logsigmoid(scores) * (1 - blend) + torch.exp(-scores) * blend


def _smoothed(margin: torch.Tensor, knobs: Knobs) -> torch.Tensor:
    scores, flipped = knobs.beta * margin, knobs.label_smoothing
    return -logsigmoid(scores) * (1 - flipped) - logsigmoid(-scores) * flipped


LOSSES: Mapping[str, PairLoss] = MappingProxyType(
    {
        loss.__name__: loss
        for loss in (
            sigmoid,
            hinge,
            ipo,
            robust,
            exo_pair,
            nca_pair,
            bco_pair,
            sppo_hard,
            apo_zero,
            apo_down,
            aot,
            aot_unpaired,
            discopop,
        )
    }
)
SMOOTHED = ("robust", "exo_pair", "aot", "aot_unpaired")
OVER_THE_BATCH = ("aot", "aot_unpaired")
