"""How much an answer depends on how the question was put: the persona's style, and the language.

    persona_distance    js_distance between the answers that a model gives to one item for one group in two styles
    language_distance   the same between two languages

Both in [0, 1], 0 where the manner does not matter. Under a condition ("country"): the mean over all pairs of styles (or
languages), the main one among them; where there are more than two also under bracketed ones ("country (portrayal)"):
between that and the main one. Held beside the distance to people it says whether a difference between arms could be one
of wording. Our design; that answers move with the persona's format is Santurkar et al. 2023 (OpinionQA).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.personas import PERSONAS
from eval.distances import js_distance
from eval.first_token.asking import NOBODY, manner_of
from eval.panels import DEMOGRAPHICS
from eval.survey_scores import stacked

_KEYS = ["stratum", "item", "country", *DEMOGRAPHICS]


def manner_scores(answers: pd.DataFrame) -> pd.DataFrame:
    """Unit scores (`SCORE_COLUMNS`); units that were not asked in all the styles (languages) compared are left out.
    `n` is the number of answers compared.
    """
    said: dict[str, dict[str, pd.Series]] = {}
    for condition, part in answers.groupby("condition", sort=False):
        base, manner = manner_of(str(condition))
        if base == NOBODY:  # one answer an item, whatever country it was held against
            part = part.drop_duplicates("item").assign(country="")
        said.setdefault(base, {})[manner] = part.set_index(_KEYS)["p"]
    frames = []
    for base, found in said.items():
        for measure, known in (("persona_distance", True), ("language_distance", False)):
            further = [manner for manner in found if manner and (manner in PERSONAS) == known]
            if not further or "" not in found:
                continue
            frames.append(_mean_distance([found[manner] for manner in ("", *further)], measure, base))
            if len(further) > 1:
                frames += [_mean_distance([found[""], found[one]], measure, f"{base} ({one})") for one in further]
    return stacked(frames)


def _mean_distance(said: Sequence[pd.Series], measure: str, condition: str) -> pd.DataFrame:
    """Mean over pairs of answers, on the units that all have."""
    both = pd.concat([one.rename(str(index)) for index, one in enumerate(said)], axis=1, join="inner")
    values = [
        float(np.mean([js_distance(first, second) for first, second in itertools.combinations(row, 2)]))
        for row in both.itertuples(index=False)
    ]
    rows = both.reset_index()[_KEYS]
    return rows.assign(measure=measure, condition=condition, value=values, n=float(len(said)))
