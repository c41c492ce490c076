"""`polyphony bench curve`: how near to people each recipe comes, by the tokens that it was trained on.

Recipes train on the same mixture, for the same steps, with their own learning rates; at every few steps the model is
asked the held-out prompts (`launch.bench.heldout`). `match` sees the whole distribution of a group, `sft` an answer of
one person: the same tokens, another amount of people in them. What is compared is the tokens that the mean curve over
runs needs until it is at a distance for the first time, interpolated between two looks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from data.files import write_json
from data.models import device_for
from launch.bench import machine
from launch.bench.heldout import NEW, TRAINED
from launch.bench.process import Child
from launch.bench.tables import known, markdown
from launch.bench.training import bench_config
from launch.process import threads_for, worker_environment

CHILD = "launch.bench.cell_child"


def compare_curves(
    overrides: Sequence[str],
    source: str,
    recipes: Sequence[str],
    examples: int,
    every: int,
    prompts: int,
    runs: Sequence[tuple[int, int]],
    distance: float | None,
    jobs: int,
    threads: int | None,
    out: Path,
) -> dict[str, Any]:
    """`curves` (a list of points a recipe, seed and draw), `reached` (a stratum and recipe: tokens to the distance),
    `facts`; written to `out/curve.json`. Raises as composing does, and ChildProcessError for a process that ended.
    """
    before = os.getloadavg()[0]
    threads = threads or threads_for("auto", jobs)
    out.mkdir(parents=True, exist_ok=True)
    asked = []
    for name in recipes:
        config = bench_config([*overrides, f"recipe={name}", f"budget.examples={examples}"], source)
        config["budget"]["checkpoint_every"] = examples  # nothing to resume from: none is written
        asked += [(name, {**config, "seed": seed, "draw": draw}) for seed, draw in runs]

    def trained(cell: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        name, config = cell
        order = {"config": config, "prompts": prompts, "threads": threads}
        with Child(CHILD, name, worker_environment(threads), order) as child:
            return {
                "recipe": name,
                "seed": config["seed"],
                "draw": config["draw"],
                "points": child.call("curve", every),
            }

    with ThreadPoolExecutor(jobs) as pool:
        curves = list(pool.map(trained, asked))
    reached = [_reached(curves, recipes, stratum, distance) for stratum in (TRAINED, NEW)]
    facts = {
        "model": config["model"].get("name") or config["model"]["source"],
        "mixture": config["chosen"]["mixture"],
        "examples": examples,
        "steps": int(curves[0]["points"][-1]["step"]),
        "prompts": prompts,
        "runs": len(runs),
        "machine": machine.machine(device_for()),
        "versions": machine.versions(),
        "load": (before, os.getloadavg()[0]),
    }
    numbers = {"curves": curves, "reached": reached, "facts": facts}
    write_json(out / "curve.json", numbers)
    return numbers


def mean_curve(curves: Sequence[Mapping[str, Any]], recipe: str, stratum: str) -> tuple[list[float], list[float]]:
    """Tokens and mean distance at every look, over the runs of a recipe."""
    runs = [curve["points"] for curve in curves if curve["recipe"] == recipe]
    return tuple(  # type: ignore[return-value]
        [mean(point[name] for point in look) for look in zip(*runs, strict=True)] for name in ("tokens", stratum)
    )


def tokens_until(tokens: Sequence[float], distances: Sequence[float], target: float) -> float:
    """Tokens at which the curve is first at `target` or below, linear between looks; NaN where it never is.

    >>> tokens_until([0, 100, 200], [0.4, 0.3, 0.1], 0.2)
    150.0
    """
    if distances[0] <= target:
        return float(tokens[0])
    for place in range(1, len(tokens)):
        if distances[place] <= target:
            above, step = distances[place - 1], tokens[place] - tokens[place - 1]
            return float(tokens[place - 1] + step * (above - target) / (above - distances[place]))
    return float("nan")


def _reached(
    curves: Sequence[Mapping[str, Any]], recipes: Sequence[str], stratum: str, distance: float | None
) -> dict[str, Any]:
    """`distance`: None for the least that the mean curves of all recipes reach."""
    found = {name: mean_curve(curves, name, stratum) for name in recipes}
    start = max(distances[0] for _, distances in found.values())
    target = distance if distance is not None else max(min(distances) for _, distances in found.values())
    tokens = {name: tokens_until(*curve, target) for name, curve in found.items()}
    first = tokens[recipes[0]]
    useful = target < start  # nobody learned anything where the target is where they began
    return {
        "stratum": stratum,
        "base": start,
        "distance": target,
        "tokens": {name: value if useful else float("nan") for name, value in tokens.items()},
        "least": {name: float(np.min(distances)) for name, (_, distances) in found.items()},
        "last": {name: distances[-1] for name, (_, distances) in found.items()},
        "fraction": {name: first / value if useful and value else float("nan") for name, value in tokens.items()},
    }


def print_curves(numbers: Mapping[str, Any], out: Path) -> None:
    """The tokens that every recipe needed, and what that rests on."""
    facts, recipes = numbers["facts"], list(dict.fromkeys(curve["recipe"] for curve in numbers["curves"]))
    table = [
        (
            "held-out prompts",
            "recipe",
            "base",
            "least",
            "at the end",
            "to reach",
            "tokens until then",
            f"{recipes[0]} / it",
        )
    ]
    for reached in numbers["reached"]:
        for name in recipes:
            values = (reached["base"], reached["least"][name], reached["last"][name], reached["distance"])
            words = [known(value, ".3f") for value in values]
            needs = known(reached["tokens"][name], ",.0f")
            table.append((reached["stratum"], name, *words, needs, known(reached["fraction"][name], ".2f")))
    print("\n".join(markdown(table)), end="\n\n")
    print(
        f"Jensen-Shannon distance to people of countries that were held out, about {facts['prompts']} prompts; "
        f"{facts['model']}, mixture {facts['mixture']}, {facts['steps']} steps over {facts['examples']} examples, mean "
        f"of {facts['runs']} runs a recipe. A dash: not reached, or nobody got below the base.\n"
        f"A few prompts and runs: NOT A RESULT about values. {out}: curve.png, curve.svg, curve.json"
    )
