"""`polyphony bench recipes`: every recipe with every adapter, trained for a few steps: what moved, and what it cost.

Recipes and adapters are those of the configuration (and `variants.yaml` beside this file), none is named here. Each
pair is a row: trained in a process of its own through `train.variant.train_variant`, as a cell is, or refused with the
reason. Rows stand in `rows.jsonl` under a hash of all that they depend on, the code included: what is there is not
trained again.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

from data.code import digest_code
from data.files import digest, write_json, write_text
from data.models import ModelSpec, device_for, fetch, weights_hash
from launch.asked import trains
from launch.bench import machine
from launch.bench.process import Child
from launch.bench.recipes_table import as_markdown
from launch.bench.training import bench_config
from launch.build import build_as, nearest
from launch.cells import Cell, library_versions
from launch.check import check_cells
from launch.compose import Composer
from launch.process import worker_environment

CHILD = "launch.bench.cell_child"
VARIANTS = Path(__file__).with_name("variants.yaml")
PARTS = ("model", "recipe", "adapter", "mixture", "survey", "prompt", "budget", "gate", "seed", "draw")
ALIKE = "trains nothing, whatever the adapter"


def table_of_recipes(
    overrides: Sequence[str],
    source: str,
    recipes: Sequence[str],
    adapters: Sequence[str],
    variants: Sequence[str],
    examples: int,
    prompts: int,
    jobs: int,
    threads: int,
    out: Path,
) -> dict[str, Any]:
    """`rows`, one a pair in the order of recipes and adapters, and `facts`; in `out/recipes.json`, `recipes.md` too.

    A row has moved (share of the trained tensors that changed), tensors, change (L2, relative to the base's weights),
    kl (nats), distances and base (`HeldOut.distances`) or pair_accuracy, seconds, peak_gib; or `refused` or `failed`,
    why not. Raises ValueError for a recipe, adapter or override that there is not.
    """
    out.mkdir(parents=True, exist_ok=True)
    file, planned = out / "rows.jsonl", _pairs(recipes, adapters, variants)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    todo: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    stored, idle = _read(file), set[str]()
    for recipe, adapter, chosen in planned:
        pair = (recipe, adapter)
        try:
            config = bench_config([*overrides, *chosen, f"adapter={adapter}", f"budget.examples={examples}"], source)
            check_cells([Cell(Path(), config)])
        except ValueError as error:
            rows[pair] = {"refused": str(error)}
            continue
        if not trains(config):
            if recipe in idle:
                rows[pair] = {"refused": ALIKE}
                continue
            idle.add(recipe)
        config["budget"]["checkpoint_every"] = examples  # a cell is short: begun anew after a kill
        key = _key(config, prompts)
        if key in stored:
            rows[pair] = stored[key]
        else:
            todo[pair] = (key, config)
    rows |= _train(todo, prompts, jobs, threads, file)
    return _written(
        [{"recipe": recipe, "adapter": adapter, **rows[recipe, adapter]} for recipe, adapter, _ in planned],
        {
            "model": source or bench_config(overrides, "")["model"]["source"],
            "examples": examples,
            "prompts": prompts,
            "threads": threads,
            "jobs": jobs,
            "machine": machine.machine(device_for()),
            "versions": machine.versions(),
        },
        out,
    )


def _pairs(
    recipes: Sequence[str], adapters: Sequence[str], variants: Sequence[str]
) -> list[tuple[str, str, list[str]]]:
    """Recipe, adapter and the overrides that choose the recipe, for every pair."""
    with Composer() as composer:
        groups = composer.groups()
    known = {name: [f"recipe={name}"] for name in groups["recipe"]}
    known |= yaml.safe_load(VARIANTS.read_text(encoding="utf-8"))
    for text in variants:
        name, _, chosen = text.partition("=")
        if not name or "=" not in chosen:
            raise ValueError(f"--variant must be 'NAME=recipe=MEMBER recipe.KNOB=VALUE …', got {text!r}")
        known[name] = shlex.split(chosen)
    for option, given, all_names in (("recipes", recipes, known), ("adapters", adapters, groups["adapter"])):
        if wrong := [name for name in given if name not in all_names]:
            raise ValueError(f"--{option} has no {wrong[0]!r}{nearest(wrong[0], all_names)}")
    own = [text.partition("=")[0] for text in variants]
    return [
        (recipe, adapter, known[recipe])
        for recipe in (dict.fromkeys([*recipes, *own]) if recipes else known)
        for adapter in (adapters or groups["adapter"])
    ]


def _key(config: Mapping[str, Any], prompts: int) -> str:
    spec = build_as(ModelSpec, config["model"], "model")
    targets = [str(config[part]["_target_"]).rpartition(".")[0] for part in ("recipe", "adapter", "mixture")]
    facts = [{part: config[part] for part in PARTS}, weights_hash(fetch(spec)), prompts, device_for().type]
    return digest([*facts, library_versions(), digest_code(CHILD, *targets)])


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Stored rows by their keys; a last line torn by a kill is removed."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    if lines and not lines[-1].endswith("\n"):
        write_text(file, "".join(lines[:-1]))
        lines.pop()
    found = [json.loads(line) for line in lines]
    return {row.pop("key"): row for row in found}


def _train(
    todo: Mapping[tuple[str, str], tuple[str, dict[str, Any]]], prompts: int, jobs: int, threads: int, file: Path
) -> dict[tuple[str, str], dict[str, Any]]:
    """Train what is asked for, `jobs` at once; every row is stored when it is there."""
    if not todo:
        return {}
    environment = worker_environment(threads)

    def asked(name: str, config: Mapping[str, Any], method: str, *arguments: Any) -> Any:
        with Child(CHILD, name, environment, {"config": config, "prompts": prompts, "threads": threads}) as child:
            return child.call(method, *arguments)

    base = asked("the base model", next(iter(todo.values()))[1], "base")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {
            pool.submit(asked, " × ".join(pair), config, "row", base["answers"]): pair
            for pair, (_, config) in todo.items()
        }
        for done in as_completed(futures):
            pair = futures[done]
            try:
                rows[pair] = row = {**done.result(), "base": base["distances"]}
            except ChildProcessError as error:  # such as too little memory: tried again by the same command
                rows[pair] = {"failed": str(error)}
            else:
                with file.open("a", encoding="utf-8") as handle:
                    handle.write(json.dumps({"key": todo[pair][0], **row}) + "\n")
            failed = f" failed: {rows[pair]['failed']}" if "failed" in rows[pair] else ""
            print(f"{len(rows)} of {len(todo)}: {' × '.join(pair)}{failed}", file=sys.stderr)
    finally:
        pool.shutdown(cancel_futures=True)
    return rows


def _written(rows: list[dict[str, Any]], facts: dict[str, Any], out: Path) -> dict[str, Any]:
    numbers = {"rows": rows, "facts": facts}
    write_json(out / "recipes.json", numbers)
    write_text(out / "recipes.md", as_markdown(numbers))
    return numbers
