"""The wave-7 file's form: names and codes as in releases 5 and 6, with the columns around the questions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from data.importers.codebook import read_codebook, shipped
from data.importers.kinds import import_survey
from data.importers.stored import describe_stored, named_splits
from data.records import Group
from data.splits import named_split
from data.surveys import load_survey

BEFORE = [
    *("version", "doi", "A_WAVE", "A_YEAR", "A_STUDY", "B_COUNTRY", "B_COUNTRY_ALPHA", "C_COW_NUM", "C_COW_ALPHA"),
    *("D_INTERVIEW", "J_INTDATE", "FW_END", "FW_START", "K_TIME_START", "K_TIME_END", "K_DURATION", "Q_MODE"),
    *("N_REGION_ISO", "N_REGION_WVS", "N_TOWN", "H_URBRURAL", "W_WEIGHT"),
]
QUESTIONS = [f"Q{n}" for n in range(1, 260)]
EXTRA = ["Q33_3", "Q82_EU", "Q94R", "Q260", "Q262", "Q275", "Q289"]
COLUMNS = [*BEFORE, *QUESTIONS, *EXTRA]
PEOPLE = (  # country, interview, weight, sex, age, education, and answers that are not 1
    ("NOR", 578070001, 0.5, 1, 25, 8, {"Q56": 3, "Q119": 0, "Q182": 10, "Q254": 5, "Q241": 0}),
    ("NOR", 578070002, 1.5, 2, 45, 3, {"Q1": 2, "Q56": 2, "Q119": 4, "Q182": 5}),
    ("NOR", 578070003, 1.0, 2, 65, 0, {"Q1": -1, "Q56": -2, "Q119": -4, "Q182": -5, "Q221": 4, "Q111": 3}),
    ("USA", 858069901, 2.0, 1, 30, 5, {"Q57": 2}),
    ("USA", 858069901, 1.0, -2, -2, -1, {"Q57": -3}),
    ("NIR", 909070001, 1.0, 1, 30, 5, {}),
)


def row(person: tuple[str, int, float, int, int, int, dict[str, int]]) -> dict[str, object]:
    country, interview, weight, sex, age, education, answers = person
    made: dict[str, object] = dict.fromkeys(COLUMNS, 1)
    made |= {"version": "6-0-0 (2024-02-26)", "doi": "doi.org/10.14281/18241.24", "A_WAVE": 7, "A_YEAR": 2018}
    made |= {"B_COUNTRY_ALPHA": country, "C_COW_ALPHA": country, "D_INTERVIEW": interview, "W_WEIGHT": weight}
    return made | {"Q260": sex, "Q262": age, "Q275": education, "Q223": 578003, "Q82": -4} | answers


def frame() -> pd.DataFrame:
    return pd.DataFrame([row(person) for person in PEOPLE], columns=COLUMNS)


def text(mark: str = ",", quote: str = "") -> str:
    lines = [COLUMNS, *([str(value) for value in row(person).values()] for person in PEOPLE)]
    return "".join(mark.join(f"{quote}{cell}{quote}" for cell in line) + "\n" for line in lines)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPHONY_CACHE", str(tmp_path / "cache"))


def by_hand(name: str = "wvs7") -> None:
    """Weights of Norway: .5, 1.5, 1; of the US: 2, 1."""
    survey = load_survey([name], ("country", "country+age", "country+education"), min_n=1)
    share = {key: answer.probabilities for key, answer in survey.people.items()}
    norway, usa = Group("NOR"), Group("USA")
    assert survey.countries == ("NOR", "USA")
    assert share["wvs7/Q1", norway] == pytest.approx((0.5 / 2, 1.5 / 2, 0, 0))
    assert survey.by_id["wvs7/Q56"].options == ("Better off", "Or about the same", "Worse off")
    assert share["wvs7/Q56", norway] == pytest.approx((0, 0.5 / 2, 1.5 / 2))
    assert survey.by_id["wvs7/Q119"].options[2] == "Hard to say"
    assert share["wvs7/Q119", norway] == pytest.approx((0, 0, 0.5 / 2, 0, 1.5 / 2))
    assert share["wvs7/Q182", norway] == pytest.approx((0, 0, 0, 0, 0.75, 0, 0, 0, 0, 0.25))
    assert survey.people["wvs7/Q182", norway].n_effective == pytest.approx(2.0**2 / (0.25 + 2.25))
    assert share["wvs7/Q57", usa] == (0, 1)
    assert survey.people["wvs7/Q57", usa].n == 1
    assert share["wvs7/Q182", Group("NOR", "18-29")][9] == 1
    assert share["wvs7/Q1", Group("NOR", education="university or other tertiary education")] == (1, 0, 0, 0)
    assert len(survey.items) == 245
    excluded = describe_stored(name)["excluded"]
    assert excluded == {
        "people of Northern Ireland (a part of the United Kingdom that is sampled apart)": 1,
        "answers coded -1 (don't know)": 1,
        "answers coded -2 (no answer)": 1,
        "answers coded -3 (not applicable)": 1,
        "answers coded -4 (not asked)": 1,
        "answers coded -5 (missing)": 1,
        "answers coded 0 (against democracy, volunteered)": 1,
        "answers coded 3 (other answer)": 1,
        "answers coded 4 (not allowed to vote)": 1,
        "answers coded 5 (not of this nationality)": 1,
    }


@pytest.mark.parametrize(("mark", "quote"), [(",", ""), (",", '"'), (";", ""), (";", '"')])
def test_csv_by_hand(tmp_path: Path, mark: str, quote: str) -> None:
    path = tmp_path / "WVS_Cross-National_Wave_7_csv_v6_0.csv"
    path.write_bytes(text(mark, quote).encode())
    assert import_survey("wvs7", str(path)) == "wvs7"
    by_hand()


LABELS = {
    "Q1": {1: "Very important", 2: "Rather important", 3: "Not very important", 4: "Not at all important"},
    "Q56": {1: "Better off", 2: "Worse off", 3: "Or about the same"},
    "Q106": {1: "Incomes more equal", 2: "2", 10: "Larger income differences"},
    "Q111": {1: "A: Protect environment", 2: "B: Economic growth", 3: "Other answer"},
    "Q119": {0: "Hard to say", 1: "Strongly agree", 2: "Agree", 3: "Disagree", 4: "Strongly disagree"},
    "Q121": {1: "Rather bad", 2: "Quite bad", 3: "Neither good, nor bad", 4: "Quite good", 5: "Very good"},
    "Q142": {1: "Very much", 2: "A great deal", 3: "Not much", 4: "Not at all"},
    "Q182": {1: "Never justifiable", 2: "2", 10: "Always justifiable"},
    "Q221": {1: "Always", 2: "Usually", 3: "Never", 4: "Not allowed to vote"},
    "Q260": {1: "Male", 2: "Female"},
}
NO_ANSWER = {-1: "Don't know", -2: "No answer", -4: "Not asked", -5: "Missing; Not available"}


def test_sav_and_dta_by_hand(tmp_path: Path) -> None:
    labels = {column: {**names, **NO_ANSWER} for column, names in LABELS.items()}
    ranges = {column: [{"lo": -5, "hi": -1}] for column in QUESTIONS}
    pyreadstat.write_sav(frame(), str(tmp_path / "w.sav"), variable_value_labels=labels, missing_ranges=ranges)
    pyreadstat.write_dta(frame(), str(tmp_path / "w.dta"), variable_value_labels=labels)
    for kind in ("sav", "dta"):
        import_survey("wvs7", str(tmp_path / f"w.{kind}"), name=f"wvs7-{kind}")
        by_hand(f"wvs7-{kind}")


def test_a_file_with_scales_turned_round_is_refused(tmp_path: Path) -> None:
    labels = {"Q182": {1: "Always justifiable", 10: "Never justifiable"}}
    pyreadstat.write_sav(frame(), str(tmp_path / "w.sav"), variable_value_labels=labels)
    with pytest.raises(
        ValueError, match="column 'Q182': the file labels code 1 'Always justifiable', which is code 10"
    ):
        import_survey("wvs7", str(tmp_path / "w.sav"))
    inverted = frame().rename(columns={f"Q{n}": f"Q{n}P" for n in range(1, 260)})
    inverted.to_csv(tmp_path / "inverted.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'Q1' is missing \(the nearest is 'Q1P'\)"):
        import_survey("wvs7", str(tmp_path / "inverted.csv"))


def test_an_extract_needs_to_be_asked_for(tmp_path: Path) -> None:
    extract = frame()[["D_INTERVIEW", "A_YEAR", "B_COUNTRY_ALPHA", "W_WEIGHT", "Q1", "Q182", "Q260", "Q262", "Q275"]]
    extract.to_csv(tmp_path / "extract.csv", index=False)
    with pytest.raises(ValueError, match=r"--allow-absent.*\n.*column 'H_URBRURAL' is missing.*\n.*'Q2' is missing"):
        import_survey("wvs7", str(tmp_path / "extract.csv"))
    import_survey("wvs7", str(tmp_path / "extract.csv"), allow_absent=True)
    assert [item.id for item in load_survey(["wvs7"], min_n=1).items] == ["wvs7/Q1", "wvs7/Q182"]
    assert describe_stored("wvs7")["notes"] == [
        "244 columns of the codebook are not in the file: "
        "H_URBRURAL, Q2, Q3, Q4, Q5, Q6, Q7, Q8, Q9, Q10, Q11, Q12 and 232 more"
    ]


def test_the_codebook_has_the_items_and_scales_of_the_questionnaire() -> None:
    book = read_codebook(shipped("wvs7"))
    left_out = {82, 223, *range(94, 106)}
    assert {coded.column for coded in book.items} == {f"Q{n}" for n in range(1, 260) if n not in left_out}
    codes = {coded.column: set(coded.codes) for coded in book.items}
    ten = [*range(48, 51), 90, *range(106, 111), 112, 120, *range(158, 165), *range(176, 196), *range(240, 253)]
    sizes = {2: [*range(7, 27), 57, 111, *range(139, 142), 144, 145, *range(149, 152), *range(165, 169), 174, 175]}
    sizes |= {3: [*range(42, 46), 56, *range(91, 94), *range(122, 130), 173, 200, *range(209, 223)]}
    sizes |= {5: [*range(33, 42), 47, 119, 121, *range(201, 209)], 7: [171], 8: [172], 10: ten}
    for size, numbers in sizes.items():
        assert {n for n in numbers if len(codes[f"Q{n}"]) != size} == set()
    listed = {n for numbers in sizes.values() for n in numbers}
    assert {column for column, of in codes.items() if len(of) == 4} == {
        f"Q{n}" for n in range(1, 260) if n not in left_out | listed
    }
    from_zero = {f"Q{n}" for n in (119, *range(122, 130))}
    assert {column for column, of in codes.items() if "0" in of} == from_zero
    assert all(coded.item.paraphrased for coded in book.items)


def test_the_papers_splits(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(text().replace("NOR", "EGY"))
    import_survey("wvs7", str(tmp_path / "w.csv"))
    known = named_splits("wvs7")
    assert set(known) == {"naacl2025", "naacl2025_validation", "naacl2025_c2", "naacl2025_c3"}
    sets = {name: set(split["held_out_countries"]) for name, split in known.items()}
    assert len(known["naacl2025"]["train_countries"]) == 46
    assert (len(sets["naacl2025_c2"]), len(sets["naacl2025_c3"])) == (8, 11)
    assert sets["naacl2025_c2"] & sets["naacl2025_c3"] == {"MAR", "NGA"}
    assert sets["naacl2025"] == sets["naacl2025_c2"] | sets["naacl2025_c3"]
    part, split = named_split(load_survey(["wvs7"], min_n=1), "naacl2025_c2", known, seed=0)
    assert (split.train_countries, split.held_out_countries) == (("USA",), ("EGY",))
    assert (len(split.train_items), len(split.held_out_items)) == (150, 60)
    assert "wvs7/Q164" not in part.by_id
