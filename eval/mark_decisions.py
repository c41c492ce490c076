"""From MARK's stages to a decision with its reasons, and to whether the reasons given are the ones that count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.records import Item
from eval.context import AuditContext
from eval.mark_asking import FloatArray, Reply, ask
from eval.mark_functions import FUNCTIONS
from eval.mark_sample import Case
from eval.mark_stages import Stress, TypeFound, Voice, answer_question


@dataclass(frozen=True)
class Decision:
    """One respondent's trace on one item, up to the vote. `repeat` is the type found with the features shuffled."""

    case: Case
    item: Item
    stress: Stress
    kind: TypeFound
    repeat: TypeFound
    voices: tuple[Voice, ...]
    baseline: Reply
    no_person: Reply

    @property
    def p(self) -> FloatArray:
        """The weighted vote over option distributions, shape (k,)."""
        return vote([voice.p for voice in self.voices], [voice.weight for voice in self.voices])

    @property
    def answer(self) -> int:
        return int(np.argmax(self.p))

    @property
    def agrees_with_hard_vote(self) -> bool:
        """The answer is (among) the most weighted where each function casts one vote for its own first choice."""
        hard = vote([np.eye(len(self.p))[np.argmax(v.p)] for v in self.voices], [v.weight for v in self.voices])
        return bool(hard[self.answer] >= hard.max() - 1e-9)

    @property
    def explanation(self) -> str:
        says = [
            f"{v.code} ({v.rank}, weight {v.weight:.2f}{', under stress' if v.impaired else ''}"
            f"{', revised' if v.revised else ''}) says {self.item.options[int(np.argmax(v.p))]!r}"
            for v in self.voices
        ]
        kept = [
            f"{name} ({level:.0f})"
            for (name, _), level, keep in zip(self.stress.features, self.stress.levels, self.stress.kept, strict=True)
            if keep
        ]
        return (
            f"Stress from {', '.join(kept)} and the type {self.kind.name} lead to these functions: {'; '.join(says)}. "
            f"The weighted vote is {self.item.options[self.answer]!r} with {self.p[self.answer]:.2f}."
        )


def vote(distributions: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """The mean of distributions (k,) by weights, which need not sum to 1. ValueError where all weights are 0."""
    total = float(sum(weights))
    if not total > 0:
        raise ValueError(f"weights must sum to more than 0, got {list(weights)}")
    return np.asarray(np.average(np.stack(list(distributions)), axis=0, weights=np.asarray(weights)))


def function_removal(voices: Sequence[Voice]) -> tuple[float, float]:
    """How far the vote moves (total variation, [0, 1]) without the function of greatest weight, and on average without
    each other one. No model is asked. In part this is arithmetic: a greater weight moves more unless all agree.
    """
    full = vote([v.p for v in voices], [v.weight for v in voices])
    moves = []
    for index in range(len(voices)):
        rest = [v for place, v in enumerate(voices) if place != index]
        without = vote([v.p for v in rest], [v.weight for v in rest])
        moves.append(float(np.abs(full - without).sum() / 2))
    top = int(np.argmax([v.weight for v in voices]))
    return moves[top], float(np.mean(moves[:top] + moves[top + 1 :]))


def feature_removal(
    context: AuditContext, decisions: Sequence[Decision], rng: np.random.Generator
) -> list[tuple[float, float, tuple[Reply, ...]]]:
    """How far the dominant function's first answer moves (total variation) when the profile loses the feature of
    greatest stress, and when it loses another (a kept one if there is another, drawn at random), with the replies.

    Asked of the dominant function alone, with its description as it was and the options in their own order: to run
    all again would cost as much as the audit itself.
    """
    pairs = []
    for decision in decisions:
        levels, kept = decision.stress.levels, decision.stress.kept
        top = int(np.argmax(levels))
        others = [i for i in range(len(levels)) if i != top]
        pairs.append((top, int(rng.choice([i for i in others if kept[i]] or others))))
    replies = ask(
        context,
        [
            answer_question(
                d.item, d.stress.profile(without=index), d.voices[0].description, stage="without a feature", ways="own"
            )
            for d, pair in zip(decisions, pairs, strict=True)
            for index in pair
        ],
    )
    found = []
    for number, decision in enumerate(decisions):
        two = tuple(replies[2 * number : 2 * number + 2])
        before = decision.voices[0].first_by_order[0]
        moves = [float(np.abs(reply.p - before).sum() / 2) for reply in two]
        found.append((moves[0], moves[1], two))
    return found


def trace(decision: Decision, moved: tuple[float, float, tuple[Reply, ...]]) -> dict[str, Any]:
    """The decision as a row of items.parquet: nested parts as JSON text, distributions as arrays."""
    case, item, stress, kind = decision.case, decision.item, decision.stress, decision.kind
    own_replies = [*stress.replies, *kind.replies, *(r for v in decision.voices for r in v.replies)]
    others = [decision.baseline, decision.no_person, *moved[2]]
    heavy, light = function_removal(decision.voices)
    group = case.person.group
    return {
        "respondent": case.person.id,
        "item": item.id,
        "country": group.country,
        "age": group.age,
        "sex": group.sex,
        "education": group.education,
        "stratum": "held_out",
        "inclusion_probability": case.inclusion,
        "question": item.question,
        "options": list(item.options),
        "human": case.person.answers[item.id],
        "answer": decision.answer,
        "p": decision.p,
        "p_demographics_only": decision.baseline.p,
        "p_no_person": decision.no_person.p,
        "features": json.dumps(
            [
                {"name": name, "value": value, "stress": round(level, 2), "kept": keep}
                for (name, value), level, keep in zip(stress.features, stress.levels, stress.kept, strict=True)
            ]
        ),
        "stress_valid": stress.valid,
        "type": kind.name,
        "stack": list(kind.stack),
        "p_dominant": kind.p_dominant,
        "p_auxiliary": kind.p_auxiliary,
        "type_repeated": decision.repeat.name,
        "functions": json.dumps([_voice(v, item) for v in decision.voices]),
        "vote_agreement": float(decision.agrees_with_hard_vote),
        "without_heaviest_function": heavy,
        "without_other_function": light,
        "without_top_feature": moved[0],
        "without_other_feature": moved[1],
        "explanation": decision.explanation,
        "prompts": json.dumps([entry for reply in [*own_replies, *others] for entry in reply.evidence]),
        "option_mass": float(np.mean([reply.option_mass for reply in [*own_replies, *others]])),
    }


def _voice(voice: Voice, item: Item) -> dict[str, Any]:
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
        "position_effect": round(voice.position_effect, 4),
    }
