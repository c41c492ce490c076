"""Right values of the first-token audit, for the models of `known_models`, from PEOPLE by plain formula.

A model is known by what it answers (`CONTENT`) and by the share of its answers that go to the first place (`BIAS`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from known_formulas import (
    NOISE,
    Array,
    Right,
    Table,
    emd,
    hot,
    js,
    jsd,
    kl,
    mantel,
    nats,
    place,
    spearman,
    top1,
    tv,
)
from known_world import AGES, COUNTRIES, HELD, HELD_ITEMS, PEOPLE

from data.records import Group, Item

BIAS = {"first place": 1.0, "0.7 first place": 0.7}
HOME = "USA"


class Unit(NamedTuple):
    """An item, a country and an age ("" for all) whose people the answer is held against; `named`: it is stated."""

    item: Item
    country: str
    age: str = ""
    named: bool = True

    @property
    def q(self) -> Array:
        return people(self.item, self.country, self.age)

    @property
    def k(self) -> int:
        return len(self.item.options)


def people(item: Item, country: str, age: str = "") -> Array:
    return np.array(PEOPLE.people[item.id, Group(country, age)].probabilities)


def content(model: str, unit: Unit, manner: str = "") -> Array:
    """What a model answers by meaning, in the item's own order."""
    everyone = np.mean([people(unit.item, country) for country in COUNTRIES], axis=0)
    stated = people(unit.item, unit.country, unit.age) if unit.named else everyone
    even = np.full(unit.k, 1 / unit.k)
    if model in ("uniform", "first place", "follower"):
        return even
    if model == "parochial":
        return even if manner else stated
    if model == "people's mode":
        return hot(unit.k, place(people(unit.item, unit.country) if unit.named else everyone))
    return people(unit.item, HOME) if model == "US everywhere" else stated


def by_order(model: str, unit: Unit, manner: str = "") -> list[Array]:
    """The answers in all orders asked: of a scale its own and the reverse, else every shift."""
    k, bias = unit.k, BIAS.get(model, 0.0)
    firsts = (0, k - 1) if unit.item.ordered else range(k)
    return [(1 - bias) * content(model, unit, manner) + bias * hot(k, first) for first in firsts]


def answer(model: str, unit: Unit, manner: str = "") -> Array:
    return np.mean(by_order(model, unit, manner), axis=0)


def _positions(item: Item) -> Sequence[float]:
    return item.positions or range(len(item.options))


DISTANCES: dict[str, Callable[[Array, Array, Item], Array]] = {
    "js_distance": lambda p, q, item: js(p, q),
    "total_variation": lambda p, q, item: tv(p, q),
    "emd": lambda p, q, item: emd(p, q, _positions(item)),
    "kl_people_model": lambda p, q, item: kl(p, q),
    "top1_agreement": lambda p, q, item: top1(p, q),
}
PUBLISHED: dict[str, Callable[[Array, Array, Item], float]] = {
    "one_minus_js_as_published": lambda p, q, item: 1 - float(np.sqrt(jsd(p, q) * np.log(2))),
    "emd_as_published": lambda p, q, item: float(np.mean(np.abs(np.sort(p) - np.sort(q)))),
    "accuracy_as_published": lambda p, q, item: float(place(p) == place(q)),
}


def mean(name: str, pairs: Sequence[tuple[Array, Array, Item]]) -> float:
    """The mean of a distance over (answer, people, item); emd over ordered items."""
    function = (DISTANCES | PUBLISHED)[name]
    return float(np.mean([function(*pair) for pair in pairs if name != "emd" or pair[2].ordered]))


def others(unit: Unit) -> Array:
    return np.mean([people(unit.item, c, unit.age) for c in COUNTRIES if c != unit.country], axis=0)


def references(units: Sequence[Unit], names: Sequence[str], suffix: str = "", group: str = "all") -> Table:
    """The three rows that a distance is held against; a million people asked again are as near as makes no matter."""
    rows: Table = {}
    for name in names:
        even = [(np.full(u.k, 1 / u.k), u.q, u.item) for u in units]
        if name != "accuracy_as_published":
            rows[name, f"reference:uniform{suffix}", group] = Right(mean(name, even))
        rows[name, f"reference:other_countries_mean{suffix}", group] = Right(
            mean(name, [(others(u), u.q, u.item) for u in units])
        )
        perfect = float(name in ("top1_agreement", "accuracy_as_published", "one_minus_js_as_published"))
        rows[name, f"reference:people_again{suffix}", group] = Right(perfect, NOISE)
    return rows


def relative(pairs: Sequence[tuple[Array, Array, Item]], units: Sequence[Unit], floor: float = 0.0) -> dict[str, float]:
    """`skill` and `attained` of a mean distance."""
    own = mean("js_distance", pairs)
    rest = mean("js_distance", [(others(u), u.q, u.item) for u in units])
    even = mean("js_distance", [(np.full(u.k, 1 / u.k), u.q, u.item) for u in units])
    return {"skill": 1 - own / rest, "attained": (even - own) / (even - floor)}


def variation(
    units: Sequence[Unit], said: Sequence[Array], within: Sequence[float], modes: Sequence[float]
) -> dict[str, Right]:
    """Spread between countries and dispersion within them; `within` in nats and `modes` a unit."""
    spreads: dict[str, list[float]] = {"model": [], "people": []}
    apart: dict[str, dict[tuple[str, str], list[float]]] = {"model": {}, "people": {}}
    for side, given in (("model", said), ("people", [unit.q for unit in units])):
        for (one, p), (other, r) in combinations(zip(units, given, strict=True), 2):
            if (one.item, one.age) == (other.item, other.age):
                spreads[side].append(float(jsd(p, r)))
                apart[side].setdefault(tuple(sorted((one.country, other.country))), []).append(float(js(p, r)))
    lie = {side: {pair: float(np.mean(found)) for pair, found in rows.items()} for side, rows in apart.items()}
    return {
        "between_ratio": Right((ratio := sum(spreads["model"]) / sum(spreads["people"])), 1e-4 * max(1.0, ratio)),
        "between_structure": Right(spearman(list(lie["model"].values()), list(lie["people"].values()))),
        "between_structure_p": Right(mantel(lie["model"], lie["people"]), 0.02),
        "within_ratio": Right(sum(within) / sum(float(nats(unit.q)) for unit in units), 1e-4),
        "mode_share": Right(float(np.mean(modes))),
    }


def sharpening(p: Array) -> float:
    """The share of the entropy that raising to the fourth power takes."""
    raised = p**4 / (p**4).sum()
    return float(1 - nats(raised) / nats(p)) if nats(p) > 1e-12 else 0.0


STATED = ("none", "country", "country+age")


def first_token(
    model: str, conditions: Sequence[str] = STATED, manners: Sequence[str] = (), wholly: bool = False
) -> Table:
    """All that the audit reports of held-out items and, `wholly`, of the others ("seen items") and as published;
    `manners` as in a condition's brackets, of which a language is asked of the items worded in it.
    """
    rows: Table = {("perplexity", "neutral text", "all"): Right(7.0)}
    for group, items in (
        ("all", [item for item in PEOPLE.items if item.id in HELD_ITEMS]),
        ("seen items", [item for item in PEOPLE.items if wholly and item.id not in HELD_ITEMS]),
    ):
        if not items:
            continue
        for manner in ("", *manners):
            worded = [item for item in items if manner != "fr" or "fr" in item.languages]
            for stated in conditions:
                if not worded or (stated == "none" and manner not in ("", "fr")):
                    continue
                ages = AGES if stated == "country+age" else ("",)
                units = [Unit(i, c, age, stated != "none") for i in worded for c in HELD for age in ages]
                condition = stated + (f" ({manner})" if manner else "")
                rows |= _condition(model, units, condition, group, manner)
                if (stated == "country+age" and not manner) or manner == "fr":
                    rows |= references(units, list(DISTANCES), f" ({condition})", group)
        whole = [Unit(item, country) for item in items for country in HELD]
        rows |= references(whole, list(DISTANCES), "", group)
        typical = [float(max(unit.q) > 0.9) for unit in whole]
        rows["mode_share", "reference:people", group] = Right(float(np.mean(typical)))
        rows |= _shuffled(model, whole, group) | _manners(model, whole, conditions, manners, group)
        if group == "all":
            rows |= _centrism("reference:people", whole, [u.q for u in whole])
            rows |= references(whole, list(PUBLISHED)) if wholly else {}
            rows |= _centrism("reference:uniform", whole, [np.full(u.k, 1 / u.k) for u in whole])
            told = np.mean([1 - 1 / unit.k for unit in whole]) if model == "follower" else 0.0
            rows["control_effect", "control:told", "all"] = Right(float(told))
            sharper = [np.mean([sharpening(p) for p in by_order(model, unit)]) for unit in whole]
            rows["control_effect", "control:sharpened", "all"] = Right(float(np.mean(sharper)))
    return {key: right for key, right in rows.items() if wholly or key[0] not in PUBLISHED}


def _condition(model: str, units: Sequence[Unit], condition: str, group: str, manner: str) -> Table:
    said = [answer(model, unit, manner) for unit in units]
    single = [by_order(model, unit, manner) for unit in units]
    pairs = [(p, unit.q, unit.item) for p, unit in zip(said, units, strict=True)]
    within = [float(np.mean(nats(one))) for one in single]
    modes = [float(np.mean([max(p) > 0.9 for p in one])) for one in single]
    own = mean("js_distance", pairs)
    names = [name for name in DISTANCES if name != "emd" or any(unit.item.ordered for unit in units)]
    found = {name: Right(mean(name, pairs)) for name in (*names, *PUBLISHED)}
    found |= {"entropy": Right(float(np.mean(within))), "option_mass": Right(0.8)}
    found |= {
        "fidelity": Right(own, NOISE),
        "similarity": Right(1 - own),
        "position_effect": Right(BIAS.get(model, 0.0)),
    }
    found |= {name: Right(value, 0.02) for name, value in relative(pairs, units).items()}
    found |= variation(units, said, within, modes)
    if "age" in condition:
        gaps = [js(p, u.q) * (1 if u.age == AGES[0] else -1) for p, u in zip(said, units, strict=True)]
        found["age_gap"] = Right(2 * float(np.mean(gaps)), NOISE)
    if units[0].named:
        found["country_knowledge"] = Right(_wrong("js_distance", units, said) - own)
    rows = {(name, condition, group): right for name, right in found.items()}
    if "age" not in condition and group == "all":
        rows |= _centrism(condition, units, said)
    return rows


def _wrong(name: str, units: Sequence[Unit], said: Sequence[Array]) -> float:
    """The mean distance of what is said for the other countries to a country's people."""
    found = [
        np.mean([DISTANCES[name](p, u.q, u.item) for o, p in zip(units, said, strict=True)
                 if (o.item, o.age) == (u.item, u.age) and o.country != u.country])
        for u in units if name != "emd" or u.item.ordered
    ]  # fmt: skip
    return float(np.mean(found))


def _shuffled(model: str, units: Sequence[Unit], group: str) -> Table:
    said = [answer(model, unit) for unit in units]
    return {(name, "shuffled_persona", group): Right(_wrong(name, units, said)) for name in DISTANCES}


def _centrism(condition: str, units: Sequence[Unit], said: Sequence[Array]) -> Table:
    home = float(np.mean([js(p, people(u.item, HOME)) for p, u in zip(said, units, strict=True)]))
    own = float(np.mean([js(p, u.q) for p, u in zip(said, units, strict=True)]))
    return {
        ("us_centrism", condition, "all"): Right(own - home),
        ("similarity_to_home", condition, "all"): Right(1 - home),
    }


def _manners(model: str, whole: Sequence[Unit], conditions: Sequence[str], manners: Sequence[str], group: str) -> Table:
    """Distances between the manners of asking, one the main and two further styles, and one further language."""
    rows: Table = {}
    if not manners:
        return rows
    for stated in conditions:
        for named, kind in (("persona_distance", manners[:-1]), ("language_distance", manners[-1:])):
            if stated == "none" and named == "persona_distance":
                continue
            ages = AGES if "age" in stated else ("",)
            worded = [unit for unit in whole if named == "persona_distance" or "fr" in unit.item.languages]
            units = [unit._replace(age=age, named=stated != "none") for unit in worded for age in ages]
            if not units:
                continue
            said = {manner: [answer(model, u, manner) for u in units] for manner in ("", *kind)}
            apart = {
                pair: float(np.mean([js(p, r) for p, r in zip(said[pair[0]], said[pair[1]], strict=True)]))
                for pair in combinations(said, 2)
            }
            rows[named, stated, group] = Right(float(np.mean(list(apart.values()))))
            if len(kind) > 1:
                rows |= {(named, f"{stated} ({manner})", group): Right(apart["", manner]) for manner in kind}
    return rows


def nats_of(said: Sequence[Array]) -> list[float]:
    return [float(nats(p)) for p in said]
