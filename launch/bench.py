"""`polyphony bench`: how fast things are on the user's own machine, as tables ready for a README."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from launch.bench_compare import Facts, Row

app = typer.Typer(help="How fast this machine answers.", no_args_is_help=True)


@app.callback()
def _bench() -> None:
    """How fast this machine answers."""


@app.command()
def answers(
    model: Annotated[str, typer.Option(help="Folder, Hub id or pypi:NAME. [default: the configured model]")] = "",
    prompts: Annotated[
        str, typer.Option(help="shared, audit, or a file of JSON Lines with text and labels.")
    ] = "shared",
    limit: Annotated[int | None, typer.Option(help="At most so many items (audit) or prompts (file).")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. [default: OMP_NUM_THREADS, else all cores]")] = None,
    repeats: Annotated[int, typer.Option(help="How often each way is timed.")] = 3,
    against: Annotated[
        str, typer.Option(help="Which others, with commas between; differences need one-by-one.")
    ] = "lm-eval,loop,one-by-one,vllm",
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file too.")] = None,
) -> None:
    """The audits' scorer beside lm-evaluation-harness, plain loops and vLLM, on the same prompts in one run."""
    from launch.bench_compare import AGAINST, compare

    others = [name.strip() for name in against.split(",") if name.strip()]
    if wrong := [name for name in others if name not in AGAINST]:
        raise ValueError(f"--against knows {', '.join(AGAINST)}, got {wrong[0]!r}")
    for name, value in (("repeats", repeats), ("threads", threads), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    rows, facts = compare(model, prompts, limit, threads, repeats, others)
    numbers = as_numbers(rows, facts)
    _print(numbers)
    if json is not None:
        from data.files import write_json

        write_json(json, numbers)


def as_numbers(rows: list[Row], facts: Facts) -> dict[str, Any]:
    """All that is printed, as JSON: `rows` (way, seconds of each repeat, median, prompts_per_second, x_lm_eval,
    x_floor, difference to one by one; NaN where not known, `missing` says why) and `facts`.
    """
    from launch.bench_child import LM_EVAL, ONE_BY_ONE
    from launch.bench_compare import Row, largest_difference

    first = {row.process: row for row in reversed(rows)}  # of lm-eval the usual batch size
    reference, plain = first.get(LM_EVAL, Row(LM_EVAL, "")), first.get(ONE_BY_ONE, Row(ONE_BY_ONE, ""))
    return {
        "rows": [
            {
                "way": row.way,
                "seconds": row.seconds,
                "median": row.median,
                "prompts_per_second": facts.prompts / row.median,
                "x_lm_eval": reference.median / row.median,
                "x_floor": row.median / facts.floor,
                "difference": largest_difference(row, plain),
                "missing": row.missing,
            }
            for row in rows
        ],
        "facts": asdict(facts),
    }


def _print(numbers: dict[str, Any]) -> None:
    facts = numbers["facts"]
    seconds = "CPU s" if facts["device"] == "cpu" else "wall s"
    table: list[tuple[str, ...]] = [
        ("way", f"prompts a {seconds}", f"{seconds} (range)", "× lm-eval", "× floor", "difference")
    ]
    for row in numbers["rows"]:
        if row["missing"]:
            table.append((f"{row['way']}: {row['missing']}", *["–"] * 5))
            continue
        spread = f"{row['median']:.2f} ({min(row['seconds']):.2f}–{max(row['seconds']):.2f})"
        ratios = (_known(row["x_lm_eval"], ".2f"), _known(row["x_floor"], ".2f"), _known(row["difference"], ".0e"))
        table.append((row["way"], f"{row['prompts_per_second']:.1f}", spread, *ratios))
    for line in _markdown(table):
        print(line)
    print()
    for line in _notes(facts, seconds, len(numbers["rows"][0]["seconds"])):
        print(line)


def _notes(facts: dict[str, Any], seconds: str, repeats: int) -> list[str]:
    from launch.bench_machine import busy

    sharing = facts["tokens"] / facts["unique"]
    lines = [
        f"{facts['model']}, {facts['dtype']}; prompts {facts['prompt_set']}: {facts['prompts']:,} prompts, "
        f"{facts['tokens']:,} tokens, {facts['unique']:,} unique in their prefix tree, {sharing:.2f} tokens a unique "
        f"one; {facts['computed']:,} computed, as chunks repeat the beginnings they share.",
        f"Included: tokenising, tree, plans, forward, log-softmax, option probabilities. Rendering the prompts took "
        f"{facts['rendering']:.2f} CPU s more, the same for all; nothing is stored.",
        f"Floor {facts['floor']:.2f} s = 2 × {facts['parameters'] / 1e6:.1f}M parameters outside the embeddings × "
        f"unique tokens / {facts['rate'] / 1e9:.0f} GFLOP/s, measured in this run for the model's own weight matrices "
        f"with {facts['matmul_rows']:,} tokens.",
        f"Median of {repeats} interleaved repeats after a pass that is not measured; difference: the largest of an "
        f"option's probability to one by one.",
        "Each way in a process of its own, as its users run it: polyphony in the environment that it gives to its "
        f"audits ({' '.join(f'{name}={value}' for name, value in facts['settings'].items())}), the others in the one "
        "that this was called in.",
        f"{facts['machine']}; {facts['threads']} threads; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + f"; load average {facts['load'][0]:.1f} before, {facts['load'][1]:.1f} after.",
    ]
    lines += [f"Asked as: {how}" + (f", because {why}" if why else "") for how, why in facts["asked_as"].items()]
    if any(busy(load) for load in (facts["load"][0], facts["load"][1] - facts["threads"])):
        lines.append(
            f"WARNING: the machine is busy with other work: {seconds} and the floor are doubtful, ratios less so."
        )
    return lines


def _markdown(table: list[tuple[str, ...]]) -> list[str]:
    """The first row as head, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        + " |"
        for row in table
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [lines[0], rule, *lines[1:]]


def _known(number: float, form: str) -> str:
    return "–" if number != number else format(number, form)
