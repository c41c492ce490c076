"""A census of tiny models, some out of reach: each costs its own row, and the same command tries it again."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from data.files import read_json
from eval.report.page import write_report
from launch.cells import Cell
from launch.census import census_of
from launch.show import print_status

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("serving", ROOT / "tests" / "eval" / "backends" / "serving.py")
assert _spec
assert _spec.loader
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)

SIZES = {"llama": 7, "qwen": 0.5, "mistral": 7, "served": 3}
ORIGINS = {"llama": "USA", "qwen": "China", "mistral": "France", "served": "China"}
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def other(kind: str, source: Path, folder: Path) -> Path:
    """A tiny model of another architecture and size, with the tokenizer of `source`."""
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    shape = {"vocab_size": len(tokenizer), "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    torch.manual_seed(len(kind))
    if kind == "qwen":
        model: Any = Qwen2ForCausalLM(Qwen2Config(hidden_size=32, intermediate_size=64, **shape))
    else:
        config = MistralConfig(hidden_size=48, intermediate_size=96, sliding_window=None, **shape)
        model = MistralForCausalLM(config)
        tokenizer.chat_template = NO_SYSTEM + tokenizer.chat_template  # as Gemma's
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass
class World:
    """Toys with a server and a folder of models."""

    toys: Any
    server: Any
    models: Path

    def run(self, *names: str, more: tuple[str, ...] = ()) -> int:
        listed = []
        for name in names:
            tags = (
                "" if name not in SIZES else f" model.tags.origin={ORIGINS[name]} model.tags.parameters={SIZES[name]}"
            )
            place = str(self.models / name)
            if name == "served":
                place = "api:tiny backend=api backend.base_url=" + self.server.base_url
            if name == "keyless":
                place = "deepseek-chat backend=deepseek"
            listed.append(f'"{place}{tags}"')
        out = ("~model", "~model.source", "~recipe.learning_rate")
        audit = ("audit=[first_token]", "audit.first_token.draws=50", "audit.first_token.conditions=[none,country]")
        audit = (*audit, "audit.first_token.seen_items=false", "controls=false")
        code: int = self.toys.run(
            *out, "experiment=census", f"models=[{','.join(listed)}]", *audit, *more, name="census"
        )
        return code

    @property
    def cells(self) -> dict[str, Cell]:
        found: dict[str, Cell] = self.toys.cells("census")
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.toys.folder / "census" / "comparison" / "summary.json")
        return found


ALL = ("llama", "qwen", "mistral", "served", "broken", "gone", "keyless")


@pytest.fixture(scope="module")
def world(toys_of_module: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    models = tmp_path_factory.mktemp("models")
    serving.decided(tiny_model, models / "llama")
    for kind in ("qwen", "mistral"):
        serving.decided(other(kind, tiny_model, tmp_path_factory.mktemp(kind)), models / kind)
    shutil.copytree(models / "llama", models / "broken")
    (models / "broken" / "model.safetensors").write_bytes(b"not what it says")
    with pytest.MonkeyPatch.context() as patched, serving.ModelServer(models / "llama") as server:
        patched.delenv("DEEPSEEK_API_KEY", raising=False)
        patched.setattr("launch.comparison.census_of", functools.partial(census_of, draws=100))
        yield World(toys_of_module, server, models)


@pytest.fixture(scope="module")
def first(world: World) -> tuple[int, list[str]]:
    """Exit code of the first command, and the arms whose worker was started."""
    code = world.run(*ALL)
    return code, list(world.toys.started)


def test_only_their_own_rows_are_lost(world: World, first: tuple[int, list[str]]) -> None:
    assert first == (1, ["llama", "qwen", "mistral", "tiny", "broken"])  # nothing is started for what is not there
    states = {arm: cell.manifest["state"] for arm, cell in world.cells.items()}
    assert states == dict.fromkeys(("llama", "qwen", "mistral", "tiny"), "done") | dict.fromkeys(
        ("broken", "gone", "deepseek-chat"), "failed"
    )
    assert world.cells["gone"].name == "gone--s0--d0--missing"
    assert "is no folder here" in world.cells["gone"].manifest["error"]["message"]
    assert "DEEPSEEK_API_KEY is not set" in world.cells["deepseek-chat"].manifest["error"]["message"]


def test_status_summary_and_report_say_why(
    world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    print_status(world.toys.folder / "census")
    shown = capsys.readouterr().out
    assert "is no folder here" in shown
    assert "DEEPSEEK_API_KEY is not set" in shown
    summary = world.summary
    left_out = {row["arm"]: row["reason"] for row in summary["exclusions"] if row["audit"] == "all"}
    assert set(left_out) == {"broken", "gone", "deepseek-chat"}
    assert left_out["gone"].startswith("its model cannot be had: model.source")
    assert left_out["broken"].startswith("its state is 'failed' (audit: ")
    assert summary["not_a_result"] == []  # other rows are as good as before
    assert summary["base"] is None
    status = {row["arm"]: row["status"] for row in summary["census"]["models"]}
    assert [status[arm] for arm in ("broken", "gone", "deepseek-chat")] == ["incomplete"] * 3
    page = write_report(world.toys.folder / "census" / "comparison").read_text(encoding="utf-8")
    assert "its model cannot be had" in page
    assert "The questions and their answers" in page


def test_groups_and_sizes_are_answered_over_those_that_are_there(world: World, first: tuple[int, list[str]]) -> None:
    rows = {row["name"]: row for row in world.summary["census"]["questions"]}
    assert rows["origin"]["models"] == [["qwen", "tiny"], ["llama", "mistral"]]
    assert rows["origin"]["left_out"] == {"deepseek-chat": "incomplete"}
    assert rows["origin"]["n"] > 0
    assert rows["size"]["verdict"] == "NO VERDICT"
    assert rows["stability"]["verdict"] == "NO VERDICT"  # edc was left out by the command
    said = {row["hypothesis"]: row["verdict"] for row in world.summary["verdicts"]}
    assert said == {name: row["verdict"] for name, row in rows.items()}
    served = next(row for row in world.summary["census"]["models"] if row["arm"] == "tiny")
    assert (served["source"], served["tags"]["origin"]) == ("api:tiny", "China")


def test_the_same_command_tries_again_what_failed_and_nothing_else(
    world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = world.server.requests
    shutil.copytree(world.models / "qwen", world.models / "gone")
    shutil.copy(world.models / "llama" / "model.safetensors", world.models / "broken" / "model.safetensors")
    assert world.run(*ALL) == 1  # still no key
    assert world.toys.started == ["broken", "gone"]
    assert world.server.requests == asked
    assert "7 cells, 4 done, 2 to do, 1 without a model" in capsys.readouterr().err
    assert {arm for arm, cell in world.cells.items() if cell.manifest["state"] != "done"} == {"deepseek-chat"}
    assert not list((world.toys.folder / "census" / "cells").glob("gone--*--missing"))


@pytest.mark.slow
def test_again_and_again(world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with (world.models / "broken" / "model.safetensors").open("wb") as file:
        file.write(b"not what it says either")
    shutil.rmtree(world.models / "gone", ignore_errors=True)
    done = {arm for arm, cell in world.cells.items() if cell.manifest["state"] == "done"}
    for _ in range(2):  # what failed by itself is tried again, what was audited stays though its model went
        assert world.run(*ALL) == 1
        assert world.toys.started == ["broken"]
        assert ("gone" in done) == (world.cells["gone"].manifest["state"] == "done")
    capsys.readouterr()
    assert world.run(*ALL[:4]) == 0
    assert world.toys.started == []
    assert "4 cells, 4 done, 0 to do" in capsys.readouterr().err


def test_a_run_says_error_unless_it_is_told_to_keep_rows(
    world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("llama", "nowhere", more=("missing_models=error",)) == 2
    assert "is no folder here" in capsys.readouterr().err
    assert world.run("llama", "nowhere", more=("missing_models=raw",)) == 2
    assert "missing_models must be error or row" in capsys.readouterr().err
    assert world.run("llama", "nowhere", more=("model.dtype=float3",)) == 2  # a wrong knob is no missing model
    assert "model.dtype must be auto or one of" in capsys.readouterr().err


def test_a_dry_run_names_what_is_missing_and_writes_nothing(
    world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    before = sorted((world.toys.folder / "census").rglob("*"))
    assert world.run("llama", "nowhere", more=("--dry-run",)) == 0
    assert "no model: model.source" in capsys.readouterr().out
    assert sorted((world.toys.folder / "census").rglob("*")) == before


def test_a_question_by_a_tag_that_nobody_has_is_refused(
    world: World, first: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "name:a,statement:b,audit:first_token,measure:emd,expect:same,margin:1,by:orign,first:[x],second:[y]"
    wrong = f"questions=[{{{asked}}}]"
    assert world.run("llama", more=(wrong,)) == 2
    assert "questions[0].by names 'orign', a tag that no model has; did you mean 'origin'?" in capsys.readouterr().err
