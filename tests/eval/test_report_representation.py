"""The first-token blocks of the report: the right estimate in the right place, and nothing where there is none."""

from __future__ import annotations

from typing import Any

from eval.report.representation import blocks
from eval.report.summary import Summary
from eval.report.tables import Table
from eval.report.wording import condition

NAN = float("nan")


def row(name: str, group: str, asked: str, value: float, arm: str = "base") -> dict[str, Any]:
    return {"arm": arm, "audit": "first_token", "name": name, "group": group, "condition": asked, "value": value,
            "low": value - 0.1, "high": value + 0.1, "n": 3, "method": "bootstrap"}  # fmt: skip


def summary(*rows: dict[str, Any]) -> Summary:
    arms = [{"name": "base", "recipe": "none"}, {"name": "match", "recipe": "match"}]
    return Summary({"schema": 1, "experiment": "x", "arms": arms, "estimates": list(rows)})


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in line.cells] for line in table.rows]


def test_a_table_a_demographic_with_floors() -> None:
    rows = [
        row("js_distance", "country=NOR", "country", 0.4),
        row("js_distance", "country=NOR", "country", 0.2, "match"),
        row("fidelity", "country=NOR", "country", 0.35),
        row("people", "country=NOR", "reference:people", 812.4),
        row("js_distance", "country=NOR", "reference:people_again", 0.05),
        row("js_distance", "country=NOR", "reference:uniform", 0.3),
        *(row("js_distance", f"age={band}", "country+age", value) for band, value in (("50+", 0.5), ("18-29", 0.6))),
        row("js_distance", "age=18-29", "country", 0.9),  # of another condition: not in the table by age
        row("js_distance", "age=18-29", "reference:people_again (country+age)", 0.09),
    ]
    (block,) = blocks(summary(*rows), (), {})
    by_country, by_age = block.tables
    assert [column.title for column in by_country.columns][:4] == [
        "Country",
        "People",
        "JS distance, base",
        "Excess, base",
    ]
    assert texts(by_country) == [["Norway", "812", "0.400", "0.350", "0.200", "—", "0.050", "—", "0.300"]]
    assert by_country.rows[0].cells[2].key == "base|first_token|js_distance|country=NOR|country"
    assert by_country.rows[0].cells[1].interval == ""
    assert [line[0] for line in texts(by_age)] == ["18-29", "50+"]
    assert texts(by_age)[0][2] == "0.600"
    assert texts(by_age)[0][6] == "0.090"


def test_home_bias_with_and_without_a_persona() -> None:
    rows = [
        row("us_centrism", "all", "none", 0.06),
        row("us_centrism", "all", "country", 0.02),
        row("us_centrism", "all", "reference:people", -0.1),
        row("similarity", "country=NOR", "none", 0.7),
    ]
    (block,) = blocks(summary(*rows), (), {})
    pull, near = block.tables
    assert [line[:3] for line in texts(pull)] == [
        ["base", "no persona", "0.060"],
        ["base", "country stated", "0.020"],
        ["uniform guess", "", "—"],
        ["people", "", "−0.100"],
    ]
    assert texts(near) == [["Norway", "0.700", "—"]]


def test_knowledge_manners_and_published() -> None:
    rows = [
        row("js_distance", "all", "country", 0.3),
        row("js_distance", "all", "country (fr)", 0.4),
        row("js_distance", "all", "shuffled_persona", 0.35),
        row("country_knowledge", "all", "country", 0.05),
        row("language_distance", "all", "country (fr)", 0.2),
        row("accuracy_as_published", "all", "country", 0.5),
        row("accuracy_as_published", "country=NOR", "country", 0.5),
    ]
    knowledge, manners, published = blocks(summary(*rows), (), {})
    assert texts(knowledge.tables[0]) == [["base", "country stated", "0.350", "0.050", "—"]]
    moved, fit = manners.tables
    assert texts(moved) == [["base", "country stated, in language fr", "0.200"]]
    assert [line[1:] for line in texts(fit)] == [
        ["country stated", "0.300"],
        ["country stated, in language fr", "0.400"],
    ]
    assert texts(published.tables[0]) == [["Norway", "50.0%", "—"]]
    assert published.folded
    assert blocks(summary(row("perplexity", "all", "neutral text", 9.0)), (), {}) == []


def test_reference_rows_of_a_manner_are_those_of_what_it_states() -> None:
    rows = [
        row("js_distance", "all", "reference:uniform", 0.1),
        row("js_distance", "all", "reference:uniform (country+age)", 0.2),
        row("js_distance", "all", "reference:uniform (country (fr))", 0.3),
    ]
    for beside, value in (
        ("country", 0.1),
        ("country (portrayal)", 0.1),
        ("country+age (portrayal)", 0.2),
        ("country (fr)", 0.3),
    ):
        (found,) = summary(*rows).references("first_token", "js_distance", "all", beside=beside).values()
        assert found.value == value, beside


def test_conditions_in_words() -> None:
    assert condition("country+sex+education") == "country, sex and education stated"
    assert condition("country+age (question_answer)") == "country and age stated, as questions and answers"
    assert condition("reference:uniform (country (fr))") == "uniform guess (country stated, in language fr)"
    assert condition("reference:earlier_wave") == "people in the earlier wave"
