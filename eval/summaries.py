"""From unit scores to estimates: the mean of every measure, condition and stratum, and of the groups within it.

`summarise` names groups ("all", "seen items", "country=NOR") and `select` finds a named group's units again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, Interval, mean_interval
from eval.panels import STRATUM_GROUPS, stratum_group
from eval.records import Estimate

LEVELS = ("country", "age", "sex", "education", "item")
SCALES = {
    **dict.fromkeys(
        ("js_distance", "emd", "total_variation", "top1_agreement", "option_mass", "similarity", "similarity_to_home"),
        (0.0, 1.0),
    ),
    **dict.fromkeys(("persona_distance", "language_distance", "position_effect"), (0.0, 1.0)),
    **dict.fromkeys(("accuracy_as_published", "one_minus_js_as_published", "emd_as_published"), (0.0, 1.0)),
    **dict.fromkeys(("kl_people_model", "entropy"), (0.0, float("inf"))),
    **dict.fromkeys(("unparsed_rate", "disclaimer_rate", "wording_diversity", "wording_distance"), (0.0, 1.0)),
    **dict.fromkeys(("effect_on_js_distance", "preferred_share", "order_effect"), (-1.0, 1.0)),
    "profile_match_as_published": (0.0, 1.0),
}
"""What a measure's values can be, where that has bounds."""


def summarise(
    scores: pd.DataFrame, rng: np.random.Generator, draws: int = DRAWS, by: Sequence[str] = ()
) -> list[Estimate]:
    """An estimate for every measure, condition and stratum of `scores`, and for each level of the columns `by`.

    Levels ("country=NOR", "age=18-29") are given for the held-out stratum alone; the empty level "" (any) is none.
    """
    estimates = []
    for (measure, condition, stratum), part in scores.groupby(["measure", "condition", "stratum"], sort=True):
        groups = [(stratum_group(str(stratum)), part)]
        if stratum == "held_out":
            for name in by:
                levels = part.groupby(part[name].astype(str), sort=True)
                groups += [(f"{name}={level!s}", units) for level, units in levels if level]
        estimates += [
            Estimate(str(measure), group, str(condition), *within_scale(str(measure), mean_interval(units, rng, draws)))
            for group, units in groups
        ]
    return estimates


def within_scale(measure: str, interval: Interval) -> Interval:
    """The interval without what lies beyond the measure's scale: a sum of widened parts knows no bounds."""
    least, most = SCALES.get(measure, (-np.inf, np.inf))
    low, high = np.clip([interval.low, interval.high], least, most)
    return interval._replace(low=float(low), high=float(high))


def select(scores: pd.DataFrame, measure: str, condition: str, group: str) -> pd.DataFrame:
    """The units of an estimate that `summarise` named so; empty where there are none. ValueError on an unknown group
    form.
    """
    part = scores[(scores["measure"] == measure) & (scores["condition"] == condition)]
    stratum = {name: stratum for stratum, name in STRATUM_GROUPS.items()}.get(group)
    if stratum is not None:
        return part[part["stratum"] == stratum]
    name, found, level = group.partition("=")
    if not found or name not in LEVELS:
        raise ValueError(
            f"group must be {', '.join(STRATUM_GROUPS.values())} or LEVEL=value with LEVEL in {LEVELS}, got {group!r}"
        )
    return part[(part["stratum"] == "held_out") & (part[name] == level)]
