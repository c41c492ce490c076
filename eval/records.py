"""What an audit leaves and what a comparison says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

SCORE_KEYS = ("measure", "condition", "stratum", "item", "country", "age", "sex", "education")
SCORE_COLUMNS = (*SCORE_KEYS, "value", "n")
PERSON = "person"
"""A further column of scores whose units are single persons ("" where a unit is none); a key where it is there."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A named number with its interval.

    `group` says over whom ("all", "country=NOR", "age=18-29"), `condition` what was asked ("none", "country", …) or
    which reference row it is ("reference:uniform"). `low` and `high` bound the 95% interval and are NaN where it is
    undefined; `n` counts the units averaged; `method` names the estimator and the noise that the interval covers.
    """

    name: str
    group: str
    condition: str
    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True)
class AuditResult:
    """What one audit found in one variant.

    `items` is the evidence, one row a prompt or per-person decision; `scores` holds the units that comparisons pair
    (columns `SCORE_COLUMNS`), every measure whose value is the mean of its units; `excluded` counts what was left out,
    by reason; `settings` are the audit's own knobs and costs.
    """

    audit: str
    items: pd.DataFrame
    scores: pd.DataFrame
    estimates: tuple[Estimate, ...]
    excluded: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arm minus `against`, paired by item and group. `p` is two-sided; `p_holm` is set within the primary family.

    `low_here` and `high_here` are the interval with the items held fixed (`eval.these_items`); NaN where there is none.
    """

    arm: str
    against: str
    audit: str
    name: str
    group: str
    condition: str
    value: float
    low: float
    high: float
    n: int
    method: str
    p: float
    p_holm: float
    family: str
    low_here: float = float("nan")
    high_here: float = float("nan")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pre-registered hypothesis and what the comparison says of it, in one word and one sentence.

    `p_equivalence` is that of two one-sided tests that the difference lies within ±margin; NaN without an interval.
    """

    hypothesis: str
    statement: str
    verdict: str
    sentence: str
    value: float
    low: float
    high: float
    margin: float
    p_equivalence: float


@dataclass(frozen=True, slots=True)
class FactorEffect:
    """What one factor, or the interplay of several, does to a measure: `effect` as `eval.factorial.Effect` names it.

    `group` and `condition` as in an `Estimate`; `p` is two-sided.
    """

    audit: str
    name: str
    group: str
    condition: str
    effect: str
    value: float
    low: float
    high: float
    n: int
    method: str
    p: float
    family: str
