"""The first-token audit beyond its measures: the positive control, published measures, the earlier wave."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from first_token_scripted import (
    Scripted,
    context_of,
    item_only,
    people,
    runner,
    units,
    value,
)

from data.records import Item, Split, Survey
from eval.first_token.audit import FirstToken, answers_table, people_table
from eval.first_token.control import sharpened
from eval.first_token.published import PUBLISHED
from eval.records import AuditResult
from eval.references import earlier_wave_scores
from eval.validity import gate


@pytest.fixture(scope="module")
def run(tiny_survey: Survey, tiny_split: Split) -> Callable[..., tuple[AuditResult, Scripted]]:
    return runner(tiny_survey, tiny_split)


# --- the positive control --------------------------------------------------------------------------------------------


def test_who_listens_moves_and_who_does_not_is_blind(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    def follower(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
        told = re.search(r"Most people here answer: (.*)$", text, re.M)
        if told is None:
            return [1 / len(item.options)] * len(item.options)
        return np.eye(len(item.options))[item.options.index(told[1])]

    result, _ = run(follower, controls=True, control_units=8)
    (told,) = (e for e in result.estimates if e.condition == "control:told")
    even = np.mean([1 - 1 / 4, 1 - 1 / 3])  # bribe has 4 options, vote 3; each in four countries
    assert told.value == pytest.approx(even)
    assert told.low > 0
    assert value(result, "control_effect", "control:sharpened") == pytest.approx(0)  # nothing to sharpen
    ignorer, _ = run(item_only, controls=True, control_units=8)
    (blind,) = (e for e in ignorer.estimates if e.condition == "control:told")
    assert blind.value == pytest.approx(0)
    assert not blind.low > 0
    rows = result.items[result.items["condition"].str.startswith("control:")]
    assert len(rows) == 8 * 2 * 2
    assert rows.loc[rows["condition"] == "control:told", "prompt"].str.contains("I live in .*\nMost people here").all()
    assert not rows.loc[rows["condition"] == "control:not_told", "prompt"].str.contains("Most people here").any()
    once = rows[rows["condition"] == "control:told"].drop_duplicates(["item", "country"])
    for item, part in once.groupby("item"):  # spread evenly: no option twice before each was told once
        assert part["told"].nunique() == min(len(part), 4 if item == "toy/bribe" else 3)


def test_the_control_enters_nothing_else(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    plain, _ = run(people)
    result, _ = run(people, controls=True)
    assert not any(e.name == "control_effect" for e in plain.estimates)
    assert [repr(e) for e in result.estimates if e.name != "control_effect"] == list(map(repr, plain.estimates))
    pd.testing.assert_frame_equal(result.scores, plain.scores)
    assert len(answers_table(result.items)) == len(answers_table(plain.items))
    found, without = (gate(one.items, answers_table(one.items), 12.0, 12.0) for one in (result, plain))
    assert found == without


def test_sharpening_takes_entropy_by_hand() -> None:
    assert sharpened(np.array([0.5, 0.5])).tolist() == [0.5, 0.5]
    assert sharpened(np.array([0.8, 0.2])).tolist() == pytest.approx([256 / 257, 1 / 257])
    assert sharpened(np.array([1.0, 0.0])).tolist() == [1.0, 0.0]


def test_sharpened_effect_by_hand(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    result, _ = run(lambda survey, item, *_: [0.8, 0.2, *[0.0] * (len(item.options) - 2)], controls=True)
    before = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    after = -(256 * np.log(256 / 257) + np.log(1 / 257)) / 257
    assert value(result, "control_effect", "control:sharpened") == pytest.approx(1 - after / before)


# --- published measures, the earlier wave, asking apart ---------------------------------------------------------------


def test_published_measures_are_a_table_of_their_own(run: Callable[..., tuple[AuditResult, Scripted]]) -> None:
    plain, _ = run(people)
    result, asked = run(people, as_published=True)
    _, before = run(people)
    assert len(asked.prompts) == len(before.prompts)
    assert not any(e.name in PUBLISHED for e in plain.estimates)
    assert value(result, "one_minus_js_as_published") == pytest.approx(1)
    assert value(result, "accuracy_as_published") == 1
    assert value(result, "emd_as_published", group="country=GHA") == pytest.approx(0, abs=1e-9)
    assert value(result, "one_minus_js_as_published", "reference:uniform") < 1
    assert not set(result.scores["measure"]) & {*PUBLISHED}  # so that nothing can be compared or decided on them
    assert all(name.endswith("_as_published") for name in PUBLISHED)


def test_the_earlier_wave_by_hand() -> None:
    now = units({"A": [0.5, 0.5], "B": [0.5, 0.5]}, {"A": [1, 0], "B": [0.5, 0.5]}, stratum="later_wave")
    before = units({"A": [0, 0]}, {"A": [0, 1]})[["item", "country", "age", "sex", "education", "q"]]
    found = earlier_wave_scores(now, before, ("js_distance",))
    assert found[["condition", "country", "value"]].to_numpy().tolist() == [["reference:earlier_wave", "A", 1.0]]


def test_the_earlier_wave_stands_beside_the_later(tiny_survey: Survey, tiny_split: Split) -> None:
    split = replace(tiny_split, train_before=2005)
    survey = replace(tiny_survey, earlier=tuple(replace(d, year="1999") for d in tiny_survey.distributions))
    asked = Scripted(survey, item_only)
    result = FirstToken(draws=200)(context_of(asked, survey, split))
    assert value(result, "js_distance", "reference:earlier_wave", "later wave") == 0  # the same answers as before
    assert not any(e.condition.startswith("reference:earlier_wave") and e.group == "all" for e in result.estimates)


def test_asking_is_apart_from_measuring(tiny_survey: Survey, tiny_split: Split) -> None:
    """`ask` needs no perplexity and nothing but `score`; measuring asks nothing more."""
    asked = Scripted(tiny_survey, people)
    asked.perplexity = None  # type: ignore[assignment,method-assign]
    found = FirstToken(draws=200).ask(context_of(asked, tiny_survey, tiny_split, controls=True))
    assert len(found.items) == len(asked.prompts)
    assert set(people_table(tiny_survey)["country"]) > set(found.items["country"]) - {""}


def test_nobody_is_held_against_whole_countries() -> None:
    with pytest.raises(ValueError, match=r"conditions has 'none' without 'country'.*\['none', 'country\+age'\]"):
        FirstToken(conditions=("none", "country+age"))
    assert FirstToken(conditions=("country+age",)).conditions == ("country+age",)
