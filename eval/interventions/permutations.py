"""The mean of permutations: every closed question is asked in several orders of its options, whatever order the audit
shows, and answered with the mean, mapped back.

    >>> Permutations().orders(3)
    [(0, 1, 2), (1, 2, 0), (2, 0, 1)]

With all cyclic shifts every option stands once at every place, so that a model that likes a place, whatever stands
there, answers evenly. A simulated survey taker, who sees one order, gets the mean as well. What repeats the question
earlier in a dialogue is reordered with it (a letter said before then is another letter); other questions that somebody
remembers stay as they were shown. Written answers are not touched: they name no order of options. Averaging over option
orders against position bias is common (e.g. Zheng et al. 2024, arXiv:2309.03882); which orders is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.files import digest
from data.prompts import OptionPrompt, orders
from eval.answers import Answerer, Costs, OptionAnswer, Progress, TextAnswer, TextRequest
from eval.interventions import Unchanged

WAYS = ("shifts", "both")


@dataclass(frozen=True)
class Permutations(Unchanged):
    """`ways`: shifts, all cyclic ones or `count` of them, evenly spaced; both, the order shown and its reverse (then
    `count` must be None).
    """

    ways: str = "shifts"
    count: int | None = None

    def __post_init__(self) -> None:
        if self.ways not in WAYS:
            raise ValueError(f"inference.ways must be one of {list(WAYS)}, got {self.ways!r}")
        if self.count is not None and (self.count < 2 or self.ways == "both"):
            raise ValueError(
                f"inference.count must be null or at least 2, and null with ways=both; got {self.count} with "
                f"ways={self.ways}"
            )

    def answerer(self, answerer: Answerer) -> Answerer:
        return MeanOfOrders(answerer, self)

    def orders(self, options: int) -> list[tuple[int, ...]]:
        """The orders in which so many options are asked, places of the order shown; the first is that order itself."""
        if self.ways == "both":
            return orders(options, ordered=True)
        most = self.count or options
        return orders(options, ordered=False, exhaustive=most, beyond=most)


@dataclass
class MeanOfOrders:
    """Asks `inner` in several orders and answers with the mean; a prompt that several questions share is asked once."""

    inner: Answerer
    permutations: Permutations

    @property
    def costs(self) -> Costs:
        """Those of `inner`, which counts every prompt in every order."""
        return self.inner.costs

    @costs.setter
    def costs(self, costs: Costs) -> None:
        self.inner.costs = costs

    @property
    def identity(self) -> str:
        return digest([self.inner.identity, self.permutations.ways, self.permutations.count])

    def around(self, inner: Answerer) -> Answerer:
        """The same, asking another."""
        return replace(self, inner=inner)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        """The mean answer to each prompt, over its labels in the order shown; a prompt without an order is asked once.

        `option_mass` and `missing_mass` are means too: a mean of bounds bounds the mean.
        """
        asked = [self._ways(prompt) for prompt in prompts]
        distinct = list(dict.fromkeys(prompt for ways in asked for _, prompt in ways))

        def advance(done: int, total: int) -> None:
            if progress:
                progress(done * len(prompts) // total, len(prompts))

        answers = dict(zip(distinct, self.inner.score(distinct, advance), strict=True))
        return [_mean([(order, answers[prompt]) for order, prompt in ways]) for ways in asked]

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        return self.inner.generate(requests, progress)

    def perplexity(self, texts: Sequence[str]) -> float:
        return self.inner.perplexity(texts)

    def _ways(self, prompt: OptionPrompt) -> list[tuple[tuple[int, ...], OptionPrompt]]:
        own, *others = self.permutations.orders(len(prompt.labels))
        if prompt.reorder is None:
            return [(own, prompt)]
        return [(own, prompt), *((order, prompt.reorder(order)) for order in others)]


def _mean(answers: Sequence[tuple[tuple[int, ...], OptionAnswer]]) -> OptionAnswer:
    """Of answers whose place i stands for the option at `order[i]` of the order shown."""
    rows = np.empty((len(answers), len(answers[0][0])))
    for row, (order, answer) in zip(rows, answers, strict=True):
        row[list(order)] = answer.probabilities
    masses = [(answer.option_mass, answer.missing_mass) for _, answer in answers]
    mass, missing = (float(np.mean(each)) for each in zip(*masses, strict=True))
    return OptionAnswer(rows.mean(axis=0), mass, missing)
