"""The labelled replies: what is shipped, and what a file that breaks the schema is told."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from data.labelled import AXES, load_labelled
from eval.diversity_enhanced.replies import UNPARSED, read_reply


def test_the_shipped_sample_has_both_labels_on_every_axis() -> None:
    sample = load_labelled()
    assert len(sample) >= 120
    for axis in AXES:
        labels = Counter(one.labels[axis] for one in sample)
        assert min(labels[0], labels[1]) >= 15, (axis, labels)
    origins = Counter(one.origin for one in sample)
    assert origins["written"] < origins["generated"]
    assert sum(one.second is not None for one in sample) >= 40
    assert Counter(one.part for one in sample)["held_out"] >= 40


def test_answers_are_read_off_as_the_audit_does() -> None:
    for one in load_labelled():
        read = read_reply(one.row["reply"], one.row["options"])
        expected = UNPARSED if read.answer == UNPARSED else one.row["order"][read.answer]
        assert (one.row["answer"], one.row["letter"], one.row["explanation"]) == (
            expected,
            read.letter,
            read.explanation,
        )


def lines() -> list[dict[str, Any]]:
    text = (resources.files("data.labelled") / "answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": "invented"}, r"line 1: origin: expected one of \['generated', 'written'\], found 'invented'"),
        ({"part": "test"}, "line 1: part: expected one of"),
        ({"options": ["one"]}, "line 1: options: expected a list of two or more texts"),
        ({"order": [0, 0]}, "line 1: order: expected the numbers 0 to"),
        ({"answer": 99}, "line 1: answer: expected -1 or an option's index"),
        ({"memory": ["B."]}, "line 1: memory: expected a list of objects"),
        ({"reply": None}, "line 1: reply: expected text, found None"),
        ({"labels": {"irrelevance": 1}}, "line 1: labels: expected an object with the axes"),
        ({"labels": dict.fromkeys(AXES, True)}, "line 1: labels.instruction: expected 0, 1 or null, found True"),
        ({"more": 1}, "line 1: expected an object with the fields"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(lines()[0] | change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_labelled(path)


def test_files_that_hold_nothing_usable_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    with pytest.raises(FileNotFoundError, match=r"mine\.jsonl: no such file"):
        load_labelled(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no answer"):
        load_labelled(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: not valid JSON at column"):
        load_labelled(path)
    line = json.dumps(lines()[0])
    path.write_text(f"{line}\n{line}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 2: id: .* is taken"):
        load_labelled(path)
