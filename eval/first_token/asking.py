"""What the first-token audit asks: which items of which groups, in which orders, persona styles and languages.

A *condition* names what a prompt states of a group ("none", "country", "country+age" …) and, in brackets, a persona
style or a language other than the prompts' own: "country (portrayal)", "none (fr)". Styles and languages are not
crossed: a style is asked in the main language, a language in the main style.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data.personas import PERSONAS
from data.prompts import OptionPrompt, Renderer
from data.records import AnswerDistribution, Group, Item
from data.splits import cell_stratum
from eval.context import AuditContext
from eval.languages import in_language
from eval.panels import DEMOGRAPHICS

NOBODY = "none"
CONDITIONS = (
    NOBODY,
    *("+".join(["country", *facts]) for size in range(4) for facts in itertools.combinations(DEMOGRAPHICS, size)),
)
HELD_OUT = "held_out"
STRATA = (HELD_OUT, "seen_items", "later_wave")


@dataclass(frozen=True)
class Asked:
    """The evidence: `items` has a row a prompt with its answer, `excluded` counts what was left out, by reason."""

    items: pd.DataFrame
    excluded: Mapping[str, int]


class Unit(NamedTuple):
    """An item and a group whose people answered it."""

    item: Item
    stratum: str
    people: AnswerDistribution

    @property
    def condition(self) -> str:
        """The condition that states all that the group says of itself."""
        return stated(self.people.group)


class Manner(NamedTuple):
    """A way of asking: the renderer, the items as worded in its language, and what a condition's name adds for it."""

    renderer: Renderer
    items: Mapping[str, Item]
    suffix: str = ""


class Question(NamedTuple):
    """A prompt and its row of evidence, the answer yet to come."""

    row: dict[str, Any]
    prompt: OptionPrompt


def stated(group: Group) -> str:
    """The condition that states all that `group` says of itself: "country+age"."""
    return "+".join(["country", *(name for name in DEMOGRAPHICS if getattr(group, name))])


def manner_of(condition: str) -> tuple[str, str]:
    """What a condition states, and the style or language it names ("" for the main one): ("country", "fr")."""
    base, _, rest = condition.partition(" (")
    return base, rest.removesuffix(")")


def manners(
    context: AuditContext, personas: Sequence[str], languages: Sequence[str]
) -> tuple[list[Manner], dict[str, int]]:
    """The main manner (that of `context`, already in the audit's language) and the further ones, and items left out."""
    main = context.renderer
    found, excluded = [Manner(main, context.survey.by_id)], dict[str, int]()
    for style in personas:
        if style != main.asking.persona:
            found.append(Manner(main.in_style(style), context.survey.by_id, f" ({style})"))
    for language in languages:
        if language != main.asking.language:
            worded, unsaid = in_language(context, language)
            excluded |= unsaid
            found.append(Manner(worded.renderer, worded.survey.by_id, f" ({language})"))
    return found, excluded


def units_of(
    context: AuditContext,
    conditions: Sequence[str],
    seen_items: bool,
    max_countries: int | None,
    rng: np.random.Generator,
) -> tuple[list[Unit], dict[str, int]]:
    """Everything to be asked, and what was left out by reason. ValueError where no held-out unit is among it."""
    split, survey = context.split, context.survey
    trained = survey.distributions if split.train_before is None else survey.earlier
    seen = {d.item for d in trained if d.group.country in split.train_countries} if seen_items else set()
    held = set(split.held_out_items)
    wanted = [item for item in survey.items if item.id in held or item.id in seen]
    if context.limit is not None:
        wanted = sorted(wanted, key=lambda item: item.id not in held)[: context.limit]
    groups: dict[tuple[str, str], list[AnswerDistribution]] = {}
    for d in survey.distributions:
        if stated(d.group) in conditions:
            groups.setdefault((d.item, cell_stratum(split, d.item, d.group.country)), []).append(d)
    excluded: Counter[str] = Counter()
    units: list[Unit] = []
    for item in wanted:
        if len(item.options) > 26:
            excluded["items with more than 26 options"] += 1
            continue
        for stratum in STRATA:
            found = groups.get((item.id, stratum), [])
            kept = _countries(found, max_countries, rng)
            if dropped := len({d.group.country for d in found}) - len(kept):
                excluded[f"item × country beyond max_countries={max_countries}"] += dropped
            units += [Unit(item, stratum, d) for d in found if d.group.country in kept]
    if not any(unit.stratum == HELD_OUT for unit in units):
        raise ValueError(
            f"nothing to audit: none of the held-out items {list(split.held_out_items)} has answers of people in "
            f"the held-out countries {list(split.held_out_countries)}"
        )
    there = {unit.condition for unit in units}
    for condition in conditions:
        if condition not in there and condition != NOBODY:
            excluded[f"items without groups to ask with {condition}"] = len(wanted)
    return units, dict(excluded)


def _countries(groups: Sequence[AnswerDistribution], most: int | None, rng: np.random.Generator) -> set[str]:
    """At most so many of an item: those with demographic groups first, the rest drawn."""
    found = sorted({d.group.country for d in groups})
    if most is None or len(found) <= most:
        return set(found)
    first = sorted({d.group.country for d in groups if stated(d.group) != "country"})[:most]
    rest = [country for country in found if country not in first]
    drawn = rng.choice(rest, size=most - len(first), replace=False)
    return {*first, *drawn.tolist()}


def questions_of(
    units: Sequence[Unit], conditions: Sequence[str], manner: Manner, orders: Mapping[str, Sequence[tuple[int, ...]]]
) -> list[Question]:
    """A prompt a unit and order (`orders` by item) in one manner. The condition "none" is asked once an item, with
    country ""; a persona style says nothing about nobody and does not ask it.
    """
    found: list[Question] = []
    anonymous = NOBODY in conditions and manner.suffix.strip(" ()") not in PERSONAS
    nobody: set[str] = set()
    for unit in units:
        if unit.item.id not in manner.items:
            continue
        for condition in (unit.condition, NOBODY):
            if condition == NOBODY and (not anonymous or unit.item.id in nobody):
                continue
            if condition == NOBODY:
                nobody.add(unit.item.id)
            for order in orders[unit.item.id]:
                found.append(question(unit, condition, manner, order))
    return found


def question(unit: Unit, condition: str, manner: Manner, order: tuple[int, ...], told: int | None = None) -> Question:
    """One prompt with its row; `told` as in `Renderer.survey`."""
    group = unit.people.group if condition != NOBODY else Group("")
    item, people = manner.items[unit.item.id], unit.people
    prompt = manner.renderer.survey(item, order, group, condition, told)
    row = {
        "item": item.id,
        **{name: getattr(group, name) for name in ("country", *DEMOGRAPHICS)},
        "condition": condition + manner.suffix,
        "stratum": unit.stratum,
        "order": list(order),
        "labels": list(prompt.labels),
        "prompt": prompt.text,
        "q": np.asarray(people.probabilities) if condition != NOBODY else None,
        "n": people.n_effective if condition != NOBODY else 0.0,
        "ordered": item.ordered,
        "positions": None if item.scale is None else np.asarray(item.scale),
    }
    return Question(row, prompt)


def answered(questions: Sequence[Question], context: AuditContext) -> pd.DataFrame:
    """The rows with `p` (k,), in the item's own option order, and `option_mass`; all asked at once."""
    progress = context.progress("first-token alignment")
    answers = context.answerer.score([one.prompt for one in questions], progress)
    rows = []
    for one, answer in zip(questions, answers, strict=True):
        p = np.empty(len(one.row["order"]))
        p[one.row["order"]] = answer.probabilities
        rows.append(one.row | {"p": p, "option_mass": answer.option_mass})
    return pd.DataFrame(rows)
