"""Does the model know the country, or only the item? The persona control: the country in the prompt made another one.

    shuffled_persona    (a condition) the distance of the answers given for *other* countries to this country's people
    country_knowledge   js_distance shuffled minus as asked, a unit: what naming the right country brings. 0 for a model
                        that does not look at the country, for people themselves the mean distance between countries;
                        under 0 the right country is answered worse than a wrong one

Departure: instead of drawing one wrong country a prompt, the expectation over all the other countries that were asked
the same item is taken from the answers that are there: the mean of d(p_c', q_c) over c' other than c. It needs no
prompts and adds no sampling noise. Intervals resample items and countries c; that the same answers serve as wrong ones
for each other is not resampled anew. Our design.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.distances import MEASURES, FloatArray
from eval.first_token.asking import NOBODY, manner_of
from eval.panels import DEMOGRAPHICS
from eval.survey_scores import DISTANCES, UNIT, stacked

SHUFFLED = "shuffled_persona"


def knowledge_scores(answers: pd.DataFrame, measures: Sequence[str] = DISTANCES) -> pd.DataFrame:
    """Unit scores (`SCORE_COLUMNS`): `measures` under the condition `shuffled_persona` (of the condition "country"),
    and `country_knowledge` under every condition that names a country. Items of one country give none.
    """
    named = answers[[manner_of(condition)[0] != NOBODY for condition in answers["condition"]]]
    frames = []
    for key, block in named.groupby(["condition", "stratum", "item", *DEMOGRAPHICS], sort=True):
        if len(block) < 2:
            continue
        wanted = measures if key[0] == "country" else []
        for measure in dict.fromkeys([*wanted, "js_distance"]):
            pairs = _all_pairs(measure, block)
            if pairs is None:
                continue
            others = np.where(np.eye(len(block), dtype=bool), 0.0, pairs).sum(axis=0) / (len(block) - 1)
            rows = block[[*UNIT, "n"]]
            if measure in wanted:
                frames.append(rows.assign(measure=measure, condition=SHUFFLED, value=others))
            if measure == "js_distance":
                frames.append(rows.assign(measure="country_knowledge", value=others - np.diagonal(pairs)))
    return stacked(frames)


def _all_pairs(measure: str, block: pd.DataFrame) -> FloatArray | None:
    """Row: whose answer; column: whose people. None where the measure needs an order that the item has not."""
    function, needs_positions = MEASURES[measure]
    p, q = (np.stack(block[name].to_list()).astype(np.float64) for name in ("p", "q"))
    if not needs_positions:
        return np.asarray(function(p[:, None], q[None]))
    if not block["ordered"].iloc[0]:
        return None
    return np.asarray(function(p[:, None], q[None], block["positions"].iloc[0]))
