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
    pooled = mean_of_cells([cell(0.2)] * 3, SEEDS, np.random.default_rng(0), 10_000)
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((0.2, 0.1, 0.3), abs=1e-3)
    assert pooled.n == 9


def test_spread_between_cells_is_added_by_t() -> None:
    values = [0.2, 0.4, 0.9]
    pooled = mean_of_cells([cell(x, 0.0) for x in values], SEEDS, np.random.default_rng(0), 10_000)
    half = student.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), rel=0.01)
    both = mean_of_cells([cell(x, 0.5) for x in values], SEEDS, np.random.default_rng(0), 10_000)
    assert half < both.high - 0.5 < half + 0.5
    assert pooled.method.startswith(
        "mean over 3 cells; own intervals taken as normal; 3 training seeds by Student's t; "
    )


def test_one_cell_stays_and_undefined_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert mean_of_cells([cell(0.2)], SEEDS[:1], rng, 100) == cell(0.2)
    for bad in (cell(np.inf), cell(np.nan), cell(0.2, np.nan)):
        pooled = mean_of_cells([bad, cell(0.4), cell(0.5)], SEEDS, rng, 100)
        assert np.isnan([pooled.low, pooled.high]).all()
