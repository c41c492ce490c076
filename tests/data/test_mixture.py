"""The training mixture: size, determinism, who is in it, and preferences by the stated rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.diversity import realised_diversity
from data.files import digest
from data.leaks import check_held_out
from data.mixture import Mixture
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
        ({"evenness": -0.1}, "mixture.evenness must lie in"),
        ({"age_evenness": 2.0}, "mixture.age_evenness must lie in"),
        ({"topics": 0}, "mixture.topics must be at least 1"),
        ({"min_countries": 0}, "mixture.min_countries must be at least 1"),
        ({"min_items": 0}, "mixture.min_items must be at least 1"),
        ({"dominant": "USA"}, "mixture.dominant needs mixture.evenness"),
        ({"dominant_age": "50+"}, "mixture.dominant_age needs mixture.age_evenness"),
        ({"pooling": "world"}, "mixture.pooling must be one of"),
        ({"control": "labels"}, "mixture.control must be null or one of"),
        ({"control": "shuffled_countries"}, "needs mixture.min_countries of 2"),
        ({"control": "shuffled_countries", "min_countries": 2, "pooling": "population"}, "changes nothing"),
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
    for name in ("toy/bribe", "made/up"):
        with pytest.raises(ValueError, match=name):
            check_held_out([replace(example, item=replace(example.item, id=name))], tiny_split)
    twin = replace(example, item=replace(example.item, id="neutral/toy/bribe"))
    check_held_out([twin], tiny_split)
    with pytest.raises(ValueError, match="neutral/toy"):
        check_held_out([twin], replace(tiny_split, held_out_items=("neutral/toy/bribe",)))


def test_topics_restrict(tiny_survey: Survey) -> None:
    """`toy/vote` has no topic: its survey's name stands for one."""
    asked = {e.item.topic for e in Mixture(topics=("hon*", "work"))(tiny_survey, 60, 0, 0)}
    assert asked == {"honesty", "work"}
    assert {e.item.id for e in Mixture(topics=("toy",))(tiny_survey, 20, 0, 0)} == {"toy/vote"}
    drawn = [{e.item.topic for e in Mixture(topics=2)(tiny_survey, 60, 0, draw)} for draw in range(8)]
    assert all(len(topics) == 2 for topics in drawn)
    assert len(set(map(frozenset, drawn))) > 1
    with pytest.raises(ValueError, match="asks for 5, there are 4: honesty, poverty, toy, work"):
        Mixture(topics=5)(tiny_survey, 5, 0, 0)
    with pytest.raises(ValueError, match="'sport' fits none of the topics"):
        Mixture(topics=("sport",))(tiny_survey, 5, 0, 0)


def test_min_countries_leaves_out_what_few_were_asked(tiny_survey: Survey) -> None:
    few = replace(
        tiny_survey,
        distributions=tuple(
            d for d in tiny_survey.distributions if d.item != "toy/work" or d.group.country in ("USA", "NOR")
        ),
    )
    for least, there in ((2, True), (3, False)):
        asked = {e.item.id for e in Mixture(min_countries=least)(few, 200, 0, 0)}
        assert ("toy/work" in asked) is there
    with pytest.raises(ValueError, match="min_countries 9"):
        Mixture(min_countries=9)(few, 5, 0, 0)


def test_min_items_leaves_out_countries_that_were_asked_little(tiny_survey: Survey) -> None:
    few = replace(
        tiny_survey,
        distributions=tuple(
            d for d in tiny_survey.distributions if d.item == "toy/bribe" or d.group.country in ("USA", "NOR")
        ),
    )
    assert {e.group.country for e in Mixture(min_items=2)(few, 100, 0, 0)} == {"USA", "NOR"}
    alone = [{e.group.country for e in Mixture(countries=1, min_items=4)(few, 5, 0, draw)} for draw in range(12)]
    assert {"USA", "NOR"} == set.union(*alone), "a number of countries is drawn of those that are left"
    only_bribe = replace(few, distributions=tuple(d for d in few.distributions if d.item == "toy/bribe"))
    assert Mixture()(only_bribe, 20, 0, 0) == Mixture(min_items=1)(only_bribe, 20, 0, 0)
    with pytest.raises(ValueError, match="asks for 3, there are 2"):
        Mixture(countries=3, min_items=2)(few, 5, 0, 0)
    with pytest.raises(ValueError, match="min_items 9"):
        Mixture(min_items=9)(few, 5, 0, 0)


@pytest.mark.parametrize(
    ("knobs", "draws_digest"),
    [
        ({}, "8c081b4318ad"),
        ({"balance": 0.3, "countries": 3}, "3004b1237f15"),
    ],
)
def test_the_rule_of_drawing_stays_as_it_was(tiny_survey: Survey, knobs: dict[str, Any], draws_digest: str) -> None:
    """Pinned: who was trained on these draws must be comparable with who is trained on them now."""
    examples = Mixture(**knobs)(tiny_survey, 100, 3, 1)
    told = [(e.item.id, e.group.label, e.condition, e.order, e.chosen, e.rejected, e.answered) for e in examples]
    assert digest(told)[:12] == draws_digest


@given(
    evenness=st.floats(0, 1),
    age_evenness=st.one_of(st.none(), st.floats(0.2, 1)),
    pooling=st.sampled_from(["country", "population"]),
    control=st.sampled_from([None, "shuffled_labels", "shuffled_countries", "neutral"]),
    seed=st.integers(0, 5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
def test_every_mixture_is_the_same_again_and_another_draw_is_another(
    tiny_survey: Survey,
    evenness: float,
    age_evenness: float | None,
    pooling: str,
    control: str | None,
    seed: int,
) -> None:
    if pooling == "population" and control == "shuffled_countries":
        control = None
    of_two = 2 if control == "shuffled_countries" else 1
    dominant = "USA" if age_evenness is not None else None  # the ages of one that has none cannot be as asked
    mixture = Mixture(
        evenness=evenness,
        dominant=dominant,
        age_evenness=age_evenness,
        pooling=pooling,
        control=control,
        min_countries=of_two,
    )
    examples = mixture(tiny_survey, 60, seed, 0)
    assert examples == mixture(tiny_survey, 60, seed, 0)
    assert examples != mixture(tiny_survey, 60, seed, 1)
    for example in examples:
        assert sum(example.people) == pytest.approx(1)
        assert len(example.people) == len(example.item.options) == len(example.order)
        assert example.people[example.answered] > 0
        assert example.people[example.chosen] > 0
        assert example.chosen != example.rejected


@pytest.mark.parametrize("evenness", [0.0, 0.25, 0.5, 0.8, 1.0])
def test_countries_come_as_evenly_as_asked_whatever_items_they_have(evenness: float) -> None:
    """Nine countries; eight of ten items were asked in the USA alone, which the rule would draw half of the time."""
    survey = lopsided()
    by_rule = realised_diversity(Mixture()(survey, 1500, 0, 0))
    found = realised_diversity(Mixture(evenness=evenness)(survey, 6000, 0, 0))
    assert by_rule["evenness"] < 0.75
    if evenness == 0:
        assert found["hill_0"] == 1
        assert np.isnan(found["evenness"])
    else:
        assert found["evenness"] == pytest.approx(evenness, abs=0.03)
        assert found["hill_1"] == pytest.approx(1 + 8 * evenness, abs=0.24)


def test_the_dominant_country_is_drawn_or_named() -> None:
    survey = lopsided()

    def commonest(draw: int, **knobs: Any) -> str:
        counts = Counter(e.group.country for e in Mixture(evenness=0.3, **knobs)(survey, 400, 0, draw))
        return counts.most_common(1)[0][0]

    assert len({commonest(draw) for draw in range(10)}) > 2
    assert {commonest(draw, dominant="ISL") for draw in range(3)} == {"ISL"}
    with pytest.raises(ValueError, match=r"mixture\.dominant 'GHA' is not in the mixture: DEU"):
        commonest(0, dominant="GHA")
    with pytest.raises(ValueError, match="needs two kinds of country"):
        Mixture(evenness=0.5, countries=("USA",))(survey, 5, 0, 0)
    with pytest.raises(ValueError, match="needs two kinds of age"):
        Mixture(age_evenness=0.5)(survey, 5, 0, 0)


def test_ages_and_countries_are_both_as_asked(tiny_survey: Survey) -> None:
    """Two of six countries have answers by age, and ages are raked among those that state one."""
    mixture = Mixture(evenness=0.6, age_evenness=0.4, dominant_age="50+")
    examples = mixture(tiny_survey, 6000, 0, 0)
    found = realised_diversity(examples)
    assert found["evenness"] == pytest.approx(0.6, abs=0.03)
    assert found["ages_hill_1"] == pytest.approx(1 + 2 * 0.4, abs=0.1)
    ages = Counter(e.group.age for e in examples if e.group.age)
    assert ages.most_common(1)[0][0] == "50+"


def test_shares_that_cannot_be_are_refused(tiny_survey: Survey) -> None:
    young_only = replace(
        tiny_survey,
        distributions=tuple(
            d
            for d in tiny_survey.distributions
            if d.group.age in (("18-29",) if d.group.country == "USA" else ("50+",))
        ),
    )
    mixture = Mixture(conditions=("country+age",), evenness=0.0, dominant="USA", age_evenness=1.0)
    with pytest.raises(ValueError, match=r"evenness 0\.0 with mixture\.age_evenness 1\.0: no mixture .* has the asked"):
        mixture(young_only, 5, 0, 0)


def lopsided() -> Survey:
    """Two items in nine countries and eight in the USA alone."""
    codes = ("USA", "SWE", "DNK", "FIN", "ISL", "GBR", "FRA", "DEU", "ESP")
    items = tuple(Item(f"x/{number}", f"What {number}?", ("a", "b"), ordered=False, survey="x") for number in range(10))
    made = [
        AnswerDistribution(item.id, Group(code), (0.5, 0.5), 9, 9.0)
        for place, item in enumerate(items)
        for code in (codes if place < 2 else codes[:1])
    ]
    return Survey(items, tuple(made))
