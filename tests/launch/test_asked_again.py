"""A trained variant asked in another way: trained once, and asked plainly again it answers as it did."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from data.files import read_json
from launch.cells import read_cell
from launch.chains import variant_cell

ARMS = """arms:
  base: [recipe=none]
  sft-lora: [recipe=sft, adapter=lora]
  again: [recipe=none, parent=sft-lora]
  told: [recipe=none, parent=sft-lora, inference=persona_prompt]
"""


AUDIT = ("audit=[first_token]", "limit=2")


def evidence(cell: Any) -> pd.DataFrame:
    return pd.read_parquet(cell.folder / "audits" / "first_token" / "items.parquet")


def answers(cell: Any) -> list[Any]:
    return [list(row) for row in evidence(cell)["p"]]


@pytest.fixture(scope="module")
def toys(toys_of_module: Any) -> Any:
    toys = toys_of_module
    assert toys.run(toys.experiment("told", ARMS), *AUDIT) == 0
    assert toys.started == ["base", "sft-lora", "again", "told"]
    return toys


def test_a_parent_asked_again_answers_as_it_did_and_told_otherwise_it_does_not(toys: Any) -> None:
    cells = toys.cells()
    parent = cells["sft-lora"]
    pd.testing.assert_frame_equal(evidence(cells["again"]), evidence(parent))
    assert not (parent.folder / "merged").exists(), "the same adapter beside the same base"
    for arm in ("base", "told"):
        assert answers(cells[arm]) != answers(parent)
    for arm in ("again", "told"):
        assert variant_cell(cells[arm]).name == parent.name
        assert not list(cells[arm].folder.glob("*.jsonl"))
        assert not (cells[arm].folder / "model").exists()
    weights = {
        arm: read_json(cells[arm].folder / "audits" / "first_token" / "estimates.json")["weights"] for arm in cells
    }
    assert weights["again"] == weights["told"] == weights["sft-lora"] != weights["base"]


def test_it_is_compared_as_what_it_is(toys: Any) -> None:
    summary = read_json(toys.folder / "toy" / "comparison" / "summary.json")
    arms = {arm["name"]: (arm["recipe"], arm["adapter"], arm["inference"]) for arm in summary["arms"]}
    assert arms == {
        "base": ("none", "full", "none"),
        "sft-lora": ("sft", "lora", "none"),
        "again": ("sft", "lora", "none"),
        "told": ("sft", "lora", "persona_prompt"),
    }
    assert {one["against"] for one in summary["comparisons"]} == {"base"}
    assert summary["training"]["told"] == summary["training"]["sft-lora"]
    assert summary["training"]["told"]["examples"] == 16
    drawn = {arm["name"]: arm["cells"][0]["manifest"].get("mixture") for arm in summary["arms"]}
    assert drawn["told"] == drawn["again"] == drawn["sft-lora"], "response curves of arms asked otherwise rest on it"
    assert drawn["told"]["hill_1"] >= 1
    stage = summary["provenance"]["stages"][toys.cells()["told"].name]
    assert stage == f"the variant of {toys.cells()['sft-lora'].name} asked again, inference persona_prompt"


def test_the_same_command_again_does_nothing_and_lost_weights_are_named(toys: Any, capsys: Any) -> None:
    told = toys.experiment("told", ARMS)
    assert toys.run(told, *AUDIT) == 0
    assert toys.started == []
    adapter = toys.cells()["sft-lora"].folder / "adapter"
    adapter.rename(adapter.with_name("gone"))
    try:
        assert toys.run(told, *AUDIT, "audit_seed=1", "base_arm=false") == 1
        assert "holds no weights any more (neither model/ nor adapter/)" in capsys.readouterr().err
    finally:
        adapter.with_name("gone").rename(adapter)


def test_a_swept_intervention_trains_once(toys: Any) -> None:
    assert toys.run("recipe=match", "inference=persona_prompt,none", "-m", *AUDIT, "base_arm=false", name="swept") == 0
    assert toys.started == ["match-full", "match-full-persona_prompt"]
    cells = toys.cells("swept")
    logged = [path.parent.name for path in (toys.folder / "swept").rglob("metrics.jsonl")]
    assert logged == [cells["match-full"].name]
    assert len(list((toys.folder / "swept").rglob("*.safetensors"))) == 1
    told = cells["match-full-persona_prompt"]
    assert variant_cell(read_cell(told.folder)).name == cells["match-full"].name
    assert answers(told) != answers(cells["match-full"])
    summary = read_json(toys.folder / "swept" / "comparison" / "summary.json")
    assert [(arm["recipe"], arm["inference"]) for arm in summary["arms"]] == [
        ("match", "persona_prompt"),
        ("match", "none"),
    ]
