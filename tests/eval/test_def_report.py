from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from survey_takers import Question, make_context, people_of

from data.records import AnswerDistribution, Group, Split, Survey
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.diversity_enhanced.participants import ABLATIONS
from eval.records import AuditResult
from eval.report.blocks import Block
from eval.report.def_report import EXAMPLES, blocks
from eval.report.evidence import Cell
from eval.report.summary import Summary


def shown(result: AuditResult, folder: Path) -> dict[str, Block]:
    """The blocks of one untrained arm with this result, by heading."""
    place = folder / "audits" / "def"
    place.mkdir(parents=True)
    result.items.to_parquet(place / "items.parquet")
    rows = [{"arm": "base", "audit": "def", **asdict(one)} for one in result.estimates]
    raw = {"schema": 1, "experiment": "x", "arms": [{"name": "base", "recipe": "none"}], "estimates": rows}
    return {block.heading: block for block in blocks(Summary(raw), [Cell("base", folder)], {})}


@pytest.fixture(scope="module")
def with_ages(tiny_survey: Survey) -> Survey:
    """The tiny survey with both sexes in Ghana."""
    more = [
        AnswerDistribution(item.id, Group("GHA", sex=sex), (1.0,) + (0.0,) * (len(item.options) - 1), 90, 90.0)
        for item in tiny_survey.items
        for sex in ("female", "male")
    ]
    return Survey(tiny_survey.items, (*tiny_survey.distributions, *more))


def test_choices(with_ages: Survey, tiny_split: Split, tmp_path: Path) -> None:
    context, _ = make_context(with_ages, tiny_split, people_of(with_ages))
    result = DiversityEnhanced(4, 5, 2, 3, ablations=ABLATIONS, draws=20)(context)
    found = shown(result, tmp_path / "cell")
    assert "Written answers" not in found
    bribe, vote = found["What the participants answered"].tables
    assert bribe.caption == "Is it justified to accept a bribe? (toy/bribe; 4 countries)"
    assert [column.title for column in bribe.columns] == ["Whose", "Never", "Seldom", "Often", "Always", "Answers"]
    people, base = bribe.rows  # the participants answer as people do
    assert [cell.text for cell in people.cells[1:-1]] == [cell.text for cell in base.cells[1:-1]]
    assert base.cells[-1].text == "20"
    assert people.reference
    assert len(vote.rows) == 2
    assert len(found["What they answered, country by country"].tables[0].rows) == 8
    (ablations,) = found["What the diversity modifications do"].tables
    assert len(ablations.rows) == 3 * 4
    assert ablations.rows[1].cells[2].text == "0.000"
    groups, gaps = found["Whose people the participants resemble"].tables
    assert [row.cells[0].text for row in groups.rows] == ["age 18-29", "age 30-49", "age 50+", "sex female", "sex male"]
    assert [column.title for column in gaps.columns] == ["Arm", "Age gap", "Sex gap"]
    diverse = found["How diverse the participants are"].tables[0]
    assert [row.cells[0].text for row in diverse.rows] == ["base", "people, as many"]


def test_written_answers(tiny_survey: Survey, tiny_split: Split, tmp_path: Path) -> None:
    def writer(question: Question) -> str:
        return "" if question.repeat == 1 else f"A. {question.shown[0]}. <b>{'x' * 500}</b>"

    context, _ = make_context(tiny_survey, tiny_split, writer=writer)
    found = shown(DiversityEnhanced(4, 3, 2, 3, answering="explain", draws=20)(context), tmp_path / "cell")
    (table,) = found["Written answers"].tables
    assert len(table.rows) == EXAMPLES
    texts = [row.cells[3].text for row in table.rows]
    assert any(text.startswith("A. ") and text.endswith("x…") for text in texts)
    assert any(row.cells[3].text == "(nothing)" and row.cells[4].text == "unreadable" for row in table.rows)
    assert "written answers that could be read" in found["What the participants answered"].intro


def test_nothing_to_show(tmp_path: Path) -> None:
    raw = {"schema": 1, "experiment": "x", "arms": [{"name": "base", "recipe": "none"}], "estimates": []}
    assert blocks(Summary(raw), [Cell("base", tmp_path)], {}) == []
