"""A user's own package of parts, copied to where no repository is: found, refused where wrong, trained and compared."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from data.code import _home, _read
from data.files import digest, read_json
from data.records import Survey
from data.survey_file import write_survey_file
from launch.arms import ask
from launch.build import build
from launch.cli import main
from launch.compose import Composer
from launch.doctor import Finding, examine
from launch.guide import guide
from launch.planning import plan
from launch.plugins import Place, broken
from train.closed_batch import ClosedBatch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "plugin"
ENTRY = "[polyphony.conf]\nexample = polyphony_example.conf\n"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds the example's package, on the path of Python."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(EXAMPLE, folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    yield folder
    _read.cache_clear()
    _home.cache_clear()
    for name in [name for name in sys.modules if name.startswith("polyphony_example")]:
        del sys.modules[name]


def installed(folder: Path, entry: str = ENTRY) -> None:
    """Beside the package what an installer would write."""
    info = folder / "polyphony_example-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polyphony-example\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(entry)


def identity(*overrides: str, folders: tuple[Path, ...] = ()) -> str:
    with Composer(folders) as composer:
        asked = ask(composer, ["base_arm=false", "recipe=mine", *overrides], multirun=False)
    (config,) = asked.cells
    (cell,) = plan(asked, {digest(config["survey"]): "people"}, {digest(config["model"]): "weights"})
    return str(cell.config["identity"])


def recipe(*overrides: str, folders: tuple[Path, ...] = ()) -> str:
    with Composer(folders) as composer:
        composer.parse(overrides)
        return str(composer([*overrides, "recipe=mine"])["recipe"])


def test_every_way_to_name_the_folder_finds_it(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = outside / "polyphony_example" / "conf"
    with pytest.raises(ValueError, match="recipe has no member 'mine'"):
        recipe()
    found = {
        recipe(folders=(conf,)),
        recipe(f"hydra.searchpath=[file://{conf}]"),
        recipe("hydra.searchpath=[pkg://polyphony_example.conf]"),
        recipe(f"hydra.searchpath=[{conf}]", folders=(conf,)),
    }
    for said in (str(conf), f"file://{conf}, pkg://polyphony_example.conf"):
        monkeypatch.setenv("POLYPHONY_CONF", said)
        found.add(recipe())
    monkeypatch.delenv("POLYPHONY_CONF")
    installed(outside)
    found.add(recipe())
    assert len(found) == 1
    assert "RenyiMatch" in found.pop()
    shown = guide()
    assert re.search(r"recipe {6}.*\bmine\b", shown)
    assert "pkg://polyphony_example.conf: recipe=mine" in shown
    assert "recipe=mine: recipe.learning_rate, recipe.order, recipe.mass_weight" in shown


def test_its_code_is_part_of_the_cell_s_identity(outside: Path) -> None:
    conf, module = outside / "polyphony_example" / "conf", outside / "polyphony_example" / "renyi.py"
    before = identity(folders=(conf,))
    text = module.read_text()
    for changed, same in ((text + "\n# why\n", True), (text.replace("(order - 1)", "(order - 1) / 2"), False)):
        module.write_text(changed)
        _read.cache_clear()
        assert (identity(folders=(conf,)) == before) == same


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("recipe.ordr=2", "did you mean 'recipe.order'?"),
        ("recipe.order=1", "recipe.order must not be 1: that is recipe=match"),
        ("recipe.order=high", "recipe.order must be a number, got 'high'"),
        ("hydra.searchpath=[pkg://polyphony_exmple.conf]", "hydra.searchpath names 'polyphony_exmple.conf'"),
        ("hydra.searchpath=[file:///nowhere/at/all]", "hydra.searchpath /nowhere/at/all is no folder"),
        ("hydra.searchpath=nowhere", "hydra.searchpath must be a list"),
        ("recipe=mien", "did you mean 'mine'?"),
        ("recipe._target_=polyphony_exmple.renyi.RenyiMatch", "no module 'polyphony_exmple.renyi' is found"),
        ("recipe._target_=polyphony_example.renyi.RenyiMtch", "did you mean 'RenyiMatch'?"),
    ],
)
def test_mistakes_get_one_line(outside: Path, override: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    conf = outside / "polyphony_example" / "conf"
    recipe = [] if override.startswith("recipe=") else ["recipe=mine"]
    assert main(["run", "--dry-run", "--config-dir", str(conf), *recipe, override]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert len(error.strip().splitlines()) == 1


def test_a_misspelt_knob_in_the_yaml_is_refused_with_the_nearest(outside: Path) -> None:
    path = outside / "polyphony_example" / "conf" / "recipe" / "mine.yaml"
    path.write_text(path.read_text().replace("order:", "odrer:"))
    with pytest.raises(ValueError, match=r"recipe\.odrer is not a knob of RenyiMatch; did you mean 'order'\?"):
        build({"_target_": "polyphony_example.renyi.RenyiMatch", "odrer": 2.0}, "recipe")
    assert main(["run", "--dry-run", "--config-dir", str(path.parents[1]), "recipe=mine"]) == 2


def test_a_member_that_would_never_be_read_is_refused(outside: Path) -> None:
    conf = outside / "polyphony_example" / "conf"
    (conf / "recipe" / "mine.yaml").rename(conf / "recipe" / "match.yaml")
    with pytest.raises(ValueError, match=r"match\.yaml is never read: .*match\.yaml has the same name"):
        Composer([conf])


def test_an_entry_point_whose_package_is_gone_is_named(outside: Path) -> None:
    installed(outside, ENTRY.replace("polyphony_example", "polyphony_gone"))
    with pytest.raises(ValueError, match=r"entry point 'example' of polyphony\.conf names 'polyphony_gone\.conf'"):
        Composer()
    assert [one.level for one in examine(["recipe=mine"]) if one.what in ("own parts", "configuration")] == ["fail"] * 2


def test_doctor_names_the_module_that_cannot_be_imported(outside: Path) -> None:
    conf, module = outside / "polyphony_example" / "conf", outside / "polyphony_example" / "renyi.py"
    place = Place(f"file://{conf}", "--config-dir")
    assert list(broken(place)) == []
    assert own_parts(conf).level == "ok"
    assert "recipe=mine" in own_parts(conf).said
    del sys.modules["polyphony_example.renyi"]
    module.write_text("import nothing_of_that_name\n")
    assert own_parts(conf).level == "fail"
    assert "cannot import 'polyphony_example.renyi': No module named 'nothing_of_that_name'" in own_parts(conf).said


def own_parts(conf: Path) -> Finding:
    return next(one for one in examine(["model=local"], folders=[conf]) if one.what == "own parts")


def test_its_loss_is_the_one_worked_out_by_hand(outside: Path) -> None:
    """People (1/2, 1/2), model (0.8, 0.2): order 1/2 is -2 log(sqrt 0.4 + sqrt 0.1) = log(10/9), order 2 log 1.5625."""
    from polyphony_example.renyi import RenyiMatch, renyi

    people = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    raw = torch.tensor([[0.4, 0.1, 0.0], [0.25, 0.25, 0.0]]).log().requires_grad_()
    half, two = renyi(raw, people, 0.5), renyi(raw, people, 2.0)
    assert half.tolist() == pytest.approx([math.log(10 / 9), math.log(2)])
    assert two.tolist() == pytest.approx([math.log(1.5625), math.log(2)])
    none = torch.zeros(2, dtype=torch.long)
    batch = ClosedBatch(people, people > 0, none, none, none, people)
    loss = RenyiMatch(mass_weight=0.1).loss(raw, batch)
    assert loss.item() == pytest.approx((math.log(10 / 9) + math.log(2)) / 2 - 0.1 * math.log(0.5))
    (gradient,) = torch.autograd.grad(loss, raw)
    assert torch.isfinite(gradient).all()
    near = renyi(raw, people, 1 + 1e-3)
    assert near[0].item() == pytest.approx(-0.5 * math.log(1.6) - 0.5 * math.log(0.4), abs=1e-3)  # the KL divergence


def test_the_tutorial_s_code_is_the_example_s() -> None:
    text = (ROOT / "docs" / "own_recipe.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    blocks = dict(re.findall(r"```(python|yaml|toml)\n(.*?)```", text, flags=re.DOTALL))
    package = EXAMPLE / "polyphony_example"
    assert blocks["python"] == (package / "renyi.py").read_text(encoding="utf-8")
    assert blocks["yaml"] == (package / "conf" / "recipe" / "mine.yaml").read_text(encoding="utf-8")
    assert blocks["toml"] in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_is_trained_audited_and_compared_with_a_shipped_one(
    outside: Path, tmp_path: Path, tiny_model: Path, tiny_survey: Survey
) -> None:
    """Installed, so without a flag; in processes of their own, of which none finds it in the repository."""
    installed(outside)
    write_survey_file(tiny_survey, tmp_path / "toy.jsonl")
    arguments = [
        *("run", "-m", "name=own", "recipe=mine,match", "model=local", f"model.source={tiny_model}", "survey=file"),
        f"survey.blocks=['file:{tmp_path / 'toy.jsonl'}']",
        *("survey.split.held_out_items=[toy/bribe,toy/vote]", "survey.split.held_out_item_share=0"),
        *("survey.split.held_out_countries=[NOR,GHA]", "survey.split.held_out_country_share=0"),
        *("budget.examples=64", "budget.batch_size=8", "recipe.learning_rate=1e-3", "audit=[first_token]"),
        *("audit.first_token.draws=200", "tracker=off"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(outside)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    comparison = tmp_path / "runs" / "own" / "comparison"
    summary = read_json(comparison / "summary.json")
    assert [arm["name"] for arm in summary["arms"]] == ["base", "mine-full", "match-full"]
    found = {(one["arm"], one["against"]) for one in summary["comparisons"] if one["name"] == "js_distance"}
    assert {("mine-full", "base"), ("match-full", "base")} <= found
    assert "mine-full" in (comparison / "report.html").read_text(encoding="utf-8")
    trained = next((tmp_path / "runs" / "own" / "cells").glob("mine-full*"))
    logged = [line for line in (trained / "metrics.jsonl").read_text().splitlines() if "kl_people_model" in line]
    first, last = (float(re.search(r'"kl_people_model": ([\d.e-]+)', line)[1]) for line in (logged[0], logged[-1]))
    assert last < first
