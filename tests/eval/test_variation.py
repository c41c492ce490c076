from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import popfidelity
import pytest
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr, ttest_1samp
from sklearn.manifold import ClassicalMDS

from eval.culture_map import culture_map
from eval.distances import entropy, js_distance, js_divergence
from eval.panels import Panel, js_noise
from eval.structure import classical_mds, complete, mantel, mean_distances, midranks, spearman
from eval.variation import variation, variation_differences
from eval.variation_measures import between_ratio, between_structure, mode_share, within_ratio

MANY = 10**12  # people, so that sampling noise is nil


def row(item: str, country: str, p: object, q: object, n: float = MANY, **more: object) -> dict[str, object]:
    return {
        "item": item, "country": country, "age": "", "sex": "", "education": "", "condition": "country",
        "stratum": "held_out", "p": np.array(p, dtype=float), "q": np.array(q, dtype=float), "n": n,
    } | more  # fmt: skip


def random_answers(
    items: int, countries: int, seed: int = 0, n: int = MANY, drop: float = 0.0, perfect: bool = False
) -> pd.DataFrame:
    rng, rows = np.random.default_rng(seed), []
    for i, c in itertools.product(range(items), range(countries)):
        centre = np.random.default_rng([seed, i]).dirichlet([2, 2, 2, 2])
        q = rng.dirichlet(centre * 20 + 0.5)
        people = q if n == MANY else rng.multinomial(n, q) / n
        if rng.random() >= drop:
            rows.append(row(f"i{i}", f"C{c:02}", q if perfect else rng.dirichlet(q * 20 + 0.1), people, n))
    return pd.DataFrame(rows)


def two_countries() -> pd.DataFrame:
    return pd.DataFrame([row("i", "A", [0.5, 0.5], [1, 0]), row("i", "B", [1, 0], [0, 1])])


def test_ratios_by_hand() -> None:
    panel = Panel.of(two_countries())
    # model: JSD of (.5, .5) and (1, 0) is .311278 bits; people's is 1
    assert between_ratio(panel) == pytest.approx([0.311278], abs=1e-6)
    assert mode_share(panel) == pytest.approx([0.5])
    assert mode_share(panel, people=True) == pytest.approx([1.0])
    assert np.isnan(within_ratio(panel)).all()  # people's entropy is 0
    softer = pd.DataFrame([row("i", "A", [1, 0], [0.5, 0.5]), row("i", "B", [0.5, 0.5], [0.5, 0.5])])
    assert within_ratio(Panel.of(softer)) == pytest.approx([0.5])
    assert np.isnan(between_ratio(Panel.of(softer))).all()  # people do not differ


def test_a_model_that_says_the_same_of_every_country_has_no_variation() -> None:
    table = random_answers(4, 6)
    table["p"] = [np.full(4, 0.25)] * len(table)
    panel = Panel.of(table)
    assert between_ratio(panel) == pytest.approx([0.0])
    assert np.isnan(between_structure(panel)).all()


def test_a_copy_of_people_scores_one() -> None:
    table = random_answers(5, 6)
    table["p"] = table["q"]
    panel = Panel.of(table)
    for statistic in (between_ratio, between_structure, within_ratio):
        assert statistic(panel) == pytest.approx([1.0])


def test_noise_of_people_is_removed() -> None:
    table = random_answers(40, 12, n=60, perfect=True)
    panel = Panel.of(table)
    assert between_ratio(panel) == pytest.approx([1.0], abs=0.05)
    assert within_ratio(panel) == pytest.approx([1.0], abs=0.01)
    raw = np.nanmean(panel.model_js) / np.nanmean(panel.people_js)
    assert raw < 0.85


def test_js_noise_equals_simulation() -> None:
    rng, p, q, n = np.random.default_rng(0), np.array([0.1, 0.2, 0.7]), np.array([0.4, 0.3, 0.3]), 300
    samples = rng.multinomial(n, q, size=200_000) / n
    for other in (p, q):
        found = (js_divergence(other, samples) - js_divergence(other, q)).mean()
        assert js_noise(other, q, n) == pytest.approx(found, rel=0.05)
    assert js_noise(q, q, n) == pytest.approx(2 / (8 * n * np.log(2)))
    assert js_noise(p, q, np.inf) == 0


def test_bootstrap_weights_equal_copied_rows() -> None:
    """Counting an item or country twice is as having it twice, except that a country makes no pair with itself."""
    table = random_answers(3, 5, drop=0.15)
    panel = Panel.of(table)
    items, countries = np.array([[2.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 0.0, 1.0, 1.0]])
    copies = []
    for i, c in itertools.product(range(3), range(5)):
        part = table[(table["item"] == f"i{i}") & (table["country"] == f"C{c:02}")]
        for a, b in itertools.product(range(int(items[0, i])), range(int(countries[0, c]))):
            copies.append(part.assign(item=part["item"] + f"/{a}", country=part["country"] + f"/{b}"))
    copied = pd.concat(copies)
    big = Panel.of(copied)
    assert within_ratio(panel, items, countries) == pytest.approx(within_ratio(big))
    assert mode_share(panel, items, countries) == pytest.approx(mode_share(big))
    spreads = []
    for side in ("p", "q"):
        means = []
        for _, part in copied.groupby("item"):
            pairs = [
                float(js_divergence(one[side], other[side]))
                for (_, one), (_, other) in itertools.combinations(part.iterrows(), 2)
                if one["country"].split("/")[0] != other["country"].split("/")[0]
            ]
            means.append(np.mean(pairs))
        spreads.append(np.mean(means))
    assert between_ratio(panel, items, countries) == pytest.approx([spreads[0] / spreads[1]], rel=1e-6)


def test_structure_equals_spearman_of_mean_distances() -> None:
    table = random_answers(4, 7)
    panel = Panel.of(table)
    sides = []
    for side in ("p", "q"):
        each = [np.stack(part[side].to_list()) for _, part in table.groupby("item")]
        sides.append(np.mean([js_distance(x[:, None], x[None]) for x in each], axis=0)[np.triu_indices(7, 1)])
    assert between_structure(panel) == pytest.approx([spearmanr(*sides).statistic])
    np.testing.assert_allclose(mean_distances(np.sqrt(panel.model_js)), squareform(sides[0]), atol=1e-12)


def test_pairs_that_share_different_questions_compare() -> None:
    """A country that was asked only the calm question is not called close to all others for that."""
    calm, stormy = ([0.5, 0.5], [0.45, 0.55], [0.55, 0.45]), ([1, 0], [0, 1], [0.5, 0.5])
    rows = [row("calm", c, q, q) for c, q in zip("ABC", calm, strict=True)]
    rows += [row("stormy", c, q, q) for c, q in zip("AB", stormy, strict=False)]
    mean = mean_distances(np.sqrt(Panel.of(pd.DataFrame(rows)).people_js))
    plain = js_distance(calm[0], calm[2])
    assert mean[0, 2] > 3 * plain


def test_weighted_spearman_counts_copies() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 12).astype(float), rng.integers(0, 5, 12).astype(float)
    counts = rng.integers(0, 4, 12)
    expected = spearmanr(np.repeat(x, counts), np.repeat(y, counts)).statistic
    assert spearman(x[None], y[None], counts[None].astype(float)) == pytest.approx([expected])
    assert midranks(np.array([[3.0, 1.0, 3.0]]), np.ones((1, 3))).tolist() == [[2.0, 0.5, 2.0]]
    assert np.isnan(spearman(np.ones((1, 4)), y[None, :4], np.ones((1, 4)))).all()


def test_mantel_agrees_with_popfidelity() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((7, 2))
    y = x + rng.normal(scale=0.35, size=x.shape)
    a, b = (np.linalg.norm(z[:, None] - z[None], axis=-1) for z in (x, y))
    ours = mantel(a, b, np.random.default_rng(0), 4000)
    theirs = popfidelity.structure.mantel(squareform(a), squareform(b), permutations=4000)
    assert ours[0] == pytest.approx(theirs["statistic"])
    assert ours[1] == pytest.approx(theirs["p_value"], abs=0.02)
    assert np.isnan(mantel(a[:3, :3], b[:3, :3], rng, 10)).all()


def test_mantel_agrees_with_all_permutations() -> None:
    """Five points: the share of all 120 orders whose correlation is at least the observed one."""
    rng = np.random.default_rng(4)
    x = rng.random((5, 2))
    y = x + rng.normal(scale=0.1, size=x.shape)
    a, b = (np.linalg.norm(z[:, None] - z[None], axis=-1) for z in (x, y))
    found = [
        spearmanr(squareform(a), squareform(b[np.ix_(order, order)])).statistic
        for order in map(list, itertools.permutations(range(5)))
    ]
    exact = np.mean(np.array(found) >= found[0] - 1e-9)
    value, p = mantel(a, b, np.random.default_rng(0), 20_000)
    assert value == pytest.approx(found[0])
    assert 0.01 < exact < 0.5
    assert p == pytest.approx(exact, abs=0.01)


def test_complete_drops_the_point_with_most_gaps() -> None:
    matrix = np.zeros((4, 4))
    matrix[1, [0, 2]] = matrix[[0, 2], 1] = np.nan
    assert complete(matrix).tolist() == [0, 2, 3]


def test_variation_gives_estimates_with_intervals() -> None:
    table = pd.concat([random_answers(6, 8), random_answers(3, 8, seed=1).assign(stratum="seen_items")])
    found = variation(table, np.random.default_rng(0), draws=300, permutations=99)
    by_key = {(one.name, one.group, one.condition): one for one in found}
    assert len(by_key) == len(found) == 12
    for name, n in (("between_ratio", 6 * 28), ("between_structure", 28), ("within_ratio", 48), ("mode_share", 48)):
        one = by_key[name, "all", "country"]
        assert one.low <= one.value <= one.high
        assert one.n == n
        assert "6 items and 8 countries" in one.method
    assert by_key["between_structure_p", "seen items", "country"].value <= 1
    assert by_key["mode_share", "all", "reference:people"].value == 0
    again = variation(table, np.random.default_rng(0), draws=300, permutations=99)
    np.testing.assert_array_equal([(one.value, one.low) for one in again], [(one.value, one.low) for one in found])


def test_paired_differences_are_on_common_rows_and_exact() -> None:
    first = random_answers(6, 6)
    flat = first.assign(p=[np.full(4, 0.25)] * len(first)).iloc[2:]
    found = {
        one.estimate.name: one
        for one in variation_differences({(0, 0): first}, {(0, 0): flat}, np.random.default_rng(0), draws=400)
    }
    panel = Panel.of(first.iloc[2:])
    assert found["between_ratio"].estimate.value == pytest.approx(float(between_ratio(panel)[0]))
    assert found["between_ratio"].estimate.low > 0
    assert found["within_ratio"].estimate.high < 0
    assert np.isnan(found["between_structure"].estimate.value)
    none = variation_differences({(0, 0): first}, {(0, 0): first}, np.random.default_rng(0), draws=50)
    assert all(one.estimate.low == one.estimate.value == one.estimate.high == 0 for one in none)
    seeds = variation_differences({(0, 0): first, (1, 0): first}, {(0, 0): flat}, np.random.default_rng(0), draws=50)
    assert "2 training seeds" in seeds[0].estimate.method


def test_seeds_add_their_noise_to_every_quantity() -> None:
    """People's shares mixed with more or less of the uniform: seeds differ in all but what a constant cannot have."""
    table = random_answers(6, 8)
    softer = [table.assign(p=[(1 - mix) * p + mix / 4 for p in table["p"]]) for mix in (0.0, 0.1, 0.3)]
    cells, base = {(seed, 0): one for seed, one in enumerate(softer)}, {(0, 0): table}
    found = {one.estimate.name: one for one in variation_differences(cells, base, np.random.default_rng(0), draws=4000)}
    one = {
        one.estimate.name: one.estimate
        for one in variation_differences({(0, 0): softer[2]}, base, np.random.default_rng(0), draws=4000)
    }
    for name, statistic in (("between_ratio", between_ratio), ("within_ratio", within_ratio)):
        values = [float(statistic(Panel.of(part))[0]) for part in softer]
        seeds = ttest_1samp(np.array(values) - values[0], 0).confidence_interval()
        estimate = found[name].estimate
        assert estimate.value == pytest.approx(np.mean(values) - values[0])
        assert estimate.high - estimate.low >= 0.97 * (seeds.high - seeds.low)
        assert estimate.high - estimate.low > one[name].high - one[name].low
        assert "3 training seeds (1 in another arm) by Student's t; one data draw" in estimate.method
    assert found["between_structure"].estimate.method.endswith("; plain percentiles")
    assert len(found["between_structure"].replicates) == 2000
    same = variation_differences(cells, cells, np.random.default_rng(0), draws=50)
    assert all(each.estimate.low == each.estimate.high == 0 for each in same)


def test_spread_in_parts_equals_slow_loops() -> None:
    """Questions that some countries were not asked; one count row at a time, by pairs."""
    table = random_answers(4, 6, drop=0.2)
    panel, rng = Panel.of(table), np.random.default_rng(3)
    items, countries = rng.integers(0, 3, size=(12, 4)).astype(float), rng.integers(0, 3, size=(12, 6)).astype(float)
    ones = np.ones((12, 4)), np.ones((12, 6))
    for fast, i, c in (
        (between_ratio(panel, items, countries), items, countries),
        (between_ratio(panel, items=items), items, ones[1]),
        (between_ratio(panel, countries=countries), ones[0], countries),
    ):
        slow = []
        for b in range(12):
            sums = [0.0, 0.0]
            for g, item in enumerate(panel.item_of):
                pairs = [
                    (x, y) for x, y in itertools.combinations(range(6), 2) if not np.isnan(panel.people_js[g, x, y])
                ]
                drawn = sum(c[b, x] * c[b, y] for x, y in pairs)
                for side, spread in enumerate((panel.model_spread[g], panel.people_spread[g])):
                    total = sum(c[b, x] * c[b, y] * spread[x, y] for x, y in pairs)
                    sums[side] += i[b, item] * total / drawn if drawn else 0.0
            slow.append(sums[0] / sums[1] if sums[1] > 0 else np.nan)
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


def test_answers_without_n_are_kept_and_counted() -> None:
    table = random_answers(3, 4)
    table["n"] = [0.0, np.nan, *[500.0] * (len(table) - 2)]
    found = variation(table, np.random.default_rng(0), draws=50, permutations=9)
    assert "2 groups without n" in found[0].method
    assert np.isfinite(found[0].value)


def test_demographic_groups_are_compared_within_themselves() -> None:
    old, young = two_countries().assign(age="50+"), two_countries().assign(age="18-29")
    both = Panel.of(pd.concat([old, young]))
    assert both.item_of.tolist() == [0, 0]
    assert between_ratio(both) == pytest.approx(between_ratio(Panel.of(old)))
    with pytest.raises(ValueError, match=r"a group answers an item twice: {'item': 'i', 'country': 'A'"):
        Panel.of(pd.concat([old, old]))
    with pytest.raises(ValueError, match="no answers"):
        Panel.of(old.iloc[:0])


def test_classical_mds_recovers_a_plane() -> None:
    places = np.random.default_rng(0).normal(size=(8, 2))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    found, stress = classical_mds(distances)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=-1), distances, atol=1e-9)
    assert stress == pytest.approx(0, abs=1e-9)
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()
    again, _ = classical_mds(distances.copy())
    np.testing.assert_array_equal(found, again)
    assert np.isnan(classical_mds(np.zeros((3, 3)))[1])
    with pytest.raises(ValueError, match="must not hold NaN"):
        classical_mds(np.full((3, 3), np.nan))


def test_classical_mds_agrees_with_sklearn() -> None:
    distances = np.random.default_rng(1).random((9, 9))
    distances = (distances + distances.T) * (1 - np.eye(9))  # not Euclidean: negative eigenvalues
    found, _ = classical_mds(distances)
    theirs = ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distances)
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=1e-9)


def test_stress_by_hand() -> None:
    # Four points at distance 1 (a tetrahedron) on a line: classical MDS keeps one axis.
    found, stress = classical_mds(np.ones((4, 4)) - np.eye(4), 1)
    mapped = np.abs(found - found.T)[np.triu_indices(4, 1)]
    assert stress == pytest.approx(np.sqrt(((1 - mapped) ** 2).sum() / (mapped**2).sum()))
    assert stress > 0.3


def test_culture_map_has_people_and_arms_in_one_space() -> None:
    table = random_answers(4, 5)
    perfect = table.assign(p=table["q"])
    found = culture_map({"a": table, "b": perfect})
    assert {point["arm"] for point in found["points"]} == {"people", "a", "b"}
    assert len(found["points"]) == 15
    place = {(point["arm"], point["country"]): (point["x"], point["y"]) for point in found["points"]}
    for country in table["country"].unique():
        assert place["b", country] == pytest.approx(place["people", country], abs=1e-6)
    assert 0 <= found["stress"] < 1
    nothing = culture_map({"a": table}, condition="none")
    assert nothing["points"] == []
    assert np.isnan(nothing["stress"])
    assert np.isnan(culture_map({})["stress"])


def test_entropy_correction_is_millers() -> None:
    table = pd.DataFrame([row("i", "A", [0.5, 0.5], [0.5, 0.5], 10)])
    panel = Panel.of(table)
    assert panel.people_entropy[0, 0] == pytest.approx(float(entropy([0.5, 0.5])) + 1 / 20)
    assert panel.model_entropy[0, 0] == pytest.approx(np.log(2))


def test_less_than_no_spread_lies_in_its_interval() -> None:
    """Answers as far apart as the noise of so few makes them: with that taken out less than nothing is left."""
    table = random_answers(4, 8)
    table["p"] = [np.full(4, 0.25)] * len(table)
    table["n_model"] = 20.0
    (found,) = (one for one in variation(table, np.random.default_rng(0), 200) if one.name == "between_ratio")
    assert found.value < 0
    assert found.low <= found.value <= found.high


def test_no_answer_on_one_option_does_not_mean_that_none_ever_is() -> None:
    table = random_answers(4, 8)
    table["p"] = [np.full(4, 0.25)] * len(table)
    shares = {one.condition: one for one in variation(table, np.random.default_rng(0), 200) if one.name == "mode_share"}
    found = shares["country"]
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 4))  # as good as four questions, the fewer of the two
