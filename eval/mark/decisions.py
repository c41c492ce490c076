"""From MARK's stages to a decision with its reasons, and the row of evidence that keeps both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from data.records import Item
from eval.mark.asking import FloatArray, Reply
from eval.mark.functions import FUNCTIONS
from eval.mark.sample import Case
from eval.mark.stages import Conclusion, Stress, Task, TypeFound, Voice

DECIDED = "mark"


@dataclass(frozen=True)
class Decision:
    """One respondent's trace on one item, up to the vote. `repeat` is the type found with the features shuffled, None
    where that failed; `conclusion` is the model's own where it writes one.
    """

    case: Case
    item: Item
    stress: Stress
    kind: TypeFound
    repeat: TypeFound | None
    voices: tuple[Voice, ...]
    baseline: Reply
    no_person: Reply
    conclusion: Conclusion | None = None

    @property
    def p(self) -> FloatArray:
        """The weighted vote over option distributions, shape (k,)."""
        return vote([voice.p for voice in self.voices], [voice.weight for voice in self.voices])

    @property
    def answer(self) -> int:
        """The most weighted option; among equals that of the function of the highest rank that prefers one."""
        tied = np.flatnonzero(self.p >= self.p.max() - 1e-9)
        return int(max(tied, key=lambda option: [voice.p[option] for voice in self.voices]))

    @property
    def human(self) -> int:
        return self.case.person.answers[self.item.id]

    @property
    def vote_agreement(self) -> bool:
        """Where the model writes a conclusion: its own final answer is that of the vote. Else: the answer is (among)
        the most weighted where each function casts one vote for its own first choice.
        """
        if self.conclusion:
            return self.conclusion.option == self.answer
        hard = vote([np.eye(len(self.p))[np.argmax(v.p)] for v in self.voices], [v.weight for v in self.voices])
        return bool(hard[self.answer] >= hard.max() - 1e-9)

    @property
    def cited_feature(self) -> int:
        """What the explanation names first: as the model wrote, else the feature of greatest stress."""
        return self.conclusion.feature if self.conclusion else int(np.argmax(self.stress.levels))

    @property
    def cited_function(self) -> int:
        """The place in the stack of the function that the model wrote, else of that with the greatest weight."""
        if self.conclusion:
            return [voice.code for voice in self.voices].index(self.conclusion.function)
        return int(np.argmax([voice.weight for voice in self.voices]))

    @property
    def explanation(self) -> str:
        """The model's own, or composed from the stages."""
        if self.conclusion:
            return self.conclusion.text
        says = [
            f"{v.code} ({v.rank}, weight {v.weight:.2f}, {'under stress' if v.impaired else 'calm'} with probability "
            f"{max(v.negative, 1 - v.negative):.2f}{', revised' if v.revised else ''}) says "
            f"{self.item.options[int(np.argmax(v.p))]!r}"
            for v in self.voices
        ]
        kept = [
            f"{name} ({level:.0f})"
            for (name, _), level, keep in zip(self.stress.features, self.stress.levels, self.stress.kept, strict=True)
            if keep
        ]
        level = "" if self.stress.valid else " (no fact stands out)"
        return (
            f"Stress from {', '.join(kept)}{level} and the type {self.kind.name} lead to these functions: "
            f"{'; '.join(says)}. "
            f"The weighted vote is {self.item.options[self.answer]!r} with {self.p[self.answer]:.2f}."
        )

    def task(self, variant: str = "", without: int | None = None, told: str = "") -> Task:
        """Asking about this person and item again: without a feature, or with a fact more."""
        profile = self.stress.profile(without=without)
        who = f"{self.case.person.id} {self.item.id}" + (f" {variant}" if variant else "")
        return Task(
            self.case.person.id,
            who,
            f"{profile}; {told}" if told else profile,
            self.item,
            "" if without == 0 else self.case.place,
            self.kind.stack,
            self.stress.features,
        )


def vote(distributions: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """The mean of distributions (k,) by weights, which need not sum to 1. ValueError where all weights are 0."""
    total = float(sum(weights))
    if not total > 0:
        raise ValueError(f"weights must sum to more than 0, got {list(weights)}")
    return np.asarray(np.average(np.stack(list(distributions)), axis=0, weights=np.asarray(weights)))


def trace(decision: Decision) -> dict[str, Any]:
    """The decision as a row of items.parquet: nested parts as JSON text, distributions as arrays."""
    item, stress, kind = decision.item, decision.stress, decision.kind
    replies = [*stress.replies, *kind.replies, *(r for v in decision.voices for r in v.replies)]
    replies += [decision.conclusion.reply] if decision.conclusion else []
    replies += [decision.baseline, decision.no_person]
    return {
        **identity(decision),
        "condition": DECIDED,
        "answer": decision.answer,
        "p": decision.p,
        "p_demographics_only": decision.baseline.p,
        "p_no_person": decision.no_person.p,
        "features": json.dumps(
            [
                {"name": name, "value": value, "stress": round(level, 2), "kept": keep}
                | ({"reason": stress.reasons[place]} if stress.reasons else {})
                for place, ((name, value), level, keep) in enumerate(
                    zip(stress.features, stress.levels, stress.kept, strict=True)
                )
            ]
        ),
        "stress_valid": stress.valid,
        "type": kind.name,
        "type_reason": kind.reason,
        "stack": list(kind.stack),
        "p_dominant": kind.p_dominant,
        "p_auxiliary": kind.p_auxiliary,
        "type_repeated": decision.repeat.name if decision.repeat else "",
        "functions": json.dumps([_voice(v, item) for v in decision.voices]),
        "weights_in_order": float(in_order(decision.voices)),
        "vote_agreement": float(decision.vote_agreement),
        "explanation": decision.explanation,
        "concluded": item.options[decision.conclusion.option] if decision.conclusion else "",
        "cited_feature": stress.features[decision.cited_feature][0],
        "cited_function": decision.voices[decision.cited_function].code,
        "prompts": json.dumps([entry for reply in replies for entry in reply.evidence]),
        "option_mass": float(np.mean([reply.option_mass for reply in replies])),
    }


def identity(decision: Decision) -> dict[str, Any]:
    """Who was asked what, and the person's own answer: the columns that every row of evidence has."""
    person, group = decision.case.person, decision.case.person.group
    return {
        "respondent": person.id,
        "item": decision.item.id,
        "country": group.country,
        "age": group.age,
        "sex": group.sex,
        "education": group.education,
        "stratum": "held_out",
        "inclusion_probability": decision.case.inclusion,
        "design_weight": person.weight / decision.case.inclusion,
        "question": decision.item.question,
        "options": list(decision.item.options),
        "human": decision.human,
    }


def in_order(voices: Sequence[Voice]) -> bool:
    """Among functions in the same state (calm or stressed) none outweighs one of higher rank, as stage 3 asks."""
    for state in (True, False):
        same = [voice.weight for voice in voices if voice.impaired is state]
        if any(low > high + 1e-9 for high, low in pairwise(same)):
            return False
    return True


def _voice(voice: Voice, item: Item) -> dict[str, Any]:
    reasons = {
        "reason": voice.reason,
        "check_reason": voice.check_reason,
        "revision_reason": voice.revision_reason,
    }
    return {
        "function": voice.code,
        "name": FUNCTIONS[voice.code].name,
        "rank": voice.rank,
        "negative_impact": round(voice.negative, 6),
        "under_stress": voice.impaired,
        "description": voice.description,
        "weight": round(voice.weight, 4),
        "answer": item.options[int(np.argmax(voice.p))],
        "p": np.round(voice.p, 4).tolist(),
        "first_answer": item.options[int(np.argmax(voice.first))],
        "first_p": np.round(voice.first, 4).tolist(),
        "consistent": round(voice.consistent, 6),
        "revised": voice.revised,
        "position_effect": None if np.isnan(voice.position_effect) else round(voice.position_effect, 4),
        **{name: text for name, text in reasons.items() if text},
    }
