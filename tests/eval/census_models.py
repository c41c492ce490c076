"""Made-up models of a census: arms on disk whose units are a level plus shared and own noise, and their tags."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.files import write_json
from eval.cells import Arm, CellResult, arms_of
from eval.census import Census
from eval.first_token.audit import answers_table
from eval.records import SCORE_COLUMNS
from eval.summaries import summarise

COUNTRIES = ("NOR", "GHA", "CHL", "JPN", "IND", "BRA")
ITEMS = 8
EMPTY = dict.fromkeys(("age", "sex", "education"), "")


def people() -> pd.DataFrame:
    """People's distributions over three options, the United States' among them."""
    rows = []
    for i, country in itertools.product(range(ITEMS), (*COUNTRIES, "USA")):
        code = sum(map(ord, country))
        rows.append({"item": f"i{i}", "country": country, **EMPTY, "n": 500.0})
        rows[-1]["q"] = np.random.default_rng([i, code]).dirichlet([3, 2, 2])
    return pd.DataFrame(rows)


def model(
    root: Path,
    arm: str,
    level: float,
    tags: Mapping[str, Any],
    noise: float = 0.01,
    measure: str = "js_distance",
    condition: str = "country",
    manifest: Mapping[str, Any] | None = None,
    perplexity: float | None = None,
    **config: Any,
) -> CellResult:
    """A finished, untrained cell whose units are `level`, what items and countries share, and noise of its own. Its
    evidence is an even answer everywhere.
    """
    folder = root / f"{arm}--s0--d0--00000000"
    own = np.random.default_rng(list(arm.encode()))
    rows, items = [], []
    for row in people().to_dict("records"):
        if row["country"] == "USA":
            continue
        shared = 0.02 * int(row["item"][1:]) + 0.03 * COUNTRIES.index(row["country"])
        unit = {"item": row["item"], "country": row["country"], **EMPTY, "condition": condition, "stratum": "held_out"}
        rows.append({**unit, "measure": measure, "value": level + shared + noise * own.normal(), "n": 500.0})
        items.append(
            {**unit, "p": np.full(3, 1 / 3), "q": row["q"], "n": 500.0, "option_mass": 0.9, "order": "[0,1,2]"}
        )
        items[-1] |= {"positions": None, "ordered": False}
    audit = folder / "audits" / "first_token"
    audit.mkdir(parents=True)
    scores = pd.DataFrame(rows)[list(SCORE_COLUMNS)]
    scores.to_parquet(audit / "scores.parquet")
    pd.DataFrame(items).to_parquet(audit / "items.parquet")
    estimates = [asdict(one) for one in summarise(scores, np.random.default_rng(0), 100)]
    if perplexity is not None:
        bounds = {"low": None, "high": None, "n": 1, "method": "none"}
        estimates.append(
            {"name": "perplexity", "group": "all", "condition": "neutral text", "value": perplexity} | bounds
        )
    record = {"audit": "first_token", "settings": {}, "excluded": {}, "estimates": estimates}
    write_json(audit / "estimates.json", record)
    config |= {"audit": {"first_token": {}}, "model": {"name": arm, "source": f"/models/{arm}", "tags": dict(tags)}}
    found = {"state": "done"} if manifest is None else manifest
    return CellResult(arm, 0, 0, folder, found, config, "none", "full", "diverse")


def census(cells: list[CellResult], **more: Any) -> Census:
    arms: dict[str, Arm] = {arm.name: arm for arm in arms_of(cells)}
    tags = {name: arm.first.config["model"]["tags"] for name, arm in arms.items()}
    status = {name: "valid" if arm.cells else "incomplete" for name, arm in arms.items()}
    given = {"status": status, "answers": {"first_token": answers_table}, "people": people(), "draws": 400}
    return Census(arms=arms, tags=tags, **(given | more))
