"""Verdicts on arms whose effects are known: `polyphony run` from YAML to verdict, only the model is scripted.

`planted.py` has the people and what is planted. How often verdicts are right over many such experiments is counted in
tests/eval/test_known_effects.py.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.files import read_json
from data.records import Group
from data.survey_file import write_survey_file
from eval.compare import compare
from eval.distances import js_distance

ARMS = {
    "near": {"pull": 0.7, "spread": 0.9},
    "twin": {"kin": 1, "pull": 0.7, "spread": 0.9},
    "flat": {"pull": 0.7, "spread": 0.1},
    "lucky": {"pull": 0.7, "spread": 0.9, "luck": 0.2},
}
CLAIMS: dict[str, tuple[str, str, str, str, float, str]] = {
    # name: measure, arm, against, expect, margin, the verdict that is right
    "closer": ("js_distance", "near", "base", "lower", 0.02, "SUPPORTED"),
    "farther": ("js_distance", "near", "base", "higher", 0.02, "CONTRADICTED"),
    "no other than the base": ("js_distance", "near", "base", "same", 0.02, "CONTRADICTED"),
    "alike": ("js_distance", "near", "twin", "same", 0.02, "EQUIVALENT"),
    "alike, though expected apart": ("js_distance", "near", "twin", "lower", 0.02, "EQUIVALENT"),
    "keeps countries apart": ("between_ratio", "near", "flat", "higher", 0.05, "SUPPORTED"),
    "makes countries one": ("between_ratio", "near", "flat", "lower", 0.05, "CONTRADICTED"),
    "fewer voices": ("within_ratio", "near", "base", "lower", 0.01, "SUPPORTED"),
    "as many voices": ("within_ratio", "near", "twin", "same", 0.05, "EQUIVALENT"),
    "luck": ("js_distance", "lucky", "twin", "lower", 0.01, "INCONCLUSIVE"),
    "luck is no equality": ("js_distance", "lucky", "twin", "same", 0.01, "INCONCLUSIVE"),
    "sets": ("between_ratio", "[near, twin]", "[flat, base]", "higher", 0.05, "SUPPORTED"),
    "sets, the other way": ("between_ratio", "[flat, base]", "[near, twin]", "higher", 0.05, "CONTRADICTED"),
    "sets with luck": ("js_distance", "[near, lucky]", "twin", "lower", 0.01, "INCONCLUSIVE"),
    "the same effect twice": ("between_ratio", "near", "flat", "same", 0.1, "EQUIVALENT"),
    "another effect": ("between_ratio", "near", "flat", "higher", 0.05, "SUPPORTED"),
}
MINUS = {"the same effect twice": ("twin", "base"), "another effect": ("flat", "base")}
"""The second difference of a claim on a difference of differences: the base too has next to no spread."""
SPLIT = (
    "survey.split.held_out_items=['made/held*']",
    "survey.split.train_items=['made/seen*']",
    "survey.split.held_out_countries=[BRA,GHA,IND,JPN,KEN,MEX,NOR,SWE]",
)
AUDITED = (
    *("audit=[first_token]", "audit.first_token.conditions=[country]", "audit.first_token.seen_items=false"),
    *("audit.first_token.draws=20", "backend=scripted", "~recipe.learning_rate"),
)
DRAWS = 800


def experiment(arms: dict[str, dict[str, float]], claims: dict[str, Any], seeds: list[int]) -> str:
    lines = [f"seeds: {seeds}", "arms:", "  base: [recipe=none]"]
    for name, planted in arms.items():
        knobs = ", ".join(["recipe=planted", *(f"recipe.{knob}={value}" for knob, value in planted.items())])
        lines.append(f"  {name}: [{knobs}]")
    lines.append("hypotheses:")
    for name, (measure, arm, against, expect, margin, _) in claims.items():
        lines.append(f"  - {{name: '{name}', statement: '{name}', audit: first_token, measure: {measure},")
        if name in MINUS:
            lines.append(f"     minus: {{arm: {MINUS[name][0]}, against: {MINUS[name][1]}}},")
        lines.append(f"     arm: {arm}, against: {against}, expect: {expect}, margin: {margin}}}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def toys(toys_of_module: Any) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(Path(__file__).parent)
        from planted import Planted, made_people

        folder = toys_of_module.folder
        patched.setattr("eval.compare.compare", functools.partial(compare, draws=DRAWS))
        patched.setattr("launch.worker.let_go", lambda: None)  # there is no model to let go of
        write_survey_file(made_people(), folder / "made.jsonl")
        knobs = "\n".join(f"{knob}: {value}" for knob, value in asdict(Planted()).items())
        for part, name, text in (
            ("recipe", "planted", f"_target_: planted.Planted\n{knobs}\n"),
            ("backend", "scripted", "_target_: planted.Scripted\nname: scripted\n"),
        ):
            (folder / "conf" / part).mkdir()
            (folder / "conf" / part / f"{name}.yaml").write_text(f"# A member of these tests.\n{text}")
        yield toys_of_module


def ran(toys: Any, name: str, text: str) -> dict[str, Any]:
    blocks = f"survey.blocks=['file:{toys.folder / 'made.jsonl'}']"
    assert toys.run(toys.experiment(name, text), blocks, *SPLIT, *AUDITED, name=name) == 0
    summary: dict[str, Any] = read_json(toys.folder / name / "comparison" / "summary.json")
    return summary


@pytest.fixture(scope="module")
def summary(toys: Any) -> dict[str, Any]:
    return ran(toys, "effects", experiment(ARMS, CLAIMS, [0, 1, 2]))


@pytest.mark.parametrize("name", CLAIMS)
def test_each_verdict_is_the_right_one(summary: dict[str, Any], name: str) -> None:
    found = next(one for one in summary["verdicts"] if one["hypothesis"] == name)
    assert found["verdict"] == CLAIMS[name][-1], found["sentence"]


def test_intervals_hold_what_was_planted(summary: dict[str, Any], toys: Any) -> None:
    """The difference of the mean distances to people that were planted, by plain formula and without chance."""
    from planted import HELD_COUNTRIES, HELD_ITEMS, Planted, answer, made_people

    survey = made_people()

    def planted(knobs: dict[str, float]) -> float:
        found = []
        for item, country in itertools.product(HELD_ITEMS, HELD_COUNTRIES):
            own = np.array(survey.people[item, Group(country)].probabilities)
            mean = np.mean([survey.people[item, Group(one)].probabilities for one in survey.countries], axis=0)
            found.append(float(js_distance(answer(Planted(**knobs), own, mean), own)))
        return float(np.mean(found))

    distance = {name: planted(knobs) for name, knobs in {**ARMS, "base": {}}.items()}
    for name in ("closer", "alike"):
        found = next(one for one in summary["verdicts"] if one["hypothesis"] == name)
        _, arm, against, *_ = CLAIMS[name]
        wanted = distance[arm] - distance[against]
        assert found["low"] - 0.01 <= wanted <= found["high"] + 0.01, (name, wanted, found["sentence"])
    assert distance["near"] < distance["flat"] < distance["base"] - 0.02


def test_what_is_decided_says_by_how_much_and_what_is_not_says_what_could_have_been_found(
    summary: dict[str, Any],
) -> None:
    told = {one["hypothesis"]: one["sentence"] for one in summary["verdicts"]}
    assert "is lower, as expected, by more than 0.02" in told["closer"]
    assert "expected was higher" in told["farther"]
    assert "lies within the margin" in told["alike"]
    assert "would have been found with 80% power" in told["luck"]
    assert summary["not_a_result"] == []


def test_one_seed_gives_no_verdict_whatever_was_planted(toys: Any) -> None:
    claims = {name: CLAIMS[name] for name in ("closer", "farther", "no other than the base")}
    found = ran(toys, "alone", experiment({"near": ARMS["near"]}, claims, [0]))
    assert {one["verdict"] for one in found["verdicts"]} == {"NO VERDICT"}
    assert all("fewer than two training seeds" in one["sentence"] for one in found["verdicts"])
    assert found["not_a_result"]
