"""Are the reasons that MARK gives the ones that count? What it cites is taken away, and something else, and both moves
are compared (faithfulness by erasure; DeYoung et al. 2020, ERASER, call the like comprehensiveness).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.mark.asking import FloatArray, Reply
from eval.mark.decisions import Decision, vote
from eval.mark.stages import Answering, Voice


def function_removal(voices: Sequence[Voice], cited: int) -> tuple[float, float]:
    """How far the vote moves (total variation, [0, 1]) without the function `cited`, and on average without each other
    one. No model is asked. In part this is arithmetic: a greater weight moves more unless all agree.
    """
    full = vote([v.p for v in voices], [v.weight for v in voices])
    moves = []
    for index in range(len(voices)):
        rest = [v for place, v in enumerate(voices) if place != index]
        moves.append(_apart(full, vote([v.p for v in rest], [v.weight for v in rest])))
    return moves[cited], float(np.mean(moves[:cited] + moves[cited + 1 :]))


def feature_removal(
    way: Answering, decisions: Sequence[Decision], removal: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """How far the answer moves (total variation, [0, 1]) when the profile loses the feature that is cited, and when it
    loses another (a kept one if there is another, drawn at random); columns of evidence, one row a decision.

    `removal` dominant: the dominant function alone is asked, in the state that it was in. all: stages 3 and 4 are gone
    through again and the vote is compared. The type stays as it was found. Written answers differ when asked again:
    there the same is asked once more with nothing removed, `asked_again`, the floor of both. NaN where a text failed
    or was not asked.
    """
    pairs = []
    for decision in decisions:
        top, kept = decision.cited_feature, decision.stress.kept
        others = [i for i in range(len(kept)) if i != top]
        pairs.append((top, int(rng.choice([i for i in others if kept[i]] or others))))
    removed: list[int | None] = [None] if way.writes else []
    changed = [(d, index) for d, pair in zip(decisions, pairs, strict=True) for index in (*removed, *pair)]
    after, evidence = _asked(way, changed, removal, "without")
    before = _before(way, decisions, removal)
    size = len(removed) + 2
    rows = []
    for place, (decision, pair) in enumerate(zip(decisions, pairs, strict=True)):
        mine = slice(size * place, size * (place + 1))
        moves = [_apart(before[place], p) for p in after[mine]]
        function, other_function = function_removal(decision.voices, decision.cited_function)
        rows.append(
            {
                "without_cited_feature": moves[-2],
                "without_other_feature": moves[-1],
                "asked_again": moves[0] if way.writes else float("nan"),
                "other_feature": decision.stress.features[pair[1]][0],
                "without_cited_function": function,
                "without_other_function": other_function,
                "prompts_of_removal": json.dumps([entry for part in evidence[mine] for entry in part]),
            }
        )
    return rows


def _before(way: Answering, decisions: Sequence[Decision], removal: str) -> list[FloatArray | None]:
    if removal == "all":
        return [decision.p for decision in decisions]
    return [one.p if one else None for one in dominant_answers(way, decisions)]


def dominant_answers(way: Answering, decisions: Sequence[Decision]) -> list[Reply | None]:
    """The dominant function's answer with nothing changed: that of stage 3, or asked in the shorter form in which
    changed profiles are asked where answers are written.
    """
    if way.writes:
        tasks = [decision.task("as it is") for decision in decisions]
        return way.dominant(tasks, [decision.voices[0] for decision in decisions], "dominant alone")
    return [Reply(d.voices[0].first, d.voices[0].first_by_order, float("nan"), ()) for d in decisions]


def _asked(
    way: Answering, changed: Sequence[tuple[Decision, int | None]], removal: str, variant: str
) -> tuple[list[FloatArray | None], list[list[Mapping[str, object]]]]:
    """Answers (k,) of decisions without a feature (None: nothing removed), and the prompts."""
    tasks = [
        d.task("asked again" if index is None else f"{variant} {d.stress.features[index][0]}", without=index)
        for d, index in changed
    ]
    if removal == "all":
        heard = way.voices(tasks)
        votes = [vote([v.p for v in four], [v.weight for v in four]) if four else None for four in heard]
        return votes, [[entry for v in four or () for reply in v.replies for entry in reply.evidence] for four in heard]
    replies = way.dominant(tasks, [decision.voices[0] for decision, _ in changed], "without a feature")
    return [one.p if one else None for one in replies], [[*one.evidence] if one else [] for one in replies]


def _apart(before: FloatArray | None, after: FloatArray | None) -> float:
    if before is None or after is None:
        return float("nan")
    return float(np.abs(before - after).sum() / 2)
