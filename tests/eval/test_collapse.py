"""The collapse curve: optima worked out by hand, their limits, and what is told of arms whose place is known."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.files import write_json
from eval.cells import CellResult, arms_of
from eval.collapse import LEAST_SHARE, Law, Prompts, Tilt, kl_to_optimum, law_of, tilted, variation_of
from eval.collapse_curves import collapse_curves, grid
from eval.compare import compare
from eval.distances import entropy, js_distance
from eval.pooling import pooled_estimates
from eval.records import SCORE_COLUMNS, Estimate
from eval.summaries import summarise
from eval.survey_scores import UNIT, average_orders, unit_scores
from eval.variation import variation
from train.rewards import optimum

FLAT, PEOPLE = np.array([0.5, 0.5]), np.array([0.8, 0.2])
DPO = {"_target_": "train.recipes.dpo.Dpo", "loss_type": "sigmoid", "learning_rate": 5e-6}
RLHF = {"_target_": "train.recipes.rlhf.Rlhf", "reward": "people", "least_share": 0.001, "entropy_weight": 0.0}
SPL = {"_target_": "train.recipes.spl.Spl"}
COUNTRIES = ("BRA", "GHA", "IND", "NOR", "SWE", "USA")
shares = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda one: np.array(one) / sum(one))


def drawn(k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    policy, reference, people = 0.95 * rng.dirichlet(np.ones(k), size=3) + 0.05 / k
    return policy, reference, people


@pytest.mark.parametrize(
    ("beta", "reference", "wanted"),
    [
        (1.0, (0.5, 0.5), (0.8, 0.2)),  # a flat start and beta 1: the people
        (0.5, (0.5, 0.5), (16 / 17, 1 / 17)),  # 0.64 : 0.04
        (1.0, (0.25, 0.75), (4 / 7, 3 / 7)),  # 0.25 * 0.8 : 0.75 * 0.2
        (1e-3, (0.01, 0.99), (1.0, 0.0)),  # the mode of people, whatever the start
        (1e6, (0.25, 0.75), (0.25, 0.75)),  # the start
    ],
)
def test_two_options_by_hand(beta: float, reference: tuple[float, float], wanted: tuple[float, float]) -> None:
    np.testing.assert_allclose(tilted(reference, PEOPLE, Law().tilt(beta)), wanted, atol=1e-5)


def test_a_split_leash_by_hand() -> None:
    reference = np.array([0.1, 0.9])
    np.testing.assert_allclose(tilted(reference, PEOPLE, Law(pull=0.0).tilt(1.0)), PEOPLE)
    weights = np.array([0.1, 0.9]) ** 0.5 * PEOPLE**2  # a 0.5, b 0.25
    np.testing.assert_allclose(tilted(reference, PEOPLE, Law(pull=0.25).tilt(0.5)), weights / weights.sum())
    np.testing.assert_allclose(Law(pull=0.3).tilt(0.3), Law().tilt(0.3))


def test_an_answer_that_nobody_gave_counts_as_the_least_share() -> None:
    sure = np.array([1.0, 0.0])
    np.testing.assert_allclose(tilted(FLAT, sure, Tilt(1, 1)), np.array([1, LEAST_SHARE]) / (1 + LEAST_SHARE))
    assert math.isfinite(float(kl_to_optimum(FLAT, FLAT, sure, Law().tilt(0.01))))


def test_kl_by_hand() -> None:
    """KL((0.5, 0.5) || (0.8, 0.2)) = 0.5 log(0.5 / 0.8) + 0.5 log(0.5 / 0.2)."""
    away = kl_to_optimum(FLAT, FLAT, PEOPLE, Law().tilt(1.0))
    assert away == pytest.approx(0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(2.5))


@given(st.integers(2, 6), st.floats(0.05, 20), st.integers(0, 10_000))
def test_beta_times_kl_is_what_the_objective_lacks(k: int, beta: float, seed: int) -> None:
    """Expected log share less beta * KL to the start, by its definition, at the optimum and at another policy."""
    policy, reference, people = drawn(k, seed)

    def objective(pi: np.ndarray) -> float:
        safe = np.maximum(pi, 1e-300)
        return float((pi * (np.log(people) - beta * (np.log(safe) - np.log(reference)))).sum())

    tilt = Law().tilt(beta)
    best = tilted(reference, people, tilt)
    lacking = objective(best) - objective(policy)
    assert beta * float(kl_to_optimum(policy, reference, people, tilt)) == pytest.approx(lacking, abs=1e-9)
    assert kl_to_optimum(best, reference, people, tilt) == pytest.approx(0, abs=1e-9)


@given(st.integers(2, 6), st.floats(0.05, 20), st.floats(0, 2), st.integers(0, 10_000))
def test_it_is_the_optimum_that_training_knows(k: int, beta: float, bonus: float, seed: int) -> None:
    _, reference, people = drawn(k, seed)
    known = optimum(torch.tensor(reference).log()[None], torch.tensor(people).log()[None], beta, bonus).exp()[0]
    np.testing.assert_allclose(tilted(reference, people, Law(bonus).tilt(beta)), known.numpy(), atol=1e-12)


@given(shares, st.lists(st.floats(0.05, 50), min_size=2, max_size=6))
def test_from_a_flat_start_dispersion_falls_with_beta_and_the_order_of_answers_stays(
    people: np.ndarray, betas: list[float]
) -> None:
    flat = np.full_like(people, 1 / len(people))
    found = [tilted(flat, people, Law().tilt(beta)) for beta in sorted(betas)]
    spread = [float(entropy(one)) for one in found]
    assert spread == sorted(spread) or np.allclose(spread, sorted(spread), atol=1e-9)
    for one in found:
        assert one.sum() == pytest.approx(1)
        assert (np.diff(one[np.argsort(people, kind="stable")]) >= -1e-12).all()


def test_knobs_that_are_not_above_0_are_refused() -> None:
    with pytest.raises(ValueError, match="beta must be above 0, got 0"):
        Law().tilt(0.0)
    with pytest.raises(ValueError, match="entropy_weight must be above 0, got -1"):
        Law(pull=0.1).tilt(-1.0)


@pytest.mark.parametrize(
    ("recipe", "mixture", "law"),
    [
        (DPO, {}, Law()),
        (RLHF | {"entropy_weight": 0.2, "least_share": 0.01}, {}, Law(0.2, None, 0.01)),
        (SPL | {"cross_entropy_weight": 0.1}, {}, Law(pull=0.1)),
        (DPO | {"loss_type": "ipo"}, {}, "has the loss type ipo, whose optimum is another one"),
        (DPO | {"pairs": "prism/"}, {}, "was trained on the pairs of prism/, not on these people"),
        (RLHF | {"reward": "model"}, {}, "was rewarded by a model, whose rewards are not known here"),
        (RLHF | {"coverage_weight": 1.0}, {}, "has a coverage term, with which the optimum has no closed form"),
        (RLHF | {"estimator": "sampled", "algorithm": "rloo"}, {}, Law()),
        (RLHF | {"estimator": "sampled", "algorithm": "grpo"}, {}, "was trained by grpo, which has another optimum"),
        (DPO, {"control": "neutral"}, "is taught by the control neutral, which is nobody's answers"),
    ],
)
def test_which_recipes_have_which_law(recipe: Mapping[str, Any], mixture: Mapping[str, Any], law: Law | str) -> None:
    assert law_of(recipe, mixture) == law


def test_formulas_in_words() -> None:
    assert Law().formula == "reference × people^(1/beta)"
    assert Law(bonus=0.5).formula == "reference^(beta/(beta + 0.5)) × people^(1/(beta + 0.5))"
    assert Law(pull=0.1).formula == "reference^(0.1/entropy_weight) × people^(1/entropy_weight)"


def evidence(answer: Callable[[np.ndarray, np.ndarray], np.ndarray], held: int = 5, seen: int = 0) -> pd.DataFrame:
    """What the audit leaves where a model answers by `answer` of the base's distribution and the people, in two orders
    of which the base likes the first shown by a little.
    """
    rows = []
    for item, country in itertools.product(range(held + seen), range(len(COUNTRIES))):
        rng = np.random.default_rng([item, country])
        k = 3 + item % 2
        people = 0.9 * rng.dirichlet(np.full(k, 2.0)) + 0.1 / k
        for order in (list(range(k)), list(range(k))[::-1]):
            start = np.random.default_rng(item).dirichlet(np.full(k, 5.0))
            start[order[0]] += 0.2
            start = 0.9 * start / start.sum() + 0.1 * people
            row: dict[str, Any] = dict(zip(UNIT, (f"i{item}", COUNTRIES[country], "", "", "", "country"), strict=False))
            row |= {"stratum": "held_out" if item < held else "seen_items", "order": order, "p": answer(start, people)}
            rows.append(row | {"q": people, "n": 800.0, "option_mass": 0.9, "positions": None, "ordered": False})
    return pd.DataFrame(rows)


def start_of(start: np.ndarray, people: np.ndarray) -> np.ndarray:
    return start


def at_optimum(beta: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda start, people: tilted(start, people, Law().tilt(beta))


def held_out(items: pd.DataFrame) -> pd.DataFrame:
    return items[items["stratum"] == "held_out"]


def test_the_measures_are_those_of_the_audit() -> None:
    answers = average_orders(held_out(evidence(start_of)))
    found = variation_of(answers)
    known = {one.name: one.value for one in variation(answers, np.random.default_rng(0), 50, 9)}
    distances = unit_scores(answers)
    assert found["between_ratio"] == pytest.approx(known["between_ratio"])
    assert found["within_ratio"] == pytest.approx(known["within_ratio"])
    assert found["js_distance"] == pytest.approx(distances[distances["measure"] == "js_distance"]["value"].mean())


def test_an_optimum_is_one_of_every_order_averaged_then() -> None:
    """As if a model at the optimum had been asked: the same table, from its own evidence."""
    prompts = Prompts.of(held_out(evidence(start_of)))
    for beta in (0.2, 1.0, 5.0):
        own, asked = prompts.optimum(Law(), beta), average_orders(held_out(evidence(at_optimum(beta))))
        for name in ("entropy", "mode"):
            np.testing.assert_allclose(own[name], asked[name], atol=1e-12)
        np.testing.assert_allclose(np.concatenate(own["p"].to_list()), np.concatenate(asked["p"].to_list()))


def test_limits_of_the_curve_and_what_it_is_held_against() -> None:
    prompts = Prompts.of(held_out(evidence(start_of)))
    assert variation_of(prompts.optimum(Law(), 1e6)) == pytest.approx(variation_of(prompts.answers), abs=1e-4)
    assert variation_of(prompts.by_people()) == pytest.approx(
        {"between_ratio": 1.0, "within_ratio": 1.0, "js_distance": 0.0}, abs=1e-9
    )
    even = variation_of(prompts.even())
    assert even["between_ratio"] <= 0
    assert even["within_ratio"] > 1
    collapsed = variation_of(prompts.optimum(Law(), 1e-3))
    assert collapsed["within_ratio"] == pytest.approx(0, abs=1e-6)


def test_pooled_people_leave_no_country_its_own_answer() -> None:
    items = evidence(lambda start, people: np.full_like(start, 1 / len(start)))
    apart, pooled = (Prompts.of(held_out(items), pooled) for pooled in (False, True))
    assert variation_of(pooled.optimum(Law(), 1.0))["between_ratio"] == pytest.approx(0, abs=1e-9)
    assert variation_of(apart.optimum(Law(), 1.0))["js_distance"] == pytest.approx(0, abs=1e-2)  # a flat start: people
    mean = np.mean(np.stack(apart.answers.loc[apart.answers["item"] == "i0", "q"].to_list()), axis=0)
    np.testing.assert_allclose(pooled.optimum(Law(), 1.0).loc[0, "p"], mean)


def test_a_grid_reaches_beyond_the_arms_and_has_them() -> None:
    found = grid([0.02, 1.0, 40.0])
    assert {0.02, 1.0, 40.0} <= set(found)
    assert found == sorted(found)
    assert found[0] < 0.02
    assert found[-1] > 40


def write_cell(
    root: Path, arm: str, items: pd.DataFrame, recipe: Mapping[str, Any] | None = None, seed: int = 0, **config: Any
) -> CellResult:
    folder = root / f"{arm}--s{seed}--d0--0000"
    audit = folder / "audits" / "first_token"
    audit.mkdir(parents=True)
    answers = average_orders(items)
    scores = unit_scores(answers)
    rng = np.random.default_rng(0)
    found: list[Estimate] = [*summarise(scores, rng, 50), *variation(answers, rng, 50, 9)]
    items.to_parquet(audit / "items.parquet")
    scores[list(SCORE_COLUMNS)].to_parquet(audit / "scores.parquet")
    write_json(audit / "estimates.json", {"settings": {}, "excluded": {}, "estimates": [asdict(one) for one in found]})
    mixture = {"pooling": "country", "control": None} | config.pop("mixture", {})
    parts = {"audit": {"first_token": {}}, "limit": None, "mixture": mixture, "recipe": dict(recipe or {})}
    parts["parent"] = {"name": "toy", "weights": "w"} | ({"cell": config.pop("start")} if "start" in config else {})
    name = str((recipe or {}).get("_target_", "none")).rpartition(".")[2].lower()
    manifest = {"schema": 1, "state": "done"}
    return CellResult(arm, seed, 0, folder, manifest, parts | config, name, "full", "diverse")


def curves(*cells: CellResult) -> list[dict[str, Any]]:
    arms = {arm.name: arm for arm in arms_of(cells)}
    rng = np.random.default_rng(0)
    estimates = {name: {"first_token": pooled_estimates(arm, "first_token", rng, 200)} for name, arm in arms.items()}
    made = collapse_curves(arms, estimates, lambda *names: np.random.default_rng(len(names)), 200)
    found: list[dict[str, Any]] = json.loads(json.dumps(made)).get("curves", [])
    return found


def test_arms_at_their_optimum_lie_on_the_curve_and_one_that_learned_nothing_where_it_began(tmp_path: Path) -> None:
    cells = [write_cell(tmp_path, "base", evidence(start_of, seen=3))]
    cells += [
        write_cell(tmp_path, f"dpo-{beta}", evidence(at_optimum(beta), seen=3), DPO | {"beta": beta})
        for beta in (0.5, 2.0)
    ]
    cells += [write_cell(tmp_path, "idle", evidence(start_of, seen=3), RLHF | {"beta": 1.0})]
    (curve,) = curves(*cells)
    assert (curve["knob"], curve["reference"], curve["pooled"]) == ("beta", "base", False)
    assert curve["families"] == [["dpo-0.5", "dpo-2.0"]], "idle has another recipe"
    assert {row["group"] for row in curve["points"]} == {"all", "seen items"}
    for row in curve["points"]:
        if row["arm"] != "idle":
            assert row["value"] == pytest.approx(row["predicted"], abs=1e-9)
            assert row["low"] <= row["value"] <= row["high"]
    away = {(row["arm"], row["group"]): row for row in curve["distances"]}
    for group in ("all", "seen items"):
        assert away["dpo-0.5", group]["value"] == pytest.approx(0, abs=1e-9)
        assert away["dpo-0.5", group]["nearer"] == pytest.approx(away["dpo-0.5", group]["start"])
        assert away["dpo-0.5", group]["start"] > 0.1
        assert away["dpo-0.5", group]["nearer_low"] > 0
        assert away["idle", group]["value"] == pytest.approx(away["idle", group]["start"])
        assert away["idle", group]["nearer"] == pytest.approx(0)
    base = {(row["of"], row["group"]): row["between_ratio"] for row in curve["references"]}
    assert base["people", "all"] == pytest.approx(1)
    line = [row["between_ratio"] for row in curve["predicted"] if row["group"] == "all"]
    assert line == sorted(line, reverse=True), "these countries have other modes: they part as beta falls"
    assert 0 < line[-1] - base["start", "all"] < 0.05


def test_several_seeds_are_averaged_and_their_noise_is_covered(tmp_path: Path) -> None:
    cells = [write_cell(tmp_path, "base", evidence(start_of))]
    recipe = DPO | {"beta": 1.0}
    cells += [write_cell(tmp_path, "dpo", evidence(at_optimum(1.0 + seed)), recipe, seed) for seed in (0, 1)]
    (curve,) = curves(*cells)
    (row,) = [row for row in curve["distances"] if row["group"] == "all"]
    units = average_orders(held_out(evidence(start_of)))
    assert row["n"] == len(units)
    assert "2 training seeds" in row["method"]
    assert row["value"] > 0


def test_arms_with_other_people_or_starts_have_curves_of_their_own(tmp_path: Path) -> None:
    base = write_cell(tmp_path, "base", evidence(start_of))
    one, pooled, split = (
        write_cell(tmp_path, "dpo", evidence(start_of), DPO | {"beta": 1.0}),
        write_cell(tmp_path, "pooled", evidence(start_of), DPO | {"beta": 1.0}, mixture={"pooling": "population"}),
        write_cell(tmp_path, "spl", evidence(start_of), SPL | {"entropy_weight": 1.0, "cross_entropy_weight": 0.1}),
    )
    child = write_cell(tmp_path, "child", evidence(start_of), DPO | {"beta": 1.0}, start=str(one.folder))
    found = curves(base, one, pooled, split, child)
    told = [(list({row["arm"] for row in each["points"]}), each["reference"], each["pooled"]) for each in found]
    assert told == [
        (["dpo"], "base", False),
        (["pooled"], "base", True),
        (["spl"], "base", False),
        (["child"], "dpo", False),
    ]
    assert found[2]["knob"] == "entropy_weight"


def test_where_no_optimum_is_known_arms_are_shown_if_they_differ_in_beta_alone(tmp_path: Path) -> None:
    base = write_cell(tmp_path, "base", evidence(start_of))
    ipo = [
        write_cell(tmp_path, f"ipo-{beta}", evidence(start_of), DPO | {"loss_type": "ipo", "beta": beta})
        for beta in (0.1, 1.0)
    ]
    assert curves(base, ipo[0]) == []
    (curve,) = curves(base, *ipo)
    assert curve["families"] == [["ipo-0.1", "ipo-1.0"]]
    assert curve["reference"] is None
    assert curve["predicted"] == curve["distances"] == []
    assert curve["why_not"][0] == "ipo-0.1 has the loss type ipo, whose optimum is another one."
    assert all(math.isnan(row["predicted"]) for row in curve["points"])


def test_a_start_that_is_not_there_is_said(tmp_path: Path) -> None:
    arms = [
        write_cell(tmp_path, f"dpo-{beta}", evidence(start_of), DPO | {"beta": beta}, start="/gone/sft--s0--d0--11")
        for beta in (0.1, 1.0)
    ]
    (curve,) = curves(*arms)
    assert curve["why_not"][0] == "dpo-0.1 started from a model that is no arm here, so that its answers are not known."


def test_the_summary_has_them_and_none_without_preference_arms(tmp_path: Path) -> None:
    base = write_cell(tmp_path, "base", evidence(start_of))
    for name, recipe in (("match", {"_target_": "train.recipes.match.Match"}), ("dpo", DPO | {"beta": 1.0})):
        cells = [base, write_cell(tmp_path, name, evidence(start_of), recipe)]
        summary, _ = compare(cells, experiment="test", draws=20)
        found = summary["collapse"]
        assert len(found.get("curves", [])) == (name == "dpo")
    assert {row["arm"] for row in found["curves"][0]["points"]} == {"dpo"}


def test_an_arm_nearer_to_the_people_is_told_as_it_is(tmp_path: Path) -> None:
    """The distance on the curve is that of the answers averaged over orders, as the audit's own."""
    cells = [write_cell(tmp_path, "base", evidence(start_of))]
    cells += [write_cell(tmp_path, "dpo", evidence(lambda start, people: people), DPO | {"beta": 1.0})]
    (curve,) = curves(*cells)
    (row,) = [row for row in curve["points"] if (row["name"], row["group"]) == ("js_distance", "all")]
    assert row["value"] == pytest.approx(0, abs=1e-6)
    answers = average_orders(held_out(evidence(at_optimum(1.0))))
    wanted = np.mean([js_distance(p, q) for p, q in zip(answers["p"], answers["q"], strict=True)])
    assert row["predicted"] == pytest.approx(wanted)
