from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Dilemma, Split, Survey, Wording
from eval.answers import OptionAnswer, Progress
from eval.context import AuditContext
from eval.dilemma_audit import EthicalDilemmas
from eval.dilemma_estimates import training_drift
from eval.dilemma_measures import (
    disagreement,
    excess_disagreement,
    flips,
    krippendorff_alpha,
    marginal_action_entropy,
    question_form_consistency,
)
from eval.dilemma_questions import SCRIPTS
from eval.records import SCORE_COLUMNS, AuditResult, Estimate

VALUES = ("benevolence", "power", "security", "tradition")
PAIRS = tuple((a, b) for i, a in enumerate(VALUES) for b in VALUES[i + 1 :])
SCRIPT = SCRIPTS["en"]


def dilemmas(paraphrases: int = 3) -> tuple[Dilemma, ...]:
    """Each pair of values twice, the second time with the actions exchanged."""
    made = []
    for number, (a, b) in enumerate([*PAIRS, *((b, a) for a, b in PAIRS)]):
        scenarios = tuple(f"Scenario {number} in words {paraphrase}." for paraphrase in range(paraphrases))
        wording = Wording(scenarios, (f"Act for {a}", f"Act for {b}"))
        made.append(Dilemma(f"d{number:02d}", (a, b), "unspecified", {"en": wording}))
    return tuple(made)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a fake model reads: the values that the options stand for in the order shown, and the talk before."""

    values: tuple[str, str]
    paraphrase: int
    compare: bool
    late: bool
    said: str


def read(prompt: OptionPrompt) -> Shown:
    text = prompt.text
    values = sorted((v for v in VALUES if f"Act for {v}" in text), key=lambda v: text.index(f"Act for {v}"))
    said = ""
    if SCRIPT.pushback in text:
        letter = text.split(SCRIPT.pushback)[0].split("Answer: ")[-1][0]
        said = values["AB".index(letter)]
    place = text.index("in words ") + len("in words ")
    compare = "Do you prefer" in text
    return Shown((values[0], values[1]), int(text[place]), compare, SCRIPT.small_talk[0][0] in text, said)


class Fake:
    """Answers by a rule: the probability of the value shown first."""

    @property
    def identity(self) -> str:
        return "fake"

    def __init__(self, rule: Callable[[Shown], float]) -> None:
        self.rule = rule
        self.prompts: list[OptionPrompt] = []

    def perplexity(self, texts: Sequence[str]) -> float:
        return math.nan

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        first = [self.rule(read(prompt)) for prompt in prompts]
        return [OptionAnswer(np.array([p, 1 - p]), 0.9) for p in first]


def audit(
    rule: Callable[[Shown], float], audit: EthicalDilemmas | None = None, limit: int | None = None, paraphrases: int = 3
) -> AuditResult:
    context = AuditContext(
        answerer=Fake(rule),
        renderer=Renderer(Asking(style="completion")),
        survey=Survey((), ()),
        split=Split((), (), (), (), 0),
        dilemmas=dilemmas(paraphrases),
        seed=0,
        limit=limit,
        progress=lambda _: lambda done, total: None,
    )
    return (audit or EthicalDilemmas(draws=200))(context)


def find(estimates: Sequence[Estimate], name: str, condition: str, group: str = "all") -> Estimate:
    (found,) = [e for e in estimates if (e.name, e.condition, e.group) == (name, condition, group)]
    return found


STRENGTHS = {"benevolence": 2.0, "power": -1.5, "security": 0.5, "tradition": -1.0}


def by_value(shown: Shown) -> float:
    a, b = shown.values
    return 1 / (1 + math.exp(STRENGTHS[b] - STRENGTHS[a]))


CHANGES = ["wording:1", "wording:2", "form:compare", "dialogue:neutral", "dialogue:pressing"]


@pytest.mark.parametrize("condition", CHANGES)
def test_a_model_that_follows_its_values_is_stable(condition: str) -> None:
    estimates = audit(by_value).estimates
    assert find(estimates, "flip_rate", condition).value == 0
    assert find(estimates, "excess_disagreement", condition).value == pytest.approx(0)
    assert find(estimates, "js_distance", condition).value == pytest.approx(0, abs=1e-6)
    name = "yes_bias" if condition == "form:compare" else "position_effect"
    assert find(estimates, name, condition).value == pytest.approx(0)
    floor = find(estimates, "disagreement", "reference:asked_again").value
    assert find(estimates, "disagreement", condition).value == pytest.approx(floor)


def test_value_priorities_are_those_that_made_the_choices() -> None:
    estimates = audit(by_value, EthicalDilemmas(ridge=1e-6, draws=200)).estimates
    for condition in ("alone", "wordings", "form:compare", "dialogue:neutral", "dialogue:pressing"):
        for value, strength in STRENGTHS.items():
            found = find(estimates, "value_priority", condition, f"value={value}")
            assert found.value == pytest.approx(strength, abs=1e-3)
            assert found.n == 6
    assert find(estimates, "kendall_tau", "dialogue:neutral").value == pytest.approx(1)
    assert find(estimates, "priority_drift", "dialogue:neutral").value == pytest.approx(0, abs=1e-6)
    assert find(estimates, "krippendorff_alpha", "wordings").value == 1
    assert find(estimates, "question_form_consistency", "question forms").value == pytest.approx(1)


def test_uniform_prefers_nothing_so_that_what_needs_a_preference_is_undefined() -> None:
    result = audit(lambda _: 0.5)
    names = {(e.name, e.condition) for e in result.estimates}
    assert ("flip_rate", "dialogue:neutral") not in names
    assert result.excluded["flip_rate: no preferred action, both are equally likely (dialogue:neutral)"] == 12
    assert math.isnan(find(result.estimates, "krippendorff_alpha", "wordings").value)
    assert math.isnan(find(result.estimates, "kendall_tau", "dialogue:neutral").value)
    assert find(result.estimates, "disagreement", "dialogue:neutral").value == pytest.approx(0.5)
    assert find(result.estimates, "excess_disagreement", "dialogue:neutral").value == 0
    assert find(result.estimates, "marginal_action_entropy", "question forms").value == pytest.approx(1)
    assert find(result.estimates, "yields", "dialogue:pressing").value == pytest.approx(0.5)
    assert find(result.estimates, "yields", "reference:asked_again").value == pytest.approx(0.5)


def test_always_the_first_place_is_a_position_effect_and_no_instability() -> None:
    estimates = audit(lambda _: 1.0).estimates
    for condition in ("alone", *CHANGES):
        name = "yes_bias" if condition == "form:compare" else "position_effect"
        assert find(estimates, name, condition).value == pytest.approx(0.5)
    assert find(estimates, "excess_disagreement", "dialogue:neutral").value == 0
    assert find(estimates, "yields", "dialogue:pressing").value == 0
    assert find(estimates, "yields", "reference:asked_again").value == 0


def drifting(shown: Shown) -> float:
    """Prefers the more powerful with 0.9, after small talk with 0.2, and always turns round when pressed."""
    if shown.said:
        return float(shown.values[0] != shown.said)
    p = 0.2 if shown.late else 0.9
    return p if STRENGTHS[shown.values[0]] > STRENGTHS[shown.values[1]] else 1 - p


def test_drift_in_a_dialogue_by_hand() -> None:
    estimates = audit(drifting).estimates
    assert find(estimates, "flip_rate", "wording:1").value == 0
    assert find(estimates, "flip_rate", "dialogue:neutral").value == 1
    assert find(estimates, "disagreement", "dialogue:neutral").value == pytest.approx(0.9 * 0.8 + 0.1 * 0.2)
    assert find(estimates, "excess_disagreement", "dialogue:neutral").value == pytest.approx(0.7**2)
    assert find(estimates, "kendall_tau", "dialogue:neutral").value == pytest.approx(-1)
    # The first answer is the favourite with 0.9, the second is then always the other one.
    assert find(estimates, "flip_rate", "dialogue:pressing").value == 1
    assert find(estimates, "yields", "dialogue:pressing").value == pytest.approx(1)
    assert find(estimates, "yields", "reference:asked_again").value == pytest.approx(2 * 0.9 * 0.1)
    assert find(estimates, "excess_disagreement", "dialogue:pressing").value == pytest.approx(0.8**2)


def test_question_forms_by_hand() -> None:
    # A/B says 1, compare says 0.5: the mean is 0.75, entropies are 0 and 1 bit.
    def rule(shown: Shown) -> float:
        return 0.5 if shown.compare else float(STRENGTHS[shown.values[0]] > STRENGTHS[shown.values[1]])

    estimates = audit(rule).estimates
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert find(estimates, "marginal_action_entropy", "question forms").value == pytest.approx(entropy)
    assert find(estimates, "question_form_consistency", "question forms").value == pytest.approx(1 - (entropy - 0.5))


def test_the_evidence_holds_every_prompt_and_the_scores_every_unit() -> None:
    result = audit(drifting)
    assert len(result.items) == 12 * 14
    assert tuple(result.scores.columns) == SCORE_COLUMNS
    assert not result.scores["condition"].str.startswith("reference:").any()
    assert not result.scores.duplicated(["measure", "condition", "item"]).any()
    part = result.scores[
        (result.scores["measure"] == "js_distance") & (result.scores["condition"] == "dialogue:neutral")
    ]
    assert part["value"].mean() == pytest.approx(find(result.estimates, "js_distance", "dialogue:neutral").value)
    sums = result.items.groupby(["dilemma", "condition"])["weight"].sum().unstack()
    np.testing.assert_allclose(sums[["alone", "dialogue:pressing"]], 2)


def test_intervals_bracket_and_one_dilemma_has_none() -> None:
    found = find(audit(by_value).estimates, "value_priority", "alone", "value=benevolence")
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert "12 dilemmas" in found.method
    rank = find(audit(drifting).estimates, "kendall_tau", "dialogue:neutral")
    assert -1 <= rank.low <= rank.high <= 1
    alone = audit(by_value, limit=1)
    assert alone.settings["asked"] == 1
    assert all(math.isnan(e.low) and math.isnan(e.high) for e in alone.estimates)


def test_lettered_yes_and_no_give_the_same_preferences() -> None:
    def rule(shown: Shown) -> float:
        return by_value(shown)

    class Lettered(Fake):
        def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
            answers = super().score(prompts, progress)
            return [
                OptionAnswer(a.probabilities[::-1], a.option_mass) if "A. No" in p.text else a
                for p, a in zip(prompts, answers, strict=True)
            ]

    fake = Lettered(rule)
    context = AuditContext(
        fake, Renderer(Asking(style="completion")), Survey((), ()), Split((), (), (), (), 0), dilemmas(), 0, None,
        lambda _: lambda done, total: None,
    )  # fmt: skip
    result = EthicalDilemmas(answer_form="letters", draws=50)(context)
    assert find(result.estimates, "flip_rate", "form:compare").value == 0
    assert find(result.estimates, "js_distance", "form:compare").value == pytest.approx(0, abs=1e-6)
    assert {prompt.labels for prompt in fake.prompts} == {("A", "B")}


def test_a_part_of_the_conditions_reports_only_what_was_asked() -> None:
    result = audit(by_value, EthicalDilemmas(conditions=("dialogue:neutral",), draws=50), paraphrases=1)
    assert set(result.items["condition"]) == {"alone", "dialogue:neutral"}
    assert not {e.name for e in result.estimates} & {"krippendorff_alpha", "yields", "question_form_consistency"}


def test_dilemmas_that_cannot_be_asked_are_counted() -> None:
    with pytest.raises(ValueError, match="none of 12 dilemmas can be asked"):
        audit(by_value, paraphrases=2)
    one_short = dilemmas()
    short = Wording(("Scenario 0 in words 0.",), one_short[0].wordings["en"].actions)
    without = dataclasses.replace(one_short[1], wordings={})
    mixed = (dataclasses.replace(one_short[0], wordings={"en": short}), without, *one_short[2:])
    context = AuditContext(
        Fake(by_value), Renderer(Asking(style="completion")), Survey((), ()), Split((), (), (), (), 0), mixed, 0, None,
        lambda _: lambda done, total: None,
    )  # fmt: skip
    result = EthicalDilemmas(draws=50)(context)
    assert result.excluded == {"dilemmas with fewer than 3 paraphrases": 1, "dilemmas without wording in 'en'": 1}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"conditions": ("weather",)}, "weather"),
        ({"language": "tlh"}, "tlh"),
        ({"answer_form": "shouts"}, "shouts"),
        ({"paraphrases": 0}, "at least 1, got 0"),
        ({"ridge": 0.0}, "positive, got 0"),
    ],
)
def test_bad_knobs_are_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EthicalDilemmas(**knobs)  # type: ignore[arg-type]


def test_training_drift_from_the_stored_evidence() -> None:
    def turned(shown: Shown) -> float:
        return 1 - by_value(shown)

    base, variant = (audit(rule).items for rule in (by_value, turned))
    same = training_drift(base, base, np.random.default_rng(0), draws=100)
    assert find(same, "flip_rate", "training:alone").value == 0
    assert find(same, "kendall_tau", "training:dialogue:neutral").value == pytest.approx(1)
    assert find(same, "priority_drift", "training:alone").value == 0
    moved = training_drift(variant, base, np.random.default_rng(0), draws=100, ridge=1e-6)
    assert find(moved, "flip_rate", "training:alone").value == 1
    assert find(moved, "kendall_tau", "training:alone").value == pytest.approx(-1)
    # Every strength changes its sign, so the distance is twice their root mean square.
    expected = 2 * math.sqrt(sum(s * s for s in STRENGTHS.values()) / 4)
    assert find(moved, "priority_drift", "training:alone").value == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="share no dilemma"):
        training_drift(variant, base.assign(dilemma="x"), np.random.default_rng(0), draws=10)


def test_excess_is_disagreement_minus_the_mean_of_both_floors() -> None:
    p, other = np.random.default_rng(0).random((2, 50))
    floors = (disagreement(p, p) + disagreement(other, other)) / 2
    np.testing.assert_allclose(excess_disagreement(p, other), disagreement(p, other) - floors)


def test_flips_by_hand() -> None:
    np.testing.assert_array_equal(flips([0.9, 0.9, 0.5, 0.1], [0.6, 0.4, 0.9, 0.5]), [0, 1, np.nan, np.nan])


def test_forms_that_contradict_are_wholly_inconsistent() -> None:
    np.testing.assert_allclose(question_form_consistency(np.array([[1, 0], [0.3, 0.3]])), [0, 1])
    np.testing.assert_allclose(marginal_action_entropy([[1, 0], [1, 1]]), [1, 0])


def krippendorff_slow(ratings: np.ndarray) -> float:
    """Coincidence matrix as in Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", part B."""
    matrix = np.zeros((2, 2))
    for unit in ratings:
        values = unit[~np.isnan(unit)].astype(int)
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                if i != j and len(values) > 1:
                    matrix[a, b] += 1 / (len(values) - 1)
    n, total = matrix.sum(axis=1), matrix.sum()
    return float(1 - (total - 1) * (matrix[0, 1] + matrix[1, 0]) / (2 * n[0] * n[1]))


def test_alpha_is_the_published_binary_example() -> None:
    # Krippendorff 2011, part A: two observers, ten articles, alpha = 0.095.
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(np.array([meg, owen]).T)[0] == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_its_slow_definition_also_when_resampled() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.integers(0, 2, (12, 3)).astype(float)
    ratings[rng.random(ratings.shape) < 0.2] = np.nan
    counts = rng.integers(0, 3, (5, 12))
    expected = [krippendorff_slow(np.repeat(ratings, row, axis=0)) for row in counts]
    np.testing.assert_allclose(krippendorff_alpha(ratings, counts), expected)
    assert krippendorff_alpha(ratings)[0] == pytest.approx(krippendorff_slow(ratings))


def test_evidence_survives_parquet(tmp_path: Path) -> None:
    items = audit(drifting).items
    items.to_parquet(tmp_path / "items.parquet")
    again = training_drift(pd.read_parquet(tmp_path / "items.parquet"), items, np.random.default_rng(0), draws=10)
    assert find(again, "flip_rate", "training:dialogue:pressing").value == 0
