"""A made-up world whose people are known exactly, for models whose right values are known (`known_models`).

PEOPLE: a survey of shares with a million people behind each, so that sampling noise is nothing: three held-out items
and one trained on, four held-out countries and two trained in, two ages that count half each.
PERSONS: a survey of respondents whose sex decides every answer; age and education say nothing of it.
DILEMMAS: each pair of Schwartz's ten values once, and STRENGTHS, what a stable chooser thinks of the values.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from data.dilemmas.corpus import VALUES
from data.records import (
    AnswerDistribution,
    Dilemma,
    Group,
    Item,
    ItemWording,
    Respondent,
    Split,
    Survey,
    Wording,
)

MANY = 1_000_000
AGES = ("18-29", "50+")
HELD, TRAINED = ("BRA", "GHA", "IND", "NOR"), ("DEU", "USA")
COUNTRIES = (*HELD, *TRAINED)
ITEMS = (
    Item(
        "toy/trust",
        "Can most people in your town be trusted?",
        ("Never", "Seldom", "Often", "Always"),
        True,
        "toy",
        positions=(0.0, 1.0, 3.0, 4.0),
        wordings=(ItemWording("fr", "Peut-on faire confiance ?", ("Jamais", "Rarement", "Souvent", "Toujours")),),
    ),
    Item("toy/road", "Who should decide about the road?", ("The mayor", "The people", "Experts"), False, "toy"),
    Item("toy/pray", "Do you pray before meals?", ("Yes", "No"), False, "toy"),
    Item("toy/work", "How often should shops open at night?", ("Rarely", "Sometimes", "Daily"), True, "toy"),
)
HELD_ITEMS = ("toy/trust", "toy/road", "toy/pray")
SPLIT = Split(("toy/work",), TRAINED, HELD_ITEMS, HELD, 0)


def _people() -> Survey:
    rng = np.random.default_rng(3)
    made = []
    for item, country in product(ITEMS, COUNTRIES):
        k = len(item.options)
        bands = [np.round(0.9 * rng.dirichlet(np.ones(k)) + 0.1 / k, 2) for _ in AGES]
        if (item.id, country) == ("toy/pray", "GHA"):
            bands = [np.array([0.96, 0.04]), np.array([0.94, 0.06])]
        bands = [np.append(band[:-1], 1 - band[:-1].sum()) for band in bands]
        made.append((item.id, Group(country), (bands[0] + bands[1]) / 2))
        made += [(item.id, Group(country, age), band) for age, band in zip(AGES, bands, strict=True)]
    shares = (AnswerDistribution(item, group, tuple(q.tolist()), MANY, float(MANY)) for item, group, q in made)
    return Survey(ITEMS, tuple(shares))


PEOPLE = _people()

PERSON_ITEMS = (
    Item("toy/night", "Is it right to work on Sundays?", ("Not at all", "At times", "Fully"), False, "toy"),
    Item("toy/dog", "Should dogs be let into shops?", ("Let them in", "Keep them out"), False, "toy"),
    Item("toy/tea", "Do you like tea?", ("A lot", "A little"), False, "toy"),
)
PERSON_SPLIT = Split(("toy/tea",), ("USA",), ("toy/night", "toy/dog"), HELD, 0)
ANSWERS = {"female": {"toy/night": 0, "toy/dog": 1, "toy/tea": 0}, "male": {"toy/night": 2, "toy/dog": 0, "toy/tea": 1}}
SEXES = {"BRA": (3, 1), "GHA": (1, 2), "IND": (1, 3), "NOR": (2, 1), "USA": (2, 3)}
"""Women and men of each age: each country has twice as many."""


def _persons() -> Survey:
    people, shares = [], []
    for country, counts in SEXES.items():
        for sex, many in zip(ANSWERS, counts, strict=True):
            for number, age in product(range(many), ("25", "60")):
                name = f"{country}-{sex}-{age}-{number}"
                group = Group(country, AGES[age == "60"], sex)
                facts = {"age": age, "sex": sex, "education": "school"}
                people.append(Respondent(name, group, facts, ANSWERS[sex]))
        for item in PERSON_ITEMS:
            q = np.zeros(len(item.options))
            for sex, many in zip(ANSWERS, counts, strict=True):
                q[ANSWERS[sex][item.id]] += many / sum(counts)
            shares.append(AnswerDistribution(item.id, Group(country), tuple(q.tolist()), MANY, float(MANY)))
    return Survey(PERSON_ITEMS, tuple(shares), tuple(people))


PERSONS = _persons()
SAMPLE_SIZE = sum(person.group.country in HELD for person in PERSONS.respondents)
"""Everybody in the held-out countries."""

STRENGTHS = dict(zip(VALUES, (0.6, -1.1, -0.3, 0.1, -1.9, 0.9, 0.35, -0.7, 1.6, 2.2), strict=True))
PAIRS = tuple(pair if number % 3 else pair[::-1] for number, pair in enumerate(combinations(VALUES, 2)))
ACTIONS = {f"Act for {value}": value for value in VALUES}


def _dilemmas() -> tuple[Dilemma, ...]:
    made = []
    for number, (a, b) in enumerate(PAIRS):
        scenarios = tuple(f"Case {number}, told in way {way}." for way in range(3))
        made.append(
            Dilemma(
                f"d{number:02d}", (a, b), "unspecified", {"en": Wording(scenarios, (f"Act for {a}", f"Act for {b}"))}
            )
        )
    return tuple(made)


DILEMMAS = _dilemmas()


def stable(a: str, b: str) -> float:
    """The probability that a chooser of STRENGTHS acts for value `a` rather than `b`."""
    return float(1 / (1 + np.exp(STRENGTHS[b] - STRENGTHS[a])))
