"""MARK's weights, votes, removals and intervals, each on a case worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.records import Group, Item, Respondent
from eval.mark.asking import Reply
from eval.mark.decisions import Decision, in_order, vote
from eval.mark.removal import function_removal
from eval.mark.resamples import Resamples
from eval.mark.sample import Case
from eval.mark.stages import Stress, TypeFound, Voice, weights

OPTIONS = ("Yes, always", "Sometimes", "No, never")


@pytest.mark.parametrize(
    ("impaired", "reduction", "expected"),
    [
        ([False] * 4, 0.5, [0.4, 0.3, 0.2, 0.1]),
        ([True] * 4, 0.5, [0.4, 0.3, 0.2, 0.1]),
        ([True, False, False, False], 0.5, [0.25, 0.375, 0.25, 0.125]),
        ([False, True, False, True], 0.2, [4 / 6.8, 0.6 / 6.8, 2 / 6.8, 0.2 / 6.8]),
    ],
)
def test_weights_by_hand(impaired: list[bool], reduction: float, expected: list[float]) -> None:
    assert weights(impaired, reduction) == pytest.approx(expected)


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.floats(0.01, 1))
def test_weights_sum_to_one_and_follow_rank_among_the_equally_impaired(impaired: list[bool], reduction: float) -> None:
    found = weights(impaired, reduction)
    assert sum(found) == pytest.approx(1)
    for state in (True, False):
        same = [weight for weight, bad in zip(found, impaired, strict=True) if bad is state]
        assert same == sorted(same, reverse=True)


def voices_of(distributions: list[list[float]], shares: list[float]) -> list[Voice]:
    return [
        Voice("Ni", "dominant", 0.0, "", share, np.array([p, p]), 1.0, np.array(p), ())
        for p, share in zip(distributions, shares, strict=True)
    ]


def test_vote_and_removal_by_hand() -> None:
    one, two = [1.0, 0.0], [0.0, 1.0]
    voices = voices_of([one, two, two, two], [0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(vote([v.p for v in voices], [v.weight for v in voices]), [0.4, 0.6])
    heaviest, other = function_removal(voices, 0)
    assert heaviest == pytest.approx(0.4)  # [0, 1] is left
    assert other == pytest.approx(np.mean([4 / 7 - 0.4, 0.5 - 0.4, 4 / 9 - 0.4]))
    assert function_removal(voices_of([one] * 4, [0.4, 0.3, 0.2, 0.1]), 0) == (0, 0)
    with pytest.raises(ValueError, match="more than 0"):
        vote([np.array(one)], [0.0])


def test_intervals_resample_respondents_not_rows() -> None:
    """Two people, each with two equal values: a resample has mean 0, 1/2 or 1 and the interval is the whole range."""
    again = Resamples.of(["a", "b"], 2000, np.random.default_rng(0))
    found = again.mean("x", "c", ["a", "a", "b", "b"], [0.0, 0.0, 1.0, 1.0])
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 4)
    assert again.mean("x", "c", ["a", "b"], [np.nan, 1.0]).n == 1
    assert np.isnan(again.mean("x", "c", ["a"], [np.nan]).value)


def test_ten_people_alike_leave_doubt() -> None:
    """None of ten: up to 30.85% of the people may be otherwise (Clopper and Pearson's table)."""
    again = Resamples.of(list("abcdefghij"), 100, np.random.default_rng(0))
    none = again.mean("x", "c", list("abcdefghij"), [0.0] * 10)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0.3085), abs=1e-4)
    every = again.mean("x", "c", list("abcdefghij"), [1.0] * 10)
    assert (every.value, every.low, every.high) == pytest.approx((1, 0.6915, 1), abs=1e-4)
    signed = again.mean("x", "c", list("abcdefghij"), [0.0] * 10, least=-1.0)
    assert (signed.low, signed.high) == (0, 0)


def test_few_respondents_have_wider_intervals_within_the_bounds() -> None:
    """Plain percentiles of six people's mean, 0.35 to 0.65, times sqrt(6/5) t_5 / 1.96; a gain may be below 0."""
    ids, values = list("abcdef"), [0.2, 0.3, 0.45, 0.55, 0.7, 0.8]
    again = Resamples.of(ids, 4000, np.random.default_rng(0))
    low, high = np.quantile(again.counts @ values / 6, [0.025, 0.975])
    found = again.mean("x", "c", ids, values)
    assert found.high - found.low == pytest.approx(np.sqrt(6 / 5) * 2.570582 / 1.959964 * (high - low))
    again_and_again = again.mean("x", "c", [*ids, *"aaaa"], [*values, *[0.2] * 4])
    assert again_and_again.high - again_and_again.low > found.high - found.low  # as good as 3.3 people
    rare = [0.0] * 5 + [1.0]
    assert again.mean("x", "c", ids, rare).low == 0
    assert again.mean("x", "c", ids, rare, least=-1.0).low < 0


def test_equal_votes_go_to_the_function_of_higher_rank() -> None:
    """0.4 + 0.1 against 0.3 + 0.2: the dominant function's option wins, though it stands last."""
    first, last = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    four = tuple(voices_of([last, first, first, last], [0.4, 0.3, 0.2, 0.1]))
    item = Item("toy/held", "Q?", OPTIONS, False, "toy")
    person = Respondent("a", Group("NOR"), {}, {"toy/held": 2})
    nothing = Reply(np.full(3, 1 / 3), np.full((1, 3), 1 / 3), 1.0, ())
    kind = TypeFound("Ni", "Te", np.eye(8)[0], np.eye(2)[0], ())
    stress = Stress((("age", "34"),), (50.0,), ())
    decision = Decision(Case(person, stress.features, (item,), 1.0), item, stress, kind, kind, four, nothing, nothing)
    assert decision.answer == 2
    assert in_order(four)
    assert not in_order(four[::-1])
