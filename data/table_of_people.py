"""A survey as a table: one row a person, one column an item; and what is made of it, distributions and respondents.

Rows are never turned into objects unless asked for: the World Values Survey waves hold 333,000 answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.records import AGE_BANDS, AnswerDistribution, Group, Item, Respondent

GROUPINGS = ("country", "country+age", "country+sex", "country+education")
_PEOPLE = ("id", "country", "year", "weight", "age", "sex", "education")


@dataclass(frozen=True)
class TableOfPeople:
    """Three frames with the same rows.

    `people`: id, country (alpha-3), year (text), weight (> 0), and the group labels age (one of AGE_BANDS), sex
    (female, male) and education (text), "" = unknown.
    `features`: readable demographics as text, "" = unknown.
    `answers`: int8, the index of the chosen option by item id, -1 = no substantive answer.
    `excluded`: reason → count of what the loader left out.
    """

    people: pd.DataFrame
    features: pd.DataFrame
    answers: pd.DataFrame
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.people.columns) != _PEOPLE:
            raise ValueError(f"people must have the columns {list(_PEOPLE)}, got {list(self.people.columns)}")
        if not len(self.people) == len(self.features) == len(self.answers):
            sizes = [len(self.people), len(self.features), len(self.answers)]
            raise ValueError(f"people, features and answers must have the same rows, got {sizes}")
        weight = self.people["weight"].to_numpy(float)
        if not (np.isfinite(weight) & (weight > 0)).all():
            raise ValueError("survey weights must be positive and finite")


def make_table(
    *,
    ids: Sequence[Any] | pd.Series,
    country: str | pd.Series,
    year: str | pd.Series,
    answers: Mapping[str, pd.Series],
    weight: pd.Series | float = 1.0,
    age: pd.Series | None = None,
    sex: pd.Series | str = "",
    education: pd.Series | str = "",
    features: Mapping[str, pd.Series] | None = None,
    excluded: Mapping[str, int] | None = None,
) -> TableOfPeople:
    """A `TableOfPeople` from columns; age (in years), sex (female, male) and education also become features."""
    index = pd.RangeIndex(len(ids))
    text: dict[str, Any] = {}
    if age is not None:
        text["age"] = age.map("{:.0f}".format, na_action="ignore")
    said = sex.map({"female": "woman", "male": "man"}) if isinstance(sex, pd.Series) else sex
    text |= {"sex": said, "education": education, **(features or {})}
    columns = {name: _bare(values) for name, values in text.items() if not isinstance(values, str)}
    people = pd.DataFrame(
        {
            "id": _bare(ids),
            "country": _bare(country),
            "year": _bare(year),
            "weight": _bare(weight),
            "age": "" if age is None else age_band(age),
            "sex": _bare(sex),
            "education": _bare(education),
        },
        index=index,
    )
    people[["sex", "education"]] = people[["sex", "education"]].fillna("")
    return TableOfPeople(
        people=people,
        features=pd.DataFrame(columns, index=index, dtype=object).fillna(""),
        answers=pd.DataFrame({item: _bare(values) for item, values in answers.items()}, index=index, dtype=np.int8),
        excluded=excluded or {},
    )


def _bare(values: Any) -> Any:
    return values.array if isinstance(values, pd.Series) else values


def age_band(age: pd.Series) -> npt.NDArray[np.object_]:
    """The band of AGE_BANDS for ages in years, "" where unknown. Surveys from age 15 on: the first band takes them."""
    years = age.to_numpy(float, na_value=np.nan)
    young, middle, old = AGE_BANDS
    return np.select([years < 30, years < 50, years >= 50], [young, middle, old], default="").astype(object)


def distributions(
    table: TableOfPeople, items: Sequence[Item], groups: Sequence[str], min_n: int
) -> tuple[list[AnswerDistribution], Counter[str]]:
    """Weighted answer distributions for every item × group of each grouping in `groups`, and what was left out.

    A group needs `min_n` people with a substantive answer; smaller ones are counted under their reason.
    """
    made: list[AnswerDistribution] = []
    excluded: Counter[str] = Counter()
    weight = table.people["weight"].to_numpy(float)
    years, year_names = pd.factorize(table.people["year"], sort=True)
    for grouping in groups:
        codes, keys = _group_codes(table.people, grouping)
        for item in items:
            answer = table.answers[item.id].to_numpy()
            rows = (answer >= 0) & (codes >= 0)
            code, chosen, w = codes[rows], answer[rows].astype(np.int64), weight[rows]
            n = np.bincount(code, minlength=len(keys))
            shape = (len(keys), len(item.options))
            mass = np.bincount(code * shape[1] + chosen, weights=w, minlength=shape[0] * shape[1]).reshape(shape)
            squares = np.bincount(code, weights=w**2, minlength=len(keys))
            first, last = np.full(len(keys), len(year_names)), np.zeros(len(keys), dtype=np.int64)
            np.minimum.at(first, code, years[rows])
            np.maximum.at(last, code, years[rows])
            for g in np.flatnonzero(n):
                if n[g] < min_n:
                    excluded[f"groups of fewer than {min_n} people ({grouping})"] += 1
                    continue
                total = mass[g].sum()
                span = dict.fromkeys((str(year_names[first[g]]), str(year_names[last[g]])))
                made.append(
                    AnswerDistribution(
                        item=item.id,
                        group=keys[g],
                        probabilities=tuple((mass[g] / total).tolist()),
                        n=int(n[g]),
                        n_effective=float(total**2 / squares[g]),
                        year="-".join(span),
                    )
                )
    return made, excluded


def _group_codes(people: pd.DataFrame, grouping: str) -> tuple[npt.NDArray[np.int64], list[Group]]:
    """Group number of each row (-1 where a label is unknown) and the groups, sorted."""
    if grouping not in GROUPINGS:
        raise ValueError(f"unknown grouping {grouping!r}: expected one of {', '.join(GROUPINGS)}")
    columns = grouping.split("+")
    codes = np.zeros(len(people), dtype=np.int64)
    unknown = np.zeros(len(people), dtype=bool)
    for column in columns:
        values, names = pd.factorize(people[column], sort=True)
        codes = codes * len(names) + values
        unknown |= (people[column] == "").to_numpy()
    used, dense = np.unique(codes, return_inverse=True)
    first = people.iloc[np.unique(codes, return_index=True)[1]][columns]
    keys = [Group(**{str(k): str(v) for k, v in row.items()}) for row in first.to_dict("records")]
    return np.where(unknown, -1, dense.reshape(-1)), keys[: len(used)]


def respondents(table: TableOfPeople, prefix: str, per_country: int, rng: np.random.Generator) -> list[Respondent]:
    """At most `per_country` people of each country who answered something, as records with ids `"prefix-id"`.

    An equal-probability sample without replacement, stratified implicitly: people sorted by age band, sex and education
    (at random within those), then every (N / per_country)-th from a random start. Weights come along unchanged.
    """
    people = table.people[(table.answers >= 0).any(axis=1)].copy()
    people["tie"] = rng.random(len(people))
    people = people.sort_values(["country", "age", "sex", "education", "tie"])
    rows: list[int] = []
    for _, block in people.groupby("country", sort=True, observed=True):
        step = max(1.0, len(block) / per_country)
        places = np.floor(rng.random() * step + step * np.arange(min(per_country, len(block)))).astype(int)
        rows += block.index[np.minimum(places, len(block) - 1)].tolist()
    picked = people.loc[rows]
    made = []
    for row, person in zip(rows, picked.to_dict("records"), strict=True):
        given, features = table.answers.loc[row].to_dict(), table.features.loc[row].to_dict()
        made.append(
            Respondent(
                id=f"{prefix}-{person['id']}",
                group=Group(person["country"], person["age"], person["sex"], person["education"]),
                features={str(name): str(value) for name, value in features.items() if value != ""},
                answers={str(item): int(index) for item, index in given.items() if index >= 0},
                weight=float(person["weight"]),
            )
        )
    return made
