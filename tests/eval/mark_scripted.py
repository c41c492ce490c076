"""A made-up survey in which sex decides every answer, and an answerer that follows a rule a stage, for MARK's tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.prompts import Asking, OptionPrompt, Renderer
from data.records import AnswerDistribution, Group, Item, Respondent, Split, Survey
from eval.answers import Answerer, OptionAnswer, Progress
from eval.context import AuditContext
from eval.mark.audit import Mark
from eval.mark.functions import FUNCTIONS
from eval.records import AuditResult

Rule = Callable[[str, list[str]], list[float]]
FUNCTION_TEXTS = {function.normal for function in FUNCTIONS.values()}


@dataclass
class Scripted:
    """Answers by a rule over (prompt text, options as shown) that gives a weight an option."""

    rule: Rule
    identity: str = "scripted"
    asked: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        answers = []
        for prompt in prompts:
            self.asked.append(prompt.text)
            options = re.findall(r"^[A-Z]\. (.*)$", prompt.text, flags=re.MULTILINE)[-len(prompt.labels) :]
            raw = np.asarray(self.rule(prompt.text, options), dtype=np.float64)
            answers.append(OptionAnswer(raw / raw.sum(), 0.9))
        return answers


def kind(text: str, options: list[str]) -> str:
    if options[0] in ("0", "100"):
        return "stress"
    if set(options) <= FUNCTION_TEXTS:
        return "type"
    if "Does stress harm" in text:
        return "impact"
    return "check" if "Does the answer fit" in text else "answer"


def only(options: list[str], wanted: str) -> list[float]:
    return [float(option == wanted) for option in options]


def scripted(answer: Rule, **others: Rule) -> Scripted:
    """Stress 90 from age, else 10; Ni, then Te; no impact; every answer fits: unless `others` say differently."""
    rules: dict[str, Rule] = {
        "stress": lambda text, options: only(options, "90" if "Fact: age" in text else "10"),
        "type": lambda text, options: [
            3.0 if o == FUNCTIONS["Ni"].normal else 2.0 if o == FUNCTIONS["Te"].normal else 1.0 for o in options
        ],
        "impact": lambda text, options: only(options, "No"),
        "check": lambda text, options: only(options, "Yes"),
        "answer": answer,
    } | others
    return Scripted(lambda text, options: rules[kind(text, options)](text, options))


def by_sex(text: str, options: list[str]) -> list[float]:
    return only(options, "Yes, always" if "sex: female" in text else "No, never")


def context(answerer: Answerer, survey: Survey, split: Split, limit: int | None = None, seed: int = 0) -> AuditContext:
    renderer = Renderer(Asking(style="completion"))
    return AuditContext(answerer, renderer, survey, split, (), seed, limit, lambda what: lambda done, total: None)


OPTIONS = ("Yes, always", "Sometimes", "No, never")
SPLIT = Split(("toy/seen",), ("USA",), ("toy/held",), ("NOR", "JPN"), 0)


def sexes_survey() -> Survey:
    """Twelve people a country whose sex decides their answer: women "Yes, always", men "No, never"."""
    items = tuple(Item(name, f"Is it right, {name}?", OPTIONS, False, "toy") for name in ("toy/seen", "toy/held"))
    people, shares = [], []
    for country in ("NOR", "JPN", "USA"):
        for number in range(12):
            sex = ("female", "male")[number % 2]
            group = Group(country, ("18-29", "30-49", "50+")[number % 3], sex)
            features = {"age": str(20 + number), "sex": sex, "education": "school"}
            answers = {item.id: 2 * (number % 2) for item in items}
            people.append(Respondent(f"{country}-{number:02d}", group, features, answers))
        shares += [AnswerDistribution(item.id, Group(country), (0.5, 0.0, 0.5), 12, 12.0) for item in items]
    return Survey(items, tuple(shares), tuple(people))


def value(result: AuditResult, name: str, condition: str) -> float:
    found = [e.value for e in result.estimates if (e.name, e.condition) == (name, condition)]
    assert len(found) == 1, f"{name} {condition}: {found}"
    return found[0]


def run(answerer: Answerer, survey: Survey, limit: int | None = None, **knobs: int | float) -> AuditResult:
    settings: dict[str, int | float] = {"respondents": 12, "items": 1, "draws": 200} | knobs
    return Mark(**({"least_people": 1} | settings))(context(answerer, survey, SPLIT, limit))  # type: ignore[arg-type]
