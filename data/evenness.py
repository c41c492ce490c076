"""Drawing with asked shares: how uneven countries or age bands are, from one alone (0) to all alike (1).

Evenness is that of Heip 1974 (J. Mar. Biol. Assoc. UK 54, 555): (hill_1 - 1) / (S - 1) of S countries, among the
measures of Chao & Ricotta 2019 (Ecology 100, e02852). We chose it over Pielou's ln hill_1 / ln S because it is linear
in the effective number of countries: evenness 0.5 of 9 countries is as diverse as 5 equally common ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import rel_entr

Floats = npt.NDArray[np.float64]
STEEPEST = 60.0
"""The largest exponent looked at: the second of two shares is then 2 ** -60 of the first."""


def hill_numbers(counts: Sequence[float]) -> tuple[float, float, float]:
    """Orders 0, 1 and 2 (Hill 1973): how many equally common kinds would be as diverse; NaN where there is nothing.

    Order 0 counts the kinds, order 1 is exp of Shannon's entropy, order 2 is 1 / sum of squared shares.
    """
    there = np.array([count for count in counts if count > 0], dtype=float)
    if not len(there):
        return (np.nan, np.nan, np.nan)
    shares = there / there.sum()
    return float(len(shares)), float(np.exp(-(shares * np.log(shares)).sum())), float(1 / (shares**2).sum())


def heip_evenness(counts: Sequence[float], kinds: int | None = None) -> float:
    """(hill_1 - 1) / (S - 1), in [0, 1]; NaN for fewer than two kinds. S: `kinds`, or as many as there are."""
    there, effective, _ = hill_numbers(counts)
    possible = there if kinds is None else kinds
    return (effective - 1) / (possible - 1) if possible > 1 else float("nan")


def shares_of_evenness(kinds: int, evenness: float) -> Floats:
    """Shares of `kinds` kinds, the largest first, whose evenness is the asked one: proportional to rank ** -a (Zipf).

    a is solved for. Beside a geometric series, a power law keeps the rarest kinds in the mixture. Raises ValueError for
    fewer than two kinds and for an evenness outside [0, 1].
    """
    if kinds < 2 or not 0 <= evenness <= 1:
        raise ValueError(f"evenness in [0, 1] is of two kinds or more, got {evenness} of {kinds}")
    ranks = np.arange(1, kinds + 1, dtype=float)

    def shares(steepness: float) -> Floats:
        unnormalised = ranks**-steepness
        return np.asarray(unnormalised / unnormalised.sum(), dtype=np.float64)

    def excess(steepness: float) -> float:
        return heip_evenness(shares(steepness).tolist(), kinds) - evenness

    if excess(0.0) <= 0:
        return shares(0.0)
    if excess(STEEPEST) >= 0:
        return np.asarray(ranks == 1, dtype=np.float64)
    steepness = brentq(excess, 0.0, STEEPEST, xtol=1e-12)
    return shares(float(steepness))


def rake(
    chances: Floats, margins: Sequence[tuple[npt.NDArray[np.intp], Floats]], rounds: int = 2000, within: float = 1e-9
) -> Floats:
    """The chances nearest to `chances` (by KL divergence) whose margins are the asked ones; they sum to 1.

    A margin is a label of every chance, -1 for none, and the labels' shares among the labelled. By iterated
    I-projections (Csiszar 1975, Ann. Probab. 3, 146), where all are labelled the raking of Deming & Stephan 1940.
    Raises ValueError where no chances have these margins.
    """
    raked = np.array(chances / chances.sum(), dtype=np.float64)
    for _ in range(rounds):
        errors = []
        for labels, asked in margins:
            labelled = labels >= 0
            found = np.bincount(labels[labelled], raked[labelled], len(asked)).astype(np.float64)
            if ((asked > 0) & ~(found > 0)).any():
                break
            found = found / found.sum()
            errors.append(np.abs(found - asked).max())
            scale = np.divide(asked, found, out=np.zeros_like(asked), where=asked > 0)
            raked[labelled] *= (scale * np.exp(-rel_entr(asked, found).sum()))[labels[labelled]]
            raked /= raked.sum()
        if len(errors) < len(margins):
            break
        if max(errors) <= within:
            return raked
    raise ValueError("no mixture of these people has the asked shares")
