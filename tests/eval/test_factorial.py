from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.formula.api import ols

from eval.bootstrap import paired
from eval.factorial import Effect, decompose
from eval.records import SCORE_COLUMNS

FACTORS = ("objective", "parameters", "data")
LEVELS = (("match", "dpo", "sft"), ("full", "lora"), ("people", "shuffled"))
Arms = dict[tuple[str, ...], pd.DataFrame]


def experiment(
    truth: Callable[[tuple[str, ...]], float], noise: float = 0.0, seeds: int = 1, items: int = 6, countries: int = 5
) -> Arms:
    """Unit scores: an effect of the arm, of the item and country (shared by all arms), and noise."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=items)[:, None] + rng.normal(size=countries)
    fixed = {"measure": "m", "condition": "c", "stratum": "held_out", "age": "", "sex": "", "education": "", "n": 1.0}
    arms = {}
    for levels in itertools.product(*LEVELS):
        rows = [
            {"item": f"i{i}", "country": f"C{c}", "seed": s, "draw": 0, "value": truth(levels) + shared[i, c]}
            for s, i, c in itertools.product(range(seeds), range(items), range(countries))
        ]
        table = pd.DataFrame(rows).assign(**fixed)
        table["value"] += noise * rng.normal(size=len(table))
        arms[levels] = table[[*SCORE_COLUMNS, "seed", "draw"]]
    return arms


def by_name(effects: list[Effect]) -> dict[str, Effect]:
    return {one.name: one for one in effects}


def test_effects_by_hand() -> None:
    def truth(levels: tuple[str, ...]) -> float:
        dpo, lora, shuffled = (levels[0] == "dpo"), (levels[1] == "lora"), (levels[2] == "shuffled")
        return 3.0 * dpo + 1.0 * lora + 0.5 * shuffled + 2.0 * dpo * lora

    found = by_name(decompose(experiment(truth), FACTORS, np.random.default_rng(0), 200))
    assert len(found) == 1 + (3 + 1 + 1) + (3 + 3 + 1) + 3
    value = {name: one.value for name, one in found.items()}
    assert value["parameters: lora − full"] == pytest.approx(1 + 2 / 3)
    assert value["data: shuffled − people"] == pytest.approx(0.5)
    assert value["objective: dpo − mean"] == pytest.approx(4 - 4 / 3)
    assert value["objective × parameters: (dpo − mean) × (lora − full)"] == pytest.approx(2 - 2 / 3)
    assert value["objective × data: (dpo − mean) × (shuffled − people)"] == pytest.approx(0, abs=1e-12)
    # Items and countries shift all arms alike: effects have no noise here, the mean has.
    dpo = found["objective: dpo − mean"]
    assert (dpo.low, dpo.high) == pytest.approx((dpo.value, dpo.value))
    assert found["mean"].high - found["mean"].low > 0.5
    assert dpo.n == 30
    assert dpo.method == (
        "balanced contrast of 12 arms; bootstrap over 6 items and 5 countries; one training seed and data draw"
    )


def test_effects_reproduce_every_arm_and_agree_with_sum_coded_least_squares() -> None:
    rng = np.random.default_rng(1)
    means = {levels: rng.normal() for levels in itertools.product(*LEVELS)}
    arms = experiment(means.__getitem__, noise=0.3)
    found = by_name(decompose(arms, FACTORS, np.random.default_rng(0), 50))
    table = pd.DataFrame(
        [(*levels, scores["value"].mean()) for levels, scores in arms.items()], columns=[*FACTORS, "y"]
    )
    fit = ols("y ~ C(objective, Sum) * C(parameters, Sum) * C(data, Sum)", table).fit()

    def effect(levels: tuple[str, ...], chosen: tuple[int, ...]) -> float:
        """What the effect of these factors adds to the arm: half the difference, signed, where there are two levels."""
        words, sign = [], 1.0
        for index in chosen:
            names, level = LEVELS[index], levels[index]
            words.append(f"{names[1]} − {names[0]}" if len(names) == 2 else f"{level} − mean")
            sign *= (0.5 if level == names[1] else -0.5) if len(names) == 2 else 1.0
        what = words[0] if len(words) == 1 else " × ".join(f"({word})" for word in words)
        return sign * found[f"{' × '.join(FACTORS[index] for index in chosen)}: {what}"].value

    squares = {}
    for levels, scores in arms.items():
        parts = {
            chosen: effect(levels, chosen) for order in (1, 2, 3) for chosen in itertools.combinations(range(3), order)
        }
        assert found["mean"].value + sum(parts.values()) == pytest.approx(scores["value"].mean(), abs=1e-12)
        for chosen, part in parts.items():
            squares[chosen] = squares.get(chosen, 0.0) + part**2
    total = ((table["y"] - table["y"].mean()) ** 2).sum()
    assert sum(squares.values()) == pytest.approx(total)  # orthogonal: sums of squares add up
    assert fit.params["Intercept"] == pytest.approx(found["mean"].value)
    # patsy sorts levels and codes the last as -1: dpo, match of (dpo, match, sft); full of (full, lora)
    assert fit.params["C(objective, Sum)[S.dpo]"] == pytest.approx(found["objective: dpo − mean"].value)
    assert fit.params["C(parameters, Sum)[S.full]"] == pytest.approx(-found["parameters: lora − full"].value / 2)
    triple = "objective × parameters × data: (match − mean) × (lora − full) × (shuffled − people)"
    name = "C(objective, Sum)[S.match]:C(parameters, Sum)[S.full]:C(data, Sum)[S.people]"
    assert fit.params[name] == pytest.approx(found[triple].value / 4)


def test_two_levels_of_one_factor_are_the_paired_difference() -> None:
    for seeds in (1, 2):
        every = experiment(lambda levels: 1.0 * (levels[0] == "dpo"), 0.5, seeds)
        match, dpo = (every[objective, "full", "people"] for objective in ("match", "dpo"))
        effect = decompose({("match",): match, ("dpo",): dpo}, ["objective"], np.random.default_rng(5), 2000)[1]
        against = paired(dpo, match, np.random.default_rng(5), 2000).interval
        assert effect.name == "objective: dpo − match"
        assert effect.value == pytest.approx(against.value)
        bounds, width = (against.low, against.high), against.high - against.low
        assert (effect.low, effect.high) == pytest.approx(bounds, abs=1e-12 if seeds == 1 else 0.1 * width)
    assert "2 training seeds by Student's t" in effect.method


def test_agrees_with_a_mixed_model() -> None:
    """Random items and countries, fixed objective x parameters x data: estimates equal, standard errors alike."""
    arms = experiment(lambda levels: 0.4 * (levels[1] == "lora"), noise=0.5, items=12, countries=10)
    effect = by_name(decompose(arms, FACTORS, np.random.default_rng(0), 2000))["parameters: lora − full"]
    long = pd.concat(
        [table.assign(**dict(zip(FACTORS, levels, strict=True))) for levels, table in arms.items()], ignore_index=True
    )
    model = smf.mixedlm(
        "value ~ C(objective, Sum) * C(parameters, Sum) * C(data, Sum)",
        long.assign(everything=1),
        groups="everything",
        re_formula="0",
        vc_formula={"item": "0 + C(item)", "country": "0 + C(country)"},
    )
    fit = model.fit(reml=True)
    assert -2 * fit.params["C(parameters, Sum)[S.full]"] == pytest.approx(effect.value, abs=1e-4)
    error = 2 * fit.bse["C(parameters, Sum)[S.full]"]
    assert (effect.high - effect.low) / (2 * 1.96) == pytest.approx(error, rel=0.1)  # .0266 and .0262
    assert effect.low < 0.4 < effect.high
    assert effect.p < 0.01


def test_designs_that_are_not_balanced_are_refused() -> None:
    arms, rng = experiment(lambda _: 0.0), np.random.default_rng(0)
    del arms["dpo", "lora", "people"]
    with pytest.raises(ValueError, match=r"missing: objective=dpo, parameters=lora, data=people$"):
        decompose(arms, FACTORS, rng)
    with pytest.raises(ValueError, match=r"names 3 levels; the factors are \['objective'\]"):
        decompose(arms, ["objective"], rng)
    with pytest.raises(ValueError, match=r"'data' needs two levels or more, found \['people'\]"):
        decompose({key: table for key, table in arms.items() if key[2] == "people"}, FACTORS, rng)
    with pytest.raises(ValueError, match="no arms"):
        decompose({}, FACTORS, rng)
    with pytest.raises(ValueError, match="different names"):
        decompose(arms, ["a", "a", "b"], rng)
    one = experiment(lambda _: 0.0)
    first = next(iter(one))
    one[first] = one[first].assign(measure="other")
    with pytest.raises(ValueError, match="share no unit"):
        decompose(one, FACTORS, rng)


def test_one_unit_has_no_interval() -> None:
    arms = experiment(lambda levels: float(levels[1] == "lora"), items=1, countries=1)
    effect = by_name(decompose(arms, FACTORS, np.random.default_rng(0)))["parameters: lora − full"]
    assert effect.value == pytest.approx(1)
    assert np.isnan([effect.low, effect.high, effect.p]).all()
    assert "no interval: one item and one country" in effect.method
