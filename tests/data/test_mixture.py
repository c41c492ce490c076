"""The training mixture: size, determinism, who is in it, and preferences by the stated rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.mixture import Mixture, check_held_out, realised_diversity
from data.prompts import orders
from data.records import AnswerDistribution, Group, Item, Split, Survey


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.integers(1, 80), seed=st.integers(0, 5), draw=st.integers(0, 5), balance=st.floats(0, 1))
def test_every_example_is_a_true_training_cell(
    tiny_survey: Survey, tiny_split: Split, size: int, seed: int, draw: int, balance: float
) -> None:
    train = tiny_survey.restrict(tiny_split.train_items, tiny_split.train_countries)
    examples = Mixture(balance=balance)(train, size, seed, draw)
    assert len(examples) == size
    assert examples == Mixture(balance=balance)(train, size, seed, draw)
    check_held_out(examples, tiny_split)
    for example in examples:
        assert example.people == train.people[(example.item.id, example.group)].probabilities
        assert ("age" in example.condition) == bool(example.group.age)
        assert example.order in orders(len(example.item.options), example.item.ordered)
        assert example.chosen != example.rejected
        assert example.people[example.chosen] > 0 or example.people[example.rejected] > 0


def test_draws_and_seeds_differ(tiny_survey: Survey) -> None:
    first = Mixture()(tiny_survey, 50, 0, 0)
    assert first != Mixture()(tiny_survey, 50, 0, 1)
    assert first != Mixture()(tiny_survey, 50, 1, 0)


def test_preferences_follow_the_people() -> None:
    """q = (0.6, 0.3, 0.1, 0): the share of a over b tends to q(a) / (q(a) + q(b)); a pair nobody chose never comes."""
    people = (0.6, 0.3, 0.1, 0.0)
    item = Item("one/item", "What?", ("a", "b", "c", "d"), ordered=False, survey="one")
    survey = Survey((item,), (AnswerDistribution("one/item", Group("NOR"), people, 100, 100.0),))
    pairs = Counter((e.chosen, e.rejected) for e in Mixture(conditions=("country",))(survey, 6000, 0, 0))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        share = pairs[a, b] / (pairs[a, b] + pairs[b, a])
        assert share == pytest.approx(people[a] / (people[a] + people[b]), abs=0.04)
    assert all(chosen != 3 for chosen, _ in pairs)
    evenly = Counter(frozenset(pair) for pair in pairs.elements())
    assert max(evenly.values()) < 1.2 * min(evenly.values())


def test_answers_follow_the_people_and_have_a_stream_of_their_own(tiny_survey: Survey) -> None:
    """The answers' generator is spawned from the mixture's: numpy's spawn leaves the parent's stream as it was."""
    people = (0.6, 0.3, 0.1, 0.0)
    item = Item("one/item", "What?", ("a", "b", "c", "d"), ordered=False, survey="one")
    survey = Survey((item,), (AnswerDistribution("one/item", Group("NOR"), people, 100, 100.0),))
    answers = Counter(e.answered for e in Mixture(conditions=("country",))(survey, 6000, 0, 0))
    assert 3 not in answers
    for option in range(3):
        assert answers[option] / 6000 == pytest.approx(people[option], abs=0.03)
    alone, spawning = np.random.default_rng([3, 4]), np.random.default_rng([3, 4])
    (child,) = spawning.spawn(1)
    assert child.random() != spawning.random() == alone.random()
    first, other = (Mixture()(tiny_survey, 50, 0, draw) for draw in (0, 1))
    assert [e.answered for e in first] != [e.answered for e in other]


def test_balance_goes_from_items_alike_to_cells_alike() -> None:
    """One item in 9 countries and one in 1: shares 1/2, 3/4, 9/10 for balance 0, 0.5, 1."""
    items = tuple(Item(f"x/{name}", "What?", ("a", "b"), ordered=False, survey="x") for name in ("wide", "narrow"))
    codes = ("NOR", "SWE", "DNK", "FIN", "ISL", "GBR", "FRA", "DEU", "ESP")
    made = [AnswerDistribution("x/wide", Group(code), (0.5, 0.5), 9, 9.0) for code in codes]
    made.append(AnswerDistribution("x/narrow", Group("USA"), (0.5, 0.5), 9, 9.0))
    for balance, share in ((0.0, 1 / 2), (0.5, 3 / 4), (1.0, 9 / 10)):
        examples = Mixture(conditions=("country",), balance=balance)(Survey(items, tuple(made)), 4000, 0, 0)
        assert np.mean([e.item.id == "x/wide" for e in examples]) == pytest.approx(share, abs=0.03)


def test_knobs_restrict(tiny_survey: Survey) -> None:
    assert {e.group.country for e in Mixture(countries=("JPN",))(tiny_survey, 30, 0, 0)} == {"JPN"}
    assert len({e.group.country for e in Mixture(countries=2)(tiny_survey, 60, 0, 0)}) == 2
    assert {e.item.id for e in Mixture(items=("toy/w*",))(tiny_survey, 30, 0, 0)} == {"toy/work"}
    assert {e.condition for e in Mixture(conditions=("country+age",))(tiny_survey, 30, 0, 0)} == {"country+age"}


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"conditions": ()}, "at least one"),
        ({"conditions": ("none",)}, "'none' must be country"),
        ({"conditions": ("country+agee",)}, "country\\+agee"),
        ({"countries": 0}, "at least 1, got 0"),
        ({"balance": 1.5}, "balance must lie in"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mixture(**knobs)  # type: ignore[arg-type]


def test_nothing_left_to_draw_is_refused(tiny_survey: Survey) -> None:
    with pytest.raises(ValueError, match="asks for 9, there are 6"):
        Mixture(countries=9)(tiny_survey, 5, 0, 0)
    with pytest.raises(ValueError, match="names \\['FRA'\\]"):
        Mixture(countries=("FRA",))(tiny_survey, 5, 0, 0)
    with pytest.raises(ValueError, match="leaves nothing"):
        Mixture(items=("nope/*",))(tiny_survey, 5, 0, 0)
    with pytest.raises(ValueError, match="got size 0"):
        Mixture()(tiny_survey, 0, 0, 0)


def test_held_out_is_refused(tiny_survey: Survey, tiny_split: Split) -> None:
    example = Mixture(items=("toy/work",), countries=("USA",))(tiny_survey, 1, 0, 0)[0]
    check_held_out([example], tiny_split)
    with pytest.raises(ValueError, match="NOR"):
        check_held_out([replace(example, group=Group("NOR"))], tiny_split)
    with pytest.raises(ValueError, match="toy/bribe"):
        check_held_out([replace(example, item=tiny_survey.by_id["toy/bribe"])], tiny_split)


def test_hill_numbers_by_hand(tiny_survey: Survey) -> None:
    """Shares 1/2, 1/4, 1/4: orders 0, 1, 2 are 3, 2 sqrt(2), 8/3. An even mixture has its count at every order."""
    example = Mixture()(tiny_survey, 1, 0, 0)[0]
    examples = [replace(example, group=Group(code)) for code in ("NOR", "NOR", "USA", "JPN")]
    assert realised_diversity(examples) == pytest.approx({"hill_0": 3, "hill_1": 2 * 2**0.5, "hill_2": 8 / 3})
    assert realised_diversity(examples[1:]) == pytest.approx({"hill_0": 3, "hill_1": 3, "hill_2": 3})
    with pytest.raises(ValueError, match="empty mixture"):
        realised_diversity([])
