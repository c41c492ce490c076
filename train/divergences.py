"""How far the model's answers are from people's or from the reference's: functions of option log-probabilities.

Log-probabilities are (n, k), -inf where a row has no such option, and raw: of the next token over the whole vocabulary.
All is differentiable, with no NaN in a gradient where an option is missing. Example: a model that answers (0.3, 0.1)
has 3:1 among the options; from people who are even its `kl_people_model` is 0.144 nats.
"""

from __future__ import annotations

import torch

ALMOST_ONE = 1 - 2**-20  # far enough below 1 in float32 that the logarithm of the rest is finite


def normalised(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Log-probabilities among the options (n, k), 0 where there is no option: they weigh nothing and stay finite."""
    missing = torch.isinf(log_probabilities)
    return log_probabilities.log_softmax(-1).masked_fill(missing, 0.0)


def shares(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Probabilities among the options, (n, k): rows sum to 1."""
    return log_probabilities.softmax(-1)


def log_mass(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Log of the probability on all options together, (n,): at most 0."""
    return log_probabilities.logsumexp(-1)


def log_rest(log_probability: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log p, any shape; p within 1e-6 of 1 counts as that, so that the value is finite."""
    return torch.log1p(-log_probability.exp().clamp(max=ALMOST_ONE))


def entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy of the answers among the options in nats, (n,)."""
    return -(shares(log_probabilities) * normalised(log_probabilities)).sum(-1)


def kl_people_model(log_probabilities: torch.Tensor, people: torch.Tensor) -> torch.Tensor:
    """Forward KL divergence in nats, people's answers from the model's among the options, (n,)."""
    return (torch.xlogy(people, people) - people * normalised(log_probabilities)).sum(-1)


def kl_reference(log_probabilities: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(model || reference) in nats among the options, (n,): the rest of their mass is not in it."""
    return (shares(log_probabilities) * (normalised(log_probabilities) - normalised(reference))).sum(-1)


def kl_next_token(log_probabilities: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(model || reference) in nats over the options and, as one more outcome, every other token, (n,).

    At most the divergence of the whole next-token distributions, which it equals where the other tokens keep their
    proportions.
    """
    missing = torch.isinf(log_probabilities)
    ratio = log_probabilities.masked_fill(missing, 0.0) - reference.masked_fill(missing, 0.0)
    rest, reference_rest = (log_rest(log_mass(one)) for one in (log_probabilities, reference))
    return (log_probabilities.exp() * ratio).sum(-1) + rest.exp() * (rest - reference_rest)


def emd(log_probabilities: torch.Tensor, people: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """Earth mover's distance among the options over the scale's range, in [0, 1], (n,); NaN where `gaps` are.

    Sum over steps of |F_model - F_people| * gap, F cumulative over the options in their order; `gaps` (n, k) sum to 1.
    """
    return ((shares(log_probabilities) - people).cumsum(-1).abs() * gaps).sum(-1)
