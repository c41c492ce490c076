"""Intervals keep to the scale of their measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.bootstrap import Interval
from eval.records import Estimate
from eval.summaries import summarise, within_scale


def test_a_distance_has_no_interval_beyond_its_scale() -> None:
    wide = Interval(0.3, -0.4, 1.2, 9, "bootstrap")
    assert within_scale("js_distance", wide)[1:3] == (0.0, 1.0)
    assert within_scale("entropy", wide)[1:3] == (0.0, 1.2)
    assert within_scale("us_centrism", wide) == wide
    assert np.isnan(within_scale("emd", wide._replace(low=np.nan, high=np.nan))[1:3]).all()


def test_summaries_are_clipped() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "measure": name,
            "condition": "country",
            "stratum": "held_out",
            "item": item,
            "country": country,
            "value": value,
        }
        for name, shift in (("js_distance", 0.0), ("us_centrism", -0.5))
        for item, far in (("i", 0.0), ("j", 0.1), ("k", 0.9))
        for country in "ABCD"
        for value in [far + shift]
    ]
    found = {one.name: one for one in summarise(pd.DataFrame(rows), rng, 500)}
    assert (found["js_distance"].low, found["js_distance"].high) == (0.0, 1.0)
    assert found["us_centrism"].low < found["us_centrism"].value - 0.5
    assert found["us_centrism"].value == pytest.approx(found["js_distance"].value - 0.5)


def scored(measure: str, values: dict[str, float], countries: int, condition: str = "country") -> pd.DataFrame:
    """Every item has one value, the same in all countries."""
    units = [(item, f"C{number}", value) for item, value in values.items() for number in range(countries)]
    table = pd.DataFrame(units, columns=["item", "country", "value"])
    return table.assign(measure=measure, condition=condition, stratum="held_out")


def only(table: pd.DataFrame) -> Estimate:
    (found,) = summarise(table, np.random.default_rng(0), 200)
    return found


def test_countries_that_are_all_alike_say_what_a_share_could_be() -> None:
    """Ten countries of ten: unlike ones could be 1 - 0.025^(1/10) of all, 31% (the rule behind "three over n")."""
    unseen = 1 - 0.025 ** (1 / 10)
    assert unseen == pytest.approx(0.3085, abs=1e-4)
    one = only(scored("top1_agreement", {"i": 0.0}, 10))
    assert (one.value, one.low, one.high) == pytest.approx((0, 0, unseen))
    two = only(scored("top1_agreement", {"i": 0.0, "j": 1.0}, 10))  # two items are taken as given
    assert (two.value, two.low, two.high) == pytest.approx((0.5, 0.5 * (1 - unseen), 0.5 + 0.5 * unseen))
    even = only(scored("top1_agreement", {"i": 0.25}, 10, "reference:uniform"))
    assert (even.low, even.high) == pytest.approx((0.25, 0.25))


def test_one_answer_for_all_countries_has_no_interval_over_countries() -> None:
    found = only(scored("option_mass", {"i": 0.6, "j": 0.8}, 10, "none"))
    assert found.value == pytest.approx(0.7)
    assert np.isnan([found.low, found.high]).all()
    assert found.method.startswith("no interval: alike in all countries; bootstrap over 10 countries; these 2 items")
    nothing = only(scored("js_distance", {"i": 0.0, "j": 0.0}, 10))
    assert (nothing.low, nothing.high) == (0, 0)
