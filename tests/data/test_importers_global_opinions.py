from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import data.importers.global_opinions as goqa
from data.importers.global_opinions import HUB, fetch_global_opinions, read_global_opinions
from data.records import AnswerDistribution, Group, Survey

FAVOR = "['Very favorable', 'Somewhat favorable', 'DK/Refused']"
ROWS: list[tuple[str, str, str, str]] = [
    (
        "Do you have a favorable view of the EU?",
        "defaultdict(<class 'list'>, {'Belgium': [0.25, 0.25, 0.5], 'S. Korea': [0.4, 0.6, 0.0], "
        "'Bolivia (Non-national sample)': [0.5, 0.5, 0.0], 'Northern Ireland': [0.5, 0.5, 0.0], "
        "'India (Current national sample)': [0.1, 0.9, 0.0], 'India (Old national sample)': [0.9, 0.1, 0.0], "
        "'Atlantis': [0.5, 0.5, 0.0], 'Kenya': [0.5, 0.5], 'Ghana': [0.0, 0.0, 1.0], 'Peru': [0.2, 0.2, 0.0]})",
        FAVOR,
        "GAS",
    ),
    (
        "Do you have a favorable view of the EU?",
        "defaultdict(<class 'list'>, {'Britain': [0.5, 0.5]})",
        "['Yes', 'No']",
        "GAS",
    ),
    (
        "Do you have  a favorable view of the EU?",
        "defaultdict(<class 'list'>, {'Spain': [0.5, 0.5, 0.0]})",
        FAVOR,
        "GAS",
    ),
    (
        "Divorce:\n\njustifiable?",
        "defaultdict(<class 'list'>, {'Great Britain': [0.3, 0.2, 0.1, 0.3, 0.1], 'Bolivia': [1.0, 0, 0, 0, 0]})",
        "['Never justifiable', '2', 3.0, 'Always justifiable', \"Don't know\"]",
        "WVS",
    ),
    ("", "nothing of this is read", "[]", "WVS"),
    ("One answer only?", "defaultdict(<class 'list'>, {'Spain': [0.5, 0.5]})", "['Yes', 'No answer']", "WVS"),
    ("Nowhere asked?", "defaultdict(<class 'list'>, {})", "['Yes', 'No']", "WVS"),
]


def text(rows: list[tuple[str, ...]], header: str = "question,selections,options,source") -> str:
    """As pandas writes it, which is how the Hub's file was made."""
    out = io.StringIO()
    out.write(header + "\n")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def folder(tmp_path: Path) -> Path:
    (tmp_path / "hub" / "data").mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n")
    (tmp_path / "hub" / "data" / "global_opinions.csv").write_bytes(text(ROWS).encode())
    return tmp_path / "hub"


def survey(path: Path) -> Survey:
    content = read_global_opinions(path).content
    assert isinstance(content, Survey)
    return content


def by_hand(made: Survey) -> None:
    assert [item.id for item in made.items] == ["goqa/0000", "goqa/0001", "goqa/0003"]
    eu, _, divorce = made.items
    assert (eu.options, eu.ordered, eu.topic) == (("Very favorable", "Somewhat favorable"), False, goqa.SURVEYS["GAS"])
    assert divorce.question == "Divorce: justifiable?"
    assert (divorce.options, divorce.ordered) == (("Never justifiable", "2", "3", "Always justifiable"), True)
    assert made.distributions[:3] == (
        AnswerDistribution("goqa/0000", Group("BEL"), (0.5, 0.5), 0, 0.0),
        AnswerDistribution("goqa/0000", Group("KOR"), (0.4, 0.6), 0, 0.0),
        AnswerDistribution("goqa/0000", Group("IND"), (0.1, 0.9), 0, 0.0),
    )
    assert made.people["goqa/0001", Group("GBR")].probabilities == (0.5, 0.5)
    assert made.people["goqa/0003", Group("GBR")].probabilities == pytest.approx((3 / 9, 2 / 9, 1 / 9, 3 / 9))
    assert made.people["goqa/0003", Group("BOL")].probabilities == (1, 0, 0, 0)
    assert len(made.distributions) == 6
    assert dict(made.excluded) == {
        "countries whose non-answers were taken out (shares rescaled)": 2,
        "countries' samples named 'Non-national sample'": 1,
        "countries' samples named 'Old national sample'": 1,
        "parts of a country (Northern Ireland)": 1,
        "places that are no country (Atlantis)": 1,
        "countries whose shares are not one an option with sum 1": 2,
        "countries in which nobody answered": 1,
        "rows that repeat a question with the same options": 1,
        "rows without a question": 1,
        "rows without two different answers": 1,
        "rows without a country": 1,
    }


def test_a_folder_as_the_hub_keeps_it_by_hand(tmp_path: Path) -> None:
    path = fetch_global_opinions(str(folder(tmp_path)))
    assert path.name == "global_opinions.csv"
    made = survey(path)
    made = Survey(made.items, made.distributions, (), made.sources, dict(made.excluded))
    by_hand(made)
    assert made.sources[0].terms == "CC BY-NC-SA 4.0"


def test_parquet_and_json_lines_give_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=list(goqa.COLUMNS))
    frame.to_parquet(tmp_path / "0000.parquet")
    by_hand(survey(tmp_path / "0000.parquet"))
    lines = [json.dumps(row) for row in frame.to_dict("records")]
    (tmp_path / "g.jsonl").write_text("\n".join(lines) + "\n")
    by_hand(survey(tmp_path / "g.jsonl"))


def test_lists_and_objects_that_are_no_text_are_read_too(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "question": "Q?",
        "selections": {"Peru": [0.25, 0.75]},
        "options": ["a", "b"],
        "source": "GAS",
    }
    (tmp_path / "g.jsonl").write_text(json.dumps(row) + "\n")
    assert survey(tmp_path / "g.jsonl").distributions[0].probabilities == (0.25, 0.75)


def test_a_hub_id_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    hub = folder(tmp_path)
    monkeypatch.chdir(tmp_path)

    def download(name: str, **options: Any) -> str:
        asked.update({"name": name, **options})
        return str(hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch_global_opinions(HUB) == hub / "data" / "global_opinions.csv"
    assert (asked["name"], asked["repo_type"]) == (HUB, "dataset")


BAD: list[tuple[str, str, str]] = [
    (FAVOR, "favorable or not", r"row 1, column 'options': found 'favorable or not', expected a list such as Python"),
    (FAVOR, "{'a': 1}", "row 1, column 'options': found .*expected a list"),
    ("'Belgium': [0.25, 0.25, 0.5]", "'Belgium': __import__('os').getcwd()", "row 1, column 'selections': found"),
    ("'Belgium': [0.25, 0.25, 0.5]", "'Belgium': ['x', 'y', 'z']", "row 1, column 'selections': Belgium: found"),
    (
        "question,selections",
        "question,select",
        "column 'selections' is missing; found question, select, options, source",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new[:20] for _, new, _ in BAD])
def test_a_bad_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    content = text(ROWS)
    assert old in content
    (tmp_path / "bad.csv").write_text(content.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_global_opinions(tmp_path / "bad.csv")
    assert str(tmp_path / "bad.csv") in str(error.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{}", "[1, 2]"], r"line 2: found '\[1, 2\]', expected a JSON object"),
        (["{}", "", '{"question": "a"'], "line 3 is not JSON"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"bad\.jsonl cannot be read: {message}"):
        read_global_opinions(tmp_path / "bad.jsonl")


def test_places_that_hold_no_data_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv not found: expected a file, a folder or a Hub id"):
        fetch_global_opinions(str(tmp_path / "nowhere.csv"))
    with pytest.raises(ValueError, match="found none, expected one file"):
        fetch_global_opinions(str(tmp_path))
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(ValueError, match=r"found a\.csv, b\.csv, expected one file"):
        fetch_global_opinions(str(tmp_path))
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(ValueError, match=r"unknown kind '\.xlsx'"):
        fetch_global_opinions(str(tmp_path / "x.xlsx"))
    with pytest.raises(ValueError, match=r"a\.csv cannot be read"):
        read_global_opinions(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("DK/Refused", False),
        ("Don't know", False),
        ('"Dont know"', False),
        ("No answer", False),
        ("Missing; Not available", False),
        ("Other missing; Multiple answers Mail (EVS)", False),
        ("Refused (DO NOT READ)", False),
        ("Other (VOL)", True),
        ("No", True),
        ("Missing people", True),
        ("Not allowed to vote", True),
    ],
)
def test_what_is_no_answer(option: str, answer: bool) -> None:
    assert (goqa.NO_ANSWER.match(option.strip("\"' (").casefold()) is None) is answer
