"""Lines over sizes by hand, and the two-lines test where the truth is known: turns, lines, curves that flatten."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.model_groups import Measured
from eval.size_trend import WITHIN, bend_weights, change_weights, trends, turn_p

SIZES = {"s": 0.5, "m": 1.5, "l": 3.0, "xl": 7.0, "xxl": 14.0}
ONE = dict.fromkeys(SIZES, "F")


def known(values: Mapping[str, float], noise: float, seed: int = 0, draws: int = 1000) -> Measured:
    """Models measured with independent normal noise, drawn once for the estimates and again for replicates."""
    rng = np.random.default_rng(seed)
    estimates = np.array(list(values.values())) + noise * rng.normal(size=len(values))
    errors = noise * rng.normal(size=(draws, len(values)))
    return Measured(tuple(values), estimates, 40, "made up", lambda w: np.asarray((estimates + errors) @ w))


def shape(values: Mapping[str, float], noise: float = 0.005, margin: float = 0.0, seed: int = 0) -> str:
    return trends(known(values, noise, seed), SIZES, ONE, margin)[0].shape


def test_a_line_by_hand() -> None:
    """Sizes 1, 10, 100: x is 0, 1, 2, the slope (y3 - y1) / 2, the change over all sizes y3 - y1."""
    size = {"a": 1.0, "b": 10.0, "c": 100.0}
    assert change_weights(list("abc"), size, dict.fromkeys("abc", "F")) == pytest.approx({"a": -1, "b": 0, "c": 1})
    # x² has the second difference: (y1 - 2 y2 + y3) / 2
    assert bend_weights(list("abc"), size, dict.fromkeys("abc", "F")) == pytest.approx({"a": 0.5, "b": -1, "c": 0.5})
    assert change_weights(["a", "b"], size, {"a": "F", "b": "G"}) == {}  # each alone in its family


def test_lines_within_families_take_each_familys_level_out() -> None:
    size = {"a": 1.0, "b": 10.0, "c": 1.0, "d": 10.0}
    family = {"a": "F", "b": "F", "c": "G", "d": "G"}
    weights = change_weights(list(size), size, family)
    values = {"a": 0.1, "b": 0.3, "c": 5.1, "d": 5.3}
    assert sum(weights[n] * values[n] for n in values) == pytest.approx(0.2)
    assert sum(weights.values()) == pytest.approx(0)


@given(
    st.lists(st.floats(0, 1), min_size=5, max_size=5), st.lists(st.floats(0.1, 70), min_size=5, max_size=5, unique=True)
)
def test_no_line_over_a_part_falls_where_the_measure_never_does(values: list[float], sizes: list[float]) -> None:
    """What makes the test valid for every cut."""
    names = list("abcde")
    size = dict(zip(names, sorted(sizes), strict=True))
    rising = dict(zip(names, sorted(values), strict=True))
    for start, end in ((0, 2), (0, 3), (0, 5), (1, 4), (2, 5), (3, 5)):
        weights = change_weights(names[start:end], size, dict.fromkeys(names, "F"))
        assert sum(weight * rising[name] for name, weight in weights.items()) >= -1e-9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.50, 0.44, 0.40, 0.44, 0.50), "U"),
        ((0.40, 0.46, 0.50, 0.46, 0.40), "∩"),
        ((0.50, 0.46, 0.42, 0.38, 0.34), "falling"),
        ((0.34, 0.38, 0.42, 0.46, 0.50), "rising"),
        ((0.50, 0.40, 0.36, 0.35, 0.35), ""),  # flattens: a bend and no turn
        ((0.40, 0.40, 0.40, 0.40, 0.40), ""),
    ],
)
def test_known_shapes_are_found(values: tuple[float, ...], expected: str) -> None:
    assert shape(dict(zip(SIZES, values, strict=True))) == expected


def test_a_curve_that_flattens_bends_and_does_not_turn() -> None:
    """What a quadratic regression takes for a U (Simonsohn 2018)."""
    flattening = dict(zip(SIZES, (0.60, 0.45, 0.36, 0.35, 0.35), strict=True))
    found = trends(known(flattening, 0.005), SIZES, ONE, 0.0)[0]
    assert found.bend[1] > 0
    assert found.shape == ""
    assert found.p > 0.05


def test_the_cut_is_where_it_turns_however_sure_the_others_are() -> None:
    exact = dict(zip(SIZES, (0.50, 0.44, 0.40, 0.44, 0.50), strict=True))
    found = trends(known(exact, 0.0), SIZES, ONE, 0.0)[0]
    assert (found.shape, found.cut) == ("U", 3.0)


def test_a_turn_within_the_margin_is_none() -> None:
    slight = dict(zip(SIZES, (0.42, 0.41, 0.40, 0.41, 0.42), strict=True))
    assert shape(slight, noise=0.001) == "U"
    assert shape(slight, noise=0.001, margin=0.05) == ""


@pytest.mark.parametrize("values", [(0.4, 0.4, 0.4, 0.4, 0.4), (0.5, 0.42, 0.38, 0.37, 0.37)])
def test_where_nothing_turns_few_are_said_to(values: tuple[float, ...]) -> None:
    """200 worlds without a turn: at most 5% of them, and some for chance, may be called one."""
    truth = dict(zip(SIZES, values, strict=True))
    called = sum(shape(truth, 0.02, seed=seed) in ("U", "∩") for seed in range(200))
    assert called <= 0.05 * 200 + 7


def test_a_turn_is_found_with_power() -> None:
    truth = dict(zip(SIZES, (0.50, 0.43, 0.40, 0.44, 0.50), strict=True))
    assert sum(shape(truth, 0.015, seed=seed) == "U" for seed in range(100)) >= 80


def test_scopes_and_what_is_left_out() -> None:
    more = {"g1": 2.0, "g2": 9.0, "h": 40.0}
    family = ONE | {"g1": "G", "g2": "G", "h": "H"}
    values = {name: 0.4 for name in (*SIZES, *more, "api")}
    found = trends(known(values, 0.01), SIZES | more, family | {"api": "A"}, 0.0)
    assert [one.scope for one in found] == [WITHIN, "F"]
    assert found[0].models == ("s", "m", "g1", "l", "xl", "g2", "xxl")  # neither h, alone in its family, nor api
    assert (found[0].sizes, found[0].cuts) == (7, 4)  # from 9 on no family has two sizes: no line, no cut
    four = {name: SIZES[name] for name in ("s", "m", "l", "xl")}
    assert trends(known(values, 0.01), four, family | {"api": "A"}, 0.0) == []


def test_a_line_runs_no_further_than_the_models_that_make_it() -> None:
    """Up to 3 billion only family A has two sizes, and falls by 0.006 from 0.5 to 1: not by 0.016 from 0.5 to 3."""
    size = {"a1": 0.5, "a2": 1.0, "b1": 3.0, "b2": 7.0, "b3": 14.0, "c1": 14.0, "c2": 30.0}
    values = dict(zip(size, (0.500, 0.494, 0.50, 0.53, 0.56, 0.50, 0.53), strict=True))
    within = trends(known(values, 0.0), size, {name: name[0] for name in size}, 0.0)[0]
    assert (within.cut, within.before.smallest, within.before.largest) == (1.0, 0.5, 1.0)
    assert within.before.value == pytest.approx(-0.006)
    assert trends(known(values, 0.0), size, {name: name[0] for name in size}, 0.01)[0].shape == ""


def test_without_replicates_nothing_is_said() -> None:
    values = dict(zip(SIZES, (0.50, 0.44, 0.40, 0.44, 0.50), strict=True))
    bare = Measured(tuple(values), np.array(list(values.values())), 1, "no interval", lambda w: np.empty(0))
    found = trends(bare, SIZES, ONE, 0.0)[0]
    assert (found.shape, math.isnan(found.p), math.isnan(found.line.low)) == ("", True, True)
    assert found.line.value == pytest.approx(0, abs=0.02)
    assert math.isnan(turn_p(np.empty(0), np.ones(3), 0.0))
