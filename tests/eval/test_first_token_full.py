"""The first-token audit against models whose right values are known: knowledge of the country, manners of asking."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from first_token_scripted import (
    ALL,
    FRENCH,
    Scripted,
    american,
    item_only,
    people,
    runner,
    units,
    value,
)

from data.languages import frame
from data.records import AnswerDistribution, Group, Item, Split, Survey
from eval.distances import js_distance
from eval.first_token.asking import CONDITIONS, manner_of
from eval.first_token.audit import FirstToken
from eval.first_token.knowledge import knowledge_scores
from eval.first_token.manners import manner_scores
from eval.records import SCORE_KEYS, AuditResult


@pytest.fixture(scope="module")
def run(tiny_survey: Survey, tiny_split: Split) -> Callable[..., tuple[AuditResult, Scripted]]:
    return runner(tiny_survey, tiny_split)


# --- does it know the country ----------------------------------------------------------------------------------------


def test_shuffled_persona_by_hand() -> None:
    """Two countries at the ends, the third in the middle; the model answers as the first country for all."""
    q = {"A": [1.0, 0.0], "B": [0.0, 1.0], "C": [0.5, 0.5]}
    scores = knowledge_scores(units({"A": [1, 0], "B": [1, 0], "C": [0.5, 0.5]}, q), ("js_distance", "emd"))
    found = {(row.measure, row.country): row.value for row in scores.itertuples()}
    half = float(js_distance([1, 0], [0.5, 0.5]))
    assert found["js_distance", "A"] == pytest.approx(half / 2)  # B's answer is right for A too, C's half away
    assert found["js_distance", "B"] == pytest.approx((1 + half) / 2)
    assert found["emd", "B"] == pytest.approx((1 + 0.5) / 2)
    assert found["country_knowledge", "A"] == pytest.approx(half / 2)
    assert found["country_knowledge", "B"] == pytest.approx((1 + half) / 2 - 1)  # a wrong country serves B better
    assert found["country_knowledge", "C"] == pytest.approx(half)
    assert set(scores.loc[scores["measure"] != "country_knowledge", "condition"]) == {"shuffled_persona"}
    assert knowledge_scores(units({"A": [1, 0]}, q)).empty


def test_an_infinite_distance_of_the_right_country_is_not_in_the_shuffled_one() -> None:
    table = units({"A": [1, 0], "B": [0.5, 0.5]}, {"A": [0.5, 0.5], "B": [0.5, 0.5]})
    found = knowledge_scores(table, ("kl_people_model",)).query("measure == 'kl_people_model'")
    assert dict(zip(found["country"], found["value"], strict=True)) == {"A": 0.0, "B": np.inf}


def test_perfect_people_know_the_country_by_the_mean_distance_between_countries(
    run: Callable[..., tuple[AuditResult, Scripted]], tiny_survey: Survey
) -> None:
    result, _ = run(people)
    between = [
        float(js_distance(*(tiny_survey.people[item, Group(code)].probabilities for code in (a, b))))
        for item in ("toy/bribe", "toy/vote")
        for a, b in itertools.permutations(("NOR", "GHA", "BRA", "IND"), 2)
    ]  # fmt: skip
    assert value(result, "js_distance") == pytest.approx(0, abs=1e-7)
    assert value(result, "skill") == pytest.approx(1)
    assert value(result, "country_knowledge") == pytest.approx(np.mean(between))
    assert value(result, "js_distance", "shuffled_persona") == pytest.approx(np.mean(between))


def test_who_ignores_the_country_knows_none_and_is_american_as_far_as_it_answers_so(
    run: Callable[..., tuple[AuditResult, Scripted]], tiny_survey: Survey
) -> None:
    result, _ = run(item_only)
    assert value(result, "country_knowledge") == pytest.approx(0, abs=1e-12)
    assert value(result, "between_ratio") == pytest.approx(0, abs=1e-9)
    assert value(result, "js_distance", "shuffled_persona") == pytest.approx(value(result, "js_distance"))
    us, _ = run(american)
    q = {key: d.probabilities for key, d in tiny_survey.people.items()}
    pull = [
        float(js_distance(q[item, Group("USA")], q[item, Group(country)]))
        for item in ("toy/bribe", "toy/vote")
        for country in ("NOR", "GHA", "BRA", "IND")
    ]
    for condition in ("none", "country"):
        assert value(us, "us_centrism", condition) == pytest.approx(np.mean(pull))
        assert value(us, "similarity_to_home", condition) == pytest.approx(1)
        assert value(us, "similarity", condition) == pytest.approx(1 - np.mean(pull))


def test_always_the_first_place(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    first, _ = run(lambda survey, item, *_: np.eye(len(item.options))[0], by_place=True, controls=True)
    assert value(first, "position_effect") == pytest.approx(1)
    assert value(first, "control_effect", "control:told") == pytest.approx(0)
    assert value(first, "control_effect", "control:sharpened") == pytest.approx(0)


# --- styles, languages, demographics ---------------------------------------------------------------------------------


def by_style(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    """The first option for sure in a biography, the last in a portrayal, evenly between in questions and answers."""
    ends = np.eye(len(item.options))[[0, -1]]
    if "Answer as a person" in text or "Répondez comme" in text:
        return ends[1]
    return ends.mean(axis=0) if "Q: " in text else ends[0]


def test_all_persona_styles_in_one_audit(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    result, asked = run(by_style, personas=("biography", "portrayal", "question_answer"), conditions=ALL)
    plain, before = run(by_style, conditions=ALL)
    assert set(result.items["condition"]) == {
        "none", "country", "country (portrayal)", "country (question_answer)",
        "country+age", "country+age (portrayal)", "country+age (question_answer)",
    }  # fmt: skip
    nobody = len(plain.items.query("condition == 'none'"))
    assert len(asked.prompts) == 3 * (len(before.prompts) - nobody) + nobody
    half = float(js_distance([1, 0], [0.5, 0.5]))
    assert value(result, "persona_distance", "country (portrayal)") == pytest.approx(1)
    assert value(result, "persona_distance", "country (question_answer)") == pytest.approx(half)
    assert value(result, "persona_distance", "country") == pytest.approx((1 + half + half) / 3)
    for estimate in plain.estimates:  # the main reading is the same as without further styles
        if estimate.name in ("js_distance", "fidelity", "between_ratio", "position_effect"):
            assert value(result, estimate.name, estimate.condition, estimate.group) == pytest.approx(
                estimate.value, rel=0.2, nan_ok=True
            ), estimate
    assert not result.scores.duplicated([*SCORE_KEYS]).any()
    assert {"persona_distance", "country_knowledge"} <= set(result.scores["measure"])


def in_french(survey: Survey) -> Survey:
    def worded(item: Item) -> Item:
        return replace(item, wordings=(FRENCH[item.id],)) if item.id in FRENCH else item

    return replace(survey, items=tuple(map(worded, survey.items)))


def test_answers_in_several_languages(run: Callable[..., tuple[AuditResult, Scripted]], tiny_survey: Survey) -> None:
    def by_language(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
        return people(survey, item, country, text) if frame("en").instruction in text else np.eye(len(item.options))[0]

    survey = in_french(tiny_survey)
    result, _ = run(by_language, survey=survey, languages=("en", "fr"), conditions=ALL)
    assert result.excluded["items without a wording in 'fr'"] == 2
    french = result.items[result.items["condition"] == "country (fr)"]
    assert set(french["item"]) == {"toy/bribe", "toy/work"}
    assert french["prompt"].str.contains("Mon pays de résidence", regex=False).all()
    assert {"none (fr)", "country+age (fr)"} <= set(result.items["condition"])
    q = [survey.people["toy/bribe", Group(c)].probabilities for c in ("NOR", "GHA", "BRA", "IND")]
    away = np.mean([js_distance([1, 0, 0, 0], one) for one in q])
    assert value(result, "language_distance", "country") == pytest.approx(away)  # English answers are people's
    assert value(result, "js_distance", "country (fr)") == pytest.approx(away)
    assert value(result, "js_distance") == pytest.approx(0, abs=1e-7)
    floors = [e for e in result.estimates if e.condition == "reference:people_again (country (fr))"]
    assert {e.n for e in floors if e.name == "js_distance" and e.group == "all"} == {4}  # on the French units alone


def test_a_manner_is_compared_on_the_units_that_it_shares() -> None:
    table = pd.concat(
        [
            units({"A": [1, 0], "B": [1, 0]}, {"A": [1, 0], "B": [1, 0]}),
            units({"B": [0, 1]}, {"B": [1, 0]}, condition="country (portrayal)"),
            units({"A": [1, 0], "B": [1, 0]}, {"A": [1, 0], "B": [1, 0]}, condition="none"),
            units({"A": [0, 1], "B": [0, 1]}, {"A": [1, 0], "B": [1, 0]}, condition="none (fr)"),
        ]
    )
    found = manner_scores(table)
    assert found.loc[found["condition"] == "country", ["country", "value"]].to_numpy().tolist() == [["B", 1.0]]
    none = found[found["condition"] == "none"]
    assert none[["country", "value"]].to_numpy().tolist() == [["", 1.0]]  # one answer, held against two countries


def test_any_demographics_that_groups_have(
    run: Callable[..., tuple[AuditResult, Scripted]], tiny_survey: Survey
) -> None:
    groups = [
        Group(country, sex=sex, education=education)
        for country in ("NOR", "GHA")
        for sex, education in (("female", ""), ("male", ""), ("", "university degree"), ("", "no university degree"),
                               ("female", "university degree"))
    ]  # fmt: skip
    more = tuple(AnswerDistribution("toy/bribe", group, (0.7, 0.1, 0.1, 0.1), 90, 90.0) for group in groups)
    survey = replace(tiny_survey, distributions=(*tiny_survey.distributions, *more))
    conditions = ("country", "country+sex", "country+education", "country+sex+education", "country+age+sex")
    result, asked = run(item_only, survey=survey, conditions=conditions)
    assert set(result.items["condition"]) == {*conditions} - {"country+age+sex"}
    assert result.excluded == {"items without groups to ask with country+age+sex": 4}
    assert any("I am a woman. I have this education: university degree." in p.text for p in asked.prompts)
    distance = float(js_distance([0.6, *[0.4 / 3] * 3], [0.7, 0.1, 0.1, 0.1]))
    for level, condition in (("sex=female", "country+sex"), ("education=university degree", "country+education")):
        assert value(result, "js_distance", condition, level) == pytest.approx(distance)
        assert value(result, "people", f"reference:people ({condition})", level) == 90
        assert 0.05 < value(result, "js_distance", f"reference:people_again ({condition})", level) < 0.15
    assert value(result, "education_gap", "country+education") == pytest.approx(0, abs=1e-9)
    assert value(result, "people", "reference:people", "country=GHA") == 200
    assert set(CONDITIONS) >= {"none", "country", "country+age+sex+education"}
    assert len(CONDITIONS) == 9


def test_conditions_name_their_manner() -> None:
    assert manner_of("country+age (question_answer)") == ("country+age", "question_answer")
    assert manner_of("none") == ("none", "")
    for knobs, named in (
        ({"personas": ("sonnet",)}, "personas must be among .* got 'sonnet'"),
        ({"languages": ("tlh",)}, "languages must be among .* got 'tlh'"),
        ({"languages": ("fr", "fr")}, "languages names one twice"),
        ({"conditions": ("country+sex+age",)}, "conditions must be among"),
        ({"control_units": 0}, "control_units must be at least 1"),
    ):
        with pytest.raises(ValueError, match=named):
            FirstToken(**knobs)  # type: ignore[arg-type]
