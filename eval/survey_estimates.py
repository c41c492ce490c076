"""The scores and estimates of an audit that asks survey items, all from its `answers` table.

Held-out items are group "all", seen items "seen items"; then by country, age band, sex and education. Reference rows
(`reference:…`) are computed on the same units where they are defined there; their `n` says on how many. Those of the
condition "country" have no suffix and stand beside every condition with the same units ("none"); those of another name
it ("reference:uniform (country+age)") and stand beside it in every style or language with the same units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.panels import DEMOGRAPHICS, stratum_group
from eval.records import Estimate
from eval.references import UNIT, attained, earlier_wave_scores, reference_scores, skill
from eval.representation import centrism_scores, representation, representation_scores
from eval.summaries import summarise
from eval.survey_scores import DISTANCES, stacked, unit_scores
from eval.variation import variation

NAN = float("nan")


def survey_scores(answers: pd.DataFrame, people: pd.DataFrame, home: str = "") -> pd.DataFrame:
    """Every unit that comparisons pair: distances, entropy, option mass, fidelity, gaps, similarity, US-centrism."""
    pull = _centrism(answers, people, home)
    own = pull[~pull["condition"].str.startswith("reference:")]
    return stacked([unit_scores(answers), representation_scores(answers), own])


def survey_estimates(
    answers: pd.DataFrame,
    people: pd.DataFrame,
    rng: np.random.Generator,
    draws: int,
    home: str = "",
    measures: Sequence[str] = DISTANCES,
    earlier: pd.DataFrame | None = None,
) -> list[Estimate]:
    """Estimates with 95% intervals over items and countries of one variant, reference rows included.

    `people` are all distributions that reference rows may draw on; with a `home` country, its pull is estimated too;
    `earlier` are people's answers of an earlier wave, the reference of the stratum `later_wave`.
    `skill` and `attained` are ratios of the means over the units of their rows and carry no interval.
    """
    scores = unit_scores(answers, measures)
    estimates = _summaries(scores, rng, draws)
    by = [*UNIT, *(["n_model"] if "n_model" in answers else [])]  # the floor depends on the number of answers too
    known: dict[frozenset[tuple[object, ...]], pd.DataFrame] = {}
    beside: dict[str, frozenset[tuple[object, ...]]] = {}
    for condition, part in answers.groupby("condition", sort=True):
        units = frozenset(part[by].itertuples(index=False, name=None))
        if units not in known:
            rows = reference_scores(part, list(measures), rng=rng, people=people)
            if earlier is not None and (later := part[part["stratum"] == "later_wave"]).size:
                rows = pd.concat([rows, earlier_wave_scores(later, earlier, measures)], ignore_index=True)
            known[units] = rows
        rows = known[units]
        stated = str(condition).partition(" (")[0]
        if units not in (beside.get("country"), beside.get(stated)):
            suffix = "" if condition == "country" else f" ({condition})"
            estimates += _summaries(rows.assign(condition=rows["condition"] + suffix), rng, draws)
            beside.setdefault(str(condition), units)
        estimates += _relative(scores[scores["condition"] == condition], rows, str(condition))
    estimates += representation(answers, rng, draws)
    estimates += summarise(_centrism(answers, people, home), rng, draws)
    estimates += variation(answers, rng, draws)
    return estimates


def people_counts(answers: pd.DataFrame) -> list[Estimate]:
    """`people`: how many people stand behind a question of each country, age band, sex and education that is asked for
    by itself (effective number, mean over questions). Groups whose numbers are not known give none.
    """
    found = []
    held = answers[(answers["stratum"] == "held_out") & (answers["n"] > 0)]
    for name in ("country", *DEMOGRAPHICS):
        condition = "country" if name == "country" else f"country+{name}"
        suffix = "" if name == "country" else f" ({condition})"
        for level, part in held[held["condition"] == condition].groupby(name, sort=True):
            value, method = float(part["n"].mean()), "mean effective number of people a question; no interval"
            row = (f"{name}={level!s}", f"reference:people{suffix}", value, NAN, NAN, len(part), method)
            found.append(Estimate("people", *row))
    return found


def _summaries(scores: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """All measures over everything; the js_distance also by country and demographic."""
    detailed = scores["measure"] == "js_distance"
    return [
        *summarise(scores[detailed], rng, draws, by=("country", *DEMOGRAPHICS)),
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
