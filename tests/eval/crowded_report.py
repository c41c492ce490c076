"""A made-up experiment of the largest size that is planned for: 30 trained arms of 3 seeds × 2 draws and their base, 60
countries, four audits, a paired difference for every measure, 600 logged steps a cell.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data.files import write_json

RECIPES = ("sft", "match", "dpo", "rlhf", "kto")
ADAPTERS = ("full", "lora")
MIXTURES = ("diverse", "even", "monocultural")
MORE_COUNTRIES = re.findall(
    r"\w+",
    "AUT BEL BGR BLR CHE CYP CZE DNK ECU EST ETH GEO GRC GTM HRV HUN IRQ ISL ITA JOR KAZ KEN LBN LTU LVA MYS NLD NZL "
    "PAK UKR",
)
METHOD = "bootstrap over {} countries (unequal, as good as 20.9), 14 items, 3 training seeds and 2 data draws (Student)"


def _fixture() -> ModuleType:
    path = Path(__file__).with_name("report_fixture.py")
    spec = importlib.util.spec_from_file_location("report_fixture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fixture = _fixture()
ARMS = tuple(
    (f"{recipe}-{adapter}-{mixture}", recipe, adapter, mixture)
    for recipe, adapter, mixture in itertools.product(RECIPES, ADAPTERS, MIXTURES)
)


def make_summary() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    small = fixture.make_summary()
    countries = [*fixture.COUNTRIES, *MORE_COUNTRIES]
    models = {"base": "base"} | {name: "dpo-full" if recipe == "dpo" else "match-full" for name, recipe, *_ in ARMS}
    of_arm: dict[str, list[dict[str, Any]]] = {}
    for row in small["estimates"]:
        of_arm.setdefault(row["arm"], []).append(row)
    estimates = []
    for arm, model in models.items():
        shift = 0.05 * rng.normal()
        for row in of_arm[model]:
            groups = [row["group"]]
            if row["group"].startswith("country=") and row["group"][-3:] in fixture.COUNTRIES:
                place = fixture.COUNTRIES.index(row["group"][-3:])
                groups.append(f"country={MORE_COUNTRIES[place]}")
            for group in groups:
                moved = {key: row[key] + shift * (arm != "base") for key in ("value", "low", "high")}
                method = METHOD.format(int(rng.integers(20, 60)))
                estimates.append(row | moved | {"arm": arm, "group": group, "method": method})
    overall = [row for row in of_arm["match-full"] if row["group"] in ("all", "seen items")]
    overall = [row for row in overall if not row["condition"].startswith("reference:")]
    comparisons = [
        {
            "arm": arm,
            "against": "base",
            "audit": row["audit"],
            "name": row["name"],
            "group": row["group"],
            "condition": row["condition"],
            "value": (value := 0.1 * rng.normal()),
            "low": value - 0.05,
            "high": value + 0.05,
            "n": 120,
            "method": f"paired {METHOD.format(39)}",
            "p": 0.01,
            "p_holm": float("nan"),
            "family": "exploratory",
        }
        for arm, *_ in ARMS
        for row in overall
    ]
    points = [
        {"arm": who, "country": code, "x": rng.normal(), "y": rng.normal()}
        for who in ("people", *models)
        for code in countries
    ]
    arms = [fixture._arm("base", "none", "none")]
    for name, recipe, adapter, mixture in ARMS:
        arm = fixture._arm(name, recipe, adapter)
        cell = arm["cells"][0]
        arm["cells"] = [
            cell | {"folder": f"{name}--s{seed}--d{draw}--1a2b3c4d", "seed": seed, "draw": draw}
            for seed in range(3)
            for draw in range(2)
        ]
        arms.append(arm | {"mixture": mixture, "seeds": [0, 1, 2], "draws": [0, 1]})
    words = ("SUPPORTED", "CONTRADICTED", "EQUIVALENT", "INCONCLUSIVE", "INCONCLUSIVE", "NO VERDICT")
    verdicts = [
        small["verdicts"][1] | {"hypothesis": f"h{place}", "verdict": word, "value": value, "low": value - 0.09,
                                "high": value + 0.08}
        for place, (word, value) in enumerate(zip(words, (0.26, -0.2, 0.01, 0.06, -0.03, 0.2), strict=True))
    ]  # fmt: skip
    return small | {
        "experiment": "fft_vs_rlhf",
        "not_a_result": [],
        "arms": arms,
        "estimates": estimates,
        "comparisons": comparisons,
        "culture_maps": {audit: {"stress": 0.13, "points": points} for audit in ("first_token", "def")},
        "verdicts": verdicts,
        "training": {name: {"examples": 512, "steps": 600, "seconds": 211.5} for name, *_ in ARMS},
    }


def make_experiment(folder: Path, respondents: int = 40) -> Path:
    """The whole experiment below `folder`; returns its comparison folder."""
    summary = make_summary()
    write_json(folder / "comparison" / "summary.json", summary)
    rng = np.random.default_rng(1)
    for arm in summary["arms"]:
        for place, cell in enumerate(arm["cells"]):
            kept = folder / "cells" / cell["folder"]
            if place == 0:
                fixture.make_evidence(kept, arm["name"], respondents)
            if arm["name"] != "base":
                kept.mkdir(parents=True, exist_ok=True)
                losses = 2.0 / (1 + np.arange(1, 601) / 80) + 0.05 * rng.random(600)
                lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses.tolist(), 1)]
                (kept / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "comparison"
