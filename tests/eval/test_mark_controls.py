"""MARK's positive controls, its weights, and what `ask` asks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mark_scripted import OPTIONS, SPLIT, by_sex, context, only, run, scripted, value

from data.records import AnswerDistribution, Group, Survey
from eval.mark.audit import Mark


def test_told_its_answer_a_follower_follows_and_an_ignorer_does_not(sexes: Survey) -> None:
    """Before, the follower spreads evenly: its own answer gains 2/3. Controls are rows and estimates of their own."""

    def follows(text: str, options: list[str]) -> list[float]:
        told = re.search(r'answered this question before with: "([^"]+)"', text)
        return only(options, told[1]) if told else [1.0] * len(options)

    settings = Mark(respondents=12, items=1, draws=200, least_people=1, control_respondents=5)
    follower = settings(replace(context(scripted(follows), sexes, SPLIT), controls=True))
    ignorer = settings(replace(context(scripted(by_sex), sexes, SPLIT), controls=True))
    for condition in ("control:answer stated", "control:answer stated, dominant function"):
        effect = next(e for e in follower.estimates if (e.name, e.condition) == ("control_effect", condition))
        assert (effect.value, effect.low, effect.high) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
        assert (effect.group, effect.n) == ("all", 5)
        assert value(ignorer, "control_effect", condition) == 0
        assert (follower.items["condition"] == condition).sum() == 5
    decided = follower.items[follower.items["condition"] == "mark"]
    assert len(decided) == 12
    assert not follower.scores["condition"].str.contains("control").any()
    without = settings(context(scripted(follows), sexes, SPLIT))
    same = [e for e in follower.estimates if e.name != "control_effect"]
    np.testing.assert_equal([e.value for e in same], [e.value for e in without.estimates])
    pd.testing.assert_frame_equal(follower.scores, without.scores)


def test_a_copier_is_seen_by_the_answer_given_before_alone(sexes: Survey) -> None:
    """It repeats the letter that stands in an earlier turn, and reads no facts."""

    def copies(text: str, options: list[str]) -> list[float]:
        letters = re.findall(r"^Answer: ([A-Z])$", text, flags=re.MULTILINE)
        return only(options, options["ABC".index(letters[-1])]) if letters else [1.0] * len(options)

    settings = Mark(respondents=12, items=1, draws=200, least_people=1, control_respondents=5)
    copier = settings(replace(context(scripted(copies), sexes, SPLIT), controls=True))
    ignorer = settings(replace(context(scripted(by_sex), sexes, SPLIT), controls=True))
    assert value(copier, "control_effect", "control:answered before") == pytest.approx(2 / 3)
    assert value(copier, "control_effect", "control:answer stated") == 0
    assert value(ignorer, "control_effect", "control:answered before") == 0
    asked = copier.items[copier.items["condition"] == "control:answered before"]
    for _, row in asked.iterrows():
        assert row["answer"] == row["human"]
        ways = json.loads(row["prompts"])
        assert len(ways) == 2
        for way in ways:
            letter = "ABC"[way["shown"].index(row["options"][row["human"]])]
            assert way["text"].count(f"Answer: {letter}\n") == 1
            first, second = way["text"].split(f"Answer: {letter}\n")
            assert all(part.count(row["question"]) == 1 for part in (first, second))


def test_controls_survive_parquet(sexes: Survey, tmp_path: Path) -> None:
    found = Mark(respondents=4, items=1, draws=50)(replace(context(scripted(by_sex), sexes, SPLIT), controls=True))
    found.items.to_parquet(tmp_path / "items.parquet")
    back = pd.read_parquet(tmp_path / "items.parquet")
    assert back["condition"].value_counts().tolist() == [4, 4, 4, 4]
    assert back["human"].notna().all()


def test_all_four_functions_are_asked_again_where_wanted(sexes: Survey) -> None:
    """Te alone looks at age; the dominant Ni does not. Without age Te's 0.3 of the vote moves, and nothing of Ni's."""

    def answer(text: str, options: list[str]) -> list[float]:
        moved = "organises people" in text and "age: " in text
        return only(options, OPTIONS[0] if moved else OPTIONS[1])

    one = run(scripted(answer), sexes)
    everyone = run(scripted(answer), sexes, removal="all")
    assert value(one, "faithfulness", "feature: greatest") == 0
    assert value(everyone, "faithfulness", "feature: greatest") == pytest.approx(0.3)
    assert value(everyone, "faithfulness", "feature: another") == 0


def test_weighted_accuracy_by_hand(sexes: Survey) -> None:
    """NOR has 4 people drawn of 12 (one in 3), JPN 4 of 4: an accuracy of 1 in NOR and 0 in JPN is 12/16 of the people
    and 1/2 of the sample.
    """
    people = [p for p in sexes.respondents if p.group.country != "JPN" or int(p.id[-2:]) < 4]
    people = [replace(p, group=replace(p.group, age=""), answers={k: 0 for k in p.answers}) for p in people]
    right_in_norway = scripted(lambda t, o: only(o, OPTIONS[0] if "Norway" in t else OPTIONS[2]))
    result = run(right_in_norway, replace(sexes, respondents=tuple(people)), respondents=8)
    assert sorted(set(result.items["design_weight"])) == [1, 3]
    assert value(result, "accuracy", "mark") == pytest.approx(1 / 2)
    assert value(result, "accuracy_weighted", "mark") == pytest.approx(12 / 16)
    assert value(result, "accuracy_weighted", "demographics_only") == pytest.approx(12 / 16)


def test_a_country_is_predicted_by_weight(sexes: Survey) -> None:
    """Of Norway's two age bands one has 10 people of 12, the other 2, and as many are drawn of each: the mean
    prediction, first option for the young and last for the old, is 10/12 and 2/12, as the people are.
    """
    people = []
    for p in sexes.respondents:
        if p.group.country == "NOR":
            young = int(p.id[-2:]) < 10
            features = {"age": "20" if young else "70", "sex": p.group.sex, "education": "school"}
            people.append(replace(p, group=Group("NOR", "18-29" if young else "50+"), features=features))
    shares = (AnswerDistribution("toy/held", Group("NOR"), (10 / 12, 0.0, 2 / 12), 12, 12.0),)
    model = scripted(lambda t, o: only(o, OPTIONS[0] if "age: 20" in t else OPTIONS[2]))
    survey = replace(sexes, respondents=tuple(people), distributions=shares)
    result = run(model, survey, respondents=4)
    assert sorted(result.items["design_weight"]) == [1, 1, 5, 5]
    assert value(result, "js_distance", "mark") == pytest.approx(0, abs=1e-6)


def test_nobody_but_the_answerer_is_asked_in_ask_and_nothing_is_asked_in_measuring(sexes: Survey) -> None:
    model = scripted(by_sex)
    audit = Mark(respondents=4, items=1, draws=50)
    found = audit.ask(context(model, sexes, SPLIT))
    count = len(model.asked)
    audit.measure(found)
    assert count == len(model.asked) > 0
