"""Preference training on open-ended text by TRL's DPOTrainer, with reference log-probabilities computed once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer

from data.prompts import Renderer
from data.records import PreferencePair, Turn
from train.loop import arguments, fit, one_device
from train.run import RunContext

MARGIN_AT_START = 1e-3
NAMES = {"rewards/margins": "reward_margin", "rewards/accuracies": "reward_accuracy", "entropy": "token_entropy"}


def read_pairs(path: Path) -> tuple[PreferencePair, ...]:
    """Pairs of a JSON Lines file: {"prompt", "chosen", "rejected", "country"?} a line; ValueError names the line."""
    if not path.is_file():
        raise FileNotFoundError(f"recipe.pairs {path} is no file; expected JSON Lines of prompt, chosen, rejected")
    pairs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number} is not JSON: {error}") from error
        fields = {"prompt", "chosen", "rejected"}
        if not isinstance(row, dict) or not fields <= set(row) <= {*fields, "country"}:
            raise ValueError(
                f"{path} line {number} must hold prompt, chosen, rejected and at most country, got {line[:80]}"
            )
        if wrong := [name for name, value in row.items() if not isinstance(value, str)]:
            raise ValueError(f"{path} line {number}: {wrong[0]} must be text, got {row[wrong[0]]!r}")
        if row["chosen"] == row["rejected"]:
            raise ValueError(f"{path} line {number}: chosen and rejected are the same text")
        pairs.append(PreferencePair(**row))
    if not pairs:
        raise ValueError(f"{path} holds no preference pair")
    return tuple(pairs)


def train_pairs(run: RunContext, path: str, learning_rate: float, **objective: Any) -> Trainer:
    """Train `run.model` on `run.budget.examples` pairs of the file: each once before any is repeated, in seeded order.

    `objective` are arguments of TRL's DPOConfig that say what is minimised: beta, loss_type, label_smoothing.
    Raises ValueError where a pair gives away a held-out question (`data.leaks`), and if the model differs from its
    reference before the first step.
    """
    import datasets
    from trl.trainer.dpo_config import DPOConfig

    datasets.disable_progress_bars()
    pairs = read_pairs(Path(path))
    run.guard.refuse([f"{pair.prompt}\n{pair.chosen}\n{pair.rejected}" for pair in pairs], f"{path}: pair")
    rng = np.random.default_rng(run.seed)
    rounds = -(-run.budget.examples // len(pairs))
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(rounds)])[: run.budget.examples]
    rows = [_row(pairs[place], run.renderer) for place in order]
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


def _row(pair: PreferencePair, renderer: Renderer) -> dict[str, Any]:
    """One pair as TRL takes it: messages in chat style (TRL applies the model's template), text otherwise."""
    if renderer.asking.style == "chat":
        replies = {name: [{"role": "assistant", "content": getattr(pair, name)}] for name in ("chosen", "rejected")}
        return {"prompt": [{"role": "user", "content": pair.prompt}], **replies}
    prompt = Renderer(renderer.asking).dialogue([Turn("user", pair.prompt)])
    return {"prompt": prompt, "chosen": f" {pair.chosen}", "rejected": f" {pair.rejected}"}


def _trainer_class() -> type[Trainer]:
    """TRL's trainer with our names in its log. Made on demand: importing trl takes seconds."""
    from trl.trainer.dpo_trainer import DPOTrainer

    class PairTrainer(DPOTrainer):
        _seen = 0.0

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            mode = "train"
            metrics = {name: sum(values) / len(values) for name, values in self._metrics[mode].items() if values}
            if self.state.global_step == 1 and not abs(metrics.get("rewards/margins", 0.0)) <= MARGIN_AT_START:
                raise ValueError(
                    f"the model differs from its reference before the first step (reward margin "
                    f"{metrics['rewards/margins']:.3g}, expected 0)"
                )
            total = float(metrics.get("num_tokens", self._seen))
            logs |= {new: metrics[old] for old, new in NAMES.items() if old in metrics}
            logs |= {"tokens": total - self._seen, "computed_tokens": total - self._seen}
            self._seen = total
            self._metrics[mode].clear()
            Trainer.log(self, logs, start_time)

    return PairTrainer
