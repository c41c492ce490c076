"""Response curves: what each main measure does as the training data of otherwise equal arms gets more diverse.

`eval.curve_families` says which arms make a curve, `eval.curve_fit` how it is fitted and what its intervals cover. All
slopes are exploratory, with Holm's p over the curves of a run beside each: hypotheses name pairs and sets of arms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from eval.cells import AnswersOf, Arm
from eval.curve_families import OVER, Family, families
from eval.curve_fit import Sweep, fit
from eval.inference import holm
from eval.joint import Joint, joint_means, joint_variation
from eval.outer_levels import describe_levels
from eval.panels import STRATUM_OF
from eval.summaries import select
from eval.variation import QUANTITIES

DRAWS = 4_000
ONE_CELL = "; one training seed and data draw"
Key = tuple[str, str, str, str]
Row = dict[str, Any]
MEASURES: tuple[Key, ...] = (
    ("first_token", "js_distance", "country", "seen items"),
    ("first_token", "js_distance", "country", "all"),
    ("first_token", "between_ratio", "country", "seen items"),
    ("first_token", "between_ratio", "country", "all"),
    ("first_token", "within_ratio", "country", "seen items"),
    ("first_token", "within_ratio", "country", "all"),
    ("first_token", "country_knowledge", "country", "seen items"),
    ("first_token", "country_knowledge", "country", "all"),
    ("first_token", "age_gap", "country+age", "all"),
    ("first_token", "us_centrism", "none", "all"),
    ("def", "js_distance", "participants:expected", "all"),
    ("def", "between_ratio", "participants:expected", "all"),
    ("def", "within_ratio", "participants:expected", "all"),
    ("edc", "flip_rate", "dialogue:neutral:6", "all"),
    ("mark", "accuracy", "mark", "all"),
)
"""(audit, measure, condition, group) of the curves; those that all arms of a family have are drawn."""


@dataclass(frozen=True)
class CurveSettings:
    """Over which realised diversity (a key of `eval.curve_families.OVER`) curves are drawn, and by measure the smallest
    change that matters: without one it is not asked where a measure levels off. ValueError on others.
    """

    over: str = "hill_1"
    margins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.over not in OVER:
            raise ValueError(f"response_curves.over must be one of {', '.join(OVER)}, got {self.over!r}")
        known = dict.fromkeys(name for _, name, _, _ in MEASURES)
        for name, margin in self.margins.items():
            where = f"response_curves.margins.{name}"
            if name not in known:
                raise ValueError(f"{where}: the measures that have a curve are {', '.join(known)}")
            if isinstance(margin, bool) or not isinstance(margin, int | float) or not margin > 0:
                raise ValueError(f"{where} must be a number above 0, got {margin!r}")


def response_curves(
    arms: Sequence[Arm],
    readers: Mapping[str, AnswersOf],
    settings: CurveSettings,
    collapsed: Collection[str],
    rng: Callable[..., np.random.Generator],
    draws: int,
) -> dict[str, Any]:
    """For summary.json: `over`, a row a family × measure in `curves`, what is `beside` (other diversities that change
    along a family) and `left_out`, in sentences; {} where no arms differ in diversity alone.

    `readers` gives, by audit, how its evidence becomes an answers table; `rng` makes the generator of a curve from its
    names. A row has the family's `arms`, their `diversity` (the geometric mean, as lines are in log2), its `cells` with
    `diversity` and `value`, and the fields of `eval.curve_fit.Trend` (and `p_holm`) under `trend`, of `Settled` under
    `settled`.
    """
    found, left_out = families(arms, settings.over, collapsed)
    rows: list[Row] = []
    for family in found:
        measured = _Cells(family, readers, min(draws, DRAWS))
        for key in MEASURES:
            margin = float(settings.margins.get(key[1], np.nan))
            if row := _curve(family, key, measured, margin, rng("response", family.name, *key)):
                rows.append(row)
    if not rows and not left_out:
        return {}
    for row, p in zip(rows, holm([row["trend"]["p"] for row in rows]), strict=True):
        row["trend"]["p_holm"] = p
    beside = [one for family in found for one in family.beside()]
    return {"over": settings.over, "curves": rows, "beside": beside, "left_out": left_out}


def _curve(family: Family, key: Key, measured: _Cells, margin: float, rng: np.random.Generator) -> Row | None:
    """One row; None where an arm lacks the measure."""
    joint = measured(key, rng)
    if joint is None or not np.isfinite(joint.values).all():
        return None
    values = family.grid(joint.values)
    inner = (joint.replicates - joint.values).reshape(-1, *values.shape) if len(joint.replicates) else None
    trend, settled = fit(Sweep(family.diversity, values, family.levels, inner), margin, rng)
    noise = f"{joint.method.removesuffix(ONE_CELL)}; {describe_levels([family.levels])}"
    return {
        "family": family.name,
        "arms": [arm.name for arm in family.arms],
        "diversity": np.exp2(np.log2(family.diversity).mean(axis=0)).tolist(),
        **dict(zip(("audit", "name", "condition", "group"), key, strict=True)),
        "margin": margin,
        "seeds": sorted({seed for seed, _ in family.levels}),
        "draws": sorted({draw for _, draw in family.levels}),
        "n": joint.n,
        "method": f"mean over seeds and draws of the slope on log2 of diversity; {noise}",
        "trend": asdict(trend),
        "settled": asdict(settled),
        "cells": [
            {"arm": cell.arm, "seed": cell.seed, "draw": cell.draw, "diversity": float(x), "value": float(y)}
            for cell, x, y in zip(family.cells, family.diversity.flat, values.flat, strict=True)
        ],
    }


@dataclass(frozen=True)
class _Cells:
    """Measures of all cells of a family, row by row, under the same resamples of items and countries."""

    family: Family
    readers: Mapping[str, AnswersOf]
    draws: int

    def __call__(self, key: Key, rng: np.random.Generator) -> Joint | None:
        """None where an arm lacks the measure."""
        audit, measure, condition, group = key
        if audit not in self._audits:
            return None
        if measure not in QUANTITIES:
            units = [select(table, measure, condition, group) for table in self._scores[audit]]
            return None if any(table.empty for table in units) else joint_means(units, rng, self.draws)
        answers, stratum = self._answers.get(audit, []), STRATUM_OF[group]
        there = [((table["condition"] == condition) & (table["stratum"] == stratum)).any() for table in answers]
        if not there or not all(there):
            return None
        cells = [{(0, 0): table} for table in answers]  # each by itself: how they differ is the fit's to judge
        return joint_variation(cells, [measure], condition, stratum, rng, self.draws)[measure]

    @cached_property
    def _audits(self) -> list[str]:
        return sorted(set.intersection(*(set(arm.audits) for arm in self.family.arms)))

    @cached_property
    def _scores(self) -> dict[str, list[pd.DataFrame]]:
        return {
            audit: [cell.scores(audit).dropna(subset="value") for cell in self.family.cells] for audit in self._audits
        }

    @cached_property
    def _answers(self) -> dict[str, list[pd.DataFrame]]:
        return {
            audit: [cell.answers(audit, self.readers[audit]) for cell in self.family.cells]
            for audit in self._audits
            if audit in self.readers
        }
