"""The report's census: every model stands there, missing ones with their reason, and numbers are the summary's."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from census_models import census, model

from data.files import write_json
from eval.census_questions import Question
from eval.compare import compare
from eval.report import write_report
from eval.report.census import blocks
from eval.report.ladders import Rung, ladders
from eval.report.summary import Summary

QUESTIONS = (
    Question("origin", "Both are as near.", "first_token", "js_distance", "same", 0.02, by="origin",
             first=("China",), second=("USA",)),
    Question("size", "It turns.", "first_token", "js_distance", "turn", 0.01, by="parameters"),
    Question("all", "Above 0.", "first_token", "js_distance", "higher", 0.01),
)  # fmt: skip


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    sizes, levels = (0.5, 1.5, 3, 7, 14), (0.50, 0.43, 0.40, 0.44, 0.50)
    cells = [
        model(root, f"qwen-{size}", level, {"origin": "China", "family": "Qwen", "parameters": size})
        for size, level in zip(sizes, levels, strict=True)
    ]
    cells += [model(root, "llama", 0.45, {"origin": "USA", "family": "LLaMA-3", "parameters": 8})]
    cells += [model(root, "plain", 0.41, {})]
    gone = {"state": "failed", "error": {"stage": "model", "type": "Missing", "message": "no such <folder>"}}
    cells += [model(root, "away", 0.41, {"origin": "China", "parameters": None}, manifest=gone)]
    summary: dict[str, Any] = compare(cells, experiment="census", draws=200, gate_audit="another")[0]
    found = census(cells).summary(QUESTIONS)
    write_json(root / "comparison" / "summary.json", summary | {"census": found})
    return root / "comparison"


def test_nothing_is_shown_where_no_census_was(comparison: Path) -> None:
    raw = Summary.read(comparison / "summary.json").raw
    assert blocks(Summary({**raw, "census": {}}), (), {}) == []


def test_every_model_stands_there_with_tags_and_numbers(comparison: Path) -> None:
    summary, svgs = Summary.read(comparison / "summary.json"), dict[str, str]()
    made = blocks(summary, (), svgs)
    assert [one.heading for one in made] == [
        "The questions and their answers", "Every model", "Models by origin", "Groups of models",
        "JS distance and size (size)",
    ]  # fmt: skip
    table = made[1].tables[0]
    rows = {row.cells[0].text: row.cells for row in table.rows}
    assert list(rows) == ["qwen-0.5", "qwen-1.5", "qwen-3", "qwen-7", "qwen-14", "llama", "plain", "away"]
    at = [column.title for column in table.columns].index("JS distance")
    for name in ("qwen-3", "plain"):
        found = summary.get(name, "first_token", "js_distance", "all", "country")
        assert found is not None
        assert rows[name][at].sort == found.value
        assert rows[name][at].key == f"{name}|first_token|js_distance|all|country"
    assert (rows["away"][at].text, rows["away"][at].why) == ("—", "its model cannot be had: no such <folder>")
    assert rows["away"][-1].text == "its model cannot be had: no such <folder>"
    assert [rows["qwen-7"][place].text for place in (1, 2, 3)] == ["China", "Qwen", "7"]
    assert rows["plain"][1].text == "—"


def test_questions_groups_and_sizes_are_those_of_the_summary(comparison: Path) -> None:
    summary = Summary.read(comparison / "summary.json")
    made = {one.heading: one for one in blocks(summary, (), {})}
    answers = made["The questions and their answers"].tables[0].rows
    census_rows = summary.raw["census"]["questions"]
    assert [row.cells[1].text for row in answers] == [row["verdict"] for row in census_rows]
    assert answers[0].cells[3].sort == census_rows[0]["value"]
    assert made["The questions and their answers"].tables[0].notes[0] == "origin: without away (incomplete)."
    trend = made["JS distance and size (size)"].tables[0].rows[0].cells
    assert [cell.text for cell in trend[:2]] == ["Qwen", "5"]
    assert trend[-1].text == "U"
    groups = {row.cells[1].text: row.cells for row in made["Groups of models"].tables[0].rows}
    assert groups["China"][2].sort == 5
    assert groups["every model"][2].sort == 7


def test_the_page_is_whole(comparison: Path) -> None:
    page = write_report(comparison).read_text(encoding="utf-8")
    assert 'id="census"' in page
    assert "no such &lt;folder&gt;" in page
    assert "China: qwen-0.5" in page  # a row of the picture
    assert ">Qwen</text>" in page  # at the end of its line


def test_names_at_the_ends_of_lines_do_not_cover_each_other() -> None:
    rungs = [Rung(size, 0.4, 0.39, 0.41, f"m{size}") for size in (1.0, 7.0)]
    svg = ladders("x", "t", "d", {family: (1, rungs) for family in ("A", "B", "C")})
    places = [float(y) for y in re.findall(r'<text[^>]*? y="([0-9.]+)"[^>]*>[ABC]</text>', svg)]
    assert len(places) == 3
    assert min(abs(one - other) for one, other in itertools.combinations(places, 2)) > 8  # points, of a text of 8
