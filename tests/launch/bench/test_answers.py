"""`polyphony bench answers`: its numbers hang together, its prompts are what it says, mistakes are named."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from data.models import load_tokenizer
from data.packing import pack
from data.prompts import Asking, Renderer
from launch.bench.machine import matmul_rate, parameters
from launch.bench.process import Child
from launch.bench.prompts import bench_prompts, from_file, shared
from launch.cli import main
from launch.compose import Composer
from launch.people import people

HARNESS = importlib.util.find_spec("lm_eval") is not None


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    with Composer() as composer:
        return composer([])


@pytest.fixture
def few(tmp_path: Path, tiny_model: Path, config: dict[str, Any]) -> Path:
    """A file of eight prompts."""
    prompts = bench_prompts("shared", config, load_tokenizer(tiny_model), None)[::10]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"text": p.text, "labels": p.labels}) + "\n" for p in prompts))
    return path


def run(tiny_model: Path, *options: str) -> int:
    return main(["bench", "answers", "--model", str(tiny_model), "--threads", "1", *options])


def check(numbers: dict[str, Any], repeats: int, printed: str) -> None:
    facts = numbers["facts"]
    assert facts["prompts"] == 8
    assert facts["threads"] == 1
    assert facts["unique"] <= facts["computed"] <= facts["tokens"]
    assert facts["asked_as"] == {"packed trees": ""}
    assert facts["floor"] == pytest.approx(2 * facts["parameters"] * facts["unique"] / facts["rate"])
    for row in numbers["rows"]:
        assert row["way"] in printed
        if not row["missing"]:
            assert len(row["seconds"]) == repeats
            assert 0 < min(row["seconds"]) <= row["median"] <= max(row["seconds"])
            assert row["x_floor"] > 0
            assert row["prompts_per_second"] == pytest.approx(8 / row["median"])
            assert 0 <= row["difference"] < 1e-5


def test_its_numbers_hang_together_and_what_is_not_installed_is_said(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("launch.bench.ways.lm_eval_missing", lambda: "not installed: pip install lm_eval==0.4.13")
    monkeypatch.setattr("launch.bench.ways.vllm_missing", lambda _: "needs a GPU")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "123456789")
    out = tmp_path / "out.json"
    against = "lm-eval,one-by-one,vllm"
    assert run(tiny_model, "--prompts", str(few), "--repeats", "2", "--against", against, "--json", str(out)) == 0
    printed = capsys.readouterr().out
    numbers = json.loads(out.read_text())
    assert [row["way"] for row in numbers["rows"]] == ["polyphony", "lm-eval", "one by one", "vllm"]
    check(numbers, 2, printed)
    assert all(row["x_lm_eval"] is None for row in numbers["rows"])
    assert "lm-eval: not installed: pip install lm_eval==0.4.13" in printed
    assert "vllm: needs a GPU" in printed
    assert "MALLOC_TRIM_THRESHOLD_=123456789" in printed


@pytest.mark.slow
@pytest.mark.skipif(not HARNESS, reason="lm-evaluation-harness is not installed")
def test_lm_evaluation_harness_and_padded_batches_say_the_same(
    tiny_model: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    against = "lm-eval,loop,one-by-one"
    assert run(tiny_model, "--prompts", str(few), "--repeats", "1", "--against", against, "--json", str(out)) == 0
    numbers = json.loads(out.read_text())
    check(numbers, 1, capsys.readouterr().out)
    rows = {row["way"]: row for row in numbers["rows"]}
    assert set(rows) >= {"polyphony", "lm-eval, batch 16", "left-padded batches of 16", "one by one"}
    assert rows["lm-eval, batch 16"]["x_lm_eval"] == 1
    assert all(row["x_lm_eval"] > 0 for row in rows.values())


def test_a_process_that_dies_is_named_with_its_last_lines(tmp_path: Path) -> None:
    order = {"spec": {"source": str(tmp_path / "nowhere")}, "style": "chat", "prompts": [], "threads": 1}
    with (
        pytest.raises(ChildProcessError, match=r"the process of loop ended with exit code 1(.|\n)*nowhere"),
        Child("launch.bench.answers_child", "loop", os.environ, order) as child,
    ):
        child.call("ready")


def test_the_shared_prompts_are_as_documented(tiny_model: Path, config: dict[str, Any]) -> None:
    renderer = Renderer(Asking("chat", layout="persona_first"), load_tokenizer(tiny_model))
    survey, _ = people(config["survey"])
    prompts = shared(survey, renderer)
    assert len({prompt.text for prompt in prompts}) == 80
    assert {len(prompt.labels) for prompt in prompts} <= set(range(3, 11))
    assert sum("I live in Norway." in prompt.text for prompt in prompts) == 40
    words: dict[str, int] = {}
    sequences = [
        [words.setdefault(word, len(words)) for word in re.findall(r" ?\w+| ?[^\w\s]+|\n", prompt.text)]
        for prompt in prompts
    ]
    (tree,) = pack(sequences, 10**9)
    assert 2.3 < sum(map(len, sequences)) / len(tree.tokens) < 2.7


def test_the_audits_prompts_are_those_of_the_audit(tiny_model: Path, config: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(tiny_model)
    prompts = bench_prompts("audit", config, tokenizer, 2)
    survey, split = people(config["survey"])
    questions = [survey.by_id[name].question for name in split.held_out_items]
    assert prompts
    assert all(any(question in prompt.text for question in questions) for prompt in prompts)


def test_only_weight_matrices_beside_the_embeddings_are_counted(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert parameters(model) == 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert matmul_rate(model, 8) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no prompts"),
        ('{"text": "a"}\n{"text": ', "line 2 is not JSON"),
        ('{"text": "a", "labels": ["A"]}', "line 1: expected"),
        ('["a"]', "line 1: expected"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        from_file(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "lm_eval"], "--against knows lm-eval, loop, one-by-one, vllm, got 'lm_eval'"),
        (["--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--prompts", "nowhere.jsonl"], "nowhere.jsonl is no file"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], message: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_model, *options) == 2
    assert message in capsys.readouterr().err
