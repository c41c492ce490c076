"""Sampled reinforcement learning on open-ended text: replies are drawn, and scored by a reward model of such text.

Steps 2 and 3 of Ouyang et al. 2022 (arXiv:2203.02155, section 3.1): a reward model is trained on preference pairs
(`train.reward_pairs`), and the policy on its rewards under a KL leash, here by TRL's RLOO or GRPO (`train.sampled`).
The prompts are those of a preference set; its replies are not used.

A reply is scored in the tokens in which TRL's RewardTrainer showed replies to the reward model, and the reward is read
where that trainer read it: at the last token that is no padding. Where the end-of-sequence token pads, that is the
token before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from data.manifest import read_manifest, update_manifest
from data.prompts import Renderer
from data.records import Turn
from train.pairs import guarded_pairs, in_order, told_to
from train.reward_model import load_reward_model, reply_rewards
from train.run import RunContext, is_main, processes
from train.sampled import Sampling, prompts_at_once, train_on_replies

NAMES = {
    "reward": "reward",
    "kl": "kl_reference",
    "entropy": "token_entropy",
    "completions/mean_length": "reply_tokens",
    "cut_share": "cut_share",
    "reward_tokens": "reward_tokens",
}


@dataclass(frozen=True)
class Texts:
    """What is replied to, and who scores: a preference set (`data.preferences`), whether its prompts state the rater's
    country (`train.pairs.told_to`), the cell of a reward model, and the reward of a reply that was cut off (None: what
    the reward model says of it as it stands).
    """

    source: str
    pooling: str
    reward_model: str
    cut_reward: float | None


def train_sampled_text(run: RunContext, texts: Texts, sampling: Sampling, learning_rate: float) -> Trainer:
    """Train `run.model` on replies to the prompts of `texts`, `run.budget.examples` of them, each once before any is
    repeated. Prompts that leave no room for a reply within `budget.max_length` are left out; the manifest counts them.

    Logged a step: what `train_on_replies` logs; token_entropy (nats a token of the replies), reply_tokens (mean),
    cut_share (replies that had not ended within `completion_tokens`), reward_tokens (computed by the reward model).
    Raises ValueError as `guarded_pairs` and `train_on_replies`, where no prompt is short enough, and where the reward
    model was not trained on text; FileNotFoundError where there is none.
    """
    scorer, tokenizer = load_reward_model(Path(texts.reward_model), run.dtype, run.spec.trust_remote_code)
    if "preferences" not in read_manifest(Path(texts.reward_model)):
        raise ValueError(
            f"recipe.reward_model {texts.reward_model} was trained on the options of closed questions: expected one of "
            "text, trained with recipe=reward recipe.pairs=…"
        )
    scorer.to(run.device)  # type: ignore[arg-type]  # torch's overloads
    pairs = guarded_pairs(run, texts.source)
    dialogues = list(dict.fromkeys(told_to(pair, run.renderer, texts.pooling) for pair in pairs))
    prompts = [run.renderer.dialogue(turns) for turns in dialogues]
    room = run.budget.max_length - sampling.completion_tokens
    fitting = [
        {"prompt": prompt, "turns": [[turn.role, turn.text] for turn in turns]}
        for prompt, turns, ids in zip(prompts, dialogues, run.renderer.encode(prompts), strict=True)
        if len(ids) <= room
    ]
    if not fitting:
        raise ValueError(
            f"{texts.source}: no prompt has at most {room} tokens = budget.max_length {run.budget.max_length} - "
            f"recipe.completion_tokens {sampling.completion_tokens}"
        )
    if is_main():
        update_manifest(run.cell, prompts={"distinct": len(prompts), "too_long": len(prompts) - len(fitting)})
    together = prompts_at_once(run, sampling.generations) * sampling.generations
    reward = text_reward(scorer, Renderer(run.asking, tokenizer), _ends(run), texts.cut_reward, together)
    return train_on_replies(run, in_order(run, fitting), reward, sampling, learning_rate, {}, NAMES)


def text_reward(
    scorer: Any, renderer: Renderer, ends: Collection[int], cut_reward: float | None, together: int
) -> Callable[..., list[float]]:
    """A reward function for TRL: what `scorer` says of a reply, asked `together` of them at once, or `cut_reward` (if
    there is one) of a reply whose last token is none of `ends`. `renderer` has the scorer's tokenizer.
    """
    device = next(scorer.parameters()).device

    def reward(
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        turns: Sequence[Sequence[tuple[str, str]]],
        log_metric: Callable[[str, float], None],
        **unused: Any,
    ) -> list[float]:
        dialogues = [[Turn(role, text) for role, text in dialogue] for dialogue in turns]
        scored = [scored_ids(renderer, *one) for one in zip(dialogues, completions, strict=True)]
        values, computed = list[float](), 0
        for start in range(0, len(scored), together):
            with torch.no_grad():
                found, tokens = reply_rewards(scorer, scored[start : start + together], device)
            values += found.tolist()
            computed += tokens
        cut = [not ids or ids[-1] not in ends for ids in completion_ids]
        log_metric("cut_share", sum(cut) / len(cut))
        log_metric("reward_tokens", float(computed * processes()))  # a mean over processes is made of it
        if cut_reward is None:
            return values
        return [cut_reward if is_cut else value for is_cut, value in zip(cut, values, strict=True)]

    return reward


def scored_ids(renderer: Renderer, turns: Sequence[Turn], reply: str) -> list[int]:
    """A dialogue with its reply in the tokens that the reward model was trained on, up to where its reward is read."""
    tokenizer: Any = renderer.tokenizer
    ids: list[int]
    if renderer.asking.style == "chat":
        messages: list[Mapping[str, str]] = [{"role": turn.role, "content": turn.text} for turn in turns]
        messages.append({"role": "assistant", "content": reply})
        ids = list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"])
    else:
        ids = tokenizer(Renderer(renderer.asking).dialogue(turns) + reply + tokenizer.eos_token)["input_ids"]
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    while ids[-1] == padding:
        ids.pop()
    return ids


def _ends(run: RunContext) -> set[int]:
    """The tokens that end a reply, as TRL has them: the tokenizer's, and those that the model is shipped with."""
    shipped = run.model.generation_config.eos_token_id
    also = shipped if isinstance(shipped, list) else [shipped]
    return {token for token in [run.tokenizer.eos_token_id, *also] if token is not None}
