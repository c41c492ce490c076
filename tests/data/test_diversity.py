"""Hill numbers, evenness and the distance between countries, by hand and by their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.diversity import mean_js_between, realised_diversity, topic_of
from data.evenness import heip_evenness, hill_numbers, rake, shares_of_evenness
from data.mixture import Mixture
from data.records import Group, Survey, TrainingExample


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40))
def test_hill_numbers_fall_with_their_order(counts: list[int]) -> None:
    zero, one, two = hill_numbers([float(count) for count in counts])
    assert len(counts) == zero
    assert zero + 1e-9 >= one >= two - 1e-9 >= 1 - 2e-9


def test_nothing_has_no_diversity() -> None:
    assert np.isnan(hill_numbers([])).all()
    assert np.isnan(heip_evenness([3.0]))
    with pytest.raises(ValueError, match="an empty mixture"):
        realised_diversity([])


@given(st.integers(2, 120), st.floats(0, 1))
def test_shares_have_the_evenness_asked(kinds: int, evenness: float) -> None:
    shares = shares_of_evenness(kinds, evenness)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-12).all()
    assert heip_evenness(shares.tolist(), kinds) == pytest.approx(evenness, abs=1e-6)


def test_evenness_by_hand() -> None:
    """Even: 1. Shares 1/2, 1/4, 1/4: hill_1 = 2 sqrt(2), Heip (2 sqrt(2) - 1) / 2."""
    assert heip_evenness([1.0, 1.0, 1.0]) == pytest.approx(1)
    assert heip_evenness([2.0, 1.0, 1.0]) == pytest.approx((2 * 2**0.5 - 1) / 2)
    assert shares_of_evenness(5, 0).tolist() == [1, 0, 0, 0, 0]
    assert shares_of_evenness(5, 1) == pytest.approx(0.2)
    for kinds, evenness in ((1, 0.5), (3, 1.5)):
        with pytest.raises(ValueError, match="two kinds or more"):
            shares_of_evenness(kinds, evenness)


def test_raking_meets_the_margins_and_keeps_the_rest() -> None:
    """Within a cell of the margins the proportions stay; of full margins it is iterative proportional fitting."""
    rng = np.random.default_rng(0)
    chances = rng.random(24)
    rows, columns = np.repeat(np.arange(3), 8), np.tile(np.repeat(np.arange(4), 2), 3)
    rowwise, columnwise = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.3, 0.4])
    raked = rake(chances, [(rows, rowwise), (columns, columnwise)])
    assert np.bincount(rows, raked) == pytest.approx(rowwise)
    assert np.bincount(columns, raked) == pytest.approx(columnwise)
    pairs = raked.reshape(12, 2) / chances.reshape(12, 2)
    assert pairs[:, 0] == pytest.approx(pairs[:, 1])
    table = raked.reshape(12, 2).sum(1).reshape(3, 4) / chances.reshape(12, 2).sum(1).reshape(3, 4)
    assert table[0, 0] * table[1, 1] != 0
    odds = np.log(pairs[:, 0].reshape(3, 4))
    assert odds - odds.mean(0) - odds.mean(1, keepdims=True) + odds.mean() == pytest.approx(0, abs=1e-6)


def test_raking_some_is_the_nearest_with_their_proportions() -> None:
    """One margin over a part: KL to the first chances is smaller than of any other mass for that part."""
    chances, labels, asked = np.array([0.4, 0.3, 0.2, 0.1]), np.array([-1, 0, 0, 1]), np.array([0.3, 0.7])
    raked = rake(chances, [(labels, asked)])
    assert raked[1] / raked[2] == pytest.approx(1.5)

    def divergence(part: float) -> float:
        inside = np.array([0.3 * 0.6, 0.3 * 0.4, 0.7]) * part
        p = np.array([1 - part, *inside])
        return float((p * np.log(p / chances)).sum())

    mass = float(raked[1:].sum())
    assert raked[3] / mass == pytest.approx(0.7)
    assert all(divergence(mass) < divergence(mass + step) for step in (-0.02, 0.02))


def example_of(example: TrainingExample, country: str, people: tuple[float, ...], age: str = "") -> TrainingExample:
    item = replace(example.item, options=("a", "b"), positions=None)
    return replace(example, item=item, group=Group(country, age), people=people)


def test_realised_diversity_by_hand(tiny_survey: Survey) -> None:
    """Shares 1/2, 1/4, 1/4: orders 0, 1, 2 are 3, 2 sqrt(2), 8/3. An even mixture has its count at every order."""
    example = Mixture()(tiny_survey, 1, 0, 0)[0]
    examples = [replace(example, group=Group(code)) for code in ("NOR", "NOR", "USA", "JPN")]
    found = realised_diversity(examples)
    assert [found[f"hill_{order}"] for order in range(3)] == pytest.approx([3, 2 * 2**0.5, 8 / 3])
    assert [found[f"items_hill_{order}"] for order in range(3)] == [1, 1, 1]
    assert np.isnan(found["ages_hill_1"])
    assert realised_diversity(examples[1:])["evenness"] == pytest.approx(1)
    aged = [replace(example, group=Group("NOR", age)) for age in ("18-29", "50+", "")]
    assert realised_diversity(aged)["ages_hill_2"] == pytest.approx(2)
    other = replace(example, item=replace(example.item, id="x", topic="another"))
    assert realised_diversity([example, other])["topics_hill_0"] == 2
    assert topic_of(tiny_survey.by_id["toy/vote"]) == "toy"


def test_distance_between_countries_by_hand(tiny_survey: Survey) -> None:
    """Opposite people are 1 apart, the same 0; each pair counts alike; only the same question and age are compared."""
    example = Mixture()(tiny_survey, 1, 0, 0)[0]
    yes, no = (1.0, 0.0), (0.0, 1.0)
    nor, usa, jpn = (example_of(example, code, people) for code, people in (("NOR", yes), ("USA", no), ("JPN", yes)))
    assert mean_js_between([nor, usa]) == pytest.approx(1)
    assert mean_js_between([nor, nor, jpn]) == 0
    assert mean_js_between([nor, usa, jpn]) == pytest.approx(2 / 3)
    again = [replace(one, item=replace(one.item, id="toy/again")) for one in (nor, usa)]
    assert mean_js_between([nor, usa, jpn, *again]) == pytest.approx(2 / 3)
    half = example_of(example, "USA", (0.5, 0.5))
    expected = (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25) + np.log2(1 / 0.75)) / 2
    assert mean_js_between([nor, half]) == pytest.approx(expected**0.5)
    assert np.isnan(mean_js_between([nor, example_of(example, "USA", no, age="50+")]))
    assert np.isnan(mean_js_between([nor, nor]))
