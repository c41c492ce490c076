"""MARK with scripted models whose right values are known in advance, hand-worked votes, and the sample's properties."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mark_scripted import OPTIONS, SPLIT, Scripted, by_sex, context, only, run, scripted, value

from data.records import Survey
from eval.bootstrap import paired
from eval.mark.audit import Mark
from eval.mark.choice import ByChoice
from eval.mark.functions import FUNCTIONS
from eval.mark.sample import Case, sample_cases
from eval.mark.stages import Stress


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
