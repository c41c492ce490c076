from __future__ import annotations

import numpy as np
import popfidelity
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from scipy.stats import wasserstein_distance
from sklearn.metrics import cohen_kappa_score

from eval.distances import (
    HIGHER_IS_CLOSER,
    MEASURES,
    accuracy_as_published,
    cohen_kappa,
    emd,
    emd_as_published,
    entropy,
    js_distance,
    js_divergence,
    kl_model_people_as_published,
    kl_people_model,
    one_minus_js_as_published,
    top1_agreement,
    total_variation,
)

K = 4


@st.composite
def distribution(draw: st.DrawFn) -> np.ndarray:
    weights = draw(arrays(np.float64, K, elements=st.floats(0, 1)))
    weights[draw(st.integers(0, K - 1))] += 0.01
    return np.asarray(weights / weights.sum())


def test_js_distance_by_hand() -> None:
    assert js_distance([1, 0], [0, 1]) == 1
    assert js_distance([0.3, 0.7], [0.3, 0.7]) == 0
    # H(.75, .25) - (H(1, 0) + H(.5, .5)) / 2 = 0.811278 - 0.5 bits
    assert js_divergence([1, 0], [0.5, 0.5]) == pytest.approx(0.311278, abs=1e-6)
    assert js_distance([1, 0], [0.5, 0.5]) == pytest.approx(0.557923, abs=1e-6)


def test_emd_by_hand() -> None:
    assert emd([1, 0, 0], [0, 0.5, 0.5], [0, 1, 4]) == pytest.approx(1 * 0.25 + 0.5 * 0.75)
    assert emd([1, 0, 0], [0, 0.5, 0.5], [40, 30, 0]) == pytest.approx(0.625)  # descending, another unit
    assert emd([1, 0, 0], [0, 0, 1], [1, 2, 3]) == 1
    assert emd([0, 1, 0], [0, 1, 0], [1, 2, 3]) == 0


def test_total_variation_and_kl_by_hand() -> None:
    assert total_variation([0.5, 0.5, 0], [0.2, 0.3, 0.5]) == pytest.approx(0.5)
    # q = (.5, .5), p = (.25, .75): .5 ln 2 + .5 ln (2/3)
    assert kl_people_model([0.25, 0.75], [0.5, 0.5]) == pytest.approx(0.5 * np.log(4 / 3))
    assert kl_people_model([1, 0], [0.5, 0.5]) == np.inf
    assert kl_people_model([0.5, 0.5], [1, 0]) == pytest.approx(np.log(2))


def test_top1_agreement_by_hand() -> None:
    assert top1_agreement([0.6, 0.4], [0.9, 0.1]) == 1
    assert top1_agreement([0.6, 0.4], [0.1, 0.9]) == 0
    assert top1_agreement([0.25] * 4, [0.1, 0.2, 0.3, 0.4]) == 0.25
    assert top1_agreement([0.5, 0.5, 0], [0.5, 0.5, 0]) == 0.5


def test_entropy_by_hand() -> None:
    assert entropy([0.25] * 4) == pytest.approx(np.log(4))
    assert entropy([1, 0]) == 0
    assert entropy([[0.5, 0.5], [1, 0]]) == pytest.approx([np.log(2), 0])


def test_published_quirks() -> None:
    opposite = ([1, 0], [0, 1])
    assert one_minus_js_as_published(*opposite) == pytest.approx(0.167, abs=5e-4)
    assert one_minus_js_as_published([0.2, 0.8], [0.2, 0.8]) == 1
    assert emd_as_published(*opposite) == 0
    assert emd(*opposite, [0, 1]) == 1
    rows = kl_model_people_as_published([[0.5, 0.5], [1, 0], [0.5, 0.5]], [[0.5, 0.5], [0.25, 0.75], [1, 0]])
    assert rows == pytest.approx([0, np.log(4), np.log(4) + 1])
    failed = kl_model_people_as_published([[0.4, 0.5, 0.1], [0.5, 0.5, 0]], [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    assert failed == pytest.approx([1, 0])  # one failed answer makes the row infinite: largest finite 0, plus 1
    assert np.isnan(kl_model_people_as_published([0.5, 0.5], [1, 0]))


@settings(deadline=None)
@given(distribution(), distribution(), distribution())
def test_js_distance_is_a_metric(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> None:
    assert 0 <= js_distance(p, q) <= 1
    assert js_distance(p, q) == js_distance(q, p)
    assert js_distance(p, p) == 0
    assert js_distance(p, q) <= js_distance(p, r) + js_distance(r, q) + 1e-7


@settings(deadline=None)
@given(distribution(), distribution())
def test_bounds_and_order(p: np.ndarray, q: np.ndarray) -> None:
    moved = float(total_variation(p, q))
    assert 0 <= moved <= 1
    assert 0 <= emd(p, q, range(K)) <= moved + 1e-9
    assert emd(p, q, range(K)) == pytest.approx(float(emd(p[::-1], q[::-1], range(K))), abs=1e-9)
    assert js_divergence(p, q) <= moved + 1e-9  # Lin 1991, theorem 3
    assert kl_people_model(p, q) >= 2 * moved**2 - 1e-9  # Pinsker
    assert 0 <= top1_agreement(p, q) <= 1
    assert 0 <= entropy(p) <= np.log(K) + 1e-12
    assert one_minus_js_as_published(p, q) >= 1 - np.sqrt(np.log(2)) - 1e-9


@settings(deadline=None)
@given(distribution(), distribution())
def test_scipy_agrees(p: np.ndarray, q: np.ndarray) -> None:
    with np.errstate(divide="ignore"):
        expected = jensenshannon(p, q, base=2)
    assert js_distance(p, q) == pytest.approx(0 if np.isnan(expected) else expected, abs=1e-7)
    places = [0.0, 1.0, 3.0, 7.0]
    assert emd(p, q, places) == pytest.approx(wasserstein_distance(places, places, p, q) / 7, abs=1e-9)
    assert emd_as_published(p, q) == pytest.approx(wasserstein_distance(p, q), abs=1e-9)
    assert entropy(p) == pytest.approx(scipy_entropy(p), abs=1e-9)


def test_popfidelity_agrees_on_random_distributions() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), 50), rng.dirichlet(np.ones(5), 50)
    theirs = popfidelity.metrics.distance
    places = [1.0, 2.0, 4.0, 8.0, 9.0]
    np.testing.assert_allclose(js_distance(p, q), theirs(q, p, "js_distance", base=2.0), atol=1e-9)
    np.testing.assert_allclose(total_variation(p, q), theirs(q, p, "total_variation"), atol=1e-9)
    np.testing.assert_allclose(emd(p, q, places), theirs(q, p, "normalised_wasserstein", positions=places), atol=1e-9)
    np.testing.assert_allclose(entropy(p), popfidelity.metrics.entropy(p, base=np.e), atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_kappa_agrees_with_sklearn(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    if len({*a, *b}) > 1:
        assert cohen_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))


def test_kappa_by_hand_and_where_undefined() -> None:
    # agreement 3/4; chance .5 * .75 + .5 * .25 = .5
    assert cohen_kappa([0, 0, 1, 1], [0, 0, 0, 1]) == pytest.approx(0.5)
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(cohen_kappa([], []))
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        cohen_kappa([0, 1], [0])


def test_broadcasting_over_rows() -> None:
    rows = np.array([[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    assert js_distance(rows[:, None], rows[None]).shape == (3, 3)
    assert emd(rows, [0.5, 0.5], [0, 1]) == pytest.approx([0.3, 0.1, 0.5])


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 0.6], "p must sum to 1 over the last axis, found 1.1"),
        ([1.5, -0.5], "p must be non-negative numbers, found -0.5"),
        ([np.nan, 1.0], "p must be non-negative numbers, found nan"),
        ([0.2, 0.3, 0.5], "p has 3 options, q has 2"),
    ],
)
def test_what_is_no_distribution_is_refused(name: str, p: list[float], message: str) -> None:
    function, needs_positions = MEASURES[name]
    with pytest.raises(ValueError, match=message):
        function(p, [0.5, 0.5], *([[0, 1]] if needs_positions else []))


def test_bad_positions_are_refused() -> None:
    for positions in ([0, 2, 1], [1, 1, 1], [0, np.nan, 1]):
        with pytest.raises(ValueError, match="positions must"):
            emd([1, 0, 0], [0, 1, 0], positions)
    with pytest.raises(ValueError, match="2 positions for 3 options"):
        emd([1, 0, 0], [0, 1, 0], [0, 1])


def test_directions_are_known() -> None:
    for name, (function, needs_positions) in MEASURES.items():
        more = [[0, 1, 2]] if needs_positions else []
        near, far = (float(function([[1 - x, x, 0.0]], [[0.9, 0.1, 0.0]], *more)[0]) for x in (0.2, 0.95))
        if name != "emd_as_published":
            assert near > far if name in HIGHER_IS_CLOSER else near < far, name


def test_published_accuracy_gives_ties_to_the_first_option() -> None:
    p = [[0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.5, 0.5]]
    q = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]
    assert accuracy_as_published(p, q).tolist() == [1, 0, 1, 0]
    assert top1_agreement(p, q).tolist() == [1, 0, 0.5, 0.5]
