"""One token a row from logits: temperature, top-p, and random numbers that the caller brings.

A token is drawn by an exponential race: the largest probability divided by a standard exponential of its own (the
Gumbel-max trick; Maddison et al. 2014, arXiv:1411.0030, section 2). Rounding of the logits by d then changes a draw
with a probability of about d. The inverse of the cumulative distribution needs one random number instead of one a
token, but every one of its tens of thousands of boundaries moves with the rounding: on SmolLM2-135M in float32 one draw
in 1,000 changed with the make-up of the batch, with the race none of 24,000.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

NUCLEUS = 256  # so many of the most probable tokens are looked at first for `top_p`; more where they don't reach it


def choose(
    logits: torch.Tensor,
    temperature: npt.NDArray[np.float32],
    top_p: npt.NDArray[np.float32],
    exponentials: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.bool_] | None = None,
) -> torch.Tensor:
    """The next token of each row, (rows,) int64, from logits (rows, vocabulary) float32.

    Temperature 0: the most probable token, the lowest id among equals. Else one drawn with its probability;
    `exponentials` (rows with a temperature above 0, vocabulary) are independent and positive, with mean 1. `top_p`
    keeps the fewest most probable tokens that reach it together, and what is as probable as the last of them. `allowed`
    (rows, vocabulary) comes before all.
    """
    device = logits.device
    scores = logits
    if allowed is not None:
        scores = scores.masked_fill(~torch.from_numpy(allowed).to(device), -torch.inf)
    warm = np.flatnonzero(temperature > 0)
    if not len(warm):
        return scores.argmax(-1)
    if len(warm) == len(temperature):
        return _drawn(scores, temperature, top_p, exponentials)
    chosen = scores.argmax(-1)
    places = torch.from_numpy(warm).to(device)
    chosen[places] = _drawn(scores[places], temperature[warm], top_p[warm], exponentials)
    return chosen


def _drawn(
    scores: torch.Tensor,
    temperature: npt.NDArray[np.float32],
    top_p: npt.NDArray[np.float32],
    exponentials: npt.NDArray[np.float32],
) -> torch.Tensor:
    device = scores.device
    weights = (scores / torch.from_numpy(temperature).to(device)[:, None]).softmax(-1)
    narrow = np.flatnonzero(top_p < 1)
    if len(narrow):
        some = torch.from_numpy(narrow).to(device)
        weights[some] = _nucleus(weights[some], torch.from_numpy(top_p[narrow]).to(device)[:, None])
    return (weights / torch.from_numpy(exponentials).to(device)).argmax(-1)


def _nucleus(weights: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Probabilities (rows, vocabulary) with those outside the `top_p` (rows, 1) set to 0."""
    count, whole = NUCLEUS, weights.shape[1]
    while True:
        ordered = weights.topk(min(count, whole)).values
        total = ordered.cumsum(-1)
        if count >= whole or bool((total[:, -1:] >= top_p).all()):
            break
        count *= 8
    last = (total < top_p).sum(-1, keepdim=True).clamp(max=ordered.shape[1] - 1)
    return weights * (weights >= ordered.gather(1, last))
