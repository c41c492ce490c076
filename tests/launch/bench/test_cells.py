"""What `polyphony bench curve` and `bench recipes` see of a trained cell, and how a curve is read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.records import Split, Survey
from launch.bench.curve import tokens_until
from launch.bench.heldout import NEW, TRAINED, HeldOut, held_out_prompts
from launch.bench.training import renderer_of
from launch.cli import main


@pytest.fixture(scope="module")
def look(tiny_model: Path, tiny_survey: Survey, tiny_split: Split) -> HeldOut:
    renderer = renderer_of({"model": {"source": str(tiny_model)}, "prompt": {"style": "chat"}})
    return held_out_prompts(tiny_survey, tiny_split, renderer, 16, np.random.default_rng(0))


def test_only_held_out_countries_are_asked_both_kinds_of_questions(look: HeldOut, tiny_split: Split) -> None:
    assert {example.group.country for example in look.examples} <= set(tiny_split.held_out_countries)
    assert look.stratum == (TRAINED,) * 4 + (NEW,) * 4
    for example, number in zip(look.examples, look.question, strict=True):
        assert (example.item.id in tiny_split.train_items) == (look.stratum[number] == TRAINED)
    assert {example.item.id for example in look.examples} == {*tiny_split.train_items, *tiny_split.held_out_items}


def test_one_who_answers_as_people_is_at_distance_0(look: HeldOut) -> None:
    people = look.inputs["people"].log()
    assert look.distances(people) == pytest.approx({TRAINED: 0, NEW: 0, "mass": 1}, abs=1e-3)
    assert look.divergence(people, people) == 0
    halved = look.distances(people - math.log(2))
    assert halved == pytest.approx({TRAINED: 0, NEW: 0, "mass": 0.5}, abs=1e-3)


def test_orders_of_a_question_are_averaged_before_the_distance(look: HeldOut) -> None:
    """First all on one option, then all on another: the average is even, and its distance that of an even answer."""
    answers = torch.full(look.inputs["people"].shape, -torch.inf)
    seen: set[int] = set()
    for row, number in enumerate(look.question.tolist()):
        answers[row, 1 if number in seen else 0] = 0.0
        seen.add(number)
    even = torch.full_like(answers, -torch.inf)
    even[:, :2] = math.log(0.5)
    assert look.distances(answers)[TRAINED] == pytest.approx(look.distances(even)[TRAINED])


@pytest.mark.parametrize(("sign", "right"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_pairs_are_right_where_rewards_order_as_people_do(
    look: HeldOut, monkeypatch: pytest.MonkeyPatch, sign: float, right: float
) -> None:
    monkeypatch.setattr("launch.bench.heldout.option_rewards", lambda *_: (sign * look.inputs["people"], 0))
    assert look.pair_accuracy(torch.nn.Linear(1, 1)) == right


@pytest.mark.parametrize(
    ("target", "tokens"), [(0.5, 0), (0.35, 50), (0.3, 100), (0.2, 150), (0.1, 200), (0.05, math.nan)]
)
def test_tokens_until_a_distance(target: float, tokens: float) -> None:
    assert tokens_until([0, 100, 200], [0.4, 0.3, 0.1], target) == pytest.approx(tokens, nan_ok=True)


def test_the_first_fall_counts_not_a_later_one() -> None:
    assert tokens_until([0, 1, 2, 3], [0.4, 0.2, 0.4, 0.1], 0.2) == 1


def test_curves_begin_at_the_base_and_follow_the_training(
    tiny_model: Path, in_process: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--examples", "32", "--every", "1", "--prompts", "16", "--draws", "1", "--threads", "1"]
    knobs = ["recipe.learning_rate=0.003"]
    assert main(["bench", "curve", "--model", str(tiny_model), *options, "--out", str(tmp_path), *knobs]) == 0
    numbers = json.loads((tmp_path / "curve.json").read_text())
    match, sft = (curve["points"] for curve in numbers["curves"])
    assert [point["step"] for point in match] == [0, 1, 2]
    assert match[0] == sft[0]
    assert match[0]["tokens"] == 0
    assert [point["tokens"] for point in match] == [point["tokens"] for point in sft]
    assert 0 < match[1]["tokens"] < match[2]["tokens"]
    assert match[2]["computed_tokens"] < match[2]["tokens"]
    assert match[0][TRAINED] == match[1][TRAINED]  # the learning rate begins at 0
    assert match[2][TRAINED] != match[1][TRAINED]
    assert match[2][TRAINED] != sft[2][TRAINED]
    assert (tmp_path / "curve.png").stat().st_size > 5000
    assert "</svg>" in (tmp_path / "curve.svg").read_text()
    assert "NOT A RESULT" in capsys.readouterr().out
