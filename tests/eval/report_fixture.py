"""A made-up experiment as the comparison leaves it: summary.json and the cells' evidence, 4 arms, 4 audits, 30
countries.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.files import write_json

COUNTRIES = re.findall(
    r"\w+",
    "ARG AUS BGD BRA CAN CHL CHN COL DEU EGY ESP FIN GBR GHA IDN IND IRN JPN "
    "KOR MAR MEX NGA NOR PER PHL POL SWE TUR USA ZAF",
)
ARMS = (
    ("base", "none", "none"),
    ("match-full", "match", "full"),
    ("match-lora", "match", "lora"),
    ("dpo-full", "dpo", "full"),
)
LEVEL = {"base": 0.48, "match-full": 0.24, "match-lora": 0.29, "dpo-full": 0.41}
VALUES = re.findall(
    r"\S+",
    "achievement benevolence conformity hedonism power security self-direction stimulation tradition universalism",
)
ONE_SEED = "bootstrap over 4 items and 30 countries; one training seed"


def make_summary(seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []

    def add(
        arm: str,
        audit: str,
        name: str,
        group: str,
        condition: str,
        value: float,
        half: float,
        n: int = 120,
        **more: Any,
    ) -> None:
        row = dict(arm=arm, audit=audit, name=name, group=group, condition=condition, value=value)
        bounds = {"low": value - half, "high": value + 1.1 * half, "n": n, "method": ONE_SEED}
        rows.append(row | bounds | more)

    for arm, recipe, _ in ARMS:
        for audit, penalty in (("first_token", 0.0), ("def", 0.06)):
            _survey_rows(add, rng, arm, audit, LEVEL[arm] + penalty)
        _dilemma_rows(add, rng, arm, recipe)
        _mark_rows(add, rng, arm)
    comparisons = [
        {
            "arm": arm,
            "against": "base",
            "audit": "first_token",
            "name": name,
            "group": "all",
            "condition": "country",
            "value": value,
            "low": value - 0.04,
            "high": value + 0.04,
            "n": 120,
            "method": f"paired {ONE_SEED}",
            "p": 0.0002,
            "p_holm": 0.0006 if family == "primary" else float("nan"),
            "family": family,
        }
        for arm in ("match-full", "match-lora", "dpo-full")
        for name, value, family in (
            ("js_distance", LEVEL[arm] - LEVEL["base"], "primary"),
            ("between_ratio", -0.08, "exploratory"),
            ("within_ratio", 0.11, "exploratory"),
        )
    ]
    points = []
    for code in COUNTRIES:
        x, y = rng.normal(0, 0.22, 2)
        points.append({"arm": "people", "country": code, "x": x, "y": y})
        for arm, shrink, shift in (
            ("base", 0.15, 0.4),
            ("match-full", 0.5, 0.06),
            ("match-lora", 0.35, 0.1),
            ("dpo-full", 0.2, 0.28),
        ):
            noise = rng.normal(0, 0.02, 2)
            points.append({"arm": arm, "country": code, "x": shrink * x + shift + noise[0], "y": shrink * y + noise[1]})
    return {
        "schema": 2,
        "experiment": "quickstart",
        "created": "2026-01-31T12:00:00+00:00",
        "command": "polyphony run experiment=quickstart",
        "not_a_result": ["fewer than two training seeds: match-full, match-lora, dpo-full"],
        "finding": [
            "On held-out countries and items, match-full is closer to people than base: mean JS distance 0.24 "
            "against 0.48, difference −0.24 [−0.28, −0.20], n = 120 item × group pairs; paired bootstrap over 4 items "
            "and 30 countries, one training seed.",
            "Variation between countries (people = 1): base 0.21 [0.15, 0.28], "
            "match-full 0.38 [0.29, 0.47], dpo-full 0.12 [0.08, 0.17].",
        ],
        "arms": [_arm(*arm) for arm in ARMS],
        "estimates": rows,
        "comparisons": comparisons,
        "effects": {
            "factors": ["objective", "trained parameters"],
            "why_not": "Objective and trained parameters vary, but their effects cannot be told apart: no arm has "
            "recipe=dpo, adapter=lora.",
            "notes": [],
            "rows": [],
        },
        "verdicts": [
            {
                "hypothesis": "closer",
                "statement": "Distribution matching brings the model closer to people.",
                "verdict": "NO VERDICT",
                "margin": 0.02,
                "value": -0.24,
                "low": -0.28,
                "high": -0.2,
                "p_equivalence": 1.0,
                "sentence": "No verdict: fewer than two training seeds. The difference is −0.240 [−0.280, −0.200].",
            },
            {
                "hypothesis": "variation",
                "statement": "Matching keeps more variation between countries than DPO.",
                "verdict": "SUPPORTED",
                "margin": 0.05,
                "value": 0.26,
                "low": 0.17,
                "high": 0.35,
                "p_equivalence": 0.9998,
                "sentence": "The difference +0.260 [+0.170, +0.350] is higher, as expected, by more than 0.05.",
                "contrast": {
                    "factor": "objective",
                    "own": [{"factor": "objective", "what": "recipe match against dpo"}],
                    "others": [{"factor": "budget", "what": "FLOPs 5.71e+12 against 7.61e+12"}],
                    "meant": "match-full and dpo-full are meant to differ in the objective (recipe match against dpo).",
                    "warning": "match-full and dpo-full differ in more than the objective: also in the budget (FLOPs "
                    "5.71e+12 against 7.61e+12).",
                },
            },
        ],
        "culture_maps": {"first_token": {"stress": 0.13, "points": points}},
        "split": {
            "train_items": ["wvs/f117", "gss/natcrime", "cces/whiteadv"],
            "held_out_items": ["wvs/e143", "carData/poverty"],
            "train_countries": ["AUT", "BEL", "ITA", "NLD", "UKR", "VNM"],
            "held_out_countries": COUNTRIES,
            "seed": 0,
        },
        "training": {
            arm: {
                "examples": 512,
                "steps": 32,
                "tokens": 61234,
                "seconds": 211.5,
                "learning_rate": 3e-5,
                "countries": 40,
                "items": 21,
            }
            for arm, recipe, _ in ARMS
            if recipe != "none"
        },
        "surveys": [
            {
                "name": "wvs",
                "title": "World Values Survey, waves 1 to 6",
                "terms": "Cite; data files may not be passed on.",
                "citation": "Inglehart, R. et al. (2014). World Values Survey. https://www.worldvaluessurvey.org",
            }
        ],
        "exclusions": [
            {"arm": "base", "audit": "mark", "reason": "respondents with fewer than 3 known features", "count": 4}
        ],
        "provenance": {
            "versions": {"torch": "2.13.0", "transformers": "5.23.1"},
            "git": None,
            "models": {"smollm2-135m-instruct": "sha256:8c1f0a"},
            "seed": 0,
        },
    }


def _survey_rows(add: Any, rng: np.random.Generator, arm: str, audit: str, level: float) -> None:
    asked = (("none", 0.05), ("country", 0.0), ("country+age", 0.01)) if audit == "first_token" else (("country", 0.0),)
    for condition, more in asked:
        for group, shift in (("all", 0.0), ("seen items", -0.05)):
            add(arm, audit, "js_distance", group, condition, level + more + shift, 0.04)
            add(arm, audit, "emd", group, condition, 0.6 * (level + more + shift), 0.03)
            add(arm, audit, "total_variation", group, condition, 1.05 * (level + more + shift), 0.04)
            add(arm, audit, "top1_agreement", group, condition, 0.9 - level - shift, 0.05)
            add(arm, audit, "kl_people_model", group, condition, 2.4 * (level + more) ** 1.5, 0.08)
            add(arm, audit, "option_mass", group, condition, 0.93, 0.02)
            spread = {"base": 0.21, "match-full": 0.38, "match-lora": 0.3, "dpo-full": 0.12}[arm] * (
                condition != "none"
            )
            add(arm, audit, "between_ratio", group, condition, spread, 0.07)
            add(arm, audit, "within_ratio", group, condition, 1.25 - level, 0.08)
            add(arm, audit, "mode_share", group, condition, 0.02 + 0.3 * (arm == "dpo-full"), 0.01)
            nan = {"low": float("nan"), "high": float("nan")}
            flat = condition == "none"
            value = float("nan") if flat else 0.45 - 0.5 * level
            method = "undefined: the model's answers do not vary between countries" if flat else "Mantel test"
            add(arm, audit, "between_structure", group, condition, value, 0.1, method=method, **(nan if flat else {}))
            add(
                arm,
                audit,
                "between_structure_p",
                group,
                condition,
                float("nan") if flat else 0.012,
                0,
                method=method,
                **nan,
            )
            add(
                arm,
                audit,
                "skill",
                group,
                condition,
                1 - (level + more) / 0.22,
                0,
                **nan,
                method="1 - ratio of means; no interval",
            )
            for reference, distance in (("uniform", 0.39), ("other_countries_mean", 0.22), ("people_again", 0.06)):
                suffix = f" ({condition})" if condition == "country+age" else ""
                for name, scale in (("js_distance", 1.0), ("emd", 0.6), ("total_variation", 1.05)):
                    add(arm, audit, name, group, f"reference:{reference}{suffix}", scale * distance, 0.02)
        for code in COUNTRIES:
            add(arm, audit, "js_distance", f"country={code}", condition, level + more + 0.07 * rng.normal(), 0.05, 4)
            add(arm, audit, "similarity", f"country={code}", condition, 1 - level + 0.05 * rng.normal(), 0.05, 4)
            add(
                arm,
                audit,
                "js_distance",
                f"country={code}",
                "reference:people_again",
                0.05 + 0.02 * rng.random(),
                0.01,
                4,
            )
        add(arm, audit, "us_centrism", "all", condition, 0.02 + 0.1 * (arm == "base"), 0.03)
        if condition == "country+age":
            add(arm, audit, "age_gap", "all", condition, {"base": 0.05}.get(arm, 0.02), 0.03)
            for step, age in enumerate(("18-29", "30-49", "50+")):
                add(arm, audit, "fidelity", f"age={age}", condition, level - 0.02 * step, 0.04)


def _dilemma_rows(add: Any, rng: np.random.Generator, arm: str, recipe: str) -> None:
    method = {"method": "bootstrap over 24 dilemmas; one training seed"}
    asked = ["wording:1", "wording:2", "form:compare", "dialogue:neutral", "dialogue:pressing"]
    for step, condition in enumerate([*asked, *(["training:alone"] if recipe != "none" else [])]):
        add(arm, "edc", "flip_rate", "all", condition, 0.08 + 0.06 * step + 0.04 * rng.random(), 0.07, 24, **method)
        add(arm, "edc", "js_distance", "all", condition, 0.1 + 0.03 * step, 0.03, 24, **method)
    add(arm, "edc", "disagreement", "all", "reference:asked_again", 0.41, 0.02, 24, **method)
    add(arm, "edc", "krippendorff_alpha", "all", "wordings", 0.52, 0.1, 24, **method)
    add(arm, "edc", "kendall_tau", "all", "dialogue:pressing", 0.47, 0.2, 24, **method)
    if recipe != "none":
        add(arm, "edc", "priority_drift", "all", "training:alone", 0.4, 0.1, 24, **method)
    for value in VALUES:
        add(arm, "edc", "value_priority", f"value={value}", "wordings", 0.7 * rng.normal(), 0.4, 6, **method)


def _mark_rows(add: Any, rng: np.random.Generator, arm: str) -> None:
    method = {"method": "bootstrap over 40 respondents; items as given"}
    accuracy = 0.3 + 0.2 * (0.5 - LEVEL[arm])
    for condition, value in (
        ("mark", accuracy),
        ("demographics_only", accuracy - 0.04),
        ("reference:majority_of_country", 0.46),
        ("reference:random", 0.22),
    ):
        add(arm, "mark", "accuracy", "all", condition, value, 0.09, 80, **method)
    add(arm, "mark", "cohen_kappa", "all", "mark", accuracy - 0.25, 0.08, 80, **method)
    for condition, value in (("S1 stress", 1.0), ("S3 impact", 0.93), ("S4 consistency", 0.71)):
        add(arm, "mark", "stage_validity", "all", condition, value, 0.02, 40, **method)
    for condition in ("feature: greatest", "feature: another", "feature: difference"):
        add(arm, "mark", "faithfulness", "all", condition, 0.05 * rng.random(), 0.02, 80, **method)


def _arm(name: str, recipe: str, adapter: str) -> dict[str, Any]:
    status, reasons = ("valid", [])
    if name == "dpo-full":
        status, reasons = "warned", ["34% of answers put over 0.9 on one option, of people's 2%"]
    figures = {
        "option_mass": 0.93,
        "position_effect": 0.31 if recipe == "none" else 0.12,
        "perplexity": float("nan"),
        "mode_share": 0.34 if name == "dpo-full" else 0.02,
        "mode_share_of_people": 0.02,
    }
    cell = {
        "folder": f"{name}--s0--d0--1a2b3c4d",
        "state": "done",
        "seed": 0,
        "draw": 0,
        "manifest": {"hashes": {"base": "8c1f"}},
    }
    return {
        "name": name,
        "recipe": recipe,
        "adapter": adapter,
        "mixture": "none" if recipe == "none" else "diverse",
        "seeds": [0],
        "draws": [0],
        "cells": [cell],
        "validity": {"status": status, "reasons": reasons, "figures": figures},
    }


def make_evidence(folder: Path, arm: str, respondents: int, text: str = "Is accepting a bribe ever justified?") -> None:
    """items.parquet of two audits and a training log for one arm's cell."""
    rng = np.random.default_rng(len(arm))
    (folder / "audits" / "first_token").mkdir(parents=True)
    (folder / "audits" / "mark").mkdir(parents=True)
    options = ["Never", "Seldom", "Often", "Always"]
    first = {
        "item": "wvs/e143",
        "country": "NOR",
        "age": "",
        "sex": "",
        "education": "",
        "condition": "country",
        "stratum": "held_out",
        "order": [1, 2, 3, 0],
        "labels": ["A", "B", "C", "D"],
        "prompt": f"You live in Norway.\n{text}\nAnswer:",
        "p": np.array([0.6, 0.2, 0.15, 0.05]),
        "q": np.array([0.7, 0.15, 0.1, 0.05]),
        "option_mass": 0.9,
    }
    pd.DataFrame([first]).to_parquet(folder / "audits" / "first_token" / "items.parquet")
    rows = []
    for person in range(respondents):
        for item in range(2):
            functions = [
                {
                    "function": code,
                    "name": code,
                    "rank": rank,
                    "under_stress": rank == "inferior",
                    "revised": rank == "tertiary",
                    "weight": weight,
                    "answer": options[int(rng.integers(4))],
                }
                for code, rank, weight in (
                    ("Ni", "dominant", 0.4),
                    ("Te", "auxiliary", 0.3),
                    ("Fi", "tertiary", 0.2),
                    ("Se", "inferior", 0.1),
                )
            ]
            features = [
                {"name": "age", "value": "34", "stress": 61.2, "kept": True},
                {"name": "education", "value": "university", "stress": 22.0, "kept": False},
            ]
            rows.append(
                {
                    "respondent": f"wvs-{person}",
                    "item": f"item {item}",
                    "country": COUNTRIES[person % 30],
                    "age": "30-49",
                    "sex": "female",
                    "education": "",
                    "question": text,
                    "options": options,
                    "human": int(rng.integers(4)),
                    "answer": int(rng.integers(4)),
                    "p": rng.dirichlet(np.ones(4)),
                    "features": json.dumps(features),
                    "type": "INTJ",
                    "functions": json.dumps(functions),
                    "prompts": "[]",
                }
            )
    pd.DataFrame(rows).to_parquet(folder / "audits" / "mark" / "items.parquet")
    if arm != "base":
        lines = [
            json.dumps({"step": step, "loss": 2.0 / (1 + step / 8) + 0.05 * rng.random()}) for step in range(1, 33)
        ]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def make_experiment(folder: Path, respondents: int = 12, text: str = "Is accepting a bribe ever justified?") -> Path:
    """The whole experiment below `folder`; returns its comparison folder."""
    summary = make_summary()
    write_json(folder / "comparison" / "summary.json", summary)
    for arm in summary["arms"]:
        make_evidence(folder / "cells" / arm["cells"][0]["folder"], arm["name"], respondents, text)
    return folder / "comparison"
