"""A model card for each trained variant, in the Hub's form: README.md beside the weights.

It says what the variant was trained on, what the audits found in it, whether it is valid, and what must not be made of
it (`launch.card_words`). Hashes of a variant cover weights, configuration and tokenizer, not this file. All that others
wrote (surveys, a user's own recipe) is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.files import write_text
from data.snapshots import weights_of
from eval.report import wording
from eval.response_curves import MEASURES
from launch.asked import trains
from launch.card_words import Told, asked_on, estimates, hub_id, shown
from launch.cells import Cell
from launch.chains import PARENT, cells_built_on
from launch.heads import REWARD

CARD = "README.md"
HERE = "path/to/this/folder"
QUANTIZED = "adapter_quantization.json"  # `data.variant.QUANTIZATION`, which would import torch


def write_cards(run: Path) -> list[Path]:
    """Write the cards of the run's variants that are there; returns those that are new or changed."""
    told, written = Told.of(run), []
    for cell in told.cells:
        folder = weights_of(cell.folder)
        if folder is None or not has_card(cell):
            continue
        text, path = card(cell, told, HERE), folder / CARD
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            written.append(path)
    return written


def has_card(cell: Cell) -> bool:
    """Whether there is a variant to describe: trained here to its end (or to its collapse)."""
    return trains(cell.config) and bool(cell.manifest.get("hashes"))


def card(cell: Cell, told: Told, where: str) -> str:
    """The card's text: YAML metadata and Markdown. `where` is what a reader loads: a repository or a folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("launch", ""), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["md"] = escaped
    text = environment.get_template("card.md.j2").render(
        shown(cell, told), loading=loading(cell, where), loading_notes=list(loading_notes(cell))
    )
    return f"---\n{_metadata(cell, told)}\n---\n\n{text}"


def escaped(text: Any) -> str:
    """Text as one line of Markdown that shows it as it is: it makes no link, image, HTML, table column or emphasis."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*\[\]|~#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", line)


def loading(cell: Cell, where: str) -> str:
    """Python that opens the variant in `where`, a repository or a folder."""
    model = "AutoModelForSequenceClassification" if cell.head == REWARD else "AutoModelForCausalLM"
    imports = f"from transformers import {model}, AutoTokenizer\n\n"
    if not is_adapter(cell):
        whole = f'model = {model}.from_pretrained("{where}")\ntokenizer = AutoTokenizer.from_pretrained("{where}")'
        return imports + whole
    base = base_on_the_hub(cell) or "path/to/the/base/model"
    labels = ", num_labels=1" if cell.head == REWARD else ""
    return (
        f'from peft import PeftModel\n{imports}base = {model}.from_pretrained("{base}"{labels})\n'
        f'model = PeftModel.from_pretrained(base, "{where}")\ntokenizer = AutoTokenizer.from_pretrained("{base}")'
    )


def loading_notes(cell: Cell) -> Iterator[str]:
    """What a reader must know to open an adapter."""
    if not is_adapter(cell):
        return
    yield "These are an adapter's weights: they fit the model that training started from and no other."
    if other := cells_built_on(cell).get(PARENT):
        yield f"That is not the plain base model but the variant of {other.name}, its own adapter merged."
    if (cell.folder / "adapter" / QUANTIZED).exists():
        yield f"The base was quantised in training, as {QUANTIZED} says: load it so."


def base_on_the_hub(cell: Cell) -> str:
    """The Hub's name of the base model; "" where it has none, and for an adapter that lies on a parent's variant."""
    return "" if is_adapter(cell) and cells_built_on(cell) else hub_id(cell.config["model"]["source"])


def is_adapter(cell: Cell) -> bool:
    return weights_of(cell.folder) == cell.folder / "adapter"


def _metadata(cell: Cell, told: Told) -> str:
    """The card's YAML: no licence, which nobody here knows, and as base model what the Hub knows alone."""
    from huggingface_hub import EvalResult, ModelCardData

    chosen, found = cell.config["chosen"], estimates(cell)
    results = [
        EvalResult(
            task_type="other",
            task_name=wording.AUDITS[key[0]][0],
            dataset_type="dilemmas" if key[0] == "edc" else chosen["survey"],
            dataset_name=asked_on(key),
            dataset_config=key[2],
            dataset_split=key[3],
            metric_type=key[1],
            metric_name=f"{wording.measure(key[1], key[0]).title} ({wording.condition(key[2])})",
            metric_value=round(one["value"], 6),
        )
        for key in MEASURES
        if (one := found.get(key))
    ]
    tags = ["polyphony", *(f"{part}-{chosen[part]}" for part in ("recipe", "adapter", "mixture"))]
    tags += ["collapsed"] * bool(told.collapse(cell)) + ["not-a-result"] * bool(told.summary.get("not_a_result"))
    data = ModelCardData(
        model_name=cell.name if results else None,
        eval_results=results or None,
        base_model=base_on_the_hub(cell) or None,
        library_name="peft" if is_adapter(cell) else "transformers",
        language=cell.manifest.get("language"),
        tags=tags,
    )
    return str(data.to_yaml())
