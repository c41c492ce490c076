"""MARK's stages by choice scoring: closed questions, answered by the probabilities of their option labels.

Works with any model and cannot fail a schema, so that nobody is left out; there are no reasons in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.records import Item, Turn
from eval.context import AuditContext
from eval.mark.asking import Question, Reply, ask
from eval.mark.functions import FUNCTIONS, RANKS, auxiliaries
from eval.mark.sample import Case
from eval.mark.stages import Conclusion, Stress, Task, TypeFound, Voice, describe, fact, weights

LEVELS = tuple(range(0, 101, 10))
_YES_NO = ("Yes", "No")
_LETTER = "Reply with the letter of one option only."
_ANSWER = Turn("system", f"You say how the person described answers a survey question. {_LETTER}")
_JUDGE = Turn("system", f"You are a careful psychologist. {_LETTER}")


@dataclass(frozen=True)
class ByChoice:
    """`reduction` in (0, 1]: what negative impact leaves of a function's weight."""

    context: AuditContext
    reduction: float
    writes = False

    def stress(self, cases: Sequence[Case]) -> list[Stress | None]:
        """Stage 1: one question a feature over the levels 0, 10, ..., 100; the stress is the expected level."""
        questions = [
            Question(
                "S1 stress",
                _JUDGE,
                "How much stress does this fact of life cause the person, from 0 (none) to 100 (extreme)?",
                tuple(map(str, LEVELS)),
                f"Person: {describe(case.features)}.\nFact: {fact(feature)}.",
            )
            for case in cases
            for feature in case.features
        ]
        replies = iter(ask(self.context, questions))
        found: list[Stress | None] = []
        for case in cases:
            mine = tuple(next(replies) for _ in case.features)
            found.append(Stress(case.features, tuple(float(reply.p @ np.array(LEVELS)) for reply in mine), mine))
        return found

    def types(self, people: Sequence[tuple[str, str, str]]) -> list[TypeFound | None]:
        """Stage 2: the dominant of eight functions, then the auxiliary of the two that it allows."""
        codes = tuple(FUNCTIONS)
        dominant = ask(
            self.context,
            [
                Question(
                    "S2 dominant",
                    _JUDGE,
                    "Which way of thinking leads this person? The person ...",
                    tuple(FUNCTIONS[code].normal for code in codes),
                    f"Person: {profile}.",
                    ways="every_place",
                )
                for _, _, profile in people
            ],
        )
        leading = [codes[int(np.argmax(reply.p))] for reply in dominant]
        auxiliary = ask(
            self.context,
            [
                Question(
                    "S2 auxiliary",
                    _JUDGE,
                    f"This person {FUNCTIONS[code].normal}. What supports this? The person also ...",
                    tuple(FUNCTIONS[other].normal for other in auxiliaries(code)),
                    f"Person: {profile}.",
                )
                for (_, _, profile), code in zip(people, leading, strict=True)
            ],
        )
        return [
            TypeFound(code, auxiliaries(code)[int(np.argmax(second.p))], first.p, second.p, (first, second))
            for code, first, second in zip(leading, dominant, auxiliary, strict=True)
        ]

    def voices(self, tasks: Sequence[Task]) -> list[tuple[Voice, ...] | None]:
        """Stages 3 and 4: the four functions' voices, dominant first."""
        each = [(task, code) for task in tasks for code in task.stack]
        impact = ask(self.context, [_impact_question(task, code) for task, code in each])
        negative = [float(reply.p[0]) for reply in impact]
        described = [
            FUNCTIONS[code].stressed if value > 0.5 else FUNCTIONS[code].normal
            for (_, code), value in zip(each, negative, strict=True)
        ]
        first = ask(
            self.context,
            [answer_question(task, text, stage="S3 answer") for (task, _), text in zip(each, described, strict=True)],
        )
        said = [task.item.options[int(np.argmax(reply.p))] for (task, _), reply in zip(each, first, strict=True)]
        check = ask(
            self.context,
            [
                _consistency_question(task.item, text, answer)
                for (task, _), text, answer in zip(each, described, said, strict=True)
            ],
        )
        again = [index for index, reply in enumerate(check) if reply.p[0] < 0.5]
        second = ask(
            self.context,
            [answer_question(each[i][0], described[i], stage="S4 revision", contradicted=said[i]) for i in again],
        )
        revision = dict(zip(again, second, strict=True))
        voices: list[tuple[Voice, ...] | None] = []
        for start in range(0, len(each), len(RANKS)):
            places = range(start, start + len(RANKS))
            shares = weights([negative[i] > 0.5 for i in places], self.reduction)
            voices.append(
                tuple(
                    Voice(
                        code=each[i][1],
                        rank=rank,
                        negative=negative[i],
                        description=described[i],
                        weight=share,
                        first_by_order=first[i].by_order,
                        consistent=float(check[i].p[0]),
                        p=revision[i].p if i in revision else first[i].p,
                        replies=(impact[i], first[i], check[i], *([revision[i]] if i in revision else [])),
                    )
                    for i, rank, share in zip(places, RANKS, shares, strict=True)
                )
            )
        return voices

    def conclude(self, tasks: Sequence[Task], voices: Sequence[Sequence[Voice]]) -> list[Conclusion | None]:
        return [None] * len(tasks)

    def dominant(self, tasks: Sequence[Task], leading: Sequence[Voice], stage: str) -> list[Reply | None]:
        questions = [
            answer_question(task, voice.description, stage) for task, voice in zip(tasks, leading, strict=True)
        ]
        return [*ask(self.context, questions)]

    def plain(self, tasks: Sequence[Task], stage: str, before: Sequence[int] | None = None) -> list[Reply | None]:
        questions = [answer_question(task, stage=stage) for task in tasks]
        if before is not None:
            questions = [replace(one, before=option) for one, option in zip(questions, before, strict=True)]
        return [*ask(self.context, questions)]


def answer_question(task: Task, description: str = "", stage: str = "baseline", contradicted: str = "") -> Question:
    """The survey item put to the person, who decides in the way described; an empty text states nothing."""
    parts = [f"Person: {task.profile}."] if task.profile else []
    if description:
        parts.append(f"The person {description}.")
    if contradicted:
        parts.append(f'The answer "{contradicted}" does not fit this. Think again.')
    text = "\n".join(parts)
    return Question(stage, _ANSWER, task.item.question, task.item.options, text, place=task.described)


def _impact_question(task: Task, code: str) -> Question:
    text = f"Survey question: {task.item.question}\nPerson: {task.profile}.\nThe person {FUNCTIONS[code].normal}."
    return Question("S3 impact", _JUDGE, "Does stress harm this way of deciding here?", _YES_NO, text)


def _consistency_question(item: Item, description: str, answer: str) -> Question:
    scale = f" (on a scale from {item.options[0]} to {item.options[-1]})" if item.ordered else ""
    text = f"Survey question: {item.question}{scale}\nThe person {description}.\nAnswer: {answer}"
    return Question("S4 check", _JUDGE, "Does the answer fit the person?", _YES_NO, text)
