from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from data.records import AnswerDistribution, Group, Item, Survey
from eval.diversity_enhanced.answers import EXPECTED, opinions, preference_answers
from eval.diversity_enhanced.effects import ablation_scores, control_effects
from eval.diversity_enhanced.groups import GROUPS, group_estimates, group_scores
from eval.diversity_enhanced.measures import (
    diversity_scores,
    expected_distinct,
    participant_scores,
    wording_distance,
    wording_diversity,
    words,
)
from eval.diversity_enhanced.participants import PARTICIPANTS

Q = np.array([0.5, 0.3, 0.2])


def choices(condition: str, drawn: list[tuple[str, int, list[float]]], **more: object) -> pd.DataFrame:
    """A row for every (participant, answer, p) of one item, asked in the own order."""
    return pd.DataFrame(
        [
            {"participant": who, "item": "i", "country": who.split("-")[0], "condition": condition, "answer": answer}
            | {"p": np.array(p), "probabilities": np.array(p), "order": [0, 1, 2], "options": ["a", "b", "c"]}
            | {"q": Q, "n": 100.0, "ordered": False, "positions": None, "remembered": 0, "greedy": False, "told": -1}
            | {"option_mass": 0.5}
            | more
            for who, answer, p in drawn
        ]
    )


def replies(told: list[tuple[str, int, str]], disclaimer: bool = False) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"participant": who, "item": "i", "country": who.split("-")[0], "condition": PARTICIPANTS, "answer": answer}
            | {"order": [1, 0, 2], "options": ["b", "a", "c"], "reply": text, "explanation": text, "told": -1}
            | {"disclaimer": disclaimer, "q": Q, "n": 100.0, "ordered": False, "positions": None, "remembered": 0}
            | {"greedy": False}
            for who, answer, text in told
        ]
    )


def value(scores: pd.DataFrame, measure: str, condition: str) -> float:
    (found,) = scores[(scores["measure"] == measure) & (scores["condition"] == condition)]["value"]
    return float(found)


def test_distinct_answers_by_hand() -> None:
    # Two people, a fair coin: one answer half of the time, two otherwise.
    assert expected_distinct(np.array([0.5, 0.5]), 2) == pytest.approx(1.5)
    assert expected_distinct(np.array([1.0, 0.0]), 9) == 1


def test_diversity_beside_as_many_people() -> None:
    items = choices(PARTICIPANTS, [("NOR-0", 0, [1, 0, 0]), ("NOR-1", 1, [1, 0, 0])])
    scores = diversity_scores(items)
    people = 3 - 0.5**2 - 0.7**2 - 0.8**2
    assert value(scores, "response_diversity", PARTICIPANTS) == 2
    assert value(scores, "response_diversity", "reference:people_again") == pytest.approx(people)
    assert value(scores, "response_diversity_ratio", PARTICIPANTS) == pytest.approx(2 / people)


def test_words_have_no_case_and_no_punctuation() -> None:
    assert words("It's  fine, REALLY!") == ("it", "s", "fine", "really")
    assert words("不好。") == ("不", "好")


def test_wordings_by_hand() -> None:
    texts = ["People lie.", "people lie", "people help"]
    assert wording_diversity(texts) == pytest.approx(2 / 3)
    assert math.isnan(wording_diversity(["alone"]))
    # The first two say the same (0); each shares one word of three with the third.
    assert wording_distance(texts, [0, 0, 0]) == pytest.approx((0 + 2 / 3 + 2 / 3) / 3)
    # Of another answer, the third is in no pair: wordings are apart from opinions.
    assert wording_distance(texts, [0, 0, 1]) == 0
    assert math.isnan(wording_distance(texts, [0, 1, 2]))


def test_unparsed_replies_are_counted_and_in_no_share() -> None:
    told = [("NOR-0", 0, "x y"), ("NOR-1", 0, "x z"), ("NOR-2", 2, "x"), ("NOR-3", -1, "hm")]
    items = replies(told)
    (row,) = preference_answers(items).to_dict("records")
    assert row["condition"] == PARTICIPANTS
    assert row["p"] == pytest.approx([2 / 3, 0, 1 / 3])
    assert row["n_model"] == 3
    assert row["option_mass"] == 0.75
    scores = participant_scores(items)
    assert value(scores, "unparsed_rate", PARTICIPANTS) == 0.25
    assert value(scores, "disclaimer_rate", PARTICIPANTS) == 0
    assert value(scores, "wording_diversity", PARTICIPANTS) == 1
    assert value(scores, "wording_distance", PARTICIPANTS) == pytest.approx(2 / 3)
    # The option shown first is 1, which nobody gave.
    assert value(scores, "order_effect", PARTICIPANTS) == 0
    nobody = preference_answers(replies([("NOR-0", -1, "hm")]))
    assert nobody.empty
    assert "stratum" in nobody
    assert value(participant_scores(replies([("NOR-0", -1, "hm")])), "unparsed_rate", PARTICIPANTS) == 1


def test_replies_are_counted_where_no_people_were_asked_too() -> None:
    items = replies([("NOR-0", 0, "A. So."), ("NOR-1", -1, "hm"), ("GHA-0", -1, "hm"), ("GHA-1", -1, "hm")])
    items["q"] = [Q, Q, None, None]
    rates = participant_scores(items)
    rates = rates[rates["measure"] == "unparsed_rate"].set_index("country")["value"]
    assert rates.to_dict() == {"NOR": 0.5, "GHA": 1.0}
    assert set(diversity_scores(items)["country"]) == {"NOR"}


def test_a_greedy_participant_is_certain() -> None:
    items = choices(PARTICIPANTS, [("NOR-0", 0, [0.4, 0.3, 0.3]), ("NOR-1", 2, [0.2, 0.4, 0.4])])
    items["greedy"] = [True, False]
    np.testing.assert_allclose(opinions(items), [[1, 0, 0], [0.2, 0.4, 0.4]])
    answers = preference_answers(items).set_index("condition")
    assert answers.loc[EXPECTED, "p"] == pytest.approx([0.6, 0.2, 0.2])
    assert answers.loc[PARTICIPANTS, "p"] == pytest.approx([0.5, 0, 0.5])


def test_the_effect_of_a_modification_by_hand() -> None:
    full = choices(PARTICIPANTS, [("NOR-0", 0, Q.tolist()), ("NOR-1", 1, Q.tolist())])
    bare = choices("no_memory", [("NOR-0", 0, [1, 0, 0]), ("NOR-1", 0, [1, 0, 0])])
    scores = ablation_scores(pd.concat([full, bare]), ["no_memory"])
    assert value(scores, "total_variation", "no_memory:expected") == pytest.approx(0.5)
    apart = value(scores, "js_distance", "no_memory:expected")
    assert apart > 0.3
    assert value(scores, "effect_on_js_distance", "no_memory") == pytest.approx(-apart)
    assert value(scores, "response_diversity", "no_memory") == 1
    assert value(scores, "effect_on_response_diversity", "no_memory") == 1
    assert not scores["condition"].str.startswith((PARTICIPANTS, "reference:")).any()
    assert ablation_scores(full, []).empty


def test_the_control_compares_each_participant_with_itself() -> None:
    plain = choices(PARTICIPANTS, [("NOR-0", 0, [0.2, 0.3, 0.5]), ("GHA-0", 0, [0.2, 0.3, 0.5])])
    told = choices("control:told", [("NOR-0", 0, [0.1, 0.7, 0.2]), ("GHA-0", 0, [0.1, 0.4, 0.5])], told=1)
    (found,) = control_effects(pd.concat([plain, told]), np.random.default_rng(0), 50)
    assert (found.name, found.condition, found.group) == ("control_effect", "control:told", "all")
    assert found.value == pytest.approx((0.4 + 0.1) / 2)
    assert control_effects(plain, np.random.default_rng(0), 50) == []


YOUNG, OLD = "18-29", "50+"


def survey_of(young: tuple[float, ...], old: tuple[float, ...], n_young: int, n_old: int) -> Survey:
    item = Item("i", "?", ("a", "b", "c"), False, "toy")
    every = tuple(np.average([young, old], axis=0, weights=[n_young, n_old]).tolist())
    return Survey(
        (item,),
        (
            AnswerDistribution("i", Group("NOR"), every, n_young + n_old, float(n_young + n_old)),
            AnswerDistribution("i", Group("NOR", age=YOUNG), young, n_young, float(n_young)),
            AnswerDistribution("i", Group("NOR", age=OLD), old, n_old, float(n_old)),
            AnswerDistribution("i", Group("NOR", age=OLD, sex="male"), old, n_old, float(n_old)),
        ),
    )


def answers_of(survey: Survey, p: list[float]) -> pd.DataFrame:
    q = np.array(survey.distributions[0].probabilities)
    row = {"item": "i", "country": "NOR", "age": "", "sex": "", "education": "", "condition": EXPECTED}
    row |= {"stratum": "held_out", "p": np.array(p), "n_model": math.inf, "q": q, "n": 100.0, "ordered": False}
    return pd.DataFrame([row | {"positions": None, "option_mass": 1.0}])


def test_whose_people_the_participants_resemble_by_hand() -> None:
    # The young say a, the old b; there are nine times as many old. The participants say a: they speak for the young.
    survey = survey_of((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), 100, 900)
    scores = group_scores(answers_of(survey, [0.8, 0.1, 0.1]), survey)
    assert set(scores["condition"]) == {GROUPS}
    by_age = scores.set_index(["measure", "age"])["value"]
    everybody = 0.1 * 0.8 + 0.9 * 0.1
    assert by_age["preferred_share", YOUNG] == pytest.approx(0.8 - everybody)
    assert by_age["preferred_share", OLD] == pytest.approx(0.1 - everybody)
    assert by_age["fidelity", YOUNG] < 0.1 < by_age["fidelity", OLD]
    assert by_age["age_gap", ""] == pytest.approx(by_age["fidelity", YOUNG] - by_age["fidelity", OLD])
    # Heads: 80 young and 90 old say a, so that the published match calls them the old.
    assert by_age["profile_match_as_published", YOUNG] == 0
    assert by_age["profile_match_as_published", OLD] == 1
    named = {(e.name, e.group) for e in group_estimates(scores, np.random.default_rng(0), 20)}
    assert ("preferred_share", "age=18-29") in named
    assert ("age_gap", "all") in named
    assert ("fidelity", "all") not in named


def test_tied_options_are_preferred_alike() -> None:
    survey = survey_of((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), 100, 900)
    shares = group_scores(answers_of(survey, [0.5, 0.5, 0.0]), survey).set_index(["measure", "age"])["value"]
    everybody = [0.1 * 0.8 + 0.9 * 0.1, 0.1 * 0.1 + 0.9 * 0.8]
    assert shares["preferred_share", YOUNG] == pytest.approx((0.8 + 0.1 - sum(everybody)) / 2)


def test_people_without_groups_give_no_group_scores() -> None:
    survey = survey_of((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), 100, 900)
    bare = Survey(survey.items, survey.distributions[:1])
    assert group_scores(answers_of(survey, [1, 0, 0]), bare).empty
    unsized = Survey(
        survey.items, tuple(AnswerDistribution(d.item, d.group, d.probabilities, 0, 0.0) for d in survey.distributions)
    )
    assert "profile_match_as_published" not in set(group_scores(answers_of(survey, [1, 0, 0]), unsized)["measure"])
