"""Preference training on open-ended text by TRL's DPOTrainer, with reference log-probabilities computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import Trainer

from data.files import digest
from data.manifest import update_manifest
from data.preferences import read_preferences
from data.prompts import Renderer
from data.records import Group, PreferencePair, Turn
from train.loop import arguments, fit, one_device
from train.run import RunContext, is_main

MARGIN_AT_START = 1e-3
POOLINGS = ("country", "population")
T = TypeVar("T")
NAMES = {"rewards/margins": "reward_margin", "rewards/accuracies": "reward_accuracy", "entropy": "token_entropy"}


def train_pairs(
    run: RunContext, source: str, learning_rate: float, pooling: str = "country", **objective: Any
) -> Trainer:
    """Train `run.model` on the rows of `rows_of_pairs`.

    `objective` are arguments of TRL's DPOConfig that say what is minimised: beta, loss_type, label_smoothing. Raises
    ValueError if the model differs from its reference before the first step.
    """
    import datasets
    from trl.trainer.dpo_config import DPOConfig

    datasets.disable_progress_bars()
    rows = rows_of_pairs(run, source, pooling)
    config: Any = DPOConfig(
        **arguments(run, learning_rate),
        **objective,
        max_length=run.budget.max_length,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=run.budget.split(1)[0],
    )
    trainer = _trainer_class()(
        model=run.model,
        args=one_device(config),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=run.tokenizer,
    )
    fit(trainer, run)
    if "ref" in getattr(run.model, "peft_config", {}):  # TRL's copy of the untrained adapter
        run.model.delete_adapter("ref")
    return trainer


def rows_of_pairs(run: RunContext, source: str, pooling: str = "country") -> list[dict[str, Any]]:
    """`run.budget.examples` rows of prompt, chosen and rejected, as TRL takes them, of a preference set.

    `source` and ValueError as in `guarded_pairs`, `pooling` as in `told_to`, the order as in `in_order`.
    """
    return [_row(pair, run.renderer, pooling) for pair in in_order(run, guarded_pairs(run, source))]


def in_order(run: RunContext, texts: Sequence[T]) -> list[T]:
    """`run.budget.examples` of `texts`: each once before any is repeated, in an order of the run's seed."""
    rng = np.random.default_rng(run.seed)
    rounds = -(-run.budget.examples // len(texts))
    order = np.concatenate([rng.permutation(len(texts)) for _ in range(rounds)])[: run.budget.examples]
    return [texts[place] for place in order]


def guarded_pairs(run: RunContext, source: str) -> tuple[PreferencePair, ...]:
    """The pairs of a preference set (`data.preferences`). The manifest gets what was read, left out and kept without a
    country. Raises ValueError where a pair gives away a held-out question (`data.leaks`).
    """
    read = read_preferences(source)
    texts = ["\n".join([*(turn.text for turn in pair.turns), pair.chosen, pair.rejected]) for pair in read.pairs]
    run.guard.refuse(texts, f"{source}: pair")
    if is_main():
        facts = {
            "source": source,
            "pairs": len(read.pairs),
            "content": digest([str(pair) for pair in read.pairs]),
            "without_country": sum(not pair.country for pair in read.pairs),
            "unknown_countries": dict(read.unknown_countries),
            "left_out": dict(read.left_out),
        }
        update_manifest(run.cell, preferences=facts)
    return read.pairs


def told_to(pair: PreferencePair, renderer: Renderer, pooling: str) -> tuple[Turn, ...]:
    """The dialogue that is to be replied to. With pooling `country` it says where the rater lives, if that is known.

    With `population` it does not, and raters of all countries teach one policy. The words and their place are those of
    survey questions (`Renderer.survey`). Raises ValueError for another pooling.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {list(POOLINGS)}, got {pooling!r}")
    turns = pair.turns
    if pooling == "population" or not pair.country:
        return turns
    stated = renderer.persona(Group(pair.country), "country")
    if renderer.asking.layout == "item_first":
        return (*turns[:-1], Turn("user", f"{turns[-1].text}\n\n{stated}"))
    if turns[0].role == "system":
        return (Turn("system", f"{turns[0].text}\n\n{stated}"), *turns[1:])
    return (Turn("system", stated), *turns)


def _row(pair: PreferencePair, renderer: Renderer, pooling: str) -> dict[str, Any]:
    """One pair as TRL takes it: messages in chat style (TRL applies the model's template), text otherwise."""
    turns = told_to(pair, renderer, pooling)
    if renderer.asking.style == "chat":
        replies = {name: [{"role": "assistant", "content": getattr(pair, name)}] for name in ("chosen", "rejected")}
        return {"prompt": [{"role": turn.role, "content": turn.text} for turn in turns], **replies}
    prompt = Renderer(renderer.asking).dialogue(turns)
    return {"prompt": prompt, "chosen": f" {pair.chosen}", "rejected": f" {pair.rejected}"}


class PairLog(Trainer):
    """Stands before a TRL trainer of pairs: its numbers under our names (`logged_as`, TRL's name to ours), and tokens.

    Logged a step: tokens (of pairs, as TRL counts them), computed_tokens (with padding, of all processes).
    """

    logged_as: Mapping[str, str]
    _metrics: Any  # of TRL: by mode, by name, the numbers since the last log
    _seen = 0.0
    _computed = 0

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._computed += inputs["input_ids"].numel()
        return super().compute_loss(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        found = self._metrics["train"]
        metrics = {name: sum(values) / len(values) for name, values in found.items() if values}
        found.clear()
        self.check(metrics)
        logs |= {ours: metrics[theirs] for theirs, ours in self.logged_as.items() if theirs in metrics}
        total = float(metrics.get("num_tokens", self._seen))
        here = torch.tensor(self._computed, device=self.args.device)
        computed = float(self.accelerator.reduce(here, "sum"))
        logs |= {"tokens": total - self._seen, "computed_tokens": computed, **self.besides(computed)}
        self._seen, self._computed = total, 0
        Trainer.log(self, logs, start_time)

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raise ValueError where a step's numbers (TRL's names) show that something is wrong."""

    def besides(self, computed: float) -> dict[str, float]:
        """Tokens of other passes than training's, of a step that computed so many."""
        return {}


def _trainer_class() -> type[Trainer]:
    """TRL's trainer with our names in its log. Made on demand: importing trl takes seconds."""
    from trl.trainer.dpo_trainer import DPOTrainer

    class PairTrainer(PairLog, DPOTrainer):
        logged_as = NAMES

        def check(self, metrics: Mapping[str, float]) -> None:
            margin = metrics.get("rewards/margins", 0.0)
            if self.state.global_step == 1 and not abs(margin) <= MARGIN_AT_START:
                raise ValueError(
                    f"the model differs from its reference before the first step (reward margin {margin:.3g}, "
                    "expected 0)"
                )

        def besides(self, computed: float) -> dict[str, float]:
            return {"reference_tokens": computed}

    return PairTrainer
