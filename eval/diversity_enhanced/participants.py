"""Simulated survey takers: who they are, what they remember, and how they are asked the next question.

A participant lives in a place, remembers at most `memory_length` of its own earlier answers, and sees each question's
options in an order of its own:

    [system]     You answer survey questions. … Answer as a person who lives in Hamar in Norway would.
    [user]       an earlier question, as it was shown        [assistant]  B
    [user]       the question, its options lettered

The surprise: participant i of every country has the same memory length, decoding and option orders, so that a model
that only looks at positions shows no difference between countries. The luck in sampling an answer is each one's own:
shared, it would let the chance of a few draws pass for what all countries have in common. Luck belongs to the
participant and the step, not to what was asked before, so that a participant without memory (an ablation) is as lucky
as with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from data.places import PLACES
from data.prompts import OptionPrompt, Renderer
from data.records import Group, Item, Turn

PARTICIPANTS = "participants"
ABLATIONS = ("no_location", "no_memory", "no_order")
BEAMS = 5
_ANSWER, _MEMORY, _TOLD = range(3)


@dataclass(frozen=True, slots=True)
class Pair:
    """A question as it was shown, and what was answered."""

    question: str
    answer: str


@dataclass
class Participant:
    """One pass through a questionnaire. `place` is "" where no place is known for the country; `greedy` participants
    give the most probable answer, others sample; `condition` is PARTICIPANTS or one of ABLATIONS.
    """

    country: str
    number: int
    place: str
    memory_length: int
    seed: int
    greedy: bool = False
    condition: str = PARTICIPANTS
    memory: list[Pair] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.country}-{self.number}"

    def without(self, ablation: str) -> Participant:
        """The same participant, as lucky, with one of ABLATIONS switched off. ValueError for another name."""
        if ablation not in ABLATIONS:
            raise ValueError(f"an ablation must be among {list(ABLATIONS)}, got {ablation!r}")
        place = "" if ablation == "no_location" else self.place
        length = 0 if ablation == "no_memory" else self.memory_length
        return replace(self, place=place, memory_length=length, condition=ablation, memory=[])

    def persona(self, renderer: Renderer) -> str:
        """Who is to answer, in the style and language of `renderer`."""
        return renderer.persona(Group(self.country), "country", self.place)

    def ask(self, item: Item, order: Sequence[int], renderer: Renderer, instruction: str, persona: str) -> OptionPrompt:
        """The item with its options in `order`, after the instruction, the persona and the memory."""
        turns = [Turn("system", f"{instruction}{renderer.frame.biography_joint}{persona}")]
        for pair in self.memory:
            turns += [Turn("user", pair.question), Turn("assistant", pair.answer)]
        return renderer.closed(turns, item.question, [item.options[index] for index in order])

    def choose(self, p: npt.NDArray[np.float64], step: int) -> int:
        """An option's index drawn from `p` (k,); of a greedy participant the most probable one."""
        if self.greedy:
            return int(p.argmax())
        reached = int(np.searchsorted(np.cumsum(p), self._luck(step, _ANSWER).random(), side="right"))
        return min(reached, len(p) - 1)  # the sum may be short of 1 by rounding

    def remember(self, question: str, answer: str, step: int) -> None:
        """Appends the pair. Over its length, the memory is resampled without replacement: `memory_length` of its pairs
        in their order.
        """
        self.memory.append(Pair(question, answer))
        if len(self.memory) > self.memory_length:
            kept = self._luck(step, _MEMORY).choice(len(self.memory), self.memory_length, replace=False)
            self.memory = [self.memory[index] for index in sorted(kept)]

    def told(self, options: int, step: int) -> int:
        """Which option the positive control names, each equally likely."""
        return int(self._luck(step, _TOLD).integers(options))

    def _luck(self, step: int, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, 2, self.number, int.from_bytes(self.country.encode()), step, what])


def draw_participants(
    countries: Sequence[str],
    per_country: int,
    max_memory: int,
    seed: int,
    places: Mapping[str, Sequence[str]] = PLACES,
    drawn_decoding: bool = False,
) -> tuple[Participant, ...]:
    """`per_country` participants of each country, all first ones before all second ones.

    The memory length is drawn from 0 … `max_memory` with equal probability; `places` are taken in turn. With
    `drawn_decoding` a participant's number of beams is drawn from 1 … BEAMS, and those with more than one are greedy.
    """
    found = []
    for number in range(per_country):
        luck = np.random.default_rng([seed, 2, number])
        length = int(luck.integers(max_memory + 1))
        greedy = drawn_decoding and int(luck.integers(1, BEAMS + 1)) > 1
        for country in countries:
            there = places.get(country, ("",))
            found.append(Participant(country, number, there[number % len(there)], length, seed, greedy))
    return tuple(found)


def shuffled(options: int, number: int, per_country: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The order in which participant `number` sees the options: `rng`'s random order, rolled on from one participant to
    the next, so that each option stands at each place about equally often over the participants of a country.
    """
    base = rng.permutation(options)
    return tuple(int(index) for index in np.roll(base, number * max(options // per_country, 1)))
