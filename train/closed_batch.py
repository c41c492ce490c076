"""A batch of closed questions: what a recipe's loss sees, and how training examples become one.

A row is an example and what is known of it beside: numbers that the recipe brings (`columns`), and the untouched
model's log-probabilities under the name REFERENCE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from data.options import OptionTokens
from data.prompts import OptionPrompt, Renderer
from data.records import Item, TrainingExample

REFERENCE = "reference"

Ask = Callable[[Renderer, TrainingExample], OptionPrompt]
Row = tuple[TrainingExample, Mapping[str, torch.Tensor] | None]


def ask_plainly(renderer: Renderer, example: TrainingExample) -> OptionPrompt:
    """The prompt of an example as the audits ask it."""
    return renderer.survey(example.item, example.order, example.group, example.condition)


@dataclass(frozen=True)
class ClosedBatch:
    """n closed questions with at most k options, on the device. Options stand in the item's own order.

    `people` (n, k): answer distribution, 0 beyond an item's options. `options` (n, k) bool: which places are options.
    `chosen`, `rejected` (n,): option indices of one preference. `answered` (n,): the option that one person chose.
    `gaps` (n, k): from an option to the next on the item's scale, over the scale's range: they sum to 1; 0 from the
    last option on, NaN in the rows of nominal items. `reference` (n, k): log-probabilities of the untouched model, None
    unless the recipe asked for it. `columns`: the recipe's own, each (n,) or (n, m), padded with 0.
    """

    people: torch.Tensor
    options: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor
    answered: torch.Tensor
    gaps: torch.Tensor
    reference: torch.Tensor | None = None
    columns: Mapping[str, torch.Tensor] = field(default_factory=dict)


def batch_of(inputs: Mapping[str, Any]) -> ClosedBatch:
    """The part of a collated batch that a loss sees."""
    return ClosedBatch(
        people=inputs["people"],
        options=inputs["label_ids"][..., 0] >= 0,
        chosen=inputs["chosen"],
        rejected=inputs["rejected"],
        answered=inputs["answered"],
        gaps=inputs["gaps"],
        reference=inputs.get(REFERENCE),
        columns=inputs["columns"],
    )


@dataclass
class Collator:
    """Turns rows into a batch: prompts, label tokens, people, columns.

    All rows have columns of the same names and number of dimensions, or none (None). `ask` renders an example's prompt.
    Raises ValueError where a prompt has more than `max_length` tokens.
    """

    renderer: Renderer
    max_length: int
    ask: Ask = ask_plainly
    tokens: OptionTokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = OptionTokens(self.renderer.tokenizer)

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        examples = [example for example, _ in rows]
        prompts = [self.ask(self.renderer, example) for example in examples]
        sequences = self.renderer.encode([prompt.text for prompt in prompts])
        for example, sequence in zip(examples, sequences, strict=True):
            if len(sequence) > self.max_length:
                raise ValueError(
                    f"the prompt of item {example.item.id!r} has {len(sequence)} tokens, "
                    f"more than budget.max_length = {self.max_length}"
                )
        labels = [self.tokens(prompt.text, prompt.labels) for prompt in prompts]
        width = max(map(len, labels))
        forms = max(len(ids) for label in labels for ids in label)
        ids = torch.full((len(rows), width, forms), -1)
        people = torch.zeros(len(rows), width)
        for row, (example, shown) in enumerate(zip(examples, labels, strict=True)):
            people[row, : len(shown)] = torch.tensor(example.people)
            for place, option in enumerate(example.order):
                ids[row, option, : len(shown[place])] = torch.tensor(shown[place])
        batch: dict[str, Any] = {
            "sequences": sequences,
            "label_ids": ids,
            "people": people,
            "chosen": torch.tensor([example.chosen for example in examples]),
            "rejected": torch.tensor([example.rejected for example in examples]),
            "answered": torch.tensor([example.answered for example in examples]),
            "gaps": torch.stack([_gaps(example.item, width) for example in examples]),
        }
        columns = _columns([known or {} for _, known in rows])
        if REFERENCE in columns:
            batch[REFERENCE] = columns.pop(REFERENCE)
        return batch | {"columns": columns}


def _columns(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One tensor a name: numbers stacked, vectors padded; log-probabilities of options that are not there are -inf."""
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        padding = -torch.inf if name == REFERENCE else 0.0
        found[name] = pad_sequence(values, True, padding) if values[0].dim() else torch.stack(values)
    return found


def _gaps(item: Item, width: int) -> torch.Tensor:
    if item.scale is None:
        return torch.full((width,), torch.nan)
    steps = torch.tensor(item.scale).diff().abs()
    return torch.nn.functional.pad(steps / steps.sum(), (0, width - len(steps)))
