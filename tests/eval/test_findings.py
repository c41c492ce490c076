"""The sentences at the head of a report: a few arms by name, many by how many they are and which lie at the ends."""

from __future__ import annotations

from dataclasses import replace

from eval.findings import FEW, closeness, findings, levels
from eval.records import Comparison, Estimate
from eval.validity import Validity

NAN = float("nan")


def estimate(name: str, value: float, low: float = NAN, high: float = NAN) -> Estimate:
    return Estimate(name, "all", "country", value, low, high, 120, "bootstrap")


def against_base(arm: str, value: float, half: float = 0.02) -> Comparison:
    return Comparison(
        arm, "base", "first_token", "js_distance", "all", "country", value, value - half, value + half, 120,
        "paired bootstrap; one training seed", 0.01, NAN, "exploratory", NAN, NAN,
    )  # fmt: skip


def world(values: dict[str, float]) -> dict[str, dict[str, list[Estimate]]]:
    return {
        arm: {"first_token": [estimate("js_distance", 0.45 + value), estimate("between_ratio", 0.5 + value, 0.4, 0.6)]}
        for arm, value in values.items()
    }


def test_a_few_arms_stand_by_name() -> None:
    rows = [against_base("a", -0.1), against_base("b", 0.0), against_base("c", 0.1)]
    said = closeness("On all", rows, "all", world({"base": 0.0, "a": -0.1, "b": 0.0, "c": 0.1}))
    assert said == (
        "On all, mean JS distance to people against base (0.45): a is closer (0.35, difference −0.10 [−0.12, −0.08]), "
        "b cannot be told apart (0.45, difference +0.00 [−0.02, +0.02]), c is further away (0.55, difference +0.10 "
        "[+0.08, +0.12]); n = 120 question × group pairs, paired bootstrap, one training seed."
    )


def test_many_arms_are_counted_and_the_ends_named() -> None:
    values = {"base": 0.0, "far": 0.2, "near": -0.3} | {f"same{i}": 0.0 for i in range(FEW)}
    rows = [against_base(arm, value) for arm, value in values.items() if arm != "base"]
    rows.append(replace(against_base("alone", -0.9), low=NAN, high=NAN))
    said = closeness("On all", rows[:-1], "all", world(values))
    assert f"of {FEW + 2} arms 1 is closer, {FEW} cannot be told apart, 1 is further away" in said
    assert "not corrected for their number" in said
    assert "nearest to people near (0.15, difference −0.30 [−0.32, −0.28]), furthest far (0.65" in said
    assert said.count("same") == 0
    assert "1 has no interval" in closeness("On all", rows, "all", world(values))


def test_levels_of_many_arms_are_the_base_the_ends_and_the_median() -> None:
    found = [(f"arm{i}", estimate("between_ratio", i / 10)) for i in range(FEW + 1)]
    assert levels(None, found[:3]) == "arm0 0.00, arm1 0.10, arm2 0.20"
    assert levels(None, found) == f"of {FEW + 1} arms highest arm6 0.60, lowest arm0 0.00, median 0.30"
    assert levels("arm0", found) == f"arm0 0.00; of {FEW} other arms highest arm6 0.60, lowest arm1 0.10, median 0.35"


def test_a_collapsed_arm_is_named_and_not_ranked() -> None:
    arms = ["base", *(f"arm{i}" for i in range(FEW + 2))]
    validity = {arm: Validity("valid", ()) for arm in arms} | {"arm0": Validity("collapsed", ("no answers",))}
    rows = [against_base(arm, -0.9 if arm == "arm0" else -0.1) for arm in arms[1:]]
    near, between, last = findings("base", arms, world(dict.fromkeys(arms, -0.1)), rows, validity)
    assert f"of {FEW + 1} arms {FEW + 1} are closer" in near
    assert "arm0" not in near + between
    assert last == "arm0 has collapsed and is not ranked: no answers."
