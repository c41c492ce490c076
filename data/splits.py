"""Which items and countries training may see. Seeded, disjoint, and free of the same question on both sides."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from data.countries import iso3
from data.records import Item, Split, Survey

NEAR_DUPLICATE = 0.8


def make_split(
    survey: Survey,
    seed: int,
    held_out_items: Sequence[str] = (),
    held_out_countries: Sequence[str] = (),
    train_items: Sequence[str] = (),
    train_countries: Sequence[str] = (),
    held_out_item_share: float = 0.0,
    held_out_country_share: float = 0.35,
) -> Split:
    """Pin what is named, draw the rest: each share is the part of what is *not* named that is held out.

    Items are ids or shell patterns (`"ess/*"`), countries are codes, names or patterns of codes. Countries that are
    in no item asked in several countries train unless named: there is nothing to compare them with. Items whose
    questions overlap by NEAR_DUPLICATE or more (Jaccard index of their words) are drawn as one, so that no question is
    seen in training under another id. Raises ValueError when a name matches nothing (naming the nearest), when names
    are pinned to both sides, when pins put near-duplicate questions on both sides, and when nothing is left to train
    on.
    """
    shares = {"held_out_item_share": held_out_item_share, "held_out_country_share": held_out_country_share}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {share}")
    rng = np.random.default_rng(seed)
    items = sorted(survey.by_id)
    item_pins = _pins("item", items, train_items, held_out_items)
    country_pins = _pins(
        "country",
        survey.countries,
        [_code(name) for name in train_countries],
        [_code(name) for name in held_out_countries],
    )
    clusters = _clusters(survey.items)
    held_items = _draw_items(clusters, item_pins, held_out_item_share, rng)
    _refuse_near_duplicates(survey, held_items)
    free = [country for country in _compared_countries(survey) if country not in country_pins]
    drawn = rng.permutation(len(free))[: round(held_out_country_share * len(free))]
    held_countries = {free[i] for i in drawn} | {c for c, held in country_pins.items() if held}
    split = Split(
        train_items=tuple(item for item in items if item not in held_items),
        train_countries=tuple(country for country in survey.countries if country not in held_countries),
        held_out_items=tuple(sorted(held_items)),
        held_out_countries=tuple(sorted(held_countries)),
        seed=seed,
    )
    if not any(cell_stratum(split, d.item, d.group.country) == "train" for d in survey.distributions):
        raise ValueError("the split leaves nothing to train on: hold out fewer items or countries")
    return split


def cell_stratum(split: Split, item: str, country: str) -> str:
    """Where an item × country belongs: "train", "seen_items" (item trained on, country held out), "held_out" (neither
    was seen) or "seen_countries" (item held out, country trained on).
    """
    if item in split.held_out_items:
        return "held_out" if country in split.held_out_countries else "seen_countries"
    return "seen_items" if country in split.held_out_countries else "train"


def unusable_items(survey: Survey, split: Split) -> dict[str, str]:
    """Items whose countries all lie on the other side, with the reason: never trained on, or never audited unseen."""
    countries: dict[str, set[str]] = {item.id: set() for item in survey.items}
    for d in survey.distributions:
        countries[d.item].add(d.group.country)
    reasons = {}
    for item, asked in countries.items():
        if item in split.train_items and asked <= set(split.held_out_countries):
            reasons[item] = "training item asked in held-out countries only"
        if item in split.held_out_items and asked <= set(split.train_countries):
            reasons[item] = "held-out item asked in training countries only"
    return reasons


def _code(name: str) -> str:
    return name if any(c in name for c in "*?[") else iso3(name)


def _pins(kind: str, known: Sequence[str], train: Sequence[str], held_out: Sequence[str]) -> dict[str, bool]:
    """Name → whether it is pinned to the held-out side."""
    pins: dict[str, bool] = {}
    for held, patterns in ((False, train), (True, held_out)):
        for pattern in patterns:
            matches = [name for name in known if fnmatchcase(name, pattern)]
            if not matches:
                nearest = difflib.get_close_matches(pattern, known, n=1, cutoff=0)
                hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
                raise ValueError(f"{kind} {pattern!r} matches nothing in the survey{hint}")
            for name in matches:
                if pins.setdefault(name, held) != held:
                    raise ValueError(f"{kind} {name!r} is named both for training and as held out (by {pattern!r})")
    return pins


def _draw_items(
    clusters: Sequence[Sequence[str]], pins: Mapping[str, bool], share: float, rng: np.random.Generator
) -> set[str]:
    """Held-out items. A cluster goes where its first pinned item goes; unpinned clusters are drawn."""
    held: set[str] = set()
    free = []
    for cluster in clusters:
        sides = [pins[item] for item in cluster if item in pins]
        if not sides:
            free.append(cluster)
        held |= {item for item in cluster if pins.get(item, bool(sides) and sides[0])}
    for i in rng.permutation(len(free))[: round(share * len(free))]:
        held |= set(free[i])
    return held


def _words(question: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", question.casefold()))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _clusters(items: Iterable[Item]) -> list[list[str]]:
    """Items joined by near-duplicate questions, directly or over others; sorted."""
    clusters: list[list[tuple[str, frozenset[str]]]] = []
    for item in sorted(items, key=lambda item: item.id):
        words = _words(item.question)
        near = [c for c in clusters if any(_overlap(words, other) >= NEAR_DUPLICATE for _, other in c)]
        clusters = [c for c in clusters if c not in near]
        clusters.append([*(member for c in near for member in c), (item.id, words)])
    return sorted(sorted(name for name, _ in cluster) for cluster in clusters)


def _refuse_near_duplicates(survey: Survey, held: set[str]) -> None:
    words = {item.id: _words(item.question) for item in survey.items}
    for one in sorted(held):
        for other in sorted(set(words) - held):
            if (overlap := _overlap(words[one], words[other])) >= NEAR_DUPLICATE:
                raise ValueError(
                    f"held-out item {one!r} and training item {other!r} ask nearly the same question "
                    f"(word overlap {overlap:.2f}, refused from {NEAR_DUPLICATE}): put both on one side"
                )


def _compared_countries(survey: Survey) -> list[str]:
    """Countries in at least one item that was asked in several countries."""
    asked: dict[str, set[str]] = {}
    for d in survey.distributions:
        asked.setdefault(d.item, set()).add(d.group.country)
    return sorted(set().union(*(countries for countries in asked.values() if len(countries) > 1)))
