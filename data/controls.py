"""Whose answers a mixture teaches: pooled over the countries, or none that people gave, as a control.

Each function changes the truth (what is asked of a group, and what its people answer) and nothing else, so that a
control has the personas, option orders and number of examples of the mixture that it is a control of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data.records import NEUTRAL, Group, Item, ItemWording

Key = tuple[str, Group]
Truth = dict[Key, tuple[Item, tuple[float, ...]]]
"""Item id and group → the item that is asked, and the distribution of the people behind the answer."""

BALLS = 100


def pooled(truth: Truth, chances: Mapping[Key, float]) -> Truth:
    """Everybody's answer in place of the group's: the mean over an item's groups, each as often as it is drawn.

    An item without any chance keeps its people.
    """
    groups: dict[str, list[Key]] = {}
    for key in truth:
        groups.setdefault(key[0], []).append(key)
    made: Truth = {}
    for keys in groups.values():
        weights = np.array([chances[key] for key in keys])
        people = np.array([truth[key][1] for key in keys])
        everybody = tuple(np.average(people, axis=0, weights=weights).tolist()) if weights.sum() > 0 else None
        made |= {key: (truth[key][0], everybody or truth[key][1]) for key in keys}
    return made


def shuffled_labels(truth: Truth, rng: np.random.Generator) -> Truth:
    """The shares of every item x group under a permutation of its options drawn once: the same entropy, no agreement.

    One permutation an item would leave the differences between countries as they are, one an example would average to
    the uniform distribution, which is a value of its own. Permutations are drawn evenly, the identity among them: on
    average nothing is said about people, whereas an item of two options without it would be their opposite.
    """
    return {
        (item, group): (asked, tuple(people[option] for option in rng.permutation(len(people))))
        for (item, group), (asked, people) in truth.items()
    }


def shuffled_countries(truth: Truth, rng: np.random.Generator) -> Truth:
    """The persona states one country and the people are another's: the next on a circle of all, in an order drawn once.

    Of an item that few countries were asked, the next that was. It is a group of the same age, sex and education; where
    no other country has one, the next country's people, those as a whole before a part of them. No country answers for
    itself, and among groups of one kind none for two. Raises ValueError for an item of one country alone.
    """
    countries = sorted({group.country for _, group in truth})
    circle = {countries[pick]: place for place, pick in enumerate(rng.permutation(len(countries)))}
    kinds: dict[str, dict[Group, list[Group]]] = {}
    for item, group in sorted(truth, key=lambda key: (key[0], circle[key[1].country], key[1])):
        kinds.setdefault(item, {}).setdefault(replace(group, country=""), []).append(group)
    made: Truth = {}
    for item, by_kind in kinds.items():
        for groups in by_kind.values():
            for group, following in zip(groups, [*groups[1:], groups[0]], strict=True):
                if following == group:
                    following = _next(item, group, by_kind, circle)
                made[item, group] = (truth[item, group][0], truth[item, following][1])
    return made


def neutral(truth: Truth, rng: np.random.Generator) -> Truth:
    """Every question as one about coloured balls in a bag, whose counts are the people's shares rounded to 100.

    By the largest remainder, so that they sum to 100; the target is exactly what the question states. As many options
    as before, coloured by chance. Raises ValueError beyond the 12 colours.
    """
    made: Truth = {}
    for (item, group), (_, people) in truth.items():
        counts = _rounded(people)
        if len(counts) > len(_words()["en"]["colours"]):
            raise ValueError(f"item {item!r} has {len(counts)} options, more than there are colours for a neutral twin")
        palette = [int(colour) for colour in rng.permutation(len(_words()["en"]["colours"]))[: len(counts)]]
        first, *others = [_in_words(language, counts, palette) for language in _words()]
        twin = Item(
            id=f"{NEUTRAL}{item}/{group.label}",
            question=first.question,
            options=first.options,
            ordered=False,
            survey="neutral",
            language=first.language,
            wordings=tuple(others),
        )
        made[item, group] = (twin, tuple(count / BALLS for count in counts))
    return made


CONTROLS: dict[str, Callable[[Truth, np.random.Generator], Truth]] = {
    "shuffled_labels": shuffled_labels,
    "shuffled_countries": shuffled_countries,
    "neutral": neutral,
}


def _next(item: str, group: Group, by_kind: Mapping[Group, list[Group]], circle: Mapping[str, int]) -> Group:
    others = [other for groups in by_kind.values() for other in groups if other.country != group.country]
    if not others:
        raise ValueError(f"item {item!r} was asked in {group.country} alone: nobody else can answer it")
    return min(others, key=lambda other: ((circle[other.country] - circle[group.country]) % len(circle), other))


def _rounded(people: tuple[float, ...]) -> list[int]:
    exact = np.array(people) / sum(people) * BALLS
    counts = np.floor(exact).astype(int)
    for option in np.argsort(counts - exact, kind="stable")[: BALLS - counts.sum()]:
        counts[option] += 1
    return [int(count) for count in counts]


def _in_words(language: str, counts: list[int], palette: list[int]) -> ItemWording:
    words = _words()[language]
    colours = [words["colours"][colour] for colour in palette]
    stated = [words["each"].format(colour=c, count=n) for c, n in zip(colours, counts, strict=True)]
    question = words["question"].format(counts=words["joint"].join(stated))
    return ItemWording(language, question, tuple(colour.capitalize() for colour in colours))


@cache
def _words() -> dict[str, Any]:
    text = Path(__file__).with_name("neutral.yaml").read_text(encoding="utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words
