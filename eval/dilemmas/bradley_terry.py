"""Which values a chooser puts first: Bradley–Terry strengths from choices between actions that serve them.

A dilemma that sets value i against value j and is decided for i with probability p counts as p of a win of i and 1 − p
of a win of j. The strengths s maximise

    Σ w [p log σ(s_i − s_j) + (1 − p) log σ(s_j − s_i)] − ridge / 2 · Σ s²

(Bradley & Terry 1952, with soft wins and a small ridge: our design, because ten values over a few dozen dilemmas leave
pairs that are always won, whose strengths would be infinite). They sum to 0 and are in logits: a lead of 1 is a choice
of 73%. Everything takes a leading axis of weightings, so that all resamples of a bootstrap are fitted at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from eval.distances import FloatArray

RIDGE = 0.1
POLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "conservation over openness": (("security", "conformity", "tradition"), ("self_direction", "stimulation")),
    "self-transcendence over self-enhancement": (("benevolence", "universalism"), ("achievement", "power")),
}
"""The values of the pole that is named first, and those of the opposite one."""
_STEPS = 100
_LONGEST_STEP = 2.0


def bradley_terry(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    p: npt.ArrayLike,
    values: int,
    weights: npt.ArrayLike | None = None,
    ridge: float = RIDGE,
) -> FloatArray:
    """Strengths (draws, values) in logits, each row summing to 0, by Newton's method.

    `first` and `second` (n,) are the colliding values as indices, `p` (n,) the probability that the first is preferred,
    `weights` (draws, n) how often each dilemma counts (default: one row of ones). A value that no counted dilemma
    names gets 0, the mean. Raises ValueError for p outside [0, 1], a value against itself, or a ridge that isn't
    positive.
    """
    i, j, wins = np.asarray(first), np.asarray(second), np.asarray(p, dtype=np.float64)
    if not ridge > 0:
        raise ValueError(f"ridge must be positive, got {ridge}")
    if wins.size and not (wins.min() >= 0 and wins.max() <= 1):
        raise ValueError(f"preferences must be probabilities, found {wins.min()} to {wins.max()}")
    if (i == j).any():
        raise ValueError("a dilemma sets a value against itself")
    counts = np.ones((1, wins.size)) if weights is None else np.asarray(weights, dtype=np.float64)
    design = np.zeros((wins.size, values))
    design[np.arange(wins.size), i] = 1
    design[np.arange(wins.size), j] = -1
    squares = (design[:, :, None] * design[:, None, :]).reshape(wins.size, values * values)
    strengths = np.zeros((len(counts), values))
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-strengths @ design.T))
        gradient = (counts * (wins - expected)) @ design - ridge * strengths
        curvature = ((counts * expected * (1 - expected)) @ squares).reshape(-1, values, values) + ridge * np.eye(
            values
        )
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, initial=0.0, keepdims=True)
        strengths += step * np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, _LONGEST_STEP))
        if longest.max(initial=0.0) < 1e-9:
            return np.asarray(strengths - strengths.mean(axis=1, keepdims=True))
    raise RuntimeError(f"Bradley–Terry did not converge in {_STEPS} steps (ridge {ridge}); raise the ridge")


def kendall_tau(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Kendall's tau-b of two rankings given as strengths (..., values), in [-1, 1], shape (...) (Kendall 1945).

    NaN where one side ranks nothing (all strengths equal). Strengths closer than 1e-9 are tied.
    """
    signs = []
    for strengths in (np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)):
        above, below = np.triu_indices(strengths.shape[-1], 1)
        difference = strengths[..., above] - strengths[..., below]
        signs.append(np.where(np.abs(difference) > 1e-9, np.sign(difference), 0.0))
    a, b = signs
    untied = np.sqrt(np.abs(a).sum(axis=-1) * np.abs(b).sum(axis=-1))
    agreement = (a * b).sum(axis=-1)
    tau = np.divide(agreement, untied, out=np.full(np.shape(agreement), np.nan), where=untied > 0)
    return np.asarray(tau)


def priority_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Root mean squared difference of strengths (..., values) in logits, shape (...); our design.

    A change of 0.1 in one value's lead over another moves the choice between them by at most 2.5 points of probability.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return np.asarray(np.sqrt((difference**2).mean(axis=-1)))


def pole_preference(first: npt.ArrayLike, second: npt.ArrayLike, p: npt.ArrayLike, pole: str) -> FloatArray:
    """P(the action that serves the pole named first in `pole`), (n,); NaN where the two values `first` and `second`,
    of which the first wins with probability `p`, do not lie one in each pole.

    The four higher-order values of Schwartz (1992): openness to change against conservation, self-transcendence against
    self-enhancement. Hedonism belongs to two of them and is left out.
    """
    over, under = POLES[pole]
    a, b, wins = np.asarray(first), np.asarray(second), np.asarray(p, dtype=np.float64)
    ahead = np.isin(a, over) & np.isin(b, under)
    behind = np.isin(a, under) & np.isin(b, over)
    return np.where(ahead, wins, np.where(behind, 1 - wins, np.nan))
