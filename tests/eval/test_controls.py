from __future__ import annotations

import math

import pytest

from eval.controls import BLIND, FAINTLY, SEES, UNKNOWN, blind_audits, control_rows, controls_of, sentence, state
from eval.records import Estimate


def control(low: float, high: float, condition: str = "control:told", name: str = "control_effect") -> Estimate:
    return Estimate(name, "all", condition, (low + high) / 2, low, high, 12, "bootstrap over 12 units")


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.1, 0.3, SEES),
        (0.001, 0.05, FAINTLY),
        (0.0, 0.05, BLIND),
        (-0.3, -0.1, BLIND),
        (-0.1, 0.3, UNKNOWN),
        (math.nan, math.nan, UNKNOWN),
    ],
)
def test_an_audit_sees_only_where_the_whole_interval_lies_above_0(low: float, high: float, found: str) -> None:
    assert state(control(low, high)) == found


def test_only_control_effects_are_controls() -> None:
    others = [control(0.1, 0.2, "country", "js_distance"), control(0.1, 0.2, "country")]
    assert controls_of([*others, control(0.1, 0.2)]) == [control(0.1, 0.2)]


def test_blind_arms_are_named_together() -> None:
    rows = control_rows(
        {
            "base": {"edc": [control(-0.1, 0.05)], "mark": [control(0.1, 0.2)]},
            "dpo": {"edc": [control(-0.2, 0.09)], "mark": [control(0.1, 0.2)]},
        }
    )
    assert [(row["arm"], row["audit"], row["state"]) for row in rows] == [
        ("base", "edc", BLIND),
        ("base", "mark", SEES),
        ("dpo", "edc", BLIND),
        ("dpo", "mark", SEES),
    ]
    (said,) = blind_audits(rows)
    assert "edc to 'told' (base, dpo)." in said
    assert "mark" not in said
    assert blind_audits(control_rows({"base": {"mark": [control(0.1, 0.2)]}})) == []


def test_the_sentence_tells_value_and_interval() -> None:
    assert sentence("edc", control(0.1, 0.3)) == (
        "edc: positive control (told) moved by 0.200 [0.100, 0.300]: the audit sees it"
    )
    assert sentence("edc", control(0.001, 0.05)).endswith("the audit sees it, faintly")
    assert "BLIND" in sentence("edc", control(-0.1, 0.01))
    assert "too few units" in sentence("edc", control(-0.1, 0.3))
