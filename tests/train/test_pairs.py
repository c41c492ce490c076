"""Open-ended preference pairs: TRL trains on them inside our loop, and the rater's country is told or not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking, Renderer
from data.records import PreferencePair, Split, Survey, Turn
from data.variant import load_variant, read_manifest
from train.adapters import Adapter, Full, Lora
from train.loop import read_metrics
from train.pairs import told_to
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


@pytest.mark.parametrize("layout", ["item_first", "persona_first"])
def test_the_raters_country_is_told_where_known(layout: str) -> None:
    renderer = Renderer(Asking(style="completion", layout=layout))
    pair = PreferencePair("May I?", "Yes.", "No.", "NOR", (Turn("user", "Hi"), Turn("assistant", "Hello")))
    told = told_to(pair, renderer, "country")
    assert [turn.text for turn in told if "Norway" in turn.text] == [told[-1 if layout == "item_first" else 0].text]
    assert [turn.role for turn in told][-3:] == ["user", "assistant", "user"]
    assert told_to(pair, renderer, "population") == pair.turns
    assert told_to(replace(pair, country=""), renderer, "country") == pair.turns
    with pytest.raises(ValueError, match="pooling must be one of"):
        told_to(pair, renderer, "people")


def test_a_system_turn_of_the_set_stays_the_only_one() -> None:
    renderer = Renderer(Asking(style="completion", layout="persona_first"))
    pair = PreferencePair("May I?", "Yes.", "No.", "NOR", (Turn("system", "Be kind."),))
    first, last = told_to(pair, renderer, "country")
    assert (first.role, last) == ("system", Turn("user", "May I?"))
    assert first.text.startswith("Be kind.\n\n")


def test_pooling_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"set mixture\.pooling"):
        Dpo(pooling="population")


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
    spent = read_manifest(cell)["budget"]
    assert spent["tokens"] == sum(record["tokens"] for record in metrics) > 0
    assert all(record["reference_tokens"] == record["computed_tokens"] > record["tokens"] for record in metrics)
    if adapter.trains_base:  # 6 N a token, padding included, and 2 N of the reference's pass
        ends = ("embed_tokens", "lm_head")
        weights = load_file(tiny_model / "model.safetensors").items()
        layers = sum(weight.numel() for name, weight in weights if not any(end in name for end in ends))
        assert spent["flops"] == pytest.approx(8 * layers * spent["computed_tokens"])
    assert read_manifest(cell)["preferences"]["pairs"] == 6
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
