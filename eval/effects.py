"""What each factor of an experiment does: objective, trained parameters and data, where its arms tell them apart.

A factor varies where the trained arms have several recipes, adapters, mixtures or interventions at inference time.
Where two or more do and every combination is an arm, once and with the same seeds and data draws, `eval.factorial`
decomposes the main measures that are means of unit scores; the ratios (variation between and within countries) and gaps
are none and have no effects. All are exploratory: hypotheses name pairs of arms.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.cells import Arm
from eval.factorial import Levels, decompose
from eval.panels import STRATUM_GROUPS
from eval.records import FactorEffect
from eval.summaries import select
from eval.units import shared

FACTORS = {
    "recipe": "objective",
    "adapter": "trained parameters",
    "mixture": "data",
    "inference": "intervention at inference time",
}
"""What the factors are called, by the config group whose members are their levels."""
MEASURES = (
    ("first_token", "js_distance", "country"),
    ("edc", "flip_rate", "dialogue:neutral:6"),
    ("mark", "accuracy", "mark"),
)
"""(audit, measure, condition) of what is decomposed, in every stratum."""
MATCHED = ("model", "survey", "prompt", "budget")
_NAMED = 4


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
    """The factorial design that the trained arms make; arms named in `collapsed` are not decomposed."""
    trained = [arm for arm in arms if arm.trained]
    factors = tuple(part for part in FACTORS if len({getattr(arm.first, part) for arm in trained}) > 1)
    if len(factors) < 2:
        return Design()
    members: dict[Levels, list[Arm]] = {}
    for arm in trained:
        members.setdefault(tuple(str(getattr(arm.first, part)) for part in factors), []).append(arm)
    if reason := _unbalanced(members, factors, collapsed):
        what = " and ".join(FACTORS[part] for part in factors).capitalize()
        return Design(factors, why_not=f"{what} vary, but their effects cannot be told apart: {reason}.")
    return Design(factors, {levels: found[0] for levels, found in members.items()}, notes=_knobs(trained))


def factor_effects(found: Design, rng: Callable[..., np.random.Generator], draws: int) -> dict[str, Any]:
    """summary.json's "effects": the factors in words, `why_not`, `notes`, and a row a measure, stratum and effect.

    `rng` makes the generator of a measure from its names. A measure that an arm lacks has no rows.
    """
    names = [FACTORS[part] for part in found.factors]
    rows: list[FactorEffect] = []
    if found.arms:
        for audit, measure, condition in MEASURES:
            if not all(audit in arm.audits for arm in found.arms.values()):
                continue
            scores = {levels: arm.scores(audit).dropna(subset="value") for levels, arm in found.arms.items()}
            for group in STRATUM_GROUPS.values():
                units = {levels: select(table, measure, condition, group) for levels, table in scores.items()}
                if shared(list(units.values()))[0].empty:
                    continue
                key = (audit, measure, group, condition)
                effects = decompose(units, names, rng("effects", *key), draws)
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
