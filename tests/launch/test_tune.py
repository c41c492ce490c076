"""`polyphony tune`: ranges, trials as cells, the same trials again, and what is said of the best one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from data.manifest import update_manifest
from launch.cells import read_experiment
from launch.cli import main
from launch.compose import Composer
from launch.ranges import searched
from launch.tune import Told, _order, goal_of

GOAL = "edc/decisiveness/alone/all"


def command(toys: Any, *more: str, name: str = "toy") -> list[str]:
    given = toys.arguments("recipe=sft", *more, name=name)
    return ["tune", *(one for one in given[1:] if not one.startswith("recipe.learning_rate=1e-3"))]


def trials(toys: Any, name: str = "toy") -> dict[str, str]:
    """The values of each trial, as its cell has them."""
    found = {cell.arm: cell.config["recipe"]["learning_rate"] for cell in read_experiment(toys.folder / name)[1][1:]}
    return {arm: f"{value:.4g}" for arm, value in found.items()}


def test_trials_are_cells_and_the_same_command_goes_on(toys: Any, capsys: Any) -> None:
    knob = "recipe.learning_rate=log:1e-6:1e-2"
    assert main(command(toys, knob, "--minimise", GOAL, "--trials", "2")) == 0
    assert toys.started == ["base", "trial-000", "trial-001"]
    first = trials(toys)
    assert first["trial-000"] == "5e-05", "the recipe as it is"
    toys.started.clear()
    capsys.readouterr()
    assert main(command(toys, knob, "--minimise", GOAL, "--trials", "3")) == 0
    assert toys.started == ["trial-002"], "the others are the same, and done"
    assert {arm: value for arm, value in trials(toys).items() if arm in first} == first
    shown = capsys.readouterr()
    best = re.search(r"Best: (trial-\d+), recipe.learning_rate=(\S+): (\S+), of 3 trials", shown.out)
    assert best
    told = dict(re.findall(r"^(trial-\d+) recipe.learning_rate=\S+: (\S+)$", shown.err, re.MULTILINE))
    assert best[3] == min(told.values(), key=float)
    assert "selected on these very answers" in shown.out
    (again,) = (line.strip() for line in shown.out.splitlines() if line.startswith("  polyphony run"))
    assert {f"recipe.learning_rate={best[2]}", "seeds=[1,2,3]", "draws=seeds"} < set(shlex.split(again))
    assert (toys.folder / "toy" / "comparison" / "report.html").exists()


def test_what_failed_or_collapsed_is_nobodys_best(toys: Any, capsys: Any, monkeypatch: Any) -> None:
    """Trial 1 collapses, trial 2 fails; on request the failed one alone is tried again."""
    from launch import worker

    plain = worker.main

    def fussy(arguments: list[str]) -> int:
        code = plain(arguments)
        if "trial-001" in arguments[0]:
            update_manifest(Path(arguments[0]), collapsed={"step": 1, "reason": "the loss is not finite"})
        if "trial-002" in arguments[0]:
            error = {"stage": "audit", "type": "ValueError", "message": "fussy"}
            update_manifest(Path(arguments[0]), state="failed", error=error)
        return code

    monkeypatch.setattr(worker, "main", fussy)
    monkeypatch.setattr("launch.pipeline.finish", lambda run: None)
    asked = command(toys, "recipe.learning_rate=1e-5,1e-4,1e-3", "--maximise", GOAL, "--trials", "3")
    assert main(asked) == 1
    shown = capsys.readouterr()
    assert "PRUNED: collapsed at step 1: the loss is not finite" in shown.err
    assert "FAIL: audit: fussy" in shown.err
    assert "Best: trial-000" in shown.out
    monkeypatch.setattr(worker, "main", plain)
    toys.started.clear()
    assert main([*asked, "--retry-failed"]) == 0
    assert toys.started == ["trial-002"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["recipe.learning_rate=log:0:1"], "'recipe.learning_rate=log:0:1' is no range"),
        (["recipe.learning_rate=log:1:2:0.1"], "a logarithmic range has no steps"),
        (["recipe.learning_rate=range:3:1"], "is no range"),
        (["recipe.learning_rate=range:a:b"], "is no range: could not convert string to float"),
        (["recipe.learning_rate=1e-5"], "nothing is searched"),
        (["recipe.learning_rate=log:1e-6:1e-3", "recipe.learning_rate=1e-5"], "both a value and a range"),
        (["recipe.learning_rat=log:1e-6:1e-3"], "recipe.learning_rate"),
        (["recipe.learning_rate=log:1e-6:1e-3", "--minimise", "js_distance"], "AUDIT/MEASURE/CONDITION/GROUP"),
        (["recipe.learning_rate=log:1e-6:1e-3"], "audit 'first_token' is not asked for"),
        (["recipe.learning_rate=log:1e-6:1e-3", "--minimise", "edc/flip/x/all"], "has no estimate 'flip/x/all'"),
        (["recipe.learning_rate=log:1e-6:1e-3", "--trials", "0"], "must be at least 1"),
        (["recipe.learning_rate=log:1e-6:1e-3", "--minimise", GOAL, "--maximise", GOAL], "exclude each other"),
    ],
)
def test_what_is_wrong_is_said(toys: Any, more: list[str], said: str, capsys: Any) -> None:
    goal = [] if any(one.startswith("--m") for one in more) or "not asked" in said else ["--minimise", GOAL]
    assert main(command(toys, *more, *goal)) == 2
    assert said in capsys.readouterr().err


def test_ranges_are_those_of_optuna() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    texts = ["a=log:0.02:2", "b=range:1:9:2", "c=range:0.1:0.9:0.2", "d=sigmoid,ipo", "e=[1,2]", "recipe=dpo"]
    with Composer() as composer:
        spaces, fixed = searched(composer, texts)
    assert fixed == ["e=[1,2]", "recipe=dpo"]
    assert spaces == {
        "a": FloatDistribution(0.02, 2, log=True),
        "b": IntDistribution(1, 9, step=2),
        "c": FloatDistribution(0.1, 0.9, step=0.2),
        "d": CategoricalDistribution(("sigmoid", "ipo")),
    }


def test_trials_are_ordered_by_what_they_came_to() -> None:
    told = [
        Told(f"trial-{n}", {}, state, value)
        for n, (state, value) in enumerate(
            [("COMPLETE", 0.3), ("FAIL", float("nan")), ("COMPLETE", 0.1), ("PRUNED", float("nan"))]
        )
    ]
    assert [one.arm for one in sorted(told, key=_order(goal_of(GOAL, large=False)))] == [
        "trial-2",
        "trial-0",
        "trial-1",
        "trial-3",
    ]
    assert sorted(told, key=_order(goal_of(GOAL, large=True)))[0].arm == "trial-0"
