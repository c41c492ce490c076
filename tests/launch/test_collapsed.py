"""A training that collapses, to the report: the arm is told of and not ranked, and the run is no failure."""

from __future__ import annotations

from typing import Any

import pytest

from data.files import read_json
from launch import audits
from launch.cli import main

ARMS = """arms:
  base: [recipe=none]
  good: [recipe=sft]
  wild: [recipe=match, recipe.learning_rate=100]
  told: [recipe=none, parent=wild, inference=permutations]
"""
LONG = ("budget.examples=64", "~recipe.learning_rate")
CHILD = "  child: [recipe=dpo, parent=wild]\n"
TWO = "arms:\n  good: [recipe=sft]\n  wild: [recipe=match, recipe.learning_rate=100]\n"


@pytest.fixture(scope="module")
def toys(toys_of_module: Any) -> Any:
    toys = toys_of_module
    with pytest.MonkeyPatch.context() as patched:
        refuse(patched, "wild", "told")
        assert toys.run(toys.experiment("wild", ARMS), *LONG) == 0, "told of, and no failure"
    assert toys.started == ["base", "good", "wild", "told"]
    return toys


def refuse(patched: pytest.MonkeyPatch, *arms: str) -> None:
    """The audits of these arms fail, as they do where no option has any probability."""
    run = audits._audits

    def failing(cell: Any, backend: Any, names: list[str], processes: Any) -> dict[str, str]:
        if cell.arm in arms:
            return dict.fromkeys(names, "no option has any probability")
        return run(cell, backend, names, processes)

    patched.setattr(audits, "_audits", failing)


def test_it_stands_in_the_summary_with_the_reasons(toys: Any) -> None:
    cells = toys.cells()
    collapsed = cells["wild"].manifest["collapsed"]
    summary = read_json(toys.folder / "toy" / "comparison" / "summary.json")
    validity = {arm["name"]: arm["validity"] for arm in summary["arms"]}
    for arm in ("wild", "told"):
        assert cells[arm].manifest["state"] == "done"
        assert cells[arm].lacks() == []
        assert validity[arm]["status"] == "collapsed"
        assert validity[arm]["reasons"] == [
            f"its training was stopped at step {collapsed['step']}: {collapsed['reason']}",
            "audit edc failed: no option has any probability",
        ]
        assert any(one.startswith(f"{arm} has collapsed and is not ranked: its tr") for one in summary["finding"])
    assert {one["arm"] for one in summary["comparisons"]} == {"good"}
    assert "collapsed" not in (validity["good"]["status"], validity["base"]["status"])


def test_status_says_collapsed(toys: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    capsys.readouterr()
    assert main(["status", str(toys.folder / "toy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    good, wild = (next(line for line in lines if f"{arm}--" in line) for arm in ("good", "wild"))
    assert "COLLAPSED" in wild
    assert "0/1" in wild
    assert "audit edc: no option has any probability" in wild
    assert "COLLAPSED" not in good


def test_the_same_command_again_does_nothing_and_tries_again_where_told_to(toys: Any) -> None:
    arms = toys.experiment("wild", ARMS)
    assert toys.run(arms, *LONG) == 0
    assert toys.started == []
    assert toys.run(arms, *LONG, "--retry-failed") == 0
    assert toys.started == ["wild", "told"]
    summary = read_json(toys.folder / "toy" / "comparison" / "summary.json")
    status = {arm["name"]: arm["validity"]["status"] for arm in summary["arms"]}
    assert status["wild"] == status["told"] == "collapsed", "whatever its audits find"


def test_the_failed_audit_of_another_arm_is_a_failure(toys: Any, monkeypatch: Any) -> None:
    refuse(monkeypatch, "good", "wild")
    assert toys.run(toys.experiment("two", TWO), *LONG, "base_arm=false", name="two") == 1
    cells = toys.cells("two")
    assert {arm: cell.manifest["state"] for arm, cell in cells.items()} == {"good": "failed", "wild": "done"}
    summary = read_json(toys.folder / "two" / "comparison" / "summary.json")
    status = {arm["name"]: arm["validity"]["status"] for arm in summary["arms"]}
    assert status == {"good": "incomplete", "wild": "collapsed"}


def test_what_starts_from_it_is_not_started(toys: Any, capsys: Any) -> None:
    assert toys.run(toys.experiment("wild", ARMS + CHILD), *LONG) == 1
    assert "is not started: parent wild--" in capsys.readouterr().err
