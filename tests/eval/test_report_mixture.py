"""The report's training table says how diverse the people were that an arm was trained on."""

from __future__ import annotations

from typing import Any

from eval.report.comparison_tables import made, training_table
from eval.report.summary import Summary


def test_diversity_stands_beside_the_mixture() -> None:
    def arm(name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "recipe": "match",
            "mixture": name,
            "seeds": [0],
            "draws": [0],
            "cells": [{"manifest": manifest}],
        }

    drawn = {"hill_0": 62.0, "hill_1": 39.2, "hill_2": 17.3, "mean_js_between": None}
    arms = [arm("diverse", {"budget": {"steps": 20}, "mixture": drawn}), arm("plain", {"budget": {"steps": 20}})]
    table = training_table(Summary({"schema": 1, "experiment": "x", "arms": arms, "estimates": []}))
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles[-2:] == ["Countries", "Effective countries"]
    first, other = ([cell.text for cell in row.cells] for row in table.rows)
    assert first[-2:] == ["62", "39.200"]
    assert other[-2:] == ["—", "—"]


def test_an_untrained_arm_has_no_adapter_and_no_mixture() -> None:
    base = {"name": "base", "recipe": "none", "adapter": "full", "mixture": "diverse", "inference": "none"}
    chained = {"name": "x", "recipe": "sft → rlhf", "adapter": "lora", "mixture": "even", "inference": "persona_prompt"}
    table = training_table(Summary({"schema": 1, "experiment": "x", "arms": [base, chained], "estimates": []}))
    assert table is not None
    assert [[cell.text for cell in row.cells[:5]] for row in table.rows] == [
        ["base", "none", "—", "—", "none"],
        ["x", "sft → rlhf", "lora", "even", "persona_prompt"],
    ]
    assert made(base) == "untrained"
    assert made({**base, "inference": "permutations"}) == "untrained, asked with permutations"
    assert made(chained) == "recipe sft → rlhf, adapter lora, mixture even, asked with persona_prompt"
