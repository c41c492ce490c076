from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.records import AnswerDistribution, Group, Item, ItemWording, Source, Survey
from data.survey_file import SHARE_TOLERANCE, read_survey_file, write_survey_file

HEADER: dict[str, Any] = {"format": "polyphony-survey", "version": 1}
ROW: dict[str, Any] = {
    "item": "my/trust",
    "question": "Can most people be trusted?",
    "options": ["Yes", "No"],
    "ordered": False,
    "country": "Norway",
    "counts": [30, 10],
    "source": "My survey",
    "year": "2024",
    "terms": "CC BY 4.0",
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (ROW | changes).items() if name not in names}


def test_a_file_by_hand(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.jsonl",
        HEADER,
        ROW,
        without("counts", country="us", shares=[0.25, 0.75], age="18-29"),
        without(
            "counts",
            item="my/work",
            options=["low", "mid", "high"],
            ordered=True,
            positions=[0, 1, 5],
            shares=[0.333, 0.333, 0.333],
            n=90,
            n_effective=61.5,
        ),
    )
    survey = read_survey_file(path)
    trust, work = survey.items
    assert trust == Item("my/trust", ROW["question"], ("Yes", "No"), False, "My survey")
    assert work.positions == (0, 1, 5)
    norway, usa, rounded = survey.distributions
    assert norway == AnswerDistribution("my/trust", Group("NOR"), (0.75, 0.25), 40, 40.0, "2024")
    assert (usa.group, usa.n, usa.probabilities) == (Group("USA", "18-29"), 0, (0.25, 0.75))
    assert sum(rounded.probabilities) == pytest.approx(1, abs=1e-12)
    assert (rounded.n, rounded.n_effective) == (90, 61.5)
    assert survey.sources == (Source("My survey", "My survey", "My survey", "CC BY 4.0"),)


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    *((without(name), f"field '{name}': missing") for name in ("item", "question", "options", "ordered", "country")),
    (without("counts"), "'counts' and 'shares': found neither"),
    (without(shares=[0.5, 0.5]), "'counts' and 'shares': found both"),
    (
        without("counts", shares=[0.5, 0.4]),
        r"field 'shares': found \[0.5, 0.4\] with sum 0.9.*sum to 1 \(within 0.01\)",
    ),
    (without("counts", shares=[50, 50]), "divide percentages by 100"),
    (without("counts", shares=[1.5, -0.5]), "field 'shares'.*>= 0"),
    (without("counts", shares=[0.5, None]), "field 'shares'.*list of numbers"),
    (without("counts", shares=[0.5, 0.5], n=-3), "field 'n': found -3"),
    (without("counts", shares=[0.5, 0.5], n=1.5), "field 'n': found 1.5"),
    (without("counts", shares=[0.5, 0.5], n=10, n_effective=11), "field 'n_effective': found 11.*n = 10"),
    (without(country="Norwya"), "field 'country': unknown country 'Norwya'.*did you mean Norway"),
    (without(item=["my", "trust"]), "field 'item': found .*expected non-empty text"),
    (without(counts=[10**400, 1]), "field 'counts': found .*expected finite numbers"),
    (without(counts=[10**20, 1]), "field 'counts': found .*expected whole numbers"),
    (without(options=["Yes"], counts=[3]), r"field 'options': found \[\"Yes\"\], expected at least two"),
    (without(options=["Yes", "Yes"]), "field 'options'.*all different"),
    (without(options=["Yes", ""]), "field 'options'.*non-empty"),
    (without(options="Yes"), "field 'options': found \"Yes\""),
    (without(counts=[3, -1]), r"field 'counts': found \[3, -1\], expected whole numbers >= 0"),
    (without(counts=[3.5, 1]), "field 'counts'.*give shares"),
    (without(counts=[0, 0]), "field 'counts'.*not all 0"),
    (without(counts=[True, 1]), "field 'counts'.*list of numbers"),
    (without(counts=[3, 1, 1]), "field 'counts': found 3 numbers, expected 2"),
    (without(n=7), "field 'n': found 7, expected the sum of counts, 40"),
    (without(ordered="yes"), "field 'ordered': found \"yes\", expected true or false"),
    (without(item=" "), "field 'item': found \" \", expected non-empty text"),
    (without(year=[2024]), r"field 'year': found \[2024\], expected text"),
    (without(ordered=True, positions=[1]), "field 'positions': found 1 numbers, expected 2"),
    (without(ordered=True, positions=[2, 2]), "field 'positions'.*rising or falling"),
    (without(positions=[1, 2]), "field 'positions'.*expected none: ordered is false"),
    (without(optoins=["a"]), "field 'optoins': unknown; did you mean 'options'"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS, ids=[message[:40] for _, message in BAD_ROWS])
def test_a_bad_line_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.jsonl", HEADER, without(country="Sweden"), row)
    with pytest.raises(ValueError, match=message) as error:
        read_survey_file(path)
    assert f"{path}, line 3" in str(error.value)


BAD_FILES: list[tuple[bytes, str]] = [
    (b"", "is empty: expected a first line"),
    (b"\n  \n", "is empty: expected a first line"),
    (b'{"format": "polyphony-survey", "version": 1}\n', "no distribution"),
    (b'{"format": "polyphony-survey", "version": 2}\n', "line 1, field 'version': found 2, expected 1"),
    (b'{"format": "polyphony-survey"}\n', "line 1, field 'version': found null"),
    (b'{"item": "x"}\n', "line 1, field 'format': found null, expected 'polyphony-survey'"),
    (b'{"format": "polyphony-survey", "version": 1, "sorces": []}\n', "line 1, field 'sorces': unknown"),
    (b'{"format": "polyphony-survey", "version": 1, "sources": [{"name": "x"}]}\n', "line 1, field 'sources'"),
    (
        b'{"format": "polyphony-survey", "version": 1}\n{"question": "caf\xe9"}\n',
        "line 2: byte 0xe9 at 17 is not UTF-8",
    ),
    (b'{"format": "polyphony-survey", "version": 1}\n{"item": \n', "line 2: not a JSON object"),
    (b'{"format": "polyphony-survey", "version": 1}\n' + b"[" * 100_000, "line 2: not a JSON object"),
    (b'{"format": "polyphony-survey", "version": 1}\n[1]\n', r"line 2: found \[1\], expected a JSON object"),
    (b'{"format": "polyphony-survey", "version": 1}\n{"item": "a", "item": "b"}\n', "line 2.*given twice"),
    (b'{"format": "polyphony-survey", "version": 1}\n{"shares": [NaN]}\n', "line 2.*NaN is not a JSON number"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES, ids=[message[:40] for _, message in BAD_FILES])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_survey_file(path)
    assert str(path) in str(error.value)


def test_duplicates_and_contradictions_name_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "twice.jsonl", HEADER, ROW, without(country="NO"))
    with pytest.raises(ValueError, match=r"line 3, field 'item': item 'my/trust' for NOR was given already in line 2"):
        read_survey_file(path)
    path = write(tmp_path / "other.jsonl", HEADER, ROW, without(country="SE", options=["No", "Yes"]))
    with pytest.raises(ValueError, match=r"line 3, field 'options': found \('No', 'Yes'\).*\('Yes', 'No'\) in line 2"):
        read_survey_file(path)


def test_another_source_of_an_item_is_named_as_the_line_names_it(tmp_path: Path) -> None:
    path = write(tmp_path / "source.jsonl", HEADER, ROW, without(country="SE", source="Another"))
    with pytest.raises(ValueError, match=r"line 3, field 'source': found 'Another'.* in line 2"):
        read_survey_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        read_survey_file(tmp_path / "nothing.jsonl")


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    text = json.dumps(HEADER) + "\r\n\r\n" + json.dumps(ROW) + "\r\n"
    path.write_text(text, encoding="utf-8-sig", newline="")
    assert len(read_survey_file(path).distributions) == 1


def test_the_share_tolerance_is_what_is_documented(tmp_path: Path) -> None:
    inside, outside = 0.5 - 0.9 * SHARE_TOLERANCE, 0.5 - 1.1 * SHARE_TOLERANCE
    read_survey_file(write(tmp_path / "in.jsonl", HEADER, without("counts", shares=[0.5, inside])))
    with pytest.raises(ValueError, match="shares"):
        read_survey_file(write(tmp_path / "out.jsonl", HEADER, without("counts", shares=[0.5, outside])))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    sources = tuple(
        Source(name, draw(TEXT), draw(TEXT), draw(TEXT), draw(TEXT))
        for name in draw(st.lists(TEXT, min_size=1, max_size=2, unique=True))
    )
    items, made = [], []
    for item_id in draw(st.lists(TEXT, min_size=1, max_size=3, unique=True)):
        options = tuple(draw(st.lists(TEXT, min_size=2, max_size=5, unique=True)))
        ordered = draw(st.booleans())
        positions = tuple(float(2**i) for i in range(len(options))) if ordered and draw(st.booleans()) else None
        survey = draw(st.sampled_from(sources)).name
        translated = st.lists(TEXT, min_size=len(options), max_size=len(options), unique=True).map(tuple)
        wordings = tuple(
            ItemWording(language, draw(TEXT), draw(translated))
            for language in draw(st.lists(st.sampled_from(["zh", "fr"]), max_size=2, unique=True))
        )
        name, paraphrased = draw(TEXT), draw(st.booleans())
        items.append(Item(item_id, draw(TEXT), options, ordered, survey, name, positions, "en", paraphrased, wordings))
        groups = st.builds(
            Group,
            country=st.sampled_from(["NOR", "USA", "VNM"]),
            age=st.sampled_from(["", "18-29"]),
            sex=st.sampled_from(["", "female"]),
            education=st.sampled_from(["", "degree"]),
        )
        for group in draw(st.lists(groups, min_size=1, max_size=4, unique=True)):
            counts = draw(st.lists(st.integers(0, 10**6), min_size=len(options), max_size=len(options)).filter(any))
            n = draw(st.integers(0, 10**6))
            effective = draw(st.floats(0, n))
            shares = tuple(count / sum(counts) for count in counts)
            made.append(
                AnswerDistribution(item_id, group, shares, n, effective, draw(st.sampled_from(["", "2001-2003"])))
            )
    earlier = tuple(replace(d, year="1990") for d in made if d.year and draw(st.booleans()))
    excluded = draw(st.dictionaries(TEXT, st.integers(0, 9), max_size=2))
    return Survey(tuple(items), tuple(made), (), sources, excluded, earlier)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(survey=surveys())
def test_round_trip(tmp_path: Path, survey: Survey) -> None:
    path = tmp_path / "round.jsonl"
    write_survey_file(survey, path)
    assert read_survey_file(path) == survey


def test_an_item_without_people_is_refused_and_the_old_file_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", HEADER, ROW)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no distribution for toy/a"):
        write_survey_file(Survey((Item("toy/a", "A?", ("x", "y"), False, "toy"),), ()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


WORDING: dict[str, Any] = {
    "item": "my/trust",
    "language": "zh",
    "question": "大多数人可信吗？",
    "options": ["是", "否"],
}


def test_a_line_in_another_language_is_a_wording(tmp_path: Path) -> None:
    """Without counts; with counts of a new group (asked in that language); with the same counts again."""
    china = WORDING | {"country": "CHN", "counts": [6, 4]}
    same = WORDING | {"country": "NOR", "counts": [30, 10], "year": 2024, "ordered": False}
    path = write(tmp_path / "mine.jsonl", HEADER, ROW, WORDING, china, same, WORDING | {"language": "fr"})
    survey = read_survey_file(path)
    (item,) = survey.items
    assert item.languages == ("en", "zh", "fr")
    assert item.in_language("zh").options == ("是", "否")
    assert [(d.group.country, d.n) for d in survey.distributions] == [("NOR", 40), ("CHN", 10)]
    assert json.loads(path.read_text().splitlines()[0])["version"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (WORDING | {"options": ["是"]}, "line 4, field 'options'.*at least two"),
        (WORDING | {"options": ["是", "否", "?"]}, r"found 3 in 'zh', expected 2 as item 'my/trust' has in 'en'"),
        (
            WORDING | {"question": "别的？"},
            "line 4, field 'question': found '别的？', but item 'my/trust' has .* in line 3",
        ),
        (WORDING | {"ordered": True}, "field 'ordered': found true, but item 'my/trust' has False"),
        (WORDING | {"counts": [1, 2]}, "field 'country': missing; a line with counts"),
        (WORDING | {"country": "NOR"}, "fields 'counts' and 'shares': found neither"),
        (WORDING | {"country": "NOR", "counts": [1, 2], "year": "2024"}, "for NOR was given already in line 2"),
        (
            {"item": "my/trust", "language": "zh"},
            "field 'question': missing; expected item, question, options, language$",
        ),
        (WORDING | {"language": " "}, "field 'language': found \" \", expected non-empty text"),
    ],
)
def test_a_bad_wording_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.jsonl", HEADER, ROW, WORDING, row)
    with pytest.raises(ValueError, match=message):
        read_survey_file(path)


def test_a_group_may_be_given_once_a_year(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", HEADER, without(year="1999", counts=[9, 1]), ROW, without(year="2010"))
    survey = read_survey_file(path)
    assert [d.year for d in survey.distributions] == ["2024"]
    assert [(d.year, d.probabilities[0]) for d in survey.earlier] == [("1999", 0.9), ("2010", 0.75)]
    with pytest.raises(ValueError, match=r"line 3.*given already in line 2; expected each item × group once a year"):
        read_survey_file(write(tmp_path / "twice.jsonl", HEADER, ROW, ROW))
