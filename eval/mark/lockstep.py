"""MARK's stages for everybody at once: each asks about all who are left, and whom it fails is counted and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from eval.mark.decisions import Decision
from eval.mark.sample import Case
from eval.mark.stages import Answering, Stress, Task, TypeFound, describe


def decide(way: Answering, cases: Sequence[Case], excluded: Counter[str], rng: np.random.Generator) -> list[Decision]:
    """Everybody's decisions; those that a stage failed are counted in `excluded`, by the first stage that did."""

    def lost(stage: str, decisions: int) -> None:
        if decisions:
            excluded[f"decisions without a text that fulfils its schema: {stage}"] += decisions

    stress: list[tuple[Case, Stress]] = []
    for case, found in zip(cases, way.stress(cases), strict=True):
        if found is None:
            lost("S1 stress", len(case.items))
        else:
            stress.append((case, found))
    shown = [(case.person.id, case.person.id, found.profile()) for case, found in stress]
    shuffled = [
        (case.person.id, f"{case.person.id} again", found.profile(order=_another_order(len(found.features), rng)))
        for case, found in stress
    ]
    types = way.types([*shown, *shuffled])
    typed: list[tuple[Case, Stress, TypeFound, TypeFound | None]] = []
    for (case, found), kind, repeat in zip(stress, types[: len(shown)], types[len(shown) :], strict=True):
        if kind is None:
            lost("S2 type", len(case.items))
        else:
            typed.append((case, found, kind, repeat))
    turns = [(case, found, kind, repeat, item) for case, found, kind, repeat in typed for item in case.items]
    tasks = [
        Task(
            case.person.id, f"{case.person.id} {item.id}", found.profile(), item, case.place, kind.stack, found.features
        )
        for case, found, kind, _, item in turns
    ]
    voices = way.voices(tasks)
    heard = [place for place, four in enumerate(voices) if four is not None]
    lost("S3 answer, S4 check or S4 revision", len(voices) - len(heard))
    four = [voices[place] or () for place in heard]
    conclusions = way.conclude([tasks[place] for place in heard], four)
    named = [
        Task(task.person, task.who, describe(turns[place][0].features), task.item, task.place)
        for place, task in zip(heard, (tasks[place] for place in heard), strict=True)
    ]
    stated = way.plain(named, "demographics only")
    unstated = way.plain([Task(t.person, t.who, "", t.item, "") for t in named], "no person")
    decisions = []
    for place, said, conclusion, baseline, nobody in zip(heard, four, conclusions, stated, unstated, strict=True):
        case, found, kind, repeat, item = turns[place]
        if way.writes and conclusion is None:
            lost("S4 conclusion", 1)
        elif baseline is None or nobody is None:
            lost("baseline", 1)
        else:
            decisions.append(Decision(case, item, found, kind, repeat, said, baseline, nobody, conclusion))
    return decisions


def _another_order(count: int, rng: np.random.Generator) -> list[int]:
    """A random order that is not the given one."""
    own = list(range(count))
    order = own
    while order == own:
        order = [int(place) for place in rng.permutation(count)]
    return order
