"""Dialogue time: length, repeated pressure, agreement, language; and the positive control."""

from __future__ import annotations

import math
from itertools import product

import dilemma_scripted as scripted
import numpy as np
import pytest

from data.prompts import Asking, Renderer
from eval.dilemmas.audit import EthicalDilemmas
from eval.dilemmas.measures import binary_js_distance
from eval.dilemmas.scripts import SCRIPTS

audit, by_value, find, stronger = scripted.audit, scripted.by_value, scripted.find, scripted.stronger


def fading(shown: scripted.Shown) -> float:
    """Chooses the stronger value with 0.9, and with 0.05 less for each exchange before."""
    return stronger(shown, 0.9 - 0.05 * shown.turns)


def test_drift_with_the_length_of_a_dialogue_is_the_slope_that_made_it() -> None:
    knobs = EthicalDilemmas(conditions=("dialogue:neutral",), dialogue_turns=(10, 2, 5), draws=200)
    result = audit(fading, knobs)
    support = find(result.estimates, "support_per_turn", "dialogue:neutral")
    assert support.value == pytest.approx(-0.05)
    assert support.n == 12
    assert support.low <= -0.05 <= support.high
    turns = np.array([0, 2, 5, 10])
    distances = binary_js_distance(0.9 - 0.05 * turns, 0.9)
    slope = np.polyfit(turns, distances, 1)[0]
    assert find(result.estimates, "drift_per_turn", "dialogue:neutral").value == pytest.approx(slope)
    later = np.polyfit(turns[1:], distances[1:], 1)[0]
    assert find(result.estimates, "drift_per_turn", "dialogue:neutral:later").value == pytest.approx(later)
    for turn, distance in zip(turns[1:], distances[1:], strict=True):
        assert find(result.estimates, "js_distance", f"dialogue:neutral:{turn}").value == pytest.approx(distance)
    # 0.9 − 0.5 = 0.4: after ten exchanges the other action leads.
    assert [find(result.estimates, "flip_rate", f"dialogue:neutral:{turn}").value for turn in (2, 5, 10)] == [0, 0, 1]
    pairs = result.scores[result.scores["measure"] == "support_per_turn"]
    assert pairs["value"].mean() == pytest.approx(-0.05)


def test_a_jump_at_the_first_exchange_is_no_drift_with_length() -> None:
    estimates = audit(lambda shown: stronger(shown, 0.7 if shown.turns else 0.9)).estimates
    assert find(estimates, "drift_per_turn", "dialogue:neutral").value > 0
    assert find(estimates, "drift_per_turn", "dialogue:neutral:later").value == pytest.approx(0, abs=1e-9)


def test_a_steady_model_does_not_drift() -> None:
    estimates = audit(by_value).estimates
    assert find(estimates, "drift_per_turn", "dialogue:neutral").value == pytest.approx(0, abs=1e-6)
    assert find(estimates, "support_per_turn", "dialogue:neutral").value == pytest.approx(0, abs=1e-9)


def giving_way(shown: scripted.Shown) -> float:
    """Chooses the stronger with 0.8. Pressed, it leaves its last answer with 0.5; agreed with, it keeps it with 0.9."""
    if shown.agreed:
        return 0.9 if shown.said[-1] == shown.values[0] else 0.1
    return 0.5 if shown.said else stronger(shown, 0.8)


def test_pressure_and_agreement_by_hand() -> None:
    estimates = audit(giving_way, EthicalDilemmas(pressing_turns=3, draws=200)).estimates
    assert find(estimates, "yields", "dialogue:agreeing").value == pytest.approx(0.1)
    for turn in (1, 2, 3):
        assert find(estimates, "yields", f"dialogue:pressing:{turn}").value == pytest.approx(0.5)
    assert find(estimates, "pressure_effect", "dialogue:pressing:1").value == pytest.approx(0.4)
    # After an agreement: 0.8 · 0.9 + 0.2 · 0.1 = 0.74 for the stronger.
    assert find(estimates, "excess_disagreement", "dialogue:agreeing").value == pytest.approx((0.8 - 0.74) ** 2)


def turning(shown: scripted.Shown) -> float:
    """Always the stronger first; each time that it is pressed it turns round with 0.7."""
    if not shown.said:
        return stronger(shown, 1.0)
    return 0.3 if shown.said[-1] == shown.values[0] else 0.7


def test_every_path_of_answers_under_repeated_pressure_is_weighed() -> None:
    knobs = EthicalDilemmas(conditions=("dialogue:pressing",), pressing_turns=3, draws=100)
    result = audit(turning, knobs)
    left = 0.0
    for turn in (1, 2, 3):
        left = left * 0.3 + (1 - left) * 0.7  # away before and stays away, or at home before and turns
        assert find(result.estimates, "yields", f"dialogue:pressing:{turn}").value == pytest.approx(left)
    sums = result.items.groupby(["dilemma", "condition"])["weight"].sum().unstack()
    np.testing.assert_allclose(sums, 2)
    assert len(result.items) == 12 * (2 + 4 + 8 + 16)


def test_the_other_language_is_a_condition_of_its_own() -> None:
    def switching(shown: scripted.Shown) -> float:
        return stronger(shown, 0.9 if shown.language == "en" else 0.2)

    result = audit(switching, EthicalDilemmas(languages=("zh",), draws=100))
    assert find(result.estimates, "flip_rate", "language:zh").value == 1
    assert find(result.estimates, "kendall_tau", "language:zh").value == pytest.approx(-1)
    assert find(result.estimates, "flip_rate", "dialogue:neutral:6").value == 0
    back = audit(switching, EthicalDilemmas(language="zh", languages=("en",), draws=100))
    assert find(back.estimates, "flip_rate", "language:en").value == 1
    assert set(back.items["language"]) == {"en", "zh"}
    assert all("中文" in prompt for prompt in back.items.loc[back.items["condition"] == "form:compare", "prompt"])


def test_the_control_sees_a_model_that_takes_up_the_stated_value() -> None:
    def obedient(shown: scripted.Shown) -> float:
        p = stronger(shown, 0.6)
        if shown.stated:
            return p + 0.3 * (1 if shown.stated == shown.values[0] else -1)
        return p

    result = audit(obedient, EthicalDilemmas(control_dilemmas=8, draws=200), controls=True)
    effect = find(result.estimates, "control_effect", "control:stated value")
    assert effect.value == pytest.approx(0.3)
    assert effect.low > 0
    assert effect.n == 8
    asked = result.items[result.items["condition"] == "control:stated value"]
    assert len(asked) == 16
    assert sorted(asked.groupby("dilemma")["stated"].first()) == [0] * 4 + [1] * 4
    assert not result.scores["condition"].str.startswith("control").any()
    assert [e.name for e in result.estimates if e.condition.startswith("control")] == ["control_effect"] * 2
    assert find(result.estimates, "control_effect", "control:said before").value == pytest.approx(0)


def test_a_copier_is_seen_by_the_answer_given_before_alone() -> None:
    """It likes the first place by 0.2, and its own earlier answer by 0.3 more."""

    def copies(shown: scripted.Shown) -> float:
        return 0.7 if not shown.before else 1.0 if shown.before == shown.values[0] else 0.4

    result = audit(copies, EthicalDilemmas(control_dilemmas=8, pressing_turns=2, draws=200), controls=True)
    effect = find(result.estimates, "control_effect", "control:said before")
    assert (effect.value, effect.low, effect.high) == pytest.approx((0.3, 0.3, 0.3))
    assert effect.n == 8
    assert find(result.estimates, "control_effect", "control:stated value").value == pytest.approx(0)
    asked = result.items[result.items["condition"] == "control:said before"]
    assert len(asked) == 16
    assert (asked["weight"] == 1).all()
    assert sorted(asked.groupby("dilemma")["said"].first().map(lambda said: said[0])) == [0] * 4 + [1] * 4
    for _, row in asked.iterrows():
        assert row["prompt"].count(f"Answer: {'AB'[row['shown'].index(row['said'][0])]}\n") == 1
        first, second = row["prompt"].split("\n\nAnswer: ")[0].split("\n\n")[-1], row["prompt"].split("\n\n")[-2]
        assert first == second


def test_the_control_changes_nothing_else_and_is_blind_on_a_deaf_model() -> None:
    deaf = audit(by_value, controls=True)
    for control in ("control:stated value", "control:said before"):
        assert find(deaf.estimates, "control_effect", control).value == pytest.approx(0)
    assert repr(deaf.estimates[:-2]) == repr(audit(by_value).estimates)


def test_assent_and_place_are_told_apart_in_letters() -> None:
    """A model that says Yes with 0.8, whatever is named first: in letters Yes stands at both places."""
    for form, language in product(("words", "letters"), ("en", "zh")):
        knobs = EthicalDilemmas(answer_form=form, language=language, draws=50)
        estimates = audit(lambda shown: 0.8 if shown.compare else 0.6, knobs).estimates
        assert find(estimates, "yes_bias", "form:compare").value == pytest.approx(0.3)
        place = [e.value for e in estimates if (e.name, e.condition) == ("position_effect", "form:compare")]
        assert place == ([] if form == "words" else [pytest.approx(0, abs=1e-12)])


@pytest.mark.parametrize("language", sorted(SCRIPTS))
def test_scripts_are_complete(language: str) -> None:
    script = SCRIPTS[language]
    assert set(script.values) == set(SCRIPTS["en"].values)
    assert len(script.small_talk) == len(set(script.small_talk)) == 12
    assert len(script.pushbacks) == 3
    for reply in (*script.pushbacks, script.agreement):
        assert "A" in reply
        assert "B" in reply
    for text, places in ((script.compare, ("first", "second")), (script.repeat, ("first", "second"))):
        # The action that Yes stands for is named first in every language.
        assert [text.index(f"{{{place}}}") for place in places] == sorted(text.index(f"{{{p}}}") for p in places)


def test_yes_and_no_that_are_no_single_tokens_are_refused_before_anything_is_asked() -> None:
    class Letters:
        """Every character is a token."""

        bos_token = None
        bos_token_id = None

        def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
            return {"input_ids": [ord(character) for character in text]}

    fake = scripted.Fake(by_value)
    context = scripted.context(fake)
    spelt = Renderer(Asking(style="completion"), Letters())
    object.__setattr__(context, "renderer", spelt)
    with pytest.raises(ValueError, match=r"answer_form is words, but Yes and No .*set audit.edc.answer_form=letters"):
        EthicalDilemmas()(context)
    assert not fake.prompts
    found = EthicalDilemmas(language="zh", draws=50)(context)
    assert math.isfinite(find(found.estimates, "flip_rate", "form:compare").value)
