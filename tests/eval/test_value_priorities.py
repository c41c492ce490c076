from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from eval.dilemmas.bradley_terry import bradley_terry, kendall_tau, pole_preference, priority_distance


def test_two_values_by_hand() -> None:
    # One dilemma, p = 3/4, two values: s and -s with 3/4 - sigma(2 s) = ridge s.
    ridge = 0.5
    (first, second) = bradley_terry([0], [1], [0.75], 2, ridge=ridge)[0]
    assert second == pytest.approx(-first)
    assert 0.75 - 1 / (1 + np.exp(-2 * first)) == pytest.approx(ridge * first)
    assert 2 * bradley_terry([0], [1], [0.75], 2, ridge=1e-9)[0, 0] == pytest.approx(np.log(3), abs=1e-6)


@given(st.integers(0, 1000))
def test_strengths_that_made_the_choices_are_found_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=2, size=5)
    truth -= truth.mean()
    first, second = np.triu_indices(5, 1)
    p = 1 / (1 + np.exp(truth[second] - truth[first]))
    np.testing.assert_allclose(bradley_terry(first, second, p, 5, ridge=1e-9)[0], truth, atol=1e-4)


def test_a_value_that_always_wins_is_finite_and_first() -> None:
    strengths = bradley_terry([0, 0, 1], [1, 2, 2], [1, 1, 1], 3)[0]
    assert np.isfinite(strengths).all()
    assert strengths[0] > strengths[1] > strengths[2]


def test_a_weight_counts_as_a_repetition() -> None:
    once = bradley_terry([0, 1], [1, 2], [0.8, 0.3], 3, weights=[[2, 1]])
    twice = bradley_terry([0, 0, 1], [1, 1, 2], [0.8, 0.8, 0.3], 3)
    np.testing.assert_allclose(once, twice, atol=1e-8)


def test_a_value_in_no_counted_dilemma_is_average() -> None:
    assert bradley_terry([0, 1], [1, 2], [0.8, 0.3], 3, weights=[[1, 0]])[0, 2] == pytest.approx(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [1], [1.5], 2), "probabilities"),
        (([1], [1], [0.5], 2), "against itself"),
    ],
)
def test_refuses_what_is_no_preference(arguments: tuple[list[int], list[int], list[float], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bradley_terry(*arguments)
    with pytest.raises(ValueError, match="ridge must be positive"):
        bradley_terry([0], [1], [0.5], 2, ridge=0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=8))
def test_tau_is_scipys_tau_b(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert kendall_tau(a, b) == pytest.approx(kendalltau(a, b).statistic)
    else:
        assert np.isnan(kendall_tau(a, b))


def test_tau_and_distance_by_hand() -> None:
    # One of three pairs is the other way round: (2 - 1) / 3.
    assert kendall_tau([1, 2, 3], [2, 1, 3]) == pytest.approx(1 / 3)
    np.testing.assert_allclose(kendall_tau([[1, 2, 3], [1, 1, 1]], [1, 2, 3]), [1, np.nan])
    assert priority_distance([1, -1, 0], [0, 0, 0]) == pytest.approx(np.sqrt(2 / 3))


def test_pole_preference_by_hand() -> None:
    first = ["security", "stimulation", "security", "hedonism", ""]
    second = ["stimulation", "tradition", "conformity", "tradition", ""]
    found = pole_preference(first, second, [0.7, 0.7, 0.7, 0.7, 0.7], "conservation over openness")
    np.testing.assert_allclose(found, [0.7, 0.3, np.nan, np.nan, np.nan])
