"""Which items, countries and waves training may see. Seeded, disjoint, and free of the same question on both sides."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np

from data.countries import iso3
from data.leaks import tokens
from data.records import Item, Split, Survey

NEAR_DUPLICATE = 0.8
LEAST_CONTAINED = 5
SIDES = ("train_items", "held_out_items", "train_countries", "held_out_countries")


def make_split(
    survey: Survey,
    seed: int,
    held_out_items: Sequence[str] = (),
    held_out_countries: Sequence[str] = (),
    train_items: Sequence[str] = (),
    train_countries: Sequence[str] = (),
    held_out_item_share: float = 0.0,
    held_out_country_share: float = 0.35,
    train_before: int | None = None,
) -> Split:
    """Pin what is named, draw the rest: each share is the part of what is *not* named that is held out.

    Items are ids or shell patterns (`"ess/*"`), countries are codes, names or patterns of codes. Countries that are
    in no item asked in several countries train unless named: there is nothing to compare them with. Items whose
    questions are near duplicates (see `likeness`) are drawn as one, so that no question is seen in training under
    another id. `train_before` goes with a survey that `load_survey` read with the same year. Raises ValueError when a
    name matches nothing (naming the nearest), when names are pinned to both sides, when pins put near-duplicate
    questions on both sides, and when nothing is left to train on.
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
        train_before=train_before,
    )
    _refuse_nothing_to_train_on(survey, split)
    return split


def named_split(
    survey: Survey,
    name: str,
    known: Mapping[str, Mapping[str, Sequence[str]]],
    seed: int,
    train_before: int | None = None,
) -> tuple[Survey, Split]:
    """A published split: the survey without what its lists do not name (counted), and the split.

    `known` maps names to the four lists of SIDES; items are ids or patterns, countries codes or names. Published
    splits may name what a survey lacks (an item nobody was asked, a country that is not in the file): that is counted
    too. Raises ValueError for an unknown name (listing the known), for an item or country on both sides, for
    near-duplicate questions on both sides, and where a side of items or of countries is left empty.
    """
    if name not in known:
        raise ValueError(
            f"survey.split.named: no split {name!r} in these surveys; known: {', '.join(sorted(known)) or 'none'}"
        )
    if wrong := sorted(set(SIDES) ^ set(known[name])):
        raise ValueError(f"named split {name!r} must have {', '.join(SIDES)}: {wrong[0]!r} is missing or unknown")
    lists = {side: list(known[name][side]) for side in SIDES}
    excluded: Counter[str] = Counter()
    sides: dict[str, tuple[str, ...]] = {}
    for side, names in lists.items():
        kind = side.rpartition("_")[2]
        there = sorted(survey.by_id) if kind == "items" else survey.countries
        patterns = names if kind == "items" else [_code(country) for country in names]
        found = {pattern: _matching(there, pattern) for pattern in patterns}
        excluded[f"{kind} of split {name!r} that the survey lacks"] += sum(not matches for matches in found.values())
        sides[side] = tuple(sorted({one for matches in found.values() for one in matches}))
        if not sides[side]:
            raise ValueError(f"named split {name!r}: none of its {side} {names[:5]} is in the survey")
    for kind in ("items", "countries"):
        if both := sorted(set(sides[f"train_{kind}"]) & set(sides[f"held_out_{kind}"])):
            raise ValueError(
                f"named split {name!r} has {kind} on both sides: {', '.join(both)}; list each on one side only"
            )
    split = Split(**sides, seed=seed, train_before=train_before)
    items, countries = ({*sides[f"train_{kind}"], *sides[f"held_out_{kind}"]} for kind in ("items", "countries"))
    excluded[f"items that split {name!r} does not name"] = len(survey.items) - len(items)
    excluded[f"countries that split {name!r} does not name"] = len(set(survey.countries) - countries)
    excluded.update(survey.excluded)
    part = replace(
        survey.restrict(items, countries), excluded={reason: count for reason, count in excluded.items() if count}
    )
    _refuse_near_duplicates(part, set(split.held_out_items))
    _refuse_nothing_to_train_on(part, split)
    return part, split


def training_part(survey: Survey, split: Split, language: str = "en") -> Survey:
    """What training may see: training items worded in `language`, training countries, and their answers of earlier
    waves only where the split says so. What has no wording is counted. ValueError where nothing is left.
    """
    speaks = [name for name in split.train_items if language in survey.by_id[name].languages]
    part = survey.restrict(speaks, split.train_countries)
    if split.train_before is not None:
        part = replace(part, distributions=part.earlier, earlier=())
    if not part.distributions:
        there = sorted({found for name in split.train_items for found in survey.by_id[name].languages})
        raise ValueError(
            f"nothing to train on: {len(speaks)} of {len(split.train_items)} training items have a wording in "
            f"{language!r} (prompt.language); there is wording in {', '.join(there)}"
        )
    missing = len(split.train_items) - len(speaks)
    reason = {f"training items without a wording in {language!r}": missing} if missing else {}
    return replace(part, excluded={**part.excluded, **reason})


def cell_stratum(split: Split, item: str, country: str) -> str:
    """Where answers of a country's people belong: "train", "seen_items" (item trained on, country held out), "held_out"
    (neither was seen) or "seen_countries" (item held out, country trained on). Where training sees earlier waves only,
    "later_wave" stands for "train": item and country were trained on, these answers were not.
    """
    if item in split.held_out_items:
        return "held_out" if country in split.held_out_countries else "seen_countries"
    if country in split.held_out_countries:
        return "seen_items"
    return "train" if split.train_before is None else "later_wave"


def _code(name: str) -> str:
    return name if any(c in name for c in "*?[") else iso3(name)


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """The name itself, which may hold brackets (`Q1[SQ001]`), else all that the shell pattern fits."""
    return [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]


def _pins(kind: str, known: Sequence[str], train: Sequence[str], held_out: Sequence[str]) -> dict[str, bool]:
    """Name → whether it is pinned to the held-out side."""
    pins: dict[str, bool] = {}
    for held, patterns in ((False, train), (True, held_out)):
        for pattern in patterns:
            matches = _matching(known, pattern)
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


def likeness(one: Item, other: Item) -> float:
    """How nearly two items ask the same, in [0, 1]: the largest over the languages that both are worded in.

    The Jaccard index of the questions' words (of neighbouring characters in scripts without spaces); 1 where one
    question is a part of the other and has LEAST_CONTAINED words or more. Options do not count: most items of a survey
    share theirs.
    """
    return _likeness(_prints(one), _prints(other))


_Print = tuple[str, frozenset[str]]


def _prints(item: Item) -> dict[str, _Print]:
    """By language, the question's tokens as one string with spaces at both ends, and the set that Jaccard compares."""
    found = {}
    for language, question in ((item.language, item.question), *((w.language, w.question) for w in item.wordings)):
        words = tokens(question)
        unspaced = sum(len(word) == 1 for word in words) > len(words) / 2
        marks = [a + b for a, b in pairwise(words)] if unspaced and len(words) > 1 else words
        found[language] = (f" {' '.join(words)} ", frozenset(marks))
    return found


def _likeness(one: Mapping[str, _Print], other: Mapping[str, _Print]) -> float:
    return max((_overlap(one[language], other[language]) for language in one.keys() & other.keys()), default=0.0)


def _overlap(one: _Print, other: _Print) -> float:
    (text, words), (other_text, other_words) = sorted((one, other), key=lambda printed: len(printed[0]))
    if len(text.split()) >= LEAST_CONTAINED and text in other_text:
        return 1.0
    return len(words & other_words) / len(words | other_words) if words | other_words else 1.0


def _clusters(items: Iterable[Item]) -> list[list[str]]:
    """Items joined by near-duplicate questions, directly or over others; sorted."""
    clusters: list[list[tuple[str, dict[str, _Print]]]] = []
    for item in sorted(items, key=lambda item: item.id):
        prints = _prints(item)
        near = [c for c in clusters if any(_likeness(prints, other) >= NEAR_DUPLICATE for _, other in c)]
        clusters = [c for c in clusters if c not in near]
        clusters.append([*(member for c in near for member in c), (item.id, prints)])
    return sorted(sorted(name for name, _ in cluster) for cluster in clusters)


def _refuse_near_duplicates(survey: Survey, held: set[str]) -> None:
    prints = {item.id: _prints(item) for item in survey.items}
    for one in sorted(held):
        for other in sorted(set(prints) - held):
            if (overlap := _likeness(prints[one], prints[other])) >= NEAR_DUPLICATE:
                raise ValueError(
                    f"held-out item {one!r} and training item {other!r} ask nearly the same question "
                    f"(word overlap {overlap:.2f}, refused from {NEAR_DUPLICATE}): put both on one side"
                )


def _refuse_nothing_to_train_on(survey: Survey, split: Split) -> None:
    seen = survey.distributions if split.train_before is None else survey.earlier
    if not any(cell_stratum(split, d.item, d.group.country) in ("train", "later_wave") for d in seen):
        before = "" if split.train_before is None else f", or a later year than train_before={split.train_before}"
        raise ValueError(f"the split leaves nothing to train on: hold out fewer items or countries{before}")


def _compared_countries(survey: Survey) -> list[str]:
    """Countries in at least one item that was asked in several countries."""
    asked: dict[str, set[str]] = {}
    for d in survey.distributions:
        asked.setdefault(d.item, set()).add(d.group.country)
    return sorted(set().union(*(countries for countries in asked.values() if len(countries) > 1)))
