"""The census of a run: its questions about groups of models, checked before it starts, answered when it is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch.asked import Asked
from launch.build import build_as, nearest
from launch.cells import Cell

if TYPE_CHECKING:
    from data.records import Survey
    from eval.cells import AnswersOf, CellResult
    from eval.census_questions import Question


def questions_of(nodes: Sequence[Mapping[str, Any]]) -> list[Question]:
    """The questions as the configuration states them. Raises ValueError naming the first that is none."""
    from eval.census_questions import Question

    found = [build_as(Question, node, f"questions[{place}]") for place, node in enumerate(nodes)]
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"questions: two are called {twice[0]!r}")
    return found


def check_questions(asked: Asked) -> None:
    """Raise ValueError where a question is wrong, or goes by a tag that no model of the run has."""
    if not asked.questions:
        return
    tags = {tag for cell in asked.cells for tag in (cell["model"].get("tags") or {})}
    for place, one in enumerate(questions_of(asked.questions)):
        if one.by and one.by not in tags:
            raise ValueError(f"questions[{place}].by names {one.by!r}, a tag that no model has{nearest(one.by, tags)}")


def census_of(
    experiment: Mapping[str, Any],
    results: Sequence[CellResult],
    summary: Mapping[str, Any],
    survey: Survey,
    answers: Mapping[str, AnswersOf],
    draws: int | None = None,
) -> dict[str, Any]:
    """summary.json's "census", from the rest of the summary and what the cells left; {} where no question was asked.
    `draws` bootstrap resamples (None: `eval.bootstrap.DRAWS`).
    """
    nodes = experiment.get("questions") or ()
    if not nodes:
        return {}
    from eval.bootstrap import DRAWS
    from eval.cells import arms_of
    from eval.census import Census
    from eval.first_token.audit import people_table

    arms = {arm.name: arm for arm in arms_of(results)}
    return Census(
        arms=arms,
        tags={name: (arm.first.config.get("model") or {}).get("tags") or {} for name, arm in arms.items()},
        status={row["name"]: row["validity"]["status"] for row in summary["arms"]},
        answers=answers,
        people=people_table(survey),
        no_verdict="; ".join(summary["not_a_result"]),
        draws=DRAWS if draws is None else draws,
    ).summary(questions_of(nodes))


def verdicts_of(census: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The census's answers as summary.json's "verdicts" have them, so that they stand where a reader looks first."""
    facts = ("statement", "verdict", "sentence", "value", "low", "high", "margin", "p_equivalence")
    contrast = {"factor": "", "own": [], "others": [], "warning": ""}
    return [
        {"hypothesis": row["name"], "contrast": contrast | {"meant": row["method"]}}
        | {name: row[name] for name in facts}
        for row in census.get("questions") or ()
    ]


def tags_of(cells: Sequence[Cell]) -> list[Any]:
    """What the census depends on beside the audits: the models' tags, and why models are missing."""
    return [[cell.config["model"].get("tags"), cell.missing, cell.manifest.get("error")] for cell in cells]
