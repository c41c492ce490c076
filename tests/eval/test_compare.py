from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.files import read_json, write_json
from eval.cells import CellResult
from eval.compare import compare
from eval.contrasts import family
from eval.distances import js_distance
from eval.inference import Hypothesis
from eval.records import SCORE_COLUMNS, Comparison, Estimate
from eval.summaries import summarise

KEYS = ["item", "country", "age", "sex", "education", "condition", "stratum"]
COUNTRIES = ("NOR", "SWE", "USA", "AUS", "DEU")


def people(item: int, country: int) -> np.ndarray:
    return np.random.default_rng([item, country]).dirichlet([3, 2, 2])


def evidence(pull: float, noise: float, seed: int, mass: float = 0.9, items: int = 6) -> pd.DataFrame:
    """A model that answers `pull` of the way from uniform to people, with its own noise."""
    rng, rows = np.random.default_rng(seed), []
    for i, c in itertools.product(range(items), range(len(COUNTRIES))):
        q = people(i, c)
        p = (1 - noise) * (pull * q + (1 - pull) / 3) + noise * rng.dirichlet(np.ones(3))
        for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
            group = dict(zip(KEYS, (f"i{i}", COUNTRIES[c], "", "", "", "country", "held_out"), strict=True))
            rows.append(group | {"order": json.dumps(order), "p": p, "q": q, "n": 500.0, "option_mass": mass})
            rows[-1] |= {"positions": None, "ordered": False}
    return pd.DataFrame(rows)


def answers(items: pd.DataFrame) -> pd.DataFrame:
    return items.drop_duplicates(KEYS).reset_index(drop=True)


def write_cell(
    root: Path, arm: str, items: pd.DataFrame, seed: int = 0, recipe: str = "match", state: str = "done",
    more: tuple[Estimate, ...] = (), **config: object,
) -> CellResult:  # fmt: skip
    folder = root / f"{arm}--s{seed}--d0--00000000"
    table = answers(items)
    value = js_distance(np.stack(table["p"].to_list()), np.stack(table["q"].to_list()))
    scores = table.assign(measure="js_distance", value=value)[list(SCORE_COLUMNS)]
    found = [*summarise(scores, np.random.default_rng(0), 100, by=("country",)), *more]
    audit = folder / "audits" / "first_token"
    audit.mkdir(parents=True)
    items.to_parquet(audit / "items.parquet")
    scores.to_parquet(audit / "scores.parquet")
    record = {
        "audit": "first_token",
        "settings": {},
        "excluded": {"too long": 2},
        "estimates": [asdict(e) for e in found],
    }
    write_json(audit / "estimates.json", record)
    manifest = {"schema": 1, "state": state, "training": {"steps": 32}}
    return CellResult(
        arm,
        seed,
        0,
        folder,
        manifest,
        {"audit": {"first_token": {}}, "limit": None} | config,
        recipe,
        "full",
        "diverse",
    )


CLOSER = Hypothesis("closer", "match is closer", "first_token", "js_distance", "match", "base", "lower", 0.01)
READERS = {"first_token": answers}


def run(cells: list[CellResult], *hypotheses: Hypothesis, **more: object) -> tuple[dict, pd.DataFrame]:
    return compare(cells, hypotheses, experiment="test", draws=400, answers=READERS, **more)  # type: ignore[arg-type]


@pytest.fixture
def two_seeds(tmp_path: Path) -> list[CellResult]:
    base = write_cell(tmp_path, "base", evidence(0.1, 0.3, 1), recipe="none")
    return [base, *(write_cell(tmp_path, "match", evidence(0.9, 0.1, 2 + seed), seed) for seed in (0, 1))]


def test_two_seeds_give_a_verdict(two_seeds: list[CellResult]) -> None:
    summary, table = run(two_seeds, CLOSER)
    assert summary["not_a_result"] == []
    verdict = summary["verdicts"][0]
    assert verdict["verdict"] == "SUPPORTED"
    comparison = next(c for c in summary["comparisons"] if c["family"] == "primary")
    assert (comparison["arm"], comparison["against"], comparison["name"]) == ("match", "base", "js_distance")
    assert comparison["p_holm"] == comparison["p"] <= 0.05
    assert verdict["p_equivalence"] > 0.9
    cells = [cell.scores("first_token")["value"] for cell in two_seeds]
    assert comparison["value"] == pytest.approx((cells[1].mean() + cells[2].mean()) / 2 - cells[0].mean())
    assert comparison["n"] == 30
    assert "2 training seeds" in comparison["method"]
    assert set(table.columns) >= {*SCORE_COLUMNS, "arm", "seed", "draw", "audit"}
    assert len(table) == 90


def test_a_verdict_on_two_questions_says_that_it_is_on_these(tmp_path: Path) -> None:
    cells = [write_cell(tmp_path, "base", evidence(0.1, 0.3, 1, items=2), recipe="none")]
    cells += [write_cell(tmp_path, "match", evidence(0.9, 0.1, 2 + seed, items=2), seed) for seed in (0, 1, 2)]
    verdict = run(cells, CLOSER)[0]["verdicts"][0]
    assert verdict["sentence"].endswith("It holds for these 2 items as given, too few to speak for others.")


def test_summary_has_the_whole_schema_and_is_json(two_seeds: list[CellResult], tmp_path: Path) -> None:
    summary, _ = run(
        two_seeds,
        CLOSER,
        command="polyphony run",
        split={"seed": 1},
        surveys=[{"name": "WVS"}],
        provenance={"git": "abc"},
    )
    assert list(summary) == [
        "schema", "experiment", "created", "command", "not_a_result", "finding", "controls", "base", "arms",
        "estimates", "comparisons", "effects", "response_curves", "leaderboard", "verdicts", "culture_maps",
        "agreement", "collapse", "split", "training", "surveys", "exclusions", "provenance",
    ]  # fmt: skip
    write_json(tmp_path / "summary.json", summary)
    back = read_json(tmp_path / "summary.json")
    assert back["split"] == {"seed": 1}
    assert back["training"] == {"match": {"steps": 32}}
    assert back["exclusions"][0] == {"arm": "base", "audit": "first_token", "reason": "too long", "count": 2}
    assert [arm["validity"]["status"] for arm in back["arms"]] == ["valid", "valid"]
    assert back["arms"][1]["seeds"] == [0, 1]
    assert {point["arm"] for point in back["culture_maps"]["first_token"]["points"]} == {"people", "base", "match"}
    assert {c["name"] for c in back["comparisons"]} == {
        "js_distance", "between_ratio", "between_structure", "within_ratio", "mode_share",
    }  # fmt: skip


def test_finding_in_words(two_seeds: list[CellResult]) -> None:
    summary, _ = run(two_seeds[:2])
    sentence = summary["finding"][0]
    assert sentence.startswith("On questions and in countries held out from training, mean JS distance to people")
    assert "against base (0." in sentence
    assert "match is closer (0." in sentence
    assert "difference −0." in sentence
    assert "n = 30 question × group pairs, paired bootstrap over 6 items and 5 countries, one training" in sentence


def test_estimates_of_one_cell_are_its_own_and_of_two_are_pooled(two_seeds: list[CellResult]) -> None:
    summary, _ = run(two_seeds)
    of = {(e["arm"], e["name"], e["group"]): e for e in summary["estimates"]}
    own = {(e.name, e.group): e for e in two_seeds[0].estimates("first_token")}
    for (name, group), one in own.items():
        assert of["base", name, group]["low"] == one.low
    cells = [{e.group: e.value for e in cell.estimates("first_token")} for cell in two_seeds[1:]]
    for group in ("all", "country=NOR"):
        assert of["match", "js_distance", group]["value"] == pytest.approx((cells[0][group] + cells[1][group]) / 2)
        assert "2 training seeds" in of["match", "js_distance", group]["method"]


def test_one_seed_gives_no_verdict_and_is_no_result(two_seeds: list[CellResult]) -> None:
    summary, _ = run(two_seeds[:2], CLOSER)
    assert summary["not_a_result"] == ["fewer than two training seeds: match"]
    assert summary["verdicts"][0]["verdict"] == "NO VERDICT"
    assert "fewer than two training seeds" in summary["verdicts"][0]["sentence"]
    assert summary["verdicts"][0]["value"] < 0


def test_an_incomplete_cell_is_reported_and_not_averaged(two_seeds: list[CellResult], tmp_path: Path) -> None:
    broken = write_cell(tmp_path, "match", evidence(0.0, 0.9, 9), 2, state="auditing")
    lacking = write_cell(tmp_path, "dpo", evidence(0.5, 0.1, 3), audit={"first_token": {}, "def": {}})
    summary, table = run([*two_seeds, broken, lacking], CLOSER)
    whole, _ = run(two_seeds, CLOSER)
    assert "incomplete cells: match (seed 2, draw 0), dpo (seed 0, draw 0)" in summary["not_a_result"]
    arms = {arm["name"]: arm for arm in summary["arms"]}
    assert arms["match"]["validity"]["status"] == "incomplete"
    assert arms["match"]["cells"][2]["missing"] == ["its state is 'auditing'"]
    assert arms["dpo"]["validity"]["reasons"] == ["audit def is missing"]
    assert set(table["arm"]) == {"base", "match"}
    assert set(table.loc[table["arm"] == "match", "seed"]) == {0, 1}
    np.testing.assert_equal(summary["comparisons"], whole["comparisons"])
    assert any("dpo is incomplete: audit def is missing" in sentence for sentence in summary["finding"])


def test_a_collapsed_arm_is_named_and_not_ranked(two_seeds: list[CellResult], tmp_path: Path) -> None:
    cells = [write_cell(tmp_path, "bad", evidence(0.9, 0.1, 5 + seed, mass=0.2), seed) for seed in (0, 1)]
    claim = Hypothesis("bad", "bad is closer", "first_token", "js_distance", "bad", "base", "lower", 0.01)
    summary, _ = run([*two_seeds, *cells], claim)
    assert summary["arms"][2]["validity"]["status"] == "collapsed"
    assert summary["verdicts"][0]["verdict"] == "NO VERDICT"
    assert "bad has collapsed" in summary["verdicts"][0]["sentence"]
    sentences = [sentence for sentence in summary["finding"] if "bad" in sentence]
    assert len(sentences) == 1
    assert "is not ranked" in sentences[0]


def test_perplexity_is_held_against_the_bases(two_seeds: list[CellResult], tmp_path: Path) -> None:
    def perplexity(value: float) -> tuple[Estimate]:
        return (Estimate("perplexity", "all", "neutral", value, np.nan, np.nan, 8, "m"),)

    base = write_cell(tmp_path / "p", "base", evidence(0.1, 0.3, 1), recipe="none", more=perplexity(10))
    dead = write_cell(tmp_path / "p", "dead", evidence(0.1, 0.3, 1), more=perplexity(300))
    summary, _ = run([base, dead])
    assert summary["arms"][1]["validity"]["status"] == "collapsed"
    assert summary["arms"][1]["validity"]["figures"]["perplexity_ratio"] == 30


def test_limits_and_placeholders_are_stamped(two_seeds: list[CellResult], tmp_path: Path) -> None:
    limited = write_cell(tmp_path / "l", "match", evidence(0.9, 0.1, 2), limit=4)
    summary, _ = run([two_seeds[0], limited], CLOSER, not_a_result=["the survey is made up"])
    assert summary["not_a_result"][0] == "the survey is made up"
    assert "the audits were cut short by limit=4" in summary["not_a_result"]
    assert "the survey is made up" in summary["verdicts"][0]["sentence"]


def test_arms_named_by_a_hypothesis_are_compared_and_groups_too(two_seeds: list[CellResult], tmp_path: Path) -> None:
    other = [write_cell(tmp_path, "dpo", evidence(0.5, 0.1, 7 + seed), seed, recipe="dpo") for seed in (0, 1)]
    claim = Hypothesis("nor", "s", "first_token", "js_distance", "match", "dpo", "lower", 0.0, group="country=NOR")
    absent = Hypothesis("absent", "s", "first_token", "emd", "match", "dpo", "lower", 0.0)
    summary, _ = run([*two_seeds, *other], claim, absent)
    primary = [c for c in summary["comparisons"] if c["family"] == "primary"]
    assert [(c["arm"], c["against"], c["group"], c["n"]) for c in primary] == [("match", "dpo", "country=NOR", 6)]
    assert summary["verdicts"][1]["verdict"] == "NO VERDICT"
    assert "first_token has no emd" in summary["verdicts"][1]["sentence"]
    with pytest.raises(ValueError, match="hypothesis 'closer' names arm 'base'; the arms are match"):
        run(two_seeds[1:], CLOSER)


def test_a_verdict_of_equivalence_has_its_p(two_seeds: list[CellResult], tmp_path: Path) -> None:
    twin = [write_cell(tmp_path, "twin", evidence(0.9, 0.1, 4 + seed), seed) for seed in (0, 1)]
    same, strict = (
        Hypothesis(f"within {margin}", "s", "first_token", "js_distance", "twin", "match", "same", margin)
        for margin in (0.5, 1e-6)
    )
    within, beyond = run([*two_seeds, *twin], same, strict)[0]["verdicts"]
    assert within["verdict"] == "EQUIVALENT"
    assert within["p_equivalence"] == pytest.approx(1 / 401)  # the least that 400 draws can give
    assert beyond["verdict"] == "INCONCLUSIVE"
    assert beyond["p_equivalence"] > 0.025  # the same comparison against another margin


def test_drift_is_asked_of_every_trained_cell(two_seeds: list[CellResult]) -> None:
    def drift(audit: str, items: pd.DataFrame, base: pd.DataFrame) -> list[Estimate]:
        moved = float(js_distance(np.stack(items["p"]), np.stack(base["p"])).mean())
        return [Estimate("drift", "all", audit, moved, moved - 0.1, moved + 0.1, 30, "m")]

    summary, _ = run(two_seeds, drift=drift)
    rows = [row for row in summary["estimates"] if row["name"] == "drift"]
    assert [row["arm"] for row in rows] == ["match"]
    assert rows[0]["value"] > 0
    assert rows[0]["method"].startswith("mean over 2 cells")


def test_numbers_do_not_depend_on_other_arms(two_seeds: list[CellResult], tmp_path: Path) -> None:
    other = write_cell(tmp_path, "another", evidence(0.5, 0.1, 7))
    alone, more = run(two_seeds)[0], run([two_seeds[0], other, *two_seeds[1:]])[0]
    of_match = [c for c in more["comparisons"] if c["arm"] == "match"]
    np.testing.assert_equal(of_match, alone["comparisons"])


def test_broken_folders_name_the_file(two_seeds: list[CellResult]) -> None:
    folder = two_seeds[1].folder / "audits" / "first_token"
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.drop(columns="item").to_parquet(folder / "scores.parquet")
    with pytest.raises(ValueError, match=r"scores.parquet lacks the columns \['item'\]"):
        run(two_seeds)
    (folder / "scores.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"match \(seed 0, draw 0\) is incomplete"):
        run(two_seeds)
    with pytest.raises(ValueError, match=r"two cells are \('match', 0, 0\)"):
        run([two_seeds[1], two_seeds[1]])


def test_an_audit_without_units_and_undefined_units_are_no_error(two_seeds: list[CellResult]) -> None:
    for cell in two_seeds:
        empty = cell.folder / "audits" / "mark"
        empty.mkdir()
        pd.DataFrame().to_parquet(empty / "items.parquet")
        pd.DataFrame(columns=list(SCORE_COLUMNS)).to_parquet(empty / "scores.parquet")
        write_json(
            empty / "estimates.json", {"audit": "mark", "settings": {}, "excluded": {"nobody": 1}, "estimates": []}
        )
    path = two_seeds[1].folder / "audits" / "first_token" / "scores.parquet"
    scores = pd.read_parquet(path)
    scores.loc[0, "value"] = np.nan
    scores.to_parquet(path)
    summary, _ = run(two_seeds)
    distance = next(c for c in summary["comparisons"] if c["name"] == "js_distance")
    assert distance["n"] == 29
    assert {row["audit"] for row in summary["exclusions"]} == {"first_token", "mark"}


def test_holm_runs_over_the_primary_family_alone() -> None:
    def made(name: str, p: float) -> Comparison:
        return Comparison("a", "b", "first_token", name, "all", "country", 0, 0, 0, 1, "m", p, np.nan, "exploratory")

    claims = [Hypothesis(n, "s", "first_token", n, "a", "b", "lower", 0.0) for n in ("x", "y")]
    marked, by_name = family([made("x", 0.02), made("y", 0.04), made("z", 0.001)], claims)
    assert [one.p_holm for one in marked] == pytest.approx([0.04, 0.04, np.nan], nan_ok=True)
    assert [one.family for one in marked] == ["primary", "primary", "exploratory"]
    assert by_name["y"].p_holm == pytest.approx(0.04)


def test_nothing_finished_is_said_and_not_computed(tmp_path: Path) -> None:
    cell = write_cell(tmp_path, "match", evidence(0.9, 0.1, 2), state="training")
    summary, table = run([cell])
    assert table.empty
    assert summary["estimates"] == []
    assert summary["culture_maps"] == {}
    assert summary["finding"] == ["match is incomplete: its state is 'training'."]


def test_a_training_that_was_stopped_is_collapsed_and_not_ranked(two_seeds: list[CellResult]) -> None:
    base, one, two = two_seeds
    two = replace(two, manifest={**two.manifest, "collapsed": {"step": 7, "reason": "the loss is not finite"}})
    summary, _ = run([base, one, two], CLOSER)
    row = next(row for row in summary["arms"] if row["name"] == "match")
    reason = "seed 1, draw 0: its training was stopped at step 7: the loss is not finite"
    assert row["validity"]["status"] == "collapsed"
    assert row["validity"]["reasons"][0] == reason
    assert math.isfinite(row["validity"]["figures"]["option_mass"])  # it was audited
    assert row["cells"][1]["manifest"]["collapsed"]["step"] == 7
    assert summary["verdicts"][0]["verdict"] == "NO VERDICT"
    assert any("match has collapsed and is not ranked" in sentence for sentence in summary["finding"])
    assert not any("match is closer" in sentence for sentence in summary["finding"])


def test_a_verdict_says_what_else_differs(tmp_path: Path) -> None:
    cells = [
        write_cell(tmp_path, arm, evidence(0.9, 0.1, size), recipe=arm, budget={"batch_size": size})
        for arm, size in (("match", 16), ("dpo", 8))
    ]
    summary, _ = run(cells, replace(CLOSER, against="dpo"))
    found = summary["verdicts"][0]["contrast"]
    assert found["factor"] == "objective"
    assert found["warning"] == (
        "match and dpo differ in more than the objective: also in the budget (budget.batch_size 16 against 8)."
    )


def test_a_variant_too_broken_to_be_audited_is_collapsed_too(two_seeds: list[CellResult]) -> None:
    base, one, two = two_seeds
    stopped = {"step": 3, "reason": "the entropy of the answers has collapsed"}
    broken = [replace(cell, manifest={"state": "failed", "collapsed": stopped}) for cell in (one, two)]
    summary, _ = run([base, *broken], CLOSER)
    row = next(row for row in summary["arms"] if row["name"] == "match")
    assert row["validity"]["status"] == "collapsed"
    assert any("match has collapsed and is not ranked: seed 0" in sentence for sentence in summary["finding"])
