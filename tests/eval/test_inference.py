from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.weightstats import DescrStatsW

from eval.bootstrap import describe, percentile_interval
from eval.inference import (
    Hypothesis,
    bootstrap_p,
    decide,
    equivalence_p,
    holds_for,
    holm,
    smallest_detectable,
    zone,
)

NAN = float("nan")


def hypothesis(expect: str = "lower", margin: float = 0.1) -> Hypothesis:
    return Hypothesis("h", "A is lower than B.", "first_token", "js_distance", "a", "b", expect, margin)  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.02, NAN, 0.5]) == pytest.approx([0.04, NAN, 0.5], nan_ok=True)
    assert holm([]) == []


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_holm_agrees_with_statsmodels(size: int) -> None:
    p = np.random.default_rng(size).random(size).round(1)  # rounded: ties
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_p_and_bonferroni_and_keeps_order(p: list[float]) -> None:
    adjusted = np.array(holm(p))
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_bootstrap_p_by_hand() -> None:
    replicates = np.array([-1.0] * 2 + [1.0] * 97)
    assert bootstrap_p(replicates) == pytest.approx(2 * 3 / 100)
    assert bootstrap_p(-replicates) == pytest.approx(2 * 3 / 100)
    assert bootstrap_p(np.ones(999)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.array([-1.0, 1.0, 0.0])) == 1
    assert np.isnan(bootstrap_p(np.array([NAN, 1.0])))


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(0, 10_000))
def test_p_values_and_intervals_say_the_same(value: float, spread: float, seed: int) -> None:
    """p is under 5% where the interval leaves 0 out, and p of equivalence under 2.5% where it is within the margin."""
    replicates = np.random.default_rng(seed).normal(value, spread, 999)
    low, high = percentile_interval(replicates)
    one = 2 / 1000  # a replicate more or less
    assert (bootstrap_p(replicates) < 0.05 + one) >= (low > 0 or high < 0)
    assert (bootstrap_p(replicates) > 0.05 - one) >= (low <= 0 <= high)
    p = equivalence_p(replicates, 0.5)
    assert (p < 0.025 + one) >= (zone(low, high, 0.5) == "same")
    assert (p > 0.025 - one) >= (zone(low, high, 0.5) != "same")


def test_equivalence_by_hand() -> None:
    replicates = np.array([-0.6] + [0.0] * 95 + [0.5, 0.6, 0.7])
    assert equivalence_p(replicates, 0.5) == pytest.approx(4 / 100)
    assert equivalence_p(-replicates, 0.5) == pytest.approx(4 / 100)
    assert equivalence_p(replicates, 1.0) == pytest.approx(1 / 100)
    assert equivalence_p(np.ones(99), 0.5) == 1
    assert np.isnan(equivalence_p(np.array([NAN, 0.0]), 1.0))


@pytest.mark.parametrize("margin", [0.3, 0.5, 0.8])
def test_equivalence_agrees_with_statsmodels(margin: float) -> None:
    x = np.random.default_rng(0).normal(0.1, 1.0, 20)
    quantiles = student.ppf((np.arange(20_000) + 0.5) / 20_000, 19)
    replicates = x.mean() + x.std(ddof=1) / 20**0.5 * quantiles
    assert equivalence_p(replicates, margin) == pytest.approx(DescrStatsW(x).ttost_mean(-margin, margin)[0], abs=2e-4)


def test_smallest_detectable_is_2_8_standard_errors() -> None:
    assert smallest_detectable(-1.959964, 1.959964) == pytest.approx(2.801585)
    power = NormalIndPower(ddof=0).solve_power(nobs1=100, alpha=0.05, power=0.8, ratio=0)  # one sample, deviation 1
    assert smallest_detectable(-0.1959964, 0.1959964) == pytest.approx(power, rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.5, -0.2, "lower"),
        (0.2, 0.5, "higher"),
        (-0.05, 0.09, "same"),
        (-0.5, -0.05, ""),
        (-0.05, 0.2, ""),
        (NAN, NAN, ""),
        (-0.1, 0.0, ""),
    ],
)
def test_zone_of_an_interval_against_a_margin_of_a_tenth(low: float, high: float, expected: str) -> None:
    assert zone(low, high, 0.1) == expected


@pytest.mark.parametrize(
    ("expect", "low", "high", "word"),
    [
        ("lower", -0.5, -0.2, "SUPPORTED"),
        ("higher", -0.5, -0.2, "CONTRADICTED"),
        ("same", -0.5, -0.2, "CONTRADICTED"),
        ("higher", 0.2, 0.5, "SUPPORTED"),
        ("lower", 0.2, 0.5, "CONTRADICTED"),
        ("lower", -0.05, 0.05, "EQUIVALENT"),
        ("same", -0.05, 0.05, "EQUIVALENT"),
        ("lower", -0.5, 0.05, "INCONCLUSIVE"),
        ("lower", NAN, NAN, "NO VERDICT"),
    ],
)
def test_verdict_by_interval(expect: str, low: float, high: float, word: str) -> None:
    assert decide(hypothesis(expect), (low + high) / 2, low, high).verdict == word


def test_equivalence_needs_its_p_and_the_p_the_interval() -> None:
    assert decide(hypothesis("same"), 0.0, -0.05, 0.05, p_equivalence=0.02).verdict == "EQUIVALENT"
    edge = decide(hypothesis("same"), 0.0, -0.05, 0.05, p_equivalence=0.0251)
    assert (edge.verdict, edge.p_equivalence) == ("INCONCLUSIVE", 0.0251)
    for draws in (99, 400, 1000):
        for seed in range(200):
            replicates = np.random.default_rng(seed).normal(0.02, 0.04, draws)
            if equivalence_p(replicates, 0.1) <= 0.025:
                assert zone(*percentile_interval(replicates), 0.1) == "same"


def test_directed_verdict_needs_holm_and_seeds() -> None:
    assert decide(hypothesis(), -0.3, -0.5, -0.2, p_holm=0.04).verdict == "SUPPORTED"
    lost = decide(hypothesis(), -0.3, -0.5, -0.2, p_holm=0.06)
    assert "beyond the margin, but not after Holm's correction for all hypotheses (p 0.060)" in lost.sentence
    assert "80% power" not in lost.sentence  # more than that was found
    assert lost.verdict == "INCONCLUSIVE"
    wide = decide(hypothesis(), -0.2, -0.35, -0.05)
    assert wide.verdict == "INCONCLUSIVE"
    assert "one of 0.314 or more would have been found with 80% power" in wide.sentence  # .1 + .3 * 2.801585 / 3.919928
    withheld = decide(hypothesis(), -0.3, -0.5, -0.2, no_verdict="one training seed")
    assert withheld.verdict == "NO VERDICT"
    assert "one training seed" in withheld.sentence
    assert "−0.300 [−0.500, −0.200]" in withheld.sentence


def test_bad_hypotheses_are_refused() -> None:
    with pytest.raises(ValueError, match="lower, higher or same, got 'smaller'"):
        hypothesis("smaller")
    with pytest.raises(ValueError, match="margin must be 0 or more, got -1"):
        hypothesis("lower", -1)
    with pytest.raises(ValueError, match="above 0 where the same is expected"):
        hypothesis("same", 0)
    with pytest.raises(ValueError, match=r"expected an arm or a list of different arms, got \[\]"):
        sets(())
    with pytest.raises(ValueError, match=r"a list of different arms, got \['a', 'a'\]"):
        sets(("a", "a"))
    with pytest.raises(ValueError, match=r"minus must have arm and against, got \['arm'\]"):
        sets("a", minus={"arm": "c"})
    with pytest.raises(ValueError, match="b cancels out of the difference"):
        sets("a", minus={"arm": "c", "against": "b"})
    with pytest.raises(ValueError, match="a cancels out"):
        sets("a", against="a")


def sets(arm: Any, against: Any = "b", minus: Any = None) -> Hypothesis:
    return Hypothesis("h", "s", "first_token", "js_distance", arm, against, "lower", 0.1, minus=minus)


def test_sides_of_hypotheses_by_hand() -> None:
    assert (sets("a").weights, sets("a").pair, sets("a").words) == ({"a": 1, "b": -1}, ("a", "b"), ("a", "b"))
    assert sets(("a",), ("b",)).pair == ("a", "b")
    several = sets(("a", "c"), ("b", "d", "e"))
    assert several.weights == pytest.approx({"a": 1 / 2, "c": 1 / 2, "b": -1 / 3, "d": -1 / 3, "e": -1 / 3})
    assert (several.pair, several.words) == (None, ("mean of a, c", "mean of b, d, e"))
    nested = sets(("a", "c"), "b", {"arm": "d", "against": ("b", "e")})  # (a + c) / 2 - b - (d - (b + e) / 2)
    assert nested.weights == pytest.approx({"a": 1 / 2, "c": 1 / 2, "b": -1 / 2, "d": -1, "e": 1 / 2})
    assert nested.words == ("(mean of a, c − b)", "(d − mean of b, e)")
    assert sum(nested.weights.values()) == pytest.approx(0)


def test_all_that_an_interval_takes_as_given_is_said() -> None:
    seeds = [[(seed, 0) for seed in range(3)]]
    assert holds_for("paired " + describe(2, 2, seeds)) == [
        "It holds for these 2 items as given, too few to speak for others.",
        "It holds for these 2 countries as given, too few to speak for others.",
    ]
    assert holds_for("paired " + describe(1, 1, seeds)) == holds_for(describe(1, 20)) == ["It holds for one item."]
    assert holds_for("paired " + describe(12, 20, seeds)) == holds_for(describe(1, 2)) == []
