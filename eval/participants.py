"""Simulated survey takers: who they are, what they remember, and how they are asked the next question.

A participant lives in a place, remembers at most `memory_length` of its own earlier answers, and sees each question's
options in an order of its own:

    [system]     You answer survey questions. … Answer as a person who lives in Bergen in Norway would.
    [user]       an earlier question, as it was shown        [assistant]  B
    [user]       the question, its options lettered

The surprise: participant i of every country has the same memory length and option orders, so that a model that only
looks at positions shows no difference between countries. The luck in sampling an answer is each one's own: shared, it
would let the chance of a few draws pass for what all countries have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from data.prompts import LETTERS, OptionPrompt, Renderer, lettered
from data.records import Group, Item, Turn
from eval.places import PLACES


@dataclass(frozen=True, slots=True)
class Pair:
    """A question as it was shown, and the letter that was answered."""

    question: str
    letter: str


@dataclass
class Participant:
    """One pass through a questionnaire. `place` is "" where no place is known for the country."""

    country: str
    number: int
    place: str
    memory_length: int
    rng: np.random.Generator
    memory: list[Pair] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.country}-{self.number}"

    def ask(self, item: Item, order: Sequence[int], renderer: Renderer) -> OptionPrompt:
        """The item with its options in `order`, after the persona and the memory."""
        turns = [Turn("system", renderer.instruction(self._persona(renderer)))]
        for pair in self.memory:
            turns += [Turn("user", pair.question), Turn("assistant", pair.letter)]
        return renderer.closed(turns, item.question, [item.options[index] for index in order])

    def answer(self, item: Item, order: Sequence[int], p: npt.NDArray[np.float64]) -> int:
        """Draws an answer from `p` (k,), in the item's own option order, and remembers it; returns the option's index.

        Over its length, the memory is resampled without replacement: `memory_length` of its pairs in their order.
        """
        reached = int(np.searchsorted(np.cumsum(p), self.rng.random(), side="right"))
        chosen = min(reached, len(p) - 1)  # the sum may be short of 1 by rounding
        shown = lettered(item.question, [item.options[index] for index in order])
        self.memory.append(Pair(shown, LETTERS[list(order).index(chosen)]))
        if len(self.memory) > self.memory_length:
            kept = self.rng.choice(len(self.memory), self.memory_length, replace=False)
            self.memory = [self.memory[index] for index in sorted(kept)]
        return chosen

    def _persona(self, renderer: Renderer) -> str:
        stated = renderer.persona(Group(self.country), "country")
        country = renderer.frame.country(self.country)
        return stated.replace(country, f"{self.place} in {country}") if self.place else stated


def draw_participants(
    countries: Sequence[str], per_country: int, max_memory: int, seed: int, places: Mapping[str, Sequence[str]] = PLACES
) -> tuple[Participant, ...]:
    """`per_country` participants of each country, all first ones before all second ones.

    The memory length is drawn from 0 … `max_memory` with equal probability; `places` are taken in turn.
    """
    found = []
    for number in range(per_country):
        length = int(np.random.default_rng([seed, 2, number]).integers(max_memory + 1))
        for country in countries:
            own = np.random.default_rng([seed, 2, number, int.from_bytes(country.encode())])
            there = places.get(country, ("",))
            found.append(Participant(country, number, there[number % len(there)], length, own))
    return tuple(found)


def shuffled(options: int, number: int, per_country: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The order in which participant `number` sees the options: `rng`'s random order, rolled on from one participant to
    the next, so that each option stands at each place about equally often over the participants of a country.
    """
    base = rng.permutation(options)
    return tuple(int(index) for index in np.roll(base, number * max(options // per_country, 1)))
