"""In what compared arms differ beside the factor that is meant, so that a difference is not put down to it alone.

Sets of arms are compared one to one: each arm beside one of the other side, so that as little as possible differs in
between. What is alike within all of these pairs is balanced over the sides, and so no difference between them: {sft
full, sft lora} and {dpo full, dpo lora} differ in the objective alone.

Read from the configurations of the arms' cells and what their trainings spent. The learning rate of a recipe belongs to
its objective, and an adapter's factor of it to the parameters: they are named there, for they are part of an objective
as it is used. Realised amounts are alike within 5% of the larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from eval.cells import Arm
from eval.inference import Hypothesis

FACTORS = {
    "objective": "the objective",
    "parameters": "the trained parameters",
    "data": "the training data",
    "start": "where training started",
    "asking": "how the model is asked",
    "budget": "the budget",
    "precision": "the numbers computed with",
}
"""What a factor is called in a sentence; `Hypothesis.factor` names one of the keys."""
OF_INTEREST = ("objective", "parameters", "data")
ALIKE = 0.05
REALISED = {
    "examples": "training examples",
    "tokens": "prompt tokens",
    "steps": "optimiser steps",
    "flops": "FLOPs",
}
ANSWERED_WITH = ("name", "dtype", "logprobs", "top_logprobs", "samples")
"""Knobs of the backend that change answers by more than their last digits."""
COUNTED_BY_MATCH = ("match", "amount", "examples")
"""Knobs of the budget whose effect is what was realised."""
OF_NO_EFFECT = ("micro_batch", "checkpoint_every")
"""Knobs of the budget that change no gradient."""
ASKED_WITH = ("audit_seed", "limit", "judge")
"""What beside an audit's own settings says what it asks."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` differs in a `factor` (a key of FACTORS), with both values: "recipe match against dpo"."""

    factor: str
    what: str


@dataclass(frozen=True, slots=True)
class Contrast:
    """The factor of a comparison and in what its two sides differ there, what else they differ in, and two sentences:
    what is `meant`, and a `warning` ("" where nothing else differs).
    """

    factor: str
    own: tuple[Difference, ...]
    others: tuple[Difference, ...]
    meant: str
    warning: str


def differences(one: Arm, other: Arm, audit: str = "") -> list[Difference]:
    """All of them, in the order of FACTORS, of the settings of audits those of `audit`. Beside an untrained arm only
    what training cannot explain is compared.
    """
    found = [Difference("asking", what) for what in _audited(one, other, audit)]
    for factor, compare in _COMPARED.items():
        if (one.trained and other.trained) or factor in ("start", "asking", "precision"):
            found += [Difference(factor, what) for what in compare(one, other)]
    return sorted(found, key=lambda each: list(FACTORS).index(each.factor))


def of_sets(some: Sequence[Arm], others: Sequence[Arm], audit: str = "") -> list[Difference]:
    """The differences of all pairs, where arms of both sides are paired so that as few as possible differ; each once,
    in the order of FACTORS. Where one side has more arms, those of the other come several times, equally often.
    """
    pairs = [(one, other) for one, other in _paired(some, others)]
    found = dict.fromkeys(each for one, other in pairs for each in differences(one, other, audit))
    return sorted(found, key=lambda each: [*FACTORS].index(each.factor))


def contrast(hypothesis: Hypothesis, arms: Mapping[str, Arm]) -> Contrast:
    """The factor that the hypothesis names, or else the first of OF_INTEREST that differs (none of these: the first
    that does; "" where only one of the arms was trained), and what differs beside it. Of a difference of differences:
    what the second has otherwise than the first.
    """
    sides = [[arms[name] for name in side] for side in hypothesis.sides]
    opposed = [(sides[0], sides[1])] if hypothesis.minus is None else [(sides[0], sides[2]), (sides[1], sides[3])]
    found = list(dict.fromkeys(each for some, others in opposed for each in of_sets(some, others, hypothesis.audit)))
    varying = [factor for factor in (*OF_INTEREST, *FACTORS) if any(each.factor == factor for each in found)]
    training = any(one.trained != other.trained for some, others in opposed for one, other in _paired(some, others))
    meant = hypothesis.factor or ("" if training or not varying else varying[0])
    own, others = (tuple(each for each in found if (each.factor == meant) == same) for same in (True, False))
    name, told = FACTORS.get(meant, "training"), _told(others)
    names = " and ".join(hypothesis.words)
    named = f"{names} are meant to differ in {_told(own) or name}."
    if not (meant or training):
        named = f"{names} differ in nothing that is known of them."
    if meant and meant not in varying and not training:
        warning = f"{names} do not differ in {name}, the factor that is named{f', but in {told}' if told else ''}."
    else:
        warning = f"{names} differ in more than {name}: also in {told}." if told else ""
    return Contrast(meant, own, others, named, warning)


def _paired(some: Sequence[Arm], others: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Every arm beside one of the other side, by the assignment with the fewest differences in all."""
    times = math.lcm(len(some), len(others))
    rows, columns = (list(side) * (times // len(side)) for side in (some, others))
    known = {(one.name, other.name): len(differences(one, other)) for one in some for other in others}
    costs = [[known[one.name, other.name] for other in columns] for one in rows]
    return [(rows[row], columns[column]) for row, column in zip(*linear_sum_assignment(costs), strict=True)]


def _told(found: Sequence[Difference]) -> str:
    """Differences in words, by factor: "the objective (recipe match against dpo); the budget (…)"."""
    by_factor: dict[str, list[str]] = {}
    for each in found:
        by_factor.setdefault(each.factor, []).append(each.what)
    return "; ".join(f"{FACTORS[factor]} ({', '.join(whats)})" for factor, whats in by_factor.items())


def _objective(one: Arm, other: Arm) -> list[str]:
    return _member(one, other, "recipe", _stages(one)[1], _stages(other)[1], kept="learning_rate")


def _audited(one: Arm, other: Arm, audit: str) -> list[str]:
    first, second = one.first.config, other.first.config
    found = [text for name in ASKED_WITH for text in _knobs({name: first.get(name)}, {name: second.get(name)})]
    mine, theirs = ((config.get("audit") or {}).get(audit) for config in (first, second))
    return found + _knobs(mine, theirs, f"audit.{audit}.")


def _parameters(one: Arm, other: Arm) -> list[str]:
    return _member(one, other, "adapter", one.first.adapter, other.first.adapter, kept="learning_rate_scale")


def _member(one: Arm, other: Arm, part: str, mine: str, theirs: str, kept: str) -> list[str]:
    """Two members of a config group by name and their knob `kept`; one member by all its knobs."""
    knobs = _knobs(one.first.config.get(part), other.first.config.get(part))
    named = _name(part, mine, theirs)
    return named + [text for text in knobs if not named or text.startswith(f"{kept} ")]


def _data(one: Arm, other: Arm) -> list[str]:
    first, second = one.first.config, other.first.config
    named = _name("mixture", one.first.mixture, other.first.mixture)
    found = named or _knobs(first.get("mixture"), second.get("mixture"))
    found += _knobs(first.get("survey"), second.get("survey"), "survey.")
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in ("draws", "seeds")]
    return found + [text for name, mine, theirs in pairs if mine and theirs for text in _name(name, mine, theirs)]


def _start(one: Arm, other: Arm) -> list[str]:
    (model, weights, parent), (other_model, other_weights, other_parent) = (_beginning(arm) for arm in (one, other))
    found = _name("model", model, other_model)
    if not found and weights != other_weights:
        found = [f"weights of {model} {weights[:8]} against {other_weights[:8]}"]
    if not (one.trained and other.trained):
        return found
    (stage, level, made), (other_stage, other_level, other_made) = map(_parent, (parent, other_parent))
    if stage == other_stage and level == other_level:  # the name ends with the hash of what it was made of
        return found + _name(f"parent {stage}", made, other_made)
    return found + _name("parent", stage, other_stage)


def _beginning(arm: Arm) -> tuple[str, str, str]:
    """Name and weights of the base model, and the stage that training started from: an arm, or recipes."""
    config = arm.first.config
    asked = config.get("parent")
    parent: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {}
    name = parent.get("name", (config.get("model") or {}).get("name", ""))
    cell = str(parent.get("cell") or "").rstrip("/").rpartition("/")[2]
    return str(name), str(parent.get("weights", "")), cell or _stages(arm)[0] or "the base"


def _parent(cell: str) -> tuple[str, str, str]:
    """A parent's name, its seed and draw, and its hash: "sft--s0--d1--1234abcd"; of recipes the name alone."""
    name, _, rest = cell.partition("--")
    level, _, made = rest.rpartition("--")
    return name, level, made


def _stages(arm: Arm) -> tuple[str, str]:
    """The recipes before an arm's own ("" for none), and its own: a chain's are "sft → dpo"."""
    before, _, own = arm.first.recipe.rpartition(" → ")
    return before, own


def _asking(one: Arm, other: Arm) -> list[str]:
    first, second = one.first.config, other.first.config
    found = _knobs(first.get("prompt"), second.get("prompt"), "prompt.")
    named = _name("inference", one.first.inference, other.first.inference)
    return found + (named or _knobs(first.get("inference"), second.get("inference"), "inference."))


def _budget(one: Arm, other: Arm) -> list[str]:
    sides = [arm.first.config.get("budget") or {} for arm in (one, other)]
    mine, theirs = (
        {key: value for key, value in side.items() if key not in (*COUNTED_BY_MATCH, *OF_NO_EFFECT)} for side in sides
    )
    found = _knobs(mine, theirs, "budget.")
    for name, words in REALISED.items():
        spent, against = _realised(one, name), _realised(other, name)
        if abs(spent - against) > ALIKE * max(spent, against):  # NaN: not known, not judged
            found.append(f"{words} {_number(spent)} against {_number(against)}")
    return found


def _precision(one: Arm, other: Arm) -> list[str]:
    configs = [arm.first.config for arm in (one, other)]
    models, backends = ([config.get(part) or {} for config in configs] for part in ("model", "backend"))
    found = [text for knob in ("dtype", "attention") for text in _name(knob, *(one.get(knob) for one in models))]
    found += [t for knob in ANSWERED_WITH for t in _name(f"backend.{knob}", *(one.get(knob) for one in backends))]
    if one.trained and other.trained:
        mine, theirs = ({**(config.get("engine") or {}), "threads": None} for config in configs)
        found += _knobs(mine, theirs, "engine.")
        found += _name("trained in", *map(_trained_on, (one, other)))
    return found


def _trained_on(arm: Arm) -> list[str]:
    """The types and devices of its trainings ("bfloat16 on cuda"): `dtype: auto` is another on another machine."""
    found = [cell.manifest.get("trained_on") or {} for cell in arm.cells]
    return sorted({f"{one['dtype']} on {one['device']}" for one in found if one})


_COMPARED: Mapping[str, Callable[[Arm, Arm], list[str]]] = {
    "objective": _objective,
    "parameters": _parameters,
    "data": _data,
    "start": _start,
    "asking": _asking,
    "budget": _budget,
    "precision": _precision,
}


def _realised(arm: Arm, name: str) -> float:
    """What the arm's finished cells spent, their mean; NaN where no manifest says."""
    spent = [(cell.manifest.get("budget") or {}).get(name, math.nan) for cell in arm.cells]
    return float(np.mean(spent)) if spent else math.nan


def _name(what: str, mine: Any, theirs: Any) -> list[str]:
    return [f"{what} {_shown(mine)} against {_shown(theirs)}"] if mine != theirs else []


def _knobs(mine: Any, theirs: Any, prefix: str = "") -> list[str]:
    """One phrase for each knob in which two nodes of a configuration differ, inner nodes knob by knob; one that is
    missing is null.
    """
    first, second = (node if isinstance(node, Mapping) else {} for node in (mine, theirs))
    found = []
    for key in dict.fromkeys([*first, *second]):
        mine, theirs, what = first.get(key), second.get(key), f"{prefix}{key}"
        nodes = isinstance(mine, Mapping) or isinstance(theirs, Mapping)
        found += _knobs(mine, theirs, f"{what}.") if nodes else _name(what, mine, theirs)
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    text = ", ".join(map(_shown, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:29]}…{text[-30:]}"  # paths and lists differ in their ends


def _number(value: float) -> str:
    return f"{value:.3g}" if value >= 1e6 else f"{value:,.0f}".replace(",", " ")
