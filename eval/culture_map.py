"""A map of people and models in one space: classical MDS on Jensen-Shannon distances between countries' answers.

Every arm's countries and the people's are points; two points are as far apart as their answers to the questions that
both have, on average. [DEF] and the Inglehart-Welzel map inspired it; the method is our design.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from eval.distances import js_distance
from eval.panels import DEMOGRAPHICS
from eval.structure import classical_mds, complete, mean_distances

PEOPLE = "people"


def culture_map(
    answers: Mapping[str, pd.DataFrame], condition: str = "country", stratum: str = "held_out"
) -> dict[str, Any]:
    """`{"stress": float, "points": [{"arm", "country", "x", "y"}]}` from each arm's answers table; "people" is an arm.

    Points that share no question with another one are left out, those with most gaps first. Fewer than three points:
    no points and NaN stress.
    """
    tables = {arm: t[(t["condition"] == condition) & (t["stratum"] == stratum)] for arm, t in answers.items()}
    rows = [table.assign(arm=arm, shares=table["p"]) for arm, table in tables.items()]
    if tables:
        people = pd.concat(tables.values()).drop_duplicates(["item", "country", *DEMOGRAPHICS])
        rows.insert(0, people.assign(arm=PEOPLE, shares=people["q"]))
    table = pd.concat(rows) if rows else pd.DataFrame(columns=["arm", "country"])
    points = list(dict.fromkeys(zip(table["arm"], table["country"], strict=True)))
    if len(points) < 3:
        return {"stress": float("nan"), "points": []}
    number = {point: index for index, point in enumerate(points)}
    distances = []
    for _, part in table.groupby(["item", *DEMOGRAPHICS], sort=True):
        at = [number[point] for point in zip(part["arm"], part["country"], strict=True)]
        shares = np.stack(part["shares"].to_list()).astype(np.float64)
        matrix = np.full((len(points), len(points)), np.nan)
        matrix[np.ix_(at, at)] = js_distance(shares[:, None], shares[None])
        distances.append(matrix)
    mean = mean_distances(np.stack(distances))
    keep = complete(mean)
    if len(keep) < 3:
        return {"stress": float("nan"), "points": []}
    places, stress = classical_mds(mean[np.ix_(keep, keep)])
    return {
        "stress": stress,
        "points": [
            {"arm": points[index][0], "country": points[index][1], "x": float(x), "y": float(y)}
            for index, (x, y) in zip(keep, places, strict=True)
        ],
    }
