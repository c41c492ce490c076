"""How MARK asks: closed questions, each in several orders of its options, the same prompt once.

Small models answer by place, so every question is averaged over orders after mapping back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.prompts import LETTERS, OptionPrompt, in_any_order, lettered, orders
from data.records import Turn
from eval.context import AuditContext

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """A closed question of a stage; `ask` follows the options. Options are shown in their own order and reversed, or
    in all cyclic shifts (every_place), as `ways` says. `before` is the option with which the assistant has answered the
    same question, in the same order, in an earlier turn (None: there is none). `place` is the country of the person who
    is described to answer ("": it is not stated), None where nobody is.
    """

    stage: str
    system: Turn
    text: str
    options: tuple[str, ...]
    ask: str
    ways: Literal["both", "every_place"] = "both"
    before: int | None = None
    place: str | None = None

    @property
    def orders(self) -> list[tuple[int, ...]]:
        count = len(self.options)
        own = tuple(range(count))
        if self.ways == "every_place":
            return orders(count, ordered=False, exhaustive=count)
        return [own, own[::-1]]


@dataclass(frozen=True)
class Reply:
    """`p` (k,) is the mean of `by_order` (orders, k), both over the question's own option order; `evidence` holds each
    prompt as it was tokenised, with the probabilities in the order shown, or with what was written; `option_mass` is
    the prompts' mean, NaN where a text was written; `reason` is the model's own, where it gives one.
    """

    p: FloatArray
    by_order: FloatArray
    option_mass: float
    evidence: tuple[dict[str, object], ...]
    reason: str = ""


def ask(context: AuditContext, questions: Sequence[Question]) -> list[Reply]:
    """Replies in the order of `questions`. Prompts that are the same are scored once."""
    shown = [[(order, _prompt(context, question, order)) for order in question.orders] for question in questions]
    distinct = list(dict.fromkeys(prompt for ways in shown for _, prompt in ways))
    if not distinct:
        return []
    scored = context.answerer.score(distinct, context.progress(f"mark {questions[0].stage}"))
    answers = dict(zip(distinct, scored, strict=True))
    replies = []
    for question, ways in zip(questions, shown, strict=True):
        rows = np.empty((len(ways), len(question.options)))
        evidence: list[dict[str, object]] = []
        for row, (order, prompt) in zip(rows, ways, strict=True):
            answer = answers[prompt]
            row[list(order)] = answer.probabilities
            evidence.append(
                {
                    "stage": question.stage,
                    "text": prompt.text,
                    "shown": [question.options[index] for index in order],
                    "p": np.round(answer.probabilities, 6).tolist(),
                    "option_mass": round(answer.option_mass, 6),
                }
            )
        mass = float(np.mean([answers[prompt].option_mass for _, prompt in ways]))
        replies.append(Reply(rows.mean(axis=0), rows, mass, tuple(evidence)))
    return replies


def _prompt(context: AuditContext, question: Question, order: tuple[int, ...]) -> OptionPrompt:
    system, renderer = question.system, context.renderer
    if question.place is not None:
        system = Turn("system", renderer.described(system.text, question.place))

    def put(shown: tuple[int, ...]) -> OptionPrompt:
        turns, options = [system], [question.options[index] for index in shown]
        if question.before is not None:
            asked = f"{lettered(question.text, options)}\n\n{question.ask}"
            turns += [Turn("user", asked), Turn("assistant", LETTERS[shown.index(question.before)])]
        return renderer.closed(turns, question.text, options, question.ask)

    return in_any_order(put, order)
