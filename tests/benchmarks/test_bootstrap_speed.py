"""The bootstrap's cost on a large audit: 10,000 draws over 250 items x 60 countries x 10 arms, and against plain loops.

python -m pytest -m slow -s tests/benchmarks/test_bootstrap_speed.py
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.bootstrap import cluster_counts, mean_interval, paired
from eval.records import SCORE_COLUMNS
from eval.units import Units
from eval.variation import variation_differences

ROOT = Path(__file__).parents[2]
ARMS, ITEMS, COUNTRIES, DRAWS = 10, 250, 60, 10_000
FIXED = {"condition": "country", "stratum": "held_out", "age": "", "sex": "", "education": "", "n": 1000.0}


def scores(arm: int, items: int = ITEMS, countries: int = COUNTRIES) -> pd.DataFrame:
    rng = np.random.default_rng(arm)
    names = pd.DataFrame(itertools.product(range(items), range(countries)), columns=["item", "country"]).astype(str)
    table = names.assign(measure="m", value=rng.random(len(names)), **FIXED)
    return table[list(SCORE_COLUMNS)].assign(seed=0, draw=0)


def answers(arm: int) -> pd.DataFrame:
    """An answers table: people are the same for all arms; a tenth of the groups was not asked."""
    people, rng = np.random.default_rng(1234), np.random.default_rng(arm)
    names = pd.DataFrame(itertools.product(range(ITEMS), range(COUNTRIES)), columns=["item", "country"]).astype(str)
    asked = people.random(len(names)) < 0.9
    q, p = people.dirichlet([2] * 4, len(names)), rng.dirichlet([2] * 4, len(names))
    return names.assign(p=list(p), q=list(q), **FIXED)[asked]


def measured() -> dict[str, float]:
    """CPU seconds of all cores: means and paired differences of unit scores; differences in variation. Peak in GiB."""
    tables = [scores(arm) for arm in range(ARMS)]
    start = time.process_time()
    for table in tables:
        mean_interval(table, np.random.default_rng(0), DRAWS)
    for table in tables[1:]:
        paired(table, tables[0], np.random.default_rng(0), DRAWS)
    means = time.process_time() - start
    asked = [answers(arm) for arm in range(ARMS)]
    start = time.process_time()
    for table in asked[1:]:
        variation_differences({(0, 0): table}, {(0, 0): asked[0]}, np.random.default_rng(0), DRAWS)
    variation = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"means_cpu_s": means, "variation_cpu_s": variation, "peak_gib": peak}


def plain_means(table: pd.DataFrame, items: np.ndarray, countries: np.ndarray) -> list[float]:
    """The replicates of both deviations by loops over rows."""
    rows = list(zip(table["item"].astype(int), table["country"].astype(int), table["value"], strict=True))
    found = []
    for by_item, by_country in zip(items.tolist(), countries.tolist(), strict=True):
        total = [0.0, 0.0, 0.0, 0.0]
        for item, country, value in rows:
            total[0] += by_item[item] * value
            total[1] += by_item[item]
            total[2] += by_country[country] * value
            total[3] += by_country[country]
        found.append(total[0] / total[1] + total[2] / total[3])
    return found


@pytest.mark.slow
def test_ten_arms_take_under_a_minute_and_4_gib() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    found = json.loads(done.stdout)
    print(found)
    assert found["means_cpu_s"] + found["variation_cpu_s"] < 60
    assert found["peak_gib"] < 4


@pytest.mark.slow
def test_many_times_as_fast_as_loops() -> None:
    table, rng = scores(0, 40, 20), np.random.default_rng(0)
    table = table.assign(item=table["item"].str.zfill(2), country=table["country"].str.zfill(2))  # in sorted order
    items, countries = cluster_counts(40, 1000, rng), cluster_counts(20, 1000, rng)
    start = time.process_time()
    slow = plain_means(table, items, countries)
    plain = time.process_time() - start
    start = time.process_time()
    units = Units.of(table)
    fast = units.under(items, 1) + units.under(countries, 2)
    ratio = plain / (time.process_time() - start)
    print(f"{ratio:.0f} times as fast as loops over rows, 40 x 20 units, 1000 draws")
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)
    assert ratio > 10


if __name__ == "__main__":
    print(json.dumps(measured()))
