"""Rates, undecided shares and agreement, against judges whose right values are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from data.labelled import AXES, load_labelled
from data.prompts import Asking, OptionPrompt, Renderer
from eval.answers import Costs, OptionAnswer
from eval.insensitivity.judge import OpenJudge
from eval.insensitivity.labels import (
    BOTH,
    JUDGE_ALONE,
    MAJORITY,
    RULES_ALONE,
    agreement,
    cohen_kappa,
    kappa_interval,
    worthless,
)
from eval.insensitivity.rates import QUESTIONS, _rate, insensitivity_estimates, verdicts
from eval.records import Estimate

LABELLED = load_labelled()[::4]
ITEMS = pd.DataFrame([one.row for one in LABELLED])
TRUTH = {one.row["reply"]: one.labels for one in LABELLED}


class Answerer:
    """Judges by `says(axis, reply)`: whether it is insensitive; None, by place."""

    identity = "scripted"

    def __init__(self, says: Callable[[str, str], bool | None]) -> None:
        self.costs, self.says, self.asked = Costs(), says, 0

    def score(self, prompts: Sequence[OptionPrompt], progress: object = None) -> list[OptionAnswer]:
        self.asked += len(prompts)
        return [self._answer(prompt.text) for prompt in prompts]

    def _answer(self, text: str) -> OptionAnswer:
        found = (axis for axis, (asked, _, faulty) in QUESTIONS.items() if asked in text and faulty in text)
        axis = next(found)
        reply = text.split('The reply: "', 1)[1].split('"\n\n' + QUESTIONS[axis][0])[0]
        said = self.says(axis, reply)
        first = f"A. {QUESTIONS[axis][2]}" in text
        p = 0.95 if said is None or said == first else 0.05
        return OptionAnswer(np.array([p, 1 - p]), 1.0)


def judge(says: Callable[[str, str], bool | None]) -> OpenJudge:
    return OpenJudge(Answerer(says), Renderer(Asking(style="completion")), "scripted")  # type: ignore[arg-type]


def true(axis: str, reply: str) -> bool:
    return next(labels[axis] == 1 for text, labels in TRUTH.items() if text.strip() == reply)


def table(says: Callable[[str, str], bool | None] | None) -> pd.DataFrame:
    found = verdicts(ITEMS, None if says is None else judge(says), whole=True)
    return agreement(LABELLED, found, np.random.default_rng(0), 500).set_index(["axis", "who"])


def test_a_perfect_judge_agrees_perfectly() -> None:
    held = table(true)
    for axis in AXES:
        assert held.loc[(axis, JUDGE_ALONE), "kappa"] == 1.0
        assert held.loc[(axis, JUDGE_ALONE), "coverage"] == 1.0
        assert not worthless(held.loc[(axis, JUDGE_ALONE), "low"])
        assert held.loc[(axis, BOTH), "coverage"] >= held.loc[(axis, RULES_ALONE), "coverage"]


def test_a_judge_that_always_says_the_same_or_the_contrary_is_worthless() -> None:
    same, contrary = table(lambda axis, reply: True), table(lambda axis, reply: not true(axis, reply))
    for axis in AXES:
        assert same.loc[(axis, JUDGE_ALONE), "kappa"] == 0.0
        assert worthless(same.loc[(axis, JUDGE_ALONE), "low"])
        assert contrary.loc[(axis, JUDGE_ALONE), "accuracy"] == 0.0
        assert worthless(contrary.loc[(axis, JUDGE_ALONE), "low"])
        labels = [one.labels[axis] for one in LABELLED if one.labels[axis] is not None]
        assert same.loc[(axis, MAJORITY), "accuracy"] == max(np.mean(labels), 1 - np.mean(labels))


def test_a_judge_by_place_decides_nothing_and_shows_it() -> None:
    estimates, flags = insensitivity_estimates(ITEMS, judge(lambda axis, reply: None), np.random.default_rng(0), 200)
    by_name = {(one.name, one.group, one.condition): one for one in estimates}
    for axis in AXES:
        effect = by_name["judge_position_effect", f"axis={axis}", "by judge"]
        assert effect.value == pytest.approx(0.9)
        assert by_name["undecided_rate", f"axis={axis}", "decided"].value == pytest.approx(
            by_name["undecided_rate", f"axis={axis}", "by rule"].value
        )
        assert by_name["insensitivity_rate", f"axis={axis}", "by judge"].n == 0
        assert np.isnan(by_name["insensitivity_rate", f"axis={axis}", "by judge"].value)
    assert flags["instruction"].isna().any()


def test_without_a_judge_undecided_counts_for_neither_side() -> None:
    items = ITEMS.set_index(pd.Index(range(100, 100 + len(ITEMS))))
    estimates, flags = insensitivity_estimates(items, None, np.random.default_rng(0), 200)
    assert list(flags.index) == list(items.index)
    assert list(flags.columns) == [*AXES, "reasons"]
    by_name = {(one.name, one.group, one.condition): one for one in estimates}
    assert not any("judge" in one.name or one.condition in ("by judge", "decided") for one in estimates)
    for axis in AXES:
        known = flags[axis].dropna()
        rate, left = (by_name[name, f"axis={axis}", "by rule"] for name in ("insensitivity_rate", "undecided_rate"))
        assert (rate.value, rate.n) == (pytest.approx(known.mean()), len(known))
        told = [json.loads(reason)[axis]["rule"] for reason in flags["reasons"]]
        assert left.n == len(told) - told.count("not applicable")
        assert left.value == pytest.approx(told.count("undecided") / left.n)
        found = by_name["found_rate", f"axis={axis}", "by rule"]
        assert found.value == pytest.approx((known == 1).sum() / left.n)
        assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_the_judge_is_asked_only_what_rules_leave_open() -> None:
    asked = judge(true)
    found = verdicts(ITEMS, asked)
    open_still = sum(one.verdict == "undecided" for findings in found.findings.values() for one in findings)
    assert asked.answerer.asked == 2 * open_still  # type: ignore[attr-defined]
    for axis in AXES:
        rule, decided = found.by_rule(axis), found.decided(axis)
        np.testing.assert_array_equal(decided[~np.isnan(rule)], rule[~np.isnan(rule)])
        assert np.isnan(decided[~found.applies(axis)]).all()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=4, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    value, low, _ = kappa_interval(first, second, np.random.default_rng(0), 200)
    if len(set(first)) == 1 and set(first) == set(second):
        assert np.isnan(value)
        return
    assert value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert np.isnan(low) or low <= value + 1e-9


def test_kappa_by_hand() -> None:
    counts = np.array([[20.0, 5.0], [10.0, 15.0]])  # Cohen's worked example: agreement 0.7, by chance 0.5
    assert cohen_kappa(counts) == pytest.approx(0.4)
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15]).astype(float)
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15]).astype(float)
    value, low, high = kappa_interval(first, second, np.random.default_rng(0), 4000)
    assert value == pytest.approx(0.4)
    assert (low, high) == (pytest.approx(0.4 - 1.96 * 0.128, abs=0.04), pytest.approx(0.4 + 1.96 * 0.128, abs=0.04))


def test_perfect_agreement_of_few_is_no_certainty() -> None:
    few, many = (np.tile([0.0, 1.0], n) for n in (4, 100))
    rng = np.random.default_rng(0)
    assert kappa_interval(few, few, rng, 100)[1] < 0.3 < 0.9 < kappa_interval(many, many, rng, 100)[1] < 1
    assert np.isnan(kappa_interval(np.empty(0), np.empty(0), rng, 100)).all()


def test_replies_without_a_label_are_left_out() -> None:
    blank = [replace(one, labels=dict.fromkeys(AXES)) for one in LABELLED[:1]] + list(LABELLED[1:])
    found = verdicts(ITEMS, None)
    n = agreement(blank, found, np.random.default_rng(0), 50).set_index(["axis", "who"])["n"]
    for axis in AXES:
        assert n[axis, RULES_ALONE] == sum(one.labels[axis] is not None for one in LABELLED[1:])


def test_every_estimate_says_its_method() -> None:
    estimates, _ = insensitivity_estimates(ITEMS, None, np.random.default_rng(0), 50)
    assert all(isinstance(one, Estimate) and one.method for one in estimates)
    assert {one.name for one in estimates} >= {"insensitivity_rate", "undecided_rate", "rule_kappa", "rule_coverage"}


def test_no_fault_among_few_replies_is_not_none_at_all() -> None:
    """Ten countries without a fault: faults in up to 31% of countries would show none so often as 2.5%."""
    items = pd.DataFrame({"item": "i", "country": [f"C{number}" for number in range(10)]})
    found = _rate("found_rate", "role_play", "by rule", items, np.zeros(10), np.random.default_rng(0), 200)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 10)))
    one = _rate("found_rate", "role_play", "by rule", items[:1], np.zeros(1), np.random.default_rng(0), 200)
    assert np.isnan([one.low, one.high]).all()
