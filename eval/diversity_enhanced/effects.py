"""What each of the three diversity modifications does, and whether what is said to a participant moves it at all.

An ablation asks the same participants, as lucky, without one modification: `no_location` (the country alone),
`no_memory`, `no_order` (the options in the item's own order for all). Its effect is paired by item and country:

    effect_on_js_distance         js_distance of the full design minus that without; below 0: the modification brings
                                  the participants closer to people
    effect_on_response_diversity  distinct answers with minus without; above 0: it makes them more diverse

Distances of choices are those of the expected distributions, which no luck in drawing answers blurs; those of written
answers compare shares of as many participants, so that the noise of few cancels unless more replies are unreadable.
A positive control is the probability (of written answers: the share) of an option where the persona says that all
people there give it (`control:told`), or the participant remembers having given it (`control:remembered`), less that of
the same participant where nothing is suggested. Source of the ablations: Liu et al. 2025; the pairing and the controls
are our design.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.bootstrap import mean_interval
from eval.controls import EFFECT
from eval.diversity_enhanced.answers import EXPECTED_SUFFIX, preference_answers
from eval.diversity_enhanced.interview import CONTROLS
from eval.diversity_enhanced.measures import diversity_scores
from eval.diversity_enhanced.participants import PARTICIPANTS
from eval.records import SCORE_COLUMNS, Estimate
from eval.survey_scores import unit_scores

DISTANCES = ("js_distance", "total_variation", "emd")


def ablation_scores(items: pd.DataFrame, ablations: Sequence[str]) -> pd.DataFrame:
    """Unit scores of every ablation: its own distances and response diversity (condition "no_memory", and
    "no_memory:expected" by choice), and its effects (condition "no_memory").
    """
    if not ablations:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    reading = EXPECTED_SUFFIX if "p" in items else ""
    full = _own(items, PARTICIPANTS)
    frames = []
    for name in ablations:
        bare = _own(items, name)
        effects = [
            _effect(full, bare, measure, PARTICIPANTS + of, name + of).assign(condition=name)
            for measure, of in (("js_distance", reading), ("response_diversity", ""))
        ]
        frames += [bare, *effects]
    return pd.concat(frames, ignore_index=True)[list(SCORE_COLUMNS)]


def _own(items: pd.DataFrame, condition: str) -> pd.DataFrame:
    distances = unit_scores(preference_answers(items, condition), DISTANCES)
    diversity = diversity_scores(items, condition)
    kept = distances[distances["measure"].isin(DISTANCES)]
    return pd.concat([kept, diversity[diversity["condition"] == condition]], ignore_index=True)


def _effect(full: pd.DataFrame, bare: pd.DataFrame, measure: str, condition: str, without: str) -> pd.DataFrame:
    unit = ["measure", "stratum", "item", "country", "age", "sex", "education"]
    first, second = (
        table[(table["measure"] == measure) & (table["condition"] == name)]
        for table, name in ((full, condition), (bare, without))
    )
    both = first.merge(second[[*unit, "value"]], on=unit, suffixes=("", "_without"))
    return both.assign(measure=f"effect_on_{measure}", value=both["value"] - both["value_without"])


def control_effects(items: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """The positive controls' estimates over items and countries, in [−1, 1]; none where they were not asked."""
    plain, found = items[items["condition"] == PARTICIPANTS], []
    for control, told in items[items["condition"].isin(CONTROLS)].groupby("condition", sort=False):
        both = told.merge(plain, on=["participant", "item"], suffixes=("", "_plain"))
        both["value"] = [_probability(row, "") - _probability(row, "_plain") for row in both.to_dict("records")]
        units = both.groupby(["item", "country"], sort=True, as_index=False)["value"].mean()
        interval = mean_interval(units, rng, draws)
        low, high = np.clip([interval.low, interval.high], -1, 1)
        found.append(Estimate(EFFECT, "all", str(control), *interval._replace(low=float(low), high=float(high))))
    return found


def _probability(row: dict[str, object], which: str) -> float:
    if f"p{which}" in row:
        p = np.asarray(row[f"p{which}"], dtype=np.float64)
        return float(p[int(row["told"])])  # type: ignore[call-overload]
    return float(row[f"answer{which}"] == row["told"])
