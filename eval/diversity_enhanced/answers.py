"""What the participants of a country answered, as an `answers` table: the preference distribution of each item.

Two readings of the same interviews:

    participants            shares of their answers: the published measure
    participants:expected   the mean of the distributions that the answers were drawn from: without that sampling noise,
                            but chance still enters by what was remembered (`noise_of_memories`). By choice only

A greedy participant's distribution has all on its answer. An answer that could not be read is in no share.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eval.distances import FloatArray
from eval.diversity_enhanced.participants import PARTICIPANTS
from eval.diversity_enhanced.replies import UNPARSED
from eval.panels import DEMOGRAPHICS

EXPECTED_SUFFIX = ":expected"
EXPECTED = PARTICIPANTS + EXPECTED_SUFFIX
TINY = 1e-12
_PEOPLE = ("q", "n", "ordered", "positions")
COLUMNS = ("item", "country", *DEMOGRAPHICS, "condition", "stratum", "p", "n_model", "option_mass", *_PEOPLE)


def preference_answers(items: pd.DataFrame, condition: str = PARTICIPANTS) -> pd.DataFrame:
    """The answers table of the readings that there are of one condition; only item × country with people and answers.

    `n_model` is the number of answers behind shares; for the expected reading the number of answers that would be as
    noisy as chance memories make the mean distribution, infinite where they make none. `option_mass` is, of written
    replies, the share that names one option.
    """
    asked = items[items["condition"] == condition]
    rows = []
    for item, part in asked.groupby("item", sort=True):
        noise = noise_of_memories(part) if "p" in part and part["remembered"].any() else 0.0
        for country, own in part[part["q"].notna()].groupby("country", sort=True):
            known = own[own["answer"] != UNPARSED]
            if known.empty:
                continue
            first = known.iloc[0]
            shares = np.bincount(known["answer"], minlength=len(first["q"])) / len(known)
            mass = own["option_mass"].mean() if "p" in own else len(known) / len(own)
            readings = [(condition, shares, float(len(known)))]
            if "p" in own:
                mean = opinions(own).mean(axis=0)
                as_noisy = float((mean * (1 - mean)).sum() / (noise / len(own))) if noise > TINY else float("inf")
                readings.append((condition + EXPECTED_SUFFIX, mean, max(as_noisy, 1.0)))
            rows += [
                {"item": item, "country": country, **dict.fromkeys(DEMOGRAPHICS, ""), "condition": reading}
                | {"stratum": "held_out", "p": p, "n_model": n_model, "option_mass": mass}
                | {name: first[name] for name in _PEOPLE}
                for reading, p, n_model in readings
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def opinions(answered: pd.DataFrame) -> FloatArray:
    """What each row's answer was drawn from, (rows, k): the option distribution, or 1 on the answer where it was not
    drawn (written or greedy). The rows are of one item, and answered.
    """
    given: FloatArray = np.eye(len(answered["options"].iloc[0]))[answered["answer"].to_numpy(dtype=np.int64)]
    if "p" not in answered:
        return given
    greedy = answered["greedy"].to_numpy(dtype=bool)[:, None]
    return np.where(greedy, given, np.stack(answered["p"].to_list()).astype(np.float64))


def noise_of_memories(asked: pd.DataFrame) -> float:
    """Variance of one participant's distribution, summed over options, that neither country nor number explains.

    The residual mean square of an additive two-way layout, country + participant number, of one item: participants
    of one number see the same order, so what is left is what each one's own memory adds (and what country and order
    do only together, so that it is rather too large). 0 with fewer than two countries or participants a country.
    """
    number = asked["participant"].str.rpartition("-")[2].to_numpy()
    degrees = (asked["country"].nunique() - 1) * (len(set(number)) - 1)
    if degrees == 0:
        return 0.0
    p = pd.DataFrame(opinions(asked), index=asked.index)
    residual = p - p.groupby(asked["country"]).transform("mean") - p.groupby(number).transform("mean") + p.mean()
    return float((residual**2).to_numpy().sum() / degrees)
