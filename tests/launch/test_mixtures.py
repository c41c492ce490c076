"""Controls are members like any other, whose knobs go on working; every mixture has every knob in its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import conf
from data.mixture import Mixture
from data.records import Survey
from launch.arms import ask
from launch.build import build
from launch.compose import Composer

FILES = sorted((Path(str(conf.__file__)).parent / "mixture").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_mixture_shows_every_knob_under_its_own_name(file: Path) -> None:
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert set(node) == {"_target_", *Mixture.__dataclass_fields__}
    assert node["name"] == file.stem


@pytest.mark.parametrize("name", ["shuffled_labels", "shuffled_countries", "neutral"])
def test_a_control_takes_the_knobs_of_any_mixture(tiny_survey: Survey, name: str) -> None:
    with Composer() as composer:
        asked = ask(composer, [f"mixture={name}", "mixture.countries=3", "mixture.evenness=0.5"], False)
    mixture = build(asked.cells[-1]["mixture"], "mixture")
    assert (mixture.control, mixture.countries, mixture.evenness) == (name, 3, 0.5)
    assert len({example.group.country for example in mixture(tiny_survey, 200, 0, 0)}) == 3


@pytest.mark.parametrize(
    ("source", "found"), [("prefs", "{}/prefs"), ("owner/name@main:train", "owner/name@main:train")]
)
def test_preference_sets_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, found: str
) -> None:
    (tmp_path / "prefs").mkdir()
    monkeypatch.chdir(tmp_path)
    with Composer() as composer:
        asked = ask(composer, ["recipe=dpo", f"recipe.pairs='{source}'"], False)
    assert asked.cells[-1]["recipe"]["pairs"] == found.format(tmp_path)
