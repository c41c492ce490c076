from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import popfidelity
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.distances import js_distance, total_variation
from eval.records import SCORE_COLUMNS
from eval.references import attained, other_countries_mean, people_again, reference_scores, skill, uniform
from eval.survey_estimates import survey_estimates


def test_uniform_and_other_countries_by_hand() -> None:
    q = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(uniform(q), 0.5)
    np.testing.assert_allclose(other_countries_mean(q), [[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]])
    assert np.isnan(other_countries_mean(q[:1])).all()
    np.testing.assert_allclose(other_countries_mean(q), popfidelity_leave_one_out(q))


def popfidelity_leave_one_out(q: np.ndarray) -> np.ndarray:
    cells = popfidelity.Cells(labels=tuple("abc"), options=("x", "y"), shares=q)
    return np.asarray(popfidelity.baselines.leave_one_out(cells).shares)


def exact_total_variation(q: float, n: int) -> float:
    """Expected |a - b| / n of two binomial samples, by enumeration."""
    from scipy.stats import binom

    chance = binom.pmf(np.arange(n + 1), n, q)
    return sum(chance[a] * chance[b] * abs(a - b) / n for a, b in itertools.product(range(n + 1), repeat=2))


def test_floor_equals_the_exact_expectation() -> None:
    found = people_again([[0.3, 0.7]], [12], rng=np.random.default_rng(0), distance=total_variation, draws=40_000)
    assert found == pytest.approx([exact_total_variation(0.3, 12)], abs=0.003)


def test_floor_by_hand_for_one_person() -> None:
    # Two people of (.5, .5) differ half the time, by a distance of 1.
    assert people_again([0.5, 0.5], 1, rng=np.random.default_rng(0), draws=20_000) == pytest.approx(0.5, abs=0.02)


def test_floor_against_an_exact_model_agrees_with_popfidelity() -> None:
    q = np.array([0.1, 0.2, 0.3, 0.4])
    ours = people_again(
        q,
        200,
        np.inf,
        rng=np.random.default_rng(0),
        draws=20_000,
        distance=lambda p, r: popfidelity_emd(p, r),
    )
    theirs = popfidelity.alignment.subpop_noise_floor(q, 200, draws=20_000)
    assert ours == pytest.approx(theirs, rel=0.02)


def popfidelity_emd(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.abs(np.cumsum(p - r, axis=-1))[..., :-1].sum(axis=-1)


def test_floor_shrinks_with_people_and_is_undefined_without() -> None:
    q = np.array([[0.2, 0.3, 0.5]] * 4)
    floors = people_again(q, [50, 5000, 0, np.nan], rng=np.random.default_rng(0))
    assert floors[0] > 5 * floors[1] > 0
    assert np.isnan(floors[2:]).all()
    few = people_again(q[:1], [5000], [20], rng=np.random.default_rng(0))
    assert few > floors[1] * 3
    assert np.isnan(people_again(q[:1], [5000], [0], rng=np.random.default_rng(0)))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1))
def test_floor_is_a_distance(n: int, share: float) -> None:
    floor = people_again([share, 1 - share], n, rng=np.random.default_rng(0), draws=50)
    assert 0 <= floor <= 1
    if share in (0, 1):
        assert floor == 0


def test_same_rows_are_simulated_once_and_alike() -> None:
    q = np.array([[0.2, 0.8], [0.5, 0.5], [0.2, 0.8]])
    floors = people_again(q, [10, 10, 10], rng=np.random.default_rng(0))
    assert floors[0] == floors[2] != floors[1]
    assert people_again(q, 10, rng=np.random.default_rng(0)).tolist() == floors.tolist()


def test_skill_and_attained_by_hand() -> None:
    assert skill(0.1, 0.4) == pytest.approx(0.75)
    assert np.isnan(skill(0.1, 0.0))
    assert attained(0.2, 0.5, 0.1) == pytest.approx(0.75)
    assert attained(0.5, 0.5, 0.1) == 0
    assert np.isnan(attained(0.2, 0.1, 0.1))


def answers() -> pd.DataFrame:
    rows = []
    for item, ordered in (("i", True), ("j", False)):
        for country, q in (("NOR", [0.2, 0.3, 0.5]), ("SWE", [0.6, 0.2, 0.2])):
            rows.append(
                {
                    "item": item, "country": country, "age": "", "sex": "", "education": "", "condition": "country",
                    "stratum": "held_out", "p": np.array([1.0, 0, 0]), "q": np.array(q),
                    "n": 100.0 if item == "i" else 0.0,
                    "ordered": ordered, "positions": np.array([1.0, 2, 3]) if ordered else None,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_reference_scores_are_score_rows() -> None:
    table = answers()
    found = reference_scores(table, ["js_distance", "emd"], rng=np.random.default_rng(0))
    assert list(found.columns) == list(SCORE_COLUMNS)
    counts = found.groupby(["measure", "condition", "item"]).size()
    assert counts["js_distance", "reference:uniform"].to_dict() == {"i": 2, "j": 2}
    assert counts["emd", "reference:uniform"].to_dict() == {"i": 2}  # j is nominal
    assert counts["js_distance", "reference:people_again"].to_dict() == {"i": 2}  # j has no n
    mean = found[(found["condition"] == "reference:other_countries_mean") & (found["measure"] == "js_distance")]
    assert mean["value"].to_numpy() == pytest.approx([float(js_distance([0.6, 0.2, 0.2], [0.2, 0.3, 0.5]))] * 4)


def test_other_countries_may_come_from_a_wider_pool() -> None:
    table = answers()
    one = table[table["country"] == "NOR"]
    alone = reference_scores(one, ["js_distance"], rng=np.random.default_rng(0))
    assert "reference:other_countries_mean" not in set(alone["condition"])
    wider = reference_scores(one, ["js_distance"], rng=np.random.default_rng(0), people=table)
    assert (wider["condition"] == "reference:other_countries_mean").sum() == 2
    by_age = one.assign(age="18-29")
    assert "reference:other_countries_mean" not in set(
        reference_scores(by_age, ["js_distance"], rng=np.random.default_rng(0), people=table)["condition"]
    )


def test_two_readings_of_the_same_units_have_floors_of_their_own() -> None:
    """Ten answers are further from people by chance than a hundred; both readings hold the same units."""
    few, many = (
        answers().assign(condition=name, n_model=n, option_mass=1.0) for name, n in (("few", 10), ("many", 100))
    )
    found = survey_estimates(pd.concat([few, many]), answers(), np.random.default_rng(0), 50, measures=["js_distance"])
    floor = {
        one.condition: one.value
        for one in found
        if "people_again" in one.condition and (one.name, one.group) == ("js_distance", "all")
    }
    assert set(floor) == {"reference:people_again (few)", "reference:people_again (many)"}
    assert floor["reference:people_again (few)"] > 1.5 * floor["reference:people_again (many)"]
    reached = {one.condition: one.value for one in found if one.name == "attained"}
    assert reached["few"] != reached["many"]
