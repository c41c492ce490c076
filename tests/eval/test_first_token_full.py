"""The first-token audit in full, against models whose right values are known: manners, knowledge, controls."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.languages import frame
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import AnswerDistribution, Group, Item, ItemWording, Split, Survey
from eval.answers import OptionAnswer, Progress
from eval.context import AuditContext
from eval.distances import js_distance
from eval.first_token.asking import CONDITIONS, manner_of
from eval.first_token.audit import FirstToken, answers_table, people_table
from eval.first_token.control import sharpened
from eval.first_token.knowledge import knowledge_scores
from eval.first_token.manners import manner_scores
from eval.first_token.published import PUBLISHED
from eval.records import SCORE_KEYS, AuditResult
from eval.references import earlier_wave_scores
from eval.validity import gate

PLACES = {"NOR": "Norway", "GHA": "Ghana", "BRA": "Brazil", "IND": "India", "USA": "United States"}
FRENCH = {
    "toy/bribe": ItemWording(
        "fr", "Est-il justifié d'accepter un pot-de-vin ?", ("Jamais", "Peu", "Souvent", "Toujours")
    ),
    "toy/work": ItemWording("fr", "À quelle fréquence travailler la nuit ?", ("Jamais", "Peu", "Souvent")),
}
ALL = ("none", "country", "country+age")
Rule = Callable[[Survey, Item, str, str], Sequence[float]]
"""(survey, item, country, prompt) -> probabilities in the item's own order of options."""


class Scripted:
    """Answers by a rule, read from the prompt's text alone; `by_place` gives them in the order shown."""

    identity = "scripted"

    def __init__(self, survey: Survey, rule: Rule, by_place: bool = False) -> None:
        self.survey, self.rule, self.by_place = survey, rule, by_place
        self.prompts: list[OptionPrompt] = []

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        return [OptionAnswer(self._answer(prompt.text), 0.9) for prompt in prompts]

    def perplexity(self, texts: Sequence[str]) -> float:
        return 12.5

    def _answer(self, text: str) -> np.ndarray:
        wordings = [(item, item.in_language(language)) for item in self.survey.items for language in item.languages]
        item, worded = next((item, worded) for item, worded in wordings if worded.question in text)
        shown = [worded.options.index(line) for line in re.findall(r"^[A-Z]\. (.*)$", text, re.M)]
        names = {code: (place, frame("fr").country(code)) for code, place in PLACES.items()}
        country = next((code for code, (one, two) in names.items() if one in text or two in text), "")
        p = np.asarray(self.rule(self.survey, item, country, text), dtype=float)
        return p if self.by_place else p[shown]


def context_of(asked: Scripted, survey: Survey, split: Split, controls: bool = False) -> AuditContext:
    renderer = Renderer(Asking(style="completion"))
    return AuditContext(
        asked, renderer, survey, split, (), 0, None, lambda what: lambda done, total: None, controls
    )  # fmt: skip


def people(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    """The people whom the prompt states; evenly where it states nobody."""
    age = next((band for band, said in AGES.items() if said in text), "")
    found = survey.people.get((item.id, Group(country, age=age)))
    return found.probabilities if found else [1 / len(item.options)] * len(item.options)


def item_only(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    return [0.6, *[0.4 / (len(item.options) - 1)] * (len(item.options) - 1)]


def american(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    return survey.people[item.id, Group("USA")].probabilities


AGES = {"18-29": "18 to 29 years", "30-49": "30 to 49 years", "50+": "50 years old or older"}


@pytest.fixture(scope="module")
def run(tiny_survey: Survey, tiny_split: Split) -> Callable[..., tuple[AuditResult, Scripted]]:
    def audit(
        rule: Rule, *, survey: Survey = tiny_survey, controls: bool = False, by_place: bool = False, **knobs: object
    ) -> tuple[AuditResult, Scripted]:
        audit = FirstToken(**({"draws": 200, "conditions": ("none", "country")} | knobs))  # type: ignore[arg-type]
        key = (rule, id(survey), controls, by_place, audit)
        if key not in done:
            asked = Scripted(survey, rule, by_place)
            done[key] = audit(context_of(asked, survey, tiny_split, controls)), asked
        return done[key]

    done: dict[object, tuple[AuditResult, Scripted]] = {}
    return audit


def value(result: AuditResult, name: str, condition: str = "country", group: str = "all") -> float:
    (found,) = (e for e in result.estimates if (e.name, e.condition, e.group) == (name, condition, group))
    return found.value


# --- does it know the country ----------------------------------------------------------------------------------------


def units(p: dict[str, list[float]], q: dict[str, list[float]], **more: object) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": "i", "country": country, "age": "", "sex": "", "education": "", "condition": "country",
            "stratum": "held_out", "p": np.array(p[country]), "q": np.array(q[country]), "n": 100.0,
            "ordered": True, "positions": (0.0, 1.0), "option_mass": 1.0,
        } | more
        for country in p
    )  # fmt: skip


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
