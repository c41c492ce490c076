"""What a cell's folder name and audit keys depend on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.files import digest
from launch.asked import Asked
from launch.cells import Cell
from launch.planning import plan


def config(**changes: Any) -> dict[str, Any]:
    return {
        "arm": "match-full",
        "seed": 0,
        "draw": 0,
        "audit_seed": 0,
        "limit": None,
        "parent": None,
        "head": "language",
        "chosen": {"recipe": "match", "adapter": "full"},
        "controls": False,
        "judge": {"_target_": "eval.insensitivity.judge.NoJudge"},
        "inference": {"_target_": "eval.interventions.Unchanged"},
        "gate": {"_target_": "train.gate.Gate"},
        "model": {"name": "tiny", "source": "/a", "dtype": "auto"},
        "recipe": {"_target_": "train.recipes.match.Match", "learning_rate": 1e-5},
        "adapter": {"_target_": "train.adapters.Full"},
        "mixture": {"_target_": "data.mixture.Mixture"},
        "survey": {"blocks": ["wvs3"]},
        "audit": {"first_token": {"_target_": "eval.first_token.audit.FirstToken", "draws": 100}},
        "prompt": {"style": "chat"},
        "backend": {"_target_": "eval.backends.in_process.InProcess", "name": "transformers", "token_budget": 2048},
        "engine": {"kind": "single", "processes": 1, "threads": "auto"},
        "tracker": {"mode": "off"},
        "budget": {"examples": 16},
        **changes,
    }


def planned(cell: dict[str, Any], people: str = "people", weights: str = "weights") -> Cell:
    asked = Asked("toy", Path("/runs"), (), (), (), (cell,))
    return plan(asked, {digest(cell["survey"]): people}, {digest(cell["model"]): weights})[0]


def changed(place: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(config())
    *outer, last = place.split(".")
    node = made
    for name in outer:
        node = node[name]
    node[last] = value
    return made


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("seed", 1),
        ("draw", 1),
        ("recipe.learning_rate", 2e-5),
        ("budget.examples", 32),
        ("prompt.style", "completion"),
        ("model.dtype", "bfloat16"),
        ("engine.processes", 2),
        ("adapter.last_layers", 2),
        ("mixture.pooling", "population"),
        ("survey.min_n", 10),
        ("gate.patience", 5),
        ("model.attention", "eager"),
    ],
)
def test_what_training_depends_on_makes_another_cell(place: str, value: Any) -> None:
    assert planned(changed(place, value)).config["identity"] != planned(config()).config["identity"]


def test_other_people_or_weights_make_another_cell() -> None:
    known = {planned(config()).name, planned(config(), people="others").name, planned(config(), weights="others").name}
    assert len(known) == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("engine.threads", 1),
        ("tracker.mode", "offline"),
        ("model.source", "/b"),
        ("model.series", "toy"),
        ("budget.checkpoint_every", 9),
    ],
)
def test_what_changes_no_result_keeps_the_cell_and_its_audits(place: str, value: Any) -> None:
    one, other = planned(config()), planned(changed(place, value))
    assert (one.name, one.config["keys"]) == (other.name, other.config["keys"])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("limit", 3),
        ("audit_seed", 1),
        ("controls", True),
        ("audit.first_token.draws", 5),
        ("inference.ways", "both"),
        ("backend.token_budget", 512),
    ],
)
def test_what_an_audit_depends_on_keeps_the_cell_and_renews_the_audit(place: str, value: Any) -> None:
    one, other = planned(config()), planned(changed(place, value))
    assert one.name == other.name
    assert one.config["keys"] != other.config["keys"]


def test_the_base_depends_on_no_training_knob() -> None:
    untrained: Callable[[], dict[str, Any]] = lambda: config(recipe={"_target_": "train.recipes.none.NoTraining"})  # noqa: E731
    other = {**untrained(), "budget": {"examples": 99}, "mixture": {"_target_": "data.mixture.Mixture", "balance": 0.5}}
    assert planned(untrained()).name == planned(other).name
    assert planned(untrained()).name != planned(untrained(), weights="others").name


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("recipe.pairs", "pairs.jsonl"),
        ("recipe.pairs", "."),
        ("adapter.mask", "pairs.jsonl"),
        ("mixture.of", "pairs.jsonl"),
    ],
)
def test_files_that_a_knob_names_count_by_their_content(tmp_path: Path, place: str, named: str) -> None:
    names = []
    for text in ("one", "two"):
        (tmp_path / "pairs.jsonl").write_text(text)
        names.append(planned(changed(place, str(tmp_path / named))).name)
    assert names[0] != names[1]
