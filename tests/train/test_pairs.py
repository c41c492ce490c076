"""Open-ended preference pairs: the file is checked line by line, and TRL trains on it inside our loop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import PreferencePair, Split, Survey
from data.variant import load_variant, read_manifest
from train.adapters import Adapter, Full, Lora
from train.loop import read_metrics
from train.pairs import read_pairs
from train.recipes.dpo import Dpo
from train.run import Budget
from train.variant import train_variant

ROWS = [
    {"prompt": f"Should people work on day {day}?", "chosen": "Yes, often.", "rejected": "Never.", "country": "NOR"}
    for day in range(6)
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    return path


def test_pairs_are_read(pairs: Path) -> None:
    read = read_pairs(pairs)
    assert len(read) == 6
    assert read[2] == PreferencePair("Should people work on day 2?", "Yes, often.", "Never.", "NOR")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 must hold prompt, chosen, rejected"),
        ('{"prompt": "a", "chosen": "b"}', "line 2 must hold"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c", "score": 1}', "line 2 must hold"),
        ('{"prompt": "a", "chosen": "b", "rejected": 3}', "line 2: rejected must be text, got 3"),
        ('{"prompt": "a", "chosen": "b", "rejected": "b"}', "line 2: chosen and rejected are the same"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=words):
        read_pairs(path)


def test_missing_empty_or_undecodable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no file"):
        read_pairs(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match="holds no preference pair"):
        read_pairs(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_pairs(tmp_path / "latin.jsonl")


@pytest.mark.parametrize(
    ("adapter", "style", "loss_type", "at_start"),
    [
        (Full(), "chat", "sigmoid", 0.6931),
        (Full(), "completion", "sigmoid", 0.6931),
        (Lora(rank=4), "chat", "sigmoid", 0.6931),
        (Full(), "chat", "ipo", 25.0),  # the square of a margin that is 1 / (2 beta) = 5 short
    ],
)
def test_dpo_learns_from_pairs(
    tiny_model: Path,
    tiny_survey: Survey,
    tiny_split: Split,
    tmp_path: Path,
    pairs: Path,
    adapter: Adapter,
    style: str,
    loss_type: str,
    at_start: float,
) -> None:
    cell = tmp_path / "cell"
    train_variant(
        cell=cell,
        spec=ModelSpec(str(tiny_model)),
        recipe=Dpo(learning_rate=1e-3, loss_type=loss_type, pairs=str(pairs)),
        adapter=adapter,
        mixture=Mixture(),
        asking=Asking(style=style),
        survey=tiny_survey,
        split=tiny_split,
        seed=0,
        draw=0,
        budget=Budget(examples=16, batch_size=4, checkpoint_every=2, max_length=128),
        on_log=lambda step, record: None,
    )
    metrics = read_metrics(cell / "metrics.jsonl")
    assert [record["step"] for record in metrics] == [1, 2, 3, 4]
    assert metrics[0]["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert metrics[0]["loss"] == pytest.approx(at_start, abs=1e-3)
    assert metrics[-1]["reward_margin"] > 0
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert read_manifest(cell)["budget"]["tokens"] == sum(record["tokens"] for record in metrics) > 0
    assert not list(cell.rglob("*.bin"))
    assert not list(cell.rglob("README.md"))
    assert {path.name for path in cell.iterdir()} == {"manifest.json", "metrics.jsonl", adapter.folder}
    load_variant(cell, ModelSpec(str(tiny_model)), torch.device("cpu"))
    if adapter.trains_base:
        before, after = load_file(tiny_model / "model.safetensors"), load_file(cell / "model" / "model.safetensors")
        assert [name for name in before if torch.equal(before[name], after[name])] == []
    else:
        assert {path.name for path in (cell / "adapter").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }


def test_pairs_that_give_away_a_held_out_question_are_refused(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    """`toy/bribe` is held out: "Is it justified to accept a bribe?"; nothing is trained and nothing is left behind."""
    path = tmp_path / "pairs.jsonl"
    leaky = {"prompt": "Tell me: is it justified to accept a bribe?", "chosen": "No.", "rejected": "Yes."}
    path.write_text("\n".join(map(json.dumps, [*ROWS, leaky])) + "\n")
    with pytest.raises(ValueError, match=r"pairs\.jsonl: pair 7 shares 'is it justified to accept a bribe'.*toy/bribe"):
        train_variant(
            cell=tmp_path / "cell",
            spec=ModelSpec(str(tiny_model)),
            recipe=Dpo(learning_rate=1e-3, pairs=str(path)),
            adapter=Full(),
            mixture=Mixture(),
            asking=Asking(),
            survey=tiny_survey,
            split=tiny_split,
            seed=0,
            draw=0,
            budget=Budget(examples=8, batch_size=4),
            on_log=lambda step, record: None,
        )
    assert not (tmp_path / "cell" / "model").exists()
