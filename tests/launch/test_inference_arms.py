"""Interventions at inference time as arms: their names, the base beside them, the keys of their audits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.files import digest
from eval.cells import CellResult, arms_of
from launch.arms import ask
from launch.asked import Asked
from launch.cells import Cell
from launch.check import check_cells
from launch.compose import Composer
from launch.planning import plan


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def asked_for(composer: Composer, *overrides: str) -> Asked:
    return ask(composer, overrides, multirun=True)


def names(composer: Composer, *overrides: str) -> list[str]:
    return [cell["arm"] for cell in asked_for(composer, *overrides).cells]


def planned(composer: Composer, *overrides: str) -> dict[str, Cell]:
    asked = asked_for(composer, *overrides)
    config = asked.cells[0]
    return {c.arm: c for c in plan(asked, {digest(config["survey"]): "people"}, {digest(config["model"]): "weights"})}


@pytest.mark.parametrize(
    ("overrides", "arms"),
    [
        (["recipe=none", "inference=none,cultural_prompt"], ["base", "cultural_prompt"]),
        (["recipe=none", "inference=persona_prompt,none"], ["base", "persona_prompt"]),
        (["recipe=none", "inference=persona_prompt"], ["base", "persona_prompt"]),
        (["recipe=none", "inference=persona_prompt", "base_arm=false"], ["persona_prompt"]),
        (["recipe=match", "inference=none,persona_prompt"], ["base", "match-full", "match-full-persona_prompt"]),
        (["recipe=none,match", "inference=permutations"], ["base", "permutations", "match-full-permutations"]),
        (
            ["recipe=none", "inference=permutations", "inference.count=2,3"],
            ["base", "permutations-inference.count-2", "permutations-inference.count-3"],
        ),
        (["recipe=none", "inference=none"], ["base"]),
    ],
)
def test_arms_are_named_by_their_intervention(composer: Composer, overrides: list[str], arms: list[str]) -> None:
    assert names(composer, *overrides) == arms


def test_the_base_beside_them_is_asked_as_the_audits_ask(composer: Composer) -> None:
    base = asked_for(composer, "recipe=none", "inference=permutations", "inference.count=2").cells[0]
    assert (base["arm"], base["chosen"]["inference"], base["chosen"]["recipe"]) == ("base", "none", "none")
    assert set(base["inference"]) == {"_target_"}


def test_they_share_the_base_s_weights_and_no_answer(composer: Composer) -> None:
    cells = planned(composer, "recipe=none", "inference=none,cultural_prompt,permutations")
    base = cells["base"]
    for arm in ("cultural_prompt", "permutations"):
        assert cells[arm].config["identity"] == base.config["identity"]
        assert cells[arm].folder != base.folder
        for audit, key in cells[arm].config["keys"].items():
            assert key != base.config["keys"][audit]
    half = planned(composer, "recipe=none", "inference=permutations", "inference.ways=both")
    assert half["permutations"].config["keys"] != cells["permutations"].config["keys"]
    assert half["base"].config["keys"] == base.config["keys"]


def test_training_does_not_depend_on_them_and_is_made_once(composer: Composer) -> None:
    cells = planned(composer, "recipe=match", "inference=persona_prompt,none")
    told = cells["match-full-persona_prompt"].config
    assert told["start"] == cells["match-full"].name == planned(composer, "recipe=match")["match-full"].name
    assert told["chosen"]["recipe"] == "none"
    assert told["lineage"] == "match"


def test_a_wrong_knob_is_refused_before_anything_starts(composer: Composer) -> None:
    asked = asked_for(composer, "recipe=none", "inference=permutations", "inference.ways=all")
    with pytest.raises(ValueError, match=r"inference\.ways must be one of"):
        check_cells([Cell(Path(), config) for config in asked.cells])


def test_the_base_of_a_comparison_is_the_untouched_arm() -> None:
    rest = {
        "seed": 0,
        "draw": 0,
        "folder": Path(),
        "manifest": {},
        "config": {},
        "adapter": "full",
        "mixture": "diverse",
    }
    cells = [
        CellResult(arm="cultural_prompt", recipe="none", inference="cultural_prompt", **rest),
        CellResult(arm="base", recipe="none", **rest),
        CellResult(arm="match-full", recipe="match", **rest),
    ]
    assert [(arm.name, arm.untouched, arm.trained) for arm in arms_of(cells)] == [
        ("cultural_prompt", False, False),
        ("base", True, False),
        ("match-full", False, True),
    ]
