from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from eval.bootstrap import paired
from eval.joint import joint_means, joint_variation, training_noise
from eval.records import SCORE_COLUMNS
from eval.variation import variation_differences

DRAWS = 4000


def scores(shift: float, seed: int, cells: tuple[tuple[int, int], ...] = ((0, 0),), items: int = 8) -> pd.DataFrame:
    """A score an item and country: what is hard is hard for all arms, and each has noise of its own."""
    rows = []
    for cell, (i, c) in itertools.product(cells, itertools.product(range(items), range(10))):
        hard = np.random.default_rng([1, i]).normal() + np.random.default_rng([2, c]).normal()
        own = np.random.default_rng([3, seed, i, c]).normal(0, 0.3) + np.random.default_rng([4, seed, *cell]).normal(
            0, 0.1
        )
        rows.append(dict.fromkeys(SCORE_COLUMNS, "") | {"item": f"i{i}", "country": f"C{c}", "n": 1.0})
        rows[-1] |= {"value": hard + shift + own, "seed": cell[0], "draw": cell[1]}
    return pd.DataFrame(rows)


def quantiles(gap: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(gap, [0.025, 0.975])
    return float(low), float(high)


def test_a_difference_of_replicates_has_the_paired_interval_or_a_wider_one() -> None:
    tables = [scores(0.0, 0), scores(0.2, 1), scores(0.5, 2)]
    joint = joint_means(tables, np.random.default_rng(0), DRAWS)
    assert joint.values == pytest.approx([table["value"].mean() for table in tables])
    assert joint.n == 80
    assert joint.method.startswith("bootstrap over 8 items and 10 countries")
    for one, other in itertools.combinations(range(3), 2):
        found = paired(tables[one], tables[other], np.random.default_rng(1), DRAWS).interval
        low, high = quantiles(joint.replicates[:, one] - joint.replicates[:, other])
        width = found.high - found.low
        assert low == pytest.approx(found.low, abs=0.1 * width)
        assert high == pytest.approx(found.high, abs=0.1 * width)
        assert high - low > 0.95 * width
    single = quantiles(joint.replicates[:, 0])
    assert single[1] - single[0] > 3 * (high - low)  # what is hard for all is in each, and in no difference


def test_folded_scores_keep_single_units_noise_twice() -> None:
    tables = [scores(0.0, 0), scores(0.2, 1)]
    plain, folded = (
        joint_means(tables, np.random.default_rng(0), DRAWS, folded).replicates for folded in (False, True)
    )
    assert np.ptp(quantiles(folded[:, 0] - folded[:, 1])) > np.ptp(quantiles(plain[:, 0] - plain[:, 1]))


def test_units_that_one_arm_lacks_do_not_enter() -> None:
    tables = [scores(0.0, 0), scores(0.2, 1, items=5)]
    assert joint_means(tables, np.random.default_rng(0), 50).n == 50
    apart = scores(0.0, 0).assign(item="other")
    apart["country"] = [f"D{i}" for i in range(80)]
    nothing = joint_means([tables[0], apart], np.random.default_rng(0), 50)
    assert (nothing.n, nothing.replicates.shape) == (0, (0, 2))
    assert np.isnan(nothing.values).all()


def test_one_unit_has_no_interval() -> None:
    one = scores(0.0, 0).iloc[:1]
    joint = joint_means([one, one], np.random.default_rng(0), 50)
    assert joint.method.startswith("no interval")
    assert joint.replicates.shape == (0, 2)
    assert joint.values == pytest.approx([one["value"].iloc[0]] * 2)


def test_training_noise_by_hand() -> None:
    """Means over three seeds (1, 2, 3): a standard error of 1 / sqrt 3 and Student's t with two degrees of freedom."""
    seeds = [(0, 0), (1, 0), (2, 0)]
    cells = [dict(zip(seeds, values, strict=True)) for values in ((1.0, 2.0, 3.0), (11.0, 12.0, 13.0), (3.0, 2.0, 1.0))]
    noise = training_noise([*cells, {(0, 0): 5.0}], 200_000, np.random.default_rng(0))
    expected = student.ppf(0.975, 2) / 3**0.5
    for arm in range(3):
        assert quantiles(noise[:, arm])[1] == pytest.approx(expected, rel=0.03)
    assert np.abs(noise[:, 0] - noise[:, 1]).max() < 1e-9  # a seed that moves both alike moves no difference
    assert quantiles(noise[:, 0] - noise[:, 2])[1] == pytest.approx(2 * expected, rel=0.03)
    assert not noise[:, 3].any()


def test_seeds_with_draws_of_their_own_are_one_noise() -> None:
    values = (1.0, 2.0, 4.0)
    noises = [
        training_noise([dict(zip(levels, values, strict=True))], 50_000, np.random.default_rng(0))
        for levels in ([(0, 0), (1, 0), (2, 0)], [(0, 0), (1, 1), (2, 2)], [(0, 0), (0, 1), (0, 2)])
    ]
    for noise in noises:
        assert quantiles(noise[:, 0])[1] == pytest.approx(
            student.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5, rel=0.05
        )


def test_crossed_seeds_and_draws_both_count() -> None:
    crossed = {(s, d): 1.0 * s + 2.0 * d for s in range(3) for d in range(3)}
    noise = training_noise([crossed], 100_000, np.random.default_rng(0))
    alone = training_noise([{(s, 0): 1.0 * s for s in range(3)}], 100_000, np.random.default_rng(0))
    assert quantiles(noise[:, 0])[1] > 2 * quantiles(alone[:, 0])[1]


def answers(apart: float, seed: int) -> pd.DataFrame:
    rows = []
    for i, c in itertools.product(range(6), range(7)):
        q = np.random.default_rng([7, i, c]).dirichlet([2, 2, 2])
        mean = np.mean([np.random.default_rng([7, i, k]).dirichlet([2, 2, 2]) for k in range(7)], axis=0)
        own = np.random.default_rng([8, seed, i, c]).dirichlet([2, 2, 2])
        rows.append(
            {
                "item": f"i{i}", "country": f"C{c}", "age": "", "sex": "", "education": "", "condition": "country",
                "stratum": "held_out", "p": 0.9 * (apart * q + (1 - apart) * mean) + 0.1 * own, "q": q, "n": 900.0,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", ["between_ratio", "within_ratio"])
def test_variation_of_many_arms_is_that_of_pairs(name: str) -> None:
    arms = [{(0, 0): answers(apart, seed)} for seed, apart in enumerate((0.2, 0.5, 0.9))]
    joint = joint_variation(arms, [name], "country", "held_out", np.random.default_rng(0), 2000)[name]
    for one, other in ((0, 1), (0, 2)):
        found = variation_differences(arms[one], arms[other], np.random.default_rng(1), 2000)
        pair = next(each.estimate for each in found if each.estimate.name == name)
        gap = joint.replicates[:, one] - joint.replicates[:, other]
        assert joint.values[one] - joint.values[other] == pytest.approx(pair.value)
        assert quantiles(gap)[1] - quantiles(gap)[0] > 0.9 * (pair.high - pair.low)
    assert "one training seed" in joint.method


def test_variation_needs_questions_that_all_share() -> None:
    arms = [
        {(0, 0): answers(0.5, 0)},
        {(0, 0): answers(0.5, 1).assign(item="other", country=[f"D{k}" for k in range(42)])},
    ]
    found = joint_variation(arms, ["between_ratio"], "country", "held_out", np.random.default_rng(0), 50)
    joint = found["between_ratio"]
    assert joint.replicates.shape == (0, 2)
    assert "share no question" in joint.method
