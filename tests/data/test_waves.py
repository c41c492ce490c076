"""Later and earlier answers to the same items: by a person's year, a distribution's last year, or country and wave."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.records import AnswerDistribution, Group, Item, Respondent, Survey
from data.surveys import load_survey
from data.table_of_people import TableOfPeople, make_table
from data.waves import latest, pair_waves, split_survey, split_waves, years

ITEM = Item("toy/a", "Is it so?", ("Yes", "No"), False, "toy")


def said(country: str, year: str, yes: float = 0.5) -> AnswerDistribution:
    return AnswerDistribution("toy/a", Group(country), (yes, 1 - yes), 100, 100.0, year)


@pytest.mark.parametrize(
    ("text", "span"),
    [("2001", (2001, 2001)), ("1995-1997", (1995, 1997)), ("", None), ("wave 5", None), ("1-2-3", None)],
)
def test_years(text: str, span: tuple[int, int] | None) -> None:
    assert years(text) == span


def test_people_go_by_their_own_year() -> None:
    table = make_table(
        ids=[1, 2, 3, 4],
        country=pd.Series(["NOR"] * 4),
        year=pd.Series(["1999", "2005", "2004-2005", ""]),
        answers={"toy/a": pd.Series([0, 1, 1, 0])},
    )
    later, earlier = split_waves(table, 2005)
    assert isinstance(later, TableOfPeople)
    assert isinstance(earlier, TableOfPeople)
    assert (later.people["id"].tolist(), earlier.people["id"].tolist()) == ([2, 3], [1])
    assert later.excluded == {"people asked in a year that is not known": 1}


def test_distributions_keep_the_latest_of_each_side_and_lose_what_is_on_one_side() -> None:
    made = (said("NOR", "2012", 0.1), said("USA", "2012"), said("JPN", "1999"), said("IND", ""))
    before = (said("NOR", "1995-1997", 0.7), said("NOR", "2001", 0.8), said("USA", "2004-2006"))
    person = Respondent("p", Group("NOR"), {}, {"toy/a": 0})
    survey = Survey((ITEM,), made, (person,), earlier=before)
    later, earlier = split_survey(survey, 2005)
    assert later.excluded["item × group without a year"] == 1
    paired = pair_waves(later, earlier, 2005)
    assert [(d.group.country, d.year, d.probabilities[0]) for d in paired.distributions] == [("NOR", "2012", 0.1)]
    assert [(d.group.country, d.year, d.probabilities[0]) for d in paired.earlier] == [("NOR", "2001", 0.8)]
    assert paired.excluded == {
        "item × group without a year": 1,
        "item × group asked in no wave before 2005": 1,
        "item × group asked in no wave from 2005": 1,
    }
    assert paired.respondents == (person,)
    assert pair_waves(later, replace(earlier, distributions=()), 2005).items == ()


@given(st.lists(st.integers(1990, 2020), min_size=1, max_size=12), st.integers(1985, 2025))
def test_sides_are_disjoint_in_time_and_hold_the_same_cells(asked: list[int], before: int) -> None:
    countries = ("NOR", "USA", "JPN")
    made = [said(countries[number % 3], str(year)) for number, year in enumerate(asked)]
    paired = pair_waves(*split_survey(Survey((ITEM,), tuple(made)), before), before)
    assert {d.group for d in paired.distributions} == {d.group for d in paired.earlier}
    assert all(int(d.year) >= before for d in paired.distributions)
    assert all(int(d.year) < before for d in paired.earlier)
    assert len({d.group for d in paired.earlier}) == len(paired.earlier)


def test_answers_that_share_years_with_later_ones_are_not_trained_on() -> None:
    pooled = Survey((ITEM,), (said("NOR", "2010-2016"),), earlier=(said("NOR", "2012"), said("NOR", "2006-2009", 0.9)))
    paired = pair_waves(*split_survey(pooled, 2015), 2015)
    assert [d.year for d in (*paired.distributions, *paired.earlier)] == ["2010-2016", "2006-2009"]
    assert paired.excluded == {"earlier answers that share years with later ones": 1}


def test_latest_takes_the_last_end_and_any_year_before_none() -> None:
    (kept,) = latest([said("NOR", ""), said("NOR", "1999-2002"), said("NOR", "2001")])
    assert kept.year == "1999-2002"


def test_the_world_values_survey_by_country_and_wave() -> None:
    survey = load_survey(["wvs_countries"], ["country"], train_before=2005)
    assert {d.item for d in survey.distributions} == {"wvs/bribe", "wvs/immigration"}
    assert {(d.item, d.group) for d in survey.distributions} == {(d.item, d.group) for d in survey.earlier}
    assert max(years(d.year)[1] for d in survey.earlier) < 2005  # type: ignore[index]
    assert min(years(d.year)[1] for d in survey.distributions) >= 2005  # type: ignore[index]
    whole = load_survey(["wvs_countries"], ["country"])
    usa = ("wvs/bribe", Group("USA"))
    assert survey.people[usa] == whole.people[usa], "the later side is the latest wave, as without a split"
    assert not whole.earlier
    assert survey.excluded["wvs_countries: item × group asked in no wave before 2005"] == 39
