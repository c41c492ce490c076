"""What each factor of an experiment does: objective, trained parameters and data, where its arms tell them apart.

A factor varies where the trained arms have several recipes, adapters, mixtures or interventions at inference time.
Where two or more do and every combination is an arm, once and with the same seeds and data draws, `eval.factorial`
decomposes the main measures, means of unit scores and variation between and within countries alike; gaps between groups
are not decomposed. Arms beside such a core (a control, raters pooled, another beta) are left out and named. All are
exploratory: hypotheses name arms or sets of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from eval.cells import AnswersOf, Arm
from eval.factorial import Effect, Levels, Statistics, decompose, effects_of, levels_of
from eval.panels import STRATUM_GROUPS, STRATUM_OF
from eval.records import FactorEffect
from eval.summaries import select
from eval.units import shared
from eval.variation import QUANTITIES, Cells, variation_of

FACTORS = {
    "recipe": "objective",
    "adapter": "trained parameters",
    "mixture": "data",
    "inference": "intervention at inference time",
}
"""What the factors are called, by the config group whose members are their levels."""
MEASURES = (
    ("first_token", "js_distance", "country"),
    ("first_token", "between_ratio", "country"),
    ("first_token", "within_ratio", "country"),
    ("edc", "flip_rate", "dialogue:neutral:6"),
    ("mark", "accuracy", "mark"),
)
"""(audit, measure, condition) of what is decomposed, in every stratum."""
MATCHED = ("model", "survey", "prompt", "budget")
_NAMED = 4
Name = tuple[str, str, str]
"""(measure, condition, group)."""


@dataclass(frozen=True)
class Design:
    """The varying `factors` (keys of `FACTORS`; none where fewer than two vary), the arm of each combination of their
    members, `why_not` (a sentence, with no arms, where they are no balanced design), and what to know of it (`notes`).
    """

    factors: tuple[str, ...] = ()
    arms: Mapping[Levels, Arm] | None = None
    why_not: str = ""
    notes: tuple[str, ...] = ()


def design(arms: Sequence[Arm], collapsed: Collection[str] = ()) -> Design:
    """The factorial design that the trained arms make, or the largest part of them that `_core` finds; arms named in
    `collapsed` are not decomposed.
    """
    trained = [arm for arm in arms if arm.trained]
    factors = _varying(trained)
    if len(factors) < 2:
        return Design()
    core = _core(trained, factors)
    if len(inside := _varying(core)) < 2:
        core, inside = trained, factors
    left = [arm.name for arm in trained if arm not in core]
    members: dict[Levels, list[Arm]] = {}
    for arm in core:
        members.setdefault(_levels(arm, inside), []).append(arm)
    if reason := _unbalanced(members, inside, collapsed):
        what = " and ".join(FACTORS[part] for part in inside).capitalize()
        return Design(inside, why_not=f"{what} vary, but their effects cannot be told apart: {reason}.")
    notes = (f"Left out, as not every combination with them is an arm: {', '.join(left)}.",) if left else ()
    return Design(inside, {levels: found[0] for levels, found in members.items()}, notes=(*notes, *_knobs(core)))


def factor_effects(
    found: Design,
    rng: Callable[..., np.random.Generator],
    draws: int,
    answers: Mapping[str, AnswersOf] | None = None,
) -> dict[str, Any]:
    """summary.json's "effects": the factors in words, `why_not`, `notes`, and a row a measure, stratum and effect.

    `rng` makes the generator of a measure from its names; `answers` as in `eval.compare`, without which variation is
    not decomposed. A measure that an arm lacks has no rows.
    """
    names = [FACTORS[part] for part in found.factors]
    arms, rows = found.arms or {}, list[FactorEffect]()
    for audit, measure, condition in MEASURES if arms else ():
        if not all(audit in arm.audits for arm in arms.values()):
            continue
        read = (answers or {}).get(audit)
        decomposed: Callable[..., list[Effect]] | None = None
        if measure not in QUANTITIES:
            scores = {levels: arm.scores(audit).dropna(subset="value") for levels, arm in arms.items()}
            decomposed = partial(_of_means, scores)
        elif read is not None:
            decomposed = partial(_of_variation, {levels: arm.answers(audit, read) for levels, arm in arms.items()})
        if decomposed is None:
            continue
        for group in STRATUM_GROUPS.values():
            key = (audit, measure, group, condition)
            effects = decomposed(names, (measure, condition, group), rng("effects", *key), draws)
            rows += [
                FactorEffect(*key, one.name, one.value, one.low, one.high, one.n, one.method, one.p, "exploratory")
                for one in effects[1:]
            ]
    return {
        "factors": names,
        "why_not": found.why_not,
        "notes": list(found.notes),
        "rows": [asdict(row) for row in rows],
    }


def _of_means(
    scores: Mapping[Levels, pd.DataFrame], names: Sequence[str], key: Name, rng: np.random.Generator, draws: int
) -> list[Effect]:
    units = {levels: select(table, *key) for levels, table in scores.items()}
    return [] if shared(list(units.values()))[0].empty else decompose(units, names, rng, draws)


def _of_variation(
    cells: Mapping[Levels, Cells], names: Sequence[str], key: Name, rng: np.random.Generator, draws: int
) -> list[Effect]:
    measure, condition, group = key
    levels = levels_of(list(cells), names)
    arms = [cells[combination] for combination in itertools.product(*levels)]
    return [
        effect
        for one in variation_of(arms, condition, STRATUM_OF[group], rng, draws, (measure,))
        for effect in effects_of(
            levels, names, Statistics(one.values, one.n, one.method, partial(one.replicates, rng=rng))
        )
    ]


def _varying(arms: Sequence[Arm]) -> tuple[str, ...]:
    return tuple(part for part in FACTORS if len({getattr(arm.first, part) for arm in arms}) > 1)


def _levels(arm: Arm, factors: Sequence[str]) -> Levels:
    return tuple(str(getattr(arm.first, part)) for part in factors)


def _core(arms: Sequence[Arm], factors: Sequence[str]) -> list[Arm]:
    """The arms that are left when, until every combination is there, the level that most combinations lack is given up
    with its arms (of levels alike in this the last); of arms with the same levels only one whose knobs more other arms
    have.
    """
    common = [sum(_node(one, part) == _node(other, part) for other in arms for part in FACTORS) for one in arms]
    kept: dict[Levels, list[int]] = {}
    for place, arm in enumerate(arms):
        kept.setdefault(_levels(arm, factors), []).append(place)
    left = [
        place for places in kept.values() for place in places if common[place] == max(common[other] for other in places)
    ]
    while True:
        there = {_levels(arms[place], factors) for place in left}
        every = [list(dict.fromkeys(levels)) for levels in zip(*there, strict=True)]
        whole = math.prod(map(len, every))
        if len(there) == whole:
            return [arms[place] for place in left]
        lacks = [
            (1 - sum(one[side] == level for one in there) * len(levels) / whole, side, level)
            for side, levels in enumerate(every)
            for level in sorted(levels)
            if len(levels) > 1
        ]
        _, side, level = max(lacks)
        left = [place for place in left if _levels(arms[place], factors)[side] != level]


def _node(arm: Arm, part: str) -> Any:
    return arm.first.config.get(part)


def _unbalanced(members: Mapping[Levels, Sequence[Arm]], factors: Sequence[str], collapsed: Collection[str]) -> str:
    """Why the arms are no balanced design, in words; "" where they are one."""
    for levels, arms in members.items():
        if len(arms) > 1:
            return f"{' and '.join(arm.name for arm in arms)} have the same {_combination(factors, levels)}"
    levels_of = [dict.fromkeys(names) for names in zip(*members, strict=True)]
    missing = [_combination(factors, each) for each in itertools.product(*levels_of) if each not in members]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return f"no arm has {'; '.join(missing[:_NAMED])}{more}"
    arms = [found[0] for found in members.values()]
    if gone := [arm.name for arm in arms if arm.name in collapsed]:
        return f"collapsed: {', '.join(gone)}"
    if unfinished := [arm.name for arm in arms if not arm.cells]:
        return f"not finished: {', '.join(unfinished)}"
    cells = {arm.name: ", ".join(sorted(cell.label for cell in arm.cells)) for arm in arms}
    if len(set(cells.values())) > 1:
        told = "; ".join(f"{name}: {labels}" for name, labels in cells.items())
        return f"the arms have different finished cells ({told})"
    differ = [key for key in MATCHED if any(arm.first.config.get(key) != arms[0].first.config.get(key) for arm in arms)]
    return f"the arms differ in {' and '.join(differ)} too" if differ else ""


def _knobs(arms: Sequence[Arm]) -> tuple[str, ...]:
    """Where arms with the same member of a config group have different knobs: which, one sentence a member."""
    notes = []
    for part in FACTORS:
        nodes: dict[str, list[Mapping[str, Any]]] = {}
        for arm in arms:
            nodes.setdefault(str(getattr(arm.first, part)), []).append(arm.first.config.get(part) or {})
        for member, found in nodes.items():
            keys = dict.fromkeys(key for node in found for key in node)
            if differ := [key for key in keys if any(node.get(key) != found[0].get(key) for node in found)]:
                notes.append(f"The arms with {part}={member} differ in {', '.join(differ)}.")
    return tuple(notes)


def _combination(factors: Sequence[str], levels: Levels) -> str:
    return ", ".join(f"{factor}={level}" for factor, level in zip(factors, levels, strict=True))
