from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.importers.stored import Imported, describe_stored, named_splits, store, stored_names, surveys_folder
from data.records import AnswerDistribution, Group, Item, ItemWording, Source, Survey
from data.surveys import load_survey, survey_hash
from data.table_of_people import TableOfPeople, make_table

SOURCE = Source("mine", "My survey", "Me (2024).", "CC BY 4.0", "v1")
ITEMS = (
    Item("mine/a", "A?", ("Yes", "No"), False, "mine", wordings=(ItemWording("de", "Ä?", ("Ja", "Nein")),)),
    Item("mine/b", "B?", ("1", "2", "3"), True, "mine", "life", (0.0, 1.0, 5.0), "en", True),
)
SPLITS = {
    "half": {
        "train_items": ["mine/a"],
        "held_out_items": ["mine/b"],
        "train_countries": ["NOR"],
        "held_out_countries": ["GBR"],
    }
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPHONY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def people() -> TableOfPeople:
    return make_table(
        ids=["1", "2", "3", "4"],
        country=pd.Series(["NOR", "NOR", "NOR", "GBR"]),
        year=pd.Series(["2018", "2018", "2019", "2018"]),
        weight=pd.Series([1.0, 1.0, 2.0, 1.0]),
        age=pd.Series([20, 40, np.nan, 70]),
        sex=pd.Series(["male", "female", "", "male"]),
        education="",
        features={"religion": pd.Series(["none", "", "some", "some"])},
        answers={"mine/a": pd.Series([0, 1, 0, -1]), "mine/b": pd.Series([0, -1, 2, 1])},
        excluded={"answers coded -1 (don't know)": 2},
    )


def imported(tmp_path: Path, content: TableOfPeople | Survey) -> Imported:
    file = tmp_path / "raw.csv"
    file.write_text("a\n1\n")
    return Imported((SOURCE,), ITEMS, content, file, "test 1", SPLITS, ("a note",))


def test_people_come_back_as_they_were_stored(tmp_path: Path) -> None:
    folder = store(imported(tmp_path, people()), "mine")
    assert {path.name for path in folder.iterdir()} == {"survey.json", "people.parquet"}
    survey = load_survey(
        ["mine"], ("country", "country+age"), 1, respondents_per_country=9, rng=np.random.default_rng(0)
    )
    assert survey.items == ITEMS
    assert survey.sources == (SOURCE,)
    norway = survey.people["mine/a", Group("NOR")]
    assert norway == AnswerDistribution("mine/a", Group("NOR"), (0.75, 0.25), 3, pytest.approx(16 / 6), "2018-2019")
    assert survey.people["mine/b", Group("GBR", "50+")].probabilities == (0, 1, 0)
    assert survey.excluded["mine: answers coded -1 (don't know)"] == 2
    person = next(person for person in survey.respondents if person.id == "mine-3")
    assert (dict(person.features), dict(person.answers), person.weight) == (
        {"religion": "some"},
        {"mine/a": 0, "mine/b": 2},
        2.0,
    )
    assert describe_stored("mine")["summary"] == {
        "items": 2,
        "countries": ["GBR", "NOR"],
        "people": 4,
        "years": ["2018", "2019"],
    }


def test_named_splits_are_found_by_name_and_used(tmp_path: Path) -> None:
    store(imported(tmp_path, people()), "mine")
    assert named_splits("mine") == SPLITS
    assert named_splits("wvs3") == {}
    assert named_splits("never-imported") == {}


def test_shares_come_back_as_they_were_stored(tmp_path: Path) -> None:
    now = (
        AnswerDistribution("mine/a", Group("NOR"), (0.25, 0.75), 0, 0.0),
        AnswerDistribution("mine/b", Group("GBR", "18-29"), (0.2, 0.3, 0.5), 80, 61.5, "2020"),
    )
    before = (AnswerDistribution("mine/b", Group("GBR", "18-29"), (0.3, 0.3, 0.4), 90, 90.0, "2010"),)
    other = Source("other", "Another", "You (2023).", "CC0")
    survey = Survey(ITEMS, now, (), (SOURCE, other), {"x": 1}, before)
    store(Imported((SOURCE, other), ITEMS, survey, imported(tmp_path, survey).file, "test 1"), "shares")
    loaded = load_survey(["shares"])
    assert (loaded.items, loaded.distributions, loaded.sources) == (ITEMS, now, (SOURCE, other))
    assert loaded.excluded["shares: x"] == 1
    waves = load_survey(["shares"], train_before=2015)
    assert (waves.distributions, waves.earlier) == (now[1:], before)


def test_the_same_import_gives_the_same_hash(tmp_path: Path) -> None:
    store(imported(tmp_path, people()), "mine")
    once = survey_hash(load_survey(["mine"], min_n=1))
    store(imported(tmp_path, people()), "mine", replace=True)
    assert survey_hash(load_survey(["mine"], min_n=1)) == once


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wvs3", "'wvs3' is that of a built-in survey"),
        ("Mine", "expected small letters"),
        ("../x", "expected small letters"),
        ("file:x", "expected small letters"),
        ("", "expected small letters"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store(imported(tmp_path, people()), name)
    assert stored_names() == []


def test_a_taken_name_needs_replace(tmp_path: Path) -> None:
    store(imported(tmp_path, people()), "mine")
    with pytest.raises(ValueError, match=r"'mine' is imported already in .*--name, or --replace"):
        store(imported(tmp_path, people()), "mine")
    store(imported(tmp_path, people()), "mine", replace=True)
    assert stored_names() == ["mine"]
    assert [path.name for path in surveys_folder().iterdir()] == ["mine"]


def test_nothing_is_left_of_an_import_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(imported(tmp_path, people()), "mine")
    before = (surveys_folder() / "mine" / "survey.json").read_bytes()
    monkeypatch.setattr("data.importers.stored.write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    for name, replace in (("mine", True), ("other", False)):
        with pytest.raises(OSError, match="disk full"):
            store(imported(tmp_path, people()), name, replace)
    assert [path.name for path in surveys_folder().iterdir()] == ["mine"]
    assert (surveys_folder() / "mine" / "survey.json").read_bytes() == before
    assert load_survey(["mine"], min_n=1).items == ITEMS


def test_what_is_missing_damaged_or_newer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown survey 'wvs7': import it first: polyphony survey import wvs7 FILE"):
        load_survey(["wvs7"])
    store(imported(tmp_path, people()), "mine")
    with pytest.raises(ValueError, match="unknown survey 'mime': did you mean 'mine'"):
        load_survey(["mime"])
    folder = surveys_folder() / "mine"
    data = (folder / "people.parquet").read_bytes()
    (folder / "people.parquet").write_bytes(data[:-1] + b"X")
    with pytest.raises(ValueError, match=r"people.parquet is missing or not what was imported: import raw\.csv again"):
        load_survey(["mine"])
    (folder / "people.parquet").unlink()
    with pytest.raises(ValueError, match="missing or not what was imported"):
        load_survey(["mine"])
    about = json.loads((folder / "survey.json").read_text())
    (folder / "survey.json").write_text(json.dumps(about | {"version": 2}))
    with pytest.raises(ValueError, match=r"survey\.json: expected format 'polyphony-imported-survey', version 1"):
        load_survey(["mine"])
    (folder / "survey.json").write_text("{")
    with pytest.raises(ValueError, match=r"survey\.json is not valid JSON"):
        load_survey(["mine"])
    shutil.rmtree(folder)
    assert stored_names() == []
