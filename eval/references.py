"""What a distance is held against: no knowledge, knowledge of the item alone, and people asked again.

    uniform               every option equally likely
    other_countries_mean  the mean of the other countries' people (leave one country out)
    people_again          the floor: the distance between two samples of the same people. A model that states the
                          population's distribution exactly has no noise of its own and comes nearer: 1 / sqrt(2) of it

    earlier_wave          the same people asked years before (where training saw their answers of then)

`reference_scores` gives the first three as score rows (conditions `reference:…`) beside a model's own,
`earlier_wave_scores` the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import MEASURES, FloatArray, distributions, js_distance
from eval.panels import DEMOGRAPHICS
from eval.survey_scores import stacked, unit_scores

UNIT = ("stratum", "item", "country", *DEMOGRAPHICS)
_CHUNK = 4_000_000


def uniform(q: npt.ArrayLike) -> FloatArray:
    """The uniform distribution over the options of `q`, same shape (..., k)."""
    people = distributions(q, "q")
    return np.full_like(people, 1 / people.shape[-1])


def other_countries_mean(q: npt.ArrayLike) -> FloatArray:
    """For each of C countries the mean of the others' distributions, shape (C, k); NaN where there is one country."""
    people = distributions(q, "q")
    if people.ndim != 2:
        raise ValueError(f"q must have shape (countries, k), got {people.shape}")
    if len(people) == 1:
        return np.full_like(people, np.nan)
    rest = np.maximum(people.sum(axis=0) - people, 0)
    return np.asarray(rest / rest.sum(axis=-1, keepdims=True))


def people_again(
    q: npt.ArrayLike,
    n_people: npt.ArrayLike,
    n_model: npt.ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    distance: Callable[[FloatArray, FloatArray], FloatArray] = js_distance,
    draws: int = 500,
) -> FloatArray:
    """Expected distance of two independent multinomial samples from `q` (..., k): the floor, shape (...).

    The second sample has the size of the first (`n_people`), or `n_model` answers where the model's distribution is
    itself a count; `n_model = inf` stands for a model that states its distribution exactly. Sizes are rounded to whole
    people. NaN where a size is 0 or NaN. By simulation with `draws` pairs for each distinct (q, sizes).
    """
    return _floors(q, n_people, n_model, {"": distance}, rng, draws)[""]


def _floors(
    q: npt.ArrayLike,
    n_people: npt.ArrayLike,
    n_model: npt.ArrayLike | None,
    distances: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]],
    rng: np.random.Generator,
    draws: int,
) -> dict[str, FloatArray]:
    """`people_again` by several distances, all of the same samples."""
    people = distributions(q, "q")
    k, shape = people.shape[-1], people.shape[:-1]
    first = np.broadcast_to(np.asarray(n_people, dtype=np.float64), shape).reshape(-1)
    second = first if n_model is None else np.broadcast_to(np.asarray(n_model, dtype=np.float64), shape).reshape(-1)
    rows, inverse = np.unique(np.column_stack([people.reshape(-1, k), first, second]), axis=0, return_inverse=True)
    floors = {name: np.full(len(rows), np.nan) for name in distances}
    defined = np.flatnonzero((np.rint(rows[:, k]) >= 1) & (np.rint(rows[:, k + 1]) >= 1))
    step = max(1, _CHUNK // (draws * k))
    for start in range(0, len(defined), step):
        part = defined[start : start + step]
        shares = rows[part, :k] / rows[part, :k].sum(axis=1, keepdims=True)
        a, b = (_sample(shares, rows[part, k + side], draws, rng) for side in (0, 1))
        for name, distance in distances.items():
            floors[name][part] = distance(a, b).mean(axis=0)
    return {name: found[inverse.reshape(-1)].reshape(shape) for name, found in floors.items()}


def _sample(shares: FloatArray, sizes: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Shares of options in `draws` samples, shape (draws, rows, k); the shares themselves where a size is infinite."""
    finite = np.isfinite(sizes)
    whole = np.where(finite, np.rint(sizes), 1).astype(np.int64)
    sample = rng.multinomial(whole, shares, size=(draws, len(shares))) / whole[:, None]
    return np.where(finite[:, None], sample, shares)


def skill(model: float, other_countries: float) -> float:
    """`1 - d(model) / d(other_countries_mean)`: 1 perfect, 0 as good as knowing the item alone; NaN if undefined."""
    return float(1 - model / other_countries) if other_countries > 0 else float("nan")


def attained(model: float, uniform_distance: float, floor: float) -> float:
    """`(d(uniform) - d(model)) / (d(uniform) - d(people_again))`: the attained share of what can be attained; NaN if
    none.
    """
    room = uniform_distance - floor
    return float((uniform_distance - model) / room) if room > 0 else float("nan")


def reference_scores(
    answers: pd.DataFrame,
    measures: Sequence[str],
    *,
    rng: np.random.Generator,
    people: pd.DataFrame | None = None,
    draws: int = 500,
) -> pd.DataFrame:
    """Score rows of the three reference conditions, one for each measure, stratum, item and group of `answers`.

    `people` holds the distributions that `other_countries_mean` may average (columns item, country, age, sex,
    education, q; default: those of `answers`). Undefined scores (no other country, no n, a measure that needs an
    order on a nominal item) are left out. If `answers` has a column `n_model`, `people_again` uses it.
    """
    table = answers.drop_duplicates([*UNIT]).reset_index(drop=True)
    pool = table if people is None else people
    frames = []
    for _, block in table.groupby("item", sort=True):
        q = np.stack(block["q"].to_list()).astype(np.float64)
        others = _other_means(block, pool[pool["item"] == block["item"].iloc[0]])
        known = np.isfinite(others).all(axis=1)
        people_n = block["n"].to_numpy(dtype=np.float64)
        sizes = block["n_model"].to_numpy(dtype=np.float64) if "n_model" in block else None
        distances = {name: bound for name in measures if (bound := _bound(name, block)) is not None}
        floors = _floors(q, people_n, sizes, distances, rng, draws)
        for name, distance in distances.items():
            values = {"uniform": distance(uniform(q), q), "other_countries_mean": np.full(len(q), np.nan)}
            if known.any():
                values["other_countries_mean"][known] = distance(others[known], q[known])
            values["people_again"] = floors[name]
            for reference, score in values.items():
                rows = block[[*UNIT, "n"]].assign(measure=name, condition=f"reference:{reference}", value=score)
                frames.append(rows[np.isfinite(score)])
    return stacked(frames)


def earlier_wave_scores(answers: pd.DataFrame, earlier: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Score rows of `reference:earlier_wave`: the distance of what a group's people answered before (`earlier`, columns
    item, country, age, sex, education, q) to what they answer now, on the units of `answers` that are there.
    """
    group = ["item", "country", *DEMOGRAPHICS]
    before = earlier[[*group, "q"]].rename(columns={"q": "p"})
    units = answers.drop_duplicates([*UNIT]).drop(columns="p").merge(before, on=group)
    scores = unit_scores(units.assign(condition="reference:earlier_wave"), measures)
    return scores[scores["measure"].isin(measures)]


def _bound(name: str, block: pd.DataFrame) -> Callable[[FloatArray, FloatArray], FloatArray] | None:
    """The measure as a function of p and q alone; None where it is undefined for the item."""
    function, needs_positions = MEASURES[name]
    if not needs_positions:
        return function
    positions = block["positions"].iloc[0]
    if positions is None or not block["ordered"].iloc[0]:
        return None
    return lambda p, q: function(p, q, positions)


def _other_means(block: pd.DataFrame, pool: pd.DataFrame) -> FloatArray:
    """For each row of one item the mean distribution of the pool's other countries in the same demographic group."""
    means = np.full((len(block), len(block["q"].iloc[0])), np.nan)
    groups = {key: part.drop_duplicates("country") for key, part in pool.groupby(list(DEMOGRAPHICS))}
    rows = block.reset_index(drop=True)
    for key, own in rows.groupby(list(DEMOGRAPHICS)):
        if key not in groups:
            continue
        q, there = np.stack(groups[key]["q"].to_list()).astype(np.float64), groups[key]["country"].to_numpy()
        other = (own["country"].to_numpy()[:, None] != there).astype(np.float64)
        some = other.any(axis=1)
        means[own.index[some]] = other[some] @ q / other[some].sum(axis=1, keepdims=True)
    return means
