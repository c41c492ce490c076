"""Intervals keep to the scale of their measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.bootstrap import Interval
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
