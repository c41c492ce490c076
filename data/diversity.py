"""How diverse a mixture turned out: countries, ages, topics, items, and how far the people of its countries differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from data.evenness import heip_evenness, hill_numbers
from data.records import Group, Item, TrainingExample


def realised_diversity(examples: Sequence[TrainingExample]) -> dict[str, float]:
    """Hill numbers of order 0, 1 and 2 (`hill_numbers`), by examples, and `mean_js_between`. ValueError for none.

    `hill_*` are of countries, `ages_hill_*` of the ages that are stated, `topics_hill_*` and `items_hill_*` of what is
    asked; `evenness` is `heip_evenness` of the countries that are there. NaN where there is nothing.
    """
    if not examples:
        raise ValueError("an empty mixture has no diversity")
    countries = _counts(example.group.country for example in examples)
    found = _hill("", countries)
    found |= {"evenness": heip_evenness(countries)}
    found |= _hill("ages_", _counts(example.group.age for example in examples if example.group.age))
    found |= _hill("topics_", _counts(topic_of(example.item) for example in examples))
    found |= _hill("items_", _counts(example.item.id for example in examples))
    return found | {"mean_js_between": mean_js_between(examples)}


def topic_of(item: Item) -> str:
    """The item's topic, or its survey where it has none."""
    return item.topic or item.survey


def mean_js_between(examples: Sequence[TrainingExample]) -> float:
    """Mean over pairs of countries of the mean JS distance (base 2, in [0, 1]) between what their people answer.

    Compared are groups that differ in the country alone, on one item, where the mixture holds both; each pair of
    countries counts alike. NaN where no two countries are asked the same.
    """
    tables: dict[tuple[str, Group], dict[str, tuple[float, ...]]] = {}
    for example in examples:
        key = (example.item.id, replace(example.group, country=""))
        tables.setdefault(key, {})[example.group.country] = example.people
    distances: dict[tuple[str, str], list[float]] = {}
    for table in tables.values():
        countries = sorted(table)
        people = np.array([table[country] for country in countries])
        pairs = list(combinations(range(len(countries)), 2))
        if pairs:
            one, other = (people[list(side)] for side in zip(*pairs, strict=True))
            for (a, b), distance in zip(pairs, _js_distances(one, other).tolist(), strict=True):
                distances.setdefault((countries[a], countries[b]), []).append(distance)
    return float(np.mean([np.mean(found) for found in distances.values()])) if distances else float("nan")


def _js_distances(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(-1) / (2 * np.log(2))
    return np.asarray(np.sqrt(divergence.clip(0, 1)), dtype=np.float64)


def _counts(kinds: Iterable[Hashable]) -> list[float]:
    return [float(count) for count in Counter(kinds).values()]


def _hill(prefix: str, counts: Sequence[float]) -> dict[str, float]:
    return {f"{prefix}hill_{order}": number for order, number in enumerate(hill_numbers(counts))}
