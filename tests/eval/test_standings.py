from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from eval.standings import best_share, better, dominated, rank_interval

RNG = np.random.default_rng(5)
REPLICATES = arrays.arrays(np.float64, (40, 5), elements=st.floats(-3, 3))


def ranks(replicates: np.ndarray) -> list[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in zip(*rank_interval(better(replicates)), strict=True)]


def test_ranks_by_hand() -> None:
    """0.1 is better than both others in every draw; 0.2 and 0.21 change places in a third of them."""
    steps = np.tile([0.0, 0.0, 0.03], 100)
    replicates = np.stack([np.full(300, 0.1), 0.2 + steps, np.full(300, 0.21)], axis=1)
    assert ranks(replicates) == [(1, 1), (2, 3), (2, 3)]
    assert best_share(replicates).tolist() == [1.0, 0.0, 0.0]
    assert best_share(replicates[:, 1:]) == pytest.approx([2 / 3, 1 / 3])


def test_noise_that_all_share_hides_no_difference() -> None:
    shared = RNG.normal(0, 10, (2000, 1))
    assert ranks(shared + np.array([[0.3, 0.1, 0.2]])) == [(3, 3), (1, 1), (2, 2)]


def test_more_arms_ask_for_more() -> None:
    """Of 1000 draws 15 speak against it: enough at 2.5% (two arms), not at 1.25% (three)."""
    gap = np.where(np.arange(1000) < 15, 1.0, -1.0)
    two = np.stack([gap, np.zeros(1000)], axis=1)
    assert ranks(two) == [(1, 1), (2, 2)]
    three = np.column_stack([two, np.full(1000, 9.0)])
    assert ranks(three) == [(1, 2), (1, 2), (3, 3)]


def test_a_chain_of_ties_is_no_order() -> None:
    """First and third differ, the second is like either: it may hold any place, they may not hold each other's."""
    noise = RNG.normal(0, 1, (4000, 3))
    assert ranks(noise + np.array([0.0, 3.0, 6.0])) == [(1, 2), (1, 3), (2, 3)]


def test_equal_arms_share_all_places_and_the_lead() -> None:
    alike = np.zeros((50, 4))
    assert ranks(alike) == [(1, 4)] * 4
    assert best_share(alike).tolist() == [0.25] * 4


def test_undefined_draws_say_nothing() -> None:
    replicates = np.stack([np.zeros(100), np.ones(100)], axis=1)
    replicates[:10, 1] = np.nan
    assert ranks(replicates) == [(1, 1), (2, 2)]
    assert best_share(replicates).tolist() == [1.0, 0.0]
    replicates[:11, 1] = np.nan
    assert ranks(replicates) == [(1, 2), (1, 2)]
    assert ranks(np.empty((0, 3))) == [(1, 3)] * 3
    assert np.isnan(best_share(np.full((5, 2), np.nan))).all()
    assert np.isnan(best_share(np.empty((0, 2)))).all()


def test_a_front_by_hand() -> None:
    """(fit, variation), lower is better: a is best in fit, b in variation, c worse than both, d like c but as good as a
    in fit as far as one can tell.
    """
    fit, variation = np.array([[1.0, 3.0, 4.0, 1.0]]), np.array([[3.0, 1.0, 4.0, 4.0]])
    noise = RNG.normal(0, 0.1, (2000, 4))
    above = dominated(better(fit + noise), better(variation + noise))
    by = {arm: np.flatnonzero(above[:, arm]).tolist() for arm in range(4)}
    assert by == {0: [], 1: [], 2: [0, 1], 3: []}


@given(REPLICATES)
def test_ranks_are_consistent(replicates: np.ndarray) -> None:
    found = better(replicates)
    low, high = rank_interval(found)
    assert not (found & found.T).any()
    assert not found.diagonal().any()
    assert ((low >= 1) & (low <= high) & (high <= 5)).all()
    assert low.min() == 1
    assert high.max() == 5
    share = best_share(replicates)
    assert share.sum() == pytest.approx(1)
    assert (share[low > 1] < 1).all()
    order = np.array([3, 0, 4, 1, 2])
    assert np.array_equal(better(replicates[:, order]), found[np.ix_(order, order)])
    assert np.array_equal(better(2 * replicates), found)


@given(REPLICATES, REPLICATES)
def test_dominance_is_an_order_and_leaves_a_front(one: np.ndarray, other: np.ndarray) -> None:
    first, second = better(one), better(other)
    above = dominated(first, second)
    assert not (above & above.T).any()
    assert not above[:, rank_interval(first)[0] == 1].any()
    assert not above[:, rank_interval(second)[0] == 1].any()


def test_rank_intervals_hold_where_all_arms_are_alike() -> None:
    """The true place of each is any: its interval has to hold all. Those counted in resamples hold them less often."""
    rng, arms, held, counted = np.random.default_rng(0), 6, 0, 0
    for _ in range(300):
        estimates = rng.normal(0, 1, arms)
        replicates = estimates + rng.normal(0, 1, (1000, arms))
        low, high = rank_interval(better(replicates))
        held += int((low[0], high[0]) == (1, arms))
        places = 1 + (replicates < replicates[:, [0]]).sum(axis=1)
        counted += int(np.quantile(places, 0.025) == 1 and np.quantile(places, 0.975) == arms)
    assert held >= 0.95 * 300 - 2 * (300 * 0.95 * 0.05) ** 0.5
    assert counted < 0.9 * 300
