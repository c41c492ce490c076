"""Verdicts where the difference is known: of single experiments compared as a whole, and how often of many simulated.

    python -m pytest -m slow -s tests/eval/test_known_effects.py        # prints the table

Scores of unit = level + item + country + what the arm does to that item and to that country + training seed + unit, and
`effect` for the first arm: a distance of 0.4 on 12 items x 12 countries, 3 seeds, against a margin of 0.03. Cells are
written as the pipeline leaves them and compared as it does; the simulation computes the same numbers from arrays, which
is tested. tests/launch/test_known_effects.py goes all the way from YAML to verdict.

Percent of 2000 experiments that end in each verdict (standard error 0.3 points near 2.5%):

    an effect of four margins                     SUPPORTED 100
    one in the other direction                    CONTRADICTED 100
    none, precisely                               EQUIVALENT 98.5, INCONCLUSIVE 1.4
    an effect, two seeds of much noise            INCONCLUSIVE 92.0, SUPPORTED 8.1
    none, much noise                              INCONCLUSIVE 98.3, CONTRADICTED 1.7

    wrong where the truth is on the border        (2.5% by design)
    SUPPORTED at the margin                       1.8
    CONTRADICTED at the margin                    1.4
    EQUIVALENT at the margin                      0.8
    SUPPORTED without effect or margin            1.4
    SUPPORTED at the margin, 3 seeds dominate     2.5
    SUPPORTED at the margin, 2 seeds dominate     1.5
    SUPPORTED at the margin, sets                 1.0
    any directed of four claims on nothing        1.3    (5% by design, by Holm's correction)

Wrong verdicts come less often than 2.5% where seeds add little: Student's t with few seeds makes intervals wide.
"""

from __future__ import annotations

import itertools
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from data.files import write_json
from eval.bootstrap import Resampled, percentile_interval
from eval.cells import CellResult
from eval.compare import compare
from eval.contrasts import subject
from eval.distances import FloatArray
from eval.inference import Hypothesis, bootstrap_p, decide, equivalence_p, holm
from eval.records import SCORE_COLUMNS, Verdict
from eval.units import Units

MARGIN, DRAWS, EXPERIMENTS = 0.03, 500, 2_000
AUDIT, ARMS = "first_token", "abcdefgh"
Expect = Literal["lower", "higher", "same"]


@dataclass(frozen=True)
class World:
    """Standard deviations of what moves scores: what an arm does to an item and to a country, training seeds, units."""

    own: float = 0.02
    seed: float = 0.005
    unit: float = 0.03
    seeds: int = 3
    items: int = 12
    countries: int = 12

    @property
    def items_and_countries(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(f"i{n:02d}" for n in range(self.items)), tuple(f"c{n:02d}" for n in range(self.countries))


def scores(effects: Sequence[float], world: World, number: int) -> FloatArray:
    """Of arms a, b, c …, each with its effect, (arms, seeds, items, countries); they share items and countries."""
    rng = np.random.default_rng([number, len(effects)])
    shape = (world.items, world.countries)
    shared = 0.4 + rng.normal(0, 0.05, (world.items, 1)) + rng.normal(0, 0.03, (1, world.countries))
    found = []
    for effect in effects:
        own = rng.normal(0, world.own, (world.items, 1)) + rng.normal(0, world.own, (1, world.countries))
        seeds = rng.normal(0, world.seed, (world.seeds, 1, 1)) + rng.normal(0, world.unit, (world.seeds, *shape))
        found.append(shared + own + effect + seeds)
    return np.stack(found)


def compared(values: FloatArray, claims: Sequence[Hypothesis], world: World, number: int) -> list[dict[str, Any]]:
    """The verdicts of the comparison of such cells on disk."""
    units = pd.DataFrame(itertools.product(*world.items_and_countries), columns=["item", "country"]).assign(
        measure="js_distance", condition="country", stratum="held_out", age="", sex="", education="", n=500.0
    )
    cells = []
    with tempfile.TemporaryDirectory() as root:
        for arm, seed in itertools.product(range(len(values)), range(world.seeds)):
            folder = Path(root) / f"{ARMS[arm]}--s{seed}--d0--00000000"
            audit = folder / "audits" / AUDIT
            audit.mkdir(parents=True)
            table = units.assign(value=values[arm, seed].reshape(-1))
            table[list(SCORE_COLUMNS)].to_parquet(audit / "scores.parquet")
            write_json(audit / "estimates.json", {"settings": {}, "excluded": {}, "estimates": []})
            config = {"audit": {AUDIT: {}}, "limit": None}
            cells.append(CellResult(ARMS[arm], seed, 0, folder, {"state": "done"}, config, "match", "full", "diverse"))
        summary, _ = compare(cells, claims, experiment="known", draws=DRAWS, seed=number, gate_audit="none")
    found: list[dict[str, Any]] = summary["verdicts"]
    return found


def quickly(values: FloatArray, claims: Sequence[Hypothesis], world: World, number: int) -> list[Verdict]:
    """The same from the arrays: claims on different comparisons, two seeds or more."""
    levels = tuple((seed, 0) for seed in range(world.seeds))
    arms = {name: Units(own, np.ones_like(own), *world.items_and_countries, levels, True)
            for name, own in zip(ARMS, values, strict=False)}  # fmt: skip
    found = []
    for one in claims:
        names = (*one.pair, AUDIT) if one.pair else subject(one)
        rng = np.random.default_rng([number, *(zlib.crc32(name.encode()) for name in names)])
        named, weights = [arms[name] for name in one.weights], list(one.weights.values())
        replicates = Resampled.of(named, DRAWS, rng).replicates(weights, rng)
        found.append((float(np.dot(weights, [arm.value for arm in named])), replicates))
    adjusted = holm([bootstrap_p(replicates) for _, replicates in found])
    return [
        decide(one, value, *percentile_interval(draws), p_holm=p, p_equivalence=equivalence_p(draws, one.margin))
        for one, (value, draws), p in zip(claims, found, adjusted, strict=True)
    ]


def claim(
    expect: Expect, arm: str | tuple[str, ...] = "a", against: str | tuple[str, ...] = "b", margin: float = MARGIN
) -> Hypothesis:
    name = f"{arm} {against} {expect}"
    return Hypothesis(name, "s", AUDIT, "js_distance", arm, against, expect, margin)


@pytest.mark.parametrize(
    ("effect", "expect", "world", "word"),
    [
        (-0.12, "lower", World(), "SUPPORTED"),
        (+0.12, "higher", World(), "SUPPORTED"),
        (+0.12, "lower", World(), "CONTRADICTED"),
        (-0.12, "higher", World(), "CONTRADICTED"),
        (-0.12, "same", World(), "CONTRADICTED"),
        (0.0, "same", World(own=0.005), "EQUIVALENT"),
        (0.0, "lower", World(own=0.005), "EQUIVALENT"),
        (-0.12, "lower", World(seed=0.06, seeds=2), "INCONCLUSIVE"),  # too few seeds for their noise
        (0.0, "lower", World(seed=0.06), "INCONCLUSIVE"),  # no effect, and too much noise to call it none
        (0.0, "same", World(own=0.06), "INCONCLUSIVE"),  # too few items for what arms do to single ones
        (-0.12, "lower", World(seeds=1), "NO VERDICT"),
    ],
)
def test_a_known_difference_gets_its_verdict(effect: float, expect: Expect, world: World, word: str) -> None:
    (found,) = compared(scores((effect, 0.0), world, 1), [claim(expect)], world, 1)
    assert found["verdict"] == word, found["sentence"]
    if word not in ("INCONCLUSIVE", "NO VERDICT"):
        assert found["low"] - 0.01 <= effect <= found["high"] + 0.01


def test_sets_of_arms_get_theirs() -> None:
    """Two arms with an effect of their own each, whose mean is -0.12, against two without."""
    effects, world = (-0.16, -0.08, 0.0, 0.0), World(own=0.01)
    claims = [
        claim("lower", ("a", "b"), ("c", "d")),
        claim("higher", ("a", "b"), ("c", "d")),
        claim("same", ("a", "c"), ("b", "d"), margin=0.1),
    ]
    found = [one["verdict"] for one in compared(scores(effects, world, 3), claims, world, 3)]
    assert found == ["SUPPORTED", "CONTRADICTED", "EQUIVALENT"]
    alone = World(seeds=1)
    assert {one["verdict"] for one in compared(scores(effects, alone, 3), claims, alone, 3)} == {"NO VERDICT"}


def test_the_quick_way_says_what_the_whole_comparison_says() -> None:
    claims = [
        *(claim("lower"), claim("same", "a", "c"), claim("higher", "b", "c", 0.01)),
        *(claim("same", ("a", "b"), ("c", "d")), claim("lower", ("a", "d"), "c")),
    ]
    for number, world in enumerate((World(), World(seed=0.06, seeds=2), World(own=0.002, items=5))):
        values = scores((-0.12, 0.0, 0.03, 0.0), world, number)
        whole, quick = compared(values, claims, world, number), quickly(values, claims, world, number)
        assert [one["verdict"] for one in whole] == [one.verdict for one in quick]
        for one, other in zip(whole, quick, strict=True):
            numbers = [one[name] for name in ("value", "low", "high", "p_equivalence")]
            assert numbers == pytest.approx([other.value, other.low, other.high, other.p_equivalence], abs=1e-9)


def counted(effect: float, one: Hypothesis, world: World, setting: str) -> Counter[str]:
    """Percent of experiments that end in each verdict."""
    words = [quickly(scores((effect, 0.0), world, n), [one], world, n)[0].verdict for n in range(EXPERIMENTS)]
    percent = Counter({word: 100 * count / EXPERIMENTS for word, count in Counter(words).most_common()})
    print(f"\n{setting:45s}", ", ".join(f"{word} {share:.1f}" for word, share in percent.items()))
    return percent


SURE = {
    "an effect of four margins": (-0.12, claim("lower"), World(), "SUPPORTED"),
    "one in the other direction": (+0.12, claim("lower"), World(), "CONTRADICTED"),
    "none, precisely": (0.0, claim("same"), World(own=0.005, seed=0.002), "EQUIVALENT"),
    "an effect, two seeds of much noise": (-0.12, claim("lower"), World(seed=0.06, seeds=2), "INCONCLUSIVE"),
    "none, much noise": (0.0, claim("same"), World(seed=0.06), "INCONCLUSIVE"),
}
WRONG = {
    "SUPPORTED at the margin": (-MARGIN, claim("lower"), World(), "SUPPORTED"),
    "CONTRADICTED at the margin": (MARGIN, claim("lower"), World(), "CONTRADICTED"),
    "EQUIVALENT at the margin": (-MARGIN, claim("same"), World(own=0.01), "EQUIVALENT"),
    "SUPPORTED without effect or margin": (0.0, claim("lower", margin=0.0), World(), "SUPPORTED"),
    "SUPPORTED at the margin, 3 seeds dominate": (-MARGIN, claim("lower"), World(seed=0.06), "SUPPORTED"),
    "SUPPORTED at the margin, 2 seeds dominate": (-MARGIN, claim("lower"), World(seed=0.06, seeds=2), "SUPPORTED"),
}
"""The true difference lies on the border of what is said. 2.5% of one side by design."""


@pytest.mark.slow
@pytest.mark.parametrize("setting", SURE)
def test_verdicts_that_are_sure_come_nearly_always_and_their_opposite_seldom(setting: str) -> None:
    effect, one, world, word = SURE[setting]
    found = counted(effect, one, world, setting)
    assert found[word] >= 90
    assert found["SUPPORTED" if word == "CONTRADICTED" else "CONTRADICTED"] <= 2.5


@pytest.mark.slow
@pytest.mark.parametrize("setting", WRONG)
def test_verdicts_that_are_wrong_come_seldom(setting: str) -> None:
    effect, one, world, word = WRONG[setting]
    assert counted(effect, one, world, setting)[word] <= 4


@pytest.mark.slow
def test_of_four_claims_on_nothing_one_is_seldom_decided() -> None:
    """Holm's correction: the chance of any directed verdict among four true nulls is 5%, not 19%."""
    claims = [claim("lower" if arm in "ac" else "higher", arm, "e", 0.0) for arm in "abcd"]
    wrong = 0
    for number in range(EXPERIMENTS):
        found = quickly(scores((0.0,) * 5, World(), number), claims, World(), number)
        wrong += any(one.verdict in ("SUPPORTED", "CONTRADICTED") for one in found)
    print(f"\n{'any of four claims on nothing':45s} {100 * wrong / EXPERIMENTS:.1f}")
    assert wrong <= 0.065 * EXPERIMENTS


@pytest.mark.slow
def test_sets_of_arms_are_no_more_often_wrong() -> None:
    """At the border, two arms against two, which have effects of their own."""
    one, effects = claim("lower", ("a", "b"), ("c", "d")), (-MARGIN - 0.02, -MARGIN + 0.02, 0.0, 0.0)
    words = [quickly(scores(effects, World(), n), [one], World(), n)[0].verdict for n in range(EXPERIMENTS)]
    share = 100 * words.count("SUPPORTED") / EXPERIMENTS
    print(f"\n{'SUPPORTED at the margin, sets':45s} {share:.1f}")
    assert share <= 4
