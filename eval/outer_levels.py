"""The noise of training seeds and data draws, of which an experiment has two or three.

Resampled, two or three give their range as a 95% interval, which covers the truth half or three quarters of the time.
An arm's statistic is therefore the mean over its cells, held fixed while items and countries are resampled, and noise
is added to every replicate: a standard error times Student's t. The squared error is that of the seeds' means plus that
of the data draws' means (s^2 / L with L of each, `eval.two_way`), its degrees of freedom are Satterthwaite's (1946):
L - 1 for one level. Where every seed has a draw of its own the two make one level. Our design: a resample of normal
means whose spread is unknown.

Measured by `tests/eval/test_coverage.py`: intervals cover 94 to 97% where seeds or data draws are what varies. They are
too wide where only the crossing of both varies (98%), and up to 99% with two seeds whose noise is small beside that of
items and countries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t as student

from eval.distances import FloatArray
from eval.two_way import two_way

Level = tuple[int, int]
"""A cell: (training seed, data draw)."""


def between_cells(arms: Sequence[Mapping[Level, float]], contrast: Sequence[float]) -> tuple[float, float]:
    """Standard error of `sum contrast * mean of arm` from the spread between cells, and its degrees of freedom.

    Arms with the same cells are paired: their contrast is taken cell by cell. Others add variance each. Arms of one
    cell add none; 0 and NaN where all are.
    """
    paired: dict[tuple[Level, ...], FloatArray] = {}
    for weight, cells in zip(contrast, arms, strict=True):
        levels = tuple(sorted(cells))
        paired[levels] = paired.get(levels, np.zeros(len(levels))) + weight * np.array([cells[key] for key in levels])
    variances, freedoms = [], []
    for levels, values in paired.items():
        seeds, draws = (sorted({level[side] for level in levels}) for side in (0, 1))
        influence = np.zeros((len(seeds), len(draws)))
        for (seed, draw), value in zip(levels, values, strict=True):
            influence[seeds.index(seed), draws.index(draw)] = (value - values.mean()) / len(values)
        by_seed, by_draw, kept = two_way(influence)
        if together(levels):  # one level, under two names
            by_draw, kept = 0.0, 1.0
        variances += [kept * by_seed, kept * by_draw]
        freedoms += [len(seeds) - 1, len(draws) - 1]
    total = sum(variances)
    if total == 0:
        return 0.0, float("nan")
    return total**0.5, total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True) if f)


def outer_noise(
    arms: Sequence[Mapping[Level, float]], contrast: Sequence[float], draws: int, rng: np.random.Generator
) -> FloatArray:
    """What the cells add to replicates of `sum contrast * mean of arm`: (draws,), 0 where no arm's cells differ.

    Evenly spaced quantiles in random order, which are less noisy than random numbers.
    """
    error, freedom = between_cells(arms, contrast)
    order = (rng.permutation(draws) + 0.5) / draws
    return np.asarray(error * student.ppf(order, freedom)) if error != 0 else np.zeros(draws)


def together(levels: Sequence[Level]) -> bool:
    """Whether every training seed has a data draw of its own: the cells then vary in both at once."""
    return len(levels) == len({seed for seed, _ in levels}) == len({draw for _, draw in levels})


def describe_levels(arms: Sequence[Sequence[Level]]) -> str:
    """In words, which noise between cells an interval covers and how: "3 training seeds by Student's t; one data draw".

    Where arms have different numbers the fewest are named too.
    """
    if max(map(len, arms)) > 1 and all(map(together, arms)):
        most, least = max(map(len, arms)), min(map(len, arms))
        fewer = f" ({least} in another arm)" if least < most else ""
        return f"{most} training seeds{fewer}, each with a data draw of its own, by Student's t"
    several, one = [], []
    for side, name in enumerate(("training seed", "data draw")):
        counts = [len({level[side] for level in levels}) for levels in arms]
        most, least = max(counts), min(counts)
        fewer = f" ({least} in another arm)" if least < most else ""
        several += [f"{most} {name}s{fewer}"] * (most > 1)
        one += [name] * (most == 1)
    words = [f"{' and '.join(several)} by Student's t"] * bool(several) + [f"one {' and '.join(one)}"] * bool(one)
    return "; ".join(words)
