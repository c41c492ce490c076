"""Ranks that say how sure they are: from common replicates of all arms' scores. Lower scores are better.

    better(replicates)         which arm is better than which, as far as the noise lets one say
    rank_interval(better)      the ranks that an arm may have: behind those that are better than it, before those that
                               are worse; arms that nothing tells apart share them
    best_share(replicates)     how often an arm is the best of all when everything is drawn anew
    dominated(one, other)      who is better in both of two scores

A rank by itself would hide that the next sample puts another arm first. Ranks counted in resamples would not do: of
arms that are all alike the luckiest keeps its lead in most of them, and the interval misses. So ranks follow from
differences, each held at a confidence of 1 - (1 - CONFIDENCE) / (K - 1): all K - 1 intervals of one arm, and with them
its rank interval, hold together with a confidence of CONFIDENCE: the marginal confidence sets for ranks of Mogstad,
Romano, Shaikh and Wilhelm (2024, Review of Economic Studies 91), with Bonferroni's cruder bound. `best_share` has no
such warrant: it describes the resamples.

>>> rank_interval(np.array([[False, True, True], [False, False, True], [False, False, False]]))
(array([1, 2, 3]), array([1, 2, 3]))
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.distances import FloatArray

Better = npt.NDArray[np.bool_]
"""(arms, arms): whether the arm of the row is better than that of the column."""
CONFIDENCE = 0.95
LEAST_DEFINED = 0.9


def better(replicates: FloatArray, confidence: float = CONFIDENCE) -> Better:
    """Whether the score of the row's arm is lower than that of the column's, from `replicates` (draws, arms) of all.

    A draw in which either score is NaN is left out; where more than a tenth is, nothing is said. No rows: nothing is.
    """
    draws, arms = replicates.shape
    found = np.zeros((arms, arms), dtype=np.bool_)
    if draws < 2 or arms < 2:
        return found
    tail = (1 - confidence) / (arms - 1) / 2
    for arm in range(arms):
        gaps = replicates[:, [arm]] - replicates
        defined = ~np.isnan(gaps)
        for other in np.flatnonzero(defined.sum(axis=0) >= LEAST_DEFINED * draws):
            found[arm, other] = other != arm and np.quantile(gaps[defined[:, other], other], 1 - tail) < 0
    return found


def rank_interval(found: Better) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The best and the worst rank that each arm may have, 1 to the number of arms."""
    return 1 + found.sum(axis=0), len(found) - found.sum(axis=1)


def best_share(replicates: FloatArray) -> FloatArray:
    """The share of `replicates` (draws, arms) in which each arm's score is the lowest, (arms,), which sums to 1; ties
    are shared. Draws with an undefined score are left out; NaN where none is left.
    """
    defined = replicates[~np.isnan(replicates).any(axis=1)]
    if not len(defined):
        return np.full(replicates.shape[1], np.nan)
    lowest = defined == defined.min(axis=1, keepdims=True)
    return np.asarray((lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0))


def dominated(one: Better, other: Better) -> Better:
    """(arms, arms): whether the row's arm is better than the column's in both scores. Who is dominated by nobody is on
    the front, as far as one can tell: no arm is put off it for a difference that may be noise.
    """
    return np.asarray(one & other)
