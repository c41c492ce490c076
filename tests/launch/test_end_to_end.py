"""The whole path on a tiny model: run, run again, report, status, publish, kill -9 and go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from data.files import read_json, write_json
from data.records import Survey
from data.survey_file import write_survey_file
from launch.cells import read_experiment

ROOT = Path(__file__).parents[2]
QUICK = 20.0


@dataclass(frozen=True)
class Place:
    """A folder to run in, with the model and survey that runs there use."""

    folder: Path
    model: Path
    survey: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "launch", *arguments]

    def run_arguments(self, name: str, *more: str) -> list[str]:
        return [
            "run",
            f"name={name}",
            "recipe=match",
            "model=local",
            f"model.source={self.model}",
            "survey=file",
            f"survey.blocks=['file:{self.survey}']",
            "survey.split.held_out_items=[toy/bribe,toy/vote]",
            "survey.split.held_out_item_share=0",
            "survey.split.held_out_countries=[NOR,GHA]",
            "survey.split.held_out_country_share=0",
            "budget.examples=96",
            "budget.batch_size=4",
            "budget.checkpoint_every=1",
            "recipe.learning_rate=1e-3",
            "audit=[first_token]",
            "audit.first_token._target_=slow_audit.SlowFirstToken",
            "audit.first_token.draws=200",
            "backend.token_budget=256",
            *more,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", **more}

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_survey: Survey) -> Place:
    folder = tmp_path_factory.mktemp("end_to_end")
    write_survey_file(tiny_survey, folder / "toy.jsonl")
    return Place(folder, tiny_model, folder / "toy.jsonl")


@pytest.fixture(scope="module")
def finished(place: Place) -> Path:
    """A finished run of two cells, base and match-full."""
    shown = place(*place.run_arguments("toy"))
    run = place.folder / "runs" / "toy"
    assert shown.stdout.splitlines()[-1] == f"Report: {run / 'comparison' / 'report.html'}"
    return run


def test_the_run_folder_holds_everything(finished: Path) -> None:
    _, cells = read_experiment(finished)
    assert [cell.arm for cell in cells] == ["base", "match-full"]
    assert all(cell.manifest["state"] == "done" and not cell.lacks() for cell in cells)
    trained = cells[1].folder
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*")}
    audit = {f"audits/first_token/{name}" for name in ("items.parquet", "scores.parquet", "estimates.json")}
    assert audit | {"config.yaml", "manifest.json", "metrics.jsonl", "log.txt", "model/model.safetensors"} <= names
    assert not (trained / "checkpoints").exists()
    summary = read_json(finished / "comparison" / "summary.json")
    assert [arm["name"] for arm in summary["arms"]] == ["base", "match-full"]
    assert summary["not_a_result"]
    assert any(one["name"] == "js_distance" and one["arm"] == "match-full" for one in summary["comparisons"])


def test_the_same_command_again_does_nothing_and_is_quick(place: Place, finished: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.suffix in (".json", ".parquet", ".html")
    }
    started = time.monotonic()
    again = place(*place.run_arguments("toy"))
    assert time.monotonic() - started < QUICK
    assert "2 cells, 2 done, 0 to do" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_status_says_what_is_done(place: Place, finished: Path) -> None:
    shown = place("status", str(finished), COLUMNS="200").stdout
    assert "match-full--s0--d0" in shown
    assert "24/24 steps" in shown
    assert "done" in shown


def test_report_rebuilds_from_files_alone(place: Place, finished: Path) -> None:
    before = read_json(finished / "comparison" / "summary.json")
    place("report", str(finished), POLYPHONY_CACHE="/nowhere")
    after = read_json(finished / "comparison" / "summary.json")
    for summary in (before, after):
        del summary["created"], summary["provenance"]["git"]
    assert after == before


def test_an_offline_run_holds_the_numbers(place: Place, finished: Path) -> None:
    shutil.rmtree(finished / "wandb")
    assert "3 W&B runs written" in place("publish", str(finished)).stdout
    read = [json.loads(line) for path in (finished / "wandb").glob("*/*.wandb") for line in inspect(path)]
    text = json.dumps(read)
    cell = next((finished / "cells").glob("match-full*"))
    losses = [json.loads(line)["loss"] for line in (cell / "metrics.jsonl").read_text().splitlines()]
    estimates = read_json(cell / "audits" / "first_token" / "estimates.json")["estimates"]
    distance = next(one["value"] for one in estimates if one["name"] == "js_distance" and one["group"] == "all")
    assert len(losses) == 24
    for number in (losses[0], losses[-1], distance):
        assert repr(number)[:7] in text
    assert "training/loss" in text
    assert "first_token/items" in text


def inspect(path: Path) -> list[str]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_killed_in_training_and_in_an_audit_it_ends_with_the_same_numbers(place: Place, finished: Path) -> None:
    arguments = place.run_arguments("killed", "base_arm=false", "tracker=off")
    run = place.folder / "runs" / "killed"
    whole = next((finished / "cells").glob("match-full*"))
    cell = run / "cells" / whole.name
    kill_when(place, arguments, lambda: any(cell.glob("checkpoints/checkpoint-*/COMPLETE.json")))
    assert read_json(cell / "manifest.json")["state"] == "training"
    assert not (cell / "model").exists()
    kill_when(place, arguments, lambda: answered(cell) > 0)
    assert read_json(cell / "manifest.json")["state"] == "auditing"
    assert not (cell / "audits" / "first_token" / "estimates.json").exists()
    place(*arguments)
    steps = [json.loads(line) for line in (cell / "metrics.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == list(range(1, 25))
    assert (cell / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()
    results = [read_json(one / "audits" / "first_token" / "estimates.json")["estimates"] for one in (cell, whole)]
    assert results[0] == results[1]


@pytest.mark.slow
def test_killed_among_its_snapshots_it_ends_with_the_same_numbers(place: Place) -> None:
    """Once between two snapshots, once in the audit of the first of them."""
    more = ("base_arm=false", "tracker=off", "audit_every=8")
    place(*place.run_arguments("along", *more))
    (whole,) = (place.folder / "runs" / "along" / "cells").iterdir()
    arguments = place.run_arguments("cut", *more)
    cell = place.folder / "runs" / "cut" / "cells" / whole.name
    first, second = (cell / "snapshots" / name for name in ("step-00008", "step-00016"))
    kill_when(place, arguments, first.exists)
    assert not second.exists()
    kill_when(place, arguments, lambda: answered(first) > 0)
    assert not (first / "audits" / "first_token" / "estimates.json").exists()
    place(*arguments)
    assert {path.name for path in (cell / "snapshots").iterdir()} == {first.name, second.name}
    for name in ("", "snapshots/step-00008", "snapshots/step-00016"):
        results = [read_json(one / name / "audits" / "first_token" / "estimates.json") for one in (cell, whole)]
        assert results[0]["estimates"] == results[1]["estimates"], name
        assert results[0]["weights"] == results[1]["weights"], name


def kill_when(place: Place, arguments: list[str], reached: Callable[[], bool]) -> None:
    """Start the command, kill -9 its whole process tree once `reached`."""
    log = (place.folder / "killed.txt").open("w")
    process = subprocess.Popen(
        place.command(*arguments), cwd=place.folder, env=place.environment(SLOW_AUDIT_SECONDS="0.5"), stderr=log
    )
    try:
        deadline = time.monotonic() + 120
        while not reached():
            assert process.poll() is None, (place.folder / "killed.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        tree = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        process.wait()
        log.close()


def answered(cell: Path) -> int:
    store = cell / "audits" / "answers.sqlite"
    if not store.exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        try:
            return int(connection.execute("select count(*) from answers").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


def test_a_worker_imports_neither_hydra_nor_omegaconf() -> None:
    code = (
        "import sys, launch.worker, launch.audits, train.variant, eval.first_token.audit, wandb\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('hydra', 'omegaconf')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_cell_of_another_version_is_refused(place: Place, finished: Path, tmp_path: Path) -> None:
    copy = place.folder / "runs" / "other"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("wandb"))
    cell = next((copy / "cells").glob("match-full*"))
    write_json(cell / "manifest.json", {**read_json(cell / "manifest.json"), "schema": 99})
    error = place(*place.run_arguments("other"), code=2).stderr
    assert "has schema 99, this version writes 1: move the folder away" in error
    assert "Traceback" not in error
