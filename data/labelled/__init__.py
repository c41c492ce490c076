"""Survey takers' replies with a label for each axis of insensitivity: what rules and judges are held against.

See README.md here for how the replies were made and labelled. One line of `answers.jsonl` (shortened):

    {"id": "a017", "origin": "generated", "part": "development", "country": "EGY", "question": "Do you think that …",
     "options": ["About the right amount", "Too much", "Too little"], "reply": "C. Too much",
     "labels": {"instruction": 1, "question_capture": 0, "value_conflict": 1, …}}

The surprise: 1 is the fault. A label is None where the axis asks nothing of such a reply or cannot be told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

AXES = ("instruction", "question_capture", "role_play", "value_conflict", "false_facts", "irrelevance")
"""The six axes of Liu et al., IP&M 62(4) 2025, 104099, in the paper's order."""

ORIGINS = ("generated", "written")
PARTS = ("development", "held_out")
"""The rules were corrected after looking at their errors on the one, and not changed after the other was labelled."""

_TEXTS = (
    "id",
    "origin",
    "part",
    "item",
    "country",
    "place",
    "persona",
    "question",
    "reply",
    "letter",
    "explanation",
    "finish",
)
_ABOUT = ("origin", "part", "memory", "labels", "second")
_FIELDS = (*_TEXTS, "memory", "options", "order", "answer", "temperature", "labels", "second")

Labels = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """A reply with its labels by axis: 1 insensitive, 0 sensitive, None undefined. `second` are those of the second
    pass, None where there was none. `part` is one of PARTS. `row` has the columns of DEF's evidence in `explain` mode.
    """

    id: str
    origin: str
    part: str
    row: Mapping[str, Any]
    labels: Labels
    second: Labels | None


def load_labelled(path: Path | None = None) -> tuple[LabelledAnswer, ...]:
    """Read and check a file of labelled replies; the one shipped with the project when `path` is None.

    Raises FileNotFoundError for a missing file and ValueError, naming file, line and field, for a line that breaks the
    schema or repeats an id.
    """
    file = resources.files("data.labelled") / "answers.jsonl" if path is None else path
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of labelled answers, expected a JSON Lines file")
    found: dict[str, LabelledAnswer] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            one = _answer(json.loads(line))
            if one.id in found:
                raise ValueError(f"id: {one.id!r} is taken by an earlier line, expected a new one")
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number}: not valid JSON at column {error.colno}: {error.msg}") from error
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
        found[one.id] = one
    if not found:
        raise ValueError(f"{file}: holds no answer, expected one JSON object a line")
    return tuple(found.values())


def _answer(record: Any) -> LabelledAnswer:
    if not isinstance(record, dict) or set(record) != set(_FIELDS):
        found = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"expected an object with the fields {list(_FIELDS)}, found {found}")
    for name in _TEXTS:
        if not isinstance(record[name], str):
            raise ValueError(f"{name}: expected text, found {record[name]!r}")
    for name, known in (("origin", ORIGINS), ("part", PARTS)):
        if record[name] not in known:
            raise ValueError(f"{name}: expected one of {list(known)}, found {record[name]!r}")
    options, order = record["options"], record["order"]
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(option, str) for option in options):
        raise ValueError(f"options: expected a list of two or more texts, found {options!r}")
    if not isinstance(order, list) or sorted(order) != list(range(len(options))):
        raise ValueError(f"order: expected the numbers 0 to {len(options) - 1} in some order, found {order!r}")
    if record["answer"] not in (-1, *order):
        raise ValueError(f"answer: expected -1 or an option's index below {len(options)}, found {record['answer']!r}")
    memory = record["memory"]
    pairs = isinstance(memory, list) and all(isinstance(m, dict) and set(m) == {"question", "answer"} for m in memory)
    if not pairs:
        raise ValueError(f"memory: expected a list of objects with question and answer, found {memory!r}")
    row = {name: record[name] for name in _FIELDS if name not in ("id", *_ABOUT)}
    row |= {"participant": record["id"], "condition": "participants", "memory": json.dumps(memory, ensure_ascii=False)}
    second = None if record["second"] is None else _labels(record["second"], "second")
    return LabelledAnswer(
        record["id"], record["origin"], record["part"], row, _labels(record["labels"], "labels"), second
    )


def _labels(record: Any, field: str) -> Labels:
    if not isinstance(record, dict) or set(record) != set(AXES):
        found = sorted(record) if isinstance(record, dict) else record
        raise ValueError(f"{field}: expected an object with the axes {list(AXES)}, found {found!r}")
    for axis, label in record.items():
        if label is not None and (isinstance(label, bool) or label not in (0, 1)):
            raise ValueError(f"{field}.{axis}: expected 0, 1 or null, found {label!r}")
    return {axis: record[axis] for axis in AXES}
