"""The scores and estimates of an audit that asks survey items, all from its `answers` table.

Held-out items are group "all", seen items "seen items"; then by country and age band. Reference rows (`reference:…`)
are computed on the same units where they are defined there; their `n` says on how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.panels import stratum_group
from eval.records import Estimate
from eval.references import attained, reference_scores, skill
from eval.representation import centrism_scores, representation, representation_scores
from eval.summaries import summarise
from eval.survey_scores import DISTANCES, unit_scores
from eval.variation import variation

NAN = float("nan")


def survey_scores(answers: pd.DataFrame, people: pd.DataFrame, home: str = "") -> pd.DataFrame:
    """Every unit that comparisons pair: distances, entropy, option mass, fidelity, gaps, similarity, US-centrism."""
    pull = _centrism(answers, people, home)
    own = pull[~pull["condition"].str.startswith("reference:")]
    return pd.concat([unit_scores(answers), representation_scores(answers), own], ignore_index=True)


def survey_estimates(
    answers: pd.DataFrame,
    people: pd.DataFrame,
    rng: np.random.Generator,
    draws: int,
    home: str = "",
    measures: Sequence[str] = DISTANCES,
) -> list[Estimate]:
    """Estimates with 95% intervals over items and countries of one variant, reference rows included.

    `people` are all distributions that reference rows may draw on; with a `home` country, its pull is estimated too.
    `skill` and `attained` are ratios of the means over the units of their rows and carry no interval.
    """
    scores = unit_scores(answers, measures)
    estimates = _summaries(scores, rng, draws)
    # A reference row stands beside one condition: its units are that condition's units.
    for condition, part in answers.groupby("condition", sort=True):
        rows = reference_scores(part, list(measures), rng=rng, people=people)
        if condition != "none":  # the country's units, which "none" has too
            named = rows if condition == "country" else rows.assign(condition=rows["condition"] + f" ({condition})")
            estimates += _summaries(named, rng, draws)
        estimates += _relative(scores[scores["condition"] == condition], rows, str(condition))
    estimates += representation(answers, rng, draws)
    estimates += summarise(_centrism(answers, people, home), rng, draws)
    estimates += variation(answers, rng, draws)
    return estimates


def _summaries(scores: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """All measures over everything; the js_distance also by country and age band."""
    detailed = scores["measure"] == "js_distance"
    return [
        *summarise(scores[detailed], rng, draws, by=("country", "age")),
        *summarise(scores[~detailed], rng, draws),
    ]


def _centrism(answers: pd.DataFrame, people: pd.DataFrame, home: str) -> pd.DataFrame:
    """On held-out items only: training has seen the home country's people on the others."""
    return centrism_scores(answers[answers["stratum"] == "held_out"], people, home)


def _relative(scores: pd.DataFrame, rows: pd.DataFrame, condition: str) -> list[Estimate]:
    """`skill` and `attained` of the js_distance, on the units where the reference is defined."""
    keys = ["stratum", "item", "country", "age", "sex", "education"]
    model = scores[scores["measure"] == "js_distance"].set_index(keys)["value"]
    named = rows[rows["measure"] == "js_distance"].assign(name=rows["condition"].str.split("[: ]", regex=True).str[1])
    wide = named.pivot_table(index=keys, columns="name", values="value").join(model.rename("model"), how="inner")
    found = []
    for stratum, part in wide.groupby(level="stratum"):
        group = stratum_group(str(stratum))
        if "other_countries_mean" in part:
            both = part.dropna(subset=["other_countries_mean"]).mean()
            value = skill(float(both["model"]), float(both["other_countries_mean"]))
            n = int(part["other_countries_mean"].notna().sum())
            method = "1 - ratio of mean js distances to other_countries_mean; no interval"
            found.append(Estimate("skill", group, condition, value, NAN, NAN, n, method))
        if "people_again" in part:
            both = part.dropna(subset=["people_again"]).mean()
            value = attained(float(both["model"]), float(both["uniform"]), float(both["people_again"]))
            n = int(part["people_again"].notna().sum())
            method = "share of the way from uniform to the floor, mean js distances; no interval"
            found.append(Estimate("attained", group, condition, value, NAN, NAN, n, method))
    return found
