from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.files import write_json
from eval.cells import CellResult, arms_of
from eval.compare import compare
from eval.effects import design
from eval.records import SCORE_COLUMNS
from eval.report import write_report

LEVELS = {"base": 0.5, "match-full": 0.3, "match-lora": 0.34, "dpo-full": 0.4, "dpo-lora": 0.46}
STRATA = ("held_out", "seen_items")


def cell(root: Path, arm: str, seed: int = 0, noise: float = 0.0, **more: Any) -> CellResult:
    """A finished cell "recipe-adapter" of one audit; units shift alike in all arms and `noise` is a unit's own."""
    recipe, _, adapter = arm.partition("-")
    folder = root / f"{arm}--s{seed}--d0--00000000"
    own = np.random.default_rng([seed, *arm.encode()])
    rows = [
        dict(measure="js_distance", condition="country", stratum=stratum, item=f"i{i}", country=c, n=9.0)
        | dict(age="", sex="", education="", value=LEVELS[arm] + 0.01 * i + 0.02 * (c == "NOR") + noise * own.normal())
        for stratum, i, c in itertools.product(STRATA, range(5), ("NOR", "GHA", "CHL", "JPN"))
    ]
    audit = folder / "audits" / "first_token"
    audit.mkdir(parents=True)
    pd.DataFrame(rows)[list(SCORE_COLUMNS)].to_parquet(audit / "scores.parquet")
    write_json(audit / "estimates.json", {"audit": "first_token", "settings": {}, "excluded": {}, "estimates": []})
    config = {"audit": {"first_token": {}}, "recipe": {"name": recipe}, "adapter": {"rank": 16}} | more
    manifest = {"state": "done"}
    recipe, adapter = ("none", "full") if arm == "base" else (recipe, adapter)
    return CellResult(arm, seed, 0, folder, manifest, config, recipe, adapter, "diverse")


def run(cells: list[CellResult]) -> dict[str, Any]:
    return compare(cells, experiment="factors", draws=400, gate_audit="another")[0]


def test_effects_by_hand_through_the_whole_comparison(tmp_path: Path) -> None:
    """Objective: (.40 + .46) / 2 - (.30 + .34) / 2. Parameters: (.34 + .46) / 2 - (.30 + .40) / 2. Both: .06 - .04."""
    effects = run([cell(tmp_path, arm, seed) for arm in LEVELS for seed in (0, 1)])["effects"]
    assert (effects["factors"], effects["why_not"], effects["notes"]) == (["objective", "trained parameters"], "", [])
    both = "objective × trained parameters: (dpo − match) × (lora − full)"
    by_hand = {"objective: dpo − match": 0.11, "trained parameters: lora − full": 0.05, both: 0.02}
    assert [(row["group"], row["effect"]) for row in effects["rows"]] == [
        (group, effect) for group in ("all", "seen items") for effect in by_hand
    ]
    for row in effects["rows"]:
        assert row["value"] == pytest.approx(by_hand[row["effect"]])
        assert (row["low"], row["high"]) == pytest.approx((row["value"], row["value"]))  # units shift all arms alike
        assert (row["audit"], row["name"], row["condition"], row["n"]) == ("first_token", "js_distance", "country", 20)
        assert row["family"] == "exploratory"
        assert row["p"] < 0.01
        assert row["method"].startswith("balanced contrast of 4 arms; bootstrap over 5 items and 4 countries")


def test_the_finding_names_clear_effects_alone(tmp_path: Path) -> None:
    sentences = run([cell(tmp_path, arm, noise=0.03) for arm in LEVELS])["finding"]
    found = next(sentence for sentence in sentences if sentence.startswith("What each factor does"))
    assert re.search(r"held out from training, objective: dpo − match \+0\.\d\d \[\+0\.\d\d, \+0\.\d\d\]", found)
    assert "on trained questions in held-out countries, objective: dpo − match" in found
    assert " × " not in found
    assert not any("What each factor" in one for one in run([cell(tmp_path / "1", arm) for arm in list(LEVELS)[:3]]))


def why_not(cells: list[CellResult]) -> str:
    summary = run(cells)
    assert summary["effects"]["rows"] == []
    return str(summary["effects"]["why_not"])


def test_designs_that_cannot_be_decomposed_say_why(tmp_path: Path) -> None:
    cells = {arm: cell(tmp_path, arm) for arm in LEVELS}
    *four, last = cells.values()
    head = "Objective and trained parameters vary, but their effects cannot be told apart: "
    assert why_not(four) == f"{head}no arm has recipe=dpo, adapter=lora."
    assert why_not([four[1], last]) == f"{head}no arm has recipe=match, adapter=lora; recipe=dpo, adapter=full."
    assert why_not([*four, last, cell(tmp_path, "dpo-lora", 1)]).startswith(
        f"{head}the arms have different finished cells (match-full: seed 0, draw 0; match-lora"
    )
    unfinished = replace(last, manifest={"state": "training"})
    assert why_not([*four, unfinished]) == f"{head}not finished: dpo-lora."
    again = replace(last, arm="again")
    assert why_not([*four, last, again]) == f"{head}dpo-lora and again have the same recipe=dpo, adapter=lora."
    longer = cell(tmp_path / "longer", "dpo-lora", budget={"examples": 9})
    assert why_not([*four, longer]) == f"{head}the arms differ in budget too."
    assert design(arms_of([*four, last]), ["dpo-lora"]).why_not == f"{head}collapsed: dpo-lora."


def test_one_varying_factor_is_no_design_and_other_knobs_are_noted(tmp_path: Path) -> None:
    cells = {arm: cell(tmp_path, arm) for arm in LEVELS}
    one = run([cells["base"], cells["match-full"], cells["match-lora"]])
    assert one["effects"] == {"factors": [], "why_not": "", "notes": [], "rows": []}
    other = cell(tmp_path / "other", "dpo-lora", adapter={"rank": 4})
    notes = design(arms_of([*list(cells.values())[:4], other])).notes
    assert notes == ("The arms with adapter=lora differ in rank.",)


def test_the_report_shows_effects_or_why_there_are_none(tmp_path: Path) -> None:
    cells = [cell(tmp_path / "cells", arm, noise=0.03) for arm in LEVELS]

    def html(some: list[CellResult]) -> str:
        write_json(tmp_path / "comparison" / "summary.json", run(some))
        return write_report(tmp_path / "comparison").read_text(encoding="utf-8")

    whole, lacking, single = html(cells), html(cells[:4]), html(cells[:3])
    assert "What each factor does</h3>" in whole
    row = re.search(r"trained parameters: lora − full</th>(.*?)</tr>", whole, re.S)
    assert row is not None
    assert [text in row[1] for text in ("+0.0", "<small>[", "lower is closer", "balanced contrast of 4 arms")] == [
        True
    ] * 4
    assert "no arm has recipe=dpo, adapter=lora.</p>" in lacking
    assert "What each factor does" not in single


def test_arms_beside_a_balanced_core_are_left_out_and_named(tmp_path: Path) -> None:
    core = [cell(tmp_path, arm, noise=0.03) for arm in LEVELS]
    dpo = core[3]
    pooled = replace(dpo, arm="dpo-pooled", mixture="pooled")
    sharper = replace(dpo, arm="dpo-sharper", config=dpo.config | {"recipe": {"name": "dpo", "beta": 0.01}})
    asked = replace(dpo, arm="dpo-asked", inference="persona_prompt")
    plain, beside = run(core)["effects"], run([*core, pooled, sharper, asked])["effects"]
    assert beside["rows"] == plain["rows"]
    assert beside["factors"] == ["objective", "trained parameters"]
    left = "Left out, as not every combination with them is an arm: dpo-pooled, dpo-sharper, dpo-asked."
    assert beside["notes"] == [left]
    assert design(arms_of([*core, pooled, sharper]), ["dpo-pooled"]).why_not == ""  # a control may collapse
    found = design(arms_of([*core, replace(core[2], arm="sft-lora", recipe="sft")]))
    assert (found.why_not, found.notes) == ("", ("Left out, as not every combination with them is an arm: sft-lora.",))
