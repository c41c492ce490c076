"""`polyphony bench`: how fast things are on the user's own machine, and what every recipe does to a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

HELP = """How fast this machine answers and trains, and what every recipe does to a model.

\b
polyphony bench answers      the audits' scorer beside lm-evaluation-harness, plain loops and vLLM
polyphony bench train        match, sft and dpo in packed trees beside TRL and the plain transformers Trainer
polyphony bench curve        distance to people by tokens trained on: match beside sft
polyphony bench recipes      every recipe x adapter: what moves, how far, and what it costs
\b
All measure on this machine, print a table and write JSON on request. Seconds are CPU seconds of a process of its own
(on a GPU: wall seconds). Quote them, and ratios of a per cent, from a machine that does nothing else.
"""
app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
Model = Annotated[str, typer.Option(help="Folder, Hub id or pypi:NAME. [default: the configured model]")]
Threads = Annotated[int | None, typer.Option(help="CPU threads. [default: OMP_NUM_THREADS, else all cores]")]
Json = Annotated[Path | None, typer.Option(help="Write the numbers to this file too.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[PART=MEMBER | KEY=VALUE]…", help="As for `polyphony run`.")
]


@app.command()
def answers(
    model: Model = "",
    prompts: Annotated[
        str, typer.Option(help="shared, audit, or a file of JSON Lines with text and labels.")
    ] = "shared",
    limit: Annotated[int | None, typer.Option(help="At most so many items (audit) or prompts (file).")] = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(help="How often each way is timed.")] = 3,
    against: Annotated[
        str, typer.Option(help="Which others, with commas between; differences need one-by-one.")
    ] = "lm-eval,loop,one-by-one,vllm",
    json: Json = None,
) -> None:
    """The audits' scorer beside lm-evaluation-harness, plain loops and vLLM, on the same prompts in one run."""
    from launch.bench.answers import as_numbers, print_answers
    from launch.bench.compare import AGAINST, compare

    others = _names("against", against, AGAINST)
    _at_least_1(repeats=repeats, threads=threads, limit=limit)
    rows, facts = compare(model, prompts, limit, threads, repeats, others)
    numbers = as_numbers(rows, facts)
    print_answers(numbers)
    if json is not None:
        from data.files import write_json

        write_json(json, numbers)


@app.command()
def train(
    overrides: Overrides = None,
    model: Model = "",
    recipes: Annotated[str, typer.Option(help="Which, with commas between.")] = "match,sft,dpo",
    sharing: Annotated[
        str,
        typer.Option(
            help="Prompt tokens a distinct one: a number, for which examples of few or many questions are put into a "
            "batch, or mixture, for the batches of a real training."
        ),
    ] = "2.5",
    batch: Annotated[int, typer.Option(help="Examples an optimiser step.")] = 16,
    steps: Annotated[int, typer.Option(help="Steps timed a repeat, after one that is not.")] = 2,
    repeats: Annotated[int, typer.Option(help="How often each way is timed.")] = 3,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Our recipes in packed trees beside TRL's trainers and the plain transformers Trainer, on the same batches.

    About 25 minutes on one quiet core with SmolLM2-135M; each way in a fresh process, TRL's dpo in 15 GB of memory.
    """
    from launch.bench.training import RECIPES, compare_training, print_training

    _at_least_1(batch=batch, steps=steps, repeats=repeats, threads=threads)
    names = _names("recipes", recipes, RECIPES)
    numbers = compare_training(overrides or [], model, names, _sharing(sharing), batch, steps, repeats, threads)
    print_training(numbers)
    if json is not None:
        from data.files import write_json

        write_json(json, numbers)


@app.command()
def curve(
    overrides: Overrides = None,
    model: Model = "",
    recipes: Annotated[str, typer.Option(help="Which, with commas between; the first is compared.")] = "match,sft",
    examples: Annotated[int, typer.Option(help="Training examples a run.")] = 480,
    every: Annotated[int, typer.Option(help="Steps between two looks at the held-out prompts.")] = 3,
    prompts: Annotated[int, typer.Option(help="Held-out prompts, half of them on questions trained on.")] = 96,
    seeds: Annotated[int, typer.Option(help="Training seeds, from 0.")] = 1,
    draws: Annotated[int, typer.Option(help="Draws of the training data, from 0.")] = 2,
    distance: Annotated[
        float | None, typer.Option(help="Which distance is to be reached. [default: the least that all reach]")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Trainings side by side.")] = 1,
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="Folder for curve.json, curve.png and curve.svg.")] = Path("bench-curve"),
) -> None:
    """Distance to people on held-out prompts by tokens trained on: match beside sft, same mixture and steps.

    About 12 minutes on one quiet core with SmolLM2-135M. It prints what comes out, whichever is better.
    """
    from launch.bench.curve import compare_curves, print_curves
    from launch.bench.curve_figure import draw_curves

    _at_least_1(examples=examples, every=every, prompts=prompts, seeds=seeds, draws=draws, jobs=jobs, threads=threads)
    names = _names("recipes", recipes, None)
    runs = [(seed, draw) for seed in range(seeds) for draw in range(draws)]
    numbers = compare_curves(
        overrides or [], model, names, examples, every, prompts, runs, distance, jobs, threads, out
    )
    draw_curves(numbers, out)
    print_curves(numbers, out)


@app.command()
def recipes(
    overrides: Overrides = None,
    model: Model = "",
    recipes: Annotated[str, typer.Option(help="Which, with commas between. [default: all]")] = "",
    adapters: Annotated[str, typer.Option(help="Which, with commas between. [default: all]")] = "",
    variant: Annotated[
        list[str] | None,
        typer.Option(help="A row of its own: 'NAME=recipe=MEMBER recipe.KNOB=VALUE …'; may be repeated."),
    ] = None,
    examples: Annotated[int, typer.Option(help="Training examples a cell, in batches of budget.batch_size.")] = 64,
    prompts: Annotated[int, typer.Option(help="Held-out prompts, half of them on questions trained on.")] = 60,
    jobs: Annotated[int, typer.Option(help="Cells side by side.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads a cell.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for rows.jsonl, recipes.json and recipes.md.")] = Path(
        "bench-recipes"
    ),
) -> None:
    """The table recipe × adapter: every recipe trained for a few steps with every adapter, and what that did.

    A cell takes about 20 s of a quiet core with SmolLM2-135M, of those that sample replies (rloo, grpo) minutes. The
    same command again goes on after a kill; what does not go together is a row that says why.
    """
    from launch.bench.recipes import table_of_recipes
    from launch.bench.recipes_table import print_recipes

    _at_least_1(examples=examples, prompts=prompts, jobs=jobs, threads=threads)
    numbers = table_of_recipes(
        overrides or [],
        model,
        _names("recipes", recipes, None),
        _names("adapters", adapters, None),
        variant or [],
        examples,
        prompts,
        jobs,
        threads,
        out,
    )
    print_recipes(numbers, out)


def _names(option: str, text: str, allowed: Iterable[str] | None) -> list[str]:
    """Names between commas, each once. Raises ValueError for one that is not allowed."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if allowed is not None and (wrong := [name for name in names if name not in set(allowed)]):
        raise ValueError(f"--{option} knows {', '.join(allowed)}, got {wrong[0]!r}")
    return names


def _at_least_1(**options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")


def _sharing(text: str) -> float | None:
    """The factor asked for; None for the mixture's own batches."""
    if text == "mixture":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value >= 1:
        raise ValueError(f"--sharing must be mixture or a number of at least 1, got {text!r}")
    return value
