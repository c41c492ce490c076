"""The interval with the items held fixed: by hand, its coverage, and where it has nothing to say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from eval.bootstrap import mean_interval
from eval.these_items import on_these_items
from eval.units import Units


def scores(values: dict[tuple[str, str], float], **levels: int) -> pd.DataFrame:
    rows = [{"item": item, "country": country, "value": value} for (item, country), value in values.items()]
    return pd.DataFrame(rows).assign(age="", sex="", education="", measure="m", condition="c", stratum="s", **levels)


def test_it_is_the_t_interval_over_countries_where_items_are_alike() -> None:
    rng = np.random.default_rng(0)
    countries = [f"C{number:02}" for number in range(40)]
    effects = rng.normal(0, 1, len(countries))
    both = {(item, c): effect + shift for c, effect in zip(countries, effects, strict=True) for item, shift in SHIFTS}
    low, high = on_these_items([Units.of(scores(both))], [1.0], rng, 10_000)
    value = effects.mean() + np.mean([shift for _, shift in SHIFTS])
    half = student.ppf(0.975, 39) * effects.std(ddof=1) / np.sqrt(40)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.03)


SHIFTS = (("a", 0.0), ("b", 5.0), ("c", -3.0))


def test_items_far_apart_do_not_widen_it_but_widen_the_other() -> None:
    rng = np.random.default_rng(1)
    noise = {(item, f"C{c}"): rng.normal(0, 0.1) for item, _ in SHIFTS for c in range(12)}
    table = scores({(item, c): value + dict(SHIFTS)[item] for (item, c), value in noise.items()})
    low, high = on_these_items([Units.of(table)], [1.0], rng, 4000)
    plain = on_these_items([Units.of(scores(noise))], [1.0], np.random.default_rng(2), 4000)
    assert high - low == pytest.approx(plain[1] - plain[0], rel=0.1)
    whole = mean_interval(table, rng, 4000)
    assert whole.high - whole.low > 20 * (high - low)


def test_a_difference_without_two_countries_in_any_item_has_none() -> None:
    table = scores({("a", "C1"): 0.1, ("b", "C2"): 0.4, ("c", "C3"): -0.2})
    assert np.isnan(on_these_items([Units.of(table)], [1.0], np.random.default_rng(0), 100)).all()


def test_seeds_of_an_arm_widen_it() -> None:
    rng = np.random.default_rng(3)
    base = {(item, f"C{c}"): rng.normal(0, 0.01) for item in "ab" for c in range(10)}
    cells = [scores({k: v + shift for k, v in base.items()}, seed=s, draw=0) for s, shift in enumerate((0, 0.5, 1.0))]
    low, high = on_these_items([Units.of(pd.concat(cells))], [1.0], rng, 4000)
    half = student.ppf(0.975, 2) * 0.5 / np.sqrt(3)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_it_covers() -> None:
    """Unequal items, as in the shipped surveys: two asked widely, four in one country each."""
    places = [("a", c) for c in range(23)] + [("b", c) for c in range(6, 31)] + [(item, 40) for item in "cdef"]
    hits, rng = 0, np.random.default_rng(4)
    for _ in range(300):
        country = rng.normal(0, 1, 41)
        values = {(i, f"C{c}"): 0.0 if c == 40 else country[c] + rng.normal(0, 0.5) for i, c in places}
        low, high = on_these_items([Units.of(scores(values))], [1.0], rng, 500)
        hits += low <= 0 <= high
    assert 0.91 <= hits / 300 <= 0.985
