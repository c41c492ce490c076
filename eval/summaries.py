"""From unit scores to estimates: the mean of every measure, condition and stratum, and of the groups within it.

`summarise` names groups ("all", "seen items", "country=NOR") and `select` finds a named group's units again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, FEWEST, Interval, clusters_worth, mean_interval
from eval.panels import STRATUM_GROUPS, STRATUM_OF, stratum_group
from eval.records import Estimate
from eval.units import Units

LEVELS = ("country", "age", "sex", "education", "item")
SCALES = {
    **dict.fromkeys(
        ("js_distance", "emd", "total_variation", "top1_agreement", "option_mass", "similarity", "similarity_to_home"),
        (0.0, 1.0),
    ),
    **dict.fromkeys(("persona_distance", "language_distance", "position_effect"), (0.0, 1.0)),
    **dict.fromkeys(("accuracy_as_published", "one_minus_js_as_published", "emd_as_published"), (0.0, 1.0)),
    **dict.fromkeys(("kl_people_model", "kl_to_optimum", "entropy"), (0.0, float("inf"))),
    **dict.fromkeys(("unparsed_rate", "disclaimer_rate", "wording_diversity", "wording_distance"), (0.0, 1.0)),
    **dict.fromkeys(("effect_on_js_distance", "preferred_share", "order_effect"), (-1.0, 1.0)),
    "profile_match_as_published": (0.0, 1.0),
    **dict.fromkeys(("flip_rate", "disagreement", "yields", "unmatched_rate", "decisiveness"), (0.0, 1.0)),
    **dict.fromkeys(("marginal_action_entropy", "question_form_consistency", "pole_preference"), (0.0, 1.0)),
    **dict.fromkeys(("pressure_effect", "control_effect", "kendall_tau", "accuracy_gain"), (-1.0, 1.0)),
    **dict.fromkeys(("accuracy", "accuracy_weighted", "probability_of_answer", "vote_agreement"), (0.0, 1.0)),
    **dict.fromkeys(("stage_validity", "stage_failed", "stage_retried", "type_stability", "type_share"), (0.0, 1.0)),
    **dict.fromkeys(("consistency_rate", "revision_changed_rate", "negative_impact_rate"), (0.0, 1.0)),
    **dict.fromkeys(("krippendorff_alpha", "cohen_kappa"), (float("-inf"), 1.0)),
    "yes_bias": (-0.5, 0.5),
    "priority_drift": (0.0, float("inf")),
}
"""What a measure's values can be, where that has bounds."""
OWN_SCALES = {("edc", "position_effect"): (-0.5, 0.5)}
"""By audit and measure, where an audit's scale is another: in dilemmas a share less one half, else a distance."""
COUNTED = frozenset(
    ("top1_agreement", "accuracy_as_published", "unparsed_rate", "disclaimer_rate", "profile_match_as_published")
)
"""Measures in [0, 1] that count who does something: in a few clusters all can be alike by chance."""
ALIKE = 1e-9


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
        even = str(condition).startswith("reference:uniform")  # 1 / k whoever is asked
        for group, units in groups:
            interval = unless_alike(mean_interval(units, rng, draws), units, measure in COUNTED and not even)
            estimates.append(Estimate(str(measure), group, str(condition), *within_scale(str(measure), interval)))
    return estimates


def unless_alike(interval: Interval, scores: pd.DataFrame, counted: bool) -> Interval:
    """The interval, unless it has no width since all clusters that are resampled are alike: of what is `counted` that
    of `share_interval`; of anything else none where only items differ, which are too few and taken as given. A number
    that is the same in all countries since no country was asked for it is not known exactly.
    """
    if not interval.high - interval.low <= ALIKE:
        return interval
    units = Units.of(scores)
    if counted:
        low, high = share_interval(interval.value, interval.low, interval.high, units)
        return interval._replace(low=low, high=high)
    if clusters_worth(units)[0] < FEWEST and scores["value"].max() - scores["value"].min() > ALIKE:
        nan = float("nan")
        return interval._replace(low=nan, high=nan, method=f"no interval: alike in all countries; {interval.method}")
    return interval


def share_interval(share: float, low: float, high: float, units: Units) -> tuple[float, float]:
    """The interval of a share within [0, 1]. Where all clusters that are resampled are alike, so that it has no width,
    it reaches as far as unlike ones could move the share, at the largest part of them of which so many would show none
    with a probability of 2.5% (Clopper and Pearson 1934).
    """
    if not high - low <= ALIKE:
        return max(low, 0.0), min(high, 1.0)
    unseen = 1 - 0.025 ** (1 / min(worth for worth in clusters_worth(units) if worth >= FEWEST))
    return share * (1 - unseen), share + (1 - share) * unseen


def within_scale(measure: str, interval: Interval, audit: str = "") -> Interval:
    """The interval without what lies beyond the measure's scale (that of the `audit`, where it has one of its own): a
    sum of widened parts knows no bounds.
    """
    least, most = OWN_SCALES.get((audit, measure)) or SCALES.get(measure, (-np.inf, np.inf))
    low, high = np.clip([interval.low, interval.high], least, most)
    return interval._replace(low=float(low), high=float(high))


class Selection:
    """`select` on one table of unit scores, many times: it is taken apart once."""

    def __init__(self, scores: pd.DataFrame) -> None:
        self._none = scores.iloc[:0]
        self._parts = dict(iter(scores.groupby(["measure", "condition", "stratum"], sort=False)))
        self._levels: dict[tuple[str, str, str], dict[str, pd.DataFrame]] = {}

    def select(self, measure: str, condition: str, group: str) -> pd.DataFrame:
        """The units of an estimate that `summarise` named so; empty where there are none. ValueError on an unknown
        group form.
        """
        if (stratum := STRATUM_OF.get(group)) is not None:
            return self._parts.get((measure, condition, stratum), self._none)
        name, found, level = group.partition("=")
        if not found or name not in LEVELS:
            raise ValueError(
                f"group must be {', '.join(STRATUM_GROUPS.values())} or LEVEL=value with LEVEL in {LEVELS}, "
                f"got {group!r}"
            )
        if (key := (measure, condition, name)) not in self._levels:
            whole = self._parts.get((measure, condition, "held_out"), self._none)
            self._levels[key] = dict(iter(whole.groupby(name, sort=False)))
        return self._levels[key].get(level, self._none)


def select(scores: pd.DataFrame, measure: str, condition: str, group: str) -> pd.DataFrame:
    """One selection from a table of unit scores, as `Selection.select`."""
    return Selection(scores[(scores["measure"] == measure) & (scores["condition"] == condition)]).select(
        measure, condition, group
    )
