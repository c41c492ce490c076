"""From answers to scores: a model's and people's distributions side by side, item by item and group by group.

The `answers` table is shared by the audits that ask survey items. Columns: item, country, age, sex, education,
condition, stratum, p (k,) the model's, q (k,) the people's, n (people, effective), ordered, positions, option_mass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import MEASURES, FloatArray, entropy
from eval.records import SCORE_COLUMNS

GROUP = ("country", "age", "sex", "education")
UNIT = ("item", *GROUP, "condition", "stratum")
MODE = 0.9
OF_ORDERS = ("option_mass", "entropy", "mode")
DISTANCES = ("js_distance", "total_variation", "emd", "kl_people_model", "top1_agreement")


def average_orders(items: pd.DataFrame) -> pd.DataFrame:
    """The answers table from per-order evidence: `p` averaged over the orders in which an item was asked.

    `entropy` (nats) and `mode` (share with over MODE on one option) are those of the single orders, averaged: a model
    that always takes the first place is certain each time, and no more divided than it was asked in orders.
    """
    rows = []
    for key, part in items.groupby([*UNIT], sort=True):
        first = part.iloc[0]
        rows.append(
            dict(zip(UNIT, key, strict=True))
            | {
                "p": np.mean(np.stack(part["p"].to_list()), axis=0),
                "entropy": float(entropy(np.stack(part["p"].to_list())).mean()),
                "mode": float(np.mean([max(p) > MODE for p in part["p"]])),
                "option_mass": float(part["option_mass"].mean()),
                **{name: first[name] for name in ("q", "n", "ordered", "positions") if name in part},
            }
        )
    return pd.DataFrame(rows)


def unit_scores(answers: pd.DataFrame, measures: Sequence[str] = DISTANCES) -> pd.DataFrame:
    """One row a measure and unit (columns `SCORE_COLUMNS`); undefined units (emd of a nominal item) are left out.

    Beside the distances: `entropy` of the model's answers (nats; of the single orders where known) and `option_mass`.
    """
    frames = []
    for _, block in answers.groupby("item", sort=True):
        p, q = (np.stack(block[name].to_list()).astype(np.float64) for name in ("p", "q"))
        spread = block["entropy"].to_numpy(dtype=np.float64) if "entropy" in block else entropy(p)
        values = {"entropy": spread, "option_mass": block["option_mass"].to_numpy(dtype=np.float64)}
        for name in measures:
            function, needs_positions = MEASURES[name]
            if not needs_positions:
                values[name] = function(p, q)
            elif block["ordered"].iloc[0]:
                values[name] = function(p, q, block["positions"].iloc[0])
        for name, value in values.items():
            frames.append(block[[*UNIT, "n"]].assign(measure=name, value=value))
    return stacked(frames)


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Score rows one below the other (columns `SCORE_COLUMNS`); empty parts say nothing of types."""
    there = [frame for frame in frames if len(frame)]
    if not there:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    return pd.concat(there, ignore_index=True)[list(SCORE_COLUMNS)]


def order_effect(p: FloatArray, orders: npt.NDArray[np.int64]) -> float:
    """How far the answer depends on where an option stands: 0 if never, 1 for a model that always takes one place.

    `p` (m, k) are the answers in m orders, each in the item's own option order, and `orders[i, j]` is the option shown
    at place j. Mean total variation from the mean over orders, over the largest that any one place gives. Our design.
    NaN where that is 0 (one order).
    """
    most = max(_from_mean(np.eye(p.shape[1])[orders[:, place]]) for place in range(p.shape[1]))
    return _from_mean(p) / most if most > 0 else float("nan")


def _from_mean(p: FloatArray) -> float:
    return float(np.abs(p - p.mean(axis=0)).sum(axis=1).mean() / 2)


def position_scores(items: pd.DataFrame) -> pd.DataFrame:
    """`order_effect` a unit (columns `SCORE_COLUMNS`); items asked in one order give none."""
    rows = []
    for key, part in items.groupby([*UNIT], sort=True):
        if len(part) > 1:
            value = order_effect(np.stack(part["p"].to_list()), np.stack(part["order"].to_list()))
            rows.append(
                dict(zip(UNIT, key, strict=True)) | {"measure": "position_effect", "value": value, "n": len(part)}
            )
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
