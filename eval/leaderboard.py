"""The arms of an experiment beside each other: fit, variation, who is represented, stability and cost, with ranks.

Six measures, each under one condition, on a board for each part that is held out: new questions in new countries, and
trained questions in new countries. A measure ranks by its value (lower is better) or by how near it comes to a target,
since a model can have too much variation as well as too little:

    fit         js_distance to people, country stated                       lower
    between     between_ratio, country stated (people = 1)                  nearer to 1
    within      within_ratio, country stated (people = 1)                   nearer to 1
    age_gap     age_gap, country and age stated                             nearer to 0
    home_bias   us_centrism, country stated                                 lower: people themselves score least, since
                distances to Americans and to one's own people differ by at most the distance between these two
    stability   flip_rate of dilemmas after six exchanges of small talk     lower (on the first board alone)

There is no total: who adds up fit and cost has decided what an hour is worth. Ranks are intervals (`eval.standings`)
among the arms that are valid and were measured; an arm that collapsed or is incomplete is listed apart. What an arm
cost stands beside it and is not ranked. Controls take part: where one ranks with the best, the measure rewards
something that is not of people. Our design.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.cells import AnswersOf, Arm
from eval.distances import FloatArray
from eval.joint import Joint, joint_means, joint_variation
from eval.panels import STRATUM_GROUPS
from eval.records import Estimate
from eval.standings import CONFIDENCE, Better, best_share, better, dominated, rank_interval
from eval.validity import Validity

FEWEST_ARMS = 3
"""Two arms are a comparison."""
NOT_RANKED = ("collapsed", "incomplete")
BASE, PROMPTED, CONTROL, TRAINED = "base", "asked otherwise", "control", "trained"
SPENT = ("flops", "seconds", "examples")
"""What the manifests say of a training: floating point operations (docs/fairness.md), seconds, examples."""


@dataclass(frozen=True, slots=True)
class Column:
    """A measure of the leaderboard; without a `target` lower is better, else nearer to it."""

    key: str
    audit: str
    measure: str
    condition: str
    target: float | None = None

    def score(self, value: Any) -> Any:
        """What ranks, lower is better: the value, or its distance from the target; arrays elementwise."""
        return value if self.target is None else abs(value - self.target)


COLUMNS = (
    Column("fit", "first_token", "js_distance", "country"),
    Column("between", "first_token", "between_ratio", "country", 1.0),
    Column("within", "first_token", "within_ratio", "country", 1.0),
    Column("age_gap", "first_token", "age_gap", "country+age", 0.0),
    Column("home_bias", "first_token", "us_centrism", "country"),
    Column("stability", "edc", "flip_rate", "dialogue:neutral:6"),
)
FIT, VARIATION = "fit", ("between", "within")
RATIOS = {column.key: column.measure for column in COLUMNS if column.key in VARIATION}

Estimates = Mapping[str, Mapping[str, Sequence[Estimate]]]


@dataclass(frozen=True)
class Standing:
    """A column's entrants in their order, their joint values, who is better than whom, and how often each leads."""

    column: Column
    entrants: Mapping[str, Estimate]
    joint: Joint
    better: Better
    best: FloatArray

    @property
    def arms(self) -> list[str]:
        return list(self.entrants)

    @property
    def described(self) -> dict[str, Any]:
        one = self.column
        named = {"key": one.key, "audit": one.audit, "name": one.measure, "condition": one.condition}
        known = {"target": one.target, "entrants": self.arms, "n": self.joint.n, "method": self.joint.method}
        return named | known

    def score(self, arm: str) -> dict[str, float]:
        """What summary.json says of an entrant; ranks are NaN where nothing is known of the noise."""
        found, at = self.entrants[arm], self.arms.index(arm)
        known = len(self.joint.replicates) > 0
        low, high = (int(bound[at]) if known else float("nan") for bound in rank_interval(self.better))
        value = {"value": found.value, "low": found.low, "high": found.high}
        ranks = {"rank_low": low, "rank_high": high, "best": float(self.best[at])}
        return value | {"score": float(self.column.score(found.value))} | ranks


def leaderboard(
    arms: Mapping[str, Arm],
    validity: Mapping[str, Validity],
    estimates: Estimates,
    readers: Mapping[str, AnswersOf],
    rng: Callable[..., np.random.Generator],
    draws: int,
) -> dict[str, Any]:
    """summary.json's "leaderboard"; {} where fewer than `FEWEST_ARMS` arms can be ranked by any measure.

    `estimates` (by arm and audit) give the values and their intervals, unit scores and answers tables the ranks; `rng`
    makes a generator from names. Keys: `confidence` of the rank intervals; `arms`, each with `kind`, `why` it is not
    ranked ("" where it is) and `costs`; `boards`, one a `group` of estimates: `columns` (who entered, and the noise
    that the ranks cover: `method`, over `n` units that all entrants share), `scores` by arm, in the order of fit, and
    column (value, low, high, score, rank_low, rank_high, best: the share of resamples in which it leads), and `fronts`,
    for fit against each of `VARIATION`: who is dominated by whom, as far as intervals say so.
    """
    ranked = [name for name, found in validity.items() if found.status not in NOT_RANKED]

    @functools.cache
    def variation(names: tuple[str, ...], audit: str, condition: str, stratum: str) -> dict[str, Joint]:
        answers = [arms[name].answers(audit, readers[audit]) for name in names]
        own = rng("leaderboard", "variation", audit, condition, stratum)
        return joint_variation(answers, list(RATIOS.values()), condition, stratum, own, draws)

    def standing(column: Column, stratum: str, group: str) -> Standing | None:
        found = {name: _estimate(column, group, estimates.get(name, {})) for name in ranked}
        entrants = {name: one for name, one in found.items() if one is not None}
        ratio = column.key in VARIATION
        if len(entrants) < FEWEST_ARMS or (ratio and column.audit not in readers):
            return None
        if ratio:
            joint = variation(tuple(entrants), column.audit, column.condition, stratum)[column.measure]
        else:
            key = (column.audit, column.measure, column.condition, group)
            units = [arms[name].units(*key).dropna(subset="value") for name in entrants]
            joint = joint_means(units, rng("leaderboard", column.key, group), draws, folded=column.target is not None)
        replicates = column.score(joint.replicates)
        return Standing(column, entrants, joint, better(replicates), best_share(replicates))

    boards = []
    for stratum, group in STRATUM_GROUPS.items():
        found = [one for column in COLUMNS if (one := standing(column, stratum, group))]
        if found:
            boards.append(_board(group, found))
    if not boards:
        return {}
    rows = [_arm(arm, validity[name], name in ranked) for name, arm in arms.items()]
    return {"confidence": CONFIDENCE, "arms": rows, "boards": boards}


def _estimate(column: Column, group: str, found: Mapping[str, Sequence[Estimate]]) -> Estimate | None:
    """An arm's estimate, where it has one that is defined."""
    key = (column.measure, group, column.condition)
    mine = (one for one in found.get(column.audit, ()) if (one.name, one.group, one.condition) == key)
    return next((one for one in mine if np.isfinite(one.value)), None)


def _board(group: str, found: Sequence[Standing]) -> dict[str, Any]:
    by_key = {one.column.key: one for one in found}
    names = list(dict.fromkeys(name for one in found for name in one.entrants))
    first = found[0]
    order = sorted(names, key=lambda name: first.score(name)["score"] if name in first.entrants else np.inf)
    return {
        "group": group,
        "columns": [one.described for one in found],
        "scores": {
            name: {key: one.score(name) for key, one in by_key.items() if name in one.entrants} for name in order
        },
        "fronts": [_front(by_key[FIT], by_key[key]) for key in VARIATION if {FIT, key} <= set(by_key)],
    }


def _front(fit: Standing, other: Standing) -> dict[str, Any]:
    """Fit against another measure, among the arms that have both: each one's dominators; the front has none."""
    names = [name for name in fit.arms if name in other.entrants]
    sides = []
    for one in (fit, other):
        at = [one.arms.index(name) for name in names]
        sides.append(one.better[np.ix_(at, at)])
    above = dominated(*sides)
    return {
        "of": fit.column.key,
        "against": other.column.key,
        "dominated_by": {name: [names[row] for row in np.flatnonzero(above[:, at])] for at, name in enumerate(names)},
    }


def _arm(arm: Arm, validity: Validity, ranked: bool) -> dict[str, Any]:
    why = "" if ranked else f"{validity.status}: {'; '.join(validity.reasons)}"
    return {"arm": arm.name, "kind": _kind(arm), "why": why, "costs": _costs(arm)}


def _kind(arm: Arm) -> str:
    if not arm.trained:
        return BASE if arm.untouched else PROMPTED
    return CONTROL if (arm.first.config.get("mixture") or {}).get("control") else TRAINED


def _costs(arm: Arm) -> dict[str, float]:
    """The mean over cells of what training spent (0 where nothing was trained) and of the distinct prompt tokens that
    the audits ask (`asked_tokens`); NaN where a cell does not say.
    """
    budgets = [cell.manifest.get("budget") or {} for cell in arm.cells]
    spent = {name: _mean([budget.get(name) for budget in budgets]) for name in SPENT}
    return spent | {"asked_tokens": _mean([sum(map(cell.asked_tokens, cell.audits)) for cell in arm.cells])}


def _mean(values: Sequence[float | None]) -> float:
    known = [float("nan") if value is None else float(value) for value in values]
    return float(np.mean(known)) if known else float("nan")
