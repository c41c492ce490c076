"""Preference sets: every form is told by its columns, what is left out is counted, and nothing is half imported."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from data.preferences import check_source, load_preferences, read_preferences
from data.records import PreferencePair, Turn

OWN = {"prompt": "Work?", "chosen": "Yes.", "rejected": "No.", "country": "Norway"}
MESSAGES = {
    "prompt": "And now?",
    "chosen": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Rest."},
    ],
    "score_chosen": 8.0,
}
MESSAGES["rejected"] = [*MESSAGES["chosen"][:3], {"role": "assistant", "content": "Work."}]  # type: ignore[index]
TALK = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: And now?\n\nAssistant:"
BEFORE = (Turn("user", "Hi"), Turn("assistant", "Hello"))


def write(path: Path, *rows: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def said(turn: int, prompt: str, response: str, chosen: bool, user: str = "u1", conversation: str = "c1") -> Any:
    return {
        "utterance_id": response,
        "conversation_id": conversation,
        "turn": turn,
        "user_id": user,
        "user_prompt": prompt,
        "model_response": response,
        "if_chosen": chosen,
        "score": 90 if chosen else 10,
    }


PRISM = [
    said(0, "Hi", "Good day", True),
    said(0, "Hi", "Oh no", False),
    said(0, "Hi", "Hey", False),
    said(1, "More?", "Enough", False),
    said(1, "More?", "Gladly", True),
]


def test_our_own_form(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", OWN, {**OWN, "country": "Narnia"}, {**OWN, "rejected": "Yes."})
    read = read_preferences(source)
    assert [pair.country for pair in read.pairs] == ["NOR", ""]
    assert read.pairs[0] == PreferencePair("Work?", "Yes.", "No.", "NOR")
    assert read.unknown_countries == {"Narnia": 1}
    assert read.left_out == {"pairs whose two replies are the same": 1}
    assert load_preferences(source) == read.pairs


def test_transcripts_share_their_dialogue(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    rows = [
        {"chosen": f"{TALK} Rest.", "rejected": f"{TALK} Work."},
        {"chosen": f"{TALK} Rest.", "rejected": f"{TALK.replace('Hello', 'Hey')} Work."},
        {"chosen": f"{TALK} Rest.", "rejected": f"{TALK} "},
        {"chosen": f"{TALK} Rest.\n\nHuman: Thanks", "rejected": f"{TALK} Work."},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    read = read_preferences(str(path))
    assert read.pairs == (PreferencePair("And now?", "Rest.", "Work.", "", BEFORE),)
    assert sorted(read.left_out.values()) == [1, 1, 1]
    assert read.pairs[0].turns == (*BEFORE, Turn("user", "And now?"))


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_messages_of_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([MESSAGES]), path)
    else:
        path.write_text(json.dumps(MESSAGES if suffix == "jsonl" else [MESSAGES]))
    assert load_preferences(str(path)) == (PreferencePair("And now?", "Rest.", "Work.", "", BEFORE),)


def test_a_prompt_of_messages_comes_before_both_replies(tmp_path: Path) -> None:
    reply = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    source = write(tmp_path / "a.jsonl", {"prompt": [{"role": "user", "content": "Hi"}], **reply})
    assert load_preferences(source) == (PreferencePair("Hi", "chosen", "rejected"),)


def test_prism_with_its_survey(tmp_path: Path) -> None:
    """The chosen over each other reply of its turn, after the chosen ones of earlier turns; where the person lives."""
    home = {"birth_country": "Ghana", "reside_country": "United Kingdom"}
    write(tmp_path / "survey.jsonl", {"user_id": "u1", "location": home}, {"user_id": "u2", "location": None})
    write(tmp_path / "conversations.jsonl", {"conversation_id": "c1", "conversation_history": []})
    lone = said(0, "Alone?", "Yes", True, "u2", "c2")
    write(tmp_path / "utterances.jsonl", lone, *PRISM[::-1])
    read = read_preferences(str(tmp_path))
    told = (Turn("user", "Hi"), Turn("assistant", "Good day"))
    assert set(read.pairs) == {
        PreferencePair("Hi", "Good day", "Oh no", "GBR"),
        PreferencePair("Hi", "Good day", "Hey", "GBR"),
        PreferencePair("More?", "Gladly", "Enough", "GBR", told),
    }
    assert read.left_out == {"turns without one chosen reply and another": 1}


def test_what_follows_an_unchosen_turn_is_not_guessed(tmp_path: Path) -> None:
    rows = [{**row, "if_chosen": row["if_chosen"] and row["turn"] == 1} for row in PRISM]
    with pytest.raises(ValueError, match="holds no preference pair but 2 turns without"):
        load_preferences(write(tmp_path / "utterances.jsonl", *rows))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["{"], "line 1 is not JSON"),
        ([OWN, [1]], "line 2 must hold named columns"),
        (
            [{"question": "a", "answer": "b"}],
            r"line 1 is of no known preference set: it holds question, answer\..*PRISM",
        ),
        ([OWN, {"prompt": "a", "chosen": "b"}], "line 2 lacks 'rejected'"),
        ([OWN, {"prompt": "a", "chosen": "b", "rejected": 3}], "line 2: rejected must be text, got '3'"),
        ([{**OWN, "country": 3}], "line 1: country must be text, got 3"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c", "contry": "NOR"}], "column 'contry'; did you mean 'country'"),
        ([{"chosen": "a", "rejected": "b"}], "line 1: a transcript must begin with 'Human:'"),
        ([{"chosen": [{"role": "bot", "content": "a"}], "rejected": []}], "line 1: a message must be"),
        ([{**PRISM[0], "if_chosen": "yes"}], "line 1: if_chosen must be true or false"),
        ([], "holds no preference pair"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: list[Any], words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    with pytest.raises(ValueError, match=words):
        load_preferences(str(path))


def test_files_that_are_none(tmp_path: Path) -> None:
    for absent in ("no such file", "data/nowhere.jsonl", "/a/b/c"):
        with pytest.raises(FileNotFoundError, match="or a data set on the Hub as owner/name"):
            check_source(absent)
    with pytest.raises(FileNotFoundError, match="holds no file that ends with"):
        load_preferences(str(tmp_path))
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match="must end with one of"):
        load_preferences(str(tmp_path / "a.csv"))
    for name in ("latin.jsonl", "broken.parquet", "broken.jsonl.gz"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
        with pytest.raises(ValueError, match=r"is not UTF-8|cannot be read"):
            load_preferences(str(tmp_path / name))


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as the Hub keeps one: what lies there is read by `datasets`, with the configs of its card."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("data.preferences.check_source", check_source_as_if_absent)
    write(tmp_path / "owner" / "plain" / "train.jsonl", OWN)
    write(tmp_path / "owner" / "plain" / "test.jsonl", OWN, OWN)
    assert len(load_preferences("owner/plain")) == 1
    assert len(load_preferences("owner/plain:test")) == 2
    with pytest.raises(ValueError, match="cannot be loaded from the Hub \\(split 'nope'\\)"):
        load_preferences("owner/plain:nope")
    folder = tmp_path / "owner" / "prism"
    write(folder / "survey.jsonl", {"user_id": "u1", "location": {"reside_country": "Chile"}})
    write(folder / "utterances.jsonl", *PRISM)
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("survey", "utterances"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    assert {pair.country for pair in load_preferences("owner/prism")} == {"CHL"}


def check_source_as_if_absent(source: str) -> Any:
    import data.preferences

    return data.preferences._HUB.fullmatch(source)


def test_the_hub_out_of_reach_is_said() -> None:
    with pytest.raises(ValueError, match="nothing lies at this path, and it cannot be loaded from the Hub"):
        load_preferences("nobody-at-all/no-such-set@main:train")
