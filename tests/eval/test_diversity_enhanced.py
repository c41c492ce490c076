from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from survey_takers import find, first_place, make_context, own_first, people_of, uniform

from data.personas import place_name
from data.places import PLACES
from data.prompts import lettered
from data.records import AnswerDistribution, Group, Item, Split, Survey
from eval.diversity_enhanced.answers import noise_of_memories, preference_answers
from eval.diversity_enhanced.audit import DiversityEnhanced, Interviews
from eval.panels import Panel
from eval.records import SCORE_COLUMNS, SCORE_KEYS
from eval.survey_scores import average_orders
from eval.variation_measures import between_ratio

AUDIT = DiversityEnhanced(countries=4, participants=12, items=2, max_memory=3, draws=200)
PEOPLE, EXPECTED = "participants", "participants:expected"


def test_perfect_people(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, people_of(tiny_survey))
    estimates = DiversityEnhanced(4, 60, 2, 3, draws=200)(context).estimates
    for measure in ("js_distance", "total_variation", "emd"):
        assert find(estimates, measure, EXPECTED).value == pytest.approx(0, abs=1e-6)
        floor = find(estimates, measure, "reference:people_again").value
        assert find(estimates, measure, PEOPLE).value == pytest.approx(floor, abs=0.06)
    assert find(estimates, "between_ratio", EXPECTED).value == pytest.approx(1, abs=0.1)
    assert find(estimates, "within_ratio", EXPECTED).value == pytest.approx(1, abs=0.05)
    assert find(estimates, "between_structure", EXPECTED).value == pytest.approx(1)
    given = find(estimates, "response_diversity", PEOPLE).value
    assert given == pytest.approx(find(estimates, "response_diversity", "reference:people_again").value, abs=0.5)


def test_the_floor_knows_how_few_the_participants_are(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform)
    few = DiversityEnhanced(4, 3, 2, 3, draws=50)(context).estimates
    many = DiversityEnhanced(4, 60, 2, 3, draws=50)(context).estimates
    floors = [find(e, "js_distance", "reference:people_again").value for e in (few, many)]
    assert floors[0] > 2 * floors[1]
    expected = [find(e, "js_distance", f"reference:people_again ({EXPECTED})").value for e in (few, many)]
    assert expected[0] == pytest.approx(expected[1], rel=0.1)
    assert expected[1] < floors[1]


def test_uniform_is_the_uniform_reference(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform)
    estimates = AUDIT(context).estimates
    reference = find(estimates, "js_distance", f"reference:uniform ({EXPECTED})").value
    assert find(estimates, "js_distance", EXPECTED).value == pytest.approx(reference)
    assert find(estimates, "attained", EXPECTED).value == pytest.approx(0, abs=1e-9)
    assert find(estimates, "order_effect", EXPECTED).value == pytest.approx(0)
    assert find(estimates, "within_ratio", EXPECTED).value > 1


def test_always_the_first_place(tiny_survey: Survey, tiny_split: Split) -> None:
    # 12 participants and 4 or 3 options: each option stands first equally often, so places alone give a uniform answer.
    context, _ = make_context(tiny_survey, tiny_split, first_place)
    result = AUDIT(context)
    assert find(result.estimates, "order_effect", EXPECTED).value == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert find(result.estimates, "between_ratio", EXPECTED).value == pytest.approx(0, abs=1e-9)
    answers = average_orders(result.items)
    assert all(np.ptp(p) == pytest.approx(0) for p in answers["p"])


def test_one_answer_everywhere(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, own_first)
    estimates = AUDIT(context).estimates
    assert find(estimates, "response_diversity", PEOPLE).value == 1
    assert find(estimates, "between_ratio", EXPECTED).value == pytest.approx(0, abs=1e-9)
    assert find(estimates, "within_ratio", EXPECTED).value == pytest.approx(0)
    assert find(estimates, "mode_share", EXPECTED).value == 1
    assert find(estimates, "order_effect", EXPECTED).value == pytest.approx(0)
    people = [
        tiny_survey.people[item, Group(c)] for item in tiny_split.held_out_items for c in tiny_split.held_out_countries
    ]
    by_hand = np.mean([1 - d.probabilities[0] for d in people])
    assert find(estimates, "total_variation", PEOPLE).value == pytest.approx(by_hand)


def test_noise_that_memories_add_is_no_variation_between_countries() -> None:
    rng = np.random.default_rng(5)
    k, countries, participants = 4, [f"C{n:02d}" for n in range(20)], 8
    rows = []
    for item in ("one", "two", "three"):
        order = rng.dirichlet(np.full(k, 2.0), participants)  # what the order that is common to a number does
        for country in countries:
            q = rng.dirichlet(np.full(k, 2.0))
            for number in range(participants):
                p = (order[number] + rng.dirichlet(np.full(k, 2.0))) / 2
                rows.append(
                    {"participant": f"{country}-{number}", "item": item, "country": country, "p": p, "q": q, "n": 500.0}
                    | {"answer": 0, "remembered": 1, "option_mass": 1.0, "ordered": False, "positions": None}
                    | {"condition": PEOPLE, "options": ["a", "b", "c", "d"], "greedy": False}
                )
    items = pd.DataFrame(rows)
    # A Dirichlet with parameter 2 has variance (1/k)(1 - 1/k) / (2 k + 1) an option; it enters by a half.
    for _, asked in items.groupby("item"):
        assert noise_of_memories(asked) == pytest.approx((1 - 1 / k) / (2 * k + 1) / 4, rel=0.15)
    answers = preference_answers(items)
    answers = answers[answers["condition"] == EXPECTED]
    raw = between_ratio(Panel.of(answers.drop(columns="n_model")))[0]
    assert raw > 0.02
    assert abs(between_ratio(Panel.of(answers))[0]) < 0.25 * raw
    nothing = preference_answers(items.assign(remembered=0))
    assert np.isinf(nothing.loc[nothing["condition"] == EXPECTED, "n_model"]).all()
    assert noise_of_memories(items[items["participant"].str.endswith("-0")]) == 0


def test_variation_is_reported_where_it_can_be_measured(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform)
    two = DiversityEnhanced(2, 3, 2, 3, draws=50)(context).estimates
    assert not {e.name for e in two if e.name.startswith("between")}
    assert {e.condition for e in two if e.name == "within_ratio"} == {EXPECTED}
    assert not {e.name for e in two} & {"kl_people_model"}


def evidence(result: Interviews, participant: str) -> pd.DataFrame:
    return result.items[result.items["participant"] == participant].sort_values("step")


def test_the_evidence_and_the_scores(tiny_survey: Survey, tiny_split: Split) -> None:
    context, fake = make_context(tiny_survey, tiny_split, people_of(tiny_survey))
    result = AUDIT(context)
    assert len(result.items) == 4 * 12 * 2
    assert [len(batch) for batch in fake.batches] == [48, 48]
    assert tuple(result.scores.columns) == SCORE_COLUMNS
    assert not result.scores.duplicated([*SCORE_KEYS]).any()
    assert not result.scores["condition"].str.startswith("reference:").any()
    for row in result.items.itertuples():
        assert sorted(row.order) == list(range(len(row.labels)))
        np.testing.assert_allclose(row.p[row.order], row.probabilities)
        assert row.place in PLACES[row.country]
        assert f"lives in {row.place} in {place_name(row.country)} would" in row.prompt
    units = result.scores[(result.scores["measure"] == "js_distance") & (result.scores["condition"] == PEOPLE)]
    assert units["value"].mean() == pytest.approx(find(result.estimates, "js_distance", PEOPLE).value)


def test_an_answer_is_remembered_as_it_was_shown(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform)
    result = AUDIT.ask(context)
    for name in result.items["participant"].unique():
        one, two = (row for row in evidence(result, name).itertuples())
        assert one.remembered == 0
        assert two.remembered == min(1, two.memory_length)
        item = tiny_survey.by_id[one.item]
        shown = lettered(item.question, [item.options[i] for i in one.order])
        letter = "ABCD"[one.order.index(one.answer)]
        assert (f"Question: {shown}\n\nAnswer: {letter}\n\n" in two.prompt) == (two.memory_length > 0)


def test_participants_of_two_countries_see_the_same_and_have_their_own_luck(
    tiny_survey: Survey, tiny_split: Split
) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform)
    items = AUDIT.ask(context).items
    one, other = (items[items["country"] == country] for country in ("NOR", "GHA"))
    assert one["order"].tolist() == other["order"].tolist()
    assert one["memory_length"].tolist() == other["memory_length"].tolist()
    assert one["answer"].tolist() != other["answer"].tolist()


def test_the_same_seed_gives_the_same_people_and_another_seed_others(tiny_survey: Survey, tiny_split: Split) -> None:
    few = DiversityEnhanced(countries=2, participants=12, items=2, max_memory=3, draws=20)
    runs = [few.ask(make_context(tiny_survey, tiny_split, uniform, seed=seed)[0]).items for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(runs[0], runs[1])
    assert runs[0]["answer"].tolist() != runs[2]["answer"].tolist()


def test_a_limit_keeps_countries_even(tiny_survey: Survey, tiny_split: Split) -> None:
    context, _ = make_context(tiny_survey, tiny_split, uniform, limit=8)
    result = AUDIT.ask(context)
    assert result.items.drop_duplicates("participant")["country"].value_counts().to_dict() == dict.fromkeys(
        ("NOR", "GHA", "BRA", "IND"), 2
    )


def test_only_item_and_country_with_people_are_compared(tiny_survey: Survey, tiny_split: Split) -> None:
    survey = Survey(
        tiny_survey.items,
        tuple(d for d in tiny_survey.distributions if (d.item, d.group.country) != ("toy/vote", "NOR")),
    )
    context, _ = make_context(survey, tiny_split, uniform)
    result = AUDIT(context)
    assert result.excluded == {"item × country without people": 1}
    assert len(result.items) == 4 * 12 * 2
    units = result.scores[result.scores["measure"] == "js_distance"]
    assert set(zip(units["item"], units["country"], strict=True)) == {
        (item, country)
        for item in ("toy/bribe", "toy/vote")
        for country in ("NOR", "GHA", "BRA", "IND")
        if (item, country) != ("toy/vote", "NOR")
    }
    one_item = DiversityEnhanced(4, 2, 1, 3).ask(context)
    assert one_item.settings["asked_items"] == ["toy/bribe"]
    assert one_item.excluded["held-out items beyond items=1"] == 1


def test_what_cannot_be_asked_is_said(tiny_survey: Survey, tiny_split: Split) -> None:
    long = Item("toy/long", "Which?", tuple(f"option {i}" for i in range(27)), False, "toy")
    people = AnswerDistribution("toy/long", Group("NOR"), (1.0,) + (0.0,) * 26, 10, 10.0)
    survey = Survey((*tiny_survey.items, long), (*tiny_survey.distributions, people))
    split = Split((), (), ("toy/long", "toy/vote"), ("NOR", "GHA"), 0)
    context, _ = make_context(survey, split, uniform)
    assert AUDIT.ask(context).excluded["items with more than 26 options"] == 1
    nobody, _ = make_context(tiny_survey, Split((), (), ("toy/vote",), ("FRA",), 0), uniform)
    with pytest.raises(ValueError, match=r"nothing to audit.*toy/vote.*FRA"):
        AUDIT.ask(nobody)


@pytest.mark.parametrize(
    ("knob", "value", "said"),
    [
        ("countries", 0, "at least 1, got 0"),
        ("participants", 0, "at least 1, got 0"),
        ("items", 0, "at least 1, got 0"),
        ("max_memory", -1, "at least 0, got -1"),
        ("max_tokens", 0, "at least 1, got 0"),
        ("control_participants", 0, "at least 1, got 0"),
        ("answering", "guess", r"one of \['choice', 'explain'\], got 'guess'"),
        ("decoding", "beams", r"one of \['sampled', 'drawn'\], got 'beams'"),
        ("ablations", ("no_beams",), r"among \['no_location', 'no_memory', 'no_order'\], got \('no_beams',\)"),
        ("ablations", "no_memory", "a list among .*, got 'no_memory'"),
        ("ablations", ("no_memory", "no_memory"), "names one twice"),
    ],
)
def test_bad_knobs_are_named(knob: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"audit.def.{knob} .*{said}"):
        DiversityEnhanced(**{knob: value})
