"""Which arms make a response curve: those that differ in how diverse their training data is, and in nothing else.

Diversity is what was *realised*, as each cell's manifest says (`data.diversity`), not what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from eval.cells import UNCHANGED, Arm, CellResult
from eval.curve_fit import LEAST_FOR_TREND, levels_of_diversity
from eval.distances import FloatArray
from eval.outer_levels import Level

OF_COUNTRIES, OF_AGES, OF_TOPICS = ("countries", "evenness", "dominant"), ("age_evenness", "dominant_age"), ("topics",)
OVER: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "hill_0": ("number of countries", OF_COUNTRIES),
    "hill_1": ("effective number of countries", OF_COUNTRIES),
    "hill_2": ("effective number of countries (order 2)", OF_COUNTRIES),
    "mean_js_between": ("distance between the people of two countries", OF_COUNTRIES),
    "ages_hill_1": ("effective number of age bands", OF_AGES),
    "topics_hill_1": ("effective number of topics", OF_TOPICS),
    "items_hill_1": ("effective number of questions", OF_TOPICS),
}
"""Diversities that curves can be drawn over, by their key in a cell's manifest: in words, and the mixture's knobs that
change them, in which the arms of a curve may differ.
"""
BESIDE = ("hill_1", "ages_hill_1", "topics_hill_1", "items_hill_1")
CHANGED = 1.25
ALIKE = ("model", "recipe", "adapter", "survey", "prompt", "inference", "budget", "gate", "limit")
"""Parts of the configuration in which the arms of a family are the same, beside where their training started."""


@dataclass(frozen=True)
class Family:
    """Arms in order of their mean diversity `over`, on the `levels` (training seed, data draw) that all of them
    have.
    """

    name: str
    arms: tuple[Arm, ...]
    over: str

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        return tuple(sorted(set.intersection(*({(cell.seed, cell.draw) for cell in arm.cells} for arm in self.arms))))

    @cached_property
    def cells(self) -> list[CellResult]:
        """Row by row: all arms at the first level, then at the second …"""
        at = [{(cell.seed, cell.draw): cell for cell in arm.cells} for arm in self.arms]
        return [arm[level] for level in self.levels for arm in at]

    def grid(self, values: Sequence[float] | FloatArray) -> FloatArray:
        """A number a cell as (levels, arms)."""
        return np.asarray(values, dtype=np.float64).reshape(len(self.levels), len(self.arms))

    @cached_property
    def diversity(self) -> FloatArray:
        """Shape (levels, arms)."""
        return self.of(self.over)

    def of(self, over: str) -> FloatArray:
        return self.grid([realised(cell, over) for cell in self.cells])

    def beside(self) -> list[dict[str, Any]]:
        """Other diversities that change along the family too, by more than CHANGED: what, and from least to most."""
        found = []
        for other in (name for name in BESIDE if name != self.over):
            means = self.of(other).mean(axis=0)
            if means.max() > CHANGED * means.min():  # NaN: not known
                row = {"family": self.name, "what": OVER[other][0]}
                found.append({**row, "least": float(means.min()), "most": float(means.max())})
        return found


def realised(cell: CellResult, over: str) -> float:
    """The diversity of the mixture that the cell was trained on; NaN where its manifest has none."""
    found = (cell.manifest.get("mixture") or {}).get(over)
    return float("nan") if found is None else float(found)


def families(arms: Sequence[Arm], over: str, collapsed: Collection[str] = ()) -> tuple[list[Family], list[str]]:
    """The families with `LEAST_FOR_TREND` levels of diversity or more, and sentences on what was left out of them.

    Arms named in `collapsed`, without a finished cell or without such a diversity (a single country has no distance
    between countries) are in none, and cells whose seed or draw another arm lacks are not used.
    """
    groups: dict[str, list[Arm]] = {}
    for arm in (arm for arm in arms if arm.trained):
        groups.setdefault(_alike(arm, OVER[over][1]), []).append(arm)
    found: list[Family] = []
    left_out: list[str] = []
    for group in groups.values():
        why = {arm.name: _unusable(arm, over, collapsed) for arm in group}
        mean = {arm.name: _mean(arm, over) for arm in group}
        group.sort(key=lambda arm: (np.isnan(mean[arm.name]), mean[arm.name]))
        if _levels(group, mean) < LEAST_FOR_TREND:
            continue
        kept = [arm for arm in group if not why[arm.name]]
        name = _name(group, [one.name for one in found])
        left_out += [f"{arm} is not in the curve of {name}: {reason}" for arm, reason in why.items() if reason]
        if _levels(kept, mean) < LEAST_FOR_TREND:
            left_out.append(f"{name} has no curve: fewer than {LEAST_FOR_TREND} levels of diversity are left")
            continue
        family = Family(name, tuple(kept), over)
        if unshared := sum(len(arm.cells) for arm in kept) - len(family.cells):
            left_out.append(f"{name}: {unshared} cells with a seed or draw that not all of its arms have")
        if family.levels:
            order = np.argsort(np.log2(family.diversity).mean(axis=0), kind="stable")  # on the cells that are used
            found.append(replace(family, arms=tuple(kept[place] for place in order)))
    return found, left_out


def _mean(arm: Arm, over: str) -> float:
    """The arm's diversity in log2, the mean over its cells; NaN where one has none."""
    found = np.array([realised(cell, over) for cell in arm.cells])
    return float(np.log2(found).mean()) if len(found) and (found > 0).all() else float("nan")


def _levels(arms: Sequence[Arm], mean: Mapping[str, float]) -> int:
    known = [mean[arm.name] for arm in arms if np.isfinite(mean[arm.name])]
    return len(levels_of_diversity(np.array(known)))


def _alike(arm: Arm, knobs: Sequence[str]) -> str:
    """What the arms of a family have in common, as a key."""
    config = arm.first.config
    mixture = {key: value for key, value in (config.get("mixture") or {}).items() if key not in ("name", *knobs)}
    parts = {part: config.get(part) for part in ALIKE} | {"mixture": mixture}
    start = str(config.get("start") or "").rpartition("/")[2].partition("--")[0]
    return json.dumps([parts, arm.first.recipe, arm.first.adapter, arm.first.inference, start], sort_keys=True)


def _name(arms: Sequence[Arm], taken: Collection[str]) -> str:
    """Recipe and adapter; with the first and last arm where another family has the same."""
    first = arms[0].first
    name = " ".join([first.recipe, first.adapter, *([first.inference] if first.inference != UNCHANGED else [])])
    return f"{name} ({arms[0].name} to {arms[-1].name})" if name in taken else name


def _unusable(arm: Arm, over: str, collapsed: Collection[str]) -> str:
    if arm.name in collapsed:
        return "it has collapsed"
    if not arm.cells:
        return "no cell of it is finished"
    return f"its mixture has no {OVER[over][0]}" if np.isnan(_mean(arm, over)) else ""
