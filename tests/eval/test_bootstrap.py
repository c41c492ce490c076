from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from eval.bootstrap import (
    Units,
    cluster_counts,
    level_counts,
    mean_interval,
    paired,
    paired_interval,
    percentile_interval,
)
from eval.records import SCORE_COLUMNS


def scores(rows: list[tuple[str, str, float]], **more: object) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["item", "country", "value"])
    fixed = {
        "measure": "m",
        "condition": "country",
        "stratum": "held_out",
        "age": "",
        "sex": "",
        "education": "",
        "n": 1.0,
    }
    return table.assign(**fixed)[list(SCORE_COLUMNS)].assign(**more)


def grid(items: int, countries: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=items)[:, None] + rng.normal(size=countries) + rng.normal(size=(items, countries))
    return scores(
        [(f"i{i}", f"C{c}", table[i, c]) for i, c in itertools.product(range(items), range(countries)) if (i + c) % 5]
    )


def plain_replicate(table: pd.DataFrame, items: dict[str, int], countries: dict[str, int]) -> float:
    total = count = 0.0
    for row in table.itertuples():
        weight = items[row.item] * countries[row.country]
        total += weight * row.value
        count += weight
    return total / count


def test_fast_replicates_equal_the_plain_definition() -> None:
    table, rng = grid(6, 7), np.random.default_rng(1)
    units = Units.of(table)
    items, countries = cluster_counts(6, 40, rng), cluster_counts(7, 40, rng)
    fast = units.replicates(items, countries, np.ones((40, 1)))
    slow = [
        plain_replicate(table, dict(zip(units.items, i, strict=True)), dict(zip(units.countries, c, strict=True)))
        for i, c in zip(items, countries, strict=True)
    ]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_interval_equals_a_slow_resampling_of_rows() -> None:
    table, rng = grid(5, 6), np.random.default_rng(2)
    wide = {key: part["value"].to_numpy() for key, part in table.groupby(["item", "country"])}
    slow = []
    for _ in range(4000):
        items, countries = rng.integers(5, size=5), rng.integers(6, size=6)
        drawn = [wide.get((f"i{i}", f"C{c}"), np.empty(0)) for i in items for c in countries]
        slow.append(np.concatenate(drawn).mean())
    found = mean_interval(table, np.random.default_rng(3), draws=4000)
    assert found.value == pytest.approx(table["value"].mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(slow, [0.025, 0.975]).tolist(), abs=0.08)
    assert found.n == len(table)
    assert found.method == "bootstrap over 5 items and 6 countries"


def test_cluster_counts_are_resamples() -> None:
    counts = cluster_counts(4, 20_000, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 4).all()
    assert counts.mean(axis=0) == pytest.approx([1, 1, 1, 1], abs=0.03)
    assert (counts[:, 0] == 0).mean() == pytest.approx(0.75**4, abs=0.01)
    assert (cluster_counts(1, 3, np.random.default_rng(0)) == 1).all()


def test_one_item_one_country_and_one_unit() -> None:
    rng = np.random.default_rng(0)
    one_item = mean_interval(scores([("i", "A", 1.0), ("i", "B", 3.0)]), rng, 2000)
    assert (one_item.value, one_item.low, one_item.high) == (2.0, 1.0, 3.0)
    assert "2 countries; one item" in one_item.method
    no_country = mean_interval(scores([("i", "", 1.0), ("j", "", 3.0)]), rng, 2000)
    assert (no_country.low, no_country.high) == (1.0, 3.0)
    assert "2 items; one country" in no_country.method
    alone = mean_interval(scores([("i", "A", 5.0)]), rng)
    assert alone.value == 5
    assert np.isnan([alone.low, alone.high]).all()
    nothing = mean_interval(scores([]), rng)
    assert nothing.n == 0
    assert np.isnan(nothing.value)


def test_undefined_scores_are_refused_and_infinite_ones_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        mean_interval(scores([("i", "A", np.nan), ("j", "B", 1.0)]), rng)
    infinite = mean_interval(scores([("i", "A", np.inf), ("j", "B", 1.0)]), rng)
    assert infinite.value == np.inf
    assert np.isnan(infinite.low)


def test_percentile_interval_leaves_undefined_replicates_out() -> None:
    assert percentile_interval(np.array([np.nan, *np.linspace(0, 1, 41)])) == pytest.approx((0.025, 0.975))
    assert np.isnan(percentile_interval(np.array([np.nan, 0.0, 1.0]))).all()  # a third undefined: no interval


def test_paired_difference_is_on_common_units_and_narrower_than_unpaired() -> None:
    first, rng = grid(12, 12), np.random.default_rng(4)
    noise = rng.normal(scale=0.01, size=len(first))
    second = first.assign(value=first["value"] - 0.5 + noise)
    found = paired_interval(first.iloc[3:], second.iloc[:-2], rng, 2000)
    assert found.n == len(first) - 5
    assert found.value == pytest.approx(0.5 - noise[3:-2].mean())
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.03
    assert mean_interval(first, rng, 2000).high - mean_interval(first, rng, 2000).low > 0.5
    assert paired_interval(first, second.assign(measure="other"), rng).n == 0


def test_a_unit_that_is_there_twice_is_refused() -> None:
    table = scores([("i", "A", 1.0), ("i", "A", 2.0)])
    with pytest.raises(ValueError, match=r"a unit is there twice.*'item': 'i'"):
        paired(table, table, np.random.default_rng(0))


def test_seeds_widen_the_interval() -> None:
    base = grid(20, 20)
    cells = [base.assign(value=base["value"] + shift, seed=seed, draw=0) for seed, shift in enumerate((-1.0, 0.0, 1.0))]
    one = mean_interval(cells[1], np.random.default_rng(0), 2000)
    three = mean_interval(pd.concat(cells), np.random.default_rng(0), 2000)
    assert three.value == pytest.approx(one.value)
    assert three.n == one.n
    assert three.high - three.low > 1.2 * (one.high - one.low)
    assert "3 training seeds" in three.method
    # The base has one cell: its difference to each of the others keeps their spread.
    difference = paired_interval(pd.concat(cells), base.assign(seed=0, draw=0), np.random.default_rng(0), 2000)
    assert difference.value == pytest.approx(0)
    assert (difference.low, difference.high) == pytest.approx((-1, 1), abs=0.4)
    same = paired_interval(pd.concat(cells), pd.concat(cells), np.random.default_rng(0), 200)
    assert (same.low, same.high) == pytest.approx((0, 0))


def test_level_counts_cross_seeds_and_draws() -> None:
    levels = [(0, 0), (0, 1), (1, 0), (1, 1)]
    counts = level_counts(levels, 500, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 4).all()
    np.testing.assert_array_equal(counts[:, 0] * counts[:, 3], counts[:, 1] * counts[:, 2])
    unbalanced = level_counts([(0, 0), (1, 1)], 500, np.random.default_rng(0))
    assert (unbalanced.sum(axis=1) > 0).all()


def test_the_same_generator_gives_the_same_interval() -> None:
    table = grid(6, 6)
    assert mean_interval(table, np.random.default_rng(9)) == mean_interval(table, np.random.default_rng(9))
    assert mean_interval(table, np.random.default_rng(9)).low != mean_interval(table, np.random.default_rng(8)).low


@pytest.mark.slow
def test_coverage_of_the_two_way_bootstrap() -> None:
    """30 items x 30 countries, both random with standard deviation 1, and noise of 1: 93 to 97% of intervals cover."""
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(2000):
        values = rng.normal(size=30)[:, None] + rng.normal(size=30) + rng.normal(size=(30, 30))
        found = mean_interval(
            pd.DataFrame(
                {
                    "item": np.repeat(np.arange(30), 30).astype(str),
                    "country": np.tile(np.arange(30), 30).astype(str),
                    "value": values.reshape(-1),
                }
            ),
            rng,
            1000,
        )
        hits.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.97
