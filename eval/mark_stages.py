"""The four stages of MARK by choice scoring: each function asks about everybody at once and returns what was found.

What many prompts share stands first: the question and its options before the person, the person before the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.records import Item, Turn
from eval.context import AuditContext
from eval.mark_asking import FloatArray, Question, Reply, ask
from eval.mark_functions import FUNCTIONS, RANKS, auxiliaries, stack, type_name

Features = tuple[tuple[str, str], ...]

LEVELS = tuple(range(0, 101, 10))
RANK_WEIGHTS = (4.0, 3.0, 2.0, 1.0)
_YES_NO = ("Yes", "No")
_LETTER = "Reply with the letter of one option only."
_ANSWER = Turn("system", f"You say how the person described answers a survey question. {_LETTER}")
_JUDGE = Turn("system", f"You are a careful psychologist. {_LETTER}")


@dataclass(frozen=True)
class Stress:
    """Stage 1: the expected stress level 0-100 of each feature."""

    features: Features
    levels: tuple[float, ...]
    replies: tuple[Reply, ...]

    @property
    def kept(self) -> tuple[bool, ...]:
        """Features at or above the person's average."""
        mean = sum(self.levels) / len(self.levels)
        return tuple(level >= mean - 1e-9 for level in self.levels)

    @property
    def valid(self) -> bool:
        """The stage tells features apart: the highest and the lowest level are at least one point from each other."""
        return max(self.levels) - min(self.levels) >= 1

    def profile(self, order: Sequence[int] | None = None, without: int | None = None) -> str:
        """The kept features with their stress, then the others in short; in `order`, leaving out feature `without`."""
        places = [index for index in (order or range(len(self.features))) if index != without]
        kept = [f"{_fact(self.features[i])} ({self.levels[i]:.0f})" for i in places if self.kept[i]]
        rest = [_fact(self.features[i]) for i in places if not self.kept[i]]
        parts = ([f"stress 0-100 from {', '.join(kept)}"] if kept else []) + ([", ".join(rest)] if rest else [])
        return "; ".join(parts)


def find_stress(context: AuditContext, people: Sequence[Features]) -> list[Stress]:
    """Stage 1 for everybody: one question a feature over the levels 0, 10, ..., 100."""
    questions = [
        Question(
            "S1 stress",
            _JUDGE,
            "How much stress does this fact of life cause the person, from 0 (none) to 100 (extreme)?",
            tuple(map(str, LEVELS)),
            f"Person: {describe(features)}.\nFact: {_fact(feature)}.",
        )
        for features in people
        for feature in features
    ]
    replies = iter(ask(context, questions))
    found = []
    for features in people:
        mine = tuple(next(replies) for _ in features)
        found.append(Stress(features, tuple(float(reply.p @ np.array(LEVELS)) for reply in mine), mine))
    return found


@dataclass(frozen=True)
class TypeFound:
    """Stage 2: a person's two leading functions; `p_dominant` (8,) in the order of `FUNCTIONS`."""

    dominant: str
    auxiliary: str
    p_dominant: FloatArray
    p_auxiliary: FloatArray
    replies: tuple[Reply, ...]

    @property
    def stack(self) -> tuple[str, ...]:
        return stack(self.dominant, self.auxiliary)

    @property
    def name(self) -> str:
        return type_name(self.dominant, self.auxiliary)


def find_types(context: AuditContext, profiles: Sequence[str]) -> list[TypeFound]:
    """Stage 2 for everybody: the dominant of eight functions, then the auxiliary of the two that it allows."""
    codes = tuple(FUNCTIONS)
    dominant = ask(
        context,
        [
            Question(
                "S2 dominant",
                _JUDGE,
                "Which way of thinking leads this person? The person ...",
                tuple(FUNCTIONS[code].normal for code in codes),
                f"Person: {profile}.",
                ways="every_place",
            )
            for profile in profiles
        ],
    )
    leading = [codes[int(np.argmax(reply.p))] for reply in dominant]
    auxiliary = ask(
        context,
        [
            Question(
                "S2 auxiliary",
                _JUDGE,
                f"This person {FUNCTIONS[code].normal}. What supports this? The person also ...",
                tuple(FUNCTIONS[other].normal for other in auxiliaries(code)),
                f"Person: {profile}.",
            )
            for profile, code in zip(profiles, leading, strict=True)
        ],
    )
    return [
        TypeFound(code, auxiliaries(code)[int(np.argmax(second.p))], first.p, second.p, (first, second))
        for code, first, second in zip(leading, dominant, auxiliary, strict=True)
    ]


@dataclass(frozen=True)
class Voice:
    """Stages 3 and 4 for one function of one person on one item.

    `negative` and `consistent` are the probabilities that stress harms it and that its answer fits it; `first` (k,) is
    the option distribution of stage 3, the mean of `first_by_order` (2, k); `p` (k,) is the one that votes: `first`, or
    the answer asked again where the first was found to contradict the description.
    """

    code: str
    rank: str
    negative: float
    description: str
    weight: float
    first_by_order: FloatArray
    consistent: float
    p: FloatArray
    replies: tuple[Reply, ...]

    @property
    def first(self) -> FloatArray:
        return np.asarray(self.first_by_order.mean(axis=0))

    @property
    def position_effect(self) -> float:
        """Total variation between the first answer's two orders, in [0, 1]."""
        return float(np.abs(self.first_by_order[0] - self.first_by_order[1]).sum() / 2)

    @property
    def impaired(self) -> bool:
        return self.negative > 0.5

    @property
    def revised(self) -> bool:
        return self.consistent < 0.5


def hear_voices(
    context: AuditContext, turns: Sequence[tuple[str, TypeFound, Item]], reduction: float
) -> list[tuple[Voice, ...]]:
    """Stages 3 and 4 for each (profile, type, item): the four functions' voices, dominant first."""
    each = [(profile, code, item) for profile, found, item in turns for code in found.stack]
    impact = ask(context, [_impact_question(profile, code, item) for profile, code, item in each])
    negative = [float(reply.p[0]) for reply in impact]
    described = [
        FUNCTIONS[code].stressed if value > 0.5 else FUNCTIONS[code].normal
        for (_, code, _), value in zip(each, negative, strict=True)
    ]
    first = ask(
        context,
        [
            answer_question(item, profile, text, stage="S3 answer")
            for (profile, _, item), text in zip(each, described, strict=True)
        ],
    )
    said = [item.options[int(np.argmax(reply.p))] for (_, _, item), reply in zip(each, first, strict=True)]
    check = ask(
        context,
        [
            _consistency_question(item, text, answer)
            for (_, _, item), text, answer in zip(each, described, said, strict=True)
        ],
    )
    again = [index for index, reply in enumerate(check) if reply.p[0] < 0.5]
    second = ask(
        context,
        [
            answer_question(each[i][2], each[i][0], described[i], stage="S4 revision", contradicted=said[i])
            for i in again
        ],
    )
    revision = dict(zip(again, second, strict=True))
    voices = []
    for start in range(0, len(each), len(RANKS)):
        places = range(start, start + len(RANKS))
        shares = weights([negative[i] > 0.5 for i in places], reduction)
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


def weights(impaired: Sequence[bool], reduction: float) -> tuple[float, ...]:
    """Weights of dominant, auxiliary, tertiary and inferior: 4:3:2:1, each times `reduction` where stress impairs it,
    normalised to 1. Our design: the paper lets the model weigh its functions.
    """
    raw = [rank * (reduction if bad else 1) for rank, bad in zip(RANK_WEIGHTS, impaired, strict=True)]
    return tuple(value / sum(raw) for value in raw)


def answer_question(
    item: Item,
    profile: str = "",
    description: str = "",
    stage: str = "baseline",
    contradicted: str = "",
    ways: Literal["both", "own"] = "both",
) -> Question:
    """The survey item put to the person, who decides in the way described; an empty text states nothing."""
    parts = [f"Person: {profile}."] if profile else []
    if description:
        parts.append(f"The person {description}.")
    if contradicted:
        parts.append(f'The answer "{contradicted}" does not fit this. Think again.')
    return Question(stage, _ANSWER, item.question, item.options, "\n".join(parts), ways)


def describe(features: Features) -> str:
    """All features in one line, no stress stated: `country: Norway, age: 34`."""
    return ", ".join(map(_fact, features))


def _fact(feature: tuple[str, str]) -> str:
    return f"{feature[0]}: {feature[1]}"


def _impact_question(profile: str, code: str, item: Item) -> Question:
    text = f"Survey question: {item.question}\nPerson: {profile}.\nThe person {FUNCTIONS[code].normal}."
    return Question("S3 impact", _JUDGE, "Does stress harm this way of deciding here?", _YES_NO, text)


def _consistency_question(item: Item, description: str, answer: str) -> Question:
    scale = f" (on a scale from {item.options[0]} to {item.options[-1]})" if item.ordered else ""
    text = f"Survey question: {item.question}{scale}\nThe person {description}.\nAnswer: {answer}"
    return Question("S4 check", _JUDGE, "Does the answer fit the person?", _YES_NO, text)
