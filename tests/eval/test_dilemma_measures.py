"""The pure functions behind the dilemma audit, each on a case worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from eval.dilemmas.measures import (
    binary_entropy,
    binary_js_distance,
    disagreement,
    excess_disagreement,
    flips,
    krippendorff_alpha,
    marginal_action_entropy,
    question_form_consistency,
    slope,
)


def test_excess_is_disagreement_minus_the_mean_of_both_floors() -> None:
    p, other = np.random.default_rng(0).random((2, 50))
    floors = (disagreement(p, p) + disagreement(other, other)) / 2
    np.testing.assert_allclose(excess_disagreement(p, other), disagreement(p, other) - floors)


def test_flips_by_hand() -> None:
    np.testing.assert_array_equal(flips([0.9, 0.9, 0.5, 0.1], [0.6, 0.4, 0.9, 0.5]), [0, 1, np.nan, np.nan])


def test_what_a_condition_did_not_settle_stays_undefined() -> None:
    p, other = [np.nan, 0.9], [0.9, 0.9]
    for measure in (flips, disagreement, excess_disagreement, binary_js_distance):
        assert np.isnan(measure(p, other)[0]), measure
        assert np.isnan(measure(other, p)[0]), measure
        assert not np.isnan(measure(p, other)[1]), measure
    assert np.isnan(binary_entropy([np.nan])[0])


def test_slope_by_hand() -> None:
    # Mean of 0, 2, 6 is 8/3; deviations -8/3, -2/3, 10/3 with squares 168/9.
    assert slope([0, 2, 6], [[0, 0, 1]])[0] == pytest.approx((10 / 3) / (168 / 9))
    np.testing.assert_allclose(slope([0, 2, 6], [[1, 1.2, 1.6], [3, 3, 3]]), [0.1, 0], atol=1e-12)


def test_forms_that_contradict_are_wholly_inconsistent() -> None:
    np.testing.assert_allclose(question_form_consistency(np.array([[1, 0], [0.3, 0.3]])), [0, 1])
    np.testing.assert_allclose(marginal_action_entropy([[1, 0], [1, 1]]), [1, 0])


def krippendorff_slow(ratings: np.ndarray) -> float:
    """Coincidence matrix as in Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", part B."""
    matrix = np.zeros((2, 2))
    for unit in ratings:
        values = unit[~np.isnan(unit)].astype(int)
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                if i != j and len(values) > 1:
                    matrix[a, b] += 1 / (len(values) - 1)
    n, total = matrix.sum(axis=1), matrix.sum()
    return float(1 - (total - 1) * (matrix[0, 1] + matrix[1, 0]) / (2 * n[0] * n[1]))


def test_alpha_is_the_published_binary_example() -> None:
    # Krippendorff 2011, part A: two observers, ten articles, alpha = 0.095.
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(np.array([meg, owen]).T)[0] == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_its_slow_definition_also_when_resampled() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.integers(0, 2, (12, 3)).astype(float)
    ratings[rng.random(ratings.shape) < 0.2] = np.nan
    counts = rng.integers(0, 3, (5, 12))
    expected = [krippendorff_slow(np.repeat(ratings, row, axis=0)) for row in counts]
    np.testing.assert_allclose(krippendorff_alpha(ratings, counts), expected)
    assert krippendorff_alpha(ratings)[0] == pytest.approx(krippendorff_slow(ratings))
