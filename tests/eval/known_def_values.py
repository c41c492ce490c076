"""DEF: right values for the models of `known_models`, from PEOPLE by formula, of drawn answers by simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from known_formulas import NOISE, Array, Right, Table, by_chance, hot, js, jsd, nats, place, sampled_noise
from known_survey_values import (
    BIAS,
    DISTANCES,
    Unit,
    content,
    mean,
    nats_of,
    others,
    people,
    references,
    relative,
    variation,
)
from known_world import AGES, HELD, HELD_ITEMS, PEOPLE

PARTICIPANTS, WRITERS, WORLDS = 12, 24, 400
"""Participants of a country who choose, who write, and simulated worlds."""


def def_choice(model: str, ablations: Sequence[str] = ()) -> Table:
    """All that DEF reports by choice: of shares of drawn answers ("participants"), by simulation, of what they are
    drawn from, exactly; and what the `ablations` change.
    """
    units = [Unit(item, country) for item in PEOPLE.items if item.id in HELD_ITEMS for country in HELD]
    bias = BIAS.get(model, 0.0)
    said = [(1 - bias) * content(model, u) + bias / u.k for u in units]
    pairs = [(p, u.q, u.item) for p, u in zip(said, units, strict=True)]
    names = [name for name in DISTANCES if name != "kl_people_model"]
    own = mean("js_distance", pairs)
    found = {name: Right(mean(name, pairs)) for name in names} | {"entropy": Right(float(np.mean(nats_of(said))))}
    found |= {"option_mass": Right(0.8), "fidelity": Right(own, NOISE), "similarity": Right(1 - own)}
    found |= {name: Right(value, 0.02) for name, value in relative(pairs, units).items()}
    found |= variation(units, said, nats_of(said), [float(max(p) > 0.9) for p in said])
    found["order_effect"] = Right(float(np.mean([bias * (1 - 1 / u.k) for u in units])))
    rows: Table = {(name, "participants:expected", "all"): right for name, right in found.items()}
    rows |= references(units, names, " (participants:expected)") | references(units, names)
    rows["mode_share", "reference:people", "all"] = Right(float(np.mean([max(u.q) > 0.9 for u in units])))
    young, old = ([js(p, people(u.item, u.country, age)) for p, u in zip(said, units, strict=True)] for age in AGES)
    rows["age_gap", "participants:groups", "all"] = Right(float(np.mean(young) - np.mean(old)), NOISE)
    told = float(np.mean([1 - 1 / u.k for u in units])) if model == "follower" else 0.0
    rows |= {("control_effect", f"control:{how}", "all"): Right(told) for how in ("told", "remembered")}
    rows |= _drawn(model, units)
    return rows | _ablated(model, units, rows, ablations)


def _ablated(model: str, units: Sequence[Unit], full: Table, ablations: Sequence[str]) -> Table:
    """Without a place or a memory nothing changes; in the options' own order the first place is always one option."""
    bias, rows = BIAS.get(model, 0.0), dict[tuple[str, str, str], Right]()
    own = full["js_distance", "participants:expected", "all"].value
    as_asked = [(1 - bias) * content(model, u) + bias / u.k for u in units]
    in_order = [(1 - bias) * content(model, u) + bias * hot(u.k, 0) for u in units]
    for name in ablations:
        said = in_order if name == "no_order" else as_asked
        without = [(p, u.q, u.item) for p, u in zip(said, units, strict=True)]
        for measure in ("js_distance", "total_variation", "emd"):
            rows[measure, f"{name}:expected", "all"] = Right(mean(measure, without))
            rows[measure, name, "all"] = full[measure, "participants", "all"]
        rows["effect_on_js_distance", name, "all"] = Right(own - mean("js_distance", without))
        for measure in ("response_diversity", "response_diversity_ratio"):
            rows[measure, name, "all"] = full[measure, "participants", "all"]
        rows["effect_on_response_diversity", name, "all"] = Right(0.0)
    return rows | _ordered(model, units, full) if bias and "no_order" in ablations else rows


def draw(model: str, unit: Unit, rng: np.random.Generator, shuffled: bool = True) -> Array:
    """Shares (WORLDS, k) of the answers of PARTICIPANTS, before each k-th of whom another option stands first."""
    bias, c = BIAS.get(model, 0.0), content(model, unit)
    firsts = range(unit.k) if shuffled else [0] * unit.k
    each = PARTICIPANTS // unit.k
    drawn = [rng.multinomial(each, (1 - bias) * c + bias * hot(unit.k, first), size=WORLDS) for first in firsts]
    return np.sum(drawn, axis=0) / PARTICIPANTS


def distinct(q: Array) -> float:
    """Different answers that as many people give on average."""
    return float((1 - (1 - q) ** PARTICIPANTS).sum())


def _measured(units: Sequence[Unit], said: Sequence[Array]) -> dict[str, Array]:
    """Measures of shares (WORLDS, k) a unit, each (WORLDS,)."""
    both = list(zip(said, units, strict=True))

    def over(measure: Callable[[Array, Unit], Array], ordered: bool = False) -> Array:
        return np.mean([measure(p, u) for p, u in both if u.item.ordered or not ordered], axis=0)

    def fidelity(p: Array, u: Unit) -> Array:
        excess = jsd(p, u.q) - sampled_noise(u.q, p, PARTICIPANTS)
        return np.sign(excess) * np.sqrt(np.abs(excess))

    found = {
        name: over(lambda p, u, name=name: DISTANCES[name](p, u.q, u.item), name == "emd")  # type: ignore[misc]
        for name in ("js_distance", "total_variation", "emd", "top1_agreement")
    }
    return found | {
        "entropy": over(lambda p, u: nats(p)),
        "fidelity": over(fidelity),
        "similarity": 1 - found["js_distance"],
        "response_diversity": over(lambda p, u: (p > 0).sum(-1)),
        "response_diversity_ratio": over(lambda p, u: (p > 0).sum(-1) / distinct(u.q)),
    }


def _drawn(model: str, units: Sequence[Unit]) -> Table:
    """Measures of shares of drawn answers, and the floor of as few people, by simulation: within five deviations."""
    rng = np.random.default_rng(11)
    floors = _measured(units, [rng.multinomial(PARTICIPANTS, u.q, size=WORLDS) / PARTICIPANTS for u in units])
    rows: Table = {
        (name, "reference:people_again", "all"): Right(float(floors[name].mean()), 0.02)
        for name in ("js_distance", "total_variation", "emd", "top1_agreement")
    }
    worlds = _measured(units, [draw(model, u, rng) for u in units])
    found = {name: by_chance(values) for name, values in worlds.items()}
    found["fidelity"] = found["fidelity"]._replace(tolerance=found["fidelity"].tolerance + NOISE)
    rest = mean("js_distance", [(others(u), u.q, u.item) for u in units])
    even = mean("js_distance", [(np.full(u.k, 1 / u.k), u.q, u.item) for u in units])
    own, floor = worlds["js_distance"], float(floors["js_distance"].mean())
    for name, values in (("skill", 1 - own / rest), ("attained", (even - own) / (even - floor))):
        right = by_chance(values)
        found[name] = right._replace(tolerance=right.tolerance + 0.05 * abs(right.value))  # the floor is drawn, too
    rows |= {(name, "participants", "all"): right for name, right in found.items()}
    rows["option_mass", "participants", "all"] = Right(0.8)
    rows["response_diversity", "reference:people_again", "all"] = Right(float(np.mean([distinct(u.q) for u in units])))
    return rows


def _ordered(model: str, units: Sequence[Unit], rows: Table) -> Table:
    """What a model that looks at places gives where all see the options in their own order."""
    rng = np.random.default_rng(12)
    worlds = _measured(units, [draw(model, u, rng, shuffled=False) for u in units])
    kept = ("js_distance", "total_variation", "emd", "response_diversity", "response_diversity_ratio")
    found = {name: by_chance(worlds[name]) for name in kept}
    full, bare = rows["response_diversity", "participants", "all"], found["response_diversity"]
    found["effect_on_response_diversity"] = Right(full.value - bare.value, full.tolerance + bare.tolerance)
    return {(name, "no_order", "all"): right for name, right in found.items()}


def def_partly(model: str, remembering: dict[str, float], ablations: Sequence[str]) -> Table:
    """Of a model that is perfect only where a place is named or an answer remembered: what the ablations take away.
    `remembering` is by item the share of participants who remember an answer.
    """
    units = [Unit(item, country) for item in PEOPLE.items if item.id in HELD_ITEMS for country in HELD]
    even, perfect = [np.full(u.k, 1 / u.k) for u in units], [u.q for u in units]
    share = [1.0 if model == "place reader" else remembering[u.item.id] for u in units]
    full = [s * q + (1 - s) * e for s, q, e in zip(share, perfect, even, strict=True)]
    cut = "no_location" if model == "place reader" else "no_memory"
    own, without = (
        mean("js_distance", [(p, u.q, u.item) for p, u in zip(said, units, strict=True)]) for said in (full, even)
    )
    rows: Table = {("js_distance", "participants:expected", "all"): Right(own)}
    for name in ablations:
        rows["js_distance", f"{name}:expected", "all"] = Right(without if name == cut else own)
        rows["effect_on_js_distance", name, "all"] = Right(own - without if name == cut else 0.0)
    return rows


def def_written() -> Table:
    """Of people's mode in writing, who all give one reason: nothing is drawn, so that shares are what is expected."""
    units = [Unit(item, country) for item in PEOPLE.items if item.id in HELD_ITEMS for country in HELD]
    modes = [hot(u.k, place(u.q)) for u in units]
    chosen = def_choice("people's mode")
    names = ("js_distance", "total_variation", "emd", "top1_agreement", "entropy", "fidelity", "similarity", "skill")
    rows: Table = {(name, "participants", "all"): chosen[name, "participants:expected", "all"] for name in names}
    found = variation(units, modes, nats_of(modes), [1.0] * len(units))
    found |= {"option_mass": Right(1.0), "unparsed_rate": Right(0.0), "disclaimer_rate": Right(0.0)}
    found |= {"order_effect": Right(0.0), "response_diversity": Right(1.0), "wording_distance": Right(0.0)}
    found |= {"wording_diversity": Right(1 / WRITERS)}
    return rows | {(name, "participants", "all"): right for name, right in found.items()}


def def_machine() -> Table:
    """Of a model that says what it is and names no option."""
    return {(name, "participants", "all"): Right(1.0) for name in ("unparsed_rate", "disclaimer_rate")}
