from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from eval.pooling import mean_of_cells
from eval.records import Estimate

SEEDS = [(0, 0), (1, 0), (2, 0)]


def cell(value: float, half: float = 0.1) -> Estimate:
    return Estimate("alpha", "all", "none", value, value - half, value + half, 9, "m")


def test_without_spread_the_cells_own_interval_stays() -> None:
    pooled = mean_of_cells([cell(0.2)] * 3, SEEDS, "mark", np.random.default_rng(0), 10_000)
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((0.2, 0.1, 0.3), abs=1e-3)
    assert pooled.n == 9


def test_spread_between_cells_is_added_by_t() -> None:
    values = [0.2, 0.4, 0.9]
    pooled = mean_of_cells([cell(x, 0.0) for x in values], SEEDS, "mark", np.random.default_rng(0), 10_000)
    half = student.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), rel=0.01)
    both = mean_of_cells([cell(x, 0.5) for x in values], SEEDS, "mark", np.random.default_rng(0), 10_000)
    assert half < both.high - 0.5 < half + 0.5
    assert pooled.method.startswith(
        "mean over 3 cells; own intervals taken as normal; 3 training seeds by Student's t; "
    )


def test_one_cell_stays_and_undefined_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert mean_of_cells([cell(0.2)], SEEDS[:1], "mark", rng, 100) == cell(0.2)
    for bad in (cell(np.inf), cell(np.nan), cell(0.2, np.nan)):
        pooled = mean_of_cells([bad, cell(0.4), cell(0.5)], SEEDS, "mark", rng, 100)
        assert np.isnan([pooled.low, pooled.high]).all()


def test_a_pooled_interval_keeps_to_the_scale_of_the_audits_measure() -> None:
    """Where actions stand moves a choice by -1/2 to 1/2; elsewhere the effect of place is a distance."""

    def pooled(name: str, audit: str, values: list[float]) -> Estimate:
        found = [Estimate(name, "all", "alone", value, value - 0.2, value + 0.2, 9, "m") for value in values]
        return mean_of_cells(found, SEEDS, audit, np.random.default_rng(0), 1000)

    flips = pooled("flip_rate", "edc", [0.0, 0.1, 0.05])
    assert flips.low == 0 < flips.high
    place = pooled("position_effect", "edc", [-0.4, -0.3, -0.35])
    assert place.low == -0.5
    assert -0.35 < place.high < 0
    assert pooled("position_effect", "mark", [0.1, 0.05, 0.1]).low == 0
