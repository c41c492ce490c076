"""The blocks against what is known of them: counts from the sources, scale directions, weights, splits by group."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.blocks import BLOCKS
from data.blocks.block import fetch, scale
from data.records import AGE_BANDS, Group, Item, Survey
from data.survey_file import write_survey_file
from data.surveys import describe_survey, list_blocks, load_survey, survey_hash
from data.table_of_people import TableOfPeople, distributions, make_table, respondents


@pytest.fixture(scope="module")
def survey() -> Survey:
    """Every block, every grouping, and a few people of each country."""
    groups = ("country", "country+age", "country+sex", "country+education")
    return load_survey(list(BLOCKS), groups, respondents_per_country=5, rng=np.random.default_rng(3))


def shares(survey: Survey, item: str, group: Group) -> tuple[float, ...]:
    return survey.people[item, group].probabilities


def mean_place(survey: Survey, item: str, group: Group) -> float:
    return float(np.dot(shares(survey, item, group), range(len(survey.by_id[item].options))))


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "country", "n", "bands"),
    [
        ("wvs/poverty", "AUS", 1874, (429, 774, 671)),
        ("wvs/poverty", "NOR", 1127, (269, 481, 377)),
        ("wvs/poverty", "SWE", 1003, (240, 391, 372)),
        ("wvs/poverty", "USA", 1377, (215, 588, 574)),
        ("kakadu/jobs", "AUS", 1827, (453, 841, 533)),
        ("kakadu/future", "AUS", 1826, None),
        ("ess/imbgeco", "NOR", 1394, None),
        ("ess/imbgeco", "GBR", 1887, None),
        ("ess/trstplc", "BEL", 1701, None),
        ("gss/abany", "USA", 7465, (1253, 2673, 3515)),
        ("cces/angryracism", "USA", 52834, None),
        ("beps/europe", "GBR", 1525, (62, 584, 879)),
        ("chile/plebiscite", "CHL", 1944, None),
        ("punishment/children", "DNK", 1456, None),
        ("ces/abortion", "CAN", 2231, None),
        ("cnes/tolerance", "CAN", 1529, None),
    ],
)
def test_counts(survey: Survey, item: str, country: str, n: int, bands: tuple[int, ...] | None) -> None:
    assert survey.people[item, Group(country)].n == n
    if bands:
        assert tuple(survey.people[item, Group(country, age)].n for age in AGE_BANDS) == bands


@pytest.mark.parametrize(
    ("block", "country", "bands"),
    [
        ("ess", "NOR", (292, 460, 659)),
        ("ess", "GBR", (214, 556, 1123)),
        ("ess", "BEL", (375, 568, 761)),
        ("wvs_us", "USA", (393, 692, 1147)),
        ("gss_spending", "USA", (398, 815, 1128)),
        ("cces16", "USA", (11294, 21867, 31439)),
    ],
)
def test_people_by_age_band(block: str, country: str, bands: tuple[int, ...]) -> None:
    table = BLOCKS[block].read()
    assert isinstance(table, TableOfPeople)
    ages = table.people.loc[table.people["country"] == country, "age"].value_counts()
    assert tuple(int(ages[age]) for age in AGE_BANDS) == bands


def test_countries_of_the_items_asked_in_many(survey: Survey) -> None:
    asked = {
        item: {d.group.country for d in survey.distributions if d.item == f"wvs/{item}"}
        for item in ("bribe", "immigration", "democracy", "strong_leader")
    }
    assert {item: len(countries) for item, countries in asked.items()} == {
        "bribe": 97, "immigration": 80, "democracy": 75, "strong_leader": 75
    }  # fmt: skip
    assert len(asked["bribe"] & asked["immigration"]) == 80
    assert len(set.intersection(*asked.values())) == 62
    for item, low, high in (("wvs/bribe", 403, 4022), ("wvs/immigration", 406, 3047)):
        n = [d.n for d in survey.distributions if d.item == item]
        assert (min(n), max(n)) == (low, high)
    assert {d.n for d in survey.distributions if d.item == "wvs/democracy"} == {0}


def test_the_latest_large_wave_is_taken_item_by_item(survey: Survey) -> None:
    assert survey.people["wvs/bribe", Group("USA")].year == "2011"
    assert survey.people["wvs/immigration", Group("USA")].year == "2006"
    assert survey.people["wvs/democracy", Group("USA")].year == "2000"
    frame = fetch("stevedata", "wvs_justifbribe").dropna(subset=["country", "f117"])
    norway = frame[frame["country"] == "Norway"]
    last = norway[norway["s002"] == norway["s002"].max()]["f117"]
    expected = [(last == place).mean() for place in range(1, 11)]
    assert shares(survey, "wvs/bribe", Group("NOR")) == pytest.approx(expected, abs=1e-12)


def test_what_is_left_out_is_counted(survey: Survey) -> None:
    assert survey.excluded["wvs_countries: people whose country the source does not name"] == 2396
    assert survey.excluded["kakadu: answers off the scale (future = 9)"] == 1
    assert survey.excluded["chile88: people undecided"] == 588
    assert survey.excluded["inglehart03: parts of a country (Germany (E.), N. Ireland)"] == 2
    fewer = load_survey(["beps"], min_n=63)
    assert fewer.excluded == {"beps: groups of fewer than 63 people (country+age)": 1}
    assert ("beps/europe", Group("GBR", "18-29")) not in fewer.people
    none = load_survey(["beps", "wvs3"], min_n=1600)
    assert "beps/europe" not in none.by_id
    assert none.excluded["beps: items without a group that is large enough"] == 1


def test_every_item_has_people_and_reads_well(survey: Survey) -> None:
    assert {item.survey for item in survey.items} == set(BLOCKS) == {source.name for source in survey.sources}
    assert len(survey.items) == 66
    for item in survey.items:
        assert any(d.item == item.id for d in survey.distributions)
        assert item.question[0].isupper()
        assert item.question.rstrip('"')[-1] in ".?"
        assert item.topic
        assert all(option == option.strip() and option for option in item.options)
    assert all(source.citation and source.terms and source.version for source in survey.sources)


# --- directions: one known fact an item family -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "country", "option", "low", "high"),
    [
        ("wvs/bribe", "USA", 0, 0.6, 0.9),  # most people everywhere say never
        ("wvs/democracy", "SWE", 0, 0.95, 1),  # a democratic system is good
        ("wvs/strong_leader", "NOR", 1, 0.8, 0.9),  # a leader without parliament is not
        ("wvs_us/god_important", "USA", 9, 0.4, 0.6),  # half of Americans: most important
        ("wvs_us/trust", "USA", 1, 0.55, 0.7),  # a minority trusts most people
        ("wvs_us/respect_authority", "USA", 0, 0.5, 0.65),
        ("wvs_us/national_pride", "USA", 0, 0.5, 0.65),
        ("gss/nateduc", "USA", 0, 0.7, 0.8),  # too little on education
        ("gss/nataid", "USA", 2, 0.5, 0.6),  # too much on foreign aid
        ("gss/abhlth", "USA", 0, 0.85, 0.92),  # legal when health is in danger
        ("cces/angryracism", "USA", 0, 0.5, 0.7),
        ("cces/fearraces", "USA", 4, 0.3, 0.5),
        ("cces/religimp", "USA", 3, 0.3, 0.45),
        ("kakadu/wildlife", "AUS", 0, 0.8, 0.85),
        ("kakadu/future", "AUS", 0, 0.6, 0.7),
        ("ces/abortion", "CAN", 0, 0.75, 0.9),  # most Canadians would not ban it
        ("cnes/tolerance", "CAN", 1, 0.5, 0.55),
        ("chile/plebiscite", "CHL", 1, 0.44, 0.48),
        ("punishment/children", "DNK", 1, 0.68, 0.75),
    ],
)
def test_directions(survey: Survey, item: str, country: str, option: int, low: float, high: float) -> None:
    assert low < shares(survey, item, Group(country))[option] < high


def test_directions_between_countries_and_groups(survey: Survey) -> None:
    # Swedes want more for the poor than Americans; Malaysia's immigration policy wish is the stricter one.
    assert mean_place(survey, "wvs/poverty", Group("SWE")) < mean_place(survey, "wvs/poverty", Group("USA"))
    assert mean_place(survey, "wvs/immigration", Group("SWE")) < mean_place(survey, "wvs/immigration", Group("MYS"))
    # Norwegians judge immigration's effect on culture better than the British; the schooled reject punishment.
    assert mean_place(survey, "ess/imueclt", Group("NOR")) > mean_place(survey, "ess/imueclt", Group("GBR"))
    assert mean_place(survey, "ess/trstplc", Group("BEL")) > 5
    punish = {d.group.education: d.probabilities[1] for d in survey.distributions if d.item == "punishment/children"}
    assert punish["elementary school"] > punish["secondary school"] > punish["higher education"]
    # Religion matters more, and abortion is condemned more, among older Americans and Canadians' women.
    assert mean_place(survey, "cces/religimp", Group("USA", "50+")) > mean_place(
        survey, "cces/religimp", Group("USA", "18-29")
    )
    assert mean_place(survey, "wvs_us/god_important", Group("USA", sex="female")) > mean_place(
        survey, "wvs_us/god_important", Group("USA", sex="male")
    )


def test_race_statements_all_run_from_agreement() -> None:
    """The source codes two statements the other way; who is angry about racism sees advantages and denies rarity."""
    table = BLOCKS["cces16"].read()
    assert isinstance(table, TableOfPeople)
    answers = table.answers[[c for c in table.answers if c != "cces/religimp"]]
    related = answers[(answers >= 0).all(axis=1)].corr()
    assert related.loc["cces/angryracism", "cces/whiteadv"] > 0.2
    assert related.loc["cces/angryracism", "cces/racerare"] < -0.2
    assert related.loc["cces/fearraces", "cces/racerare"] > 0


def test_political_views_run_from_left_to_right() -> None:
    table = BLOCKS["cces16"].read()
    assert isinstance(table, TableOfPeople)
    views, place = table.features["political views"], table.answers["cces/racerare"]
    means = place[place >= 0].groupby(views[place >= 0]).mean()
    assert means["very liberal"] > means["moderate"] > means["very conservative"]


# --- the machinery ---------------------------------------------------------------------------------------------------

ITEM = Item("toy/a", "A?", ("yes", "no", "maybe"), True, "toy")


def toy_table() -> TableOfPeople:
    return make_table(
        ids=list(range(6)),
        country=pd.Series(["NOR"] * 4 + ["USA"] * 2),
        year=pd.Series(["2001", "2003", "2002", "2001", "1999", "1999"]),
        weight=pd.Series([1.0, 3.0, 2.0, 9.0, 1.0, 1.0]),
        age=pd.Series([15.0, 29.0, 30.0, np.nan, 49.0, 50.0]),
        sex=pd.Series(["female", "male", "", "male", "male", "male"]),
        answers={"toy/a": pd.Series([0, 1, 1, -1, 2, 2])},
    )


def test_weighted_distribution_by_hand() -> None:
    made, excluded = distributions(toy_table(), [ITEM], ["country"], min_n=1)
    norway, usa = made
    assert norway.probabilities == pytest.approx((1 / 6, 5 / 6, 0))
    assert (norway.n, norway.n_effective, norway.year) == (3, pytest.approx(36 / 14), "2001-2003")
    assert (usa.n, usa.n_effective, usa.year) == (2, pytest.approx(2), "1999")
    assert not excluded


def test_groups_by_age_and_sex_leave_the_unknown_out() -> None:
    made, excluded = distributions(toy_table(), [ITEM], ["country+age", "country+sex"], min_n=1)
    assert {(d.group.label, d.n) for d in made} == {
        ("NOR age=18-29", 2),
        ("NOR age=30-49", 1),
        ("USA age=30-49", 1),
        ("USA age=50+", 1),
        ("NOR sex=female", 1),
        ("NOR sex=male", 1),
        ("USA sex=male", 2),
    }
    made, excluded = distributions(toy_table(), [ITEM], ["country+age"], min_n=2)
    assert [d.group.label for d in made] == ["NOR age=18-29"]
    assert excluded == {"groups of fewer than 2 people (country+age)": 3}


def test_distributions_equal_a_plain_loop() -> None:
    table = BLOCKS["ess"].read()
    assert isinstance(table, TableOfPeople)
    item = next(item for item in BLOCKS["ess"].items if item.id == "ess/imueclt")
    made, _ = distributions(table, [item], ["country+education"], min_n=50)
    for d in made:
        mass, n = [0.0] * 11, 0
        people = table.people
        for place, country, level, weight in zip(
            table.answers[item.id], people["country"], people["education"], people["weight"], strict=True
        ):
            if place >= 0 and (country, level) == (d.group.country, d.group.education):
                mass[place] += weight
                n += 1
        assert d.n == n
        assert d.probabilities == pytest.approx([m / sum(mass) for m in mass], abs=1e-12)
    assert len(made) == 6


def test_only_norway_is_weighted_among_ess(survey: Survey) -> None:
    norway, britain = (survey.people["ess/imbgeco", Group(country)] for country in ("NOR", "GBR"))
    assert norway.n_effective < norway.n
    assert britain.n_effective == pytest.approx(britain.n)
    assert survey.people["ces/abortion", Group("CAN")].n_effective < 2231


def test_weights_and_shapes_are_checked() -> None:
    for weight in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="weights"):
            make_table(ids=[1], country="NOR", year="", weight=pd.Series([weight]), answers={"toy/a": pd.Series([0])})


def test_scale_refuses_a_value_that_is_not_on_it() -> None:
    values = pd.Series([1, 5, 9, np.nan], name="future")
    assert scale(values, 1, 5, reverse=True, stray=(9,)).tolist() == [4, 0, -1, -1]
    with pytest.raises(ValueError, match="future: expected whole numbers 1 to 5"):
        scale(values, 1, 5)


def test_respondents_are_a_seeded_stratified_sample() -> None:
    table = BLOCKS["wvs3"].read()
    assert isinstance(table, TableOfPeople)
    people = respondents(table, "wvs3", 100, np.random.default_rng(1))
    assert people == respondents(table, "wvs3", 100, np.random.default_rng(1))
    assert people != respondents(table, "wvs3", 100, np.random.default_rng(2))
    assert len({person.id for person in people}) == 400
    sampled = pd.Series([p.group.age for p in people if p.group.country == "AUS"]).value_counts()
    expected = {"18-29": 22.9, "30-49": 41.3, "50+": 35.8}
    assert all(abs(sampled[age] - value) <= 1 for age, value in expected.items())
    person = people[0]
    assert set(person.features) == {"age", "sex", "education", "religion"}
    assert person.features["sex"] == {"male": "man", "female": "woman"}[person.group.sex]
    everyone = respondents(toy_table(), "toy", 100, np.random.default_rng(1))
    assert sorted(p.id for p in everyone) == ["toy-0", "toy-1", "toy-2", "toy-4", "toy-5"]
    unknown = next(p for p in everyone if p.id == "toy-2")
    assert (dict(unknown.features), unknown.weight) == ({"age": "30"}, 2.0)


def test_respondents_of_every_block_belong_to_its_items(survey: Survey) -> None:
    blocks = {person.id.partition("-")[0] for person in survey.respondents}
    assert blocks == set(BLOCKS) - {"inglehart03"}
    for person in survey.respondents:
        assert person.answers
        assert all(0 <= index < len(survey.by_id[item].options) for item, index in person.answers.items())


def test_everything_loads_within_five_seconds() -> None:
    start = time.process_time()
    load_survey(list(BLOCKS))
    assert time.process_time() - start < 5


def test_survey_hash_tells_surveys_apart(survey: Survey) -> None:
    one = load_survey(["wvs3"])
    assert survey_hash(one) == survey_hash(load_survey(["wvs3"]))
    assert survey_hash(one) != survey_hash(load_survey(["wvs3"], ["country"]))
    assert survey_hash(one) != survey_hash(survey)


def test_names_and_options_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown survey 'wvs_coutries': did you mean 'wvs_countries'"):
        load_survey(["wvs_coutries"])
    with pytest.raises(ValueError, match="unknown grouping 'age'"):
        load_survey(["wvs3"], ["age"])
    with pytest.raises(ValueError, match="named twice: wvs3"):
        load_survey(["wvs3", "wvs3"])
    with pytest.raises(ValueError, match="pass rng"):
        load_survey(["wvs3"], respondents_per_country=1)
    with pytest.raises(ValueError, match="no survey named"):
        load_survey([])
    with pytest.raises(FileNotFoundError, match="no carData::Nothing"):
        fetch("carData", "Nothing")


def test_a_survey_file_is_a_survey_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    block = load_survey(["wvs3"])
    write_survey_file(block, path)
    again = load_survey([f"file:{path}"])
    assert (again.items, again.distributions, again.sources) == (block.items, block.distributions, block.sources)
    countries = load_survey([f"file:{path}", "beps"], ["country"])
    assert {d.group for d in countries.distributions} == {Group(c) for c in ("AUS", "NOR", "SWE", "USA", "GBR")}
    assert countries.excluded == {f"file:{path}: groups of a kind not asked for": 12}
    with pytest.raises(ValueError, match="holds items that an earlier survey holds already: wvs/poverty"):
        load_survey(["wvs3", f"file:{path}"])


def test_tables_for_the_command_line(survey: Survey) -> None:
    blocks = list_blocks().set_index("name")
    assert list(blocks.index) == list(BLOCKS)
    assert blocks.loc["wvs_countries", ["items", "countries"]].tolist() == [2, 97]
    assert blocks.loc["inglehart03", ["countries", "people", "years"]].tolist() == [75, 0, "1995-2001"]
    items = describe_survey(survey).set_index("item")
    assert items.loc["wvs/poverty", ["countries", "people", "options", "years"]].tolist() == [4, 5381, 3, "1995-1997"]
