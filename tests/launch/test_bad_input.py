"""What the machine or a file refuses is one clear message and a non-zero exit; nothing half-written, nothing lost."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data.files import read_json
from data.manifest import update_manifest
from data.records import Survey
from data.survey_file import write_survey_file
from launch import worker
from launch.cells import Cell, write_cell
from launch.cli import main
from launch.process import threads_for, usable_cores, worker_environment
from launch.tracking import NoTracker, logged_in, open_tracker, resolve_mode


def mistake(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    return error


def asked(model: Path, survey: Path) -> list[str]:
    chosen = ["model=local", f"model.source={model}", "survey=file", f"survey.blocks=['file:{survey}']"]
    return ["run", *chosen, "audit=[first_token]", "tracker=off"]


@pytest.fixture
def toy(tmp_path: Path, tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_survey_file(tiny_survey, tmp_path / "toy.jsonl")
    return tmp_path / "toy.jsonl"


def test_a_model_folder_without_tokenizer(
    toy: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model, ignore=shutil.ignore_patterns("tokenizer*"))
    assert "holds no tokenizer" in mistake(asked(model, toy), capsys)
    assert not (tmp_path / "runs").exists()


def test_a_refused_run_leaves_no_folder(
    toy: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the base model was hashed before the mistake was seen; a run that starts remembers the hash."""
    assert "gate.patience must be at least 1" in mistake([*asked(tiny_model, toy), "gate.patience=0"], capsys)
    assert "unknown key 'recip'" in mistake([*asked(tiny_model, toy), "+recip=match"], capsys)
    wrong = [*asked(tiny_model, toy), "recipe=reweight", "recipe.strength=2"]
    assert mistake(wrong, capsys).startswith("polyphony: recipe.strength must lie in [0, 1], got 2.0")
    assert not (tmp_path / "runs").exists()


def test_a_model_folder_with_a_pickle(
    toy: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model, ignore=shutil.ignore_patterns("*.safetensors"))
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    assert "pickled weights" in mistake(asked(model, toy), capsys)


def test_a_broken_survey_file(toy: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(toy.read_text().replace('"country": "NOR"', '"country": "Norwegen"', 1))
    assert "Norwegen" in mistake(asked(tiny_model, toy), capsys)


def test_a_place_that_cannot_be_written(toy: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.with_name("file").write_text("")
    error = mistake([*asked(tiny_model, toy), f"runs={toy.with_name('file')}"], capsys)
    assert "cannot write or read" in error
    assert str(toy.with_name("file")) in error


def test_no_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "report", "publish"):
        assert "is no run folder" in mistake([command, str(tmp_path)], capsys)


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    config: Mapping[str, Any] = {
        "arm": "match-full",
        "seed": 0,
        "draw": 0,
        "parent": {"name": "tiny", "source": "/tiny", "weights": "w"},
        "identity": "abc",
        "keys": {"first_token": "k"},
        "tracker": {"mode": "off", "project": "polyphony", "entity": None},
        "recipe": {"_target_": "train.recipes.match.Match"},
        "model": {"name": "tiny", "source": "/tiny"},
    }
    made = Cell(tmp_path / "run" / "cells" / "match-full--s0--d0--abc", config)
    write_cell(made)
    return made


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(cell: Cell, tracker: object) -> None:
        update_manifest(cell.folder, state="training")
        raise error

    monkeypatch.setattr(worker, "_train", train)
    monkeypatch.setattr(worker, "_log_to", lambda *_: None)


def test_a_full_disk_is_no_failure_of_the_cell(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(OSError(errno.ENOSPC, "No space left on device", "/disk/model.safetensors"), monkeypatch)
    assert worker.main([str(cell.folder)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    manifest = read_json(cell.folder / "manifest.json")
    assert manifest["state"] == "training"
    assert "No space left" in manifest["error"]["message"]


def test_a_failed_cell_says_why(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(ValueError("training diverged"), monkeypatch)
    assert worker.main([str(cell.folder)]) == 1
    shown = capsys.readouterr().err
    assert "failed in train: training diverged" in shown
    assert len(shown.strip().splitlines()) == 1
    manifest = read_json(cell.folder / "manifest.json")
    assert (manifest["state"], manifest["error"]["stage"]) == ("failed", "train")


def test_a_cell_that_belongs_to_another_is_refused(cell: Cell) -> None:
    other = Cell(cell.folder, {**cell.config, "identity": "xyz"})
    with pytest.raises(ValueError, match="belongs to another cell"):
        write_cell(other)


def test_the_worker_starts_from_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "7")
    environment = worker_environment(3)
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"} & set(
        environment
    )
    assert environment["OMP_NUM_THREADS"] == "3"


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_for("auto", 2) == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_for("auto", 1) == usable_cores() >= 1
    assert threads_for("auto", 10_000) == 1
    assert threads_for(2, 1) == 2


def test_the_tracker_that_is_off_is_a_null_object(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = open_tracker(cell)
    assert isinstance(tracker, NoTracker)
    tracker.log(1, {"loss": 1.0})
    tracker.close()


def test_auto_is_online_only_for_who_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not logged_in()
    assert resolve_mode("auto") == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    (tmp_path / "netrc").chmod(0o600)
    assert resolve_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert resolve_mode("online") == "off"


def test_a_further_language_without_wordings(toy: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistake([*asked(tiny_model, toy), "audit.first_token.languages=[en,fr]"], capsys)
    assert "audit.first_token: no held-out item has a wording in 'fr'" in said
    assert "set audit.first_token.languages" in said
    assert not [*Path("runs").glob("*/cells/*")]


def test_a_corpus_that_is_not_there_is_refused_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["recipe=none", "audit=[edc]", "audit.edc.corpus=/nowhere.csv", f"runs={tmp_path}", "tracker=off"]
    assert main(["run", *asked]) == 2
    assert "audit.edc.corpus must be a file of dilemmas, and /nowhere.csv is none" in capsys.readouterr().err
    assert not [*tmp_path.glob("*/cells/*")]
