"""The second, optional table: our answers in the measures of published tables, to be put beside these.

`one_minus_js_as_published` and `emd_as_published` are what the evaluation code of Cao et al. 2025 (2502.07068) has;
`accuracy_as_published` is the share of units whose most probable option is people's (that code has none). What is the
same: the probabilities of the option tokens at the first position, normalised. What is not, so that a difference of a
few hundredths from a published row says nothing: the prompts, the surveys, and that our answers are averaged over
orders of the options.

None of these is among the scores, so that no comparison and no verdict can rest on them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eval.first_token.asking import HELD_OUT
from eval.records import Estimate
from eval.references import reference_scores
from eval.summaries import summarise
from eval.survey_scores import unit_scores

PUBLISHED = ("one_minus_js_as_published", "accuracy_as_published", "emd_as_published")


def published_estimates(
    answers: pd.DataFrame, people: pd.DataFrame, rng: np.random.Generator, draws: int
) -> list[Estimate]:
    """The three measures for every condition and stratum, for the condition "country" also by country, and the
    reference rows on its units (no accuracy of an even answer: it has no most probable option).
    """
    scores = unit_scores(answers, PUBLISHED)
    scores = scores[scores["measure"].isin(PUBLISHED)]
    named = scores["condition"] == "country"
    references = reference_scores(answers[answers["condition"] == "country"], PUBLISHED, rng=rng, people=people)
    even = (references["condition"] == "reference:uniform") & (references["measure"] == "accuracy_as_published")
    references = references[~even & (references["stratum"] == HELD_OUT)]
    return [
        *summarise(scores[~named], rng, draws),
        *summarise(scores[named], rng, draws, by=("country",)),
        *summarise(references, rng, draws),
    ]
