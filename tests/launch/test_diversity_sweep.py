"""A sweep of diversity on a tiny model, from the experiment's YAML to the curves of its report; and the shipped one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from data.files import read_json
from eval.report.sections import draw
from eval.report.summary import Summary
from launch.arms import ask
from launch.compose import Composer

SWEEP = """
arms:
  base: [recipe=none, adapter=full]
  one: [recipe=match, mixture.countries=1]
  two: [recipe=match, mixture.countries=2]
  four: [recipe=match]
  dpo-one: [recipe=dpo, mixture.countries=1]
seeds: [0, 1]
draws: seeds
"""
AUDIT = ("audit=[first_token]", "audit.first_token.draws=50", "audit.first_token.conditions=[country]")
THREE_TRAINED = "survey.split.held_out_items=[toy/bribe]"


def curves_of(toys: Any) -> tuple[Mapping[str, Any], dict[str, Any]]:
    summary = read_json(toys.folder / "toy" / "comparison" / "summary.json")
    return summary, summary["response_curves"]


@pytest.mark.slow
def test_a_sweep_is_trained_and_its_curves_are_drawn(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.validity.LEAST_MASS", 0.0)  # a model of random weights answers with any token
    sweep = toys.experiment("sweep", SWEEP)
    assert toys.run(sweep, *AUDIT, THREE_TRAINED) == 0
    assert len(toys.started) == 1 + 4 * 2
    summary, found = curves_of(toys)
    assert {curve["family"] for curve in found["curves"]} == {"match full"}, "one level of dpo is no curve"
    (curve,) = [one for one in found["curves"] if (one["name"], one["group"]) == ("js_distance", "seen items")]
    assert curve["arms"] == ["one", "two", "four"]
    assert curve["diversity"][0] == 1.0
    assert curve["diversity"][-1] > 3
    assert len(curve["cells"]) == 6
    assert "3 items" in curve["method"]
    assert "2 training seeds, each with a data draw of its own" in curve["method"]
    assert any(said.startswith("As training data gets more diverse (match full): ") for said in summary["finding"])
    page = draw(Summary(summary), ())
    assert [study.id for study, _ in page.studies if study.id == "response"] == ["response"]

    assert toys.run(sweep, *AUDIT, THREE_TRAINED, "response_curves.over=hill_0") == 0
    assert toys.started == [], "over what curves are drawn changes no cell"
    _, found = curves_of(toys)
    assert found["over"] == "hill_0"
    assert found["curves"][0]["diversity"] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("response_curves.over=hills", "response_curves.over must be one of hill_0, hill_1"),
        ("+response_curves.margins.emd=0.1", "response_curves.margins.emd: the measures that have a curve are"),
        ("response_curves=3", "response_curves must be a mapping, got 3"),
    ],
)
def test_curves_over_what_there_is_not_are_refused(toys: Any, capsys: Any, override: str, words: str) -> None:
    assert toys.run("recipe=none", "~recipe.learning_rate", override) == 2
    assert words in capsys.readouterr().err
    assert toys.started == []


def test_the_shipped_sweep_differs_in_diversity_alone() -> None:
    with Composer() as composer:
        asked = ask(composer, ["experiment=diversity_sweep", "response_curves.over=hill_0"], False)
    assert asked.name == "diversity-sweep"
    assert (asked.response_curves["over"], asked.response_curves["margins"]["js_distance"]) == ("hill_0", 0.02)
    cells = [cell for cell in asked.cells if cell["arm"] != "base"]
    assert {(cell["seed"], cell["draw"]) for cell in cells} == {(row, row) for row in range(4)}
    by_recipe: dict[str, dict[str, Any]] = {}
    for cell in cells:
        by_recipe.setdefault(cell["chosen"]["recipe"], {})[cell["arm"]] = cell
    assert {name: len(arms) for name, arms in by_recipe.items()} == {"match": 7, "dpo": 4}
    for arms in by_recipe.values():
        for cell in arms.values():
            first = next(iter(arms.values()))
            assert all(
                cell[part] == first[part] for part in ("model", "recipe", "adapter", "survey", "budget", "prompt")
            )
            knobs = {key for key, value in cell["mixture"].items() if value != first["mixture"][key]}
            assert knobs <= {"countries", "evenness"}
    named = {arm for one in asked.hypotheses for arm in (one["arm"], one["against"])}
    assert named <= {cell["arm"] for cell in cells}
