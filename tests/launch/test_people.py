"""The survey node of the configuration: splits by wave and by paper, and what may not be combined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import conf
import launch.people
from launch.people import people

FOLDER = Path(str(conf.__file__)).parent / "survey"
NAMED = {
    "paper": {
        "train_items": ["wvs/immigration"],
        "held_out_items": ["wvs/bribe"],
        "train_countries": ["USA", "CAN", "MEX"],
        "held_out_countries": ["NOR", "SWE"],
    }
}


def node(member: str = "world_values", **split: Any) -> dict[str, Any]:
    survey: dict[str, Any] = yaml.safe_load((FOLDER / f"{member}.yaml").read_text(encoding="utf-8"))
    return {**survey, "respondents_per_country": 0, "split": {**survey["split"], **split}}


def bare(**split: Any) -> dict[str, Any]:
    pins = {pin: [] for pin in ("held_out_items", "train_items", "held_out_countries", "train_countries")}
    return node(**{**pins, **split})


def test_the_split_by_wave_that_comes_along() -> None:
    survey, split = people(node("waves"))
    assert split.train_before == 2005
    assert survey.earlier
    assert {d.item for d in survey.earlier} == {"wvs/bribe", "wvs/immigration"}
    assert set(split.train_countries) & set(survey.countries)


def test_configurations_from_before_there_were_waves_still_read() -> None:
    old = node()
    del old["split"]["train_before"], old["split"]["named"]
    assert people(old) == people(node())


def test_a_named_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.people, "named_splits", lambda name: NAMED if name == "wvs_countries" else {})
    survey, split = people(bare(named="paper"))
    assert (split.train_items, split.held_out_countries) == (("wvs/immigration",), ("NOR", "SWE"))
    assert survey.countries == ("CAN", "MEX", "NOR", "SWE", "USA")
    assert survey.excluded["items that split 'paper' does not name"] == 3
    both, split = people(bare(named="paper", train_before=2005))
    assert split.train_before == 2005
    assert {d.group.country for d in both.earlier} <= set(survey.countries)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"named": "papre"}, r"survey\.split\.named: no split 'papre' in these surveys; known: none"),
        (
            {"named": "paper", "train_countries": ["USA"]},
            r"survey\.split\.train_countries must be empty, got \['USA'\]",
        ),
        ({"train_before": "soon"}, r"survey\.split\.train_before must be null or a year such as 2010, got 'soon'"),
        ({"train_before": 2050}, r"nothing to train on.*train_before=2050 keeps what was asked both .*: 0 items, none"),
        ({"train_before": 2005, "train_items": ["wvs/poverty"]}, r"'wvs/poverty' matches nothing.*2 items, wvs/bribe"),
        ({"train_befor": 2005}, r"survey\.split\.train_befor is not a knob; did you mean 'train_before'"),
    ],
)
def test_bad_knobs_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        people(bare(**changes))
