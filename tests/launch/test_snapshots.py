"""Snapshots from the command to the report, with the worker in this process."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from data.files import digest, read_json
from data.manifest import read_manifest, update_manifest
from data.models import ModelSpec
from data.records import Survey
from data.survey_file import write_survey_file
from data.variant import locate
from eval.backends.sharing import Processes
from eval.compare import compare
from launch import snapshots as auditing
from launch import worker
from launch.arms import ask
from launch.audits import AuditsError
from launch.cells import Cell, read_experiment
from launch.cli import main
from launch.compose import Composer
from launch.planning import plan

Run = Callable[..., int]
STEPS = ["step-00002", "step-00004"]


@pytest.fixture(autouse=True)
def started() -> Iterator[list[Path]]:
    """The cells whose worker was started, here and not in a process of its own; few resamples and no drawn report."""
    with pytest.MonkeyPatch.context() as patched:
        yield here(patched)


def here(patched: pytest.MonkeyPatch) -> list[Path]:
    cells: list[Path] = []

    def run_worker(cell: Path, stages: str, engine: Any) -> int:
        cells.append(cell)
        return worker.main([str(cell), "--stages", stages])

    patched.setattr("launch.dispatch.run_worker", run_worker)
    patched.setattr(worker, "_log_to", lambda path, main: None)
    patched.setattr("eval.compare.compare", functools.partial(compare, draws=100))
    patched.setattr("eval.report.page.write_report", lambda folder: (folder / "report.html").touch())
    return cells


def runner(folder: Path, survey: Path, model: Path) -> Run:
    fixed = [
        f"runs={folder}",
        "name=toy",
        "survey=file",
        f"survey.blocks=['file:{survey}']",
        "survey.split.held_out_items=[toy/bribe,toy/vote]",
        "survey.split.held_out_item_share=0",
        "survey.split.held_out_countries=[NOR,GHA]",
        "survey.split.held_out_country_share=0",
        "audit=[edc]",
        "audit.edc.dilemmas=4",
        "audit.edc.draws=100",
        "audit.edc.conditions=['form:compare']",
        "tracker=off",
    ]
    training = ["recipe=match", "recipe.learning_rate=1e-3", "budget.examples=24", "budget.batch_size=4"]
    trained_on = ["model=local", f"model.source={model}", *training, "audit_every=2"]
    return lambda *more, trained=True: main(["run", *fixed, *(trained_on if trained else []), *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_survey: Survey) -> Path:
    """A folder with a survey and a finished run whose snapshots keep their weights: copy it before changing it."""
    folder = tmp_path_factory.mktemp("finished")
    write_survey_file(tiny_survey, folder / "toy.jsonl")
    with pytest.MonkeyPatch.context() as patched:
        here(patched)
        assert runner(folder, folder / "toy.jsonl", tiny_model)("keep_snapshots=true") == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, tiny_model: Path) -> Run:
    """The command that made the finished run, on a copy of it."""
    shutil.copytree(finished / "toy", tmp_path / "toy")
    return runner(tmp_path, finished / "toy.jsonl", tiny_model)


@pytest.fixture
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def trained_cell(folder: Path) -> Cell:
    return next(cell for cell in read_experiment(folder / "toy")[1] if cell.arm != "base")


def along(folder: Path, audit: str, name: str, condition: str) -> dict[int, float]:
    rows = read_json(folder / "toy" / "comparison" / "summary.json")["trajectories"]["training"]
    wanted = (audit, name, condition, "all")
    return {r["step"]: r["value"] for r in rows if (r["audit"], r["name"], r["condition"], r["group"]) == wanted}


def test_snapshots_are_audited_and_stand_in_the_summary(finished: Path) -> None:
    cell = trained_cell(finished)
    assert [one.folder.name for one in cell.snapshots()] == STEPS
    assert cell.lacks() == []
    assert all((one.folder / "model" / "model.safetensors").exists() for one in cell.snapshots())
    summary = read_json(finished / "toy" / "comparison" / "summary.json")
    assert summary["trajectories"]["absent"] == summary["trajectories"]["calendar"] == []
    flips = along(finished, "edc", "flip_rate", "form:compare")
    assert list(flips) == [0, 2, 4, 6]
    own = {(r["arm"], r["name"], r["condition"]): r["value"] for r in summary["estimates"] if r["group"] == "all"}
    assert flips[0] == own["base", "flip_rate", "form:compare"]
    assert flips[6] == own["match-full", "flip_rate", "form:compare"]
    since = along(finished, "edc", "js_distance", "training:alone")
    before = along(finished, "edc", "js_distance", "previous:alone")
    assert since[0] == 0 < since[2]
    assert since[6] == own["match-full", "js_distance", "training:alone"]
    assert list(before) == [2, 4, 6]
    assert before[2] == since[2]


def test_a_snapshot_answers_as_its_weights_do(finished: Path, tiny_model: Path) -> None:
    """What was found of a snapshot is what its weights say, not the base's nor the finished variant's."""
    cell = trained_cell(finished)
    shares = [pd.read_parquet(one.folder / "audits" / "edc" / "items.parquet") for one in (*cell.snapshots(), cell)]
    assert not np.allclose(shares[0]["p_first"], shares[1]["p_first"], atol=1e-5)
    assert not np.allclose(shares[1]["p_first"], shares[2]["p_first"], atol=1e-5)
    recorded = [read_json(one.folder / "audits" / "edc" / "estimates.json")["weights"] for one in cell.snapshots()]
    assert recorded == [locate(one.folder, ModelSpec(str(tiny_model))).weights for one in cell.snapshots()]


def test_weights_go_once_they_are_not_to_be_kept_and_then_nothing_is_left_to_do(
    run: Run, started: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = (tmp_path / "toy" / "comparison" / "summary.json").read_bytes()
    assert run() == 0
    for one in trained_cell(tmp_path).snapshots():
        audit = {f"audits/edc/{name}" for name in ("estimates.json", "items.parquet", "scores.parquet")}
        left = {path.relative_to(one.folder).as_posix() for path in one.folder.rglob("*") if path.is_file()}
        assert left == {"manifest.json", *audit}
        assert read_manifest(one.folder)["weights"] == "removed"
    assert len(started) == 1
    assert run() == 0
    assert len(started) == 1, "nothing is left to do"
    assert (tmp_path / "toy" / "comparison" / "summary.json").read_bytes() == summary
    assert main(["status", str(tmp_path / "toy")]) == 0
    assert "2/2" in capsys.readouterr().out


def test_kept_weights_are_audited_again_and_removed_ones_are_said_to_be_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = (trained_cell(tmp_path).folder / "model" / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(trained_cell(tmp_path).snapshots()[1].folder / "model")
    assert run("keep_snapshots=true", "audit.edc.draws=120") == 0
    said = capsys.readouterr().err
    assert re.findall(r"match-full step (\d) seed 0: edc done", said) == ["2"]
    sentence = "the snapshots of steps 4 have no edc as asked for now, and their weights are gone"
    assert sentence in said
    cell = trained_cell(tmp_path)
    assert cell.lacks() == []
    assert (cell.folder / "model" / "model.safetensors").stat().st_mtime_ns == trained
    assert main(["status", str(tmp_path / "toy")]) == 0
    shown = capsys.readouterr().out
    assert "1/2" in shown
    assert sentence in " ".join(shown.split())
    assert list(along(tmp_path, "edc", "flip_rate", "form:compare")) == [0, 2, 6], "not one of other settings"
    (absent,) = read_json(tmp_path / "toy" / "comparison" / "summary.json")["trajectories"]["absent"]
    assert sentence in absent


def test_a_removal_that_was_cut_off_is_finished_and_its_weights_are_not_used(run: Run, tmp_path: Path) -> None:
    cell = trained_cell(tmp_path)
    first, second = cell.snapshots()
    update_manifest(first.folder, weights="removed")
    (first.folder / "model" / "config.json").unlink()
    shutil.rmtree(first.folder / "audits")
    assert trained_cell(tmp_path).lacks() == ["snapshots"]
    auditing.audit_snapshots(cell, Processes())
    assert not (first.folder / "model").exists()
    assert (second.folder / "model").exists()
    assert auditing.audited_snapshots(cell) == (1, 2)
    assert trained_cell(tmp_path).lacks() == []


def test_a_snapshot_that_fails_does_not_stop_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = trained_cell(tmp_path)
    for one in cell.snapshots():
        shutil.rmtree(one.folder / "audits")
    asked: list[str] = []

    def audit(one: Cell, processes: Processes, collapsed: object) -> None:
        asked.append(one.name)
        if one.name == STEPS[0]:
            raise AuditsError("audit edc: it fell over")

    monkeypatch.setattr(auditing, "audit_cell", audit)
    with pytest.raises(AuditsError, match="snapshot step-00002: audit edc: it fell over"):
        auditing.audit_snapshots(cell, Processes())
    assert asked == STEPS
    assert trained_cell(tmp_path).lacks() == ["snapshots"]


def test_what_makes_another_cell(composer: Composer) -> None:
    """Another `audit_every` is another training folder; which audits snapshots get, and whether they are kept, not."""

    def planned(*more: str) -> Cell:
        asked = ask(composer, ["recipe=match", "audit=[edc,first_token]", "base_arm=false", *more], False)
        (config,) = asked.cells
        return plan(asked, {digest(config["survey"]): "people"}, {digest(config["model"]): "weights"})[0]

    without, every, other = planned(), planned("audit_every=5"), planned("audit_every=10")
    assert len({cell.config["identity"] for cell in (without, every, other)}) == 3
    assert without.snapshots() == []
    assert [one.config["step"] for one in every.snapshots()] == [5, 10, 15]
    some = planned("audit_every=5", "snapshot_audits=[edc]", "keep_snapshots=true")
    assert (some.config["identity"], some.config["keys"]) == (every.config["identity"], every.config["keys"])
    assert [set(one.snapshots()[0].config["keys"]) for one in (every, some)] == [{"edc", "first_token"}, {"edc"}]
    controlled = planned("audit_every=5", "controls=true")
    assert controlled.config["snapshot_keys"] == every.config["snapshot_keys"], "snapshots are asked no controls"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("audit_every=0", "audit_every must be null or a number of steps of at least 1, got 0"),
        ("audit_every=6", "less than the steps of the training, 6, whose last is the variant itself; got 6"),
        ("audit_every=often", "audit_every must be a whole number or null, got 'often'"),
        ("snapshot_audits=[ecd]", "snapshot_audits names 'ecd', which is none of the audits; did you mean 'edc'?"),
        ("snapshot_audits=[]", "snapshot_audits is empty"),
        ("model.released=2024-08-06", "model.series and model.released belong together"),
    ],
)
def test_wrong_knobs_are_named(run: Run, more: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(more) == 2
    assert words in capsys.readouterr().err


def another(model: Path, folder: Path, seed: int) -> Path:
    """A copy of the model with other weights."""
    shutil.copytree(model, folder)
    torch.manual_seed(seed)
    weights = load_file(folder / "model.safetensors")
    moved = {name: value + 0.05 * torch.randn_like(value) for name, value in weights.items()}
    save_file(moved, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.slow
def test_versions_by_date(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    arms = {}
    for number, day in enumerate(("2025-02-01", "2024-03-31", "2024-08-15")):
        source = another(tiny_model, tmp_path / f"model{number}", number)
        overrides = ["recipe=none", "model=local", f"model.source={source}", f"model.name=v{number}"]
        overrides += ["model.series=toy", f"model.released={day}"]
        arms[f"v{number}"] = str(overrides)
    text = ",".join(f"{name}:{changes}" for name, changes in arms.items())
    assert run(f"+arms={{{text}}}", "name=versions", trained=False) == 0
    found = read_json(tmp_path / "versions" / "comparison" / "summary.json")["trajectories"]
    rows = [row for row in found["calendar"] if row["name"] == "js_distance"]
    assert found["training"] == []
    previous = [(row["arm"], row["date"]) for row in rows if row["condition"] == "previous:alone"]
    assert previous == [("v2", "2024-08-15"), ("v0", "2025-02-01")]
    first = {row["arm"]: row["value"] for row in rows if row["condition"] == "first:alone"}
    assert first["v1"] == 0 < min(first["v0"], first["v2"])
    assert {row["series"] for row in rows} == {"toy"}
