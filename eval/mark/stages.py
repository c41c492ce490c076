"""What MARK's four stages find of a person, however they are answered, and the interface of the two ways to answer.

`eval.mark.choice` asks closed questions and reads probabilities, `eval.mark.generation` has texts written into a
schema. What many prompts share stands first: the question and its options before the person, the person before the
function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.records import Item
from eval.mark.asking import FloatArray, Reply
from eval.mark.functions import stack, type_name
from eval.mark.sample import Case

Features = tuple[tuple[str, str], ...]

RANK_WEIGHTS = (4.0, 3.0, 2.0, 1.0)


@dataclass(frozen=True)
class Stress:
    """Stage 1: the stress level 0-100 of each feature, and the reason for each where reasons are given."""

    features: Features
    levels: tuple[float, ...]
    replies: tuple[Reply, ...]
    reasons: tuple[str, ...] = ()

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
        kept = [f"{fact(self.features[i])} ({self.levels[i]:.0f})" for i in places if self.kept[i]]
        rest = [fact(self.features[i]) for i in places if not self.kept[i]]
        parts = ([f"stress 0-100 from {', '.join(kept)}"] if kept else []) + ([", ".join(rest)] if rest else [])
        return "; ".join(parts)


@dataclass(frozen=True)
class TypeFound:
    """Stage 2: a person's two leading functions; `p_dominant` (8,) in the order of `FUNCTIONS`, `p_auxiliary` (2,) in
    that of `auxiliaries(dominant)`.
    """

    dominant: str
    auxiliary: str
    p_dominant: FloatArray
    p_auxiliary: FloatArray
    replies: tuple[Reply, ...]
    reason: str = ""

    @property
    def stack(self) -> tuple[str, ...]:
        return stack(self.dominant, self.auxiliary)

    @property
    def name(self) -> str:
        return type_name(self.dominant, self.auxiliary)


@dataclass(frozen=True)
class Voice:
    """Stages 3 and 4 for one function of one person on one item.

    `negative` and `consistent` are the probabilities that stress harms it and that its answer fits it (0 or 1 where the
    model writes its verdict); `first` (k,) is the answer of stage 3, the mean of `first_by_order` (orders, k); `p` (k,)
    is the one that votes: `first`, or the answer given again where the first was found to contradict the description.
    The reasons are those of stage 3, of the check and of the revision, "" where none is given.
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
    reason: str = ""
    check_reason: str = ""
    revision_reason: str = ""

    @property
    def first(self) -> FloatArray:
        return np.asarray(self.first_by_order.mean(axis=0))

    @property
    def position_effect(self) -> float:
        """Total variation between the first answer's two orders, in [0, 1]; NaN where one order was asked."""
        if len(self.first_by_order) < 2:
            return float("nan")
        return float(np.abs(self.first_by_order[0] - self.first_by_order[1]).sum() / 2)

    @property
    def impaired(self) -> bool:
        return self.negative > 0.5

    @property
    def revised(self) -> bool:
        return self.consistent < 0.5


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of stage 4 where the model writes it: its explanation, its own final `option` (an index), and the
    function and the feature (an index) that it says count most.
    """

    text: str
    option: int
    function: str
    feature: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Task:
    """A person (by id) and an item. `who` names the asking and is the randomness of what is written; `profile` is what
    is said of the person ("": nobody is described); `place` names the country, "" where the profile does not state it;
    `features` are those that a conclusion may cite.
    """

    person: str
    who: str
    profile: str
    item: Item
    place: str
    stack: tuple[str, ...] = ()
    features: Features = ()

    @property
    def described(self) -> str | None:
        """`place`, or None where nobody is described."""
        return self.place if self.profile else None


class Answering(Protocol):
    """The stages for many at once, in lockstep; None for whom a stage was not answered in its form.

    `writes`: answers are texts, which differ when asked again.
    """

    @property
    def writes(self) -> bool: ...

    def stress(self, cases: Sequence[Case]) -> list[Stress | None]: ...

    def types(self, people: Sequence[tuple[str, str, str]]) -> list[TypeFound | None]:
        """Of (person, who, profile)."""
        ...

    def voices(self, tasks: Sequence[Task]) -> list[tuple[Voice, ...] | None]: ...

    def conclude(self, tasks: Sequence[Task], voices: Sequence[Sequence[Voice]]) -> list[Conclusion | None]:
        """The written conclusions; all None where none is written and the explanation is composed."""
        ...

    def dominant(self, tasks: Sequence[Task], leading: Sequence[Voice], stage: str) -> list[Reply | None]:
        """The dominant function's answer alone, in the state (calm or stressed) of `leading`."""
        ...

    def plain(self, tasks: Sequence[Task], stage: str, before: Sequence[int] | None = None) -> list[Reply | None]:
        """The item put to the person (nobody where the profile is empty) without any stage; where `before` is given,
        once more after it was answered with these options (indices) in an earlier turn.
        """
        ...


def weights(impaired: Sequence[bool], reduction: float) -> tuple[float, ...]:
    """Weights of dominant, auxiliary, tertiary and inferior: 4:3:2:1, each times `reduction` where stress impairs it,
    normalised to 1. Our design for answers by choice, in which no weight can be given by the model.
    """
    raw = [rank * (reduction if bad else 1) for rank, bad in zip(RANK_WEIGHTS, impaired, strict=True)]
    return tuple(value / sum(raw) for value in raw)


def describe(features: Features) -> str:
    """All features in one line, no stress stated: `country: Norway, age: 34`."""
    return ", ".join(map(fact, features))


def fact(feature: tuple[str, str]) -> str:
    return f"{feature[0]}: {feature[1]}"
