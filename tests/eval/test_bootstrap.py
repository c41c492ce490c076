from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind

from eval.bootstrap import (
    Resampled,
    cluster_counts,
    describe,
    mean_interval,
    paired,
    percentile_interval,
    widened,
    widening,
)
from eval.outer_levels import between_cells, describe_levels, outer_noise
from eval.records import SCORE_COLUMNS
from eval.two_way import two_way
from eval.units import Units


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


def plain_mean(table: pd.DataFrame, times: dict[str, dict[str, float]]) -> float:
    """The mean over cells of the mean of rows that count as often as their item or country does."""
    cells = []
    for _, cell in table.groupby(["seed", "draw"]):
        total = count = 0.0
        for row in cell.to_dict("records"):
            weight = 1.0
            for name, of in times.items():
                weight *= of[row[name]]
            total += weight * row["value"]
            count += weight
        cells.append(total / count)
    return sum(cells) / len(cells)


def plain_replicates(first: pd.DataFrame, second: pd.DataFrame, draws: int, seed: int) -> list[float]:
    """The definition, in loops: both deviations, stretched, added, shrunk; without noise between cells."""
    rng = np.random.default_rng(seed)
    value = plain_mean(first, {}) - plain_mean(second, {})
    replicates = [value] * draws
    for name in ("item", "country"):
        clusters = sorted(first[name].unique())
        sizes = [int((first[name] == one).sum()) for one in clusters]
        n = sum(sizes) ** 2 / sum(size**2 for size in sizes)
        stretch = (n / (n - 1)) ** 0.5 * student.ppf(0.975, n - 1) / 1.959963984540054
        counts = cluster_counts(len(clusters), draws, rng)
        for b in range(draws):
            times = {name: dict(zip(clusters, counts[b], strict=True))}
            moved = plain_mean(first, times) - plain_mean(second, times) - value
            replicates[b] += stretch * moved
    units: dict[tuple[str, str], float] = dict.fromkeys(zip(first["item"], first["country"], strict=True), 0.0)
    for sign, table in ((1, first), (-1, second)):
        cells = [cell for _, cell in table.groupby(["seed", "draw"])]
        for cell in cells:
            for row in cell.to_dict("records"):
                share = (row["value"] - cell["value"].mean()) / len(cell) / len(cells)
                units[row["item"], row["country"]] += sign * share
    sides = []
    for place in (0, 1):
        names = sorted({key[place] for key in units})
        sums = [sum(share for key, share in units.items() if key[place] == name) for name in names]
        sides.append(sum(one**2 for one in sums) * len(names) / (len(names) - 1))
    once = max(sum(sides) - sum(share**2 for share in units.values()), *sides) / sum(sides)
    return [value + (replicate - value) * once**0.5 for replicate in replicates]


def test_fast_replicates_equal_the_plain_definition() -> None:
    """Unequal clusters, three cells against one, the same counts."""
    base = grid(5, 4)
    rng = np.random.default_rng(1)
    cells = [base.assign(value=rng.normal(size=len(base)), seed=seed, draw=0) for seed in range(3)]
    first, second = pd.concat(cells), base.assign(seed=0, draw=0)
    slow = plain_replicates(first, second, 25, seed=7)
    rng = np.random.default_rng(7)
    resampled = Resampled.of([Units.of(first), Units.of(second)], 25, rng)
    between = outer_noise([arm.cells for arm in resampled.arms], [1.0, -1.0], 25, np.random.default_rng(3))
    fast = resampled.replicates([1.0, -1.0], np.random.default_rng(3))
    assert between.std() > 0.01
    np.testing.assert_allclose(fast - between, slow, rtol=0, atol=1e-12)


def test_interval_of_many_clusters_equals_a_slow_resampling_of_rows() -> None:
    """With strong items and countries and little noise of units, the pigeonhole bootstrap of rows says the same."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=40)[:, None] + rng.normal(size=40) + 0.3 * rng.normal(size=(40, 40))
    table = scores([(f"i{i:02}", f"C{c:02}", values[i, c]) for i, c in itertools.product(range(40), range(40))])
    slow = [values[np.ix_(rng.integers(40, size=40), rng.integers(40, size=40))].mean() for _ in range(4000)]
    found = mean_interval(table, np.random.default_rng(3), draws=4000)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(slow, [0.025, 0.975]).tolist(), abs=0.06)
    assert found.n == 1600
    assert found.method == "bootstrap over 40 items and 40 countries"


def test_stretched_percentiles_of_six_clusters_cover_as_they_should() -> None:
    rng, covered = np.random.default_rng(0), np.zeros(2)
    for _ in range(600):
        replicates = cluster_counts(6, 400, rng) @ rng.normal(size=6) / 6
        bounds = [percentile_interval(one) for one in (replicates, widened(replicates, 6))]
        covered += [low <= 0 <= high for low, high in bounds]
    plain, stretched = covered / 600  # standard error of 94%: 1 point
    assert plain < 0.90
    assert 0.91 < stretched < 0.975
    assert np.isnan(widened(np.array([np.nan, 1.0, 3.0]), 9)).tolist() == [True, False, False]


def test_widening_is_students_t() -> None:
    assert widening(2) == pytest.approx(2**0.5 * 12.7062 / 1.95996, rel=1e-5)
    assert widening(31) == pytest.approx((31 / 30) ** 0.5 * 2.04227 / 1.95996, rel=1e-5)
    assert widening(1e6) == pytest.approx(1, abs=1e-5)
    assert widening(1.1) == widening(2)
    # One-way, normal means: the stretched percentiles are those of the t-test.
    x = np.random.default_rng(0).normal(size=12)
    found = mean_interval(scores([(f"i{i:02}", "A", value) for i, value in enumerate(x)]), np.random.default_rng(1))
    exact = ttest_1samp(x, 0).confidence_interval()
    assert (found.high - found.low) / (exact.high - exact.low) == pytest.approx(1, abs=0.05)


def test_two_way_variances_by_hand() -> None:
    table = np.array([[2.0, 0.0], [0.0, -2.0]])  # rows sum to 2 and -2, columns too; entries squared to 8
    assert two_way(table) == pytest.approx((16, 16, 24 / 32))
    noise = np.array([[1.0, -1.0], [-1.0, 1.0]])  # nothing by rows or columns
    assert two_way(noise) == (0, 0, 1)
    rows = np.array([[1.0, 1.0], [-1.0, -1.0]])
    assert two_way(rows) == pytest.approx((16, 0, 1))
    assert two_way(np.array([[1.0, -1.0]])) == pytest.approx((0, 4, 1))


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-10, 10)))
def test_two_way_keeps_between_half_and_all_and_the_larger(influence: np.ndarray) -> None:
    rows, columns, kept = two_way(influence)
    assert 0.5 <= kept <= 1
    assert kept * (rows + columns) >= max(rows, columns) - 1e-9


def test_cluster_counts_are_resamples() -> None:
    counts = cluster_counts(4, 20_000, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 4).all()
    assert counts.mean(axis=0) == pytest.approx([1, 1, 1, 1], abs=0.03)
    assert (counts[:, 0] == 0).mean() == pytest.approx(0.75**4, abs=0.01)
    assert (cluster_counts(1, 3, np.random.default_rng(0)) == 1).all()


def test_one_item_one_country_and_one_unit() -> None:
    rng = np.random.default_rng(0)
    one_item = mean_interval(scores([("i", "A", 1.0), ("i", "B", 3.0), ("i", "C", 5.0)]), rng, 2000)
    wide = 2 * widening(3)  # one in 27 resamples holds the first country alone
    assert (one_item.value, one_item.low, one_item.high) == pytest.approx((3.0, 3 - wide, 3 + wide))
    assert "3 countries; one item" in one_item.method
    no_country = mean_interval(scores([("i", "", 1.0), ("j", "", 3.0), ("k", "", 5.0)]), rng, 2000)
    assert (no_country.low, no_country.high) == pytest.approx((3 - wide, 3 + wide))
    assert "3 items; one country" in no_country.method
    alone = mean_interval(scores([("i", "A", 5.0)]), rng)
    assert alone.value == 5
    assert np.isnan([alone.low, alone.high]).all()
    nothing = mean_interval(scores([]), rng)
    assert nothing.n == 0
    assert np.isnan(nothing.value)


def test_two_clusters_are_taken_as_given() -> None:
    rng = np.random.default_rng(0)
    two = mean_interval(scores([("i", "A", 1.0), ("i", "B", 3.0)]), rng, 2000)
    assert np.isnan([two.low, two.high]).all()
    assert two.method == "no interval: one item; these 2 countries as given, too few to speak for others"
    table = [(item, f"C{c}", far + c) for c in range(9) for item, far in (("i", 0.0), ("j", 100.0))]
    given = mean_interval(scores(table), rng, 4000)
    assert "9 countries; these 2 items as given, too few to speak for others" in given.method
    alone = mean_interval(scores([(item, c, v - 100 * (item == "j")) for item, c, v in table]), rng, 4000)
    assert given.high - given.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert given.high - given.low < 10


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
    found = paired(first.iloc[3:], second.iloc[:-2], rng, 2000).interval
    assert found.n == len(first) - 5
    assert found.value == pytest.approx(0.5 - noise[3:-2].mean())
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.03
    assert mean_interval(first, rng, 2000).high - mean_interval(first, rng, 2000).low > 0.5
    assert paired(first, second.assign(measure="other"), rng).interval.n == 0


def test_a_unit_that_is_there_twice_is_refused() -> None:
    table = scores([("i", "A", 1.0), ("i", "A", 2.0)])
    with pytest.raises(ValueError, match=r"a unit is there twice.*'item': 'i'"):
        paired(table, table, np.random.default_rng(0))


def cells_of(base: pd.DataFrame, shifts: dict[tuple[int, int], float]) -> pd.DataFrame:
    return pd.concat(
        [base.assign(value=base["value"] + shift, seed=seed, draw=draw) for (seed, draw), shift in shifts.items()]
    )


def test_seeds_add_a_t_part() -> None:
    """Seeds that shift all units: without noise of items and countries this is the one-sample t interval."""
    flat = grid(6, 6).assign(value=0.0)
    for shifts in ([-1.0, 1.0], [-1.0, 0.5, 2.0], [0.3, 0.1, 0.7, -1.0, 0.2]):
        found = mean_interval(cells_of(flat, {(seed, 0): x for seed, x in enumerate(shifts)}), np.random.default_rng(0))
        exact = ttest_1samp(shifts, 0).confidence_interval()
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=0.01)
        assert f"{len(shifts)} training seeds by Student's t; one data draw" in found.method
    base = grid(20, 20)
    one = mean_interval(base.assign(seed=0, draw=0), np.random.default_rng(0), 2000)
    same = mean_interval(cells_of(base, {(0, 0): 0, (1, 0): 0}), np.random.default_rng(0), 2000)
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    assert one.method.endswith("; one training seed and data draw")
    assert same.n == one.n


def test_paired_seeds_cancel_and_unpaired_ones_add() -> None:
    flat, shifts = grid(6, 6).assign(value=0.0), {(0, 0): -1.0, (1, 0): 0.0, (2, 0): 1.0}
    first = cells_of(flat, shifts)
    difference = paired(first, cells_of(flat, {key: x - 0.5 for key, x in shifts.items()}), rng := rng0()).interval
    assert (difference.low, difference.high) == pytest.approx((0.5, 0.5))
    base = paired(first, flat.assign(seed=0, draw=0), rng).interval
    assert base.high == pytest.approx(4.302653 / 3**0.5, rel=0.01)
    assert "3 training seeds (1 in another arm) by Student's t" in base.method
    # Other seeds: both arms' own variances, Welch's degrees of freedom (here twice 2).
    others = cells_of(flat, {(seed + 5, 0): x for (seed, _), x in shifts.items()})
    found = paired(first, others, rng).interval
    assert found.high == pytest.approx(student.ppf(0.975, 4) * (2 / 3) ** 0.5, rel=0.01)


def rng0() -> np.random.Generator:
    return np.random.default_rng(0)


def test_between_cells_is_welchs_test_for_two_arms_of_seeds() -> None:
    x, y = [0.1, 0.5, 0.9, 0.2], [0.4, 1.4, 0.6]
    arms = [{(s, 0): v for s, v in enumerate(values)} for values in (x, y)]
    error, freedom = between_cells(arms, [1.0, -1.0])
    welch = ttest_ind(x, y, equal_var=False)
    assert freedom == pytest.approx(welch.df)
    assert (np.mean(x) - np.mean(y)) / error == pytest.approx(welch.statistic)
    assert between_cells([{(0, 0): 1.0}, {(3, 1): 2.0}], [1.0, -1.0])[0] == 0
    assert (outer_noise([{(0, 0): 1.0}], [1.0], 5, rng0()) == 0).all()


def test_seeds_and_data_draws_cross() -> None:
    # seeds -1, 1 and draws -2, 2 without interaction: variances 4 / 4 * 2 / 2 = 1 and 4 of the mean
    cells = {(s, d): 1.0 * (2 * s - 1) + 2.0 * (2 * d - 1) for s in (0, 1) for d in (0, 1)}
    error, freedom = between_cells([cells], [1.0])
    kept = (5 - sum(value**2 for value in cells.values()) / 16) / 5  # 5 - 20 / 16, not under 4
    assert kept * 5 < 4
    assert error**2 == pytest.approx(4)
    assert freedom == pytest.approx(5**2 / (1 + 16))
    missing = {key: value for key, value in cells.items() if key != (1, 1)}
    assert between_cells([missing], [1.0])[0] > 0


def test_methods_in_words() -> None:
    three, one = [(0, 0), (1, 0), (2, 0)], [(0, 0)]
    assert describe_levels([three, three]) == "3 training seeds by Student's t; one data draw"
    assert describe_levels([[(0, 0), (0, 1)]]) == "2 data draws by Student's t; one training seed"
    assert describe_levels([[(0, 0), (0, 1), (1, 0), (1, 1)]]) == "2 training seeds and 2 data draws by Student's t"
    assert describe(12, 20, [one]) == "bootstrap over 12 items and 20 countries; one training seed and data draw"
    assert describe(1, 1, [one]) == "no interval: one item and one country"
    assert describe(1, 1, [three]).startswith("one item; one country; 3 training seeds by")
    assert "as good as 2.3" in describe(12, 20, as_good_as=2.3)


def test_the_same_generator_gives_the_same_interval() -> None:
    table = grid(6, 6)
    assert mean_interval(table, np.random.default_rng(9)) == mean_interval(table, np.random.default_rng(9))
    assert mean_interval(table, np.random.default_rng(9)).low != mean_interval(table, np.random.default_rng(8)).low
