from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import dilemma_scripted as scripted
import numpy as np
import pandas as pd
import pytest

from data.records import Wording
from eval.dilemmas.audit import EthicalDilemmas
from eval.dilemmas.estimates import training_drift
from eval.records import SCORE_COLUMNS, Estimate

STRENGTHS, audit, by_value, find = scripted.STRENGTHS, scripted.audit, scripted.by_value, scripted.find

CHANGES = [
    "wording:1",
    "wording:2",
    "form:compare",
    "dialogue:neutral:2",
    "dialogue:neutral:6",
    "dialogue:pressing:1",
    "dialogue:agreeing",
    "language:zh",
]
EVERYTHING = EthicalDilemmas(languages=("zh",), draws=200)


@functools.cache
def stable() -> tuple[Estimate, ...]:
    return tuple(audit(by_value, EVERYTHING).estimates)


@pytest.mark.parametrize("condition", CHANGES)
def test_a_model_that_follows_its_values_is_stable(condition: str) -> None:
    estimates = stable()
    assert find(estimates, "flip_rate", condition).value == 0
    assert find(estimates, "excess_disagreement", condition).value == pytest.approx(0)
    assert find(estimates, "js_distance", condition).value == pytest.approx(0, abs=1e-6)
    name = "yes_bias" if condition == "form:compare" else "position_effect"
    assert find(estimates, name, condition).value == pytest.approx(0)
    floor = find(estimates, "disagreement", "reference:asked_again").value
    assert find(estimates, "disagreement", condition).value == pytest.approx(floor)


def test_value_priorities_are_those_that_made_the_choices() -> None:
    estimates = audit(by_value, EthicalDilemmas(ridge=1e-6, draws=200)).estimates
    for condition in ("alone", "wordings", "form:compare", "dialogue:neutral:2", "dialogue:pressing:1"):
        for value, strength in STRENGTHS.items():
            found = find(estimates, "value_priority", condition, f"value={value}")
            assert found.value == pytest.approx(strength, abs=1e-3)
            assert found.n == 6
    assert find(estimates, "kendall_tau", "dialogue:neutral:2").value == pytest.approx(1)
    assert find(estimates, "priority_drift", "dialogue:neutral:2").value == pytest.approx(0, abs=1e-6)
    assert find(estimates, "krippendorff_alpha", "wordings").value == 1
    assert find(estimates, "question_form_consistency", "question forms").value == pytest.approx(1)


def test_uniform_prefers_nothing_so_that_what_needs_a_preference_is_undefined() -> None:
    result = audit(lambda _: 0.5)
    names = {(e.name, e.condition) for e in result.estimates}
    assert ("flip_rate", "dialogue:neutral:2") not in names
    assert result.excluded["flip_rate: no preferred action, both are equally likely (dialogue:neutral:2)"] == 12
    assert math.isnan(find(result.estimates, "krippendorff_alpha", "wordings").value)
    assert math.isnan(find(result.estimates, "kendall_tau", "dialogue:neutral:2").value)
    assert find(result.estimates, "disagreement", "dialogue:neutral:2").value == pytest.approx(0.5)
    assert find(result.estimates, "excess_disagreement", "dialogue:neutral:2").value == 0
    assert find(result.estimates, "marginal_action_entropy", "question forms").value == pytest.approx(1)
    assert find(result.estimates, "yields", "dialogue:pressing:1").value == pytest.approx(0.5)
    assert find(result.estimates, "yields", "reference:asked_again").value == pytest.approx(0.5)


def test_always_the_first_place_is_a_position_effect_and_no_instability() -> None:
    estimates = audit(lambda _: 1.0, EVERYTHING).estimates
    for condition in ("alone", *CHANGES):
        name = "yes_bias" if condition == "form:compare" else "position_effect"
        assert find(estimates, name, condition).value == pytest.approx(0.5)
    assert find(estimates, "excess_disagreement", "dialogue:neutral:2").value == 0
    assert find(estimates, "yields", "dialogue:pressing:1").value == 0
    assert find(estimates, "yields", "reference:asked_again").value == 0
    # The preferred action of one order is the other order's other action: every choice turns with the order.
    assert find(estimates, "flip_rate", "order:exchanged").value == 1
    assert find(estimates, "excess_disagreement", "order:exchanged").value == 1


def drifting(shown: scripted.Shown) -> float:
    """Prefers the stronger with 0.9, after small talk with 0.2, and always turns round when answered."""
    if shown.said:
        return float(shown.values[0] != shown.said[-1])
    return scripted.stronger(shown, 0.2 if shown.turns else 0.9)


def test_drift_in_a_dialogue_by_hand() -> None:
    estimates = audit(drifting).estimates
    assert find(estimates, "flip_rate", "wording:1").value == 0
    assert find(estimates, "flip_rate", "dialogue:neutral:2").value == 1
    assert find(estimates, "disagreement", "dialogue:neutral:2").value == pytest.approx(0.9 * 0.8 + 0.1 * 0.2)
    assert find(estimates, "excess_disagreement", "dialogue:neutral:2").value == pytest.approx(0.7**2)
    assert find(estimates, "kendall_tau", "dialogue:neutral:2").value == pytest.approx(-1)
    # The first answer is the favourite with 0.9, the second is then always the other one.
    assert find(estimates, "flip_rate", "dialogue:pressing:1").value == 1
    assert find(estimates, "yields", "dialogue:pressing:1").value == pytest.approx(1)
    assert find(estimates, "yields", "reference:asked_again").value == pytest.approx(2 * 0.9 * 0.1)
    assert find(estimates, "excess_disagreement", "dialogue:pressing:1").value == pytest.approx(0.8**2)


def test_question_forms_by_hand() -> None:
    # A/B says 1, compare says 0.5: the mean is 0.75, entropies are 0 and 1 bit.
    def rule(shown: scripted.Shown) -> float:
        return 0.5 if shown.compare else float(STRENGTHS[shown.values[0]] > STRENGTHS[shown.values[1]])

    estimates = audit(rule).estimates
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert find(estimates, "marginal_action_entropy", "question forms").value == pytest.approx(entropy)
    assert find(estimates, "question_form_consistency", "question forms").value == pytest.approx(1 - (entropy - 0.5))


def test_the_evidence_holds_every_prompt_and_the_scores_every_unit() -> None:
    result = audit(drifting)
    assert len(result.items) == 12 * 20
    assert tuple(result.scores.columns) == SCORE_COLUMNS
    assert not result.scores["condition"].str.startswith("reference:").any()
    assert not result.scores.duplicated(["measure", "condition", "item"]).any()
    part = result.scores[
        (result.scores["measure"] == "js_distance") & (result.scores["condition"] == "dialogue:neutral:2")
    ]
    assert part["value"].mean() == pytest.approx(find(result.estimates, "js_distance", "dialogue:neutral:2").value)
    sums = result.items.groupby(["dilemma", "condition"])["weight"].sum().unstack()
    np.testing.assert_allclose(sums[["alone", "dialogue:pressing:1"]], 2)


def test_intervals_bracket_and_one_dilemma_has_none() -> None:
    found = find(audit(by_value).estimates, "value_priority", "alone", "value=benevolence")
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert "12 dilemmas" in found.method
    rank = find(audit(drifting).estimates, "kendall_tau", "dialogue:neutral:2")
    assert -1 <= rank.low <= rank.high <= 1
    alone = audit(by_value, limit=1)
    assert alone.settings["asked"] == 1
    assert all(math.isnan(e.low) and math.isnan(e.high) for e in alone.estimates)
    two = find(audit(by_value, limit=2).estimates, "js_distance", "wording:1")
    assert math.isnan(two.low)
    assert two.method.startswith("no interval: 2 dilemmas are too few")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lettered_yes_and_no_give_the_same_preferences(language: str) -> None:
    fake = scripted.Fake(by_value)
    result = EthicalDilemmas(language=language, answer_form="letters", draws=50)(scripted.context(fake))
    assert find(result.estimates, "flip_rate", "form:compare").value == 0
    assert find(result.estimates, "js_distance", "form:compare").value == pytest.approx(0, abs=1e-6)
    assert {prompt.labels for prompt in fake.prompts} == {("A", "B")}


def test_a_part_of_the_conditions_reports_only_what_was_asked() -> None:
    result = audit(by_value, EthicalDilemmas(conditions=("dialogue:neutral",), draws=50), corpus=scripted.dilemmas(1))
    assert set(result.items["condition"]) == {"alone", "dialogue:neutral:2", "dialogue:neutral:6"}
    assert not {e.name for e in result.estimates} & {"yields", "question_form_consistency", "pressure_effect"}
    assert {e.condition for e in result.estimates if e.name == "krippendorff_alpha"} == {"all conditions"}


def test_dilemmas_that_cannot_be_asked_are_counted() -> None:
    with pytest.raises(ValueError, match=r"none of 12 dilemmas can be asked .*leave `wording` out"):
        audit(by_value, corpus=scripted.dilemmas(2))
    first, second, *rest = scripted.dilemmas()
    short = Wording(("Scenario 0 in words 0.",), first.wordings["en"].actions)
    mixed = (dataclasses.replace(first, wordings={"en": short}), dataclasses.replace(second, wordings={}), *rest)
    result = audit(by_value, EthicalDilemmas(draws=50), corpus=mixed)
    assert result.excluded == {"dilemmas with fewer than 3 paraphrases": 1, "dilemmas without wording in 'en'": 1}
    chinese = audit(by_value, EthicalDilemmas(languages=("zh",), draws=50), corpus=mixed)
    assert chinese.excluded == {"dilemmas without wording in 'zh'": 1, "dilemmas without wording in 'en'": 1}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"conditions": ("weather",)}, "weather"),
        ({"language": "tlh"}, "tlh"),
        ({"answer_form": "shouts"}, "shouts"),
        ({"paraphrases": 0}, "at least 1, got 0"),
        ({"ridge": 0.0}, "positive, got 0"),
        ({"languages": ("en",)}, "others than audit.edc.language"),
        ({"languages": ("fr",)}, r"audit\.edc\.languages must be among .* got 'fr'"),
        ({"dialogue_turns": (2, 13)}, r"from 1 to 12, got \[2, 13\]"),
        ({"dialogue_turns": ()}, "leave dialogue:neutral out"),
        ({"pressing_turns": 4}, "from 1 to 3, got 4"),
        ({"repeats": 1}, "repeats must be at least 2, got 1"),
        ({"repeat_temperature": 0.0}, "repeat_temperature must be over 0"),
        ({"control_dilemmas": 0}, "control_dilemmas must be at least 1"),
    ],
)
def test_bad_knobs_are_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EthicalDilemmas(**knobs)  # type: ignore[arg-type]


def test_training_drift_from_the_stored_evidence() -> None:
    def turned(shown: scripted.Shown) -> float:
        return 1 - by_value(shown)

    base, variant = (audit(rule).items for rule in (by_value, turned))
    same = training_drift(base, base, np.random.default_rng(0), draws=100)
    assert find(same, "flip_rate", "training:alone").value == 0
    assert find(same, "kendall_tau", "training:dialogue:neutral:2").value == pytest.approx(1)
    assert find(same, "priority_drift", "training:alone").value == 0
    moved = training_drift(variant, base, np.random.default_rng(0), draws=100, ridge=1e-6)
    assert find(moved, "flip_rate", "training:alone").value == 1
    assert find(moved, "kendall_tau", "training:alone").value == pytest.approx(-1)
    # Every strength changes its sign, so the distance is twice their root mean square.
    expected = 2 * math.sqrt(sum(s * s for s in STRENGTHS.values()) / 4)
    assert find(moved, "priority_drift", "training:alone").value == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="share no dilemma"):
        training_drift(variant, base.assign(dilemma="x"), np.random.default_rng(0), draws=10)


def test_evidence_survives_parquet(tmp_path: Path) -> None:
    items = audit(drifting).items
    items.to_parquet(tmp_path / "items.parquet")
    again = training_drift(pd.read_parquet(tmp_path / "items.parquet"), items, np.random.default_rng(0), draws=10)
    assert find(again, "flip_rate", "training:dialogue:pressing:1").value == 0


def test_a_corpus_of_ones_own_without_values_measures_everything_else(tmp_path: Path) -> None:
    rows = ["scenario_id,context,action1,action2"]
    for n, dilemma in enumerate(scripted.dilemmas(1)):
        first, second = dilemma.wordings["en"].actions
        rows.append(f"H_{n},Scenario {n} in words 0.,{first},{second}")
    path = tmp_path / "choice.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    knobs = EthicalDilemmas(corpus=str(path), paraphrases=1, draws=50)
    result = audit(drifting, knobs, controls=True)
    assert result.settings["asked"] == 12
    assert find(result.estimates, "flip_rate", "dialogue:neutral:2").value == 1
    names = {estimate.name for estimate in result.estimates}
    assert not names & {"value_priority", "kendall_tau", "pole_preference"}
    control = find(result.estimates, "control_effect", "control:stated value")
    assert math.isnan(control.value)
    assert control.n == 0
    assert find(result.estimates, "control_effect", "control:said before").n == 12
    assert "no dilemma whose two values are known" in control.method
    moved = training_drift(result.items, result.items, np.random.default_rng(0), draws=10)
    assert find(moved, "flip_rate", "training:alone").value == 0
    with pytest.raises(ValueError, match="leave `wording` out"):
        audit(drifting, EthicalDilemmas(corpus=str(path)))


def test_flips_and_poles_by_context_and_poles_by_hand() -> None:
    result = audit(drifting)
    # Five of the first six pairs are set in the US; everything else is set nowhere.
    for context, n in (("US", 5), ("unspecified", 7)):
        flips_there = find(result.estimates, "flip_rate", "dialogue:neutral:2", f"context={context}")
        assert (flips_there.value, flips_there.n) == (1, n)
    # Security is stronger than stimulation, benevolence than power: 0.9 plainly, 0.2 after small talk.
    for pole, measure in (
        ("conservation over openness", "conservation_over_openness"),
        ("self-transcendence over self-enhancement", "self_transcendence_over_self_enhancement"),
    ):
        for condition, value in (("alone", 0.9), ("dialogue:neutral:2", 0.2)):
            found = find(result.estimates, "pole_preference", condition, f"pole={pole}")
            assert found.value == pytest.approx(value)
            assert found.n == 2
            named = (result.scores["measure"] == measure) & (result.scores["condition"] == condition)
            units = result.scores[named]["value"]
            assert units.tolist() == pytest.approx([value, value])


def test_a_value_that_always_wins_comes_first_and_keeps_its_place() -> None:
    def security_first(shown: scripted.Shown) -> float:
        return float(shown.values[0] == "security") if "security" in shown.values else 0.5

    estimates = audit(security_first).estimates
    strengths = {e.group: e.value for e in estimates if (e.name, e.condition) == ("value_priority", "alone")}
    assert max(strengths, key=strengths.__getitem__) == "value=security"
    assert find(estimates, "kendall_tau", "dialogue:neutral:6").value == pytest.approx(1)


def test_no_flip_in_a_few_dilemmas_leaves_doubt_but_none_of_a_model_against_itself() -> None:
    """Of twelve dilemmas none turns: up to 26% might (Clopper and Pearson)."""
    result = audit(by_value)
    found = find(result.estimates, "flip_rate", "dialogue:neutral:2")
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 12)))
    turned = find(audit(lambda _: 1.0).estimates, "flip_rate", "order:exchanged")
    assert (turned.value, turned.low, turned.high) == pytest.approx((1, 0.025 ** (1 / 12), 1))
    itself = training_drift(result.items, result.items, np.random.default_rng(0), draws=50)
    same = find(itself, "flip_rate", "training:alone")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    other = audit(lambda shown: 0.5 + 0.9 * (by_value(shown) - 0.5)).items
    moved = find(training_drift(other, result.items, np.random.default_rng(0), draws=50), "flip_rate", "training:alone")
    assert (moved.value, moved.high) == pytest.approx((0, 1 - 0.025 ** (1 / 12)))


def test_intervals_keep_to_the_scale_of_their_measure() -> None:
    def one_turns(shown: scripted.Shown) -> float:
        return scripted.stronger(shown, 0.1 if shown.turns and shown.dilemma == 0 else 0.9)

    found = find(audit(one_turns).estimates, "flip_rate", "dialogue:neutral:2")
    assert found.value == pytest.approx(1 / 12)
    assert found.low == 0
    assert found.high > found.value


def test_asking_needs_no_statistics_and_measures_what_it_is_told() -> None:
    fake = scripted.Fake(by_value)
    asked = EthicalDilemmas(draws=50).ask(scripted.context(fake, controls=True))
    assert len(asked.questions) == len(asked.answers) == len(fake.prompts) == 12 * 20 + 2 * 24
    assert asked.text_questions == []
