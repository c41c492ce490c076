"""Several processes that ask as one: the same numbers as one, each chunk computed once, and no hang on a failure."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eval.backends.sharing import Processes, current, join

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("asked_together.py")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random", **more}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_process_that_is_alone_waits_for_nobody() -> None:
    alone = join()
    assert alone == current() == Processes(0, 1)
    assert alone.gather("step", lambda: 5) == [5]
    assert alone.from_main("step", lambda: 6) == alone.main_first("step", lambda: 6) == 6
    alone.wait("end")


def test_two_processes_get_exactly_the_numbers_of_one(tiny_model: Path, tmp_path: Path) -> None:
    folders = {processes: tmp_path / str(processes) for processes in (1, 2)}
    for folder in folders.values():
        folder.mkdir()
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, str(SCRIPT), str(tiny_model), str(folders[2])]
    started = [
        subprocess.Popen(command, env=environment(**place, RANK=rank, LOCAL_RANK=rank), stderr=subprocess.PIPE)
        for rank in ("0", "1")
    ]
    runpy.run_path(str(SCRIPT))["main"](tiny_model, folders[1])
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    one, first, second = (
        json.loads((folders[processes] / f"{rank}.json").read_text()) for processes, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert first["answers"] == second["answers"] == one["answers"]
    assert first["costs"] == second["costs"]
    for name in ("prompts", "prompt_tokens", "computed_tokens", "stored"):
        assert first["costs"][name] == one["costs"][name]
    assert first["again"]["stored"] == one["again"]["stored"] == one["costs"]["prompts"]
    assert first["again"]["computed_tokens"] == 0
    assert sorted(first["mine"] + second["mine"]) == sorted(one["mine"])
    assert min(first["mine"], second["mine"])
    for rank, said in enumerate((first, second)):
        assert said["failure"] == ("ValueError: only here" if rank else "ProcessError: process 1: only here")
        assert "ProcessError: process" in said["apart"]
        assert said["from_main"] == "process 0"


@pytest.mark.slow
def test_one_that_dies_ends_the_others(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(SCRIPT)]
    done = subprocess.run(
        [*command, str(tiny_model), str(tmp_path), "die"],
        capture_output=True, text=True, check=False, env=environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert not list(tmp_path.glob("*.json"))
