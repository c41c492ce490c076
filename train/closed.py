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
from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from data.packed_attention import packed_logits, padded_logits, plan, why_not_packed
from data.packing import pack
from train.closed_batch import ClosedBatch, Collator, batch_of
from train.divergences import entropy, kl_people_model, kl_reference, log_mass
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
    """A Trainer of batches of closed questions. `metrics` are averaged over a step's micro batches and processes."""

    def __init__(
        self, *, loss: Loss, metrics: Metrics | None, reference_costs: dict[str, float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model_accepts_loss_kwargs = False  # losses are means over equal micro batches: divide by their number
        self._loss = loss
        self._metrics = metrics
        self._sums: Counter[str] = Counter()
        self._micro_batches = 0
        self._once = reference_costs

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
                logs |= self._once
            self._sums, self._micro_batches = Counter(), 0
        super().log(logs, start_time)

    def _check_reference(self, divergence: float) -> None:
        if self.state.global_step == 0 and not abs(divergence) <= KL_AT_START:
            raise ValueError(
                f"the model differs from its reference before the first step (KL {divergence:.3g} nats, "
                f"expected at most {KL_AT_START}): the reference was not computed from this model"
            )


def train_closed(
    run: RunContext, loss: Loss, learning_rate: float, metrics: Metrics | None = None, reference: bool = False
) -> Trainer:
    """Train `run.model` on `run.examples`: `loss` maps option log-probabilities (n, k) and the batch to a mean loss.

    With `reference`, the untouched model's log-probabilities are computed once before training and stand in the batch.
    Logged a step: loss, option_mass, kl_people_model, entropy (nats, of the options), tokens, computed_tokens, and with
    a reference kl_reference, which must be 0 before the first step. Raises ValueError where it is not.
    """
    settings = one_device(TrainingArguments(**arguments(run, learning_rate)))
    collator = Collator(run.renderer, run.budget.max_length)
    model = run.model
    known, costs = _reference(run, collator, settings) if reference else ([None] * len(run.examples), {})
    trainer = ClosedTrainer(
        model=model,
        args=settings,
        data_collator=collator,
        train_dataset=list(zip(run.examples, known, strict=True)),
        loss=loss,
        metrics=metrics,
        reference_costs=costs,
    )
    return fit(trainer, run)


@torch.no_grad()
def _reference(
    run: RunContext, collator: Collator, settings: TrainingArguments
) -> tuple[list[torch.Tensor | None], dict[str, float]]:
    """Option log-probabilities of the untouched model for every example, and what they cost.

    Computed in the micro batches of training: the same trees, so the same numbers to the last bit.
    """
    started = time.perf_counter()
    device = settings.device
    model = run.model.to(device)
    size = settings.per_device_train_batch_size
    found: list[torch.Tensor | None] = []
    computed = 0
    for start in range(0, len(run.examples), size):
        examples = run.examples[start : start + size]
        batch = collator([(example, None) for example in examples])
        with torch.autocast(device.type, torch.bfloat16, enabled=bool(settings.bf16)):
            scores, tokens = option_log_probabilities(model, batch["sequences"], batch["label_ids"].to(device))
        found += [row[: len(e.item.options)].cpu() for row, e in zip(scores, examples, strict=True)]
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
