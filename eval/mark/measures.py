"""What MARK's traces are worth: estimates with intervals from the table of decisions (one row a respondent x item).

Intervals resample respondents (`eval.mark.resamples`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.records import Group, Survey
from eval.bootstrap import effective
from eval.distances import FloatArray, js_distance
from eval.mark.resamples import Resamples
from eval.records import PERSON, SCORE_COLUMNS, Estimate

CONDITIONS = {"mark": "p", "demographics_only": "p_demographics_only", "reference:no_person": "p_no_person"}
_STRATUM = "held_out"


def accuracy_estimates(items: pd.DataFrame, again: Resamples) -> list[Estimate]:
    """Accuracy of MARK and of each baseline, MARK's gain over each (paired by respondent and item), the probability
    given to the person's own answer, and kappa; all held against the respondents' own answers.

    These describe the sample, in which every stratum has about the same number of people. `accuracy_weighted` is for
    the people: weighted by survey weight over inclusion probability (Hajek 1971), the share of the respondents of the
    held-out part who would be predicted right.
    """
    who, weights = items["respondent"].tolist(), items["design_weight"].tolist()
    rows = {
        "mark": "accuracy",
        "demographics_only": "accuracy_demographics_only",
        "reference:no_person": "accuracy_no_person",
        "reference:majority_of_country": "accuracy_majority",
        "reference:random": "accuracy_random",
    }
    made = [again.mean("accuracy", condition, who, items[column].tolist()) for condition, column in rows.items()]
    made += [
        again.mean("accuracy_weighted", condition, who, items[column].tolist(), weights=weights)
        for condition, column in rows.items()
    ]
    for condition, column in list(rows.items())[1:]:
        gain = (items["accuracy"] - items[column]).tolist()
        against = f"mark - {condition.removeprefix('reference:')}"
        made.append(again.mean("accuracy_gain", against, who, gain, least=-1.0))
    for condition, column in CONDITIONS.items():
        made.append(again.mean("probability_of_answer", condition, who, _own_answer(items, column)))
        made.append(_kappa(items, [int(np.argmax(p)) for p in items[column]], condition, again))
    uniform = [1 / len(p) for p in items["p"]]
    return [*made, again.mean("probability_of_answer", "reference:random", who, uniform)]


def _kappa(items: pd.DataFrame, predicted: Sequence[int], condition: str, again: Resamples) -> Estimate:
    """Cohen's kappa over items that differ in their options: observed minus chance agreement summed over items, over
    one minus chance summed likewise, each item with its number of people (its own kappa where there is one item).
    """
    gained: FloatArray | float = 0.0
    room: FloatArray | float = 0.0
    for _, rows in items.assign(predicted=predicted).groupby("item", sort=True):
        k = len(rows["options"].iloc[0])
        one, two = (np.eye(k)[rows[name].to_numpy()] for name in ("human", "predicted"))
        hit = (rows["human"] == rows["predicted"]).to_numpy(dtype=np.float64)
        total, drawn = again.sums(rows["respondent"].tolist(), np.column_stack([np.ones(len(rows)), hit, one, two]))
        table = np.vstack([total, drawn])
        n = table[:, 0]
        chance = (table[:, 2 : 2 + k] * table[:, 2 + k :]).sum(axis=1) / np.where(n > 0, n, 1)
        gained, room = gained + table[:, 1] - chance, room + n - chance
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = np.where(np.asarray(room) > 1e-9, np.asarray(gained) / np.asarray(room), np.nan)
    low, high = again.interval(kappa[1:], items["respondent"].tolist(), least=-1.0)
    n_all = len(items) if np.isfinite(kappa[0]) else 0
    return Estimate("cohen_kappa", "all", condition, float(kappa[0]), low, high, n_all, again.method + "; by item")


def aggregate_table(items: pd.DataFrame, survey: Survey, least: int) -> tuple[pd.DataFrame, int]:
    """One row a condition x item x country whose people are known: `p` the mean prediction over the sampled
    respondents, weighted by design so that it speaks for the country as `q`, its people, do; and the number of item x
    country left out.

    Left out are those without a known distribution and those with fewer than `least` sampled respondents: predictions
    for two persons, however right, are no distribution of a country.
    """
    rows, unknown = [], 0
    for (item, country), part in items.groupby(["item", "country"], sort=True):
        people = survey.people.get((str(item), Group(str(country))))
        if people is None or len(part) < least:
            unknown += 1
            continue
        record = survey.by_id[str(item)]
        rows += [
            {
                "condition": condition,
                "stratum": _STRATUM,
                "item": item,
                "country": country,
                **dict.fromkeys(("age", "sex", "education"), ""),
                "p": np.average(np.stack(part[column].to_list()), axis=0, weights=part["design_weight"]),
                "q": np.asarray(people.probabilities),
                "n": people.n_effective,
                "n_model": effective(part["design_weight"].to_numpy()),
                "ordered": record.ordered,
                "positions": record.scale,
            }
            for condition, column in CONDITIONS.items()
        ]
    return pd.DataFrame(rows), unknown


def distance_estimates(items: pd.DataFrame, aggregate: pd.DataFrame, again: Resamples) -> list[Estimate]:
    """`js_distance` of the mean prediction to people, mean over item x country, by condition.

    A resampled mean lies further from people than the sample's: replicates are shifted by their mean excess.
    """
    made = []
    for condition, column in CONDITIONS.items():
        cells = aggregate[aggregate["condition"] == condition] if len(aggregate) else aggregate
        if cells.empty:
            continue
        values, who = [], []
        for cell in cells.itertuples():
            part = items[(items["item"] == cell.item) & (items["country"] == cell.country)]
            weights = part["design_weight"].to_numpy()[:, None]
            stacked = weights * np.stack(part[column].to_list())
            who += part["respondent"].tolist()
            total, drawn = again.sums(part["respondent"].tolist(), np.column_stack([weights, stacked]))
            table = np.vstack([total, drawn])
            there = table[:, 0] > 0
            distance = np.full(len(table), np.nan)
            distance[there] = js_distance(table[there, 1:] / table[there, :1], np.asarray(cell.q))
            values.append(distance)
        stacked = np.vstack(values)
        defined = ~np.isnan(stacked)
        sums = np.where(defined, stacked, 0).sum(axis=0)
        mean = np.where(defined.any(axis=0), sums / np.maximum(defined.sum(axis=0), 1), np.nan)
        low, high = np.clip(again.interval(mean[1:] - (np.nanmean(mean[1:]) - mean[0]), who), 0.0, 1.0)
        method = again.method + "; mean over item x country; the bias of resampling a distance is taken out"
        made.append(
            Estimate("js_distance", "all", condition, float(mean[0]), float(low), float(high), len(cells), method)
        )
    return made


def scores_table(items: pd.DataFrame, aggregate: pd.DataFrame) -> pd.DataFrame:
    """The units that comparisons pair: accuracy and the probability of the own answer by item and respondent (column
    PERSON), so that a difference of arms is that of their estimates; and `js_distance` by item x country.
    """
    parts = []
    for measure, value in _unit_measures(items).items():
        for condition, column in value.items():
            units = items[["item", "country", "age", "sex", "education"]].assign(value=column, measure=measure, n=1.0)
            parts.append(units.assign(condition=condition, stratum=_STRATUM, **{PERSON: items["respondent"]}))
    scores = pd.concat(parts, ignore_index=True)
    if len(aggregate):
        distance = [float(js_distance(p, q)) for p, q in zip(aggregate["p"], aggregate["q"], strict=True)]
        cells = aggregate.assign(measure="js_distance", value=distance, **{PERSON: ""})
        scores = pd.concat([scores, cells], ignore_index=True)
    return scores[[*SCORE_COLUMNS, PERSON]]


def _unit_measures(items: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    return {
        "accuracy": {
            "mark": items["accuracy"].tolist(),
            "demographics_only": items["accuracy_demographics_only"].tolist(),
            "reference:no_person": items["accuracy_no_person"].tolist(),
        },
        "probability_of_answer": {name: _own_answer(items, column) for name, column in CONDITIONS.items()},
    }


def _own_answer(items: pd.DataFrame, column: str) -> list[float]:
    """The probability that the distributions in `column` give to each person's own answer."""
    return [float(p[answer]) for p, answer in zip(items[column], items["human"], strict=True)]
