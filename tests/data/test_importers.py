from __future__ import annotations

import textwrap
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

import data.importers.codebook
from data.importers.codebook import read_codebook
from data.importers.coding import Coded, code_people
from data.importers.columns import DataFile, code_text
from data.records import AnswerDistribution, Group, Item, ItemWording
from data.table_of_people import distributions

CODEBOOK = """\
format: polyphony-codebook
version: 1
source: {name: mine, title: My survey, citation: Me (2024)., terms: CC BY 4.0}
id: no
country: {column: land, map: {UK: GBR}, leave_out: {XX: of no country}}
year: jahr
weight: w
age: {column: alter, missing: [999]}
sex: {column: gndr, codes: {1: male, 2: female}, missing: [9]}
education: {column: edu, codes: {1: school, 2: university}}
features: {religion: {column: rel, codes: {0: no religion, 1: a religion}}}
missing: {-1: don't know, empty: empty cell}
items:
- {column: trust, question: "Can people be trusted?", options: {1: "Yes", 2: No}}
- columns: {imp1: family, imp2: work}
  question: "How important is this: {}?"
  options: {3: Not, 2: Rather, 1: Very}
  ordered: true
  topic: life
  missing: {7: refused}
- {column: happy, id: joy, question: "How happy are you?", scale: {0: not at all, 3: completely}}
splits:
  half:
    train_items: [trust..imp1]
    held_out_items: [happy]
    train_countries: [Norway]
    held_out_countries: [GBR]
"""

TABLE = """\
no,land,jahr,w,alter,gndr,edu,rel,trust,imp1,imp2,happy
a,NO,2020,1.0,25,1,1,0,1,1,2,3
b,NO,2020,0.5,49,2,2,1,2,2,7,0
c,NO,2021,1.5,50,9,1,0,1,3,-1,1
d,UK,2021,2.0,999,1,2,1,2,1,1,
e,XX,2021,1.0,30,1,1,0,1,1,1,1
f,UK,2021,0,30,1,1,0,1,1,1,1
"""


def write(folder: Path, table: str = TABLE, codebook: str = CODEBOOK) -> tuple[Path, Path]:
    """The table as csv and the codebook, byte for byte as given."""
    (folder / "table.csv").write_bytes(table.encode())
    (folder / "book.yaml").write_bytes(codebook.encode())
    return folder / "table.csv", folder / "book.yaml"


def coded(file: Path, book: Path, allow_absent: bool = False) -> Coded:
    return code_people(DataFile(file), read_codebook(book), allow_absent)


def shares(made: Coded, *groups: str) -> dict[tuple[str, str], AnswerDistribution]:
    found, _ = distributions(made.people, made.items, groups, min_n=1)
    return {(d.item, d.group.label): d for d in found}


def by_hand(made: Coded) -> None:
    """Norway's weights are 1, .5 and 1.5, Britain's one person weighs 2."""
    assert [item.id for item in made.items] == ["mine/trust", "mine/imp1", "mine/imp2", "mine/joy"]
    of = shares(made, "country")
    trust = of["mine/trust", "NOR"]
    assert trust.probabilities == pytest.approx((2.5 / 3, 0.5 / 3))
    assert (trust.n, trust.n_effective) == (3, pytest.approx(9 / 3.5))
    assert trust.year == "2020-2021"
    assert of["mine/imp1", "NOR"].probabilities == pytest.approx((1.5 / 3, 0.5 / 3, 1 / 3))
    assert of["mine/imp2", "NOR"].probabilities == (0, 1, 0)
    assert of["mine/joy", "NOR"].probabilities == pytest.approx((0.5 / 3, 1.5 / 3, 0, 1 / 3))
    assert of["mine/imp1", "GBR"] == AnswerDistribution("mine/imp1", Group("GBR"), (0, 0, 1), 1, 1.0, "2021")
    assert ("mine/joy", "GBR") not in of


def test_a_table_by_hand(tmp_path: Path) -> None:
    made = coded(*write(tmp_path))
    by_hand(made)
    trust, family, _, joy = made.items
    assert trust == Item("mine/trust", "Can people be trusted?", ("Yes", "No"), False, "mine")
    assert family.question == "How important is this: family?"
    assert family.options == ("Not", "Rather", "Very")
    assert joy.options == ("0 (not at all)", "1", "2", "3 (completely)")
    assert joy.ordered
    people = made.people.people
    assert people["id"].tolist() == ["a", "b", "c", "d"]
    assert people["age"].tolist() == ["18-29", "30-49", "50+", ""]
    assert people["sex"].tolist() == ["male", "female", "", "male"]
    assert made.people.features["religion"].tolist() == ["no religion", "a religion", "no religion", "a religion"]
    assert dict(made.people.excluded) == {
        "people of no country": 1,
        "people without a weight above 0": 1,
        "answers coded 7 (refused)": 1,
        "answers coded -1 (don't know)": 1,
        "answers coded as an empty cell (empty cell)": 1,
    }


def test_by_age_and_education(tmp_path: Path) -> None:
    of = shares(coded(*write(tmp_path)), "country+age", "country+education")
    assert of["mine/trust", "NOR age=50+"].probabilities == (1, 0)
    assert of["mine/trust", "NOR education=school"].probabilities == (1, 0)
    assert of["mine/trust", "NOR education=school"].n == 2


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_delimiters_decimal_commas_quotes_and_a_byte_order_mark(tmp_path: Path, mark: str) -> None:
    quoted = "\r\n".join(
        mark.join(f'"{cell.replace(".", ",")}"' for cell in line.split(",")) for line in TABLE.splitlines()
    )
    file, book = write(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + quoted.encode())
    by_hand(coded(file, book))


def test_headers_with_labels_and_other_case(tmp_path: Path) -> None:
    table = TABLE.replace("jahr,w,", "JAHR,w: Survey weight,", 1)
    by_hand(coded(*write(tmp_path, table)))


def frame() -> pd.DataFrame:
    return pd.read_csv(StringIO(TABLE))


LABELS = {"trust": {1: "Yes", 2: "No", -1: "Don't know"}, "gndr": {1: "Male", 2: "Female", 9: "No answer"}}


def test_sav_dta_and_parquet_give_the_same(tmp_path: Path) -> None:
    _, book = write(tmp_path)
    ranges = {"imp1": [{"lo": -9, "hi": -1}, 7], "imp2": [{"lo": -9, "hi": -1}, 7]}
    pyreadstat.write_sav(frame(), str(tmp_path / "t.sav"), variable_value_labels=LABELS, missing_ranges=ranges)
    pyreadstat.write_dta(frame(), str(tmp_path / "t.dta"), variable_value_labels=LABELS)
    frame().to_parquet(tmp_path / "t.parquet")
    for kind in ("sav", "dta", "parquet"):
        made = coded(tmp_path / f"t.{kind}", book)
        by_hand(made)
        assert made.dropped == {
            "coded 7 (refused)": 1,
            "coded -1 (don't know)": 1,
            "coded as an empty cell (empty cell)": 1,
        }


def test_tagged_missing_values_of_stata_are_codes(tmp_path: Path) -> None:
    _, book = write(tmp_path, codebook=CODEBOOK.replace("missing: {-1: don't know,", "missing: {.a: tagged,"))
    table = frame()
    table["imp2"] = pd.Series([2.0, 7.0, "a", 1.0, 1.0, 1.0], dtype=object)
    pyreadstat.write_dta(table, str(tmp_path / "t.dta"), missing_user_values={"imp2": ["a"]})
    made = coded(tmp_path / "t.dta", book)
    by_hand(made)
    assert made.dropped["coded .a (tagged)"] == 1


def test_labels_that_contradict_the_codebook_are_refused(tmp_path: Path) -> None:
    _, book = write(tmp_path)
    for labels, message in (
        (
            {"trust": {1: "No", 2: "Yes"}},
            r"column 'trust': the file labels code 1 'No', which is code 2 in the codebook",
        ),
        (
            {"trust": {3: "Depends"}},
            r"column 'trust': the file labels code 3 'Depends', which the codebook has neither",
        ),
        ({"gndr": {1: "Female"}}, r"column 'gndr': the file labels code 1 'Female', which is code 2"),
        ({"happy": {0: "Completely"}}, r"column 'happy': the file labels code 0 'Completely', which is code 3"),
    ):
        pyreadstat.write_sav(frame(), str(tmp_path / "t.sav"), variable_value_labels=labels)
        with pytest.raises(ValueError, match=message):
            coded(tmp_path / "t.sav", book)


BAD_TABLES: list[tuple[str, str, str]] = [
    ("a,NO", "a,Norwya", r"column 'land': 'Norwya' in 1 rows, first in row 1; expected a country's name or ISO code"),
    (
        "a,NO,2020,1.0,25,1,1,0,1",
        "a,NO,2020,1.0,25,1,1,0,5",
        "column 'trust': '5' in 1 rows, first in row 1; expected 1, 2",
    ),
    (
        "b,NO,2020,0.5,49,2",
        "b,NO,2020,0.5,49,3",
        "column 'gndr': '3' in 1 rows, first in row 2; expected a code among 1, 2",
    ),
    ("c,NO,2021,1.5", "c,NO,2021,-1.5", "column 'w': '-1.5' in 1 rows, first in row 3; expected a number >= 0"),
    ("c,NO,2021,1.5", "c,NO,2021,n/a", "column 'w': 'n/a'"),
    ("c,NO,2021,1.5", 'c,NO,2021,"1,500"', "column 'w': '1,500' in 1 rows, first in row 3; expected a number >= 0"),
    ("b,NO,2020", '"b,NO,2020', r"Row #3: Expected 12 columns, got 1[^\n]*$"),
    (TABLE, TABLE.replace(",", "|"), r"line 1: found one column only, 'no\|land\|jahr[^\n]*; expected a comma[^\n]*$"),
    ("a,NO,2020,1.0,25", "a,NO,2020,1.0,225", "column 'alter': '225'.*expected years from 0 to 120"),
    ("a,NO,2020", "a,NO,20", "column 'jahr': '20'.*expected a year"),
    ("b,NO", "a,NO", "column 'no': 'a' is given twice, again in row 2"),
    ("no,land", "no,country", "column 'land' is missing"),
    ("trust,imp1", "trusty,imp1", r"--allow-absent.*\n.*column 'trust' is missing \(the nearest is 'trusty'\)"),
    ("trust,imp1", "trust,trust", "line 1: column 'trust' is named twice"),
    ("d,UK,2021,2.0,999,1,2,1,2,1,1,\n", "d,UK,2021\n", "Expected 12 columns, got 3"),
    (TABLE[TABLE.index("a,NO") :], "", "holds no person"),
    (TABLE, "", "line 1: found nothing"),
    (TABLE, TABLE.replace("\n", "\r"), r"line 1: .*; expected lines that end in \\n or"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD_TABLES, ids=[message[:30] for *_, message in BAD_TABLES])
def test_a_bad_table_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TABLE
    file, book = write(tmp_path, TABLE.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        coded(file, book)
    assert str(file) in str(error.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    file, book = write(tmp_path, TABLE.replace("25,1,1,0,1,1,2,3", "25,1,1,0,8,1,8,8"))
    with pytest.raises(
        ValueError, match=r"'trust': '8'.*\n.*'imp2': '8'.*\n.*'happy': '8' in 1 rows.*expected 0, 1, 2, 3"
    ):
        coded(file, book)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    file, book = write(tmp_path)
    file.write_bytes(TABLE.replace("e,XX", "e,Türkiye").encode("latin-1"))
    with pytest.raises(ValueError, match=r"table\.csv, line 6: not UTF-8; convert the file"):
        coded(file, book)


def test_absent_items_are_left_out_on_request_and_told(tmp_path: Path) -> None:
    file, book = write(tmp_path, TABLE.replace("imp2,happy", "x,y", 1).replace("rel,", "z,", 1))
    made = coded(file, book, allow_absent=True)
    assert made.absent == ("rel", "imp2", "happy")
    assert [item.id for item in made.items] == ["mine/trust", "mine/imp1"]
    assert "religion" not in made.people.features
    with pytest.raises(ValueError, match="column 'land' is missing"):
        coded(write(tmp_path, TABLE.replace("land", "x", 1))[0], book, allow_absent=True)


def test_repeated_ids_are_numbered_on_request(tmp_path: Path) -> None:
    book = CODEBOOK.replace("id: no\n", "id: {column: no, repeated: number}\n")
    made = coded(*write(tmp_path, TABLE.replace("b,NO", "a,NO", 1), book))
    assert made.people.people["id"].tolist() == ["a", "a/2", "c", "d"]


def test_one_country_bands_and_no_ids(tmp_path: Path) -> None:
    book = CODEBOOK.replace(
        "country: {column: land, map: {UK: GBR}, leave_out: {XX: of no country}}", "country: {is: no}"
    )
    book = book.replace("age: {column: alter, missing: [999]}", "age: {column: edu, codes: {1: 18-29, 2: 50+}}")
    made = coded(*write(tmp_path, codebook=book.replace("id: no\n", "").replace("weight: w\n", "")))
    assert set(made.people.people["country"]) == {"NOR"}
    assert made.people.people["id"].tolist() == ["1", "2", "3", "4", "5", "6"]
    assert made.people.people["age"].tolist() == ["18-29", "50+", "18-29", "50+", "18-29", "18-29"]
    assert set(made.people.people["weight"]) == {1.0}


def test_wordings_and_splits(tmp_path: Path) -> None:
    words = """\
  wordings:
    zh:
      question: "{}有多重要？"
      columns: {imp1: 家庭, imp2: 工作}
      options: {3: 不重要, 2: 比较重要, 1: 很重要}
"""
    book = read_codebook(write(tmp_path, codebook=CODEBOOK.replace("  topic: life\n", "  topic: life\n" + words))[1])
    assert book.items[2].item.wordings == (ItemWording("zh", "工作有多重要？", ("不重要", "比较重要", "很重要")),)
    assert book.splits["half"] == {
        "train_items": ("mine/trust", "mine/imp1"),
        "held_out_items": ("mine/joy",),
        "train_countries": ("NOR",),
        "held_out_countries": ("GBR",),
    }


def test_the_documented_example_is_a_codebook(tmp_path: Path) -> None:
    text = data.importers.codebook.__doc__ or ""
    example = textwrap.dedent(text[text.index("    format:") : text.index("An item is named")])
    book = read_codebook(write(tmp_path, codebook=example)[1])
    assert [coded.item.id for coded in book.items] == ["mine/trust", "mine/imp1", "mine/imp2", "mine/happy"]
    assert book.items[0].item.options == ("Yes", "No")


BAD_BOOKS: list[tuple[str, str, str]] = [
    ("version: 1", "version: 2", "line 2, key 'version': found '2', expected '1'"),
    ("format: polyphony-codebook", "format: other", "key 'format': found 'other'"),
    ("weight: w", "wieght: w", "line 7, key 'wieght': unknown; did you mean 'weight'"),
    ("  topic: life", "  topci: life", "line 19, key 'topci': unknown; did you mean 'topic'"),
    ("missing: [999]}", "missing: [999], foo: 1}", "line 8, key 'foo': unknown"),
    ("{1: male, 2: female}", "{1: male, 2: woman}", "key 'sex': code 2 is 'woman', expected one of female, male"),
    ("codes: {1: male, 2: female}, ", "", "key 'sex': codes are missing"),
    ("title: My survey, ", "", "line 3, key 'title': found None, expected text"),
    ("map: {UK: GBR}", "map: {UK: Brittain}", "line 5, key 'country': unknown country 'Brittain'"),
    ("country: {column: land, map: {UK: GBR}, leave_out: {XX: of no country}}", "", "key 'country': missing"),
    ('options: {1: "Yes", 2: No}', 'options: {1: "Yes"}', "line 14, key 'options'.*at least two options"),
    ('options: {1: "Yes", 2: No}', 'options: {1: "Yes", 01: No}', "line 14, key 'options': code 1 is given twice"),
    (
        'options: {1: "Yes", 2: No}',
        'options: {1: "Yes", -1: No}',
        "line 14, key 'options': code -1 is an option and missing",
    ),
    ('options: {1: "Yes", 2: No}', "foo: 1", "line 14, key 'foo'"),
    ('options: {1: "Yes", 2: No}', "topic: x", "line 14, key 'options': expected either options or scale"),
    ("scale: {0: not at all, 3: completely}", "scale: {0: not at all}", "line 21, key 'scale'.*two whole numbers"),
    ('this: {}?"', 'this?"', "line 16, key 'question'.*expected {} where the battery's parts go"),
    (
        "scale: {0: not at all, 3:",
        "scale: {0: not at all, 99999999:",
        "line 21, key 'scale': found 100,000,000 options",
    ),
    ("  topic: life", "  positions: [1, 5, 3]", "line 19, key 'positions'.*expected all rising or falling"),
    ("  topic: life", "  positions: [1, nan, 3]", "line 19, key 'positions'.*expected all rising or falling"),
    (
        'options: {1: "Yes", 2: No}',
        'options: {1: "Yes", 2: No}, wordings: {fr: {question: Alors, options: {2: Non, 1: Oui}}}',
        "^[^:]*, line 14, key 'options': found codes",
    ),
    ("id: joy", "id: trust", "line 21, key 'id': item 'mine/trust' is given twice"),
    ("ordered: true", "ordered: yes", "line 18, key 'ordered': found 'yes', expected true or false"),
    ("[trust..imp1]", "[trust..imp9]", "line 24, key 'train_items'.*no item has the column 'imp9'; did you mean 'imp"),
    ("    held_out_countries: [GBR]\n", "", "line 24, key 'held_out_countries': missing in split 'half'"),
    ("version: 1", "version: 1\nversion: 1", "line 3: key 'version' is given twice, first in line 2"),
    (
        "  missing: {7: refused}",
        "  missing: [7, {8: x}]",
        "line 20, key 'missing': found {'8': 'x'}, expected a list of",
    ),
    ("  missing: {7: refused}", "  missing: seven", "line 20, key 'missing': found 'seven', expected a mapping"),
    (
        "column: happy, id: joy",
        "column: trust, id: joy",
        "line 21, key 'id': column 'trust' is that of item 'mine/trust'",
    ),
    ("version: 1", "version: [", "is no readable YAML"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD_BOOKS, ids=[message[:34] for *_, message in BAD_BOOKS])
def test_a_bad_codebook_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CODEBOOK
    _, book = write(tmp_path, codebook=CODEBOOK.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_codebook(book)
    assert str(book) in str(error.value)


def test_files_that_are_not_there_or_not_what_they_say(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"codebook .*none\.yaml not found"):
        read_codebook(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match=r"data file .*none\.csv not found"):
        DataFile(tmp_path / "none.csv")
    pd.DataFrame({"a": [f"{i} of many" for i in range(999)]}).to_parquet(tmp_path / "torn.parquet", compression=None)
    whole = (tmp_path / "torn.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(ValueError, match=r"torn\.parquet is no readable parquet file"):
        DataFile(tmp_path / "torn.parquet").read(["a"])
    for name in ("x.xlsx", "x.sav", "x.dta", "x.parquet"):
        (tmp_path / name).write_bytes(b"not a data file")
        with pytest.raises(ValueError, match=f"{name}.*(unknown kind|is no readable)"):
            DataFile(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        ("01", "1"),
        (" 2 ", "2"),
        (-4, "-4"),
        (float("nan"), ""),
        (np.float32("nan"), ""),
        (None, ""),
        ("0.5", "0.5"),
    ],
)
def test_codes_have_one_form(value: object, text: str) -> None:
    assert code_text(value) == text
