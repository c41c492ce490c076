"""Training on closed questions: the loss is a function of the log-probabilities of an item's options.

A batch's prompts are packed into a prefix tree and every distinct token is computed once, forward and backward, with
the gradients of separate prompts (`data.packed_attention`); models that do not fit are asked in a padded batch. One
tree a micro batch bounds memory. A recipe brings `loss(log_probabilities, batch)`; all else is here:

    >>> train_closed(run, match.loss, learning_rate=1e-5)

Log-probabilities are those of the next token over the whole vocabulary, so that the mass on the options is trained on
and logged, not assumed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from data.packed_attention import packed_logits, padded_logits, plan, why_not_packed
from data.packing import pack
from data.records import TrainingExample
from train.closed_batch import REFERENCE, Ask, ClosedBatch, Collator, Row, ask_plainly, batch_of
from train.divergences import entropy, kl_people_model, kl_reference, log_mass
from train.engines import gathered_by_module
from train.loop import arguments, fit, one_device
from train.run import RunContext

UNLIMITED = 2**62
KL_AT_START = 1e-4


Loss = Callable[[torch.Tensor, ClosedBatch], torch.Tensor]
Metrics = Callable[[torch.Tensor, ClosedBatch], dict[str, torch.Tensor]]


def option_log_probabilities(
    model: Any, sequences: list[list[int]], label_ids: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """Log-probability of every option, (n, k) float32, -inf where a row has no such option; and the tokens computed.

    `label_ids` (n, k, forms) holds token ids in the item's option order, -1 for none; the forms of a label are summed.
    """
    device = label_ids.device
    if why_not_packed(_bare(model), max(map(len, sequences))):
        logits = padded_logits(model, sequences, device)
        computed = len(sequences) * max(map(len, sequences))
    else:
        (tree,) = pack(sequences, UNLIMITED)
        back = torch.empty(len(sequences), dtype=torch.long)
        back[torch.from_numpy(tree.members)] = torch.arange(len(sequences))
        logits = packed_logits(model, plan(tree, device)).index_select(0, back.to(device))
        computed = len(tree.tokens)
    n, k, forms = label_ids.shape
    flat = label_ids.view(n, -1)
    scores = logits.log_softmax(-1).gather(-1, flat.clamp(min=0)).masked_fill(flat < 0, -torch.inf).view(n, k, forms)
    present = label_ids[..., 0] >= 0
    some = torch.where(present[..., None], scores, scores.new_zeros(()))  # logsumexp of nothing has no gradient
    return some.logsumexp(-1).masked_fill(~present, -torch.inf), computed


class ClosedTrainer(Trainer):
    """A Trainer of batches of closed questions. `metrics` are averaged over a step's micro batches and processes;
    `once` is logged with the first step.
    """

    def __init__(
        self, *, loss: Loss, metrics: Metrics | None, once: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model_accepts_loss_kwargs = False  # losses are means over equal micro batches: divide by their number
        self._loss = loss
        self._metrics = metrics
        self._sums: Counter[str] = Counter()
        self._micro_batches = 0
        self._once = once or {}

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        scores, computed = option_log_probabilities(model, inputs["sequences"], inputs["label_ids"])
        batch = batch_of(inputs)
        loss = self._loss(scores, batch)
        with torch.no_grad():
            found = _progress(scores, batch) | (self._metrics(scores, batch) if self._metrics else {})
            if batch.reference is not None:
                self._check_reference(float(found["kl_reference"]))
        self._sums.update({name: float(value) for name, value in found.items()})
        self._sums.update(tokens=sum(map(len, inputs["sequences"])), computed_tokens=computed)
        self._micro_batches += 1
        return (loss, scores) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._micro_batches:
            names = sorted(self._sums)
            sums = torch.tensor([self._sums[name] for name in names], dtype=torch.float32, device=self.args.device)
            totals = self.accelerator.reduce(sums, "sum").tolist()
            share = self._micro_batches * self.accelerator.num_processes
            counts = ("tokens", "computed_tokens")
            logs |= {n: v if n in counts else v / share for n, v in zip(names, totals, strict=True)}
            if self.state.global_step == 1:
                logs.update(self._once)
            self._sums, self._micro_batches = Counter(), 0
        super().log(logs, start_time)

    def _check_reference(self, divergence: float) -> None:
        if self.state.global_step == 0 and not abs(divergence) <= KL_AT_START:
            raise ValueError(
                f"the model differs from its reference before the first step (KL {divergence:.3g} nats, "
                f"expected at most {KL_AT_START}): the reference was not computed from this model"
            )


def train_closed(
    run: RunContext,
    loss: Loss,
    learning_rate: float,
    metrics: Metrics | None = None,
    reference: bool = False,
    columns: Mapping[str, Sequence[torch.Tensor]] | None = None,
    examples: Sequence[TrainingExample] | None = None,
    ask: Ask | None = None,
    once: Mapping[str, float] | None = None,
) -> Trainer:
    """Train `run.model` on closed questions: `loss` maps option log-probabilities (n, k) and the batch to a mean loss.

    With `reference`, the untouched model's log-probabilities are computed once before training and stand in the batch.
    `columns`: numbers of the recipe's own, one 0-d or (m,) float tensor an example; the loss sees them stacked as
    `batch.columns[name]`, (n,) or (n, m) padded with 0. `examples` instead of `run.examples`, in the order in which
    they are trained on; `budget.steps` are trained whatever their number. `ask` renders an example's prompt instead of
    `ask_plainly`. Prompts of either must not give away what audits ask (`run.guard`). `once`: numbers to log with the
    first step.
    Logged a step: loss, option_mass, kl_people_model, entropy (nats, of the options), tokens, computed_tokens, and with
    a reference kl_reference, which must be 0 before the first step. Raises ValueError where it is not, where a prompt
    leaks or is longer than `budget.max_length`, and where columns do not fit the examples.
    """
    asked = run.examples if examples is None else tuple(examples)
    collator = Collator(run.renderer, run.budget.max_length, ask or ask_plainly)
    if examples is not None or ask is not None:
        run.guard.refuse([collator.ask(run.renderer, example).text for example in asked], "training prompt")
    settings = one_device(TrainingArguments(**arguments(run, learning_rate)))
    known, costs = dict(columns or {}), dict[str, float]()
    if REFERENCE in known:
        raise ValueError(f"a column cannot be named {REFERENCE!r}: ask for it with reference=True")
    if reference:
        known[REFERENCE], costs = _reference(run, asked, collator, settings)
    trainer = ClosedTrainer(
        model=run.model,
        args=settings,
        data_collator=collator,
        train_dataset=_rows(asked, known),
        loss=loss,
        metrics=metrics,
        once={**(once or {}), **costs},
    )
    return fit(trainer, run)


def _rows(examples: Sequence[TrainingExample], columns: Mapping[str, Sequence[torch.Tensor]]) -> list[Row]:
    """Every example with its own numbers, by their names."""
    for name, values in columns.items():
        if len(values) != len(examples):
            raise ValueError(f"column {name!r} has {len(values)} values for {len(examples)} examples")
    return [(example, {name: of[place] for name, of in columns.items()}) for place, example in enumerate(examples)]


@torch.no_grad()
def _reference(
    run: RunContext, examples: Sequence[TrainingExample], collator: Collator, settings: TrainingArguments
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Option log-probabilities of the untouched model for every example, and what they cost.

    Computed in the micro batches of training: the same trees, so the same numbers to the last bit.
    """
    started = time.perf_counter()
    device = settings.device
    model = run.model.to(device)
    size = settings.per_device_train_batch_size
    found: list[torch.Tensor] = []
    computed = 0
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        batch = collator([(example, None) for example in part])
        half = torch.autocast(device.type, torch.bfloat16, enabled=run.dtype == torch.bfloat16)
        with half, gathered_by_module(model):
            scores, tokens = option_log_probabilities(model, batch["sequences"], batch["label_ids"].to(device))
        found += [row[: len(e.item.options)].cpu() for row, e in zip(scores, part, strict=True)]
        computed += tokens
    return found, {"reference_tokens": float(computed), "reference_seconds": time.perf_counter() - started}


def _progress(scores: torch.Tensor, batch: ClosedBatch) -> dict[str, torch.Tensor]:
    found = {
        "option_mass": log_mass(scores).exp().mean(),
        "kl_people_model": kl_people_model(scores, batch.people).mean(),
        "entropy": entropy(scores).mean(),
    }
    if batch.reference is not None:
        found["kl_reference"] = kl_reference(scores, batch.reference).mean()
    return found


def _bare(model: Any) -> Any:
    while hasattr(model, "module"):
        model = model.module
    return model
