from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import AnswerDistribution, Group, Item, ItemWording, Survey
from data.splits import (
    NEAR_DUPLICATE,
    cell_stratum,
    likeness,
    make_split,
    named_split,
    training_part,
)
from data.surveys import load_survey

QUESTIONS = {
    "a/poor": "Should the state do more for people in poverty?",
    "a/bribe": "Can accepting a bribe ever be justified in your view?",
    "a/god": "How important is religion in your daily life?",
    "b/spend1": "Do we spend too much, too little or about the right amount of money on parks in this country?",
    "b/spend2": "Do we spend too much, too little or about the right amount of money on roads in this country?",
    "c/local": "Would you like a new bridge over the river here?",
}
COUNTRIES = ("AUS", "BRA", "GHA", "IND", "JPN", "NOR", "USA")


def toy() -> Survey:
    items = tuple(Item(name, text, ("Yes", "No"), False, "toy") for name, text in QUESTIONS.items())
    made = [
        AnswerDistribution(item.id, Group(country), (0.5, 0.5), 100, 100.0)
        for item in items
        for country in (COUNTRIES if not item.id.startswith("c/") else ("DNK",))
    ]
    return Survey(items, tuple(made))


SURVEY = toy()


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    item_share=st.floats(0, 0.7),
    country_share=st.floats(0, 0.8),
    pinned=st.sets(st.sampled_from(COUNTRIES[:-1]), max_size=3),
)
def test_a_split_is_disjoint_whole_seeded_and_keeps_its_pins(
    seed: int, item_share: float, country_share: float, pinned: set[str]
) -> None:
    pins = ((), sorted(pinned), ["a/poor"], ["USA"])
    made = make_split(SURVEY, seed, *pins, item_share, country_share)
    assert made == make_split(SURVEY, seed, *pins, item_share, country_share)
    assert set(made.train_items) | set(made.held_out_items) == set(QUESTIONS)
    assert set(made.train_countries) | set(made.held_out_countries) == {*COUNTRIES, "DNK"}
    assert pinned <= set(made.held_out_countries)
    assert "USA" in made.train_countries
    assert "DNK" in made.train_countries, "a country that is compared with none is not drawn"
    assert len(made.held_out_countries) == len(pinned) + round(country_share * (6 - len(pinned)))
    assert ("b/spend1" in made.train_items) == ("b/spend2" in made.train_items), "one question, two ids"


def test_another_seed_draws_another_split() -> None:
    drawn = {make_split(SURVEY, seed).held_out_countries for seed in range(20)}
    assert len(drawn) > 5
    assert all(len(countries) == round(0.35 * 7) for countries in drawn)


def test_patterns_and_names() -> None:
    split = make_split(SURVEY, 0, ["b/*", "a/go?"], ["Norway", "U.S."], held_out_country_share=0)
    assert split.held_out_items == ("a/god", "b/spend1", "b/spend2")
    assert split.held_out_countries == ("NOR", "USA")


def test_names_with_brackets_are_names_first() -> None:
    items = tuple(replace(item, id=f"{item.id}[1]") for item in SURVEY.items)
    survey = Survey(items, tuple(replace(d, item=f"{d.item}[1]") for d in SURVEY.distributions))
    assert make_split(survey, 0, ["a/poor[1]"]).held_out_items == ("a/poor[1]",)
    sides = {"train_items": ["a/god[1]"], "held_out_items": ["a/poor[1]"]}
    countries = {"train_countries": ["USA"], "held_out_countries": ["NOR"]}
    _, split = named_split(survey, "mine", {"mine": {**sides, **countries}}, 0)
    assert (split.train_items, split.held_out_items) == (("a/god[1]",), ("a/poor[1]",))


def test_near_duplicates_across_pins_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'b/spend2' and training item 'b/spend1' ask nearly the same"):
        make_split(SURVEY, 0, held_out_items=["b/spend2"], train_items=["b/spend1"])
    follows = make_split(SURVEY, 0, held_out_items=["b/spend2"])
    assert "b/spend1" in follows.held_out_items
    assert 0 < NEAR_DUPLICATE < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out_items": ["a/brive"]}, "item 'a/brive' matches nothing in the survey; the nearest is 'a/bribe'"),
        ({"train_items": ["z/*"]}, r"item 'z/\*' matches nothing"),
        ({"held_out_countries": ["Sweden"]}, "country 'SWE' matches nothing in the survey"),
        ({"held_out_countries": ["Norwya"]}, "unknown country 'Norwya'.*Norway"),
        ({"held_out_items": ["a/*"], "train_items": ["a/god"]}, "item 'a/god' is named both"),
        ({"held_out_countries": ["USA"], "train_countries": ["US"]}, "country 'USA' is named both"),
        ({"held_out_country_share": 1.5}, "held_out_country_share must be between 0 and 1, got 1.5"),
        ({"held_out_item_share": -0.1}, "held_out_item_share must be between"),
        ({"held_out_items": ["*"]}, "nothing to train on"),
        ({"held_out_countries": ["*"]}, "nothing to train on"),
    ],
)
def test_bad_splits_are_named(arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_split(SURVEY, 0, **arguments)  # type: ignore[arg-type]


def test_strata() -> None:
    split = make_split(SURVEY, 0, ["a/god"], ["NOR", "Denmark"], held_out_country_share=0)
    assert cell_stratum(split, "a/poor", "USA") == "train"
    assert cell_stratum(split, "a/poor", "NOR") == "seen_items"
    assert cell_stratum(split, "a/god", "NOR") == "held_out"
    assert cell_stratum(split, "a/god", "USA") == "seen_countries"


def test_the_split_of_the_quickstart() -> None:
    survey = load_survey(
        ["wvs3", "wvs_countries", "inglehart03", "wvs_us", "ess", "gss_abortion", "gss_spending", "cces16", "kakadu"]
    )
    split = make_split(
        survey,
        seed=0,
        held_out_items=["wvs/bribe", "wvs/democracy", "wvs/poverty", "ess/*", "kakadu/*"],
        held_out_countries=["AUS", "NOR", "SWE", "GBR", "BEL"],
        train_items=["wvs/immigration", "wvs/strong_leader", "gss/*", "wvs_us/*", "cces/*"],
        train_countries=["USA"],
    )
    assert len(split.held_out_items) == 18
    assert {"AUS", "NOR", "SWE", "GBR", "BEL"} <= set(split.held_out_countries)
    assert len(split.held_out_countries) == 5 + round(0.35 * (len(survey.countries) - 6))


def test_near_duplicates_are_found_in_every_language_and_as_a_part() -> None:
    def item(name: str, question: str, **wordings: str) -> Item:
        worded = tuple(ItemWording(language, text, ("A", "B")) for language, text in wordings.items())
        return Item(name, question, ("Yes", "No"), False, "toy", wordings=worded)

    parks = item("x/parks", "How many parks should this town have?", zh="这个城市应该有多少个公园？")
    other = item("y/green", "What do you say to more places with trees?", zh="这个城市应该有多少个公园呢？")
    roads = item("z/roads", "How many roads should this town have?", zh="您赞成修建新的道路吗？")
    longer = item("w/longer", "Think of children. How many parks should this town have? Be honest.")
    short = item("v/short", "This town?")
    assert likeness(parks, other) > NEAR_DUPLICATE
    assert likeness(parks, replace(other, wordings=())) < 0.2
    assert likeness(parks, roads) == pytest.approx(6 / 8)
    assert likeness(parks, longer) == 1.0
    assert likeness(parks, short) < NEAR_DUPLICATE
    made = [AnswerDistribution(i.id, Group(c), (0.5, 0.5), 9, 9.0) for i in (parks, other) for c in COUNTRIES]
    with pytest.raises(ValueError, match="ask nearly the same question"):
        make_split(Survey((parks, other), tuple(made)), 0, held_out_items=["x/*"], train_items=["y/*"])


SIDES = {
    "train_items": ["a/poor", "b/*", "a/gone"],
    "held_out_items": ["a/bribe"],
    "train_countries": ["USA", "Norway", "FRA"],
    "held_out_countries": ["BRA", "GHA"],
}


def test_a_named_split_leaves_out_and_counts_what_it_does_not_name() -> None:
    part, split = named_split(SURVEY, "paper", {"paper": SIDES}, seed=3)
    assert split.train_items == ("a/poor", "b/spend1", "b/spend2")
    assert (split.held_out_items, split.seed) == (("a/bribe",), 3)
    assert (split.train_countries, split.held_out_countries) == (("NOR", "USA"), ("BRA", "GHA"))
    assert set(part.by_id) == {"a/poor", "a/bribe", "b/spend1", "b/spend2"}
    assert part.countries == ("BRA", "GHA", "NOR", "USA")
    assert part.excluded == {
        "items of split 'paper' that the survey lacks": 1,
        "countries of split 'paper' that the survey lacks": 1,
        "items that split 'paper' does not name": 2,
        "countries that split 'paper' does not name": 4,
    }


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("papre", {}, r"no split 'papre' in these surveys; known: paper"),
        ("paper", {"held_out_countries": ["BRA", "USA"]}, "countries on both sides: USA; list each on one side only"),
        ("paper", {"held_out_items": ["b/spend2"]}, "items on both sides: b/spend2"),
        ("paper", {"train_items": ["b/spend1"], "held_out_items": ["b/spend2"]}, "ask nearly the same question"),
        ("paper", {"held_out_items": ["a/gone"]}, "none of its held_out_items"),
        ("paper", {"train_items": ["c/local"]}, "nothing to train on"),
    ],
)
def test_bad_named_splits_are_named(name: str, changes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_split(SURVEY, name, {"paper": SIDES | changes}, 0)
    with pytest.raises(ValueError, match=r"must have train_items.*'train_items' is missing"):
        named_split(SURVEY, "x", {"x": {side: v for side, v in SIDES.items() if side != "train_items"}}, 0)


def test_a_split_by_wave_trains_on_the_past_and_audits_the_present() -> None:
    earlier = tuple(replace(d, probabilities=(0.9, 0.1), year="1999") for d in SURVEY.distributions)
    survey = replace(SURVEY, earlier=earlier)
    split = make_split(survey, 0, ["a/god"], ["NOR"], held_out_country_share=0, train_before=2005)
    assert cell_stratum(split, "a/poor", "USA") == "later_wave"
    assert [cell_stratum(split, *cell) for cell in (("a/poor", "NOR"), ("a/god", "NOR"), ("a/god", "USA"))] == [
        "seen_items",
        "held_out",
        "seen_countries",
    ]
    seen = training_part(survey, split)
    assert {d.year for d in seen.distributions} == {"1999"}
    assert {d.item for d in seen.distributions} == set(split.train_items)
    assert {d.group.country for d in seen.distributions} == set(split.train_countries)
    with pytest.raises(ValueError, match=r"nothing to train on.*train_before=2005"):
        make_split(SURVEY, 0, train_before=2005)


def test_training_sees_only_items_worded_in_its_language() -> None:
    spanish = ItemWording("es", "¿Es importante?", ("Sí", "No"))
    items = tuple(replace(item, wordings=(spanish,)) if item.id == "a/poor" else item for item in SURVEY.items)
    survey = replace(SURVEY, items=items)
    split = make_split(survey, 0, ["a/god"])
    part = training_part(survey, split, "es")
    assert (set(part.by_id), part.excluded) == ({"a/poor"}, {"training items without a wording in 'es'": 4})
    with pytest.raises(ValueError, match=r"0 of 5 training items have a wording in 'ar'.*wording in en, es"):
        training_part(survey, split, "ar")
    assert training_part(survey, split, "en").excluded == {}
