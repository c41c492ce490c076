"""Hypotheses on sets of arms: the mean over them, differences of differences, and what their intervals cover."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from data.files import write_json
from eval.bootstrap import contrasted, paired, percentile_interval
from eval.cells import CellResult
from eval.compare import compare
from eval.distances import js_distance
from eval.inference import Hypothesis
from eval.panels import Panel
from eval.records import SCORE_COLUMNS
from eval.variation import variation_contrasts, variation_differences, variation_of
from eval.variation_measures import between_ratio, within_ratio

COUNTRIES = ("NOR", "SWE", "USA", "AUS", "DEU")
KEYS = ["item", "country", "age", "sex", "education", "condition", "stratum"]
Level = tuple[int, int]


def people(item: int, country: int) -> np.ndarray:
    return np.random.default_rng([item, country]).dirichlet([3, 2, 2])


def answers(items: pd.DataFrame) -> pd.DataFrame:
    return items.drop_duplicates(KEYS).reset_index(drop=True)


def evidence(pull: float, noise: float, seed: int, countries: tuple[str, ...] = COUNTRIES) -> pd.DataFrame:
    """A model that answers `pull` of the way from uniform to people, and with its own noise."""
    rng, rows = np.random.default_rng(seed), []
    for i, c in itertools.product(range(5), range(len(countries))):
        q = people(i, c)
        p = (1 - noise) * (pull * q + (1 - pull) / 3) + noise * rng.dirichlet(np.ones(3))
        group = dict(zip(KEYS, (f"i{i}", countries[c], "", "", "", "country", "held_out"), strict=True))
        rows.append(group | {"order": "[0, 1, 2]", "p": p, "q": q, "n": 500.0, "option_mass": 0.9})
        rows[-1] |= {"positions": None, "ordered": False}
    return pd.DataFrame(rows)


PULLS = {"sft": 0.9, "match": 0.8, "dpo": 0.5, "rlhf": 0.3}


def cells(root: Path, arms: Mapping[str, float], levels: tuple[Level, ...], noise: float = 0.05) -> list[CellResult]:
    """Finished cells of `arms` ("sft-full": pull) with unit scores and evidence."""
    found = []
    for number, (arm, pull) in enumerate(arms.items()):
        recipe, _, adapter = arm.partition("-")
        for seed, draw in levels if recipe != "none" else ((0, 0),):
            items = evidence(pull, noise, 100 * number + 10 * seed + draw)
            value = js_distance(np.stack(items["p"].to_list()), np.stack(items["q"].to_list()))
            folder = root / f"{arm}--s{seed}--d{draw}--00000000"
            audit = folder / "audits" / "first_token"
            audit.mkdir(parents=True)
            items.to_parquet(audit / "items.parquet")
            items.assign(measure="js_distance", value=value)[list(SCORE_COLUMNS)].to_parquet(audit / "scores.parquet")
            record = {"audit": "first_token", "settings": {}, "excluded": {}, "estimates": []}
            write_json(audit / "estimates.json", record)
            config = {"audit": {"first_token": {}}, "recipe": {"name": recipe}, "adapter": {"name": adapter}}
            names = (recipe, adapter or "full", "diverse")
            found.append(CellResult(arm, seed, draw, folder, {"state": "done"}, config, *names))
    return found


def asked(expect: str = "higher", margin: float = 0.1, measure: str = "between_ratio", **more: Any) -> Hypothesis:
    sides: dict[str, Any] = {"arm": ("sft-full", "match-full"), "against": ("dpo-full", "rlhf-full")} | more
    name = "h" if measure == "between_ratio" else f"h of {measure}"
    return Hypothesis(name, "S.", "first_token", measure, expect=expect, margin=margin, **sides)  # type: ignore[arg-type]


def run(found: list[CellResult], *hypotheses: Hypothesis, draws: int = 200) -> dict[str, Any]:
    return compare(
        found, hypotheses, experiment="test", draws=draws, answers={"first_token": answers}, gate_audit="first_token"
    )[0]


BASE = {"none": 0.2}
EACH = tuple((seed, seed) for seed in range(3))
FULL = BASE | {f"{recipe}-full": pull for recipe, pull in PULLS.items()}
GRID = FULL | {f"{recipe}-lora": pull for recipe, pull in PULLS.items()}


MINUS: dict[str, Any] = {"arm": ("sft-lora", "match-lora"), "against": ("dpo-lora", "rlhf-lora")}
MEASURES = ("between_ratio", "within_ratio", "js_distance")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[CellResult], dict[str, Any]]:
    """Cells of four objectives x two adapters, and what all hypotheses of this module come to."""
    found = cells(tmp_path_factory.mktemp("grid"), GRID | {"dpo-lora": 0.7}, EACH, noise=0.02)
    hypotheses = [asked(), asked("lower", 0.02, "js_distance"), replace(asked("same"), name="rival")]
    for measure in MEASURES:
        one = asked("same", 0.5, measure)
        hypotheses += [replace(one, name=f"nested {measure}", minus=MINUS), replace(one, name=f"full {measure}")]
        hypotheses += [replace(one, name=f"lora {measure}", **MINUS)]
    return found, run(found, *hypotheses, draws=600)


def of_arms(found: list[CellResult], measure: str) -> dict[str, float]:
    """Each arm's mean over its cells, computed cell by cell."""

    def one(cell: CellResult) -> float:
        if measure == "js_distance":
            return float(cell.scores("first_token")["value"].mean())
        statistic = {"between_ratio": between_ratio, "within_ratio": within_ratio}[measure]
        return float(statistic(Panel.of(answers(cell.items("first_token"))))[0])

    return {arm: float(np.mean([one(cell) for cell in found if cell.arm == arm])) for arm in GRID}


def test_sets_come_to_verdicts_in_words(grid: tuple[list[CellResult], dict[str, Any]]) -> None:
    found, summary = grid
    verdicts = summary["verdicts"][:3]
    assert [one["verdict"] for one in verdicts] == ["SUPPORTED", "SUPPORTED", "CONTRADICTED"]
    assert verdicts[0]["sentence"].endswith(
        "Compared: mean of sft-full, match-full minus mean of dpo-full, rlhf-full; 4 trained arms, each with "
        "3 training seeds, each with a data draw of its own."
    )
    primary = [one for one in summary["comparisons"] if one["family"] == "primary"]
    sides = [(one["arm"], one["against"], one["name"]) for one in primary]
    assert len(set(sides)) == len(sides) == 9  # rivals are one comparison
    assert sides[0] == ("mean of sft-full, match-full", "mean of dpo-full, rlhf-full", "between_ratio")
    assert "3 training seeds, each with a data draw of its own, by Student's t" in primary[0]["method"]
    for one in primary[:2]:
        arm = of_arms(found, one["name"])
        expected = (arm["sft-full"] + arm["match-full"]) / 2 - (arm["dpo-full"] + arm["rlhf-full"]) / 2
        assert one["value"] == pytest.approx(expected)
        assert np.isfinite(one["low_here"]) == (one["name"] == "js_distance")


@pytest.mark.parametrize("measure", MEASURES)
def test_differences_of_differences_by_hand(grid: tuple[list[CellResult], dict[str, Any]], measure: str) -> None:
    found, summary = grid
    told = {one["hypothesis"]: one for one in summary["verdicts"]}
    nested, full, lora = (told[f"{what} {measure}"] for what in ("nested", "full", "lora"))
    arm = of_arms(found, measure)
    expected = arm["sft-full"] + arm["match-full"] - arm["dpo-full"] - arm["rlhf-full"]
    expected -= arm["sft-lora"] + arm["match-lora"] - arm["dpo-lora"] - arm["rlhf-lora"]
    assert nested["value"] == pytest.approx(expected / 2) == pytest.approx(full["value"] - lora["value"])
    assert nested["verdict"] == "EQUIVALENT"
    assert (nested["contrast"]["factor"], nested["contrast"]["warning"]) == ("parameters", "")
    assert full["contrast"]["factor"] == "objective"


def test_variation_is_decomposed_by_its_value_in_each_arm(grid: tuple[list[CellResult], dict[str, Any]]) -> None:
    found, summary = grid
    effects, ratio = summary["effects"], of_arms(found, "between_ratio")
    assert effects["factors"] == ["objective", "trained parameters"]
    rows = {one["effect"]: one for one in effects["rows"] if one["name"] == "between_ratio"}
    assert len(rows) == 4 + 1 + 4
    lora = np.mean([ratio[f"{recipe}-lora"] - ratio[f"{recipe}-full"] for recipe in PULLS])
    parameters = rows["trained parameters: lora − full"]
    assert parameters["value"] == pytest.approx(lora)
    assert parameters["low"] < lora < parameters["high"]
    assert parameters["method"].startswith("balanced contrast of 8 arms; paired bootstrap over 5 items and 5 countries")
    of_dpo = ratio["dpo-lora"] - ratio["dpo-full"] - lora
    assert rows["objective × trained parameters: (dpo − mean) × (lora − full)"]["value"] == pytest.approx(of_dpo)
    assert {one["name"] for one in effects["rows"]} == set(MEASURES)


def test_a_set_without_seeds_or_with_a_collapsed_arm_has_no_verdict(tmp_path: Path) -> None:
    found = cells(tmp_path, FULL, ((0, 0),))
    broken = replace(found[-1], manifest={"state": "done", "collapsed": {"step": 3, "reason": "entropy"}})
    lacking = replace(asked(measure="nothing"), name="lacking")
    one, other = run([*found[:-1], broken], asked(), lacking, draws=50)["verdicts"]
    assert (one["verdict"], other["verdict"]) == ("NO VERDICT", "NO VERDICT")
    assert (
        "fewer than two training seeds: sft-full, match-full, dpo-full, rlhf-full; rlhf-full has collapsed"
        in (one["sentence"])
    )
    assert "first_token has no nothing for all, condition country, that all of its arms share" in other["sentence"]
    with pytest.raises(ValueError, match="hypothesis 'h' names arm 'ppo'"):
        run(found, asked(against=("dpo-full", "ppo")))
    with pytest.raises(ValueError, match="two hypotheses are called 'h'"):
        run(found, asked(), asked("same"))


def scores(shift: Mapping[Level, float], items: int = 4, countries: int = 4) -> pd.DataFrame:
    """Unit scores that differ between cells alone, so that seeds are all the noise there is."""
    fixed = {"measure": "m", "condition": "c", "stratum": "held_out", "age": "", "sex": "", "education": "", "n": 1.0}
    rows = [
        {"item": f"i{i}", "country": f"C{c}", "seed": seed, "draw": draw, "value": value}
        for (seed, draw), value in shift.items()
        for i, c in itertools.product(range(items), range(countries))
    ]
    return pd.DataFrame(rows).assign(**fixed)


@pytest.mark.parametrize("levels", [EACH, tuple((seed, 0) for seed in range(3))], ids=["own draws", "one draw"])
def test_the_noise_of_seeds_is_that_of_the_contrast_seed_by_seed(levels: tuple[Level, ...]) -> None:
    a, b, c = ((1.0, 1.4, 1.5), (2.0, 2.1, 2.5), (0.5, 1.0, 0.9))
    tables = [scores(dict(zip(levels, arm, strict=True))) for arm in (a, b, c)]
    each = (np.array(a) + np.array(b)) / 2 - np.array(c)
    found = contrasted(tables, [0.5, 0.5, -1.0], np.random.default_rng(0), 20_000).interval
    half = student.ppf(0.975, 2) * each.std(ddof=1) / 3**0.5
    assert found.value == pytest.approx(each.mean())
    assert (found.low, found.high) == pytest.approx((each.mean() - half, each.mean() + half), abs=0.01)


def test_two_arms_are_the_paired_difference_and_sets_the_mean_of_such() -> None:
    rng = np.random.default_rng(1)
    tables = [scores({(0, 0): 0.0}).assign(value=lambda t: rng.normal(size=len(t))) for _ in range(3)]
    two = contrasted(tables[:2], [1.0, -1.0], np.random.default_rng(0), 300)
    same = paired(tables[0], tables[1], np.random.default_rng(0), 300)
    assert two.interval == same.interval
    several = contrasted(tables, [0.5, -1.0, 0.5], np.random.default_rng(0), 300).interval
    apart = [contrasted([one, tables[1]], [1.0, -1.0], np.random.default_rng(0), 300).interval.value for one in tables]
    assert several.value == pytest.approx((apart[0] + apart[2]) / 2)


def test_variation_of_sets_is_the_contrast_in_every_replicate() -> None:
    a, b, c = (answers(evidence(pull, 0.1, seed)) for seed, pull in enumerate((0.9, 0.6, 0.3)))
    arms = [{(0, 0): one} for one in (a, b, c)]
    setting = ("country", "held_out")

    def replicates(weights: list[float], name: str) -> np.ndarray:
        (one,) = variation_contrasts(arms, weights, *setting, np.random.default_rng(0), 200, (name,))
        return one.replicates

    found = replicates([0.5, 0.5, -1.0], "between_ratio")
    parts = [replicates(weights, "between_ratio") for weights in ([1.0, 0.0, -1.0], [0.0, 1.0, -1.0])]
    assert found == pytest.approx((parts[0] + parts[1]) / 2)
    values = [between_ratio(Panel.of(one))[0] for one in (a, b, c)]
    (one,) = variation_contrasts(arms, [0.5, 0.5, -1.0], *setting, np.random.default_rng(0), 200, ("between_ratio",))
    assert one.estimate.value == pytest.approx((values[0] + values[1]) / 2 - values[2])
    assert (one.estimate.low, one.estimate.high) == pytest.approx(percentile_interval(found))
    pair = variation_differences(arms[0], arms[1], np.random.default_rng(0), 200)
    assert {each.estimate.name for each in pair} == {"between_ratio", "between_structure", "within_ratio", "mode_share"}
    assert variation_of(arms, "country", "seen_items", np.random.default_rng(0), 10) == []


@pytest.mark.slow
@pytest.mark.parametrize("levels", [EACH, tuple(itertools.product(range(3), range(2)))], ids=["own draws", "crossed"])
def test_intervals_of_differences_of_differences_cover_the_truth(levels: tuple[Level, ...]) -> None:
    """Four arms with effects of item and country of their own, and noise of seeds and of data draws (each alike in all
    arms and of their own). 95% should be covered; `-s` prints how many of 2000 were (the draw of them: 0.5 points).
    """
    rng, hits, many = np.random.default_rng(0), 0, 2000
    for _ in range(many):
        shared_noise = {"seed": rng.normal(size=3), "draw": rng.normal(size=3)}
        tables = []
        for _arm in range(4):
            own = {name: noise + rng.normal(size=3) for name, noise in shared_noise.items()}
            shift = {(seed, draw): own["seed"][seed] + own["draw"][draw] for seed, draw in levels}
            table = scores(shift, 8, 8)
            effects = [rng.normal(size=8) for _ in range(2)]
            item, country = (table[name].str[1:].astype(int).to_numpy() for name in ("item", "country"))
            tables.append(table.assign(value=table["value"] + effects[0][item] + effects[1][country]))
        interval = contrasted(tables, [1.0, -1.0, -1.0, 1.0], rng, 400).interval
        hits += interval.low <= 0 <= interval.high
    print(f"{len(levels)} cells: {hits / many:.3f} of {many} intervals hold the truth")
    assert 0.93 <= hits / many <= 0.985


@pytest.mark.slow
def test_intervals_of_sets_cover_a_true_difference_of_variation() -> None:
    """Arms (0.8, 0.6) against (0.5, 0.3) of the way from uniform to people, 3 seeds, 12 x 12: the truth is the contrast
    over many questions and countries.
    """
    pulls, weights = (0.8, 0.6, 0.5, 0.3), [0.5, 0.5, -0.5, -0.5]

    def tables(rng: np.random.Generator, items: int, countries: int) -> list[dict[Level, pd.DataFrame]]:
        q = {(i, c): rng.dirichlet([6, 4, 4]) for i in range(items) for c in range(countries)}

        def answered(pull: float) -> pd.DataFrame:
            rows = [
                {"item": f"i{i}", "country": f"C{c:02}", "condition": "country", "stratum": "held_out", "n": 1e9}
                | {"p": 0.95 * (pull * one + (1 - pull) / 3) + 0.05 * rng.dirichlet(np.ones(3)), "q": one}
                for (i, c), one in q.items()
            ]
            return pd.DataFrame(rows).assign(age="", sex="", education="")

        return [{level: answered(pull) for level in EACH} for pull in pulls]

    def contrast(arms: list[dict[Level, pd.DataFrame]], rng: np.random.Generator, draws: int) -> Any:
        found = variation_contrasts(arms, weights, "country", "held_out", rng, draws, ("between_ratio",))
        return found[0].estimate

    rng = np.random.default_rng(0)
    truth = np.mean([contrast(tables(rng, 40, 20), rng, 2).value for _ in range(8)])
    found = [contrast(tables(rng, 12, 12), rng, 300) for _ in range(150)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.9 <= covered <= 1.0
