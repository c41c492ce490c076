"""Training a reward model on closed questions, and asking one that is trained.

    >>> train_closed_rewards(run, recipe.loss, learning_rate=1e-5)

As `train.closed`, with rewards of the options in the place of their log-probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from data.prompts import Renderer
from data.records import Group, TrainingExample
from train.closed import ClosedTrainer, Loss, Metrics
from train.closed_batch import Collator, batch_of
from train.loop import arguments, fit, one_device
from train.reward_model import UNLIMITED, load_reward_model, option_rewards
from train.run import RunContext

SAME = 1e-4
COMPARED = 4


class ClosedRewardTrainer(ClosedTrainer):
    """A Trainer of a model with a reward head, on batches of closed questions."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        rewards, computed = option_rewards(model, inputs["sequences"], inputs["label_ids"])
        batch = batch_of(inputs)
        loss = self._loss(rewards, batch)
        with torch.no_grad():
            found = self._metrics(rewards, batch) if self._metrics else {}
        self._sums.update({name: float(value) for name, value in found.items()})
        labels = int(batch.options.sum())
        self._sums.update(tokens=sum(map(len, inputs["sequences"])) + labels, computed_tokens=computed)
        self._micro_batches += 1
        return (loss, rewards) if return_outputs else loss


def train_closed_rewards(run: RunContext, loss: Loss, learning_rate: float, metrics: Metrics | None = None) -> Trainer:
    """Train the reward model `run.model` on `run.examples`: `loss` maps the rewards of the options, (n, k) and 0 where
    there is none, and the batch to a mean loss. Logged a step: loss, tokens (prompts and labels), computed_tokens,
    `metrics`.
    """
    trainer = ClosedRewardTrainer(
        model=run.model,
        args=one_device(TrainingArguments(**arguments(run, learning_rate))),
        data_collator=Collator(run.renderer, run.budget.max_length),
        train_dataset=[(example, None) for example in run.examples],
        loss=loss,
        metrics=metrics,
    )
    return fit(trainer, run)


@torch.no_grad()
def rewards_of_model(run: RunContext, folder: str) -> tuple[list[torch.Tensor], dict[str, float]]:
    """The rewards that the cell's trained reward model gives to every example's options, (k,) each, on the CPU.

    And what they cost: `reward_tokens`, computed by the reward model, and `reward_seconds`.

    It sees the prompts by its own tokenizer. Computed once, before training: the reward model stays as it is.
    Raises FileNotFoundError and ValueError as `load_reward_model`.
    """
    started = time.perf_counter()
    model, tokenizer = load_reward_model(Path(folder), run.dtype, run.spec.trust_remote_code)
    model.to(run.device)  # type: ignore[arg-type]  # torch's overloads
    collator = Collator(Renderer(run.asking, tokenizer), run.budget.max_length)
    found, computed = _rewards(model, collator, run.examples, run.budget.split(1)[0])
    return found, {"reward_tokens": float(computed), "reward_seconds": time.perf_counter() - started}


def check_reopened(run: RunContext, trained: Any, reopened: Any, folder: Path) -> None:
    """Raise ValueError where the saved reward model does not give the rewards of the trained one, on questions kept
    back from training (on those of the training where none is kept back in the language of the prompts).
    """
    language = run.asking.language
    kept_back = [item for item in run.guard.held_out if language in item.languages] or [
        example.item for example in run.examples
    ]
    examples = [
        TrainingExample(item, Group(""), "none", tuple(range(k)), (1 / k,) * k, 0, 1, 0)
        for item in kept_back[:COMPARED]
        if (k := len(item.options))
    ]
    device = next(trained.parameters()).device
    collator = Collator(run.renderer, UNLIMITED)
    with torch.no_grad():
        ours, theirs = (
            torch.cat(_rewards(model, collator, examples, len(examples))[0])
            for model in (trained.eval(), reopened.to(device))
        )
    if not torch.isfinite(theirs).all():
        raise ValueError(f"{folder}: the saved model's rewards are not finite; lower recipe.learning_rate")
    if (difference := (ours - theirs).abs().max().item()) > SAME:
        raise ValueError(
            f"{folder}: the reward model, opened again, gives other rewards than the trained one: they differ by up to "
            f"{difference:.3g}, expected at most {SAME}"
        )


def _rewards(
    model: Any, collator: Collator, examples: Sequence[TrainingExample], size: int
) -> tuple[list[torch.Tensor], int]:
    device = next(model.parameters()).device
    found: list[torch.Tensor] = []
    computed = 0
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        batch = collator([(example, None) for example in part])
        rewards, tokens = option_rewards(model, batch["sequences"], batch["label_ids"].to(device))
        found += [row[: len(e.item.options)].cpu() for row, e in zip(rewards, part, strict=True)]
        computed += tokens
    return found, computed
