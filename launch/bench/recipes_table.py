"""The table of `polyphony bench recipes`, on the screen and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launch.bench.heldout import NEW, TRAINED
from launch.bench.tables import known, markdown

WIDTH = 120  # columns that the table needs, whatever the terminal
HEAD = (
    "recipe",
    "adapter",
    "moved",
    "change",
    "KL",
    "JS, trained questions",
    "JS, new questions",
    "s",
    "GiB",
)


def as_markdown(numbers: Mapping[str, Any]) -> str:
    """The whole page: the rows that were measured, why the others were not, and what the columns are."""
    done = [_cells(row) for row in numbers["rows"] if "seconds" in row]
    lines = markdown([HEAD, *done]) if done else ["Nothing was trained."]
    if left_out := [row for row in numbers["rows"] if "seconds" not in row]:
        reasons = [(row["recipe"], row["adapter"], _reason(row).replace("|", "\\|")) for row in left_out]
        lines += ["", *markdown([("not trained: recipe", "adapter", "because"), *reasons])]
    return "\n".join([*lines, "", *_notes(numbers)]) + "\n"


def print_recipes(numbers: Mapping[str, Any], out: Path) -> None:
    """The rows in their order, refusals among them."""
    table = Table(box=box.SIMPLE_HEAD)
    for place, name in enumerate(HEAD):
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=True)
    for row in numbers["rows"]:
        table.add_row(*map(escape, _cells(row) if "seconds" in row else (row["recipe"], row["adapter"], "not trained")))
    console = Console(width=max(Console().width, WIDTH))
    console.print(table)
    for row in numbers["rows"]:
        if "seconds" not in row:
            console.print(f"{row['recipe']} × {row['adapter']}: {_reason(row)}", markup=False, soft_wrap=True)
    for line in [*_notes(numbers), f"{out / 'recipes.md'}, {out / 'recipes.json'}, {out / 'rows.jsonl'}"]:
        console.print(line, markup=False, soft_wrap=True)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    moved = f"{row['moved']:.0%} of {row['tensors']}"
    moved += f" (stopped at step {row['collapsed']['step']})" if row.get("collapsed") else ""
    if "pair_accuracy" in row:
        kl, trained, new = "–", f"pairs right: {row['pair_accuracy']:.0%}", "–"
    else:
        kl = known(row["kl"], ".2g")
        trained, new = (f"{known(row['distances'][name], '.3f')} ({_difference(row, name)})" for name in (TRAINED, NEW))
    costs = (f"{row['seconds']:.0f}", f"{row['peak_gib']:.2f}")
    return (row["recipe"], row["adapter"], moved, known(row["change"], ".1e"), kl, trained, new, *costs)


def _difference(row: Mapping[str, Any], stratum: str) -> str:
    """Distance less the base's."""
    return known(row["distances"][stratum] - row["base"][stratum], "+.3f")


def _reason(row: Mapping[str, Any]) -> str:
    return str(row["refused"]) if "refused" in row else f"FAILED: {row['failed']}".replace("\n", " ")


def _notes(numbers: Mapping[str, Any]) -> list[str]:
    facts = numbers["facts"]
    return [
        f"{facts['model']}, {facts['examples']} examples a cell, about {facts['prompts']} prompts of held-out "
        f"countries, each question in two orders; {facts['threads']} threads; {facts['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + ". NOT A RESULT: a few steps and a few prompts, learning rates as shipped.",
        "Moved: how many of the tensors that train have changed. Change: L2 norm of that, over the norm of the base's "
        "weights, adapters merged. KL(model || base) of the next token in nats, all that is no option as one outcome. "
        "JS: mean Jensen-Shannon distance to people (less the base's), in countries that are not trained on, on "
        "questions that are and on new ones; of a reward model, pairs of options put in the people's order. s: CPU "
        "seconds of training with opening and saving (on a GPU: wall seconds). GiB: peak of the process.",
    ]
