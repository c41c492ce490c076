"""Sampled reinforcement learning on closed questions: TRL's RLOO and GRPO trainers inside our loop.

What `rlhf` computes exactly is estimated here as it is where answers cannot be enumerated: `generations` replies of at
most `completion_tokens` tokens are drawn for a prompt, each gets the reward of the option that it names, and moves the
policy. The rewards of the options are known beforehand, so replies are looked up and not scored again. PPO is not
offered: TRL removed it in 1.13 (trl#7020).

RLOO (Ahmadian et al. 2024, arXiv:2402.14740) in TRL 1.16: the loss of reply i is -advantage_i * ratio, with ratio the
reply's probability over that when it was drawn (1 here: each reply moves the policy once), advantage_i = R_i - mean of
the other replies' R, and R = reward - beta * (log policy - log reference) of the whole reply. So the KL term is in the
reward, and in the baseline; the mean gradient is the exact objective's (tested).
GRPO (Shao et al. 2024, arXiv:2402.03300) in TRL 1.16: advantage_i = (reward_i - mean) / standard deviation over the
prompt's replies, and in the loss beta * (r - log r - 1) with r = reference / policy, a token. So it follows another
objective: the division weighs prompts by 1 / deviation, and the mean gradient of its KL term is that of KL(reference ||
policy), the other direction (E[(1 - r) grad log policy] = -E_reference[grad log policy]).
`beta` is always passed on: TRL's own are 0.05 for RLOO and 0 for GRPO.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, Trainer

from train.closed import KL_AT_START
from train.closed_batch import Collator
from train.loop import arguments, fit, one_device
from train.run import RunContext, processes

ALGORITHMS = ("rloo", "grpo")
REPLIES = 16
"""Replies that are trained on at once, unless the user says otherwise."""
OTHER_PASSES = {"rloo": 3, "grpo": 2}
"""Forward passes besides training's: drawing, the reference, and RLOO's own policy."""
NAMES = {"reward": "reward", "kl": "kl_reference", "entropy": "entropy", "invalid_share": "invalid_share"}
"""What TRL calls a metric → what it is called in our log."""


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn and move the policy; see the knobs of `train.recipes.rlhf.Rlhf`."""

    algorithm: str
    beta: float
    generations: int
    completion_tokens: int


def train_sampled(
    run: RunContext,
    rewards: Sequence[torch.Tensor],
    invalid_reward: float,
    sampling: Sampling,
    learning_rate: float,
    once: Mapping[str, float],
) -> Trainer:
    """Train `run.model` on the prompts of `run.examples`; `rewards` holds an example's options' rewards, (k,) each,
    `invalid_reward` is that of a reply that names none, `once` are numbers to log with the first step.

    A step sees `budget.batch_size` prompts with `generations` replies each, so that `budget.examples` and the steps
    are those of the exact arm: the prompts are the same, and what the replies cost is in the tokens. Logged a step:
    what `train_on_replies` logs, entropy (of the next token over the whole vocabulary, nats a token of the replies) and
    invalid_share (replies that name no option). Raises ValueError as `train_on_replies`, and for too long a prompt.
    """
    collator = Collator(run.renderer, run.budget.max_length)
    rows = []
    for example, values in zip(run.examples, rewards, strict=True):
        prompt = collator.ask(run.renderer, example)
        collator([(example, None)])  # refuses what is too long
        labels = collator.tokens(prompt.text, prompt.labels)
        table = [
            [token, float(values[option])] for option, ids in zip(example.order, labels, strict=True) for token in ids
        ]
        rows.append({"prompt": prompt.text, "named": table})
    reward = option_reward(run.tokenizer, invalid_reward)
    return train_on_replies(run, rows, reward, sampling, learning_rate, once, NAMES)


def train_on_replies(
    run: RunContext,
    rows: Sequence[Mapping[str, Any]],
    reward: Callable[..., list[float]],
    sampling: Sampling,
    learning_rate: float,
    once: Mapping[str, float],
    names: Mapping[str, str],
) -> Trainer:
    """Train `run.model` on replies to the `prompt` of `rows`, rendered text, in their order.

    `reward` gets, by name, TRL's `prompts`, `completions`, `completion_ids` (without padding) and what else stands in
    the rows, one of each a reply. Logged a step: loss (near 0, for advantages are centred), reward (before the KL
    term), kl_reference (nats a token, estimated from the replies), tokens (of prompts with their replies),
    computed_tokens (with padding), reference_tokens (forward passes besides: drawing, the reference), the metrics of
    `names`, and `once` with the first. A device draws all its replies of a step at once, and trains on `micro_batch` *
    `generations` of them at once. Raises ValueError where the policy is not the reference before the first step, or the
    adapter has dropout: replies are drawn as the model trains, so from another policy than is saved.
    """
    import datasets

    if dropout := getattr(run.adapter, "dropout", 0):
        raise ValueError(
            f"recipe.estimator sampled needs adapter.dropout 0, got {dropout}: with it replies would be drawn from "
            "another policy than the one that is trained"
        )
    datasets.disable_progress_bars()
    trainer_class, config_class = _classes(sampling.algorithm)
    settings = arguments(run, learning_rate)
    micro = prompts_at_once(run, sampling.generations)
    settings["gradient_accumulation_steps"] *= settings["per_device_train_batch_size"] // micro
    settings["per_device_train_batch_size"] = micro * sampling.generations
    config: Any = config_class(
        **settings,
        beta=sampling.beta,
        num_generations=sampling.generations,
        max_completion_length=sampling.completion_tokens,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        num_iterations=1,
        shuffle_dataset=False,
        trust_remote_code=run.spec.trust_remote_code,
        **({"loss_type": "grpo", "scale_rewards": "group"} if sampling.algorithm == "grpo" else {}),
    )
    with drawn_as_they_are(run.model):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            trainer = trainer_class(
                names=names,
                once=once,
                model=run.model,
                reward_funcs=reward,
                args=one_device(config),
                train_dataset=datasets.Dataset.from_list(list(rows)),
                processing_class=run.tokenizer,
            )
        if "ref" in getattr(run.model, "peft_config", {}):  # TRL's copy of the new adapter; the base is asked instead
            run.model.delete_adapter("ref")
        return fit(trainer, run)


def prompts_at_once(run: RunContext, generations: int) -> int:
    """Prompts whose replies a device trains on at once: `budget.micro_batch`, or where that is left open as many of its
    share as have at most `REPLIES` replies together. No gradient depends on it; a whole step of 64 replies takes 17 GB
    with 135 million parameters.
    """
    share, _ = run.budget.split(processes())
    if run.budget.micro_batch is not None:
        return share
    return max(n for n in range(1, share + 1) if share % n == 0 and (n == 1 or n * generations <= REPLIES))


@contextmanager
def drawn_as_they_are(model: Any) -> Iterator[None]:
    """Replies are drawn from the model's own probabilities: the rules that it is shipped with are set aside.

    transformers merges what the caller leaves open from the model's generation_config (a floor min_p, tokens that are
    suppressed, n-grams that may not repeat …), and the gradient is right only for replies of the policy itself. The
    ends of a reply stay.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    shipped = inner.generation_config
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    ends = {name: getattr(shipped, name) for name in names}
    inner.generation_config = GenerationConfig(**ends)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        inner.generation_config = shipped


def option_reward(tokenizer: Any, invalid_reward: float) -> Callable[..., list[float]]:
    """A reward function for TRL: the reward of the option that a reply names, `invalid_reward` for another reply.

    A reply names an option where its first token is one of the label's forms (`data.options`) and what follows does
    not go on with the word: "A", " A" and "A. Yes" name A, "Apple" does not.
    """

    def reward(
        completion_ids: Sequence[Sequence[int]],
        named: Sequence[Sequence[Sequence[float]]],
        log_metric: Callable[[str, float], None],
        **unused: Any,
    ) -> list[float]:
        found = []
        for ids, table in zip(completion_ids, named, strict=True):
            rest = tokenizer.decode(ids[1:], skip_special_tokens=True)
            found.append(None if rest[:1].isalnum() else {int(t): value for t, value in table}.get(ids[0]))
        log_metric("invalid_share", sum(value is None for value in found) / len(found))
        return [invalid_reward if value is None else value for value in found]

    return reward


def _classes(algorithm: str) -> tuple[Any, Any]:
    """TRL's trainer with our prompts and our names in its log, and its config. Made on demand: trl takes seconds."""
    if algorithm == "rloo":
        from trl.trainer.rloo_config import RLOOConfig as Config
        from trl.trainer.rloo_trainer import RLOOTrainer as Base
    else:
        from trl.trainer.grpo_config import GRPOConfig as Config  # type: ignore[assignment]
        from trl.trainer.grpo_trainer import GRPOTrainer as Base  # type: ignore[assignment]

    class SampledTrainer(Base):
        def __init__(self, *, names: Mapping[str, str], once: Mapping[str, float], **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._tokens = self._computed = 0
            self._names = names
            self._once = once

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            """Prompts are rendered already: nothing is added, no second beginning of a sequence."""
            tokenizer: Any = self.processing_class
            return tokenizer(text=prompts, add_special_tokens=False)["input_ids"], None, {}

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
            masks = (inputs["prompt_mask"], inputs["completion_mask"])
            self._tokens += sum(int(mask.sum()) for mask in masks)
            self._computed += sum(mask.numel() for mask in masks)
            return super()._compute_loss(model, inputs)  # type: ignore[no-any-return, no-untyped-call]

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            found = {name: sum(values) / len(values) for name, values in self._metrics["train"].items() if values}
            self._metrics["train"].clear()  # nothing is found at the end, when the time of the whole training is logged
            if found and self.state.global_step == 1 and not abs(found["kl"]) <= KL_AT_START:
                raise ValueError(
                    f"the model differs from its reference before the first step (KL {found['kl']:.3g} nats a token, "
                    f"expected at most {KL_AT_START}): the reference was not computed from this model"
                )
            if self._tokens:
                here = torch.tensor([self._tokens, self._computed], device=self.args.device)
                tokens, computed = map(float, self.accelerator.reduce(here, "sum").tolist())
                self._tokens = self._computed = 0
                logs |= {new: found[old] for old, new in self._names.items() if old in found}
                logs |= {
                    "tokens": tokens,
                    "computed_tokens": computed,
                    "reference_tokens": OTHER_PASSES[algorithm] * computed,
                }
                if self.state.global_step == 1:
                    logs |= self._once
            Trainer.log(self, logs, start_time)

    return SampledTrainer, Config
