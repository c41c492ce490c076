"""The held-out prompts on which `polyphony bench curve` and `bench recipes` look at a model: few, and the same for all.

Countries that no training saw, half of the prompts on questions that are trained on and half on new ones, each put in
two orders of its options. They are a look, not an audit: one tree, one forward pass, no interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.prompts import Renderer, orders
from data.records import AnswerDistribution, Group, Split, Survey, TrainingExample
from eval.distances import js_distance
from train.closed import option_log_probabilities
from train.closed_batch import Collator
from train.divergences import kl_next_token, log_mass, shares
from train.reward_model import option_rewards

TRAINED, NEW = "trained questions", "new questions"
MAX_LENGTH = 4096


@dataclass(frozen=True)
class HeldOut:
    """Prompts, one an example; `question[i]` numbers what example i asks (item and country), `stratum` says of every
    such question whether its item is trained on. `inputs`: the examples collated.
    """

    examples: tuple[TrainingExample, ...]
    question: npt.NDArray[np.int64]
    stratum: tuple[str, ...]
    inputs: Mapping[str, Any]

    @torch.no_grad()
    def answers(self, model: Any) -> torch.Tensor:
        """Log-probability of every option, (prompts, options) float32 on the CPU, -inf where there is none."""
        ids = self.inputs["label_ids"].to(next(model.parameters()).device)
        return option_log_probabilities(model, self.inputs["sequences"], ids)[0].cpu()

    def distances(self, answers: torch.Tensor) -> dict[str, float]:
        """Mean Jensen-Shannon distance to people in each stratum, over questions whose orders are averaged; NaN for one
        without questions. `mass`: the mean probability of all options together.
        """
        given = shares(answers).double().numpy()
        people = self.inputs["people"].double().numpy()
        count = len(self.stratum)
        sums, truth = np.zeros((count, given.shape[1])), np.zeros((count, given.shape[1]))
        np.add.at(sums, self.question, given)
        truth[self.question] = people
        found = js_distance(*(rows / rows.sum(-1, keepdims=True) for rows in (sums, truth)))
        strata = np.array(self.stratum)
        means = {name: float(found[strata == name].mean()) if name in strata else np.nan for name in (TRAINED, NEW)}
        return means | {"mass": float(log_mass(answers).exp().mean())}

    def divergence(self, answers: torch.Tensor, base: torch.Tensor) -> float:
        """Mean KL(model || base) of the next token in nats, every token that is no option as one outcome."""
        return float(kl_next_token(answers, base).mean())

    @torch.no_grad()
    def pair_accuracy(self, model: Any) -> float:
        """Of a reward model: the share of pairs of options, that people chose unequally often, which it puts in the
        right order; equal rewards are half right.
        """
        ids = self.inputs["label_ids"].to(next(model.parameters()).device)
        rewards = option_rewards(model, self.inputs["sequences"], ids)[0].cpu()
        people, options = self.inputs["people"], self.inputs["label_ids"][..., 0] >= 0
        a, b = torch.triu_indices(people.shape[1], people.shape[1], offset=1)
        told = (people[:, a] - people[:, b]).sign()
        counted = options[:, a] & options[:, b] & (told != 0)
        agree = (rewards[:, a] - rewards[:, b]).sign() * told
        return float(((agree + 1) / 2)[counted].mean())


def held_out_prompts(survey: Survey, split: Split, renderer: Renderer, count: int, rng: np.random.Generator) -> HeldOut:
    """About `count` prompts: of every stratum the items in turn, each of a country drawn evenly.

    Raises ValueError where the split holds out no country that answered.
    """
    chosen: list[tuple[AnswerDistribution, str]] = []
    for stratum, items in ((TRAINED, split.train_items), (NEW, split.held_out_items)):
        chosen += [(people, stratum) for people in _in_turn(survey, split, items, max(1, count // 4), rng)]
    if not chosen:
        raise ValueError(f"no held-out country of {list(split.held_out_countries)} answered any question")
    examples, question = [], []
    for number, (people, _) in enumerate(chosen):
        item = survey.by_id[people.item]
        shown = orders(len(item.options), item.ordered)
        for order in dict.fromkeys((shown[0], shown[-1])):
            examples.append(TrainingExample(item, people.group, "country", order, people.probabilities, 0, 1, 0))
            question.append(number)
    inputs = Collator(renderer, MAX_LENGTH)([(example, None) for example in examples])
    return HeldOut(tuple(examples), np.array(question), tuple(stratum for _, stratum in chosen), inputs)


def _in_turn(
    survey: Survey, split: Split, items: tuple[str, ...], count: int, rng: np.random.Generator
) -> list[AnswerDistribution]:
    """At most `count` distributions of held-out countries, the first of every item, then the second …"""
    held_out = set(split.held_out_countries)
    by_item: dict[str, list[AnswerDistribution]] = {name: [] for name in sorted(items)}
    for people in sorted(survey.distributions, key=lambda one: (one.item, one.group)):
        if people.item in by_item and people.group == Group(people.group.country) and people.group.country in held_out:
            by_item[people.item].append(people)
    ranked = []
    for found in by_item.values():
        ranked += [(rank, found[place]) for rank, place in enumerate(rng.permutation(len(found)))]
    order = rng.permutation(len(ranked))  # so that no item is always among the first
    return [ranked[place][1] for place in sorted(order, key=lambda place: ranked[place][0])][:count]
