"""A chain trained and audited on a tiny model: from a LoRA parent, with a child in each adapter."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from data.files import read_json
from data.manifest import update_manifest
from data.merging import MERGED
from data.models import ModelSpec, load_model, weights_hash
from data.prompts import Asking
from data.records import Survey
from data.splits import training_part
from data.survey_file import write_survey_file
from data.variant import load_variant, locate
from eval.compare import compare
from launch import worker
from launch.build import build, build_as
from launch.cells import Cell, read_cell, read_experiment
from launch.cli import main
from launch.people import people
from launch.starts import on_its_parents, start_of
from launch.tracking import WandbCell
from train.closed import option_log_probabilities, train_closed
from train.closed_batch import Collator
from train.run import Budget, RunContext

EXPERIMENT = """# @package _global_
arms:
  sft-lora: [recipe=sft, adapter=lora]
  judge: [recipe=reward, adapter=full, parent=sft-lora]
  rlhf: [recipe=rlhf, adapter=full, recipe.reward=model, recipe.reward_model=judge, parent=sft-lora]
  dpo-lora: [recipe=dpo, adapter=lora, parent=sft-lora, audit_every=2]
"""


AUDIT = ["audit=[edc]", "audit.edc.dilemmas=2", "audit.edc.draws=100", "audit.edc.conditions=['form:compare']"]


def here(patched: pytest.MonkeyPatch) -> list[str]:
    """Workers run in this process; few resamples and no drawn report. Returns the arms that were started."""
    arms: list[str] = []

    def run_worker(cell: Path, stages: str, engine: Any) -> int:
        arms.append(read_cell(cell).arm)
        return worker.main([str(cell), "--stages", stages])

    patched.setattr("launch.dispatch.run_worker", run_worker)
    patched.setattr(worker, "_log_to", lambda path, main: None)
    patched.setattr("eval.compare.compare", functools.partial(compare, draws=100))
    patched.setattr("eval.report.page.write_report", lambda folder: (folder / "report.html").touch())
    return arms


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return here(monkeypatch)


def arguments(folder: Path, model: Path, *more: str) -> list[str]:
    return [
        "run",
        "--config-dir",
        str(folder / "conf"),
        f"runs={folder}",
        "name=toy",
        "experiment=toy_chain",
        "model=local",
        f"model.source={model}",
        "survey=file",
        f"survey.blocks=['file:{folder / 'toy.jsonl'}']",
        "survey.split.held_out_items=[toy/bribe,toy/vote]",
        "survey.split.held_out_item_share=0",
        "survey.split.held_out_countries=[NOR,GHA]",
        "survey.split.held_out_country_share=0",
        "budget.examples=16",
        "budget.batch_size=4",
        "recipe.learning_rate=1e-3",
        "tracker=off",
        *(more or AUDIT),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_survey: Survey) -> Path:
    """A folder with a finished chain in `toy`. Read only."""
    folder = tmp_path_factory.mktemp("chain")
    write_survey_file(tiny_survey, folder / "toy.jsonl")
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "toy_chain.yaml").write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patched:
        started = here(patched)
        assert main(arguments(folder, tiny_model)) == 0
        assert started == ["base", "sft-lora", "judge", "dpo-lora", "rlhf"]
    return folder


@pytest.fixture
def cells(folder: Path) -> dict[str, Cell]:
    return {cell.arm: cell for cell in read_experiment(folder / "toy")[1]}


def test_the_parent_is_merged_once_and_its_children_say_where_they_started(cells: dict[str, Cell]) -> None:
    parent = cells["sft-lora"].folder
    merged = weights_hash(parent / MERGED)
    assert read_json(parent / MERGED / "manifest.json")["largest_difference"] < 1e-4
    for arm in ("judge", "rlhf", "dpo-lora"):
        manifest = cells[arm].manifest
        assert manifest["state"] == "done"
        assert manifest["parent"]["cell"] == parent.name
        assert manifest["parent"]["start"] == manifest["hashes"]["base"] == merged
        assert manifest["parent"]["weights"] == cells["base"].manifest["parent"]["weights"] != merged
    assert locate(cells["dpo-lora"].folder, start_of(cells["dpo-lora"])).folder == parent / MERGED


def test_the_merged_model_is_the_base_with_the_adapter(cells: dict[str, Cell], tiny_model: Path) -> None:
    """W + alpha / rank * B A, by hand."""
    parent = cells["sft-lora"].folder
    adapter = load_file(parent / "adapter" / "adapter_model.safetensors")
    knobs = read_json(parent / "adapter" / "adapter_config.json")
    base, merged = (load_model(place, torch.float32).state_dict() for place in (tiny_model, parent / MERGED))
    moved = 0
    for name, weight in base.items():
        a, b = (adapter.get(f"base_model.model.{name.removesuffix('.weight')}.lora_{side}.weight") for side in "AB")
        change = torch.zeros_like(weight) if a is None or b is None else b @ a * (knobs["lora_alpha"] / knobs["r"])
        torch.testing.assert_close(merged[name], weight + change, atol=1e-6, rtol=0)
        moved += int(change.abs().max() > 1e-4)
    assert moved == 14


def context(cell: Cell, tmp_path: Path) -> RunContext:
    """As the worker trains the cell, but in another folder."""
    config = on_its_parents(cell, ["train"]).config
    survey, split = people(config["survey"])
    part = training_part(survey, split, "en")
    return RunContext(
        cell=tmp_path,
        spec=build_as(ModelSpec, config["model"], "model"),
        adapter=build(config["adapter"], "adapter"),
        asking=Asking(),
        examples=build(config["mixture"], "mixture")(part, 8, split.seed, 0),
        budget=Budget(examples=8, batch_size=4),
        seed=0,
        on_log=lambda step, values: None,
    )


@pytest.mark.parametrize("arm", ["rlhf", "dpo-lora"])
def test_the_reference_is_the_parent(cells: dict[str, Cell], tmp_path: Path, arm: str, tiny_model: Path) -> None:
    run = context(cells[arm], tmp_path)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss(log_probabilities: torch.Tensor, batch: Any) -> torch.Tensor:
        seen.append((log_probabilities.detach(), batch.reference))
        return -log_probabilities[:, 0].mean()

    train_closed(run, loss, 1e-3, reference=True)
    before, reference = seen[0]
    torch.testing.assert_close(before, reference, atol=1e-6, rtol=0)
    collator = Collator(run.renderer, 1024)
    asked = collator([(example, None) for example in run.examples[:4]])
    spec = ModelSpec(str(tiny_model))
    parent, _, _ = load_variant(cells["sft-lora"].folder, spec, torch.device("cpu"))
    base = load_model(tiny_model, torch.float32)
    with torch.no_grad():
        by_parent, by_base = (
            option_log_probabilities(model, asked["sequences"], asked["label_ids"])[0] for model in (parent, base)
        )
    some = asked["label_ids"][..., 0] >= 0
    torch.testing.assert_close(reference[some], by_parent[some], atol=1e-4, rtol=0)
    assert (reference[some] - by_base[some]).abs().max() > 0.01


def test_a_reward_model_is_trained_and_not_audited_and_its_rewards_are_used(cells: dict[str, Cell]) -> None:
    judge, rlhf = cells["judge"], cells["rlhf"]
    assert judge.manifest["state"] == "done"
    assert not (judge.folder / "audits").exists()
    assert rlhf.config["rewarded_by"] == judge.name
    assert rlhf.config["recipe"]["reward_model"] == "judge", "the config stays as it was asked for"
    assert on_its_parents(rlhf, []).config["recipe"]["reward_model"] == str(judge.folder)


def test_the_comparison_holds_the_arms_against_the_base_and_lists_the_stages(
    folder: Path, cells: dict[str, Cell]
) -> None:
    summary = read_json(folder / "toy" / "comparison" / "summary.json")
    assert {arm["name"]: arm["recipe"] for arm in summary["arms"]} == {
        "base": "none",
        "sft-lora": "sft",
        "rlhf": "sft lora → rlhf",
        "dpo-lora": "sft lora → dpo",
    }
    assert {one["against"] for one in summary["comparisons"]} == {"base"}
    stages = summary["provenance"]["stages"]
    assert list(stages) == [cells[arm].name for arm in ("sft-lora", "judge", "rlhf", "dpo-lora")]
    said = stages[cells["rlhf"].name]
    begins = f"rlhf full from {cells['sft-lora'].name}, rewarded by {cells['judge'].name}: 16 examples, 4 steps, "
    assert said.startswith(begins)
    assert stages[cells["sft-lora"].name].startswith("sft lora from the base: 16 examples")


def test_a_trajectory_begins_at_the_parent(folder: Path) -> None:
    summary = read_json(folder / "toy" / "comparison" / "summary.json")
    flips = {
        row["step"]: row["value"]
        for row in summary["trajectories"]["training"]
        if (row["arm"], row["name"], row["condition"]) == ("dpo-lora", "flip_rate", "form:compare")
        if row["group"] == "all"
    }
    own = {
        row["arm"]: row["value"]
        for row in summary["estimates"]
        if (row["name"], row["condition"], row["group"]) == ("flip_rate", "form:compare", "all")
    }
    assert list(flips) == [0, 2, 4]
    assert (flips[0], flips[4]) == (own["sft-lora"], own["dpo-lora"])


def test_the_same_command_again_starts_nothing(
    folder: Path,
    cells: dict[str, Cell],
    tiny_model: Path,
    started: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(arguments(folder, tiny_model)) == 0
    assert started == []
    monkeypatch.setenv("COLUMNS", "300")
    for command in (["status", str(folder / "toy")], [*arguments(folder, tiny_model), "--dry-run"]):
        capsys.readouterr()
        assert main(command) == 0
        shown = capsys.readouterr().out
        assert f"{cells['sft-lora'].name}, rewarded by {cells['judge'].name}" in shown


def test_weights_that_are_not_the_promised_ones_are_no_start(cells: dict[str, Cell], tmp_path: Path) -> None:
    shutil.copytree(cells["rlhf"].folder.parents[1], tmp_path / "toy")
    of = {cell.arm: cell for cell in read_experiment(tmp_path / "toy")[1]}
    file = of["sft-lora"].folder / "adapter" / "adapter_model.safetensors"
    kept = file.read_bytes()
    save_file({name: value + 1e-3 for name, value in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(ValueError, match="adapter: these weights are not those that the manifest of the cell promises"):
        on_its_parents(of["rlhf"], ["train"])
    file.write_bytes(kept)
    update_manifest(of["dpo-lora"].folder, parent={"start": "0" * 64})
    with pytest.raises(ValueError, match=r"its training started from other weights \(000000000000\) than its parent"):
        on_its_parents(read_cell(of["dpo-lora"].folder), ["edc"])
    shutil.rmtree(of["sft-lora"].folder / "adapter")
    with pytest.raises(FileNotFoundError, match=r"holds no weights any more \(neither model/ nor adapter/\)"):
        on_its_parents(of["rlhf"], ["train"])
    assert on_its_parents(of["rlhf"], ["edc"]).config["model"] == of["rlhf"].config["model"], (
        "it has weights of its own"
    )


def test_a_lost_merged_model_is_made_again(cells: dict[str, Cell], tmp_path: Path) -> None:
    shutil.copytree(cells["rlhf"].folder.parents[1], tmp_path / "toy")
    cell = next(cell for cell in read_experiment(tmp_path / "toy")[1] if cell.arm == "dpo-lora")
    merged = cell.folder.parent / cell.config["start"] / MERGED
    before = weights_hash(merged)
    shutil.rmtree(merged)
    (merged.parent / ".merged.partial").mkdir()
    assert on_its_parents(cell, ["edc"]).config["model"]["source"] == str(merged)
    assert weights_hash(merged) == before


@pytest.mark.slow
def test_a_failed_parent_keeps_its_children_waiting_and_the_others_go_on(
    folder: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reward model fails: `rlhf` is not started, `dpo-lora` is; tried again, all is done."""
    again = arguments(folder, tiny_model, f"runs={tmp_path}", "audit=[]", "base_arm=false")
    with monkeypatch.context() as patched:
        started = here(patched)
        patched.setattr("train.recipes.reward.Reward.__call__", _fails)
        assert main(again) == 1
        assert started == ["sft-lora", "judge", "dpo-lora"]
        said = capsys.readouterr().err
        assert re.search(r"rlhf--\S+ is not started: recipe.reward_model judge--\S+ is not trained \(train: no\)", said)
    with monkeypatch.context() as patched:
        started = here(patched)
        assert main(again) == 1
        assert started == []
        assert main([*again, "--retry-failed"]) == 0
        assert started == ["judge", "rlhf"]


def _fails(recipe: Any, run: RunContext) -> None:
    raise ValueError("no")


class WandbRun:
    """Takes artifacts as a W&B run does that is online."""

    offline = False

    def __init__(self) -> None:
        self.used: list[Any] = []
        self.logged: list[Any] = []

    def use_artifact(self, artifact: Any) -> None:
        self.used.append(artifact)

    def log_artifact(self, artifact: Any) -> None:
        self.logged.append(artifact)


def test_in_wandb_a_variant_is_made_from_the_variants_that_it_is_built_on(cells: dict[str, Cell]) -> None:
    def lineage(arm: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        tracker: Any = object.__new__(WandbCell)
        tracker._cell, tracker._run = cells[arm], WandbRun()
        tracker._lineage(cells[arm].manifest)
        return tuple([(one.name, one.digest) for one in some] for some in (tracker._run.used, tracker._run.logged))

    (base,), (parent, _) = lineage("sft-lora")
    assert base[0].startswith("base-")
    _, (judge,) = lineage("judge")
    used, (_, audited) = lineage("rlhf")
    assert used == [parent, judge], "the very artifacts that the parents' own runs logged"
    assert audited[0].endswith("-audit")
    (asked,), _ = lineage("base")
    assert asked == base


@pytest.mark.slow
def test_killed_in_its_second_stage_a_chain_goes_on_and_leaves_the_first_alone(
    folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """With real workers: kill -9 of all of them while the child trains; the end is that of a run left alone."""

    def command(name: str) -> list[str]:
        more = (f"runs={tmp_path}", f"name={name}", "audit=[]", "base_arm=false", "experiment=toy_pair")
        more = (*more, "budget.examples=96", "budget.checkpoint_every=1")
        kept = [one for one in arguments(folder, tiny_model, *more) if one not in ("name=toy", "experiment=toy_chain")]
        return [sys.executable, "-m", "launch", *kept]

    pair = "# @package _global_\narms:\n  sft-lora: [recipe=sft, adapter=lora]\n"
    pair += "  dpo-full: [recipe=dpo, adapter=full, parent=sft-lora]\n"
    (folder / "conf" / "experiment" / "toy_pair.yaml").write_text(pair)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "WANDB_MODE": "offline"}
    assert subprocess.run(command("whole"), env=environment, check=False, capture_output=True).returncode == 0
    cut = tmp_path / "cut" / "cells"
    process = subprocess.Popen(command("cut"), env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(cut.glob("dpo-full--*/checkpoints/checkpoint-*/COMPLETE.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for pid in [process.pid, *(one.pid for one in psutil.Process(process.pid).children(recursive=True))]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    (parent,), (child,) = cut.glob("sft-lora--*"), cut.glob("dpo-full--*")
    assert read_json(child / "manifest.json")["state"] == "training"
    before = times(parent)
    assert parent / MERGED / "model.safetensors" in before
    again = subprocess.run(command("cut"), env=environment, check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "2 cells, 1 done, 1 to do" in again.stderr
    assert times(parent) == before
    assert [json.loads(line)["step"] for line in (child / "metrics.jsonl").read_text().splitlines()] == list(
        range(1, 25)
    )
    (whole,) = (tmp_path / "whole" / "cells").glob("dpo-full--*")
    weights = [(one / "model" / "model.safetensors").read_bytes() for one in (child, whole)]
    assert weights[0] == weights[1]


def times(folder: Path) -> dict[Path, int]:
    """When each file was written, but for locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path: path.stat().st_mtime_ns for path in files}
