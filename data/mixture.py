"""Training mixtures: which closed questions, put to which people, a model is trained on.

    >>> examples = Mixture()(survey.restrict(split.train_items, split.train_countries), size=512, seed=0, draw=0)

One mixture feeds every recipe: an example carries the people's distribution (for `match`, `rlhf`), one preference drawn
from it (for `dpo` and its kin) and one person's answer (for `sft`), so compared arms see the same questions, personas
and people.

The rule of drawing, one example at a time: an item with weight (countries that have it) ** `balance`, then one of its
countries evenly, then one of the conditions that the country's groups can state evenly, then a group evenly, then an
order of the options evenly from `data.prompts.orders`. With `balance` 1 every item x country pair is alike: an item
asked in 50 countries is drawn fifty times as often as one asked in a single country, and no country fills the mixture
because many surveys were held there. With 0 every item is alike, and such a country does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np

from data.prompts import FIELDS, orders
from data.records import AnswerDistribution, Group, Split, Survey, TrainingExample

_Value = TypeVar("_Value")
Cells = dict[str, dict[str, dict[str, list[AnswerDistribution]]]]


@dataclass(frozen=True)
class Mixture:
    """What to draw from, and how evenly.

    `conditions`: the personas stated; each is asked of the groups that have exactly these fields. `countries`: None for
    all training countries, a number of them drawn at random, or a list of alpha-3 codes. `items`: patterns of item ids
    such as "wvs/*", empty for all. `balance`: in [0, 1], see above.
    """

    conditions: tuple[str, ...] = ("country", "country+age")
    countries: int | tuple[str, ...] | None = None
    items: tuple[str, ...] = ()
    balance: float = 1.0
    name: str = "diverse"

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError(f"mixture.conditions must name at least one, such as country, got {self.conditions!r}")
        for condition in self.conditions:
            fields = condition.split("+")
            if "country" not in fields or len(set(fields)) != len(fields) or not set(fields) <= set(FIELDS):
                raise ValueError(
                    f"mixture.conditions: {condition!r} must be country, joined by + with any of {list(FIELDS[1:])}"
                )
        if isinstance(self.countries, int) and self.countries < 1:
            raise ValueError(f"mixture.countries must be at least 1, got {self.countries}")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"mixture.balance must lie in [0, 1], got {self.balance}")

    def __call__(self, survey_train: Survey, size: int, seed: int, draw: int) -> tuple[TrainingExample, ...]:
        """Exactly `size` examples, drawn with replacement; the same for the same arguments.

        `survey_train` is the part of the survey that may be trained on. Preferences: two distinct options evenly, the
        first preferred with q(a) / (q(a) + q(b)); a pair that nobody chose is drawn again. Answers come from a random
        stream of their own. Raises ValueError where the knobs leave nothing to draw from.
        """
        if size < 1:
            raise ValueError(f"a mixture needs at least 1 example, got size {size}")
        rng = np.random.default_rng([seed, draw])
        (of_answers,) = rng.spawn(1)
        cells = self._cells(survey_train, rng)
        names = sorted(cells)
        weights = np.array([float(len(cells[name])) ** self.balance for name in names])
        picks = rng.choice(len(names), size=size, p=weights / weights.sum())
        examples = []
        for name in (names[pick] for pick in picks):
            item = survey_train.by_id[name]
            by_condition = _one(cells[name], rng)
            condition = sorted(by_condition)[rng.integers(len(by_condition))]
            groups = by_condition[condition]
            people = groups[rng.integers(len(groups))]
            shown = orders(len(item.options), item.ordered)
            order = shown[rng.integers(len(shown))]
            chosen, rejected = _preference(people.probabilities, rng)
            answered = _answer(people.probabilities, of_answers)
            examples.append(
                TrainingExample(item, people.group, condition, order, people.probabilities, chosen, rejected, answered)
            )
        return tuple(examples)

    def _cells(self, survey: Survey, rng: np.random.Generator) -> Cells:
        """Item → country → condition → distributions, all in sorted order."""
        by_fields = {frozenset(condition.split("+")): condition for condition in self.conditions}
        usable = [
            (people, by_fields[_fields(people.group)])
            for people in sorted(survey.distributions, key=lambda d: (d.item, d.group))
            if _fields(people.group) in by_fields
            and (not self.items or any(fnmatchcase(people.item, pattern) for pattern in self.items))
        ]
        known = sorted({people.group.country for people, _ in usable})
        kept = set(self._choose(known, rng))
        cells: Cells = {}
        for people, condition in usable:
            if people.group.country in kept:
                by_country = cells.setdefault(people.item, {})
                by_country.setdefault(people.group.country, {}).setdefault(condition, []).append(people)
        if not cells:
            raise ValueError(
                f"mixture {self.name!r} leaves nothing to train on: items {list(self.items)}, conditions "
                f"{list(self.conditions)}, countries {self.countries}; the survey offers for training "
                f"{len(survey.items)} items in {len(survey.countries)} countries"
            )
        return cells

    def _choose(self, known: list[str], rng: np.random.Generator) -> Sequence[str]:
        if self.countries is None:
            return known
        if isinstance(self.countries, int):
            if self.countries > len(known):
                raise ValueError(f"mixture.countries asks for {self.countries}, there are {len(known)} for training")
            return [known[i] for i in rng.choice(len(known), size=self.countries, replace=False)]
        if missing := sorted(set(self.countries) - set(known)):
            raise ValueError(f"mixture.countries names {missing}, which are not among the training countries {known}")
        return self.countries


def check_held_out(examples: Sequence[TrainingExample], split: Split) -> None:
    """Raise ValueError where an example's item or country is not one of the split's training ones."""
    items = sorted({example.item.id for example in examples} - set(split.train_items))
    countries = sorted({example.group.country for example in examples} - set(split.train_countries))
    if items or countries:
        raise ValueError(f"the training mixture holds held-out items {items} or countries {countries}")


def realised_diversity(examples: Sequence[TrainingExample]) -> dict[str, float]:
    """Hill numbers of the examples' countries: how many equally common countries would be as diverse (Hill 1973).

    `hill_0` counts the countries, `hill_1` is exp of Shannon's entropy, `hill_2` is 1 / sum of squared shares.
    """
    if not examples:
        raise ValueError("an empty mixture has no diversity")
    counts = np.array(list(Counter(example.group.country for example in examples).values()), dtype=float)
    shares = counts / counts.sum()
    return {
        "hill_0": float(len(shares)),
        "hill_1": float(np.exp(-(shares * np.log(shares)).sum())),
        "hill_2": float(1 / (shares**2).sum()),
    }


def _fields(group: Group) -> frozenset[str]:
    return frozenset(name for name in FIELDS if getattr(group, name))


def _one(table: dict[str, _Value], rng: np.random.Generator) -> _Value:
    return table[sorted(table)[rng.integers(len(table))]]


def _preference(people: Sequence[float], rng: np.random.Generator) -> tuple[int, int]:
    while True:
        a, b = (int(option) for option in rng.choice(len(people), size=2, replace=False))
        if (total := people[a] + people[b]) > 0:
            return (a, b) if rng.random() < people[a] / total else (b, a)


def _answer(people: Sequence[float], rng: np.random.Generator) -> int:
    shares = np.asarray(people, dtype=np.float64)
    return int(rng.choice(len(shares), p=shares / shares.sum()))
