"""How a written answer chooses one of an item's options: by its letter, and what of a text becomes a reply.

Options stand in their own order or reversed, by chance for each person and item, the same in all stages. A written
answer is one option: its distribution holds a 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.prompts import LETTERS, lettered
from eval.mark.asking import FloatArray, Reply
from eval.mark.stages import Task
from eval.mark.writing import Schema, Wanted, Writer, Written, one_of, record, words

SHORT = 'Write a JSON object: "reason", one short sentence; "option", the letter of the answer.'
_ANSWER = "You say how the person described answers a survey question. Reply with JSON only."
_BEFORE = "This is what the person answered."  # the reason in a turn that was not written but is given (control)


@dataclass(frozen=True)
class Options:
    """Texts that choose, written by `writer`."""

    writer: Writer

    @property
    def reason(self) -> Schema:
        return words(self.writer.decoding.reason_letters)

    def short(self, letters: Schema) -> Schema:
        """The schema of an answer in short."""
        return record(reason=self.reason, option=letters)

    def wanted(
        self,
        stage: str,
        who: str,
        task: Task,
        text: str,
        schema: Callable[[Schema], Schema],
        before: str = "",
    ) -> Wanted:
        """A text that chooses among the item's options, which stand first in the prompt; `schema` is made of that of
        their letters.
        """
        item = task.item
        shown = lettered(item.question, [item.options[index] for index in self._order(task)])
        form = schema(one_of(LETTERS[: len(item.options)]))
        return Wanted(stage, task.person, who, _ANSWER, f"{shown}\n\n{text}", form, before, task.described)

    def answers(
        self, tasks: Sequence[Task], texts: Sequence[str], stage: str, before: Sequence[int] | None = None
    ) -> list[Reply | None]:
        """Answers in short; with `before`, an option each, after a turn that gave this one."""
        earlier = [""] * len(tasks) if before is None else [*map(self._said, tasks, before)]
        wanted = [
            self.wanted(stage, task.who, task, text, self.short, said)
            for task, text, said in zip(tasks, texts, earlier, strict=True)
        ]
        return [
            None if written.value is None else reply_of(self.one_hot(task, written.value), written)
            for task, written in zip(tasks, self.writer.write(wanted), strict=True)
        ]

    def option(self, task: Task, value: Mapping[str, Any]) -> int:
        return self._order(task)[LETTERS.index(value["option"])]

    def one_hot(self, task: Task, value: Mapping[str, Any]) -> FloatArray:
        return np.asarray(np.eye(len(task.item.options))[self.option(task, value)])

    def _said(self, task: Task, option: int) -> str:
        return json.dumps({"reason": _BEFORE, "option": LETTERS[self._order(task).index(option)]})

    def _order(self, task: Task) -> list[int]:
        """The options' own order or the reverse."""
        own = list(range(len(task.item.options)))
        return own[::-1] if self.writer.rng("order", task.person, task.item.id).random() < 0.5 else own


def value_of(written: Written | None) -> Mapping[str, Any]:
    """What a text says; empty where there is none or it failed its schema."""
    return (written.value if written else None) or {}


def reply_of(p: FloatArray, written: Written) -> Reply:
    reason = str(value_of(written).get("reason", ""))
    return Reply(p, p[None], float("nan"), (written.evidence,), reason)
