"""Do the audits agree? By value axis, what a variant says in surveys beside what it chooses in dilemmas and in MARK.

Our design: no published work puts these audits on one scale. A position is in [-1, 1], 1 at the axis's first pole
(`data.value_axes`). Its zero is a convention of each audit (the middle of a survey's scale, indifference between two
actions), so that levels are compared by side and with caution; *moves*, a variant's position less its base's, are free
of it. Survey audits are compared with each other on the same items and countries; a survey with dilemmas as it is,
over units of each one's own.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.dilemmas.corpus import VALUES
from data.value_axes import Axis, ValueAxes
from eval.agreement.pairs import CHOSEN, TOGETHER, across_arms, move_pairs, moves, numbers, pairs
from eval.agreement.readings import NAN, Choices, Contrast, Fitted, Placed, Reading, contrast
from eval.agreement.same import same_questions
from eval.agreement.units import (
    PEOPLE,
    WORDINGS,
    Evidence,
    Source,
    choice_matrix,
    decided,
    on_no_axis,
    placed,
    unit_table,
)
from eval.bootstrap import FEWEST, cluster_counts
from eval.cells import Arm
from eval.dilemmas.questions import ALONE

PARTS = ("positions", "pairs", "moves", "move_pairs", "across", "same_questions")


def agreement(
    arms: Mapping[str, Arm],
    base: Arm | None,
    rng: np.random.Generator,
    draws: int,
    axes: ValueAxes,
    collapsed: Collection[str] = (),
) -> dict[str, Any]:
    """The summary's `agreement`, JSON-able: lists of rows, NaN for undefined. The same rng gives an arm the same
    numbers whatever other arms there are (`across` apart).

    `axes`: name, first, second, single, items (by source), toward_last (share of the items whose last option is the
    first pole), dilemmas (between its poles). `positions`: arm ("people" with condition "reference:people"), axis,
    audit, condition, group, value, low, high, n, items, method. `pairs`: two positions of an arm and their difference
    (first less second), with a `direction`: "same side", "opposite sides", "not settled" (an interval holds 0), "too
    few items". `moves`: a variant's position less the base's over the units of both; `move_pairs`: two moves as in
    `pairs`. `across`: see `across_arms`, without the arms that are `collapsed`, which are not ranked anywhere;
    `same_questions`: see `eval.agreement.same`. `left_out`: counts by reason. Intervals are 95%, over each audit's own
    units and, where there are several, training seeds and data draws.
    """
    made = _Agreement.of(arms, axes, draws, int(rng.integers(2**63)))
    shown = [*axes.axes, *made.singles()]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PARTS}
    for axis in shown:
        for name, found in made.of_axis(axis, base.name if base else None, collapsed).items():
            rows[name] += [row | {"axis": axis.name} for row in found]
    made.left_out["collapsed arms: in no correlation over arms"] += len(made.evidence.keys() & set(collapsed))
    rows["same_questions"] = made.same()
    made.left_out.update(on_no_axis(made.evidence, made.axes, made.scales))
    return {
        "axes": [made.described(axis) for axis in shown],
        **rows,
        "left_out": dict(sorted((+made.left_out).items())),
    }


@dataclass(frozen=True)
class _Agreement:
    evidence: Mapping[str, Evidence]
    choices: Mapping[str, Choices]
    scales: Mapping[str, tuple[float, ...] | None]
    axes: ValueAxes
    draws: int
    root: int
    left_out: Counter[str] = field(default_factory=Counter)
    made: dict[tuple[str, str, str], dict[Source, Placed]] = field(default_factory=dict)

    @classmethod
    def of(cls, arms: Mapping[str, Arm], axes: ValueAxes, draws: int, root: int) -> _Agreement:
        evidence = {name: Evidence.of(arm) for name, arm in arms.items() if arm.cells}
        scales = {item: scale for one in evidence.values() for item, scale in one.scales.items()}
        left_out: Counter[str] = Counter()
        for one in evidence.values():
            left_out.update(f"arms without the audit {audit}" for audit in one.missing)
        choices = {name: _choices(one, draws, root) for name, one in evidence.items() if len(one.choices)}
        return cls(evidence, choices, scales, axes, draws, root, left_out)

    def rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.root, *(zlib.crc32(name.encode()) for name in names)])

    def singles(self) -> list[Axis]:
        """Single values with enough items asked of some arm to say something."""
        found = []
        for axis in self.axes.singles:
            every = [one for name in self.evidence for one in self.placed(name, axis).values()]
            if max((len(one.items) for one in every if one.source.audit != "edc"), default=0) >= FEWEST:
                found.append(axis)
            else:
                self.left_out[f"single values with fewer than {FEWEST} items among those asked"] += 1
        return found

    def placed(self, name: str, axis: Axis, column: str = "p") -> dict[Source, Placed]:
        """The arm's sources that have units on the axis; of people's answers (`column` "q") one cell, no choices."""
        key = (name, axis.name, column)
        if key not in self.made:
            self.made[key] = self._place(self.evidence[name], axis, column)
        return self.made[key]

    def _place(self, evidence: Evidence, axis: Axis, column: str) -> dict[Source, Placed]:
        found = {}
        for source, answers in evidence.answers.items():
            rows = placed(answers, axis, self.axes, self.scales, column)
            table = unit_table(rows, "who" if source.audit == "mark" else "country")
            found[source] = Placed(table if column == "p" else table.iloc[:, :1], source, column == "p")
        if column == "p" and len(evidence.choices):
            for condition in (ALONE, WORDINGS):
                table = unit_table(decided(evidence.choices, axis, condition), "country")
                found[Source("edc", condition)] = Placed(table, Source("edc", condition))
        return {source: one for source, one in found.items() if len(one.table)}

    def of_axis(self, axis: Axis, base: str | None, collapsed: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """All rows of one axis, without its name."""
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PARTS}
        readings: dict[str, dict[Source, Reading]] = {}
        for name in self.evidence:
            readings[name] = {**self.placed(name, axis)}
            if name in self.choices and (fitted := Fitted(self.choices[name], axis)).defined:
                readings[name][CHOSEN[0]] = fitted
        for name, found in readings.items():
            rows["positions"] += [self._position(name, axis, source, one) for source, one in found.items()]
            if axis in self.axes.axes:
                rows["positions"] += self._undefined(name, axis, found)
            homes = self.evidence[name].homes
            rows["pairs"] += [
                {"arm": name} | row for row in pairs(found, homes, self.draws, self.rng("p", name, axis.name))
            ]
            if base in readings and name != base:
                moved = moves(found, readings[base])
                for source, group in moved.items():
                    made = contrast([group], self.draws, self.rng("m", name, axis.name, *source))
                    rows["moves"].append({"arm": name, **source._asdict(), **numbers(made)})
                luck = self.rng("mp", name, axis.name)
                rows["move_pairs"] += [{"arm": name} | row for row in move_pairs(moved, self.draws, luck)]
                if lost := len(found.keys() & readings[base].keys()) - len(moved):
                    self.left_out["moves without units that variant and base share"] += lost
        rows["positions"] += self._people(axis)
        ranked = [one for name, one in readings.items() if name not in collapsed]
        rows["across"] += across_arms(ranked, self.draws, self.rng("across", axis.name))
        return rows

    def _position(self, name: str, axis: Axis, source: Source, one: Reading) -> dict[str, Any]:
        made = contrast([[(one, 1.0)]], self.draws, self.rng("position", name, axis.name, *source))
        return {"arm": name, **source._asdict(), **numbers(made), "items": len(one.items)}

    def _undefined(self, name: str, axis: Axis, found: Mapping[Source, Reading]) -> list[dict[str, Any]]:
        """Rows of what was asked but has nothing on the axis."""
        rows = []
        chosen = (CHOSEN[0], Source("edc", ALONE)) if name in self.choices else ()
        for source in (*self.evidence[name].answers, *chosen):
            if source not in found:
                what = "dilemma" if source.audit == "edc" else "item"
                why = (
                    f"no {what} of {axis.name} among those asked by {source.audit} ({source.condition}, {source.group})"
                )
                self.left_out[f"arms with {why}"] += 1
                nothing = Contrast(NAN, NAN, NAN, 0, f"undefined: {why}", np.empty(0))
                rows.append({"arm": name, **source._asdict(), **numbers(nothing), "items": 0})
        return rows

    def _people(self, axis: Axis) -> list[dict[str, Any]]:
        """People's own positions on the units of each source, from the first arm that has it."""
        found: dict[Source, Placed] = {}
        for name in self.evidence:
            found = {**self.placed(name, axis, "q"), **found}
        return [self._position("people", axis, source, one) | {"condition": PEOPLE} for source, one in found.items()]

    def same(self) -> list[dict[str, Any]]:
        rows = []
        for name, evidence in self.evidence.items():
            for one, two in TOGETHER:
                if one in evidence.answers and two in evidence.answers:
                    rng, names = self.rng("same", name, one.audit, two.audit), {"arm": name, "first_audit": one.audit}
                    both = evidence.answers[one], evidence.answers[two]
                    made = same_questions(*both, self.axes, self.scales, self.draws, rng)
                    rows += [names | {"second_audit": two.audit} | row for row in made]
                    if not made:
                        self.left_out[f"arms in which {one.audit} and {two.audit} share no item and country"] += 1
        return rows

    def described(self, axis: Axis) -> dict[str, Any]:
        items: dict[str, set[str]] = {}
        for name in self.evidence:
            for source, one in self.placed(name, axis).items():
                items.setdefault("|".join(source), set()).update(one.items)
        asked = set().union(*(found for name, found in items.items() if not name.startswith("edc")))
        ends = [self._rises(axis, item) for item in asked]
        return {
            "name": axis.name,
            "first": axis.first,
            "second": axis.second,
            "single": axis not in self.axes.axes,
            "items": {name: sorted(found) for name, found in items.items()},
            "toward_last": float(np.mean(ends)) if ends else NAN,
            "dilemmas": len(items.get(f"edc|{ALONE}|all", ())),
        }

    def _rises(self, axis: Axis, item: str) -> bool:
        """Whether the last option is nearer to the first pole than the first option is."""
        scale, link = self.scales[item], self.axes.links[item]
        options = len(link.positions) or (2 if scale is None else len(scale))
        places = self.axes.toward(axis, item, options, scale)
        return places is not None and bool(places[-1] > places[0])


def _choices(evidence: Evidence, draws: int, root: int) -> Choices:
    asked, p = choice_matrix(evidence.choices, VALUES)
    first, second = (
        np.array([VALUES.index(one) for one in asked[name]], dtype=np.int64) for name in ("value_0", "value_1")
    )
    luck = np.random.default_rng([root, *(zlib.crc32(str(name).encode()) for name in asked["dilemma"])])
    counts = cluster_counts(len(asked), draws, luck) if len(asked) else np.ones((draws, 0))
    levels = sorted({(int(seed), int(draw)) for seed, draw in evidence.choices[["seed", "draw"]].to_numpy()})
    return Choices(tuple(map(str, asked["dilemma"])), first, second, p, tuple(levels), counts)
