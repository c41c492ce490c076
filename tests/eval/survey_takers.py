"""Scripted answerers for the DEF audit: what they answer is known, so that every measure's right value is too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.personas import place_name
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Group, Item, Split, Survey
from eval.answers import Costs, OptionAnswer, Progress, TextAnswer, TextRequest
from eval.context import AuditContext
from eval.records import Estimate


@dataclass(frozen=True)
class Question:
    """A question as the fake sees it: `earlier` is the number of remembered pairs, `repeat` that of the request."""

    item: Item
    country: str
    shown: tuple[str, ...]
    system: str
    text: str
    earlier: int
    repeat: int = 0


Rule = Callable[[Question], Sequence[float]]
Writer = Callable[[Question], str]


class Fake:
    """Answers closed questions by `rule` and writes by `writer`; remembers what it was asked."""

    identity = "fake"

    def __init__(self, survey: Survey, countries: Sequence[str], rule: Rule, writer: Writer) -> None:
        self.survey, self.countries, self.rule, self.writer = survey, countries, rule, writer
        self.costs = Costs()
        self.batches: list[list[OptionPrompt]] = []
        self.requests: list[list[TextRequest]] = []

    def perplexity(self, texts: Sequence[str]) -> float:
        return math.nan

    def read(self, text: str, repeat: int = 0) -> Question:
        system, *earlier, last = text.removesuffix("\n\nAnswer:").split("\n\nQuestion: ")
        (item,) = [item for item in self.survey.items if last.startswith(item.question)]
        (country,) = [country for country in self.countries if f" {place_name(country)} " in system]
        shown = tuple(line[3:] for line in last.split("\n")[1:])
        return Question(item, country, shown, system, text, len(earlier), repeat)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.batches.append(list(prompts))
        return [OptionAnswer(np.asarray(self.rule(self.read(prompt.text)), dtype=float), 0.8) for prompt in prompts]

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        self.requests.append(list(requests))
        return [TextAnswer(self.writer(self.read(one.text, one.repeat)), "stop", 9) for one in requests]


def nothing(question: Question) -> str:
    raise AssertionError(f"asked to write: {question}")


def make_context(
    survey: Survey,
    split: Split,
    rule: Rule | None = None,
    limit: int | None = None,
    seed: int = 0,
    writer: Writer = nothing,
    controls: bool = False,
) -> tuple[AuditContext, Fake]:
    fake = Fake(survey, split.held_out_countries, rule or uniform, writer)
    renderer = Renderer(Asking(style="completion", persona="portrayal"))
    return (
        AuditContext(
            fake, renderer, survey, split, (), seed, limit, lambda _: lambda done, total: None, controls=controls
        ),
        fake,
    )


def find(estimates: Sequence[Estimate], name: str, condition: str, group: str = "all") -> Estimate:
    (found,) = [e for e in estimates if (e.name, e.condition, e.group) == (name, condition, group)]
    return found


def people_of(survey: Survey) -> Rule:
    def rule(question: Question) -> list[float]:
        q = survey.people[question.item.id, Group(question.country)].probabilities
        return [q[question.item.options.index(option)] for option in question.shown]

    return rule


def first_place(question: Question) -> list[float]:
    return [1.0] + [0.0] * (len(question.shown) - 1)


def uniform(question: Question) -> list[float]:
    return [1 / len(question.shown)] * len(question.shown)


def own_first(question: Question) -> list[float]:
    return [float(option == question.item.options[0]) for option in question.shown]
