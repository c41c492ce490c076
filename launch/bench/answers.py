"""What `polyphony bench answers` prints: the ways of asking as a table ready for a README, and what it stands on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from launch.bench.tables import known, markdown

if TYPE_CHECKING:
    from launch.bench.compare import Facts, Row


def as_numbers(rows: list[Row], facts: Facts) -> dict[str, Any]:
    """All that is printed, as JSON: `rows` (way, seconds of each repeat, median, prompts_per_second, x_lm_eval,
    x_floor, difference to one by one; NaN where not known, `missing` says why) and `facts`.
    """
    from launch.bench.answers_child import LM_EVAL, ONE_BY_ONE
    from launch.bench.compare import Row, largest_difference

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


def print_answers(numbers: dict[str, Any]) -> None:
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
        ratios = (known(row["x_lm_eval"], ".2f"), known(row["x_floor"], ".2f"), known(row["difference"], ".0e"))
        table.append((row["way"], f"{row['prompts_per_second']:.1f}", spread, *ratios))
    for line in markdown(table):
        print(line)
    print()
    for line in _notes(facts, seconds, len(numbers["rows"][0]["seconds"])):
        print(line)


def _notes(facts: dict[str, Any], seconds: str, repeats: int) -> list[str]:
    from launch.bench.machine import busy

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
