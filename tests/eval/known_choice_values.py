"""Right values of the dilemma audit and of MARK, for the models of `known_models`, from DILEMMAS and PERSONS by plain
formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from known_formulas import Array, Right, Table, alpha, bits, by_chance, hot, js, kappa, nats, place, tv
from known_world import ANSWERS, HELD, PAIRS, PERSON_ITEMS, PERSON_SPLIT, PERSONS, SEXES, STRENGTHS, stable
from scipy import optimize, stats

from data.dilemmas.corpus import VALUES
from data.records import Respondent

BIAS = {"first place": 1.0, "0.7 first place": 0.7}
RIDGE, REPEATS, WORLDS = 0.1, 4, 400
TURNS = (2, 6)
NEUTRAL = {f"dialogue:neutral:{turns}": turns for turns in TURNS}
FOLLOWED = ("dialogue:pressing:1", "dialogue:pressing:2", "dialogue:agreeing")
CONDITIONS = ("wording:1", "wording:2", "form:compare", *NEUTRAL, *FOLLOWED)
LETTERED = ("alone", *CONDITIONS)
POLES = {
    "conservation over openness": (("security", "conformity", "tradition"), ("self_direction", "stimulation")),
    "self-transcendence over self-enhancement": (("benevolence", "universalism"), ("achievement", "power")),
}


def by_meaning(model: str, condition: str) -> Array:
    """P(action 0) of each dilemma where places count for nothing."""
    if model in ("uniform", "first place", "follower"):
        return np.full(len(PAIRS), 0.5)
    if model == "drifting":
        return np.full(len(PAIRS), 0.6 - 0.03 * NEUTRAL.get(condition, 0))
    if model == "people's mode":
        return np.array([float(STRENGTHS[a] > STRENGTHS[b]) for a, b in PAIRS])
    own = np.array([stable(a, b) for a, b in PAIRS])
    return 1 - own if model == "second thoughts" and condition in ("wording:2", "form:compare") else own


def dilemmas(model: str, written: bool = False) -> Table:
    """All that the audit reports of the whole; `written` answers (form:repeat) of models that leave nothing to chance
    there, and of perfect people, whose chance is simulated.
    """
    bias = BIAS.get(model, 0.0)
    first, second = ((1 - bias) * by_meaning(model, "alone") + bias * shown for shown in (1, 0))
    p = {name: (1 - bias) * by_meaning(model, name) + bias / 2 for name in LETTERED}
    rows: dict[tuple[str, str], float] = {}
    for name in LETTERED:
        rows["decisiveness", name] = np.mean(np.abs(2 * p[name] - 1))
        rows["option_mass", name] = 0.8
        rows["yes_bias" if name == "form:compare" else "position_effect", name] = bias / 2
        if name != "alone":
            rows |= _changes(p[name], p["alone"], name)
    rows |= _changes(second, first, "order:exchanged")
    rows["disagreement", "reference:asked_again"] = np.mean(2 * p["alone"] * (1 - p["alone"]))
    rows["disagreement", "reference:asked_again (order:exchanged)"] = np.mean(2 * first * (1 - first))
    rows |= _forms([p["alone"], p["form:compare"]], "question forms")
    rows |= _dialogue(model, p, first, second)
    rows["krippendorff_alpha", "wordings"] = alpha(_ratings(p, ("alone", "wording:1", "wording:2")))
    rows["krippendorff_alpha", "all conditions"] = alpha(_ratings(p, LETTERED))
    control = 0.5 if model == "follower" else 0.0
    rows |= {("control_effect", f"control:{how}"): control for how in ("stated value", "said before")}
    if written:
        rows["unmatched_rate", "form:repeat"] = 0.0
    table: Table = {(name, condition, "all"): Right(float(value)) for (name, condition), value in rows.items()}
    table |= _strengths({**p, "wordings": np.mean([p[n] for n in ("alone", "wording:1", "wording:2")], axis=0)})
    for pole, (over, under) in POLES.items():
        for name in LETTERED:
            won = [value for (a, b), value in zip(PAIRS, p[name], strict=True) if a in over and b in under]
            won += [1 - value for (a, b), value in zip(PAIRS, p[name], strict=True) if a in under and b in over]
            table["pole_preference", name, f"pole={pole}"] = Right(float(np.mean(won)))
    if not written:
        return table
    if model == "perfect people":
        return table | _sampled_texts(p["alone"])
    return table | _certain_texts(p["alone"], [p["alone"], p["form:compare"], p["alone"]], bias)


def _preferred(p: Array) -> Array:
    return np.where(np.isclose(p, 0.5), np.nan, (p < 0.5).astype(float))


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _two(p: Array) -> Array:
    return np.stack([p, 1 - p], axis=-1)


def _changes(p: Array, alone: Array, name: str) -> dict[tuple[str, str], float]:
    flips = _mean(np.abs(_preferred(p) - _preferred(alone)))
    found = {} if np.isnan(flips) else {("flip_rate", name): flips}  # where nothing is preferred nothing is reported
    return found | {
        ("disagreement", name): float(np.mean(p * (1 - alone) + alone * (1 - p))),
        ("excess_disagreement", name): float(np.mean((p - alone) ** 2)),
        ("js_distance", name): float(np.mean(js(_two(p), _two(alone)))),
    }


def _forms(forms: Sequence[Array], name: str) -> dict[tuple[str, str], float]:
    together, apart = bits(_two(np.mean(forms, axis=0))), np.mean([bits(_two(p)) for p in forms], axis=0)
    return {
        ("marginal_action_entropy", name): float(np.mean(together)),
        ("question_form_consistency", name): float(np.mean(1 - together + apart)),
    }


def _ratings(p: Mapping[str, Array], names: Sequence[str]) -> Array:
    return np.stack([_preferred(p[name]) for name in names], axis=1)


def _dialogue(model: str, p: Mapping[str, Array], first: Array, second: Array) -> dict[tuple[str, str], float]:
    turns = [0, *TURNS]
    columns = [p["alone"], *(p[name] for name in NEUTRAL)]
    apart = [float(np.mean(js(_two(one), _two(p["alone"])))) for one in columns]
    sign = 1 - 2 * _preferred(p["alone"])
    slope = np.polyfit(turns, np.stack(columns), 1)[0]
    again = float(np.mean([np.mean(2 * one * (1 - one)) for one in (first, second)]))
    yields = dict.fromkeys(FOLLOWED, again)
    if model == "follower":  # turns at each pushback, so that after two it is where it was
        yields = dict(zip(FOLLOWED, (1.0, 0.0, 0.0), strict=True))
    found = {
        ("drift_per_turn", "dialogue:neutral"): float(np.polyfit(turns, apart, 1)[0]),
        ("drift_per_turn", "dialogue:neutral:later"): (apart[2] - apart[1]) / (TURNS[1] - TURNS[0]),
        ("pressure_effect", "dialogue:pressing:1"): yields[FOLLOWED[0]] - yields[FOLLOWED[2]],
        ("yields", "reference:asked_again"): again,
        **{("yields", name): value for name, value in yields.items()},
    }
    support = _mean(sign * slope)
    return found if np.isnan(support) else found | {("support_per_turn", "dialogue:neutral"): support}


def fitted(p: Array) -> Array:
    """Bradley-Terry strengths of the ten values by scipy: the most likely ones, less ridge / 2 times their squares."""
    first, second = (np.array([VALUES.index(pair[side]) for pair in PAIRS]) for side in (0, 1))

    def loss(s: Array) -> tuple[float, Array]:
        lead = s[first] - s[second]
        chance = 1 / (1 + np.exp(-lead))
        slope = RIDGE * s
        np.add.at(slope, first, chance - p)
        np.add.at(slope, second, p - chance)
        return float((p * np.logaddexp(0, -lead) + (1 - p) * np.logaddexp(0, lead)).sum() + RIDGE / 2 * s @ s), slope

    found = optimize.minimize(loss, np.zeros(len(VALUES)), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    return found - found.mean()


def _strengths(p: Mapping[str, Array]) -> Table:
    rows: Table = {}
    strengths = {name: fitted(one) for name, one in p.items() if name == "wordings" or not name.startswith("wording:")}
    for name, found in strengths.items():
        rows |= {("value_priority", name, f"value={v}"): Right(s, 1e-4) for v, s in zip(VALUES, found, strict=True)}
        if name != "alone":
            before = strengths["alone"]
            rows["priority_drift", name, "all"] = Right(float(np.sqrt(np.mean((found - before) ** 2))), 1e-4)
            ranks = [np.round(one, 5) for one in (found, before)]
            rows["kendall_tau", name, "all"] = Right(float(stats.kendalltau(*ranks).statistic))
    return rows


def _certain_texts(alone: Array, forms: Sequence[Array], bias: float) -> Table:
    """Written answers that are the scored ones, with nothing left to chance."""
    rows = _changes(alone, alone, "form:repeat") | _forms(forms, "question forms, texts too")
    rows |= {
        ("excess_js_distance", "form:repeat"): 0.0,
        ("js_distance", "reference:sampled_from_alone (form:repeat)"): 0.0,
    }
    if bias == 0:
        rows["flip_rate", "reference:sampled_from_alone (form:repeat)"] = 0.0
    rows["disagreement", "reference:asked_again (form:repeat)"] = float(np.mean(2 * alone * (1 - alone)))
    rows |= {
        ("decisiveness", "form:repeat"): float(np.mean(np.abs(2 * alone - 1))),
        ("position_effect", "form:repeat"): bias / 2,
    }
    table = {(name, condition, "all"): Right(value) for (name, condition), value in rows.items()}
    table |= {("priority_drift", "form:repeat", "all"): Right(0.0, 1e-4)}
    return table | {("kendall_tau", "form:repeat", "all"): Right(1.0 if bias == 0 else float("nan"))}


def _sampled_texts(alone: Array) -> Table:
    """What REPEATS texts in each of two orders show of a choice that does not change: chance, and its size."""
    rng = np.random.default_rng(13)
    shares = np.stack([rng.binomial(REPEATS, alone, size=(WORLDS, len(alone))) / REPEATS for _ in range(2)])
    said = shares.mean(axis=0)
    distance = js(_two(said), _two(np.broadcast_to(alone, said.shape)))
    decided = ~np.isclose(said, 0.5)
    flipped = decided & ((said > 0.5) != (alone > 0.5))
    variance = (shares * (1 - shares) / (REPEATS - 1)).sum(axis=0) / 4
    excess = (said - alone) ** 2 - variance
    rate = flipped.sum(axis=1) / decided.sum(axis=1)
    chance = flipped.sum(axis=0) / decided.sum(axis=0)
    per = {
        ("js_distance", "form:repeat"): by_chance(distance.mean(axis=1)),
        ("js_distance", "reference:sampled_from_alone (form:repeat)"): Right(float(distance.mean()), 5e-3),
        ("excess_js_distance", "form:repeat"): by_chance(distance.mean(axis=1) - distance.mean()),
        ("excess_disagreement", "form:repeat"): by_chance(excess.mean(axis=1)),
        ("flip_rate", "form:repeat"): by_chance(rate),
        ("flip_rate", "reference:sampled_from_alone (form:repeat)"): Right(float(chance.mean()), 1e-2),
        ("disagreement", "form:repeat"): by_chance((said * (1 - alone) + alone * (1 - said)).mean(axis=1)),
        ("disagreement", "reference:asked_again (form:repeat)"): by_chance(
            (2 * (said * (1 - said) + variance)).mean(axis=1)
        ),
        ("decisiveness", "form:repeat"): by_chance(np.abs(2 * said - 1).mean(axis=1)),
    }
    return {(name, condition, "all"): right for (name, condition), right in per.items()}


SAMPLE = [person for person in PERSONS.respondents if person.group.country in HELD]
ITEMS = [item for item in PERSON_ITEMS if item.id in PERSON_SPLIT.held_out_items]


def shares(item: str, k: int, country: str = "") -> Array:
    """Of a country's people, or of everybody."""
    total = np.zeros(k)
    for name in [country] if country else SEXES:
        for sex, many in zip(ANSWERS, SEXES[name], strict=True):
            total[ANSWERS[sex][item]] += many
    return total / total.sum()


def person_answer(model: str, item: str, k: int, person: Respondent | None, without_sex: bool = False) -> Array:
    """P(option) where the person is described (None: is not), the two orders of the options averaged."""
    country = person.group.country if person else ""
    if model in ("uniform", "first place", "follower"):
        meant = np.full(k, 1 / k)
    elif model == "US everywhere":
        meant = shares(item, k, "USA")
    elif model == "people's mode":
        meant = hot(k, place(shares(item, k, country)))
    else:
        meant = shares(item, k, country) if person is None or without_sex else hot(k, person.answers[item])
    bias = BIAS.get(model, 0.0)
    return (1 - bias) * meant + bias * (hot(k, 0) + hot(k, k - 1)) / 2


def mark(model: str, written: bool = False) -> Table:
    """All that MARK reports of everybody by choice, or of perfect people in writing: every held-out person is asked
    both items.
    """
    cases = [(person, item, len(item.options)) for person in SAMPLE for item in ITEMS]
    sharp: Callable[[Array], Array] = (lambda p: hot(len(p), place(p))) if written else (lambda p: p)
    said = [sharp(person_answer(model, item.id, k, person)) for person, item, k in cases]
    nobody = [sharp(person_answer(model, item.id, k, None)) for _, item, k in cases]
    voted = said
    if model == "second thoughts":  # the dominant function, harmed, takes its answer back: 2 of 8 votes
        voted = [0.75 * p + 0.25 * np.roll(p, 1) for p in said]
    own = [person.answers[item.id] for person, item, _ in cases]
    majority = [_majority(person, item.id) for person, item, _ in cases]
    random = [1 / k for *_, k in cases]
    hits = {
        "mark": [place(p) == a for p, a in zip(voted, own, strict=True)],
        "demographics_only": [place(p) == a for p, a in zip(said, own, strict=True)],
        "reference:no_person": [place(p) == a for p, a in zip(nobody, own, strict=True)],
        "reference:majority_of_country": majority,
        "reference:random": random,
    }
    rows: dict[tuple[str, str], float] = {}
    for name, values in hits.items():
        rows["accuracy", name] = rows["accuracy_weighted", name] = float(np.mean(values))
        if name != "mark":
            gain = float(np.mean(hits["mark"])) - float(np.mean(values))
            rows["accuracy_gain", f"mark - {name.removeprefix('reference:')}"] = gain
    for name, answers in (("mark", voted), ("demographics_only", said), ("reference:no_person", nobody)):
        rows["probability_of_answer", name] = float(np.mean([p[a] for p, a in zip(answers, own, strict=True)]))
        triples = [(case[1].id, a, place(p)) for case, a, p in zip(cases, own, answers, strict=True)]
        rows["cohen_kappa", name] = kappa(triples)
        rows["js_distance", name] = _distance(cases, answers)
    rows["probability_of_answer", "reference:random"] = float(np.mean(random))
    table: Table = {(name, condition, "all"): Right(float(value)) for (name, condition), value in rows.items()}
    return table | _person_references() | _trust(model, cases, said, written)


def _majority(person: Respondent, item: str) -> float:
    """Of the others in the person's country, who are never tied."""
    rest = [one.answers[item] for one in SAMPLE if one.group.country == person.group.country and one.id != person.id]
    return float(person.answers[item] == max(set(rest), key=rest.count))


def _distance(cases: Sequence[tuple[Respondent, object, int]], answers: Sequence[Array]) -> float:
    """Of the mean answer for a country's sample to its people, over items and countries."""
    cells = []
    for item in ITEMS:
        for country in HELD:
            mine = [p for (person, asked, _), p in zip(cases, answers, strict=True)
                    if asked is item and person.group.country == country]  # fmt: skip
            cells.append(js(np.mean(mine, axis=0), shares(item.id, len(item.options), country)))
    return float(np.mean(cells))


def _person_references() -> Table:
    rng, rows = np.random.default_rng(14), {}
    cells = [(item.id, len(item.options), country) for item in ITEMS for country in HELD]
    q = [shares(*cell) for cell in cells]
    rest = [np.mean([shares(item, k, c) for c in SEXES if c != country], axis=0) for item, k, country in cells]
    people = [2 * sum(SEXES[country]) for *_, country in cells]
    rows["uniform"] = Right(float(np.mean([js(np.full(k, 1 / k), p) for (_, k, _), p in zip(cells, q, strict=True)])))
    rows["other_countries_mean"] = Right(float(np.mean([js(a, b) for a, b in zip(rest, q, strict=True)])))
    again = [np.mean(js(rng.multinomial(n, p, size=WORLDS) / n, p)) for n, p in zip(people, q, strict=True)]
    rows["people_again"] = Right(float(np.mean(again)), 0.01)
    return {("js_distance", f"reference:{name}", "all"): right for name, right in rows.items()}


def _trust(model: str, cases: Sequence[tuple[Respondent, object, int]], said: Sequence[Array], written: bool) -> Table:
    """The stages: sex alone causes stress, Ni leads, nothing harms, all fits; models without meaning tell nothing."""
    bias, flat, turns = (
        BIAS.get(model, 0.0),
        model in ("uniform", "first place", "follower"),
        model == "second thoughts",
    )
    removed = 0.0
    if model in ("perfect people", "0.7 first place", "second thoughts"):
        less = [person_answer(model, item.id, k, person, without_sex=True) for person, item, k in cases]  # type: ignore[attr-defined]
        less = [hot(len(p), place(p)) if written else p for p in less]
        removed = float(np.mean([tv(p, r) for p, r in zip(said, less, strict=True)]))
    verdict = 1 - bias / 2  # the probability of the sure answer to a question with two, over both orders
    lead = np.full(8, 1 / 8) if flat else bias / 8 + (1 - bias) * hot(8, 0)
    sure = 0.0 if flat else 1 - float(nats(_two(np.array(verdict))) / np.log(2))
    found = {
        ("stage_validity", "S1 stress"): float(not flat),
        ("stage_validity", "S3 impact"): float(turns),
        ("negative_impact_rate", "S3 impact"): 0.25 * turns,
        ("consistency_rate", "S4 consistency"): 1 - 0.25 * turns,
        ("revision_changed_rate", "S4 consistency"): 1.0 if turns else float("nan"),
        ("vote_agreement", "mark"): 1.0,
        ("type_stability", "features shuffled"): 1.0,
        ("type_stability", "reference:chance"): 1.0,
        ("faithfulness", "feature: greatest"): removed,
        ("faithfulness", "feature: another"): 0.0,
        ("faithfulness", "feature: difference"): removed,
    }
    # Second thoughts: weights 2, 3, 2, 1 of 8, of which the first takes its answer back, so that 6 of 8 are for it. The
    # greatest is the second; without it 3 of 5 are for it, without each other one 6 of 6, 4 of 6 and 5 of 7.
    moves = (abs(6 / 8 - 3 / 5), np.mean([abs(6 / 8 - 1), abs(6 / 8 - 4 / 6), abs(6 / 8 - 5 / 7)]))
    for name, value in zip(("greatest", "another", "difference"), (*moves, moves[0] - moves[1]), strict=True):
        found["faithfulness", f"function: {name}"] = float(value) * turns
    controls = ("answer stated", "answer stated, dominant function", "answered before")
    gain = np.mean([1 - 1 / k for *_, k in cases]) if model == "follower" else 0.0
    found |= {("control_effect", f"control:{how}"): float(gain) for how in controls}
    if written:
        found |= {("stage_validity", "S3 weights"): 1.0, ("faithfulness", "feature: asked again"): 0.0}
        stages = ("S1 stress", "S2 type", "S3 answer", "S4 check", "S4 conclusion", "without a feature",
                  "dominant alone", "demographics only", "no person",
                  "control", "control, before", "control, dominant")  # fmt: skip
        found |= {(f"stage_{what}", stage): 0.0 for what in ("failed", "retried") for stage in stages}
    else:
        found |= {("decisiveness", stage): sure for stage in ("S3 impact", "S4 consistency")}
        found["decisiveness", "S2 type"] = 1 - float(nats(lead) / np.log(8))
        found["position_effect", "S3 answer"] = bias
        stages = ("S1 stress", "S2 dominant", "S2 auxiliary", "S3 impact", "S3 answer", "S4 check", "demographics only",
                  "no person", *(["S4 revision"] if turns else []))  # fmt: skip
        found |= {("option_mass", stage): 0.8 for stage in stages}
    table: Table = {(name, condition, "all"): Right(value) for (name, condition), value in found.items()}
    if model == "people's mode":  # another feature is drawn by chance: one in three is the country
        moved = [tv(p, person_answer(model, item.id, k, None)) for (_, item, k), p in zip(cases, said, strict=True)]  # type: ignore[attr-defined]
        right = Right(float(np.mean(moved)) / 3, 0.1)
        table["faithfulness", "feature: another", "all"] = right
        table["faithfulness", "feature: difference", "all"] = right._replace(value=-right.value)
    return table
