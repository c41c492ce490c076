"""Measures of the participants themselves, an item × country a unit: how many opinions and wordings there are, whether
places decide, and how many replies cannot be read.

    response_diversity        distinct answers among the participants, in [1, k]; people: `expected_distinct`
    response_diversity_ratio  that over what as many people give on average; 1 is as people
    order_effect              mean probability of the option shown first, less the mean probability of the same option
                              over all participants, in [−1, 1]: 0 for a model that does not look at places
    unparsed_rate             share of written replies that name no option or several, in [0, 1]
    disclaimer_rate           share of written replies in which a machine speaks, in [0, 1]
    wording_diversity         distinct explanations over explanations, after normalisation, in (0, 1]
    wording_distance          1 − words in common over words in either (Jaccard), mean over pairs of explanations *of
                              the same answer*, in [0, 1]: wordings apart from opinions

Response diversity is the idea of Liu et al. 2025; these formulas are our design, since a count of distinct strings
says nothing of how different they are, and explanations of different answers differ for that reason alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from eval.distances import FloatArray
from eval.diversity_enhanced.answers import EXPECTED, opinions
from eval.diversity_enhanced.participants import PARTICIPANTS
from eval.diversity_enhanced.replies import UNPARSED
from eval.records import SCORE_COLUMNS

PEOPLE = "reference:people_again"


def expected_distinct(q: FloatArray, people: int) -> float:
    """How many distinct answers so many people of distribution `q` (k,) give on average, in [1, k]: Σ 1 − (1 −
    q)^people.
    """
    return float((1 - (1 - q) ** people).sum())


def words(text: str) -> tuple[str, ...]:
    """A text's words: lower case, without punctuation. A script without spaces gives one word a sign."""
    return tuple(re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W_]+", text.casefold()))


def wording_diversity(texts: Sequence[str]) -> float:
    """Distinct texts over texts, both as `words`; NaN with fewer than two."""
    return len({words(text) for text in texts}) / len(texts) if len(texts) > 1 else float("nan")


def wording_distance(texts: Sequence[str], answers: Sequence[int]) -> float:
    """Mean over pairs of texts of the same answer of 1 − |A ∩ B| / |A ∪ B|, A and B their sets of words; NaN without
    such a pair.
    """
    known = [(answer, set(words(text))) for answer, text in zip(answers, texts, strict=True)]
    pairs = [(a, b) for (one, a), (other, b) in combinations(known, 2) if one == other and a | b]
    return float(np.mean([1 - len(a & b) / len(a | b) for a, b in pairs])) if pairs else float("nan")


def diversity_scores(items: pd.DataFrame, condition: str = PARTICIPANTS) -> pd.DataFrame:
    """`response_diversity` and its ratio of one condition, with the row of people, where both answered."""
    rows = []
    asked = items[(items["condition"] == condition) & items["q"].notna() & (items["answer"] != UNPARSED)]
    for (item, country), part in asked.groupby(["item", "country"], sort=True):
        q = np.asarray(part["q"].iloc[0], dtype=np.float64)
        distinct, people = float(part["answer"].nunique()), expected_distinct(q, len(part))
        for measure, named, value in (
            ("response_diversity", condition, distinct),
            ("response_diversity", PEOPLE, people),
            ("response_diversity_ratio", condition, distinct / people),
        ):
            rows.append((measure, named, "held_out", item, country, "", "", "", value, float(len(part))))
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def participant_scores(items: pd.DataFrame) -> pd.DataFrame:
    """The measures of this module as unit scores (`SCORE_COLUMNS`); the order effect of choices is that of their
    distributions (EXPECTED). What is undefined in a unit gives none; only response diversity needs people who were
    asked the same.
    """
    asked = items[items["condition"] == PARTICIPANTS]
    found = []
    for (item, country), part in asked.groupby(["item", "country"], sort=True):
        for (measure, condition), (value, n) in _of_unit(part).items():
            found.append((measure, condition, "held_out", item, country, "", "", "", value, float(n)))
    table = pd.DataFrame(found, columns=list(SCORE_COLUMNS)).dropna(subset="value")
    return pd.concat([diversity_scores(items), table], ignore_index=True)


def _of_unit(part: pd.DataFrame) -> dict[tuple[str, str], tuple[float, int]]:
    known = part[part["answer"] != UNPARSED]
    written = "reply" in part
    found = {}
    if len(known):
        condition = PARTICIPANTS if written else EXPECTED
        found["order_effect", condition] = (_order_effect(known), len(known))
    if written:
        found["unparsed_rate", PARTICIPANTS] = (float((part["answer"] == UNPARSED).mean()), len(part))
        found["disclaimer_rate", PARTICIPANTS] = (float(part["disclaimer"].mean()), len(part))
        said = known[known["explanation"] != ""]
        texts, answers = said["explanation"].to_list(), said["answer"].to_list()
        found["wording_diversity", PARTICIPANTS] = (wording_diversity(texts), len(said))
        found["wording_distance", PARTICIPANTS] = (wording_distance(texts, answers), len(said))
    return found


def _order_effect(known: pd.DataFrame) -> float:
    each = np.stack(known["p"].to_list()).astype(np.float64) if "p" in known else opinions(known)
    first = [order[0] for order in known["order"]]
    return float((each[np.arange(len(first)), first] - each.mean(axis=0)[first]).mean())
