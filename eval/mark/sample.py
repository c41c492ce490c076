"""Whom MARK is asked about: a stratified probability sample of respondents, and what is known without a model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.personas import place_name
from data.prompts import LETTERS
from data.records import Item, Respondent, Split, Survey

MIN_FEATURES = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A sampled person. `features` are (name, value), the country first; `inclusion` is the probability with which the
    person entered the sample, in (0, 1]; `items` are held-out items that the person answered.
    """

    person: Respondent
    features: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    inclusion: float

    @property
    def place(self) -> str:
        """The country's name."""
        return self.features[0][1]


def sample_cases(
    survey: Survey, split: Split, people: int, items: int, features: int, rng: np.random.Generator
) -> tuple[list[Case], Counter[str]]:
    """At most `people` respondents of held-out countries with at most `items` held-out items each, and what is missing.

    Strata are country x age band. Places are dealt to the strata in turn, in random order, so that no country or age is
    left out while another has two more; within a stratum everybody has the same probability. Items come from one random
    order of all held-out items, so that people who can share an item do. Cases are sorted by respondent id.
    """
    part = survey.restrict(split.held_out_items, split.held_out_countries)
    excluded: Counter[str] = Counter()
    usable = [item for item in part.items if len(item.options) <= len(LETTERS)]
    if too_long := len(part.items) - len(usable):
        excluded[f"items of more than {len(LETTERS)} options"] += too_long
    order = [usable[index] for index in rng.permutation(len(usable))]
    strata: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for person in sorted(part.respondents, key=lambda person: person.id):
        known = features_of(person)[:features]
        asked = tuple(item for item in order if item.id in person.answers)[:items]
        if len(known) < MIN_FEATURES:
            excluded[f"respondents with fewer than {MIN_FEATURES} known features"] += 1
        elif asked:
            strata[person.group.country, person.group.age].append(Case(person, known, asked, 1.0))
    cases = []
    for key, places in allocate({key: len(block) for key, block in strata.items()}, people, rng).items():
        block = strata[key]
        for index in rng.choice(len(block), size=places, replace=False):
            case = block[index]
            cases.append(Case(case.person, case.features, case.items, places / len(block)))
    if short := people - len(cases):
        excluded["respondents wanted but not in the survey's held-out part"] += short
    if few := sum(items - len(case.items) for case in cases):
        excluded["items wanted but not answered by a sampled respondent"] += few
    return sorted(cases, key=lambda case: case.person.id), excluded


def allocate(sizes: dict[tuple[str, str], int], places: int, rng: np.random.Generator) -> dict[tuple[str, str], int]:
    """Places by stratum, dealt one at a time round the strata in one random order, none beyond a stratum's size."""
    keys = sorted(sizes)
    turn = [keys[index] for index in rng.permutation(len(keys))]
    dealt = dict.fromkeys(keys, 0)
    left = min(places, sum(sizes.values()))
    while left:
        for key in turn:
            if left and dealt[key] < sizes[key]:
                dealt[key] += 1
                left -= 1
    return {key: count for key, count in dealt.items() if count}


def features_of(person: Respondent) -> tuple[tuple[str, str], ...]:
    """The country by name, then the respondent's other features in the survey's order."""
    rest = [(name.replace("_", " "), value) for name, value in person.features.items() if value and name != "country"]
    return (("country", place_name(person.group.country)), *rest)


def majority_accuracy(people: Sequence[Respondent], person: Respondent, item: str) -> float:
    """Accuracy of answering with the most frequent answer of the others in the person's country, in [0, 1].

    Survey weights are applied and the person is left out; a tie counts as guessing among the tied; NaN without others.
    This row knows the country's answers, which a model asked about a held-out country does not.
    """
    totals: dict[int, float] = defaultdict(float)
    for other in people:
        if other.id != person.id and other.group.country == person.group.country and item in other.answers:
            totals[other.answers[item]] += other.weight
    if not totals:
        return float("nan")
    top = max(totals.values())
    modes = [answer for answer, total in totals.items() if total >= top - 1e-9]
    return float(person.answers[item] in modes) / len(modes)
