"""Whole sweeps on launchers, killed in the middle and resumed, with cells that fail and cells that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from data.files import read_json
from data.records import Survey
from data.survey_file import write_survey_file

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Runs of the whole program, as a user starts it, in a folder with a blank in its name."""

    folder: Path
    model: Path

    def start(self, name: str, *more: str, **environment: str) -> subprocess.Popen[str]:
        survey = self.folder / "toy.jsonl"
        asked = {
            "name": name,
            "recipe": "match",
            "model": "local",
            "model.source": f"{self.model}",
            "survey": "file",
            "survey.blocks": f"['file:{survey}']",
            "survey.split.held_out_items": "[toy/bribe,toy/vote]",
            "survey.split.held_out_item_share": "0",
            "survey.split.held_out_countries": "[NOR,GHA]",
            "survey.split.held_out_country_share": "0",
            "budget.examples": "48",
            "budget.batch_size": "4",
            "budget.checkpoint_every": "1",
            "recipe.learning_rate": "1e-3",
            "audit": "[first_token]",
            "audit.first_token._target_": "fussy_audit.Fussy",
            "audit.first_token.draws": "100",
            "backend.token_budget": "256",
            "tracker": "off",
            "seeds": "[0,1]",
        }
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [sys.executable, "-m", "launch", "run", *(f"{key}={value}" for key, value in asked.items()), *more],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name: str, *more: str, code: int = 0, **environment: str) -> str:
        process = self.start(name, *more, **environment)
        said = process.communicate(timeout=600)[1]
        assert process.returncode == code, said
        return said

    def cells(self, name: str) -> dict[str, Path]:
        """By arm and seed."""
        return {path.name.rpartition("--")[0]: path for path in (self.folder / "runs" / name / "cells").glob("*")}

    def left(self, name: str) -> dict[str, tuple[Any, bytes]]:
        """What each cell found, and the weights that it trained."""
        weights = {cell: path / "model" / "model.safetensors" for cell, path in self.cells(name).items()}
        return {
            cell: (
                read_json(path / "audits" / "first_token" / "estimates.json")["estimates"],
                weights[cell].read_bytes() if weights[cell].exists() else b"",
            )
            for cell, path in self.cells(name).items()
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_survey: Survey) -> Place:
    folder = tmp_path_factory.mktemp("launchers") / "a folder"
    folder.mkdir()
    write_survey_file(tiny_survey, folder / "toy.jsonl")
    return Place(folder, tiny_model)


@pytest.fixture(scope="module")
def whole(place: Place) -> dict[str, tuple[Any, bytes]]:
    """What a run leaves that nobody interrupted, one cell after the other."""
    place("whole")
    return place.left("whole")


def kill_tree(process: subprocess.Popen[str], run: Path) -> None:
    """The command and all that works for it, jobs on their own included."""
    tree = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for other in psutil.process_iter(["pid", "cmdline"]):
        if any(str(run) in word for word in other.info["cmdline"] or []):
            tree.append(other.pid)
    for pid in dict.fromkeys(tree):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def states(place: Place, name: str) -> dict[str, str]:
    found = {cell: path / "manifest.json" for cell, path in sorted(place.cells(name).items())}
    return {cell: read_json(path)["state"] for cell, path in found.items() if path.exists()}


OVERRIDES = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local",),
    "ray": ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"),
}


@pytest.mark.parametrize("how", OVERRIDES)
def test_killed_and_resumed_it_ends_as_one_that_was_not(
    place: Place, whole: dict[str, tuple[Any, bytes]], how: str
) -> None:
    if how == "ray":
        pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="pip install hydra-ray-launcher")
    process = place.start(how, *OVERRIDES[how], SLOW_AUDIT_SECONDS="0.3")
    until(lambda: "done" in states(place, how).values(), process)
    kill_tree(process, place.folder / "runs" / how)
    done = [cell for cell, state in states(place, how).items() if state == "done"]
    assert 0 < len(done) < 3
    files = [path for cell in done for path in place.cells(how)[cell].rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}
    said = place(how, *OVERRIDES[how])
    assert f"3 cells, {len(done)} done, {3 - len(done)} to do" in said
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what is done is not touched"
    assert place.left(how) == whole


def test_the_same_command_takes_the_place_of_one_whose_jobs_go_on(
    place: Place, whole: dict[str, tuple[Any, bytes]]
) -> None:
    process = place.start("orphans", *OVERRIDES["submitit_local"], SLOW_AUDIT_SECONDS="4")
    until(lambda: list(states(place, "orphans").values()).count("auditing") > 1, process)
    process.kill()
    process.wait()  # not for its output: the jobs that go on hold the same pipe
    said = place("orphans", *OVERRIDES["submitit_local"])
    process.communicate()
    assert "waiting for what still runs: job" in said
    assert "become jobs" not in said
    assert len(list((place.folder / "runs" / "orphans" / ".submitit").glob("*/*_submitted.pkl"))) == 3
    assert place.left("orphans") == whole


@pytest.mark.parametrize("how", ["joblib", "submitit_local"])
def test_one_cell_fails_and_one_is_killed_among_others(
    place: Place, whole: dict[str, tuple[Any, bytes]], how: str
) -> None:
    name = f"fussy-{how}"
    said = place(name, *OVERRIDES[how], code=1, FUSSY="match-full--s0=fail match-full--s1=die-0")
    assert states(place, name) == {
        "base--s0--d0": "done",
        "match-full--s0--d0": "failed",
        "match-full--s1--d0": "auditing",
    }
    assert "2 of the cells are not done" in said
    said = place(name, *OVERRIDES[how], code=1)
    assert "3 cells, 1 done, 1 to do" in said, "the one that was killed"
    assert "this cell is fussy; --retry-failed tries it again" in said
    place(name, *OVERRIDES[how], "--retry-failed")
    assert place.left(name) == whole
