"""MARK's positive control: told what the person answered before, does the model say so?

Among the facts of the person stands "answered this question before with: X", X being the person's own answer. Nothing
is easier than to repeat it, so a model whose answers do not move towards it reads no facts of persons at all, and
finding no effect of them means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.mark.asking import Reply
from eval.mark.decisions import Decision, identity
from eval.mark.measures import Resamples
from eval.mark.removal import dominant_answers
from eval.mark.stages import Answering, Task, describe
from eval.records import Estimate

STATED = "control:answer stated"
STATED_DOMINANT = "control:answer stated, dominant function"


def ask_control(way: Answering, decisions: Sequence[Decision]) -> pd.DataFrame:
    """One row of evidence a decision and condition: `p_before` and `p`, without and with the answer stated, and
    `effect`, by how much the person's own answer gains; rows whose text failed are left out.
    """
    told = [f'answered this question before with: "{d.item.options[d.human]}"' for d in decisions]
    people = [
        Task(d.case.person.id, f"{d.case.person.id} {d.item.id} told", f"{describe(d.case.features)}, {fact}", d.item)
        for d, fact in zip(decisions, told, strict=True)
    ]
    tasks = [d.task("told", told=fact) for d, fact in zip(decisions, told, strict=True)]
    leading = [d.voices[0] for d in decisions]
    asked: dict[str, tuple[list[Reply | None], list[Reply | None]]] = {
        STATED: ([d.baseline for d in decisions], way.plain(people, "control")),
        STATED_DOMINANT: (dominant_answers(way, decisions), way.dominant(tasks, leading, "control, dominant")),
    }
    rows = []
    for condition, (before, after) in asked.items():
        for decision, old, new in zip(decisions, before, after, strict=True):
            if old is None or new is None:
                continue
            own = decision.human
            rows.append(
                identity(decision)
                | {
                    "condition": condition,
                    "answer": int(np.argmax(new.p)),
                    "p": new.p,
                    "p_before": old.p,
                    "effect": float(new.p[own] - old.p[own]),
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
