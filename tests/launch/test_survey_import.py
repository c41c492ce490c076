from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from launch.people import people
from launch.survey_command import app

BOOK = """\
format: polyphony-codebook
version: 1
source: {name: mine, title: My survey about trust in a fairly long title, citation: Me (2024)., terms: CC BY 4.0}
country: land
missing: {-1: don't know}
items:
- {column: trust, question: "Can most people be trusted, or does one need to be careful?", options: {1: Yes, 2: No}}
- {column: vote, question: "Who should decide about the new road through the forest?", options: {1: The mayor, 2: All}}
splits:
  half: {train_items: [trust], held_out_items: [vote], train_countries: [NO], held_out_countries: [SE]}
"""
TABLE = "land,trust,vote\n" + "NO,1,2\nNO,2,-1\nSE,1,1\n" * 60
HEADER = {"format": "polyphony-survey", "version": 1}
ROW = {"item": "f/a", "question": "A?", "options": ["x", "y"], "ordered": False, "country": "NO", "counts": [60, 40]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPHONY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(BOOK)
    (tmp_path / "mine.csv").write_text(TABLE)
    (tmp_path / "f.jsonl").write_text(json.dumps(HEADER) + "\n" + json.dumps(ROW) + "\n")


def survey(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_import_ends_with_a_summary_and_how_to_use_it(tmp_path: Path) -> None:
    result = survey("import", "table", "mine.csv", "--codebook", "mine.yaml")
    assert result.exit_code == 0, result.exception
    said = result.output
    for line in ("items      2", "countries  2   NOR SWE", "people     180", "60  answers coded -1 (don't know)"):
        assert line in said
    assert f"Stored in {tmp_path}/cache/surveys/mine" in said.replace("\n", "")
    assert "Use it: polyphony run survey=imported 'survey.blocks=[mine]'" in said
    assert "survey.split.named=half" in said


def test_what_was_imported_is_listed_shown_and_used() -> None:
    survey("import", "table", "mine.csv", "--codebook", "mine.yaml", "--name", "again")
    listed, shown = survey("list").output, survey("show", "again").output
    for said in (listed, shown):
        assert max(len(line) for line in said.splitlines()) <= 80
    assert "again" in listed
    assert "wvs_countries" in listed
    assert "mine/vote" in shown
    assert "CC BY 4.0" in shown
    split = {name: [] for name in ("held_out_items", "train_items", "held_out_countries", "train_countries")}
    shares = {"seed": 0, "held_out_item_share": 0.0, "held_out_country_share": 0.0}
    node = {
        "blocks": ["again"],
        "groups": ["country"],
        "min_n": 50,
        "respondents_per_country": 3,
        "respondents_seed": 0,
    }
    loaded, made = people({**node, "split": {**split, **shares, "named": "half", "train_before": None}})
    assert (made.train_items, made.held_out_countries) == (("mine/trust",), ("SWE",))
    assert len(loaded.respondents) == 6


@pytest.mark.parametrize("words", [("file", "f.jsonl"), ("f.jsonl",)])
def test_a_survey_file_with_and_without_its_kind(words: tuple[str, ...]) -> None:
    result = survey("import", *words)
    assert result.exit_code == 0, result.exception
    assert "Use it: polyphony run survey=file 'audit=[first_token,def,edc]'" in result.output.replace("\n", " ")
    assert "'survey.blocks=[f]'" in result.output
    assert "f/a" in survey("show", "f").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nonsense", "f.jsonl"), "unknown kind of survey 'nonsense': expected one of wvs7, goqa, table, file"),
        (("wvs7",), "survey import wvs7: expected a FILE"),
        (("table", "mine.csv"), "`import table` needs one"),
        (("wvs7", "mine.csv", "--codebook", "mine.yaml"), "--codebook goes with `import table`"),
        (("table", "mine.csv", "--codebook", "mine.yaml", "--name", "ess"), "'ess' is that of a built-in survey"),
        (("file", "none.jsonl"), r"none\.jsonl not found"),
        (("wvs7", "mine.csv"), "column 'D_INTERVIEW' is missing"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    result = survey("import", *words)
    assert result.exit_code == 1
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        raise result.exception or AssertionError
    assert not list((tmp_path / "cache").rglob("survey.json"))
