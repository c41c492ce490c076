"""From answers to scores: a model's and people's distributions side by side, item by item and group by group.

The `answers` table is shared by the audits that ask survey items. Columns: item, country, age, sex, education,
condition, stratum, p (k,) the model's, q (k,) the people's, n (people, effective), ordered, positions, option_mass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.distances import MEASURES, entropy
from eval.records import SCORE_COLUMNS

GROUP = ("country", "age", "sex", "education")
UNIT = ("item", *GROUP, "condition", "stratum")
DISTANCES = ("js_distance", "total_variation", "emd", "kl_people_model", "top1_agreement")


def average_orders(items: pd.DataFrame) -> pd.DataFrame:
    """The answers table from per-order evidence: `p` averaged over the orders in which an item was asked."""
    rows = []
    for key, part in items.groupby([*UNIT], sort=True):
        first = part.iloc[0]
        rows.append(
            dict(zip(UNIT, key, strict=True))
            | {
                "p": np.mean(np.stack(part["p"].to_list()), axis=0),
                "option_mass": float(part["option_mass"].mean()),
                **{name: first[name] for name in ("q", "n", "ordered", "positions") if name in part},
            }
        )
    return pd.DataFrame(rows)


def unit_scores(answers: pd.DataFrame, measures: Sequence[str] = DISTANCES) -> pd.DataFrame:
    """One row a measure and unit (columns `SCORE_COLUMNS`); undefined units (emd of a nominal item) are left out.

    Beside the distances: `entropy` of the model's answers (nats) and `option_mass`.
    """
    frames = []
    for _, block in answers.groupby("item", sort=True):
        p, q = (np.stack(block[name].to_list()).astype(np.float64) for name in ("p", "q"))
        values = {"entropy": entropy(p), "option_mass": block["option_mass"].to_numpy(dtype=np.float64)}
        for name in measures:
            function, needs_positions = MEASURES[name]
            if not needs_positions:
                values[name] = function(p, q)
            elif block["ordered"].iloc[0]:
                values[name] = function(p, q, block["positions"].iloc[0])
        for name, value in values.items():
            frames.append(block[[*UNIT, "n"]].assign(measure=name, value=value))
    if not frames:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    return pd.concat(frames, ignore_index=True)[list(SCORE_COLUMNS)]


def position_scores(items: pd.DataFrame) -> pd.DataFrame:
    """How far the answer depends on where an option stands, a row a unit (columns `SCORE_COLUMNS`).

    Mean total variation between each order's answer and the mean over orders, as a share of what a model that always
    takes the first place would have: 0 if the order never matters, 1 for that model. Our design. Items asked in one
    order give no unit.
    """
    rows = []
    for key, part in items.groupby([*UNIT], sort=True):
        if len(part) > 1:
            p = np.stack(part["p"].to_list())
            moved = np.abs(p - p.mean(axis=0)).sum(axis=1).mean() / 2
            first = np.bincount([order[0] for order in part["order"]]) / len(part)
            value = float(moved / (1 - (first**2).sum()))
            rows.append(
                dict(zip(UNIT, key, strict=True)) | {"measure": "position_effect", "value": value, "n": len(part)}
            )
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
