"""MARK's positive controls: told what the person answered before, does the model say so?

Either among the facts of the person stands "answered this question before with: X", X being the person's own answer: a
model whose answers do not move towards it reads no facts of persons, and finding no effect of them means nothing. Or
the very question stands before, in the same form, answered with X in the model's own turn: copying is enough, and a
model that does not even do that is not reached by what is asked here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.mark.asking import Reply
from eval.mark.decisions import Decision, identity
from eval.mark.removal import dominant_answers
from eval.mark.resamples import Resamples
from eval.mark.stages import Answering, Task, describe
from eval.records import Estimate

STATED = "control:answer stated"
STATED_DOMINANT = "control:answer stated, dominant function"
BEFORE = "control:answered before"


def ask_control(way: Answering, decisions: Sequence[Decision]) -> pd.DataFrame:
    """One row of evidence a decision and condition: `p_before` and `p`, without and with the answer told, and
    `effect`, by how much the person's own answer gains; rows whose text failed are left out.
    """
    told = [f'answered this question before with: "{d.item.options[d.human]}"' for d in decisions]
    people = [
        Task(
            d.case.person.id,
            f"{d.case.person.id} {d.item.id} told",
            f"{describe(d.case.features)}, {fact}",
            d.item,
            d.case.place,
        )
        for d, fact in zip(decisions, told, strict=True)
    ]
    tasks = [d.task("told", told=fact) for d, fact in zip(decisions, told, strict=True)]
    once_more = [
        Task(
            d.case.person.id, f"{d.case.person.id} {d.item.id} before", describe(d.case.features), d.item, d.case.place
        )
        for d in decisions
    ]
    own = [d.human for d in decisions]
    leading = [d.voices[0] for d in decisions]
    asked: dict[str, tuple[list[Reply | None], list[Reply | None]]] = {
        STATED: ([d.baseline for d in decisions], way.plain(people, "control")),
        STATED_DOMINANT: (dominant_answers(way, decisions), way.dominant(tasks, leading, "control, dominant")),
        BEFORE: (
            [d.baseline for d in decisions],
            way.plain(once_more, "control, before", before=own),
        ),
    }
    rows = []
    for condition, (before, after) in asked.items():
        for decision, answer, old, new in zip(decisions, own, before, after, strict=True):
            if old is None or new is None:
                continue
            rows.append(
                identity(decision)
                | {
                    "condition": condition,
                    "answer": int(np.argmax(new.p)),
                    "p": new.p,
                    "p_before": old.p,
                    "effect": float(new.p[answer] - old.p[answer]),
                    "prompts": json.dumps([*new.evidence]),
                }
            )
    return pd.DataFrame(rows)


def control_estimates(rows: pd.DataFrame, draws: int, rng: np.random.Generator) -> list[Estimate]:
    """`control_effect` by condition, in [-1, 1], its interval over respondents."""
    made = []
    for condition, part in rows.groupby("condition", sort=True) if len(rows) else ():
        who = part["respondent"].tolist()
        again = Resamples.of(who, draws, rng)
        made.append(again.mean("control_effect", str(condition), who, part["effect"].tolist(), least=-1.0))
    return made
