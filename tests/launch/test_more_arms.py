"""`+recipes=mine`: a user's own arms beside an experiment's, from a folder of their own; and the study of debiasing."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.files import read_json
from eval.report import write_report
from launch.arms import ask
from launch.asked import Asked, untouched
from launch.cli import main
from launch.compose import SHIPPED, Composer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "plugin"
CONF = EXAMPLE / "polyphony_example" / "conf"
SMALL = "arms: {base: [recipe=none], match: [recipe=match]}\nseeds: [0, 1]\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A user's folder: the example's, and a small experiment."""
    folder = tmp_path / "my-conf"
    shutil.copytree(CONF, folder)
    (folder / "experiment").mkdir()
    (folder / "experiment" / "small.yaml").write_text(f"# @package _global_\n{SMALL}")
    return folder


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(EXAMPLE)
    yield
    for name in [name for name in sys.modules if name.startswith("polyphony_example")]:
        del sys.modules[name]


def added(folder: Path, name: str, text: str) -> None:
    (folder / "recipes" / f"{name}.yaml").write_text(text)


def asked(folder: Path, *overrides: str, multirun: bool = False) -> Asked:
    with Composer([folder]) as composer:
        return ask(composer, overrides, multirun)


def names(found: Asked) -> list[str]:
    return list(dict.fromkeys(cell["arm"] for cell in found.cells))


def test_arms_are_added_and_nothing_else_changes(conf: Path) -> None:
    before, after = asked(conf, "experiment=small"), asked(conf, "experiment=small", "+recipes=mine")
    assert names(after) == ["base", "match", "mine", "mine-order-2"]
    assert before.name == after.name == "small"  # one folder: what is trained stays
    assert [cell for cell in after.cells if not cell["arm"].startswith("mine")] == list(before.cells)
    mine = [cell for cell in after.cells if cell["arm"] == "mine-order-2"]
    assert [(cell["seed"], cell["recipe"]["order"]) for cell in mine] == [(0, 2), (1, 2)]
    assert mine[0]["budget"] == before.cells[-1]["budget"]


def test_several_are_added_at_once_or_swept(conf: Path) -> None:
    added(conf, "other", "# @package _global_\narms: {other: [recipe=mine, recipe.order=3]}\n")
    every = ["base", "match", "mine", "mine-order-2", "other"]
    assert names(asked(conf, "experiment=small", "+recipes=[mine,other]")) == every
    assert set(names(asked(conf, "experiment=small", "+recipes=mine,other", multirun=True))) == set(every)


def test_they_need_no_experiment(conf: Path) -> None:
    found = asked(conf, "+recipes=mine")
    assert names(found) == ["base", "mine", "mine-order-2"]
    assert [untouched(cell) for cell in found.cells] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "# @package _global_\narms: {match: [recipe=mine]}\n",
            "names the arm 'match', which the experiment has already",
        ),
        ("arms: {other: [recipe=mine]}\n", "adds no arm: its file must begin with `# @package _global_`"),
        ("# @package _global_\nseeds: [0, 1]\n", "adds no arm"),
        ("# @package _global_\narms: {other: recipe=mine}\n", "arms.other must be a list of overrides"),
    ],
)
def test_files_that_add_no_arm_are_refused(conf: Path, text: str, named: str) -> None:
    added(conf, "other", text)
    with pytest.raises(ValueError, match=re.escape(named)):
        asked(conf, "experiment=small", "+recipes=other")


def test_mistakes_get_one_line(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, named in (
        (["--config-dir", str(conf), "+recipes=mien"], "recipes has no member 'mien'; did you mean 'mine'?"),
        (["+recipes=mine"], "recipes/NAME.yaml is looked for in a folder of your own, and none is named (--config-dir"),
    ):
        assert main(["run", "--dry-run", "experiment=quickstart", *arguments]) == 2
        error = capsys.readouterr().err
        assert named in error
        assert len(error.strip().splitlines()) == 1


def test_the_page_shows_the_example_s_file() -> None:
    page = (ROOT / "docs" / "studies" / "debiasing.md").read_text("utf-8")
    assert (CONF / "recipes" / "mine.yaml").read_text("utf-8") in page


def test_the_study_varies_the_remedy_alone(conf: Path) -> None:
    """All trained arms but the controls have one mixture, and all one budget, adapter and set of audits."""
    found = asked(conf, "experiment=debiasing", "+recipes=mine")
    trained = [cell for cell in found.cells if cell["chosen"]["recipe"] != "none"]
    assert {str(cell["budget"]) for cell in trained} == {str(trained[0]["budget"])}
    assert {cell["chosen"]["adapter"] for cell in found.cells} == {"full"}
    assert {cell["chosen"]["mixture"] for cell in trained} == {"diverse", "shuffled_labels", "neutral"}
    assert {tuple(cell["audit"]) for cell in found.cells} == {("first_token", "edc")}
    assert {(cell["seed"], cell["draw"]) for cell in trained} == {(0, 0), (1, 1), (2, 2)}
    arms = set(names(found))
    assert {cell["arm"] for cell in trained} == arms - {"base", "persona_prompt", "cultural_prompt", "permutations"}
    for one in found.hypotheses:
        sides = [one["arm"], one["against"]]
        assert arms >= {name for side in sides for name in ([side] if isinstance(side, str) else side)}


@pytest.mark.slow
def test_a_reduced_study_with_an_own_recipe(toys: Any, importable: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of the study's arms and two of the user's, one seed, on a model that gives letters no probability."""
    monkeypatch.setattr("eval.validity.LEAST_MASS", 0.0)
    shutil.copytree(CONF, toys.folder / "conf", dirs_exist_ok=True)
    study = yaml.safe_load((SHIPPED / "experiment" / "debiasing.yaml").read_text("utf-8"))
    few = ("base", "permutations", "match", "rlhf-entropy", "shuffled_labels")
    study |= {"arms": {name: study["arms"][name] for name in few}, "hypotheses": study["hypotheses"][:1], "seeds": [0]}
    asked = [
        *(toys.experiment("reduced", yaml.safe_dump(study)), "+recipes=mine", "budget.examples=8", "controls=false"),
        *("~recipe.learning_rate", "audit=[first_token,edc]", "audit.first_token.draws=100", "audit.edc.draws=100"),
        *("audit.edc.dilemmas=2", "audit.edc.conditions=['dialogue:neutral']"),
    ]
    assert toys.run(*asked, name="study") == 0
    assert len(toys.started) == 7
    comparison = toys.folder / "study" / "comparison"
    found = read_json(comparison / "summary.json")["leaderboard"]
    assert {row["arm"]: row["kind"] for row in found["arms"]} == {
        "base": "base", "permutations": "asked otherwise", "match": "trained", "rlhf-entropy": "trained",
        "shuffled_labels": "control", "mine": "trained", "mine-order-2": "trained",
    }  # fmt: skip
    costs = {row["arm"]: row["costs"] for row in found["arms"]}
    assert costs["mine"]["examples"] == costs["match"]["examples"] == 8
    assert costs["rlhf-entropy"]["flops"] > costs["mine"]["flops"] > costs["base"]["flops"] == 0
    assert costs["permutations"]["asked_tokens"] > costs["base"]["asked_tokens"] > 0
    first = found["boards"][0]
    assert {column["key"] for column in first["columns"]} >= {"fit", "within", "age_gap", "home_bias", "stability"}
    for column in first["columns"]:
        assert column["method"].startswith("no interval")  # two questions in two countries: values, and no ranks
        assert column["entrants"] == [row["arm"] for row in found["arms"]]
        assert {scores[column["key"]]["rank_low"] for scores in first["scores"].values()} == {None}
        assert all(scores[column["key"]]["value"] is not None for scores in first["scores"].values())
    page = write_report(comparison).read_text("utf-8")
    assert page.count('<section id="leaderboard"') == 1
    assert "mine-order-2" in page
