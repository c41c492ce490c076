"""Models that answer a first-token audit by a rule, and what the tests of that audit read from its result."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from data.languages import frame
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Group, Item, ItemWording, Split, Survey
from eval.answers import OptionAnswer, Progress
from eval.context import AuditContext
from eval.first_token.audit import FirstToken
from eval.records import AuditResult

PLACES = {"NOR": "Norway", "GHA": "Ghana", "BRA": "Brazil", "IND": "India", "USA": "United States"}
FRENCH = {
    "toy/bribe": ItemWording(
        "fr", "Est-il justifié d'accepter un pot-de-vin ?", ("Jamais", "Peu", "Souvent", "Toujours")
    ),
    "toy/work": ItemWording("fr", "À quelle fréquence travailler la nuit ?", ("Jamais", "Peu", "Souvent")),
}
ALL = ("none", "country", "country+age")
Rule = Callable[[Survey, Item, str, str], Sequence[float]]
"""(survey, item, country, prompt) -> probabilities in the item's own order of options."""


class Scripted:
    """Answers by a rule, read from the prompt's text alone; `by_place` gives them in the order shown."""

    identity = "scripted"

    def __init__(self, survey: Survey, rule: Rule, by_place: bool = False) -> None:
        self.survey, self.rule, self.by_place = survey, rule, by_place
        self.prompts: list[OptionPrompt] = []

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        return [OptionAnswer(self._answer(prompt.text), 0.9) for prompt in prompts]

    def perplexity(self, texts: Sequence[str]) -> float:
        return 12.5

    def _answer(self, text: str) -> np.ndarray:
        wordings = [(item, item.in_language(language)) for item in self.survey.items for language in item.languages]
        item, worded = next((item, worded) for item, worded in wordings if worded.question in text)
        shown = [worded.options.index(line) for line in re.findall(r"^[A-Z]\. (.*)$", text, re.M)]
        names = {code: (place, frame("fr").country(code)) for code, place in PLACES.items()}
        country = next((code for code, (one, two) in names.items() if one in text or two in text), "")
        p = np.asarray(self.rule(self.survey, item, country, text), dtype=float)
        return p if self.by_place else p[shown]


def context_of(asked: Scripted, survey: Survey, split: Split, controls: bool = False) -> AuditContext:
    renderer = Renderer(Asking(style="completion"))
    return AuditContext(
        asked, renderer, survey, split, (), 0, None, lambda what: lambda done, total: None, controls
    )  # fmt: skip


def people(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    """The people whom the prompt states; evenly where it states nobody."""
    age = next((band for band, said in AGES.items() if said in text), "")
    found = survey.people.get((item.id, Group(country, age=age)))
    return found.probabilities if found else [1 / len(item.options)] * len(item.options)


def item_only(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    return [0.6, *[0.4 / (len(item.options) - 1)] * (len(item.options) - 1)]


def american(survey: Survey, item: Item, country: str, text: str) -> Sequence[float]:
    return survey.people[item.id, Group("USA")].probabilities


AGES = {"18-29": "18 to 29 years", "30-49": "30 to 49 years", "50+": "50 years old or older"}


def runner(tiny_survey: Survey, tiny_split: Split) -> Callable[..., tuple[AuditResult, Scripted]]:
    """Runs the audit on a rule's answers, each such run once."""

    def audit(
        rule: Rule, *, survey: Survey = tiny_survey, controls: bool = False, by_place: bool = False, **knobs: object
    ) -> tuple[AuditResult, Scripted]:
        audit = FirstToken(**({"draws": 200, "conditions": ("none", "country")} | knobs))  # type: ignore[arg-type]
        key = (rule, id(survey), controls, by_place, audit)
        if key not in done:
            asked = Scripted(survey, rule, by_place)
            done[key] = audit(context_of(asked, survey, tiny_split, controls)), asked
        return done[key]

    done: dict[object, tuple[AuditResult, Scripted]] = {}
    return audit


def value(result: AuditResult, name: str, condition: str = "country", group: str = "all") -> float:
    (found,) = (e for e in result.estimates if (e.name, e.condition, e.group) == (name, condition, group))
    return found.value


def units(p: dict[str, list[float]], q: dict[str, list[float]], **more: object) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": "i", "country": country, "age": "", "sex": "", "education": "", "condition": "country",
            "stratum": "held_out", "p": np.array(p[country]), "q": np.array(q[country]), "n": 100.0,
            "ordered": True, "positions": (0.0, 1.0), "option_mass": 1.0,
        } | more
        for country in p
    )  # fmt: skip
