"""Cells that are built on other cells: what they are called, in which order they run, and what is refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.files import digest, read_json, write_json
from data.manifest import update_manifest
from launch.arms import ask
from launch.asked import Asked, trains
from launch.build import build
from launch.cells import Cell, read_cell, write_cell
from launch.chains import cells_built_on, levels
from launch.compose import Composer
from launch.dispatch import dispatch
from launch.heads import check_heads, head_of
from launch.planning import plan

SOURCE = """
from dataclasses import dataclass
from train.recipes.sft import Sft

@dataclass(frozen=True)
class Judge:
    learning_rate: float = 1e-3
    head = "reward"

    def __call__(self, run):
        raise ValueError("this one never trains")

@dataclass(frozen=True)
class Rewarded(Sft):
    reward_model: str | None = None

class Inherits(Judge):
    pass

class Hidden:
    def __init__(self):
        self.head = "reward"
"""
ARMS = {
    "base": ["recipe=none"],
    "sft-full": ["recipe=sft"],
    "judge": ["recipe=judge", "parent=sft-full"],
    "rlhf-full": ["recipe=rewarded", "recipe.reward_model=judge", "parent=sft-full"],
}


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composer]:
    """With two recipes of a user's own: `judge`, a reward model, and `rewarded`, which needs one."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "toy_judge.py").write_text(SOURCE)
    (folder / "recipe").mkdir()
    (folder / "recipe" / "judge.yaml").write_text("_target_: toy_judge.Judge\nlearning_rate: 1.0e-3\n")
    (folder / "recipe" / "rewarded.yaml").write_text("_target_: toy_judge.Rewarded\nreward_model: null\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        with Composer([folder]) as made:
            yield made


def asked(composer: Composer, arms: dict[str, list[str]] | None, *more: str, runs: str = "/runs") -> Asked:
    """With `arms` in an experiment's file, as users write them."""
    chosen = []
    if arms:
        text = yaml.safe_dump({"arms": arms}, sort_keys=False)
        folder = Path(sys.path[0]) / "experiment"
        folder.mkdir(exist_ok=True)
        name = f"toy{digest(arms)[:8]}"
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
        chosen = [f"experiment={name}"]
    return ask(composer, [f"runs={runs}", "name=toy", "audit=[edc]", *chosen, *more], False)


def planned(composer: Composer, arms: dict[str, list[str]] | None, *more: str, runs: str = "/runs") -> dict[str, Cell]:
    made = asked(composer, arms, *more, runs=runs)
    surveys = {digest(cell["survey"]): "people" for cell in made.cells}
    weights = {digest(cell["model"]): f"weights of {cell['model']['name']}" for cell in made.cells}
    return {f"{cell.arm} {cell.config['seed']}": cell for cell in plan(made, surveys, weights)}


def with_changes(**changes: list[str]) -> dict[str, list[str]]:
    return {**ARMS, **{name.replace("_", "-"): overrides for name, overrides in changes.items()}}


def test_a_chain_is_cells_of_their_own_each_named_after_where_it_starts(composer: Composer) -> None:
    cells = planned(composer, ARMS)
    assert list(cells) == ["base 0", "sft-full 0", "judge 0", "rlhf-full 0"]
    sft, judge, rlhf = (cells[f"{arm} 0"] for arm in ("sft-full", "judge", "rlhf-full"))
    assert "start" not in sft.config
    assert judge.config["start"] == rlhf.config["start"] == rlhf.config["parent"]["cell"] == sft.name
    assert rlhf.config["rewarded_by"] == judge.name
    assert [cell.config["lineage"] for cell in (sft, judge, rlhf)] == ["sft", "sft → judge", "sft → rewarded"]
    assert [cell.head for cell in (sft, judge, rlhf)] == ["language", "reward", "language"]
    assert judge.config["audit"] == judge.config["keys"] == {}
    assert list(rlhf.config["keys"]) == ["edc"]


def test_every_seed_and_draw_starts_from_its_own(composer: Composer) -> None:
    cells = planned(composer, ARMS, "seeds=[0,1]")
    assert len(cells) == 1 + 3 * 2
    for seed in (0, 1):
        assert cells[f"rlhf-full {seed}"].config["start"] == cells[f"sft-full {seed}"].name
        assert cells[f"rlhf-full {seed}"].config["rewarded_by"] == cells[f"judge {seed}"].name


def test_an_untrained_parent_is_the_base(composer: Composer) -> None:
    plain, from_base = (
        planned(composer, {"base": ["recipe=none"], "sft-full": ["recipe=sft", *parent]})["sft-full 0"]
        for parent in ([], ["parent=base"])
    )
    assert plain.name == from_base.name
    assert "start" not in from_base.config


def test_another_parent_or_reward_model_makes_another_child_and_a_renamed_one_does_not(composer: Composer) -> None:
    known = planned(composer, ARMS)
    other = planned(composer, with_changes(sft_full=["recipe=sft", "recipe.learning_rate=3e-5"]))
    assert all(known[f"{arm} 0"].name != other[f"{arm} 0"].name for arm in ("sft-full", "judge", "rlhf-full"))
    judged = planned(composer, with_changes(judge=["recipe=judge", "parent=sft-full", "recipe.learning_rate=2e-3"]))
    assert judged["sft-full 0"].name == known["sft-full 0"].name
    assert judged["rlhf-full 0"].name != known["rlhf-full 0"].name
    renamed = {
        "first": ARMS["sft-full"],
        "referee": ["recipe=judge", "parent=first"],
        "rlhf-full": ["recipe=rewarded", "recipe.reward_model=referee", "parent=first"],
    }
    assert planned(composer, renamed)["rlhf-full 0"].name == known["rlhf-full 0"].name
    alone = planned(composer, with_changes(rlhf_full=["recipe=rewarded", "recipe.reward_model=judge"]))
    assert alone["rlhf-full 0"].name != known["rlhf-full 0"].name


def test_chains_leave_cells_without_parents_as_they_are(composer: Composer) -> None:
    alone = planned(composer, {"base": ["recipe=none"], "sft-full": ["recipe=sft"]})
    chained = planned(composer, ARMS)
    assert [alone[name].name for name in alone] == [chained[name].name for name in alone]


def test_parents_come_first_whatever_the_order_of_the_arms(composer: Composer) -> None:
    cells = planned(composer, dict(reversed(ARMS.items())))
    assert list(cells) == ["rlhf-full 0", "judge 0", "sft-full 0", "base 0"], "shown as they were asked for"
    found = [[cell.arm for cell in level] for level in levels(list(cells.values()))]
    assert found == [["sft-full", "base"], ["judge"], ["rlhf-full"]]
    assert [[cell.arm for cell in level] for level in levels([cells["rlhf-full 0"]])] == [["rlhf-full"]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rlhf_full": ["recipe=sft", "parent=sft-ful"]},
            "'sft-ful', which is neither an arm.*did you mean 'sft-full'",
        ),
        ({"sft_full": ["recipe=sft", "parent=rlhf-full"]}, "from each other in a circle"),
        ({"sft_full": ["recipe=sft", "parent=sft-full"]}, "in a circle: sft-full → sft-full"),
        ({"rlhf_full": ["recipe=sft", "parent=judge"]}, "parent of arm rlhf-full names arm 'judge', a reward model"),
        ({"rlhf_full": ["recipe=rewarded", "recipe.reward_model=sft-full"]}, "'sft-full', which is no reward model"),
        ({"rlhf_full": ["recipe=rewarded", "recipe.reward_model=jugde"]}, "did you mean 'judge'"),
        ({"rlhf_full": ["recipe=rewarded", "recipe.reward_model=3"]}, "recipe.reward_model must be the name of an arm"),
        (
            {"rlhf_full": ["recipe=sft", "parent=5"]},
            "parent must be the name of an arm, a cell's folder or null, got 5",
        ),
        ({"other": ["recipe=none", "parent=judge"]}, "parent of arm other names arm 'judge', a reward model"),
        ({"other": ["recipe=none", "parent=other"]}, "in a circle: other → other"),
    ],
)
def test_what_cannot_be_built_on_is_named(composer: Composer, changes: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked(composer, with_changes(**changes))


def test_a_parent_of_another_base_model_is_refused(composer: Composer) -> None:
    arms = {"sft-full": ["recipe=sft"], "second": ["recipe=dpo", "parent=sft-full", "model=qwen2.5-0.5b"]}
    with pytest.raises(ValueError, match=r"descends from model SmolLM2-135M.* but this arm has model Qwen2\.5"):
        planned(composer, arms)


@pytest.fixture
def trained(composer: Composer, tmp_path: Path) -> Path:
    """A folder as a finished cell leaves it, but for the weights themselves."""
    cell = planned(composer, {"sft-full": ["recipe=sft"]}, runs=str(tmp_path))["sft-full 0"]
    write_cell(cell)
    update_manifest(cell.folder, state="done", hashes={"model": "abc", "base": "def"})
    return cell.folder


def test_a_folder_given_is_a_parent(composer: Composer, trained: Path, tmp_path: Path) -> None:
    cells = planned(composer, None, "recipe=dpo", f"parent={trained}", runs=str(tmp_path / "other"))
    assert [cell.config.get("start") for cell in cells.values()] == [None, str(trained)]
    child = cells["dpo-full 0"]
    write_cell(child)
    assert cells_built_on(child)["parent"].folder == trained
    update_manifest(trained, hashes={"model": "other weights"})
    again = planned(composer, None, "recipe=dpo", f"parent={trained}", runs=str(tmp_path / "other"))
    assert again["dpo-full 0"].name != child.name, "the weights of a folder that is given count"


def test_a_run_folder_may_be_moved(composer: Composer, trained: Path, tmp_path: Path) -> None:
    arms = {"sft-full": ["recipe=sft"], "dpo": ["recipe=dpo", "parent=sft-full"]}
    child = planned(composer, arms, runs=str(tmp_path))["dpo 0"]
    write_cell(child)
    shutil.move(tmp_path / "toy", tmp_path / "moved")
    moved = tmp_path / "moved" / "cells"
    assert cells_built_on(read_cell(moved / child.name))["parent"].folder == moved / trained.name
    along = Cell(moved / child.name / "snapshots" / "step-00005", child.config)
    assert cells_built_on(along)["parent"].folder == moved / trained.name


def test_folders_that_are_no_parents(composer: Composer, trained: Path, tmp_path: Path) -> None:
    def refused(folder: Path, words: str, *more: str) -> None:
        with pytest.raises((ValueError, OSError), match=words):
            planned(composer, None, "recipe=dpo", f"parent={folder}", *more, runs=str(tmp_path / "other"))

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "parent of arm dpo-full: .*empty is no cell folder: it holds no config.yaml")
    refused(trained, "descends from model SmolLM2-135M-Instruct", "model=qwen2.5-0.5b")
    manifest = read_json(trained / "manifest.json")
    write_json(trained / "manifest.json", {**manifest, "state": "training"})
    refused(trained, r"is not trained \(its manifest says state 'training'\)")
    write_json(trained / "manifest.json", {**manifest, "collapsed": {"reason": "the loss is not finite", "step": 3}})
    refused(trained, r"has collapsed in training \(the loss is not finite\)")
    write_json(trained / "manifest.json", {name: value for name, value in manifest.items() if name != "hashes"})
    refused(trained, r"holds no trained weights \(recipe sft\)")
    write_json(trained / "manifest.json", {**manifest, "schema": 99})
    refused(trained, "manifest.json has schema 99, this version writes 1")


def test_the_command_line_reaches_the_arms_that_train(composer: Composer, trained: Path) -> None:
    cells = asked(composer, {"base": ["recipe=none"], "dpo": ["recipe=dpo"]}, f"parent={trained}").cells
    assert [cell["parent"] for cell in cells] == [None, str(trained)]


def test_a_variant_asked_otherwise_is_a_cell_that_trains_nothing(composer: Composer) -> None:
    """It has the seed and the lineage of its parent; what starts from it starts from its parent."""
    arms = {
        "sft-lora": ["recipe=sft", "adapter=lora"],
        "told": ["recipe=none", "parent=sft-lora", "inference=persona_prompt"],
        "told-twice": ["recipe=none", "parent=told", "inference=cultural_prompt"],
        "dpo-told": ["recipe=dpo", "parent=told"],
        "dpo-sft": ["recipe=dpo", "parent=sft-lora"],
        "base-told": ["recipe=none", "parent=base", "inference=persona_prompt"],
    }
    cells = planned(composer, {"base": ["recipe=none"], **arms}, "seeds=[0,1]")
    assert len(cells) == 2 + 5 * 2, "the base has one seed however it is asked"
    for seed in (0, 1):
        of = {arm: cells[f"{arm} {seed}"] for arm in arms if arm != "base-told"}
        for arm in ("told", "told-twice"):
            assert (of[arm].config["start"], of[arm].config["lineage"]) == (of["sft-lora"].name, "sft")
            assert of[arm].config["identity"] not in [
                of["sft-lora"].config["identity"],
                cells["base 0"].config["identity"],
            ]
            assert not trains(of[arm].config)
            assert of[arm].config["keys"] != of["sft-lora"].config["keys"]
        assert of["dpo-sft"].config["start"] == of["sft-lora"].name
        assert of["dpo-sft"].config["lineage"] == "sft lora → dpo"
        assert of["dpo-told"].config["start"] == of["dpo-sft"].name, "the same training once more"
    assert "start" not in cells["base-told 0"].config


def test_of_a_folder_given_a_variant_asked_otherwise_has_the_seed(
    composer: Composer, tmp_path: Path, trained: Path
) -> None:
    other = planned(composer, {"sft-full": ["recipe=sft"]}, "seed=3", "draw=2", runs=str(tmp_path))["sft-full 3"]
    write_cell(other)
    update_manifest(other.folder, state="done", hashes={"model": "abc", "base": "def"})
    told = ("recipe=none", f"parent={other.folder}", "inference=persona_prompt", "seeds=[0,1]")
    cells = planned(composer, None, *told, runs=str(tmp_path / "other"))
    arm = f"{other.name}-persona_prompt".replace("--", "-")
    assert list(cells) == ["base 0", f"{arm} 3"], "a variant has one seed, its own, and is asked once"
    assert cells[f"{arm} 3"].config["draw"] == 2
    assert cells[f"{arm} 3"].config["start"] == str(other.folder)


def test_a_training_that_several_arms_ask_for_is_made_by_the_one_asked_plainly(composer: Composer) -> None:
    arms = {
        "told": ["recipe=sft", "inference=persona_prompt"],
        "plain": ["recipe=sft"],
        "quick": ["recipe=sft", "backend.token_budget=512"],
        "other": ["recipe=sft", "recipe.learning_rate=3e-5"],
        "dpo": ["recipe=dpo", "parent=told"],
    }
    cells = planned(composer, arms)
    plain = cells["plain 0"]
    alone = planned(composer, {"plain": ["recipe=sft"]})
    assert plain.name == alone["plain 0"].name
    assert [name for name, cell in cells.items() if trains(cell.config)] == ["plain 0", "other 0", "dpo 0"]
    for arm in ("told 0", "quick 0", "dpo 0"):
        assert cells[arm].config["start"] == plain.name
    assert [[cell.arm for cell in level] for level in levels(list(cells.values()))] == [
        ["base", "plain", "other"],
        ["told", "quick", "dpo"],
    ]
    along = planned(composer, arms, "audit_every=2")
    assert trains(along["told 0"].config), "each audits the snapshots of its own training"


def test_a_swept_parent_names_the_arm(composer: Composer, trained: Path) -> None:
    cells = ask(composer, ["recipe=dpo", f"parent=null,{trained}"], True).cells
    assert [cell["arm"] for cell in cells] == [
        "base",
        "dpo-full-parent-null",
        f"dpo-full-parent-{trained.name}".replace("--", "-"),
    ]


def test_what_a_recipe_trains_is_read_without_importing_it(composer: Composer) -> None:
    heads = {name: head_of({"_target_": f"toy_judge.{name}"}) for name in ("Judge", "Rewarded", "Inherits", "Hidden")}
    assert heads == {"Judge": "reward", "Rewarded": "language", "Inherits": "reward", "Hidden": "language"}
    assert head_of({"_target_": "train.recipes.dpo.Dpo"}) == "language"
    assert head_of({"_target_": "toy_judge.Judge", "head": "language"}) == "language"
    with pytest.raises(ValueError, match="has head 'arms'; expected 'language' or 'reward'"):
        head_of({"_target_": "toy_judge.Judge", "head": "arms"})
    node = {"_target_": "toy_judge.Judge"}
    check_heads([Cell(Path(), {"recipe": node, "head": "reward"})])
    with pytest.raises(ValueError, match="has head 'reward', but its source does not show it"):
        check_heads([Cell(Path(), {"recipe": node, "head": "language"})])
    assert build(node, "recipe").head == "reward"


def test_a_child_whose_parent_failed_is_not_started_and_the_others_go_on(
    composer: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {
        "good": ["recipe=sft"],
        "bad": ["recipe=match"],
        "child-good": ["recipe=dpo", "parent=good"],
        "child-bad": ["recipe=dpo", "parent=bad"],
        "grandchild": ["recipe=sft", "parent=child-bad"],
    }
    cells = list(planned(composer, arms, runs=str(tmp_path)).values())
    for cell in cells:
        write_cell(cell)
    started: list[Sequence[str]] = []

    def launch(config: Any, some: Sequence[Cell], first: int) -> list[int]:
        started.append([cell.arm for cell in some])
        for cell in some:
            bad = cell.arm == "bad"
            error: dict[str, Any] = {"stage": "train", "type": "ValueError", "message": "it fell over"}
            update_manifest(cell.folder, state="failed" if bad else "done", error=error if bad else None)
        return [int(cell.arm == "bad") for cell in some]

    monkeypatch.setattr("launch.dispatch._launch", launch)
    assert dispatch(composer, [read_cell(cell.folder) for cell in cells], [], tmp_path) == [0, 0, 1, 0]
    assert started == [["base", "good", "bad"], ["child-good"]]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("child-bad--s0--d0")
    assert "is not started: parent bad--s0--d0" in said[0]
    assert "is not trained (train: it fell over)" in said[0]
    assert said[1].startswith("grandchild--s0--d0")
