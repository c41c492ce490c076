"""MARK's traces for the page's browser: one person with all arms side by side, small enough for hundreds of people.

What is long stands in lists without names; `report.js` reads them in the order given here.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from eval.report import wording

NEEDED = (
    "respondent",
    "item",
    "country",
    "age",
    "sex",
    "education",
    "question",
    "options",
    "human",
    "answer",
    "p",
    "features",
    "type",
    "functions",
)
OPTIONAL = (
    "condition",
    "type_reason",
    "p_demographics_only",
    "explanation",
    "concluded",
    "cited_feature",
    "cited_function",
)


class Reasoning(TypedDict):
    """How one arm came to its answer (an index, as all answers): `share` of the vote; `plain`, the answer without
    stages; `concluded`, what the model itself ended with (text), and what it said counts most.

    `voices`: [function, rank, weight, under stress, revised, first answer, answer, reason, reason of the check, reason
    of the revision].
    """

    arm: str
    answer: int
    share: float
    plain: int | None
    voices: list[list[Any]]
    explanation: str
    concluded: str
    cited: list[str]


class Mind(TypedDict):
    """What one arm finds of the person whatever is asked: the type with its reason, and the stress of each feature,
    ["name: value", level, kept, reason].
    """

    type: str
    why: str
    stress: list[list[Any]]


class Question(TypedDict):
    """`own` is the index of what the person answered."""

    text: str
    options: list[str]
    own: int
    decisions: list[Reasoning]


class Trace(TypedDict):
    person: str
    country: str
    facts: list[str]
    minds: dict[str, Mind]
    questions: list[Question]


def person_trace(person: str, rows: Sequence[Mapping[Hashable, Any]]) -> Trace:
    """The trace of one person from its rows of all arms (`NEEDED`, "arm", and of `OPTIONAL` what is there)."""
    first = rows[0]
    questions: dict[str, Question] = {}
    minds: dict[str, Mind] = {}
    for row in rows:
        options = [str(option) for option in row["options"]]
        new: Question = {"text": str(row["question"]), "options": options, "own": int(row["human"]), "decisions": []}
        questions.setdefault(str(row["item"]), new)["decisions"].append(_reasoning(row, options))
        if row["arm"] not in minds:
            minds[str(row["arm"])] = _mind(row)
    return {
        "person": person,
        "country": wording.country(str(first["country"])),
        "facts": [str(first[name]) for name in ("age", "sex", "education") if first[name]],
        "minds": minds,
        "questions": list(questions.values()),
    }


def _reasoning(row: Mapping[Hashable, Any], options: Sequence[str]) -> Reasoning:
    place = {option: index for index, option in enumerate(options)}
    plain = row.get("p_demographics_only")
    return {
        "arm": str(row["arm"]),
        "answer": int(row["answer"]),
        "share": round(float(row["p"][int(row["answer"])]), 3),
        "plain": int(plain.argmax()) if isinstance(plain, np.ndarray) else None,
        "voices": [
            [
                voice["function"],
                voice["rank"],
                round(voice["weight"], 2),
                int(voice["under_stress"]),
                int(voice["revised"]),
                place.get(voice.get("first_answer", voice["answer"]), -1),
                place.get(voice["answer"], -1),
                *(voice.get(name, "") for name in ("reason", "check_reason", "revision_reason")),
            ]
            for voice in json.loads(row["functions"])
        ],
        "explanation": _text(row, "explanation"),
        "concluded": _text(row, "concluded"),
        "cited": [text for name in ("cited_function", "cited_feature") if (text := _text(row, name))],
    }


def _mind(row: Mapping[Hashable, Any]) -> Mind:
    stress = [
        [f"{f['name']}: {f['value']}", round(f["stress"]), int(f["kept"]), f.get("reason", "")]
        for f in json.loads(row["features"])
    ]
    return {"type": str(row["type"]), "why": _text(row, "type_reason"), "stress": stress}


def _text(row: Mapping[Hashable, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
