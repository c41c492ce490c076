"""The interviews: all participants answer an item before any goes on to the next, one batch an item.

Two ways of answering. `choice` reads the option distribution and draws an answer from it: fast, and never fails.
`explain` lets the model write an answer and a reason; the option is read from the text (`.replies`).
The positive controls put the question again to some participants, with the same order of options: `control:told`, whose
persona says what the people around them answer, and `control:remembered`, who remember last that they answered the very
question so (the weaker a model, the likelier that it repeats a letter without understanding a sentence).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from data.prompts import LETTERS, OptionPrompt, in_any_order, lettered
from data.records import Group, Item
from eval.answers import OptionAnswer, TextAnswer, TextRequest
from eval.context import AuditContext
from eval.diversity_enhanced.participants import PARTICIPANTS, Pair, Participant, shuffled
from eval.diversity_enhanced.replies import UNPARSED, disclaims, first_sentence, read_reply

TOLD, REMEMBERED = "control:told", "control:remembered"
CONTROLS = (TOLD, REMEMBERED)
EXPLAIN = "You answer survey questions. Answer with the letter of one option, then explain your answer in one sentence."
PEOPLE_ANSWER = {
    "ar": "يجيب كل الناس هناك: {option}.",
    "de": "Alle Leute dort antworten: {option}.",
    "en": "All people there answer: {option}.",
    "es": "Toda la gente de allí responde: {option}.",
    "fr": "Tous les gens là-bas répondent : {option}.",
    "zh": "那里的人都回答：{option}。",
}
"""What the control TOLD adds to the persona, by language."""


@dataclass(frozen=True, slots=True)
class Way:
    """How participants answer: `explain` in writing, of at most `max_tokens` tokens, or by choice. The first `controls`
    participants of each country are also asked the positive controls.
    """

    explain: bool
    max_tokens: int
    controls: int


@dataclass(frozen=True, slots=True)
class _Put:
    """A question as it is put to one participant; `told` is the option that a control of CONTROLS names, or -1."""

    who: Participant
    order: tuple[int, ...]
    persona: str
    prompt: OptionPrompt
    told: int = UNPARSED
    control: str = ""


def interview(
    questionnaire: Sequence[Item], everyone: Sequence[Participant], per_country: int, way: Way, context: AuditContext
) -> pd.DataFrame:
    """One row a participant, condition and item, in the order in which they were asked.

    Columns: participant, item, country, place, condition, stratum, step, memory_length, remembered, greedy, question,
    options (list, in the order shown), order, persona, memory (JSON list of {question, answer}), prompt, answer (index
    in the item's own order; UNPARSED), letter, told (-1), q and n (people of the country; None and 0), ordered,
    positions. By choice also labels, probabilities (in the order shown), p (in the item's own), option_mass; explained
    also reply, explanation, finish, disclaimer.
    """
    report = context.progress("simulated survey takers")
    controls = sum(who.number < way.controls and who.condition == PARTICIPANTS for who in everyone)
    total = len(questionnaire) * (len(everyone) + len(CONTROLS) * controls)
    rows: list[dict[str, Any]] = []
    for step, item in enumerate(questionnaire):
        put = [_put(item, who, step, per_country, way, context) for who in everyone]
        asked = [first for first, *_ in put] + [control for _, *controls in put for control in controls]
        done = len(rows)
        answers = _answers(asked, way, context, lambda n, _, done=done: report(done + n, total))
        for one, answer in zip(asked, answers, strict=True):
            row = _row(item, one, step, context)
            if isinstance(answer, TextAnswer):
                rows.append(row | _written(answer, one, row["options"]))
            else:
                rows.append(row | _chosen(answer, one, step))
        for one, row in zip(asked, rows[done:], strict=True):
            if not one.control:
                _remember(item, one, row, step, way)
    return pd.DataFrame(rows)


def _put(item: Item, who: Participant, step: int, per_country: int, way: Way, context: AuditContext) -> list[_Put]:
    """The question, and where the participant is of the control group the same with an answer suggested in each way."""
    renderer, luck = context.renderer, np.random.default_rng([context.seed, 2, step])
    order = shuffled(len(item.options), who.number, per_country, luck)
    if who.condition == "no_order":
        order = tuple(range(len(item.options)))
    instruction = EXPLAIN if way.explain else renderer.frame.instruction
    persona = who.persona(renderer)
    first = _Put(who, order, persona, who.ask(item, order, renderer, instruction, persona))
    if who.condition != PARTICIPANTS or who.number >= way.controls:
        return [first]
    told = who.told(len(item.options), step)
    said = PEOPLE_ANSWER[renderer.asking.language].format(option=item.options[told])
    more = f"{persona}{renderer.frame.biography_joint}{said}"

    def remembering(shown: tuple[int, ...]) -> Participant:
        pair = Pair(lettered(item.question, [item.options[index] for index in shown]), LETTERS[shown.index(told)])
        return replace(who, memory=[*who.memory, pair])

    def ask(shown: tuple[int, ...]) -> OptionPrompt:
        return remembering(shown).ask(item, shown, renderer, instruction, persona)

    return [
        first,
        _Put(who, order, more, who.ask(item, order, renderer, instruction, more), told, TOLD),
        _Put(remembering(order), order, persona, in_any_order(ask, order), told, REMEMBERED),
    ]


def _answers(
    asked: Sequence[_Put], way: Way, context: AuditContext, progress: Any
) -> Sequence[OptionAnswer | TextAnswer]:
    if not way.explain:
        return context.answerer.score([one.prompt for one in asked], progress)
    chat = context.renderer.asking.style != "completion"
    stop = () if chat else (f"\n\n{context.renderer.frame.question.strip()}",)
    requests = [
        TextRequest(
            one.prompt.text,
            way.max_tokens,
            temperature=0.0 if one.who.greedy else 1.0,
            stop=stop,
            seed=context.seed,
            repeat=0 if one.who.greedy else one.who.number,
        )
        for one in asked
    ]
    return context.answerer.generate(requests, progress)


def _row(item: Item, one: _Put, step: int, context: AuditContext) -> dict[str, Any]:
    who = one.who
    people = context.survey.people.get((item.id, Group(who.country)))
    return {
        "participant": who.id,
        "item": item.id,
        "country": who.country,
        "age": "",
        "sex": "",
        "education": "",
        "condition": one.control or who.condition,
        "stratum": "held_out",
        "place": who.place,
        "memory_length": who.memory_length,
        "remembered": len(who.memory),
        "greedy": who.greedy,
        "step": step,
        "question": item.question,
        "options": [item.options[index] for index in one.order],
        "order": list(one.order),
        "persona": one.persona,
        "memory": json.dumps([{"question": pair.question, "answer": pair.answer} for pair in who.memory]),
        "prompt": one.prompt.text,
        "told": one.told,
        "q": None if people is None else np.asarray(people.probabilities),
        "n": 0.0 if people is None else people.n_effective,
        "ordered": item.ordered,
        "positions": None if item.scale is None else np.asarray(item.scale),
    }


def _chosen(answer: OptionAnswer, one: _Put, step: int) -> dict[str, Any]:
    p = np.empty(len(one.order))
    p[list(one.order)] = answer.probabilities
    chosen = one.who.choose(p, step)
    return {
        "labels": list(one.prompt.labels),
        "probabilities": answer.probabilities,
        "option_mass": answer.option_mass,
        "p": p,
        "answer": chosen,
        "letter": LETTERS[one.order.index(chosen)],
    }


def _written(answer: TextAnswer, one: _Put, options: Sequence[str]) -> dict[str, Any]:
    read = read_reply(answer.text, options)
    return {
        "reply": answer.text,
        "answer": UNPARSED if read.answer == UNPARSED else one.order[read.answer],
        "letter": read.letter,
        "explanation": read.explanation,
        "finish": answer.finish,
        "disclaimer": disclaims(answer.text),
    }


def _remember(item: Item, one: _Put, row: dict[str, Any], step: int, way: Way) -> None:
    """A pair without an answer, or in which a machine speaks, is not remembered; a reply up to its first sentence."""
    if row["answer"] == UNPARSED or row.get("disclaimer"):
        return
    said = first_sentence(row["reply"]) if way.explain else row["letter"]
    one.who.remember(lettered(item.question, row["options"]), said, step)
