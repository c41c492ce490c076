"""The `answers` table as arrays over questions and countries, with what sampling noise adds taken out.

The table has one row a question and group: columns item, country, age, sex, education, condition, stratum, p (the
model's distribution), q (people's), n (people, effective; 0 or NaN where the source gives none) and optionally n_model
(answers behind p where p is itself a count). A *question* here is an item asked of one demographic: countries are
compared within it.

Noise, to second order (delta method; our design): a share estimated from n people has variance q (1 - q) / n, which
adds `1 / (4 n) * sum (1 - q) p / (p + q)` nats to the expected Jensen-Shannon divergence from p, over the observed
options; for two samples of one population this is (k - 1) / (4 n), for a sample and its population (k - 1) / (8 n).
Entropy is biased by -(k - 1) / (2 n) (Miller 1955). Without n nothing is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import FloatArray, distributions, entropy, js_divergence
from eval.survey_scores import MODE

DEMOGRAPHICS = ("age", "sex", "education")
ROW = ("item", "country", *DEMOGRAPHICS)
STRATUM_GROUPS = {"held_out": "all", "seen_items": "seen items", "later_wave": "later wave"}
STRATUM_OF = {group: stratum for stratum, group in STRATUM_GROUPS.items()}


def stratum_group(stratum: str) -> str:
    """The estimates' `group` of a whole stratum: "all" for held-out, "seen items" for seen_items, "later wave" for
    later_wave (item and country trained on, with answers of an earlier wave).
    """
    return STRATUM_GROUPS.get(stratum, stratum)


def sizes(table: pd.DataFrame, column: str) -> FloatArray:
    """Numbers of people or answers behind each row; infinite (no sampling noise) where unknown, 0 or not there."""
    if column not in table:
        return np.full(len(table), np.inf)
    n = table[column].to_numpy(dtype=np.float64)
    return np.where(n > 0, n, np.inf)


def js_noise(p: npt.ArrayLike, q: npt.ArrayLike, n: npt.ArrayLike) -> FloatArray:
    """What estimating q (..., k) from n people adds to the expected `js_divergence(p, q)`, in bits, shape (...)."""
    a, b = np.broadcast_arrays(distributions(p, "p"), distributions(q, "q"))
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(b > 0, (1 - b) * a / (a + b), 0.0)
    return np.asarray(terms.sum(axis=-1) / (4 * np.asarray(n, dtype=np.float64) * np.log(2)))


LEAST_COUNTRIES = 4


@dataclass(frozen=True)
class Panel:
    """G questions x C countries of one arm, condition and stratum; NaN where a country was not asked a question.

    `item_of` (G,) points into `items`. `model_spread` and `people_spread` (G, C, C) are Jensen-Shannon divergences in
    bits between countries, noise removed (the diagonal is NaN); `model_js` and `people_js` the raw ones. The entropies
    (G, C) are in nats, noise removed; `model_mode` and `people_mode` (G, C) are 1 where one option has over 0.9.
    """

    items: tuple[str, ...]
    countries: tuple[str, ...]
    item_of: npt.NDArray[np.int64]
    model_spread: FloatArray
    people_spread: FloatArray
    model_js: FloatArray
    people_js: FloatArray
    model_entropy: FloatArray
    people_entropy: FloatArray
    model_mode: FloatArray
    people_mode: FloatArray
    without_n: int

    @classmethod
    def of(cls, answers: pd.DataFrame) -> Panel:
        """From the rows of one condition and stratum. ValueError where a group is there twice or the table is empty."""
        if answers.empty:
            raise ValueError("no answers to make a panel of")
        if answers.duplicated([*ROW]).any():
            twice = answers.loc[answers.duplicated([*ROW]), [*ROW]].iloc[0].to_dict()
            raise ValueError(f"a group answers an item twice: {twice}")
        items = sorted(answers["item"].unique())
        countries = sorted(answers["country"].unique())
        questions = [part for _, part in answers.groupby(["item", *DEMOGRAPHICS], sort=True)]
        wide, square = (len(questions), len(countries)), (len(questions), len(countries), len(countries))
        model_spread, people_spread, model_js, people_js = (np.full(square, np.nan) for _ in range(4))
        model_entropy, people_entropy, model_mode, people_mode = (np.full(wide, np.nan) for _ in range(4))
        for g, part in enumerate(questions):
            at = np.searchsorted(countries, part["country"].to_numpy())
            pairs = np.ix_(np.array([g]), at, at)
            for column, count, spread, js, within, mode in (
                ("p", "n_model", model_spread, model_js, model_entropy, model_mode),
                ("q", "n", people_spread, people_js, people_entropy, people_mode),
            ):
                shares, n = np.stack(part[column].to_list()).astype(np.float64), sizes(part, count)
                between = js_divergence(shares[:, None], shares[None])
                noise = js_noise(shares[:, None], shares[None], n[None])
                single = column == "p" and "entropy" in part  # of the single orders, see survey_scores.average_orders
                own = part["entropy"].to_numpy(dtype=np.float64) if single else entropy(shares)
                within[g, at] = own + ((shares > 0).sum(axis=1) - 1) / (2 * n)
                mode[g, at] = part["mode"] if single else shares.max(axis=1) > MODE
                off = np.where(np.eye(len(at), dtype=bool), np.nan, between)
                js[pairs], spread[pairs] = off, off - noise - noise.T
        return cls(
            items=tuple(items),
            countries=tuple(countries),
            item_of=np.searchsorted(items, [part["item"].iloc[0] for part in questions]).astype(np.int64),
            model_spread=model_spread,
            people_spread=people_spread,
            model_js=model_js,
            people_js=people_js,
            model_entropy=model_entropy,
            people_entropy=people_entropy,
            model_mode=model_mode,
            people_mode=people_mode,
            without_n=int(np.isinf(sizes(answers, "n")).sum()),
        )


def widely_asked(answers: pd.DataFrame, least: int = LEAST_COUNTRIES) -> pd.DataFrame:
    """The rows of questions that at least `least` countries answered: one pair of countries says too little of the
    spread between countries to weigh as much as hundreds.
    """
    asked = answers.groupby(["item", *DEMOGRAPHICS])["country"].transform("nunique")
    return answers[asked >= least]
