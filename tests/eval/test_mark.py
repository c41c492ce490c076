"""MARK with scripted models whose right values are known in advance, hand-worked votes, and the sample's properties."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from data.prompts import Asking, OptionPrompt, Renderer
from data.records import AnswerDistribution, Group, Item, Respondent, Split, Survey
from eval.answers import Answerer, OptionAnswer, Progress
from eval.bootstrap import paired
from eval.context import AuditContext
from eval.mark.audit import Mark
from eval.mark.choice import ByChoice
from eval.mark.functions import FUNCTIONS
from eval.mark.sample import Case, sample_cases
from eval.mark.stages import Stress
from eval.records import AuditResult

Rule = Callable[[str, list[str]], list[float]]
FUNCTION_TEXTS = {function.normal for function in FUNCTIONS.values()}


@dataclass
class Scripted:
    """Answers by a rule over (prompt text, options as shown) that gives a weight an option."""

    rule: Rule
    identity: str = "scripted"
    asked: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        answers = []
        for prompt in prompts:
            self.asked.append(prompt.text)
            options = re.findall(r"^[A-Z]\. (.*)$", prompt.text, flags=re.MULTILINE)[-len(prompt.labels) :]
            raw = np.asarray(self.rule(prompt.text, options), dtype=np.float64)
            answers.append(OptionAnswer(raw / raw.sum(), 0.9))
        return answers


def kind(text: str, options: list[str]) -> str:
    if options[0] in ("0", "100"):
        return "stress"
    if set(options) <= FUNCTION_TEXTS:
        return "type"
    if "Does stress harm" in text:
        return "impact"
    return "check" if "Does the answer fit" in text else "answer"


def only(options: list[str], wanted: str) -> list[float]:
    return [float(option == wanted) for option in options]


def scripted(answer: Rule, **others: Rule) -> Scripted:
    """Stress 90 from age, else 10; Ni, then Te; no impact; every answer fits: unless `others` say differently."""
    rules: dict[str, Rule] = {
        "stress": lambda text, options: only(options, "90" if "Fact: age" in text else "10"),
        "type": lambda text, options: [
            3.0 if o == FUNCTIONS["Ni"].normal else 2.0 if o == FUNCTIONS["Te"].normal else 1.0 for o in options
        ],
        "impact": lambda text, options: only(options, "No"),
        "check": lambda text, options: only(options, "Yes"),
        "answer": answer,
    } | others
    return Scripted(lambda text, options: rules[kind(text, options)](text, options))


def by_sex(text: str, options: list[str]) -> list[float]:
    return only(options, "Yes, always" if "sex: female" in text else "No, never")


def context(answerer: Answerer, survey: Survey, split: Split, limit: int | None = None, seed: int = 0) -> AuditContext:
    renderer = Renderer(Asking(style="completion"))
    return AuditContext(answerer, renderer, survey, split, (), seed, limit, lambda what: lambda done, total: None)


OPTIONS = ("Yes, always", "Sometimes", "No, never")
SPLIT = Split(("toy/seen",), ("USA",), ("toy/held",), ("NOR", "JPN"), 0)


@pytest.fixture
def sexes() -> Survey:
    """Twelve people a country whose sex decides their answer: women "Yes, always", men "No, never"."""
    items = tuple(Item(name, f"Is it right, {name}?", OPTIONS, False, "toy") for name in ("toy/seen", "toy/held"))
    people, shares = [], []
    for country in ("NOR", "JPN", "USA"):
        for number in range(12):
            sex = ("female", "male")[number % 2]
            group = Group(country, ("18-29", "30-49", "50+")[number % 3], sex)
            features = {"age": str(20 + number), "sex": sex, "education": "school"}
            answers = {item.id: 2 * (number % 2) for item in items}
            people.append(Respondent(f"{country}-{number:02d}", group, features, answers))
        shares += [AnswerDistribution(item.id, Group(country), (0.5, 0.0, 0.5), 12, 12.0) for item in items]
    return Survey(items, tuple(shares), tuple(people))


def value(result: AuditResult, name: str, condition: str) -> float:
    found = [e.value for e in result.estimates if (e.name, e.condition) == (name, condition)]
    assert len(found) == 1, f"{name} {condition}: {found}"
    return found[0]


def run(answerer: Answerer, survey: Survey, limit: int | None = None, **knobs: int | float) -> AuditResult:
    settings: dict[str, int | float] = {"respondents": 12, "items": 1, "draws": 200} | knobs
    return Mark(**({"least_people": 1} | settings))(context(answerer, survey, SPLIT, limit))  # type: ignore[arg-type]


def test_perfect_people_score_perfectly(sexes: Survey) -> None:
    result = run(scripted(by_sex), sexes)
    assert value(result, "accuracy", "mark") == 1
    assert value(result, "cohen_kappa", "mark") == pytest.approx(1)
    assert value(result, "probability_of_answer", "mark") == pytest.approx(1)
    assert value(result, "accuracy", "demographics_only") == 1
    assert value(result, "accuracy_gain", "mark - demographics_only") == 0
    assert value(result, "accuracy", "reference:random") == pytest.approx(1 / 3)
    assert value(result, "vote_agreement", "mark") == 1
    assert value(result, "option_mass", "S3 answer") == pytest.approx(0.9)
    sexes_drawn = result.items["sex"].value_counts()
    no_person = sexes_drawn.get("male", 0) / sexes_drawn.sum()  # without a person the script says "No, never"
    assert value(result, "accuracy", "reference:no_person") == pytest.approx(no_person)


def test_a_model_that_always_takes_the_first_place_is_found_out(sexes: Survey) -> None:
    result = run(Scripted(lambda text, options: [1.0] + [0.0] * (len(options) - 1)), sexes)
    assert value(result, "position_effect", "S3 answer") == 1
    assert value(result, "stage_validity", "S1 stress") == 0
    assert value(result, "decisiveness", "S2 type") == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(result.items["p_dominant"].iloc[0], np.full(8, 1 / 8))
    np.testing.assert_allclose(result.items["p"].iloc[0], [0.5, 0, 0.5])
    assert value(result, "accuracy", "mark") == value(result, "accuracy", "reference:no_person")


def test_a_uniform_model_has_the_uniform_distance_and_no_kappa(sexes: Survey) -> None:
    result = run(Scripted(lambda text, options: [1.0] * len(options)), sexes)
    assert value(result, "js_distance", "mark") == pytest.approx(value(result, "js_distance", "reference:uniform"))
    assert value(result, "cohen_kappa", "mark") == pytest.approx(0)
    assert value(result, "stage_validity", "S3 impact") == 0
    assert value(result, "faithfulness", "function: greatest") == pytest.approx(0)


def test_the_cited_feature_is_the_cause_or_is_not(sexes: Survey) -> None:
    """Stress is highest for age. One model looks at age alone, the other at sex alone."""
    looks_at_age = run(scripted(lambda t, o: only(o, OPTIONS[0] if "age: " in t else OPTIONS[1])), sexes)
    assert value(looks_at_age, "faithfulness", "feature: greatest") == 1
    assert value(looks_at_age, "faithfulness", "feature: another") == 0
    looks_elsewhere = run(scripted(lambda t, o: only(o, OPTIONS[0] if "sex: " in t else OPTIONS[1])), sexes)
    assert value(looks_elsewhere, "faithfulness", "feature: greatest") == 0
    assert value(looks_elsewhere, "faithfulness", "feature: difference") <= 0


def test_contradicted_answers_are_asked_again_and_counted(sexes: Survey) -> None:
    def answer(text: str, options: list[str]) -> list[float]:
        return only(options, OPTIONS[1] if "Think again" in text else OPTIONS[0])

    def fits(text: str, options: list[str]) -> list[float]:
        return only(options, "No" if "one inner vision" in text else "Yes")

    result = run(scripted(answer, check=fits), sexes)
    assert value(result, "consistency_rate", "S4 consistency") == pytest.approx(3 / 4)
    assert value(result, "revision_changed_rate", "S4 consistency") == 1
    for functions in result.items["functions"]:
        voices = {voice["function"]: voice for voice in json.loads(functions)}
        assert list(voices) == ["Ni", "Te", "Fi", "Se"]
        assert voices["Ni"]["revised"]
        assert (voices["Ni"]["first_answer"], voices["Ni"]["answer"]) == (OPTIONS[0], OPTIONS[1])
    np.testing.assert_allclose(result.items["p"].iloc[0], [0.6, 0.4, 0])  # Ni's 0.4 went to the second option
    said = "Ni (dominant, weight 0.40, calm with probability 1.00, revised) says 'Sometimes'"
    assert said in result.items["explanation"].iloc[0]


def test_negative_impact_changes_description_and_weight(sexes: Survey) -> None:
    def harms(text: str, options: list[str]) -> list[float]:
        return only(options, "Yes" if "one inner vision" in text else "No")

    result = run(scripted(by_sex, impact=harms), sexes)
    voice = json.loads(result.items["functions"].iloc[0])[0]
    assert voice["description"] == FUNCTIONS["Ni"].stressed
    assert voice["weight"] == pytest.approx(2 / 8)
    assert value(result, "negative_impact_rate", "S3 impact") == pytest.approx(1 / 4)
    assert value(result, "stage_validity", "S3 impact") == 1


def test_a_type_that_hangs_on_the_order_of_features_is_unstable(sexes: Survey) -> None:
    steady = run(scripted(by_sex), sexes)
    assert value(steady, "type_stability", "features shuffled") == 1
    assert value(steady, "type_stability", "reference:chance") == 1
    assert value(steady, "type_share", "S2 type") == 1
    assert set(steady.items["type"]) == {"INTJ"}

    def fickle(text: str, options: list[str]) -> list[float]:
        own_order = text.find("country: ") < text.find("sex: ") < text.find("education: ")
        return [2.0 if o == FUNCTIONS["Ni" if own_order else "Se"].normal else 1.0 for o in options]

    # Age is kept and stands first in both; a shuffle of the other three keeps their order by chance.
    assert value(run(scripted(by_sex, type=fickle), sexes), "type_stability", "features shuffled") < 0.6


def test_stress_is_an_expectation_and_splits_at_the_average(sexes: Survey) -> None:
    def half(text: str, options: list[str]) -> list[float]:
        return [float(o in ("40", "80")) if "Fact: age" in text else float(o == "30") for o in options]

    features = (("country", "Norway"), ("age", "34"), ("sex", "female"))
    case = Case(sexes.respondents[0], features, (), 1.0)
    found = ByChoice(context(scripted(by_sex, stress=half), sexes, SPLIT), 0.5).stress([case])[0]
    assert found is not None
    assert found.levels == pytest.approx((30, 60, 30))
    assert found.kept == (False, True, False)
    assert found.valid
    assert found.profile() == "stress 0-100 from age: 34 (60); country: Norway, sex: female"
    assert found.profile(order=[2, 1, 0]) == "stress 0-100 from age: 34 (60); sex: female, country: Norway"
    assert found.profile(without=1) == "country: Norway, sex: female"
    flat = Stress(features, (50.0, 50.2, 50.4), ())
    assert not flat.valid
    assert Stress(features, (50.0, 50.0, 50.0), ()).kept == (True, True, True)


def test_the_auxiliary_is_chosen_among_the_valid_two_alone(sexes: Survey) -> None:
    loves_te_and_ti = scripted(
        by_sex, type=lambda t, o: [9.0 if x in (FUNCTIONS["Te"].normal, FUNCTIONS["Ti"].normal) else 1.0 for x in o]
    )
    found = ByChoice(context(loves_te_and_ti, sexes, SPLIT), 0.5).types([("NOR-00", "NOR-00", "age: 34")])[0]
    assert found is not None
    assert (found.dominant, found.auxiliary, found.name) == ("Te", "Si", "ESTJ")
    assert found.p_auxiliary == pytest.approx([0.5, 0.5])


def test_prompts_of_the_same_text_are_scored_once(sexes: Survey) -> None:
    model = scripted(by_sex)
    result = run(model, sexes)
    rows = [*result.items["prompts"], *result.items["prompts_of_removal"]]
    prompts = [entry["text"] for row in rows for entry in json.loads(row)]
    assert len(prompts) > len(set(prompts))
    assert set(prompts) <= set(model.asked)
    assert result.settings["prompts"] == len(set(prompts))


def test_the_sample_is_held_out_stratified_and_says_what_is_missing(sexes: Survey) -> None:
    cases, excluded = sample_cases(sexes, SPLIT, 6, 2, 5, np.random.default_rng(1))
    strata = {(case.person.group.country, case.person.group.age) for case in cases}
    assert len(strata) == 6  # 2 countries x 3 age bands, one person each
    assert {case.person.group.country for case in cases} == {"NOR", "JPN"}
    assert {item.id for case in cases for item in case.items} == {"toy/held"}
    assert all(case.inclusion == pytest.approx(1 / 4) for case in cases)
    assert excluded["items wanted but not answered by a sampled respondent"] == 6
    everybody, short = sample_cases(sexes, SPLIT, 30, 1, 5, np.random.default_rng(1))
    assert len(everybody) == 24
    assert short["respondents wanted but not in the survey's held-out part"] == 6
    bare = replace(sexes, respondents=tuple(replace(p, features={"sex": "male"}) for p in sexes.respondents))
    nobody, why = sample_cases(bare, SPLIT, 4, 1, 5, np.random.default_rng(1))
    assert nobody == []
    assert why["respondents with fewer than 3 known features"] == 24


def test_every_person_of_a_stratum_is_equally_likely(sexes: Survey) -> None:
    rng = np.random.default_rng(5)
    seen = [case.person.id for _ in range(400) for case in sample_cases(sexes, SPLIT, 6, 1, 5, rng)[0]]
    counts = pd.Series(seen).value_counts()
    assert len(counts) == 24
    assert counts.between(70, 135).all()  # 400 draws x 1/4: mean 100, six standard deviations 52


def test_without_held_out_people_nothing_is_reported(sexes: Survey) -> None:
    result = run(scripted(by_sex), replace(sexes, respondents=()))
    assert result.estimates == ()
    assert result.items.empty
    assert result.scores.empty
    assert result.excluded == {"respondents wanted but not in the survey's held-out part": 12}


def test_limit_bounds_respondents_and_one_has_no_interval(sexes: Survey) -> None:
    result = run(scripted(by_sex), sexes, limit=1)
    assert result.items["respondent"].nunique() == 1
    accuracy = next(e for e in result.estimates if (e.name, e.condition) == ("accuracy", "mark"))
    assert np.isnan(accuracy.low)
    assert accuracy.method == "no interval: one respondent"


def test_the_same_seed_gives_the_same_audit_and_units_are_unique(sexes: Survey) -> None:
    first, second = run(scripted(by_sex), sexes), run(scripted(by_sex), sexes)
    pd.testing.assert_frame_equal(first.items, second.items)
    np.testing.assert_equal([e.value for e in first.estimates], [e.value for e in second.estimates])
    keys = ["measure", "condition", "stratum", "item", "country", "age", "sex", "education", "person"]
    assert not first.scores.duplicated(keys).any()
    assert first.scores.query("measure == 'accuracy' and condition == 'mark'")["n"].sum() == 12


def test_a_difference_of_arms_is_that_of_their_accuracies(sexes: Survey) -> None:
    """Two people share country, age, sex and education, others do not: each counts once."""

    def by_age(text: str, options: list[str]) -> list[float]:
        return only(options, OPTIONS[0] if "age: 2" in text else OPTIONS[2])

    some = [person for person in sexes.respondents if person.id not in ("NOR-00", "NOR-01", "JPN-07")]
    fewer = replace(sexes, respondents=tuple(some))
    first, second = run(scripted(by_sex), fewer, respondents=21), run(scripted(by_age), fewer, respondents=21)
    for measure in ("accuracy", "probability_of_answer"):
        a, b = (one.scores.query(f"measure == '{measure}' and condition == 'mark'") for one in (first, second))
        sizes = a.groupby(["item", "country", "age", "sex", "education"]).size()
        assert set(sizes) == {1, 2}
        made = paired(a, b.iloc[::-1], np.random.default_rng(0), 50).interval
        assert made.n == 21
        assert made.value == pytest.approx(value(first, measure, "mark") - value(second, measure, "mark"))
        assert made.value > 0.1


@pytest.mark.parametrize(
    ("knobs", "named"),
    [({"respondents": 0}, "respondents"), ({"features": 2}, "features"), ({"reduction": 0.0}, "reduction")],
)
def test_bad_knobs_are_refused(knobs: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"audit.mark.{named} must be"):
        Mark(**knobs)  # type: ignore[arg-type]


def test_the_shipped_configuration_is_the_default() -> None:
    folder = Path(__file__).parents[2] / "conf" / "audit"
    knobs = yaml.safe_load((folder / "mark.yaml").read_text(encoding="utf-8"))["mark"]
    assert knobs.pop("_target_") == "eval.mark.audit.Mark"
    assert Mark(**knobs) == Mark()


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
