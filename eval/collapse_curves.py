"""The collapse curve: what arms show of variation, by the beta of their recipe, over what its optimum would show.

A curve belongs to the optimum that arms share: one law (`eval.collapse`), one model where training started, and people
by country or pooled. The optimum is worked out for the audit's own questions and countries, from what the start
answered to these prompts and from their people, and measured as arms are. Training saw neither these countries nor, of
the held-out stratum, these questions: an arm lies beside its curve because training was short, or because what it
learned is not carried over, and KL to the optimum does not tell one from the other. Our design.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.bootstrap import mean_interval
from eval.cells import UNCHANGED, Arm, CellResult
from eval.collapse import KNOBS, MEASURES, Law, Prompts, kl_to_optimum, law_of, variation_of
from eval.panels import STRATUM_GROUPS, stratum_group
from eval.records import Estimate
from eval.summaries import within_scale

AUDIT, CONDITION = "first_token", "country"
KL = "kl_to_optimum"
POINTS = 19
DESIGN = ("model", "adapter", "mixture", "survey", "prompt", "budget", "gate")
"""Parts of a cell's configuration in which arms that differ in their knob alone are alike, beside the recipe."""
ASKED = ("model", "survey", "prompt")
"""Those in which an arm and the model that it started from are alike."""
_PROMPT = ["stratum", "item", "country", "order"]
Rng = Callable[..., np.random.Generator]
Estimates = Mapping[str, Mapping[str, Sequence[Estimate]]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Preference:
    """An arm of a preference recipe whose knob is `at`: its law or why it has none, and the arm with the model where
    its training started (None: no arm has it).
    """

    arm: Arm
    at: float
    law: Law | str
    start: Arm | None

    @property
    def config(self) -> Mapping[str, Any]:
        return self.arm.first.config

    @property
    def knob(self) -> str:
        return KNOBS[self.config["recipe"]["_target_"]]

    @property
    def pooled(self) -> bool:
        return (self.config.get("mixture") or {}).get("pooling") == "population"

    @property
    def design(self) -> str:
        """The same of arms that differ in the knob alone."""
        recipe = {name: value for name, value in self.config["recipe"].items() if name != self.knob}
        start = self.start.name if self.start else _parent(self.arm.first).partition("--")[0]
        return json.dumps([recipe, start, {part: self.config.get(part) for part in DESIGN}], sort_keys=True)

    @property
    def why_not(self) -> str:
        """Why the optimum is not known, in a sentence; "" where it is."""
        if isinstance(self.law, str):
            return f"{self.arm.name} {self.law}."
        if self.start is None:
            return f"{self.arm.name} started from a model that is no arm here, so that its answers are not known."
        return ""


def collapse_curves(arms: Mapping[str, Arm], estimates: Estimates, rng: Rng, draws: int) -> Row:
    """summary.json's "collapse": {} where no arm has a preference recipe whose optimum is known, and no two differ in
    its knob alone; else audit, condition and `curves`, each with

    knob, formula, pooled, reference (the arm of the start, None where no optimum is known), why_not (sentences)
    families    names of arms that differ in the knob alone, two or more each, in its order
    points      what arms show: arm, at (the knob), an estimate's fields, and `predicted`, the optimum's value
    predicted   what the optimum shows over a grid: at, group and `eval.collapse.MEASURES`
    references  the same `of` the "start", of "people" and of an "even" answer: of, group and the measures
    distances   KL from the arm to its optimum in nats: arm, at, an estimate's fields; `start`, that from the start, and
                `nearer`, `nearer_low`, `nearer_high`: by how much it is less, paired by question and country

    `rng` makes a generator from names. Optima have no intervals.
    """
    groups: dict[Any, list[Preference]] = {}
    for one in (found for arm in arms.values() if (found := _preference(arm, arms))):
        shared = one.design if one.why_not else (one.law, one.start and one.start.name, one.pooled)
        groups.setdefault(shared, []).append(one)
    shown = [group for group in groups.values() if not group[0].why_not or _families(group)]
    curves = [_curve(group, estimates, rng, draws) for group in shown]
    return {"audit": AUDIT, "condition": CONDITION, "curves": curves} if curves else {}


def _preference(arm: Arm, arms: Mapping[str, Arm]) -> Preference | None:
    """None where the arm was not trained by such a recipe, is not asked plainly, or has no finished audit."""
    recipe, mixture = (arm.first.config.get(part) or {} for part in ("recipe", "mixture"))
    knob = KNOBS.get(str(recipe.get("_target_")))
    if not _plainly(arm) or knob is None or recipe.get(knob) is None:
        return None
    starts = [_start(cell, arms) for cell in arm.cells]
    return Preference(arm, float(recipe[knob]), law_of(recipe, mixture), None if None in starts else starts[0])


def _plainly(arm: Arm) -> bool:
    """Whether the arm was audited without an intervention at inference time."""
    return AUDIT in arm.audits and arm.first.inference == UNCHANGED


def _parent(cell: CellResult) -> str:
    """The folder name of the cell where training started; "" where that is the base."""
    return Path(str((cell.config.get("parent") or {}).get("cell") or "")).name


def _start(cell: CellResult, arms: Mapping[str, Arm]) -> Arm | None:
    """The arm with the model that the cell's training started from, asked the same questions."""
    for arm in arms.values():
        if _plainly(arm) and all(arm.first.config.get(part) == cell.config.get(part) for part in ASKED):
            parent = _parent(cell)
            if any(one.folder.name == parent for one in arm.cells) if parent else arm.untouched:
                return arm
    return None


def _started(cell: CellResult, start: Arm) -> CellResult:
    """The cell of `start` that the training of `cell` started from."""
    return next((one for one in start.cells if one.folder.name == _parent(cell)), start.cells[0])


def _families(group: Iterable[Preference]) -> list[list[str]]:
    by_design: dict[str, list[Preference]] = {}
    for one in sorted(group, key=lambda one: one.at):
        by_design.setdefault(one.design, []).append(one)
    return [[one.arm.name for one in same] for same in by_design.values() if len({one.at for one in same}) > 1]


def _curve(group: Sequence[Preference], estimates: Estimates, rng: Rng, draws: int) -> Row:
    law, start, pooled = group[0].law, group[0].start, group[0].pooled
    points = [
        {"arm": one.arm.name, "at": one.at, **asdict(estimate), "predicted": float("nan")}
        for one in group
        for estimate in estimates[one.arm.name][AUDIT]
        if estimate.name in MEASURES and estimate.condition == CONDITION and estimate.group in STRATUM_GROUPS.values()
    ]
    curve = {"knob": group[0].knob, "formula": "", "pooled": pooled, "reference": None, "families": _families(group)}
    curve |= {"why_not": [one.why_not for one in group if one.why_not], "points": points}
    if isinstance(law, str) or start is None:
        return curve | {"predicted": [], "references": [], "distances": []}
    cells = {cell.folder: cell for one in group for cell in (_started(each, start) for each in one.arm.cells)}
    asked = _asked([_evidence(cell) for cell in cells.values()], pooled)
    ats = grid([one.at for one in group])
    predicted = [
        {"at": at, "group": name, **_mean([variation_of(each.optimum(law, at)) for each in prompts])}
        for name, prompts in asked.items()
        for at in ats
    ]
    known = {(row["at"], row["group"]): row for row in predicted}
    for point in points:
        point["predicted"] = known.get((point["at"], point["group"]), {}).get(point["name"], float("nan"))
    references = [
        {"of": of, "group": where, **_mean([variation_of(answers) for answers in tables])}
        for where, prompts in asked.items()
        for of, tables in (
            ("start", [each.answers for each in prompts]),
            ("people", [each.by_people() for each in prompts]),
            ("even", [each.even() for each in prompts]),
        )
    ]
    distances = [row for one in group for row in _distances(one, law, start, rng, draws)]
    return curve | {
        "formula": law.formula,
        "reference": start.name,
        "predicted": predicted,
        "references": references,
        "distances": distances,
    }


def grid(ats: Sequence[float]) -> list[float]:
    """Where a curve is drawn: the arms' values and POINTS evenly spaced ones (in the logarithm) well beyond them."""
    return sorted({*ats, *np.geomspace(min(0.05, min(ats) / 2), max(10.0, 2 * max(ats)), POINTS).tolist()})


def _asked(evidence: Sequence[pd.DataFrame], pooled: bool) -> dict[str, list[Prompts]]:
    """By group of estimates, what each of the cells was asked and answered."""
    found: dict[str, list[Prompts]] = {}
    for items in evidence:
        for stratum, part in items.groupby("stratum", sort=True):
            found.setdefault(stratum_group(str(stratum)), []).append(Prompts.of(part, pooled))
    return found


def _evidence(cell: CellResult) -> pd.DataFrame:
    items = cell.items(AUDIT)
    return items[(items["condition"] == CONDITION) & items["stratum"].isin(STRATUM_GROUPS)]


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in values])) for name in MEASURES}


def _distances(one: Preference, law: Law, start: Arm, rng: Rng, draws: int) -> list[Row]:
    tilt = law.tilt(one.at)
    frames = []
    for cell in one.arm.cells:
        own, before = (_by_prompt(_evidence(each)) for each in (cell, _started(cell, start)))
        both = own.join(before["p"].rename("reference"), how="inner").reset_index()
        for _, part in both.groupby(["stratum", "item"], sort=True):
            p, reference, people = (np.stack(part[name].to_list()) for name in ("p", "reference", "q"))
            if one.pooled:
                people = np.broadcast_to(people.mean(axis=0), people.shape)
            value, began = (kl_to_optimum(each, reference, people, tilt, law.least_share) for each in (p, reference))
            scored = part[_PROMPT].assign(value=value, start=began, seed=cell.seed, draw=cell.draw)
            units = ["stratum", "item", "country", "seed", "draw"]
            frames.append(scored.groupby(units, sort=True)[["value", "start"]].mean().reset_index())
    rows = []
    for stratum, part in (pd.concat(frames) if frames else pd.DataFrame({"stratum": []})).groupby("stratum"):
        luck = rng("collapse", one.arm.name, str(stratum))
        away, nearer = (
            mean_interval(part.assign(value=values), luck, draws)
            for values in (part["value"], part["start"] - part["value"])
        )
        row = {"arm": one.arm.name, "at": one.at, "start": float(part["start"].mean())}
        row |= asdict(Estimate(KL, stratum_group(str(stratum)), CONDITION, *within_scale(KL, away)))
        rows.append(row | {"nearer": nearer.value, "nearer_low": nearer.low, "nearer_high": nearer.high})
    return rows


def _by_prompt(items: pd.DataFrame) -> pd.DataFrame:
    """Indexed by what was asked, and in which order of the options."""
    orders = [str(order if isinstance(order, str) else [int(place) for place in order]) for order in items["order"]]
    return items.assign(order=orders).set_index(_PROMPT)
