"""The evidence of the dilemma audit: one row a prompt or sampled text, with what it says of action 0.

Columns: dilemma, value_0, value_1 ("" where unknown), context, scenario (its first paraphrase), action_0, action_1,
condition, language, paraphrase, shown (the action at each place), said (actions that the assistant had named before),
stated (the action whose value the system turn states, -1: none), prompt, labels, probabilities, text ("" for scored
prompts), option_mass (NaN for texts), p_action_0, p_first (probability of what stands first), weight (rows of a dilemma
and condition are averaged by it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data.records import Dilemma
from eval.answers import OptionAnswer, TextAnswer
from eval.dilemmas.questions import ALONE, BOTH_ORDERS, CONTROL, PRESSING, REPEAT, Question, TextQuestion
from eval.dilemmas.repeat import match_action


@dataclass(frozen=True)
class Asked:
    """All that was asked and answered: `answers` belong to `questions`, `texts` to `text_questions`."""

    dilemmas: tuple[Dilemma, ...]
    excluded: dict[str, int]
    questions: Sequence[Question]
    answers: Sequence[OptionAnswer]
    text_questions: Sequence[TextQuestion]
    texts: Sequence[TextAnswer]


def evidence(asked: Asked) -> pd.DataFrame:
    """The table that this module's docstring describes."""
    weights = path_weights(asked.questions, asked.answers)
    rows = [
        {
            **_dilemma(asked.dilemmas[question.dilemma], question.language),
            "condition": question.condition,
            "language": question.language,
            "paraphrase": question.paraphrase,
            "shown": list(question.shown),
            "said": list(question.said),
            "stated": question.stated,
            "prompt": question.prompt.text,
            "labels": list(question.prompt.labels),
            "probabilities": answer.probabilities,
            "text": "",
            "option_mass": answer.option_mass,
            "p_action_0": float(answer.probabilities[question.shown.index(0)]),
            "p_first": float(answer.probabilities[0]),
            "weight": weight,
        }
        for question, answer, weight in zip(asked.questions, asked.answers, weights, strict=True)
    ]
    return pd.DataFrame([*rows, *_texts(asked)])


def path_weights(questions: Sequence[Question], answers: Sequence[OptionAnswer]) -> list[float]:
    """For each question the probability that the model gave the answers which it follows; 1 where it follows none, or
    (positive controls) one that was put into its mouth.
    """
    given: dict[tuple[Any, ...], float] = {}
    for question, answer in zip(questions, answers, strict=True):
        if question.condition == ALONE or question.condition.startswith(PRESSING):
            for action, probability in zip(question.shown, answer.probabilities, strict=True):
                given[question.dilemma, question.shown, *question.said, action] = float(probability)
    weights = []
    for question in questions:
        weight = 1.0
        for place in range(0 if question.condition.startswith(CONTROL) else len(question.said)):
            weight *= given[question.dilemma, question.shown, *question.said[: place + 1]]
        weights.append(weight)
    return weights


def _dilemma(dilemma: Dilemma, language: str) -> dict[str, str]:
    values, wording = dilemma.values, dilemma.wordings[language]
    return {
        "dilemma": dilemma.id,
        "value_0": values[0],
        "value_1": values[1],
        "context": dilemma.context,
        "scenario": wording.scenarios[0],
        "action_0": wording.actions[0],
        "action_1": wording.actions[1],
    }


def _texts(asked: Asked) -> Iterator[dict[str, Any]]:
    """A row a text. Both orders weigh alike; where one of them has no text that names an action, place and action
    cannot be told apart, and none of the dilemma's texts counts.
    """
    named = [
        match_action(text.text, question.actions)
        for question, text in zip(asked.text_questions, asked.texts, strict=True)
    ]
    matched: dict[tuple[int, tuple[int, int]], int] = {}
    for question, action in zip(asked.text_questions, named, strict=True):
        key = (question.dilemma, question.shown)
        matched[key] = matched.get(key, 0) + (action is not None)
    for question, text, action in zip(asked.text_questions, asked.texts, named, strict=True):
        counts = action is not None and all(matched[question.dilemma, order] for order in BOTH_ORDERS)
        nan = float("nan")
        yield {
            **_dilemma(asked.dilemmas[question.dilemma], question.language),
            "condition": REPEAT,
            "language": question.language,
            "paraphrase": 0,
            "shown": list(question.shown),
            "said": [],
            "stated": -1,
            "prompt": question.request.text,
            "labels": [],
            "probabilities": [],
            "text": text.text,
            "option_mass": nan,
            "p_action_0": nan if action is None else float(action == 0),
            "p_first": nan if action is None else float(action == question.shown[0]),
            "weight": 1 / matched[question.dilemma, question.shown] if counts else 0.0,
        }
