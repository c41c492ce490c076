"""`polyphony bench train`: all ways train on the same, its batches share as asked, its numbers hang together."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from data.packed_attention import why_not_packed
from launch.bench.batches import training_batches
from launch.bench.training import bench_config, renderer_of
from launch.bench.training_ways import OURS, PADDED, PLAIN, TRL, padded
from launch.cli import main


@pytest.fixture(scope="module")
def config(tiny_model: Path) -> dict[str, Any]:
    return bench_config([], str(tiny_model))


def test_all_ways_begin_at_the_same_loss_and_the_numbers_hang_together(
    tiny_model: Path, in_process: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.json"
    options = ["--batch", "4", "--steps", "1", "--repeats", "2", "--threads", "1", "--json", str(out)]
    assert main(["bench", "train", "--model", str(tiny_model), *options]) == 0
    numbers = json.loads(out.read_text())
    rows = {(row["recipe"], row["way"]): row for row in numbers["rows"]}
    assert list(rows) == [
        *(("match", way) for way in (OURS, PADDED, PLAIN)),
        *(("sft", way) for way in (OURS, TRL)),
        *(("dpo", way) for way in (OURS, TRL)),
    ]
    (loss,) = rows["match", OURS]["losses"]
    assert rows["match", PADDED]["losses"] == pytest.approx([loss], abs=1e-4)
    assert rows["match", PLAIN]["losses"] == pytest.approx([loss], abs=1e-4)
    for way in (OURS, TRL):
        assert rows["dpo", way]["losses"] == pytest.approx([math.log(2)], abs=1e-3)
    for row in rows.values():
        assert len(row["seconds"]) == len(row["ratios"]) == 2
        assert row["peak_gib"] > 0
        ours = rows[row["recipe"], OURS]["seconds"]
        assert row["ratios"] == pytest.approx([one / mine for one, mine in zip(row["seconds"], ours, strict=True)])
    assert [claim["met"] in (True, False) for claim in numbers["claims"]] == [True] * 4
    assert len(numbers["overhead"]) == 3 * 2
    assert len(in_process.opened) == 2 * len(rows) + 2 * len(numbers["overhead"])
    whole = sorted(rows["match", PLAIN]["seconds"])
    expected = statistics.median(numbers["overhead"]) / statistics.mean(whole)
    assert numbers["claims"][-1]["measured"] == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert all(claim["claim"] in printed for claim in numbers["claims"])
    assert f"{numbers['facts']['mixture']['sharing']:.2f}" in printed


@pytest.mark.parametrize("asked", [1.8, 2.5, 4.0])
def test_batches_share_about_as_much_as_asked(config: dict[str, Any], asked: float) -> None:
    found = training_batches(config, renderer_of(config), asked, 16, 2)
    assert len(found.examples) == 32
    assert found.sharing == pytest.approx(found.tokens / found.unique)
    assert 0.7 < found.sharing / asked < 1.5
    for start in (0, 16):
        batch = found.examples[start : start + 16]
        assert len({(e.item.id, e.order, e.group, e.condition) for e in batch}) == 16


def test_more_sharing_asked_for_is_more_sharing(config: dict[str, Any]) -> None:
    renderer = renderer_of(config)
    little, much = (training_batches(config, renderer, asked, 16, 1) for asked in (1.0, 99.0))
    assert little.cluster == 1
    assert much.cluster == 16
    assert little.sharing < much.sharing


def test_the_padded_way_is_padded(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    class Run:
        model = AutoModelForCausalLM.from_pretrained(tiny_model)

    assert why_not_packed(Run.model, 10) == ""
    padded(Run(), lambda run: None)  # type: ignore[arg-type]
    assert "does not use the attention interface" in why_not_packed(Run.model, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipes", "sft,kto"], "--recipes knows match, sft, dpo, got 'kto'"),
        (["--sharing", "0.5"], "--sharing must be mixture or a number of at least 1, got '0.5'"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train", *options]) == 2
    assert message in capsys.readouterr().err
