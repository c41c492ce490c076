"""The ways of training that `polyphony bench train` compares: ours, and what one would write without us.

A way is made from a `RunContext` and a recipe, both ready, and returns a function that trains the whole budget and the
`Trainer` that did. All use the optimiser, schedule and batches of `train.loop.arguments`, and the same loaded model. A
peer's data set is tokenised, padded or mapped before the clock starts; ours is rendered and tokenised while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from train.closed_batch import Collator, batch_of
from train.loop import arguments, one_device
from train.run import RunContext

Training = Callable[[], Trainer]
OURS, PADDED, PLAIN, TRL = "polyphony, packed", "polyphony, padded", "transformers Trainer, padded", "TRL"


def ours(run: RunContext, recipe: Any) -> Training:
    """The recipe as a cell trains it: packed where the model fits, and that is asked for by nobody."""
    return lambda: recipe(run)


def padded(run: RunContext, recipe: Any) -> Training:
    """The recipe as models are trained that do not fit into packed trees: their class says so."""
    model = run.model
    model.__class__ = type(type(model).__name__, (type(model),), {"_supports_attention_backend": False})
    return ours(run, recipe)


class PlainTrainer(Trainer):
    """The shortest way to train on option probabilities: a left-padded batch, logits of the last place alone."""

    def __init__(self, *, loss: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._loss = loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        out = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            position_ids=inputs["position_ids"],
            logits_to_keep=1,
            use_cache=False,
        )
        ids = inputs["label_ids"]
        flat = ids.flatten(1)
        scores = out.logits[:, -1].float().log_softmax(-1).gather(-1, flat.clamp(min=0))
        scores = scores.masked_fill(flat < 0, -1e9).view(ids.shape).logsumexp(-1)
        scores = scores.masked_fill(ids[..., 0] < 0, -torch.inf)
        loss = self._loss(scores, batch_of(inputs))
        return (loss, scores) if return_outputs else loss


def plain(run: RunContext, recipe: Any) -> Training:
    """The plain transformers Trainer with the recipe's own loss on padded batches."""
    collator, size = Collator(run.renderer, run.budget.max_length), run.budget.batch_size
    batches = []
    for start in range(0, len(run.examples), size):
        batch = collator([(example, None) for example in run.examples[start : start + size]])
        batches.append({**batch, **_left_padded(batch.pop("sequences"))})
    settings = {**arguments(run, recipe.learning_rate), "per_device_train_batch_size": 1, "save_strategy": "no"}

    def train() -> Trainer:
        trainer = PlainTrainer(
            loss=recipe.loss,
            model=run.model,
            args=one_device(TrainingArguments(**settings)),
            train_dataset=batches,
            data_collator=lambda rows: rows[0],
        )
        trainer.model_accepts_loss_kwargs = False
        return _trained(trainer)

    return train


def sft_by_trl(run: RunContext, recipe: Any) -> Training:
    """TRL's SFTTrainer on the same prompts, each with the label of the same person's answer as its completion."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = []
    for example in run.examples:
        prompt = run.renderer.survey(example.item, example.order, example.group, example.condition)
        rows.append({"prompt": prompt.text, "completion": prompt.labels[example.order.index(example.answered)]})
    return _by_trl(SFTTrainer, SFTConfig, run, recipe, Dataset.from_list(rows))


def dpo_by_trl(run: RunContext, recipe: Any) -> Training:
    """TRL's DPOTrainer on the same pairs; its reference is computed in every step, as it does where it is told
    nothing.
    """
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    rows = []
    for example in run.examples:
        prompt = run.renderer.survey(example.item, example.order, example.group, example.condition)
        chosen, rejected = (prompt.labels[example.order.index(option)] for option in (example.chosen, example.rejected))
        rows.append({"prompt": prompt.text, "chosen": chosen, "rejected": rejected})
    return _by_trl(DPOTrainer, DPOConfig, run, recipe, Dataset.from_list(rows), beta=recipe.beta)


def _by_trl(kind: Any, config: Any, run: RunContext, recipe: Any, rows: Any, **knobs: Any) -> Training:
    settings = {**arguments(run, recipe.learning_rate), "save_strategy": "no", "max_length": run.budget.max_length}
    settings.pop("remove_unused_columns")  # TRL's own default fits its data sets
    made = kind(
        model=run.model,
        args=one_device(config(**settings, **knobs)),
        train_dataset=rows,
        processing_class=run.tokenizer,
    )
    return lambda: _trained(made)


def _trained(trainer: Trainer) -> Trainer:
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.train()
    return trainer


def _left_padded(sequences: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, sequences))
    ids, mask = torch.zeros(2, len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence)
        mask[row, width - len(sequence) :] = 1
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}


WAYS: dict[str, dict[str, Callable[[RunContext, Any], Training]]] = {
    "match": {OURS: ours, PADDED: padded, PLAIN: plain},
    "sft": {OURS: ours, TRL: sft_by_trl},
    "dpo": {OURS: ours, TRL: dpo_by_trl},
}
