"""`polyphony bench train`: our recipes in packed trees beside TRL and the plain transformers Trainer.

Same model, examples, batches, optimiser and environment. Every measurement is a fresh process, so that its peak memory
is its own; the ways of a recipe take turns, `repeats` times over, so that a machine that slows down slows all of them.
What is timed is the training of a few steps, after one that is not: for ours with rendering, tokenising, trees and (of
`dpo`) the reference; for the others from data that was prepared before the clock starts.

What our trainer costs over the plain one lies below the noise of a whole model's seconds, and does not depend on how
many layers the model has. So it is measured with the model's first layer alone, and held against the seconds that the
plain Trainer takes for the whole model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from data.models import ModelSpec, device_for, fetch, load_tokenizer
from data.prompts import Asking, Renderer
from launch.bench import machine
from launch.bench.batches import Batches, training_batches
from launch.bench.process import Child
from launch.bench.tables import markdown, spread
from launch.bench.training_ways import OURS, PADDED, PLAIN, TRL, WAYS
from launch.build import build_as
from launch.compose import Composer
from launch.process import threads_for, worker_environment

CHILD = "launch.bench.training_child"
RECIPES = tuple(WAYS)
CLAIMED_SHARING, CLAIMED_TIMES, CLAIMED_OVERHEAD = 2.5, 2.0, 0.03
OVERHEAD_REPEATS = 3  # times those of the table: with one layer they are short


def bench_config(overrides: Sequence[str], source: str) -> dict[str, Any]:
    """The configuration with these overrides; `source` instead of the configured model, asked as it can be asked."""
    with Composer() as composer:
        config = composer(overrides)
    if source:
        config["model"] = {"source": source}
    spec = build_as(ModelSpec, config["model"], "model")
    tokenizer = load_tokenizer(fetch(spec), spec.trust_remote_code)
    if getattr(tokenizer, "chat_template", None) is None:
        config["prompt"] = {**config["prompt"], "style": "completion"}
    return config


def renderer_of(config: Mapping[str, Any]) -> Renderer:
    spec = build_as(ModelSpec, config["model"], "model")
    tokenizer = load_tokenizer(fetch(spec), spec.trust_remote_code)
    return Renderer(build_as(Asking, config["prompt"], "prompt"), tokenizer)


def compare_training(
    overrides: Sequence[str],
    source: str,
    recipes: Sequence[str],
    sharing: float | None,
    batch: int,
    steps: int,
    repeats: int,
    threads: int | None,
) -> dict[str, Any]:
    """`rows`, one a recipe and way: seconds an example of every repeat, examples a second, how many times as long as
    ours (`ratios`, repeat by repeat), losses, peak memory; `overhead`: seconds an example that `match` without packing
    costs over the plain Trainer, of every repeat (None where it is not asked for); `claims` and `facts`. Raises as
    making the batches does, and ChildProcessError for a process that ended.
    """
    before = os.getloadavg()[0]
    threads = threads or threads_for("auto", 1)
    configs = {name: bench_config([*overrides, f"recipe={name}"], source) for name in recipes}
    config = configs[recipes[0]]
    renderer = renderer_of(config)
    timed = training_batches(config, renderer, sharing, batch, steps)
    usual = training_batches(config, renderer, None, batch, max(1, config["budget"]["examples"] // batch))
    order = {"sharing": sharing, "batch": batch, "steps": steps, "threads": threads}

    def measure(name: str, ways: list[str], repeats: int, layers: int | None) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for repeat in range(repeats):
            for way in _turn(ways, repeat):
                asked = {**order, "way": way, "config": configs[name], "layers": layers}
                with Child(CHILD, name, worker_environment(threads), asked) as child:
                    found[way].append(child.call("measure"))
        return found

    rows, overhead = [], None
    for name in recipes:
        measured = measure(name, list(WAYS[name]), repeats, None)
        rows += [_row(name, way, of, measured[OURS], batch * steps) for way, of in measured.items()]
        if PADDED in measured:
            short = measure(name, [PADDED, PLAIN], OVERHEAD_REPEATS * repeats, 1)
            pairs = zip(short[PADDED], short[PLAIN], strict=True)
            overhead = [(mine["seconds"] - other["seconds"]) / (batch * steps) for mine, other in pairs]
    device = device_for()
    facts = {
        "model": config["model"].get("name") or config["model"]["source"],
        "dtype": measured[OURS][0]["dtype"],
        "parameters": measured[OURS][0]["parameters"],
        "sharing": "mixture" if sharing is None else sharing,
        "batches": _counts(timed),
        "mixture": _counts(usual),
        "batch": batch,
        "steps": steps,
        "repeats": repeats,
        "device": device.type,
        "threads": threads,
        "machine": machine.machine(device),
        "versions": machine.versions(),
        "load": (before, os.getloadavg()[0]),
    }
    return {"rows": rows, "overhead": overhead, "claims": _claims(rows, overhead, timed.sharing), "facts": facts}


def _turn(ways: list[str], repeat: int) -> list[str]:
    """Another way begins every repeat."""
    return ways[repeat % len(ways) :] + ways[: repeat % len(ways)]


def _counts(batches: Batches) -> dict[str, Any]:
    counts = {name: value for name, value in asdict(batches).items() if name != "examples"}
    return counts | {"sharing": batches.sharing}


def _row(
    name: str, way: str, measured: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]], examples: int
) -> dict[str, Any]:
    seconds = [one["seconds"] / examples for one in measured]
    return {
        "recipe": name,
        "way": way,
        "seconds": seconds,
        "examples_per_second": 1 / median(seconds),
        "ratios": [one["seconds"] / mine["seconds"] for one, mine in zip(measured, ours, strict=True)],
        "losses": measured[0]["losses"],
        "peak_gib": max(one["peak_gib"] for one in measured),
    }


def _claims(
    rows: Sequence[Mapping[str, Any]], overhead: Sequence[float] | None, sharing: float
) -> list[dict[str, Any]]:
    """What the ratios come to beside what is claimed: `met` is None where this run cannot say."""
    found = []
    for row in rows:
        if row["way"] in (PLAIN, TRL):
            known = sharing >= CLAIMED_SHARING * 0.95
            times = median(row["ratios"])
            found.append(
                {
                    "claim": f"{row['recipe']}: at least {CLAIMED_TIMES:g} × {row['way']} where a batch shares "
                    f"{CLAIMED_SHARING:g} tokens of one",
                    "measured": times,
                    "met": times >= CLAIMED_TIMES if known else None,
                }
            )
    if overhead:
        (whole,) = (median(row["seconds"]) for row in rows if row["way"] == PLAIN)
        share = median(overhead) / whole
        claim = f"match without packing: at most {CLAIMED_OVERHEAD:.0%} over the plain Trainer with the same loss"
        found.append({"claim": claim, "measured": share, "met": share <= CLAIMED_OVERHEAD})
    return found


def print_training(numbers: Mapping[str, Any]) -> None:
    """The table, the claims and what the numbers stand on."""
    facts = numbers["facts"]
    seconds = "CPU s" if facts["device"] == "cpu" else "wall s"
    head = ("recipe", "way", f"{seconds} an example", f"examples a {seconds}", "× polyphony", "peak GiB", "first loss")
    table = [head]
    for row in numbers["rows"]:
        rate, memory = f"{row['examples_per_second']:.2f}", f"{row['peak_gib']:.2f}"
        times = (spread(row["seconds"], ".3f"), rate, spread(row["ratios"], ".2f"), memory, f"{row['losses'][0]:.4f}")
        table.append((row["recipe"], row["way"], *times))
    print("\n".join(markdown(table)), end="\n\n")
    for claim in numbers["claims"]:
        value = f"{claim['measured']:+.1%}" if "packing" in claim["claim"] else f"{claim['measured']:.2f} ×"
        said = {True: "met", False: "NOT MET", None: "this batch shares less"}[claim["met"]]
        print(f"{claim['claim']}: {value}, {said}")
    if numbers["overhead"]:
        milliseconds = spread([1000 * value for value in numbers["overhead"]], ".1f")
        print(f"(measured with the model's first layer alone: {milliseconds} ms more an example)")
    print("\n" + "\n".join(_notes(facts, seconds)))


def _notes(facts: Mapping[str, Any], seconds: str) -> list[str]:
    timed, usual = facts["batches"], facts["mixture"]
    lines = [
        f"{facts['model']}, {facts['parameters'] / 1e6:.0f}M parameters, {facts['dtype']}; {facts['steps']} steps of "
        f"{facts['batch']} examples, after one that is not timed; median and range of {facts['repeats']} repeats.",
        f"Timed batches ({facts['sharing']}): {timed['tokens']:,} prompt tokens, {timed['unique']:,} in prefix trees, "
        f"{timed['sharing']:.2f} tokens a unique one; {timed['padded']:,} with padding; {timed['distinct']} distinct "
        f"prompts. The mixture's own batches share {usual['sharing']:.2f}.",
        "Timed: the training itself; ours with rendering, tokenising, trees and reference, the others from data "
        "prepared before. Losses differ by the label's token forms, which ours sums, and by TRL's end-of-turn token.",
        f"{facts['machine']}; {facts['threads']} threads; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + f"; load average {facts['load'][0]:.1f} before, {facts['load'][1]:.1f} after.",
    ]
    if any(machine.busy(load) for load in (facts["load"][0], facts["load"][1] - facts["threads"])):
        lines.append(f"WARNING: the machine is busy with other work: {seconds} are doubtful, ratios less so.")
    return lines
