"""A reward model on open-ended preference pairs, by TRL's RewardTrainer."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from train.loop import arguments, fit, one_device
from train.pairs import PairLog, rows_of_pairs
from train.run import RunContext

NAMES = {"margin": "reward_margin", "accuracy": "reward_accuracy"}


def train_reward_pairs(
    run: RunContext, source: str, learning_rate: float, pooling: str, center_weight: float
) -> Trainer:
    """Train the reward model `run.model` on `run.budget.examples` pairs of `source`, in the order in which `dpo` does.

    The reward is read at the last token of the reply, which text style ends with the end-of-sequence token. Raises
    ValueError where a pair gives away a held-out question, or none is within `budget.max_length`.
    """
    import datasets
    from trl.trainer.reward_config import RewardConfig

    datasets.disable_progress_bars()
    config: Any = RewardConfig(
        **arguments(run, learning_rate),
        center_rewards_coefficient=center_weight or None,
        max_length=run.budget.max_length,
    )
    trainer = _trainer_class()(
        model=run.model,
        args=one_device(config),
        train_dataset=datasets.Dataset.from_list(rows_of_pairs(run, source, pooling)),
        processing_class=run.tokenizer,
    )
    return fit(trainer, run)


def _trainer_class() -> type[Trainer]:
    """TRL's trainer with our names in its log. Made on demand: importing trl takes seconds."""
    from trl.trainer.reward_trainer import RewardTrainer

    class PairTrainer(PairLog, RewardTrainer):
        logged_as = NAMES

    return PairTrainer
