"""Dilemmas of a user's own; the tables below have the columns of the published files and made-up rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dilemmas import loaders
from data.dilemmas.__main__ import main
from data.dilemmas.corpus import load_dilemmas, sample_balanced
from data.dilemmas.loaders import CHARACTERS, load_corpus

CHOICE = ("scenario_id", "ambiguity", "generation_type", "generation_rule", "context", "action1", "action2", "a1_death")
DAILY = ("idx", "dilemma_idx", "basic_situation", "dilemma_situation", "action_type", "action", "values_aggregated")
MACHINE = ("ResponseID", "Intervention", "PedPed", "Barrier", "CrossingSignal", "Saved", "UserCountry3", *CHARACTERS)


def table(path: Path, columns: Sequence[str], *rows: dict[str, Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def choice(**changes: Any) -> dict[str, Any]:
    return {"scenario_id": "H_1", "context": 'You find a "lost" purse,\nfull.', "action1": "I keep it.",
            "action2": "I return it.", "ambiguity": "high"} | changes  # fmt: skip


def daily(**changes: Any) -> dict[str, Any]:
    row = {"idx": 0, "dilemma_idx": 7, "dilemma_situation": "A friend asks you to lie. What do you do?"}
    return row | {"action_type": "to_do", "action": "Lie for the friend", "values_aggregated": "['loyalty']"} | changes


def outcome(**changes: Any) -> dict[str, Any]:
    people = dict.fromkeys(CHARACTERS, 0)
    return {"ResponseID": "r1", "Intervention": 0, "PedPed": 0, "Barrier": 1, "CrossingSignal": 0, "Saved": 1,
            "UserCountry3": "USA"} | people | {"Stroller": 1, "Cat": 2} | changes  # fmt: skip


def test_moral_choice(tmp_path: Path) -> None:
    corpus = load_corpus(table(tmp_path / "m.csv", CHOICE, choice(), choice(scenario_id="H_2", context="Another.")))
    first, second = corpus.dilemmas
    assert (first.id, first.values, first.context) == ("H_1", ("", ""), "unspecified")
    assert first.wordings["en"].scenarios == ('You find a "lost" purse,\nfull.',)
    assert first.wordings["en"].actions == ("I keep it.", "I return it.")
    assert second.id == "H_2"
    assert corpus.left_out == {}


def test_daily_dilemmas_pair_deed_and_leaving_it(tmp_path: Path) -> None:
    undone = daily(idx=1, action_type="not_to_do", action="Tell the truth")
    alone = daily(idx=2, dilemma_idx=8)
    corpus = load_corpus(table(tmp_path / "d.csv", DAILY, undone, daily(), alone))
    (dilemma,) = corpus.dilemmas
    assert dilemma.id == "daily-7"
    assert dilemma.wordings["en"].actions == ("Lie for the friend", "Tell the truth")
    assert corpus.left_out == {"DailyDilemmas: dilemmas with one action alone": 1}


def test_moral_machine_outcomes_become_a_text(tmp_path: Path) -> None:
    other = outcome(Intervention=1, Barrier=0, CrossingSignal=2, Stroller="0.0", Cat=0, OldMan=2, FemaleDoctor=1)
    same = [row | {"ResponseID": "r2"} for row in (outcome(), other)]
    lone = outcome(ResponseID="r3")
    corpus = load_corpus(table(tmp_path / "m.csv", MACHINE, other, outcome(), *same, lone))
    (dilemma,) = corpus.dilemmas
    assert dilemma.wordings["en"].scenarios == (
        "The brakes of a self-driving car have failed, and you decide what it does. If it stays on course, 1 baby in a "
        "stroller and 2 cats in the car will die. If it swerves, 2 elderly men and 1 female doctor on the road "
        "crossing on a red light will die.",
    )
    assert dilemma.wordings["en"].actions == ("Stay on course", "Swerve")
    assert corpus.left_out == {
        "Moral Machine: dilemmas with the same text as an earlier one": 1,
        "Moral Machine: responses with one outcome alone": 1,
    }


def test_the_projects_own_form_is_read_and_unknown_values_can_be_sampled(tmp_path: Path) -> None:
    lines = [json.dumps({"id": d.id, "values": d.values, "context": d.context, "wordings": {
        language: {"scenarios": w.scenarios, "actions": w.actions} for language, w in d.wordings.items()}})
        for d in load_dilemmas()[:2]]  # fmt: skip
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert load_corpus(path).dilemmas == load_dilemmas()[:2]
    rows = [choice(scenario_id=f"H_{n}", context=f"Story {n}.") for n in range(4)]
    unknown = load_corpus(table(tmp_path / "m.csv", CHOICE, *rows)).dilemmas
    assert len(sample_balanced(unknown, 2, np.random.default_rng(0))) == 2


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (
            ("id", "text"),
            [{"id": 1, "text": "x"}],
            r"columns \['id', 'text'\]; expected those of MoralChoice: scenario_id",
        ),
        (CHOICE, [], "holds no dilemma"),
        (CHOICE, [choice(), choice(scenario_id="H_2", action2=" ")], r"line 5, column 'action2': expected a text"),
        (CHOICE, [choice(action2="I keep it.")], "expected two different actions, found 'I keep it.' twice"),
        (CHOICE, [choice(), choice(context="Other.")], "the id 'H_1' stands for two different dilemmas"),
        (
            DAILY,
            [daily(), daily(action_type="maybe")],
            r"line 3, column 'action_type': expected one of .* found 'maybe'",
        ),
        (DAILY, [daily(), daily(idx=1)], "both actions are 'to_do'"),
        (DAILY, [daily(), daily(action_type="not_to_do", action="x"), daily()], "'7' stands in more than two rows"),
        (MACHINE, [outcome(), outcome()], "both outcomes of a response have the same course"),
        (MACHINE, [outcome(), outcome(Intervention=1, Cat="many")], r"line 3, column 'Cat': .* found 'many'"),
        (MACHINE, [outcome(), outcome(Intervention=1, Cat=0, Stroller=0)], "line 3: expected a number over 0"),
        (MACHINE, [outcome(), outcome(Intervention=1, Barrier=0, CrossingSignal=3)], "column 'CrossingSignal': .*'3'"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, columns: Sequence[str], rows: list[dict[str, Any]], message: str
) -> None:
    path = table(tmp_path / "own.csv", columns, *rows)
    with pytest.raises(ValueError, match=rf"(?s){re.escape(str(path))}.*{message}"):
        load_corpus(path)


def test_files_of_another_kind_and_size_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="no such dilemma corpus"):
        load_corpus(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected a file ending in .jsonl or .csv, found '.xlsx'"):
        load_corpus(tmp_path / "a.xlsx")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="expected UTF-8 text"):
        load_corpus(tmp_path / "b.csv")
    monkeypatch.setattr(loaders, "MOST", 1)
    rows = [choice(scenario_id=f"H_{n}", context=f"Story {n}.") for n in range(2)]
    with pytest.raises(ValueError, match="more than 1 dilemmas; make a file"):
        load_corpus(table(tmp_path / "c.csv", CHOICE, *rows))


def test_the_balance_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(table(tmp_path / "m.csv", CHOICE, choice(), choice(scenario_id="H_2", action1="I keep the purse.")))])
    printed = capsys.readouterr().out
    assert "2 dilemmas in en" in printed
    assert "which values collide is not known" in printed
    assert "near duplicates: H_1 and H_2 (1.00)" in printed
