"""Scripted models of the made-up world (`known_world`): each answers every question of all four audits by one rule.

    perfect people    a group's people as they are; of a person, all who fit what is said of them; stable choices
    uniform           every option alike, whatever is said: also the model that ignores what it is told
    people's mode     the most frequent answer of the country; in dilemmas always the likelier action
    US everywhere     the people of the United States, whoever is asked about
    first place       whatever stands first;   0.7 first place   that with 0.7, else perfect people
    follower          does as it is told, turns where it is pushed; even where it is told nothing
    drifting          P(action 0) = 0.6 - 0.03 for each exchange before the question
    place reader      perfect people where a place is named, else even;   rememberer   where it remembers an answer
    parochial         perfect people in English where the persona is a biography, else even
    second thoughts   perfect people, but takes back its choice of an action in the last wording and the compared form,
                      and as a person what the leading function, which stress harms, has answered

A prompt is rendered in native style (its messages as JSON), so that it can be read (`read`) as a model would.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from known_world import (
    ACTIONS,
    AGES,
    COUNTRIES,
    DILEMMAS,
    PEOPLE,
    PERSON_SPLIT,
    PERSONS,
    SPLIT,
    STRENGTHS,
    stable,
)

from data.languages import frame
from data.places import PLACES
from data.prompts import LETTERS, Asking, OptionPrompt, Renderer
from data.records import Group, Item, Survey
from eval.answers import Costs, OptionAnswer, Progress, TextAnswer, TextRequest
from eval.context import AuditContext
from eval.mark.functions import FUNCTIONS

MASS = 0.8
DRIFT = (0.6, -0.03)
Shares = Mapping[str, float]
_OPTION = re.compile(r"^[A-Z]\. (.*)$", re.MULTILINE)
_COMPARED = re.compile(r'Do you prefer "(.*?)" over "(.*?)"\?')
_TOLD = (
    r"Most people here answer: (.*)",
    r"All people there answer: (.*)\.",
    r'answered this question before with: "(.*?)"',
)


@dataclass(frozen=True)
class Asked:
    """A prompt as it is read: the `question` that shows the `options`, what was said `before` it and `since`, as
    (user, assistant) and (assistant, user).
    """

    system: str
    question: str
    options: tuple[str, ...]
    before: tuple[tuple[str, str], ...]
    since: tuple[tuple[str, str], ...]

    @cached_property
    def text(self) -> str:
        """What is said beside the dialogue: the system turn and the question."""
        return f"{self.system}\n{self.question}"

    @cached_property
    def item(self) -> Item | None:
        """The survey item that is asked, as worded."""
        for item in (*PEOPLE.items, *PERSONS.items):
            for language in item.languages:
                worded = item.in_language(language)
                if self.question.startswith(f"{worded.question}\n"):
                    return worded
        return None

    @cached_property
    def facts(self) -> dict[str, str]:
        """What is said of the person: country, age, sex and education, as far as it is."""
        found = dict(re.findall(r"\b(country|age|sex|education): ([^,;.()\n]+?)(?= \(|[,;.\n]|$)", self.question))
        for language in ("en", "fr"):
            words = frame(language)
            about = {"country": COUNTRIES, "age": AGES}
            for name, values in about.items():
                for value in values:
                    if words.value(name, value) in self.text:
                        found[name] = value
        return found

    @cached_property
    def told(self) -> str:
        """The option that the prompt suggests, "" for none."""
        for user, letter in self.before:
            if user == self.question:
                return self.options[LETTERS.index(letter[0])]
        found = [match[1] for pattern in _TOLD if (match := re.search(pattern, self.text))]
        return found[0] if found else ""


def read(text: str, labels: Sequence[str] = ()) -> Asked:
    """A native prompt; `labels` are the options of a question that shows none."""
    messages = json.loads(text)
    system = next((m["content"] for m in messages if m["role"] == "system"), "")
    said = [m["content"] for m in messages if m["role"] != "system"]
    asks = [place for place in range(0, len(said), 2) if _OPTION.search(said[place])]
    at = asks[-1] if asks else len(said) - 1
    options = tuple(_OPTION.findall(said[at])) or tuple(labels)
    pairs = [tuple(zip(part[::2], part[1::2], strict=True)) for part in (said[:at], said[at + 1 :])]
    return Asked(system, said[at], options, pairs[0], pairs[1])


def even(asked: Asked) -> Shares:
    return {option: 1 / len(asked.options) for option in asked.options}


def people(asked: Asked) -> Shares:
    """What people answer, and what a stable chooser and a psychologist of one mind do."""
    if asked.item is not None:
        return dict(zip(asked.item.options, _people(asked.item, asked.facts), strict=True))
    return _dilemma(asked, stable) or _psychologist(asked)


def mode(asked: Asked) -> Shares:
    if asked.item is not None:
        facts = {"country": asked.facts["country"]} if "country" in asked.facts else {}
        q = _people(asked.item, facts)
        return {option: float(place == int(np.argmax(q))) for place, option in enumerate(asked.item.options)}
    return _dilemma(asked, lambda a, b: float(STRENGTHS[a] > STRENGTHS[b])) or _psychologist(asked)


def american(asked: Asked) -> Shares:
    if asked.item is not None:
        return dict(zip(asked.item.options, _people(asked.item, {"country": "USA"}), strict=True))
    return people(asked)


def follow(asked: Asked) -> Shares:
    if asked.told:
        return {option: float(option == asked.told) for option in asked.options}
    if asked.since:
        letter, reply = asked.since[-1]
        last = asked.options[LETTERS.index(letter)]
        return {option: float((option == last) == reply.startswith("I agree")) for option in asked.options}
    if found := re.search(r"Above all you value ([a-z-]+):", asked.system):
        return {option: float(option == f"Act for {found[1].replace('-', '_')}") for option in asked.options}
    return even(asked)


def drift(asked: Asked) -> Shares:
    start, slope = DRIFT
    return _dilemma(asked, None, start + slope * len(asked.before))


def local(asked: Asked) -> Shares:
    return (
        people(asked) if any(f"{place} in" in asked.text for both in PLACES.values() for place in both) else even(asked)
    )


def remember(asked: Asked) -> Shares:
    return people(asked) if asked.before else even(asked)


def parochial(asked: Asked) -> Shares:
    plain = asked.item is not None and asked.item.language == "en" and ("I live in" in asked.text or not asked.facts)
    return people(asked) if plain else even(asked)


def second_thoughts(asked: Asked) -> Shares:
    if asked.item is not None:
        meant = people(asked)
        shown = asked.item.options
        turned = "Think again" in asked.question
        return {option: meant[shown[place - turned]] for place, option in enumerate(shown)}
    if "Does stress harm" in asked.question or "Does the answer fit" in asked.question:
        harm = "Does stress harm" in asked.question
        leads = (FUNCTIONS["Ni"].normal if harm else FUNCTIONS["Ni"].stressed) in asked.question
        return {"Yes": float(harm == leads), "No": float(harm != leads)}
    turned = "told in way 2" in asked.question or _COMPARED.search(asked.question) is not None
    return _dilemma(asked, lambda a, b: 1 - stable(a, b) if turned else stable(a, b)) or _psychologist(asked)


def _people(item: Item, facts: Mapping[str, str]) -> Sequence[float]:
    """Shares in the item's own order of all whom the facts fit; where no country is stated, of all countries alike."""
    if item.id in PERSONS.by_id:
        fit = [
            person.answers[item.id]
            for person in PERSONS.respondents
            if all(({"country": person.group.country} | dict(person.features))[name] == facts[name] for name in facts)
        ]
        return [fit.count(option) / len(fit) for option in range(len(item.options))]
    countries = [facts["country"]] if "country" in facts else COUNTRIES
    groups = [PEOPLE.people[item.id, Group(country, facts.get("age", ""))] for country in countries]
    return np.mean([group.probabilities for group in groups], axis=0).tolist()


def _dilemma(asked: Asked, choice: Callable[[str, str], float] | None, p: float = math.nan) -> Shares:
    """The shares of the two actions, {} where none are shown: by `choice` of values, or `p` for the dilemma's first."""
    compared = _COMPARED.search(asked.question)
    shown = list(compared.groups()) if compared else re.findall(r"^(?:[A-Z]\.|-) (Act for \w+)$", asked.question, re.M)
    if not shown:
        return {}
    if choice is None:
        dilemma = DILEMMAS[int(re.findall(r"Case (\d+)", asked.question)[0])]
        first = p if shown[0] == dilemma.wordings["en"].actions[0] else 1 - p
    else:
        first = choice(ACTIONS[shown[0]], ACTIONS[shown[1]])
    named = ("Yes", "No") if compared else shown
    return {named[0]: first, named[1]: 1 - first}


def _psychologist(asked: Asked) -> Shares:
    """Sex causes stress of 90, any other fact 10; Ni leads and Te supports it; no harm; every answer fits."""
    wanted = ["90" if "Fact: sex" in asked.question else "10", FUNCTIONS["Ni"].normal, FUNCTIONS["Te"].normal]
    wanted += ["No" if "Does stress harm" in asked.question else "Yes"]
    best = next(option for option in wanted if option in asked.options)
    return {option: float(option == best) for option in asked.options}


@dataclass
class Model:
    """An answerer. `meaning` gives the shares of the options shown, `bias` is the share of answers by place alone."""

    identity: str
    meaning: Callable[[Asked], Shares]
    bias: float = 0.0
    speech: str = ""
    costs: Costs = field(default_factory=Costs)

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        return [OptionAnswer(self.chooses(read(prompt.text, prompt.labels)), MASS) for prompt in prompts]

    def chooses(self, asked: Asked) -> np.ndarray:
        meant = self.meaning(asked)
        p = np.array([meant[option] for option in asked.options])
        p *= 1 - self.bias
        p[0] += self.bias
        return p

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        return [TextAnswer(self.writes(request), "stop", 9) for request in requests]

    def writes(self, request: TextRequest) -> str:
        """An option drawn by the rule: its letter and `speech`, in words where none is lettered, or JSON."""
        shown = re.findall(r"\\n- (Act for \w+)", request.text)
        asked = read(request.text, shown)
        if request.schema:
            return json.dumps(self._filled(json.loads(request.schema), asked))
        rng = np.random.default_rng([zlib.crc32(request.text.encode()), request.seed, request.repeat])
        p = self.chooses(asked)
        drawn = int(rng.choice(len(p), p=p / p.sum()))
        return asked.options[drawn] if shown else f"{LETTERS[drawn]}. {self.speech}".strip()

    def _filled(self, schema: Mapping[str, object], asked: Asked) -> dict[str, object]:
        """A MARK text: as `_psychologist` judges; weights 80, 60, 40, 20 by rank; citing Ni and sex."""
        names: Iterable[str] = schema["properties"]  # type: ignore[assignment]
        rank = re.search(r"The person's (\w+) way", asked.question)
        weight = {"dominant": 80, "auxiliary": 60, "tertiary": 40, "inferior": 20}
        known = {
            **{name: {"reason": _WORDS, "stress": 90 if name == "sex" else 10} for name in (*_FACTS, "country")},
            **{"reason": _WORDS, "explanation": _WORDS, "functions": "Ni-Te", "impact": "positive", "fits": "yes"},
            **{"function": "Ni", "fact": "sex", "weight": weight[rank[1]] if rank else 1},
            "option": LETTERS[int(np.argmax(self.chooses(asked)))] if asked.item else "A",
        }
        return {name: known[name] for name in names}

    def perplexity(self, texts: Sequence[str]) -> float:
        return 7.0


_WORDS, _FACTS = "A plain reason in words.", ("age", "sex", "education")
MODELS: Mapping[str, Callable[[], Model]] = {
    name: partial(Model, name, *rest)
    for name, rest in {
        "perfect people": (people,),
        "uniform": (even,),
        "people's mode": (mode,),
        "US everywhere": (american,),
        "first place": (even, 1.0),
        "0.7 first place": (people, 0.7),
        "follower": (follow,),
        "drifting": (drift,),
        "place reader": (local,),
        "rememberer": (remember,),
        "parochial": (parochial,),
        "second thoughts": (second_thoughts,),
    }.items()
}


def context(model: str | Model, survey: Survey = PEOPLE) -> AuditContext:
    """What an audit is given to ask the model (of that name), controls and all."""
    split = PERSON_SPLIT if survey is PERSONS else SPLIT
    answerer, renderer = MODELS[model]() if isinstance(model, str) else model, Renderer(Asking(style="native"))
    silent = lambda what: lambda done, total: None  # noqa: E731
    return AuditContext(answerer, renderer, survey, split, DILEMMAS, 0, None, silent, controls=True)
