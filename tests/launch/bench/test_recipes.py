"""`polyphony bench recipes`: a row a pair, right where the right value is known, and nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launch.bench.recipes import _pairs
from launch.cli import main
from launch.compose import Composer


def run(tiny_model: Path, out: Path, *options: str) -> dict[tuple[str, str], dict[str, Any]]:
    few = ["--examples", "32", "--prompts", "12", "--out", str(out)]
    assert main(["bench", "recipes", "--model", str(tiny_model), *few, *options]) == 0
    rows = json.loads((out / "recipes.json").read_text())["rows"]
    return {(row["recipe"], row["adapter"]): row for row in rows}


def test_the_table_and_its_resume(
    tiny_model: Path, in_process: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ["--recipes", "none,match,reward", "--adapters", "full,lora"]
    rows = run(tiny_model, tmp_path, *pairs)
    assert list(rows) == [(recipe, adapter) for recipe in ("none", "match", "reward") for adapter in ("full", "lora")]
    untouched = rows["none", "full"]
    assert untouched["kl"] == untouched["change"] == untouched["moved"] == untouched["tensors"] == 0
    assert untouched["distances"] == untouched["base"]
    assert "trains nothing" in rows["none", "lora"]["refused"]
    full, lora = rows["match", "full"], rows["match", "lora"]
    assert full["moved"] == 1
    assert lora["moved"] == 0.5  # two steps, of which the first has no learning rate: B moves, A has no gradient yet
    assert min(full["kl"], lora["kl"], full["change"], lora["change"]) > 0
    assert full["base"] == lora["base"] == untouched["distances"]
    assert 0 <= rows["reward", "full"]["pair_accuracy"] <= 1
    assert "distances" not in rows["reward", "full"]
    printed, page = capsys.readouterr().out, (tmp_path / "recipes.md").read_text()
    for text in (printed, page):
        assert "none × lora: trains nothing" in text or "| none" in text
        assert "pairs right" in text

    trained = list(in_process.opened)
    assert len(trained) == 1 + 5  # the base, and every pair that is not refused
    stored = tmp_path / "rows.jsonl"
    lines = stored.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    stored.write_text("".join(lines[:-1]) + lines[-1][:40])  # a kill tore the last line
    assert run(tiny_model, tmp_path, *pairs).keys() == rows.keys()
    again = in_process.opened[len(trained) :]
    assert again == ["the base model", "reward × lora"]
    before = len(in_process.opened)
    assert run(tiny_model, tmp_path, *pairs)["match", "full"] == full
    assert len(in_process.opened) == before
    run(tiny_model, tmp_path, "--recipes", "match", "--adapters", "full", "recipe.learning_rate=0.1")
    assert in_process.opened[before:] == ["the base model", "match × full"]


def test_all_recipes_and_adapters_of_the_configuration_are_rows() -> None:
    with Composer() as composer:
        groups = composer.groups()
    pairs = _pairs([], [], ["strong=recipe=dpo recipe.beta=1"])
    assert len(pairs) == len({(recipe, adapter) for recipe, adapter, _ in pairs})
    recipes = {recipe for recipe, _, _ in pairs}
    assert recipes == {*groups["recipe"], "rloo", "grpo", "strong"}
    assert {adapter for _, adapter, _ in pairs} == set(groups["adapter"])
    assert ("strong", "lora", ["recipe=dpo", "recipe.beta=1"]) in pairs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipes", "mach"], "--recipes has no 'mach'; did you mean 'match'?"),
        (["--adapters", "lorra"], "--adapters has no 'lorra'; did you mean 'lora'?"),
        (["--variant", "mine"], "--variant must be 'NAME=recipe=MEMBER recipe.KNOB=VALUE …', got 'mine'"),
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "recipes", "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
