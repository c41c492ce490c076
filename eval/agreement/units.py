"""From what the audits left on disk to units with a position on a value axis: the evidence of `eval.agreement.axes`.

A *source* is one way of asking: (audit, condition, group). Survey questions are asked with nobody or a country stated
(`first_token`), of simulated participants (`def`) and for respondents (`mark`); choices are those of `edc`. Positive
controls, other conditions and demographic groups below the country do not enter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from data.dilemmas.corpus import VALUES
from data.value_axes import Axis, ValueAxes
from eval.cells import Arm
from eval.dilemmas.measures import preferences
from eval.dilemmas.questions import ALONE
from eval.distances import FloatArray
from eval.diversity_enhanced.answers import opinions
from eval.diversity_enhanced.participants import PARTICIPANTS
from eval.diversity_enhanced.replies import UNPARSED
from eval.mark.decisions import DECIDED
from eval.outer_levels import Level
from eval.panels import DEMOGRAPHICS, stratum_group
from eval.units import Units

WORDINGS = "wordings"
FITTED = "fitted"
PEOPLE = "reference:people"
AUDITS = ("first_token", "def", "mark", "edc")


class Source(NamedTuple):
    """`group` is "all" for held-out units, "seen items" or "later wave" for the other strata of `first_token`."""

    audit: str
    condition: str
    group: str = "all"


@dataclass(frozen=True)
class Evidence:
    """What one arm answered: `answers` by source, each with a row a cell, item, country and `who` ("" where an answer
    is nobody's own: columns seed, draw, item, country, who, p, and q, people's shares or the person's own answer as
    one); `choices` with a row a cell and dilemma (seed, draw, dilemma, value_0, value_1, alone, wordings: P(action 0)).
    `scales` are the items' positions (None: nominal). `missing` are the audits that were not run.
    """

    answers: Mapping[Source, pd.DataFrame]
    choices: pd.DataFrame
    scales: Mapping[str, tuple[float, ...] | None]
    missing: tuple[str, ...]

    @property
    def homes(self) -> dict[str, str]:
        """The respondents' countries."""
        rows = self.answers.get(Source("mark", DECIDED))
        return {} if rows is None else dict(zip(rows["who"], rows["country"], strict=True))

    @classmethod
    def of(cls, arm: Arm) -> Evidence:
        """Read from the arm's finished cells. An audit that some of them lack counts as not run."""
        answers: dict[Source, list[pd.DataFrame]] = {}
        choices: list[pd.DataFrame] = []
        scales: dict[str, tuple[float, ...] | None] = {}
        for cell in arm.cells:
            names = {"seed": cell.seed, "draw": cell.draw}
            for audit in (one for one in AUDITS if one in arm.audits):
                frame = _asked(cell.items(audit))
                if frame.empty:
                    continue
                if audit == "edc":
                    choices.append(_choices(frame).assign(**names))
                    continue
                if audit != "mark":
                    scales |= {
                        str(item): tuple(float(one) for one in place) if isinstance(place, np.ndarray) else None
                        for item, place in frame.drop_duplicates("item")[["item", "positions"]].to_numpy()
                    }
                for source, part in _READERS[audit](frame).items():
                    answers.setdefault(source, []).append(part.assign(**names))
        absent = tuple(audit for audit in AUDITS if audit not in arm.audits)
        tables = {source: pd.concat(parts, ignore_index=True) for source, parts in answers.items()}
        return cls(tables, pd.concat(choices, ignore_index=True) if choices else pd.DataFrame(), scales, absent)


def _asked(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are no positive control and have an answer."""
    if frame.empty:
        return frame
    frame = frame[~frame["condition"].str.startswith("control:")]
    if "p" in frame:
        frame = frame[[p is not None and bool(np.isfinite(p).all()) for p in frame["p"]]]
    return frame


def _first_token(frame: pd.DataFrame) -> dict[Source, pd.DataFrame]:
    """The mean over the orders of options, by condition and stratum."""
    plain = frame[(frame[list(DEMOGRAPHICS)] == "").all(axis=1) & frame["condition"].isin(["none", "country"])]
    found = {}
    for (condition, stratum), part in plain.groupby(["condition", "stratum"], sort=True):
        rows = [
            {"item": item, "country": country, "who": "", "p": np.stack(rows["p"].to_list()).mean(axis=0)}
            | {"q": rows["q"].iloc[0]}
            for (item, country), rows in part.groupby(["item", "country"], sort=True)
        ]
        found[Source("first_token", str(condition), stratum_group(str(stratum)))] = pd.DataFrame(rows)
    return found


def _participants(frame: pd.DataFrame) -> dict[Source, pd.DataFrame]:
    """What each participant's answer was drawn from, or the answer itself where it was written."""
    asked = frame[(frame["condition"] == PARTICIPANTS) & (frame["answer"] != UNPARSED)]
    parts = [part.assign(p=list(opinions(part))) for _, part in asked.groupby("item", sort=True)]
    if not parts:
        return {}
    rows = pd.concat(parts).rename(columns={"participant": "who"})
    return {Source("def", PARTICIPANTS): rows[["item", "country", "who", "p", "q"]]}


def _respondents(frame: pd.DataFrame) -> dict[Source, pd.DataFrame]:
    rows = frame[frame["condition"] == DECIDED]
    part = rows[["item", "country", "respondent", "p", "human"]].rename(columns={"respondent": "who"})
    own = [np.eye(len(p))[int(human)] for p, human in zip(part["p"], part["human"], strict=True)]
    return {Source("mark", DECIDED): part.assign(q=own).drop(columns="human")} if len(part) else {}


_READERS: Mapping[str, Callable[[pd.DataFrame], dict[Source, pd.DataFrame]]] = {
    "first_token": _first_token,
    "def": _participants,
    "mark": _respondents,
}


def _choices(frame: pd.DataFrame) -> pd.DataFrame:
    """P(action 0) asked plainly, and the mean over all wordings, by dilemma."""
    table = preferences(frame)
    worded = [ALONE, *(name for name in table.columns if name.startswith("wording:"))]
    values = frame.groupby("dilemma")[["value_0", "value_1"]].first()
    found = values.assign(**{ALONE: table[ALONE], WORDINGS: table[worded].mean(axis=1)})
    return found.dropna(subset=[ALONE, WORDINGS]).reset_index()


def placed(
    answers: pd.DataFrame, axis: Axis, axes: ValueAxes, scales: Mapping[str, tuple[float, ...] | None], column: str
) -> pd.DataFrame:
    """`answers` on the axis with a column `value`, the expected position of `column` ("p" or "q") in [-1, 1]; rows
    without it are left out.
    """
    linked = {item for item, link in axes.links.items() if axis.name in (link.axis, link.value)}
    rows = answers[answers["item"].isin(linked & scales.keys()) & answers[column].notna()]
    values = [
        np.nan if (places := axes.toward(axis, item, len(p), scales[item])) is None else float(np.dot(p, places))
        for item, p in zip(rows["item"], rows[column], strict=True)
    ]
    return rows.assign(value=np.asarray(values, dtype=np.float64)).dropna(subset="value")


def decided(choices: pd.DataFrame, axis: Axis, condition: str) -> pd.DataFrame:
    """The dilemmas whose two values lie on the two poles, with `value` = 2 P(action of the first pole) - 1."""
    sides = np.array([[axis.side(one) for one in choices[name]] for name in ("value_0", "value_1")]).reshape(2, -1)
    across = sides[0] * sides[1] < 0
    value = (2 * choices[condition].to_numpy(dtype=np.float64) - 1) * sides[0]
    return choices.assign(value=value, item=choices["dilemma"], country="")[across]


def unit_table(rows: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """The mean `value` by cell, item and cluster (a column of `rows`), of the units that every cell has."""
    if rows.empty:
        return pd.DataFrame()
    table = rows.groupby(["seed", "draw", "item", cluster], sort=True)["value"].mean()
    wide = table.unstack(["seed", "draw"]).dropna()
    return pd.DataFrame(wide)


def units_of(table: pd.DataFrame, known: bool = True) -> Units:
    """Units in which each item counts alike, however many countries or people were asked it, from a `unit_table`;
    `known` says that its columns are cells.
    """
    item, items = pd.factorize(table.index.get_level_values(0), sort=True)
    cluster, clusters = pd.factorize(table.index.get_level_values(1), sort=True)
    weight = 1 / np.bincount(item)[item]
    levels: Sequence[Level] = tuple((int(seed), int(draw)) for seed, draw in table.columns)
    counts, sums = (np.zeros((len(levels), len(items), len(clusters))) for _ in range(2))
    counts[:, item, cluster] = weight
    sums[:, item, cluster] = weight * table.to_numpy(dtype=np.float64).T
    return Units(sums, counts, tuple(map(str, items)), tuple(map(str, clusters)), tuple(levels), known)


def choice_matrix(choices: pd.DataFrame, known: Sequence[str]) -> tuple[pd.DataFrame, FloatArray]:
    """Dilemmas of two `known` values that every cell decided: a frame (dilemma, value_0, value_1) and P(action 0) over
    all wordings, (cells, dilemmas), the cells in the order of (seed, draw).
    """
    rows = choices[choices["value_0"].isin(list(known)) & choices["value_1"].isin(list(known))]
    keys = ["dilemma", "value_0", "value_1"]
    wide = rows.set_index([*keys, "seed", "draw"])[WORDINGS].unstack(["seed", "draw"]).sort_index(axis=1).dropna()
    return wide.index.to_frame(index=False), wide.to_numpy(dtype=np.float64).T


def on_no_axis(
    evidence: Mapping[str, Evidence], axes: ValueAxes, scales: Mapping[str, tuple[float, ...] | None]
) -> Counter[str]:
    """Items and dilemmas asked of some arm that stand on no axis, by reason, each once."""
    found: Counter[str] = Counter()
    asked = {
        (str(item), len(p))
        for one in evidence.values()
        for answers in one.answers.values()
        for item, p in answers.drop_duplicates("item")[["item", "p"]].to_numpy()
    }
    for item, options in asked:
        link = axes.links.get(item)
        if link is None:
            found["items without a link to an axis"] += 1
        elif item not in scales:
            found["items of unknown scale: asked in mark alone"] += 1
        elif link.toward(options, scales[item]) is None:
            found["nominal items without positions"] += 1
    dilemmas = {
        str(row["dilemma"]): (row["value_0"], row["value_1"])
        for one in evidence.values()
        for row in one.choices.to_dict("records")
    }
    for first, second in dilemmas.values():
        if first not in VALUES or second not in VALUES:
            found["dilemmas of values other than the ten"] += 1
            continue
        for axis in axes.axes:
            if axis.side(first) * axis.side(second) >= 0:
                found[f"dilemmas not between the poles of {axis.name}: in its fitted position alone"] += 1
    return found
