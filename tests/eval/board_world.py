"""Made-up cells whose arms lie at known distances from people, for the leaderboard: first_token and edc, on disk."""

from __future__ import annotations

import functools
import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.files import write_json
from eval.cells import CellResult
from eval.distances import js_distance
from eval.records import SCORE_COLUMNS
from eval.summaries import summarise
from eval.variation import variation

COUNTRIES = ("NOR", "SWE", "USA", "AUS", "DEU", "JPN", "BRA", "GHA")
AGES = ("18-29", "50+")


@dataclass(frozen=True)
class Made:
    """An arm: how far it goes from the mean of all countries to a country's own people (`apart`: 0 all alike, 1
    people's variation), how much noise it has, how often its choices turn, and what it is.
    """

    apart: float = 0.0
    noise: float = 0.1
    flips: float = 0.3
    recipe: str = "match"
    control: str | None = None
    inference: str = "none"
    state: str = "done"
    collapsed: bool = False


@functools.cache
def people(item: int, country: int, age: int) -> np.ndarray:
    centre = np.random.default_rng([1, item]).dirichlet([3, 3, 3])
    own = np.random.default_rng([1, item, country]).dirichlet(8 * centre + 0.3)
    return 0.9 * own + 0.1 * np.random.default_rng([1, item, country, age]).dirichlet([2, 2, 2])


def evidence(arm: Made, seed: int, items: int) -> pd.DataFrame:
    rng, rows = np.random.default_rng([2, seed, int(1000 * arm.noise)]), []
    for i, c in itertools.product(range(items), range(len(COUNTRIES))):
        mean = np.mean([people(i, other, 0) for other in range(len(COUNTRIES))], axis=0)
        for age in (-1, 0, 1):
            q = people(i, c, age + 1)
            p = (1 - arm.noise) * (arm.apart * q + (1 - arm.apart) * mean) + arm.noise * rng.dirichlet([1, 1, 1])
            rows.append(
                {
                    "item": f"i{i}", "country": COUNTRIES[c], "age": AGES[age] if age >= 0 else "", "sex": "",
                    "education": "", "condition": "country+age" if age >= 0 else "country",
                    "stratum": "held_out" if i % 2 else "seen_items", "order": "[0, 1, 2]", "p": p, "q": q, "n": 400.0,
                    "option_mass": 0.2 if arm.collapsed else 0.9, "positions": None, "ordered": False,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def survey_scores(answers: pd.DataFrame) -> pd.DataFrame:
    """Unit scores as the audit leaves them, the gap without its correction for small groups."""
    p, q = (np.stack(answers[name].to_list()) for name in ("p", "q"))
    home = np.stack([people(int(item[1:]), COUNTRIES.index("USA"), 0) for item in answers["item"]])
    table = answers.assign(js=js_distance(p, q), pull=js_distance(p, q) - js_distance(p, home))
    whole = table[table["age"] == ""]
    abroad = whole[(whole["country"] != "USA") & (whole["stratum"] == "held_out")]
    young, old = (table[table["age"] == age].reset_index(drop=True) for age in AGES)
    frames = [
        whole.assign(measure="js_distance", value=whole["js"]),
        abroad.assign(measure="us_centrism", value=abroad["pull"]),
        young.assign(measure="age_gap", value=young["js"] - old["js"], age=""),
    ]
    return pd.concat(frames, ignore_index=True)[list(SCORE_COLUMNS)]


def dilemmas(arm: Made, seed: int, number: int = 24) -> pd.DataFrame:
    turned = np.random.default_rng([3, seed, int(100 * arm.flips)]).random(number) < arm.flips
    rows = {"measure": "flip_rate", "condition": "dialogue:neutral:6", "stratum": "held_out", "country": "", "age": ""}
    rows |= {"sex": "", "education": "", "n": 1.0}
    table = pd.DataFrame({"item": [f"d{i:02}" for i in range(number)], "value": turned.astype(float)}).assign(**rows)
    return table[list(SCORE_COLUMNS)]


def write_cell(root: Path, name: str, arm: Made, seed: int, items: int = 8) -> CellResult:
    trained = arm.recipe != "none"
    folder, seed = root / f"{name}--s{seed}--d{seed}--00000000", seed if trained else 0
    answers, rng = evidence(arm, seed, items), np.random.default_rng(0)
    scores, country = survey_scores(answers), answers[answers["age"] == ""]
    found = [*summarise(scores, rng, 50), *variation(country, rng, 50, permutations=1)]
    _write(folder / "audits" / "first_token", scores, found, answers, 5000 if arm.inference == "none" else 9000)
    turned = dilemmas(arm, seed)
    _write(folder / "audits" / "edc", turned, summarise(turned, rng, 100), turned, 2000)
    spent = {"examples": 320, "seconds": 50.0 + seed, "flops": 5.7e12, "tokens": 30000, "steps": 20} if trained else {}
    manifest = {"state": arm.state, "budget": spent or {"examples": 0, "seconds": 0, "flops": 0}, "training": spent}
    mixture = {"name": "diverse", "control": arm.control}
    config: dict[str, Any] = {"audit": {"first_token": {}, "edc": {}}, "limit": None, "mixture": mixture}
    return CellResult(name, seed, seed, folder, manifest, config, arm.recipe, "full", "diverse", arm.inference)


def _write(folder: Path, scores: pd.DataFrame, estimates: list[Any], items: pd.DataFrame, tokens: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scores.to_parquet(folder / "scores.parquet")
    items.to_parquet(folder / "items.parquet")
    found = {"estimates": [asdict(one) for one in estimates], "excluded": {}, "expected": {"distinct_tokens": tokens}}
    write_json(folder / "estimates.json", {"audit": folder.name, "settings": {}, **found})


def write_cells(root: Path, arms: dict[str, Made], seeds: int = 3, items: int = 8) -> list[CellResult]:
    """One cell an arm that is untrained or unfit to be ranked, `seeds` of the others."""
    alone = {name for name, arm in arms.items() if arm.recipe == "none" or arm.collapsed or arm.state != "done"}
    return [
        write_cell(root, name, arm, seed, items)
        for name, arm in arms.items()
        for seed in range(1 if name in alone else seeds)
    ]
