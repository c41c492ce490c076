"""Diversity augmentation: the prompts of training differ as those of simulated survey takers do.

Liu et al. 2025 (DEF, Information Processing & Management 62(4), 104099) vary whom they ask in three ways: a place of
the country, earlier questions with answers that stand before the question, and an order of the options of its own.
Theirs is a way of asking; our design makes it one of training, with the target of `match`: the answers of the people
are the same wherever they live, whatever they said before and however the options stand, so that the model is to answer
as the whole group in all these prompts. Departures: remembered answers are drawn from the group's people, not from the
model, and each on its own (a survey of distributions knows no person who gave them all); fully shuffled scales are a
choice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from transformers import Trainer

from data.places import PLACES
from data.prompts import LETTERS, OptionPrompt, Renderer, lettered, orders
from data.records import AnswerDistribution, Group, Item, TrainingExample, Turn
from train.closed import train_closed
from train.knobs import one_of
from train.recipes.match import Match
from train.run import RunContext
from train.trained_people import trained_people

ORDERS = ("mixture", "nominal", "all")


@dataclass(frozen=True, slots=True)
class Situated(TrainingExample):
    """An example whose persona lives in `place` ("" for the country as a whole) and has said `memory` before."""

    place: str
    memory: tuple[Turn, ...]


@dataclass(frozen=True)
class Augment(Match):
    """`match` on prompts that vary. `locations`: the persona lives in a place of its country, where one is known.

    `max_memory`: 0 … so many earlier questions with an answer stand before the question, each number equally likely.
    `orders`: mixture, as drawn; nominal, the options of items without a scale fully shuffled; all, of scales too.
    """

    locations: bool = True
    max_memory: int = 4
    orders: str = "nominal"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("recipe", ORDERS, orders=self.orders)
        if self.max_memory < 0:
            raise ValueError(f"recipe.max_memory must be at least 0, got {self.max_memory}")

    def __call__(self, run: RunContext) -> Trainer:
        """Raises ValueError for places in a language other than English, and with a memory as `trained_people`."""
        examples, once = self.situate(run)
        return train_closed(
            run, self.loss, self.learning_rate, metrics=self.metrics, examples=examples, ask=ask_situated, once=once
        )

    def prompts(self, run: RunContext) -> list[str]:
        """The prompts of the examples as they are trained on: what a budget in tokens measures."""
        return [ask_situated(run.renderer, one).text for one in self.situate(run)[0]]

    def situate(self, run: RunContext) -> tuple[list[Situated], dict[str, float]]:
        """Every example in its situation, by the run's seed, and what is worth knowing of all of them.

        A memory that would make a prompt longer than `budget.max_length` loses its oldest questions until it fits.
        """
        if self.locations and run.asking.language != "en":
            raise ValueError(
                f"places are named in English only and prompt.language is {run.asking.language!r}: "
                "set recipe.locations=false"
            )
        rng = run.generator("augment")
        answered: dict[Group, list[AnswerDistribution]] = {}
        for known in trained_people(run).values() if self.max_memory else ():
            answered.setdefault(known.group, []).append(known)
        found, shortened = [], 0
        for example in run.examples:
            memory = self._memory(example, answered.get(example.group, []), run, rng)
            one = situated(example, self._order(example.item, rng) or example.order, self._place(example, rng), memory)
            fitting = _fitting(one, run.renderer, run.budget.max_length)
            shortened += fitting is not one
            found.append(fitting)
        return found, {
            "located_share": sum(bool(one.place) for one in found) / len(found),
            "mean_memory": sum(len(one.memory) / 2 for one in found) / len(found),
            "shortened_share": shortened / len(found),
        }

    def _order(self, item: Item, rng: np.random.Generator) -> tuple[int, ...]:
        """A full shuffle of the options, or () where the item keeps the mixture's orders."""
        if self.orders == "mixture" or (self.orders == "nominal" and item.ordered):
            return ()
        return tuple(int(index) for index in rng.permutation(len(item.options)))

    def _place(self, example: TrainingExample, rng: np.random.Generator) -> str:
        there = PLACES.get(example.group.country, ())
        if not (self.locations and there and "country" in example.condition.split("+")):
            return ""
        return there[rng.integers(len(there))]

    def _memory(
        self, example: TrainingExample, answered: list[AnswerDistribution], run: RunContext, rng: np.random.Generator
    ) -> tuple[Turn, ...]:
        """Other questions that the example's group answered, each with the letter of an answer that people gave."""
        if not self.max_memory:
            return ()
        others = [known for known in answered if known.item != example.item.id]
        number = min(int(rng.integers(self.max_memory + 1)), len(others))
        turns: list[Turn] = []
        for place in rng.choice(len(others), size=number, replace=False) if number else ():
            item = run.people.by_id[others[place].item].in_language(run.asking.language)
            known = orders(len(item.options), item.ordered)
            order = self._order(item, rng) or known[rng.integers(len(known))]
            shares = np.asarray(others[place].probabilities)
            answer = int(rng.choice(len(shares), p=shares / shares.sum()))
            question = lettered(item.question, [item.options[index] for index in order])
            turns += [Turn("user", question), Turn("assistant", LETTERS[order.index(answer)])]
        return tuple(turns)


def situated(example: TrainingExample, order: tuple[int, ...], place: str, memory: tuple[Turn, ...]) -> Situated:
    """The example in a situation, its options in `order`; its people stay in the item's own."""
    own = {field.name: getattr(example, field.name) for field in fields(TrainingExample)}
    return Situated(**(own | {"order": order}), place=place, memory=memory)


def ask_situated(renderer: Renderer, example: TrainingExample) -> OptionPrompt:
    """The prompt of a `Situated` example. Raises TypeError for another."""
    if not isinstance(example, Situated):
        raise TypeError(f"expected a Situated example, got {type(example).__name__}")
    return renderer.survey(
        example.item, example.order, example.group, example.condition, place=example.place, before=example.memory
    )


def _fitting(one: Situated, renderer: Renderer, max_length: int) -> Situated:
    while one.memory and len(renderer.encode([ask_situated(renderer, one).text])[0]) > max_length:
        one = replace(one, memory=one.memory[2:])
    return one
