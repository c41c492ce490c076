"""Weights of models in groups, by hand; measured sums against the paired bootstrap of two arms; divided otherwise."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from census_models import model

from eval.bootstrap import paired
from eval.cells import arms_of
from eval.model_groups import Measured, difference_weights, exchanged, group_weights, measured, without_one

FAMILY = {"a1": "A", "a2": "A", "b": "B", "c": "C", "d": "D"}
KEY = ("js_distance", "country", "all")


def test_every_family_counts_alike_and_every_model_alike_within_it() -> None:
    assert group_weights(["a1", "a2", "b"], FAMILY) == {"a1": 0.25, "a2": 0.25, "b": 0.5}
    weights = difference_weights(["a1", "a2", "b"], ["c"], FAMILY)
    assert weights == {"a1": 0.25, "a2": 0.25, "b": 0.5, "c": -1.0}


def test_left_out_one_after_the_other_by_hand() -> None:
    values = {"a1": 1.0, "a2": 3.0, "b": 4.0, "c": 0.0, "d": 2.0}
    # (2 + 4) / 2 - 1 = 2. Without a1: 3.5 - 1; a2: 2.5 - 1; b: 2 - 1; c: 3 - 2; d: 3 - 0
    assert without_one(values, ["a1", "a2", "b"], ["c", "d"], FAMILY) == (1.0, 3.0)
    assert all(math.isnan(end) for end in without_one(values, ["a1", "a2"], ["c"], FAMILY))


def test_divided_otherwise_by_hand() -> None:
    values = {"a1": 1.0, "a2": 3.0, "b": 4.0, "c": 8.0, "d": 9.0}
    # families 2, 4 | 8, 9: of six divisions only this one and its mirror are as far apart
    rng = np.random.default_rng(0)
    assert exchanged(values, ["a1", "a2", "b"], ["c", "d"], FAMILY, rng) == (pytest.approx(2 / 6), 6)
    assert math.isnan(exchanged(values, ["a1"], ["a2", "b"], FAMILY, rng).share)  # family A on both sides
    assert math.isnan(exchanged(values, ["b"], ["c"], FAMILY, rng).share)  # a family a side: nothing to divide


def test_too_many_divisions_are_drawn_by_chance() -> None:
    names = [f"m{i}" for i in range(24)]
    values = {name: float(place >= 12) for place, name in enumerate(names)}
    found = exchanged(values, names[:12], names[12:], {name: name for name in names}, np.random.default_rng(0))
    assert found.ways == 20_000
    assert found.share == pytest.approx(1 / 20_000, abs=2e-4)  # math.comb(24, 12) / 2 divisions are further apart: none


def test_with_no_difference_divisions_are_uniform() -> None:
    """A randomisation p-value is at most 5% in at most 5% of worlds where the tag means nothing."""
    names, rng, shares = list("abcdefgh"), np.random.default_rng(1), []
    for _ in range(300):
        values = dict(zip(names, rng.normal(size=8).tolist(), strict=True))
        shares.append(exchanged(values, names[:4], names[4:], {n: n for n in names}, rng).share)
    assert np.mean(np.array(shares) <= 0.05) <= 0.08
    assert 0.4 < np.mean(shares) < 0.6


def test_a_sum_of_two_models_is_their_paired_difference(tmp_path: Path) -> None:
    cells = [model(tmp_path, name, level, {}) for name, level in (("a1", 0.3), ("b", 0.36), ("c", 0.4))]
    arms = {arm.name: arm for arm in arms_of(cells)}
    found = measured(arms, "first_token", KEY, np.random.default_rng(0), 2000)
    assert found is not None
    one = found.sum({"a1": 1.0, "b": -1.0})
    scores = [arms[name].scores("first_token") for name in ("a1", "b")]
    other = paired(*scores, np.random.default_rng(1), 2000).interval
    assert one.value == pytest.approx(other.value)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.002)
    assert found.n == other.n == 48
    assert found.method == "paired bootstrap over 8 items and 6 countries"  # no word of trainings that there were not
    assert found.sum({"c": 1.0}).value == pytest.approx(scores[0]["value"].mean() + 0.1, abs=0.01)


def test_what_models_do_not_share_is_not_measured(tmp_path: Path) -> None:
    cells = [model(tmp_path, "a1", 0.3, {}), model(tmp_path, "b", 0.3, {}, measure="emd")]
    arms = {arm.name: arm for arm in arms_of(cells)}
    for audit, key in itertools.product(("first_token", "edc"), (KEY, ("between_ratio", "country", "all"))):
        assert measured(arms, audit, key, np.random.default_rng(0), 100) is None
    assert measured({}, "first_token", KEY, np.random.default_rng(0), 100) is None


def test_a_model_that_is_not_in_a_sum_does_not_spoil_it() -> None:
    found = Measured(("a", "b", "c"), np.array([0.5, 0.2, math.inf]), 4, "no interval", lambda w: np.empty(0))
    assert found.sum({"a": 1.0, "b": -1.0}).value == pytest.approx(0.3)
    assert found.sum({"a": 1.0, "c": -1.0}).value == -math.inf
