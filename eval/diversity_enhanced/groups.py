"""Whose people do the participants of a country resemble: which age band, sex and level of education.

The participants' distribution is held against each group of the country's people (condition `participants:groups`):

    fidelity, age_gap …          as in `eval.representation`: excess distance to the group, and that of the youngest
                                 (first) group minus that of the oldest (last), paired by item and country
    preferred_share              share of the group's own members who gave the participants' preferred option (the mean
                                 over tied ones), minus the share of all people of the country, in [−1, 1]: above 0, the
                                 participants speak for this group rather than for the others
    profile_match_as_published   share of item × country in which the group has the largest *number* of people with the
                                 preferred option, in [0, 1]: Liu et al. 2025

The surprise: the published match counts heads, not rates, so that a large group wins nearly always and a small one
almost never, whatever the model answers. It is computed where the sizes of all groups are known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.records import Survey
from eval.panels import DEMOGRAPHICS
from eval.records import SCORE_COLUMNS, Estimate
from eval.representation import profile_match_as_published, representation_scores
from eval.summaries import summarise

GROUPS = "participants:groups"
GAPS = tuple(f"{axis}_gap" for axis in DEMOGRAPHICS)
TIED = 1e-12
LEVELS = ("fidelity", "preferred_share", "profile_match_as_published")


def group_answers(answers: pd.DataFrame, survey: Survey) -> pd.DataFrame:
    """The answers table of one reading, held against every group of people with one demographic stated.

    Adds `q_all`, the distribution of all people of the country, and `people`, how many the group has.
    """
    own = {(row["item"], row["country"]): row for row in answers.to_dict("records")}
    rows = []
    for found in survey.distributions:
        stated = [getattr(found.group, axis) for axis in DEMOGRAPHICS]
        row = own.get((found.item, found.group.country))
        if row is None or sum(map(bool, stated)) != 1:
            continue
        rows.append(
            row
            | dict(zip(DEMOGRAPHICS, stated, strict=True))
            | {"condition": GROUPS, "q_all": row["q"], "q": np.asarray(found.probabilities)}
            | {"n": found.n_effective, "people": float(found.n)}
        )
    return pd.DataFrame(rows)


def group_scores(answers: pd.DataFrame, survey: Survey) -> pd.DataFrame:
    """Unit scores of the measures of this module; empty where no group's people are known."""
    table = group_answers(answers, survey)
    if table.empty:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    near = representation_scores(table)
    rates = zip(table["p"], table["q"], table["q_all"], strict=True)
    more = [float((q - q_all)[p >= p.max() - TIED].mean()) for p, q, q_all in rates]
    share = table.assign(measure="preferred_share", value=more)
    frames = [near[near["measure"].isin(["fidelity", *GAPS])], share, *_matches(table)]
    return pd.concat(frames, ignore_index=True)[list(SCORE_COLUMNS)]


def _matches(table: pd.DataFrame) -> list[pd.DataFrame]:
    found = []
    for axis in DEMOGRAPHICS:
        stated = table[table[axis] != ""]
        for _, part in stated.groupby(["item", "country"], sort=True):
            if len(part) < 2 or not (part["people"] > 0).all():
                continue
            counts = np.stack(part["q"].to_list()) * part["people"].to_numpy()[:, None]
            match = profile_match_as_published(np.asarray(part["p"].iloc[0])[None], counts[None])
            found.append(part.assign(measure="profile_match_as_published", value=match))
    return found


def group_estimates(scores: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """Of each level ("age=18-29"), and of the gaps over all."""
    levels = scores[scores["measure"].isin(LEVELS)]
    by_level = [one for one in summarise(levels, rng, draws, by=DEMOGRAPHICS) if one.group != "all"]
    return [*by_level, *summarise(scores[scores["measure"].isin(GAPS)], rng, draws)]
