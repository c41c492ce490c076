"""MARK's blocks of the report and its traces: what stands in them is what the evidence says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.files import write_json
from eval.report.evidence import Cell, traces
from eval.report.mark_report import blocks
from eval.report.summary import Summary


def estimate(arm: str, name: str, condition: str, value: float, group: str = "all") -> dict[str, Any]:
    row = {"arm": arm, "audit": "mark", "name": name, "group": group, "condition": condition, "value": value}
    return row | {"low": value - 0.1, "high": value + 0.1, "n": 40, "method": "bootstrap over 40 respondents"}


def summary_of(folder: Path, estimates: list[dict[str, Any]]) -> Summary:
    arms = [{"name": name, "recipe": "none", "cells": []} for name in ("base", "dpo")]
    content = {"schema": 2, "experiment": "x", "arms": arms, "estimates": estimates}
    write_json(folder / "summary.json", content)
    return Summary.read(folder / "summary.json")


def test_blocks_show_the_checks_that_were_made_and_no_others(tmp_path: Path) -> None:
    found = [
        estimate("base", "stage_validity", "S1 stress", 0.25),
        estimate("dpo", "stage_validity", "S1 stress", 0.75),
        estimate("base", "faithfulness", "feature: difference", 0.055),
        estimate("base", "accuracy", "mark", 0.4),
        estimate("base", "accuracy_weighted", "mark", 0.3),
        estimate("base", "stage_failed", "S2 type", 0.125),
        estimate("base", "type_share", "S2 type", 0.5, "type=INTJ"),
    ]
    made = {block.heading: block for block in blocks(summary_of(tmp_path, found), [], {})}
    stages = made["Do the stages decide anything?"].tables[0]
    assert [column.title for column in stages.columns] == ["Stage", "base", "dpo"]
    assert [[cell.text for cell in row.cells] for row in stages.rows] == [
        ["Stress: some fact stands out", "25.0%", "75.0%"]
    ]
    assert made["Are the reasons the ones that count?"].tables[0].rows[0].cells[1].text == "0.055"
    plain, weighted = made["For the sample and for the people"].tables
    assert (plain.rows[0].cells[1].text, weighted.rows[0].cells[1].text) == ("40.0%", "30.0%")
    assert made["Texts that did not fulfil their form"].tables[0].rows[0].cells[0].text == "S2 type"
    assert made["Types given"].tables[0].rows[0].cells[0].text == "INTJ"
    assert blocks(summary_of(tmp_path, []), [], {}) == []


def evidence(folder: Path, arm: str, people: int, **more: Any) -> Cell:
    voice = {"function": "Ni", "name": "Ni", "rank": "dominant", "under_stress": False, "revised": True}
    voice |= {"weight": 0.4, "first_answer": "No", "answer": "Yes", "reason": "R", "check_reason": "C"}
    feature = {"name": "age", "value": "34", "stress": 61.2, "kept": True, "reason": "F"}
    rows = [
        {
            "respondent": f"p{number}",
            "item": "toy/held",
            "country": "NOR",
            "age": "30-49",
            "sex": "female",
            "education": "",
            "question": "Is it right?",
            "options": ["Yes", "No"],
            "human": 0,
            "answer": 0,
            "p": np.array([0.9, 0.1]),
            "features": json.dumps([feature]),
            "type": "INTJ",
            "functions": json.dumps([voice]),
        }
        | more
        for number in range(people)
    ]
    path = folder / arm / "audits" / "mark" / "items.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(path)
    return Cell(arm, folder / arm)


def test_a_trace_holds_the_steps_of_every_arm(tmp_path: Path) -> None:
    full = {"condition": "mark", "type_reason": "T", "explanation": "E", "concluded": "No"}
    full |= {"cited_function": "Ni", "cited_feature": "age", "p_demographics_only": np.array([0.2, 0.8])}
    cells = [evidence(tmp_path, "base", 1, **full), evidence(tmp_path, "dpo", 1)]
    (trace,), count = traces(cells)
    assert count == 1
    assert (trace["person"], trace["country"], trace["facts"]) == ("p0", "Norway", ["30-49", "female"])
    assert trace["minds"]["base"] == {"type": "INTJ", "why": "T", "stress": [["age: 34", 61, 1, "F"]]}
    question = trace["questions"][0]
    assert (question["own"], question["options"]) == (0, ["Yes", "No"])
    base, dpo = question["decisions"]
    assert base["voices"] == [["Ni", "dominant", 0.4, 0, 1, 1, 0, "R", "C", ""]]
    assert (base["arm"], base["answer"], base["share"], base["plain"]) == ("base", 0, 0.9, 1)
    assert (base["explanation"], base["concluded"], base["cited"]) == ("E", "No", ["Ni", "age"])
    assert (dpo["plain"], dpo["explanation"], dpo["cited"]) == (None, "", [])
    json.dumps(trace, allow_nan=False)


def test_controls_are_no_traces(tmp_path: Path) -> None:
    assert traces([evidence(tmp_path, "base", 3, condition="control:answer stated")]) == ([], 0)


@pytest.mark.parametrize(("most", "room", "shown"), [(7, 10**6, 7), (500, 3000, 7), (500, 10**6, 20)])
def test_people_are_taken_evenly_within_a_number_and_a_size(tmp_path: Path, most: int, room: int, shown: int) -> None:
    found, count = traces([evidence(tmp_path, "base", 20)], most, room)
    assert count == 20
    assert abs(len(found) - shown) <= 1
    places = [int(trace["person"][1:]) for trace in found]
    assert places[0] == 0
    assert len(json.dumps(found)) <= room + 100
    steps = np.diff(places)
    assert steps.max() - steps.min() <= 1
