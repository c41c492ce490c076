"""Pooling and controls: what they destroy, and what they leave as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.controls import CONTROLS, _words, neutral, shuffled_countries
from data.diversity import mean_js_between
from data.languages import languages
from data.mixture import Mixture
from data.prompts import Asking, Renderer
from data.records import AnswerDistribution, Group, Item, Survey, TrainingExample


def entropy(people: tuple[float, ...]) -> float:
    shares = np.array([share for share in people if share > 0])
    return float(-(shares * np.log(shares)).sum())


def pair(survey: Survey, size: int = 300, draw: int = 0, **knobs: object) -> list[tuple[TrainingExample, ...]]:
    """The mixture without and with the knobs."""
    shared = {"min_countries": 2}
    made = [Mixture(**shared), Mixture(**shared, **knobs)]  # type: ignore[arg-type]
    return [mixture(survey, size, 0, draw) for mixture in made]


@pytest.mark.parametrize("knobs", [{"pooling": "population"}, *({"control": name} for name in CONTROLS)])
def test_a_control_differs_from_its_twin_in_whose_answers_are_taught_alone(
    tiny_survey: Survey, knobs: dict[str, str]
) -> None:
    twin, control = pair(tiny_survey, **knobs)
    assert [(e.group, e.condition, e.order) for e in control] == [(e.group, e.condition, e.order) for e in twin]
    assert [e.people for e in control] != [e.people for e in twin]
    asked = [e.item.id == t.item.id for e, t in zip(control, twin, strict=True)]
    assert all(asked) if "neutral" not in knobs.values() else not any(asked)
    answers = np.mean([e.people[e.answered] for e in control])
    assert answers == pytest.approx(np.mean([sum(p * p for p in e.people) for e in control]), abs=0.05)


def test_pooling_teaches_one_answer_to_all_personas() -> None:
    """Two countries, one with three ages: the rule draws each country half of the time, so each has half the weight."""
    item = Item("x/1", "What?", ("a", "b"), ordered=False, survey="x")
    people = {Group("NOR"): 0.2, **{Group("USA", age): share for age, share in (("18-29", 0.6), ("50+", 1.0))}}
    made = tuple(AnswerDistribution("x/1", group, (share, 1 - share), 9, 9.0) for group, share in people.items())
    examples = Mixture(pooling="population")(Survey((item,), made), 2000, 0, 0)
    assert {e.group for e in examples} == set(people)
    for example in examples:
        assert example.people == pytest.approx((0.5, 0.5))
    assert np.mean([e.answered for e in examples]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([e.chosen for e in examples]) == pytest.approx(0.5, abs=0.04)


def test_pooling_weighs_groups_as_they_are_drawn(tiny_survey: Survey) -> None:
    """The pooled answer is the mean of the twin's people, over very many draws, of an uneven mixture too."""
    knobs = {"evenness": 0.4, "items": ("toy/work",)}
    twin, pooled = (Mixture(**knobs, pooling=name)(tiny_survey, 6000, 0, 0) for name in ("country", "population"))  # type: ignore[arg-type]
    assert np.mean([e.people for e in twin], axis=0) == pytest.approx(pooled[0].people, abs=0.02)
    assert mean_js_between(twin) > 0.1
    assert mean_js_between(pooled) == pytest.approx(0, abs=1e-6)


def test_shuffled_labels_keep_every_entropy_and_lose_the_agreement(tiny_survey: Survey) -> None:
    twin, control = pair(tiny_survey, control="shuffled_labels")
    seen: dict[tuple[str, Group], tuple[float, ...]] = {}
    for one, other in zip(control, twin, strict=True):
        assert entropy(one.people) == pytest.approx(entropy(other.people))
        assert sorted(one.people) == sorted(other.people)
        assert seen.setdefault((one.item.id, one.group), one.people) == one.people
    agreements = []
    for draw in range(40):
        twin, control = pair(tiny_survey, 60, draw, control="shuffled_labels")
        pairs = {(e.item.id, e.group): (e.people, t.people) for e, t in zip(control, twin, strict=True)}
        excess = [np.dot(p, q) - 1 / len(p) for p, q in pairs.values()]
        agreements.append(np.mean(excess))
    assert np.mean(agreements) == pytest.approx(0, abs=0.02)
    agreement_with_themselves = np.mean([np.dot(e.people, e.people) - 1 / len(e.people) for e in twin])
    assert agreement_with_themselves > 0.08


def sparse(survey: Survey, seed: int) -> Survey:
    """At random some groups were not asked; of every item two countries were."""
    rng = np.random.default_rng(seed)
    kept = [d for d in survey.distributions if rng.random() < 0.5 or d.group in (Group("NOR"), Group("GHA"))]
    return replace(survey, distributions=tuple(kept))


@given(seed=st.integers(0, 300))
def test_no_country_answers_for_itself_and_none_for_two(seed: int) -> None:
    survey = sparse(wide(), seed)
    truth = {(d.item, d.group): (survey.by_id[d.item], d.probabilities) for d in survey.distributions}
    owner = {(d.item, d.probabilities): d.group for d in survey.distributions}
    shuffled = shuffled_countries(truth, np.random.default_rng(seed))
    assert shuffled.keys() == truth.keys()
    taken = []
    for (item, group), (asked, people) in shuffled.items():
        answering = owner[item, people]
        assert asked.id == item
        assert answering.country != group.country
        alike = [g for i, g in truth if i == item and g.age == group.age and g.country != group.country]
        assert not alike or answering.age == group.age
        if alike:
            taken.append((item, answering))
    assert len(set(taken)) == len(taken)


def wide() -> Survey:
    rng = np.random.default_rng(0)
    items = tuple(Item(f"x/{n}", f"What {n}?", ("a", "b", "c"), ordered=False, survey="x") for n in range(3))
    groups = [Group(code, age) for code in ("NOR", "USA", "GHA", "JPN", "BRA") for age in ("", "18-29", "50+")]
    made = [
        AnswerDistribution(item.id, group, tuple(rng.dirichlet(np.ones(3)).tolist()), 9, 9.0)
        for item in items
        for group in groups
    ]
    return Survey(items, tuple(made))


def test_an_item_of_one_country_has_nobody_else(tiny_survey: Survey) -> None:
    item = tiny_survey.items[0]
    with pytest.raises(ValueError, match="asked in NOR alone"):
        shuffled_countries({(item.id, Group("NOR")): (item, (1.0, 0, 0, 0))}, np.random.default_rng(0))


def test_a_neutral_twin_states_the_shares_that_it_teaches(tiny_survey: Survey) -> None:
    twin, control = pair(tiny_survey, control="neutral")
    for one, other in zip(control, twin, strict=True):
        assert one.people == pytest.approx(other.people, abs=0.01)
        assert sum(round(share * 100) for share in one.people) == 100
        stated = [
            f"{option.lower()} {round(share * 100)}" for option, share in zip(one.item.options, one.people, strict=True)
        ]
        assert ", ".join(stated) in one.item.question
        assert not one.item.ordered
        assert one.item.id == f"neutral/{other.item.id}/{other.group.label}"
    assert not {e.item.question for e in control} & {item.question for item in tiny_survey.items}
    assert len({e.item.options[0] for e in control}) > 5


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=12))
def test_shares_are_rounded_to_a_hundred_by_largest_remainder(weights: list[float]) -> None:
    people = tuple((np.array(weights) / sum(weights)).tolist())
    item = Item("x/1", "What?", tuple("abcdefghijkl"[: len(people)]), ordered=False, survey="x")
    made = neutral({("x/1", Group("NOR")): (item, people)}, np.random.default_rng(0))
    ((_, rounded),) = made.values()
    assert sum(rounded) == pytest.approx(1)
    assert rounded == pytest.approx(people, abs=0.01)


def test_more_options_than_colours_are_refused() -> None:
    item = Item("x/1", "What?", tuple("abcdefghijklm"), ordered=False, survey="x")
    with pytest.raises(ValueError, match="'x/1' has 13 options, more than there are colours"):
        neutral({("x/1", Group("NOR")): (item, (1 / 13,) * 13)}, np.random.default_rng(0))


@pytest.mark.parametrize("language", languages())
def test_neutral_twins_speak_every_language_of_the_prompts(tiny_survey: Survey, language: str) -> None:
    assert len(set(_words()[language]["colours"])) == 12
    example = Mixture(control="neutral", conditions=("country",))(tiny_survey, 1, 0, 0)[0]
    shown = Renderer(Asking(style="completion", language=language)).survey(
        example.item, example.order, example.group, example.condition
    )
    assert all(option in shown.text for option in example.item.in_language(language).options)


@pytest.mark.parametrize("knobs", [{"pooling": "population"}, *({"control": name} for name in CONTROLS)])
def test_what_is_taught_is_one_truth(tiny_survey: Survey, knobs: dict[str, str]) -> None:
    """Recipes that draw on more people than those of the examples find the answers that the examples have."""
    mixture = Mixture(**knobs, evenness=0.7, min_countries=2)  # type: ignore[arg-type]
    taught = mixture.taught(tiny_survey, 0, 3)
    for example in mixture(tiny_survey, 200, 0, 3):
        assert taught.by_id[example.item.id] == example.item
        assert taught.people[example.item.id, example.group].probabilities == example.people
    assert len(taught.distributions) == len(tiny_survey.distributions)
    assert not taught.respondents


def test_without_pooling_and_control_people_are_taught_as_they_are(tiny_survey: Survey) -> None:
    assert Mixture(evenness=0.5).taught(tiny_survey, 0, 0) is tiny_survey
