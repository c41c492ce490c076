"""Cells on launchers that run them side by side or as jobs: what is lost there costs no other cell, and is said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from data.manifest import update_manifest
from launch import beside, waiting
from launch.cells import Cell, read_experiment
from launch.compose import Composer
from launch.dispatch import dispatch

ROOT = Path(__file__).parents[2]
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


class Planned:
    """A run of cells without audits, written and not begun, and what is to go wrong there."""

    def __init__(self, toys: Any) -> None:
        self.toys, self.run = toys, toys.folder / "toy"

    def __call__(self, seeds: int, wrong: str = "") -> list[Cell]:
        assert self.toys.run("recipe=match", "audit=[]", f"seeds={list(range(seeds))}", "base_arm=false") == 1
        (self.run / "wrong.txt").write_text(wrong)
        return read_experiment(self.run)[1]

    def states(self) -> dict[int, str]:
        """By seed."""
        return {cell.config["seed"]: cell.manifest["state"] for cell in read_experiment(self.run)[1]}

    def times(self) -> dict[int, int]:
        """How often each seed's cell was begun."""
        told = {cell.config["seed"]: cell.folder / "told.txt" for cell in read_experiment(self.run)[1]}
        return {seed: path.read_text().count("\n") if path.exists() else 0 for seed, path in told.items()}

    def dispatch(self, *overrides: str) -> list[int]:
        cells = [cell for cell in read_experiment(self.run)[1] if cell.manifest["state"] != "done"]
        with Composer() as composer:
            return dispatch(composer, cells, overrides, self.run)


@pytest.fixture
def planned(toys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planned]:
    folder = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), folder]))
    monkeypatch.syspath_prepend(folder)
    import toy_task  # type: ignore[import-not-found]

    monkeypatch.setattr("launch.pipeline.dispatch", lambda *_: [])
    monkeypatch.setattr("launch.pipeline.finish", lambda run: None)
    monkeypatch.setattr("launch.dispatch.run_beside", toy_task.finish)
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.1)
    yield Planned(toys)
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def test_a_process_of_joblib_that_is_killed_costs_its_own_cell_alone(planned: Planned, capfd: Any) -> None:
    planned(4, "match-full--s1=die match-full--s0=slow match-full--s2=fail")
    planned.dispatch(*JOBLIB)
    assert planned.states() == {0: "done", 1: "training", 2: "failed", 3: "done"}
    assert planned.times() == {0: 2, 1: 2, 2: 1, 3: 1}, "what was begun when it broke is begun once more"
    said = capfd.readouterr().err
    assert said.count("the launcher gave up: TerminatedWorkerError") == 2
    (planned.run / "wrong.txt").write_text("")
    assert planned.dispatch(*JOBLIB) == [0, 0], "the failed one too: whether it is tried again is decided before"
    assert set(planned.states().values()) == {"done"}
    assert planned.times()[0] == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the plug-in lets go of running jobs
def test_a_job_that_is_killed_costs_its_own_cell_alone(planned: Planned, capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)
    planned(3, "match-full--s0=die match-full--s1=slow")
    planned.dispatch("hydra/launcher=submitit_local")
    assert planned.states() == {0: "training", 1: "done", 2: "done"}, "the others are waited for"
    said = capfd.readouterr().err
    assert "3 cells become jobs" in said
    assert "the launcher gave up: UncompletedJobError: Job" in said
    assert planned.times() == {0: 1, 1: 1, 2: 1}, "a queue's job that is lost waits for the next command"


def test_a_launcher_that_cannot_start_is_said(planned: Planned, capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "")
    planned(1)
    assert planned.dispatch("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu") == []
    assert 'the launcher gave up: RuntimeError: Could not detect "srun"' in capfd.readouterr().err
    assert planned.states() == {0: "planned"}


def test_cells_that_others_are_at_are_waited_for_and_not_done_again(planned: Planned, capfd: Any) -> None:
    first, second = planned(2)
    lock = FileLock(first.folder / ".lock", thread_local=False)
    lock.acquire()
    assert waiting.is_held(first.folder)
    assert not waiting.is_held(second.folder)

    def end() -> None:
        time.sleep(0.5)
        update_manifest(first.folder, state="done", trained=True)
        lock.release()

    other = threading.Thread(target=end)
    other.start()
    planned.dispatch(*JOBLIB)
    other.join()
    assert planned.times() == {0: 0, 1: 1}
    assert f"waiting for what still runs: {first.name}\n" in capfd.readouterr().err


def test_jobs_of_an_earlier_command_are_known(tmp_path: Path) -> None:
    """A process of submitit's on this machine; one that is gone; one that left its result."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "submitit"])
    try:
        for name in (str(process.pid), "999999999", "7"):
            folder = tmp_path / ".submitit" / name
            folder.mkdir(parents=True)
            (folder / f"{name}_submitted.pkl").touch()
        (folder / "7_0_result.pkl").touch()
        deadline = time.monotonic() + 10
        while waiting.jobs(tmp_path) != [str(process.pid)]:  # until it is the program that it was told to be
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()
    assert waiting.jobs(tmp_path) == []


def test_jobs_of_slurm_are_asked_for_at_sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sacct = tmp_path / "bin" / "sacct"
    sacct.parent.mkdir()
    answer = "JobID|State|NodeList\\n41_0|COMPLETED|a\\n41_1|RUNNING|a\\n41_2|PENDING|\\n"
    sacct.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sacct.parent}{os.pathsep}{os.environ['PATH']}")
    jobs = tmp_path / ".submitit"
    for name in ("41", "41_0", "41_1", "41_2"):
        (jobs / name).mkdir(parents=True)
    (jobs / "41" / "41_submission.sh").touch()
    for name in ("41_0", "41_1", "41_2"):
        (jobs / name / f"{name}_submitted.pkl").touch()
    assert waiting.jobs(tmp_path) == ["41_1", "41_2"]


def test_lines_carry_their_cell_and_bars_become_few() -> None:
    read, write = os.pipe()
    out = io.StringIO()
    with os.fdopen(read, "rb") as pipe:
        reader = threading.Thread(target=beside.relay, args=(pipe, "match--s0--d0", out))
        reader.start()
        for part in (b"one\ntw", b"o\n\n", b"\r 10%", b"\r 20%", b"\r100%\n", "ende\xfc".encode("latin-1")):
            os.write(write, part)
        os.close(write)
        reader.join()
    lines = ["one", "two", "100%", "ende\ufffd"]
    assert out.getvalue() == "".join(f"match--s0--d0 | {line}\n" for line in lines)


def test_side_by_side_each_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(beside.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv(beside.VISIBLE, "4,5,GPU-77")
    there = beside.gpus()
    assert there == ["4", "5", "GPU-77"]
    with beside.seated(1, there):
        assert os.environ[beside.VISIBLE] == "4"
        with beside.seated(2, there):
            assert os.environ[beside.VISIBLE] == "5,GPU-77"
    assert os.environ[beside.VISIBLE] == "4,5,GPU-77"
    monkeypatch.setattr(beside, "WAIT", 0.01)
    code = "import sys, launch.beside as b\nwith b.seated(1, ['4', '5']): print(b.os.environ[b.VISIBLE])"
    (folder,) = tmp_path.iterdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with FileLock(folder / "5"):
        first = FileLock(folder / "4")
        first.acquire()
        other = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        time.sleep(3)
        assert other.poll() is None, "both are taken"
        first.release()
        assert other.communicate(timeout=60)[0] == "4\n"
    with beside.seated(1, ["4"]):
        assert os.environ[beside.VISIBLE] == "4,5,GPU-77", "nothing to share out"
