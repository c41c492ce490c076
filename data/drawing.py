"""What a mixture may draw, and with what chance: by the rule of `data.mixture`, or with asked shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from data.evenness import rake, shares_of_evenness
from data.records import AnswerDistribution

_Value = TypeVar("_Value")
Cells = dict[str, dict[str, dict[str, list[AnswerDistribution]]]]
"""Item → country → condition → distributions."""


@dataclass(frozen=True, slots=True)
class Drawable:
    """A group's distribution, the condition that states the group, and the chance that an example is drawn from it."""

    people: AnswerDistribution
    condition: str
    chance: float


@dataclass(frozen=True, slots=True)
class Margin:
    """How even a field of the groups ("country", "age") shall be, which of its values comes most often (None: drawn at
    random), and the names of the knobs that say so.
    """

    field: str
    evenness: float | None
    dominant: str | None
    of_evenness: str
    of_dominant: str


def by_rule(
    cells: Cells, size: int, balance: float, rng: np.random.Generator
) -> Iterator[tuple[AnswerDistribution, str]]:
    """Draws by the rule of `data.mixture`: distributions with the condition that states their group."""
    names = sorted(cells)
    weights = np.array([float(len(cells[name])) ** balance for name in names])
    picks = rng.choice(len(names), size=size, p=weights / weights.sum())
    for name in (names[pick] for pick in picks):
        by_condition = _one(cells[name], rng)
        condition = sorted(by_condition)[rng.integers(len(by_condition))]
        groups = by_condition[condition]
        yield groups[rng.integers(len(groups))], condition


def drawable_of(cells: Cells, balance: float) -> list[Drawable]:
    """Everything that `by_rule` may draw, with its chance."""
    total = sum(float(len(by_country)) ** balance for by_country in cells.values())
    return [
        Drawable(people, condition, len(by_country) ** (balance - 1) / len(by_condition) / len(groups) / total)
        for _, by_country in sorted(cells.items())
        for _, by_condition in sorted(by_country.items())
        for condition, groups in sorted(by_condition.items())
        for people in groups
    ]


def by_chance(
    drawable: Sequence[Drawable], size: int, rng: np.random.Generator
) -> Iterator[tuple[AnswerDistribution, str]]:
    """Draws by chance, as `by_rule` gives them."""
    chances = np.array([one.chance for one in drawable])
    for pick in rng.choice(len(drawable), size=size, p=chances / chances.sum()):
        yield drawable[pick].people, drawable[pick].condition


def with_margins(
    drawable: Sequence[Drawable], margins: Sequence[Margin], rng: np.random.Generator
) -> Sequence[Drawable]:
    """With the nearest chances that have the asked margins (`data.evenness`).

    A margin without evenness asks for nothing. Ranks are drawn with `rng`. Raises ValueError for a field of fewer than
    two values, a dominant value that is not there, and where no chances have all margins: an age, say, that the people
    of the dominant country were not asked by.
    """
    asked = []
    for margin, of_ranks in zip(margins, rng.spawn(len(margins)), strict=True):
        if margin.evenness is None:
            continue
        values = [str(getattr(one.people.group, margin.field)) for one in drawable]
        kinds = sorted({value for value in values if value})
        if len(kinds) < 2:
            raise ValueError(f"{margin.of_evenness} needs two kinds of {margin.field}, the mixture has {kinds}")
        if margin.dominant is not None and margin.dominant not in kinds:
            raise ValueError(f"{margin.of_dominant} {margin.dominant!r} is not in the mixture: {', '.join(kinds)}")
        ranked = [kinds[place] for place in of_ranks.permutation(len(kinds))]
        ranked.sort(key=lambda kind: kind != margin.dominant)  # stable: the others stay in the order drawn
        places = {kind: place for place, kind in enumerate(ranked)}
        labels = np.array([places.get(value, -1) for value in values])
        asked.append((labels, shares_of_evenness(len(kinds), margin.evenness)))
    if not asked:
        return drawable
    try:
        raked = rake(np.array([one.chance for one in drawable]), asked)
    except ValueError as error:
        knobs = " with ".join(f"{m.of_evenness} {m.evenness}" for m in margins if m.evenness is not None)
        raise ValueError(f"{knobs}: {error}") from error
    return [replace(one, chance=float(chance)) for one, chance in zip(drawable, raked, strict=True)]


def _one(table: dict[str, _Value], rng: np.random.Generator) -> _Value:
    return table[sorted(table)[rng.integers(len(table))]]


def preference(people: Sequence[float], rng: np.random.Generator) -> tuple[int, int]:
    """Two distinct options evenly, the first returned with q(a) / (q(a) + q(b)); again where nobody chose either."""
    while True:
        a, b = (int(option) for option in rng.choice(len(people), size=2, replace=False))
        if (total := people[a] + people[b]) > 0:
            return (a, b) if rng.random() < people[a] / total else (b, a)


def answer(people: Sequence[float], rng: np.random.Generator) -> int:
    """The option that one person chose, drawn from the distribution."""
    shares = np.asarray(people, dtype=np.float64)
    return int(rng.choice(len(shares), p=shares / shares.sum()))
