"""A whole run in several processes: the numbers of one process, and an end that comes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from data.files import read_json
from data.records import Survey
from data.survey_file import write_survey_file
from launch.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def arguments(tmp_path: Path, tiny_model: Path, tiny_survey: Survey) -> list[str]:
    write_survey_file(tiny_survey, tmp_path / "toy.jsonl")
    return [
        "run",
        f"runs={tmp_path}",
        "model=local",
        f"model.source={tiny_model}",
        "survey=file",
        f"survey.blocks=['file:{tmp_path / 'toy.jsonl'}']",
        "survey.split.held_out_items=[toy/bribe,toy/vote]",
        "survey.split.held_out_item_share=0",
        "survey.split.held_out_countries=[NOR,GHA]",
        "survey.split.held_out_country_share=0",
        "audit=[first_token]",
        "audit.first_token.draws=200",
        "limit=2",
        "backend.token_budget=128",
        "tracker=off",
        "engine.threads=1",
    ]


def audited(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("cells/*/audits/first_token/estimates.json")
    found: dict[str, Any] = read_json(path)
    return found


def test_two_processes_audit_as_one(arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for engine in ("single", "ddp"):
        assert main([*arguments, f"name={engine}", "recipe=none", f"engine={engine}"]) == 0
    one, two = audited(tmp_path / "single"), audited(tmp_path / "ddp")
    assert one["estimates"] == two["estimates"]
    assert one["key"] == two["key"]
    for name in ("prompts", "prompt_tokens", "computed_tokens", "stored"):
        assert one["costs"][name] == two["costs"][name]
    said = capfd.readouterr().err
    assert len(re.findall("first_token done in", said)) == 2
    assert "Traceback" not in said
    (log,) = tmp_path.glob("ddp/cells/*/log.txt")
    assert log.read_text().count("audit first_token done") == 1


@pytest.mark.parametrize("engine", ["ddp", "zero3"])
def test_two_processes_train_and_then_audit(
    arguments: list[str], tmp_path: Path, engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Audits of a zero3 cell run in processes of their own: those of training load models in shares until they end."""
    if engine == "zero3":
        pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install deepspeed")
    knobs = ["recipe=match", "base_arm=false", "budget.examples=8", "budget.batch_size=4", f"engine={engine}"]
    assert main([*arguments, *knobs, "audit_every=1", f"name={engine}"]) == 0
    said = capfd.readouterr()
    assert len(re.findall("memory: about", said.err)) == 1
    assert "built successfully" not in said.out
    (cell,) = tmp_path.glob(f"{engine}/cells/*")
    assert read_json(cell / "manifest.json")["state"] == "done"
    assert audited(tmp_path / engine)["estimates"]
    (snapshot,) = (cell / "snapshots").iterdir()
    assert read_json(snapshot / "manifest.json")["state"] == "done"
    assert read_json(snapshot / "audits" / "first_token" / "estimates.json")["estimates"]


def test_an_audit_that_fails_ends_both(
    arguments: list[str], tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    knobs = ["recipe=none", "engine=ddp", "audit.first_token._target_=failing_audit.Failing", "name=ddp"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent))
        patched.syspath_prepend(str(Path(__file__).parent))
        assert main([*arguments, *knobs]) == 1
    (cell,) = tmp_path.glob("ddp/cells/*")
    manifest = read_json(cell / "manifest.json")
    assert manifest["state"] == "failed"
    assert manifest["error"]["message"] == "audit first_token: process 1: this one cannot go on"
    said = capfd.readouterr().err
    assert said.count("process 1: this one cannot go on") == 1
    assert "Traceback" not in said
    assert "torch" not in said


def test_a_process_that_is_killed_ends_the_cell_and_the_same_command_goes_on(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    knobs = ["recipe=none", "engine=ddp", "audit.first_token._target_=failing_audit.Killed", "name=ddp"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent))
        patched.syspath_prepend(str(Path(__file__).parent))
        assert main([*arguments, *knobs]) == 1
        assert "process 1 of the worker was ended by SIGKILL" in capfd.readouterr().err
        patched.setenv("SPARED", "1")
        (cell,) = tmp_path.glob("ddp/cells/*")
        retry = ["--retry-failed"] if read_json(cell / "manifest.json")["state"] == "failed" else []
        assert main([*arguments, *knobs, *retry]) == 0
    assert audited(tmp_path / "ddp")["estimates"]
