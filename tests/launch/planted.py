"""A scripted trainer and the model that it leaves: answers planted among people who are made up, so that every effect
of an arm is known before it is measured.

The recipe `Planted` trains nothing; its knobs say what the cell's model answers, which the backend `Scripted` gives to
whatever it is asked. An answer is `pull` of the way from an even one to the people's, and of how far a country is from
the mean country it keeps `spread`: pull moves the distance to people and the dispersion within countries, pull x spread
the variation between them.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data.languages import frame
from data.models import ModelSpec
from data.prompts import Asking, OptionPrompt, Renderer
from data.records import AnswerDistribution, Group, Item, Survey
from eval.answer_store import AnswerStore
from eval.answers import Costs, Opened, OptionAnswer, Progress, TextAnswer, TextRequest
from launch.cells import read_cell
from launch.people import people
from train.recipes.none import NoTraining

HELD_COUNTRIES, TRAIN_COUNTRIES = ("BRA", "GHA", "IND", "JPN", "KEN", "MEX", "NOR", "SWE"), ("FRA", "ITA")
HELD_ITEMS, TRAIN_ITEMS = tuple(f"made/held{n}" for n in range(6)), ("made/seen0", "made/seen1")
MASS = 0.9


def made_people() -> Survey:
    """Eight questions of three or four options in ten countries, 2000 people each."""
    rng = np.random.default_rng(11)
    items, shares = [], []
    for number, name in enumerate((*HELD_ITEMS, *TRAIN_ITEMS)):
        options = ("Never", "Seldom", "Often", "Always")[: 3 + number % 2]
        items.append(Item(name, f"Is case {name} right?", options, False, "made"))
        common = rng.normal(0, 0.8, len(options))
        for country in (*HELD_COUNTRIES, *TRAIN_COUNTRIES):
            q = np.exp(common + rng.normal(0, 0.5, len(options)))
            shares.append(AnswerDistribution(name, Group(country), tuple((q / q.sum()).tolist()), 2000, 2000.0))
    return Survey(tuple(items), tuple(shares))


@dataclass(frozen=True)
class Planted(NoTraining):
    """`luck`: what training seed 0 adds to `pull` and seed 1 takes from it (seed 2: nothing), so that it adds up to no
    effect; `noise`: share of an answer that is chance, of every question, country and seed anew. `kin` tells
    trainings apart that are otherwise the same.
    """

    kin: int = 0
    pull: float = 0.3
    spread: float = 0.1
    luck: float = 0.002
    noise: float = 0.02


def answer(plant: Planted, own: np.ndarray, mean: np.ndarray, pull: float | None = None) -> np.ndarray:
    """What is answered for a country whose people are `own`, of all countries `mean`, without chance."""
    towards = plant.pull if pull is None else pull
    return (1 - towards) / len(own) + towards * (mean + plant.spread * (own - mean))


@dataclass(frozen=True)
class Scripted:
    """The backend: answers as the recipe of the cell has planted; a base as `Planted` does by default."""

    name: str = "scripted"

    @contextmanager
    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> Iterator[Opened]:
        config = read_cell(cell).config
        knobs = {knob: value for knob, value in config["recipe"].items() if knob != "_target_"}
        survey, _ = people(config["survey"])
        answerer = Model(Planted(**knobs), survey, f"{config['arm']} {config['seed']}", config["seed"])
        yield Opened(answerer, Renderer(replace(asking, style="native")), answerer.identity)


@dataclass
class Model:
    """Reads question, options and country off a prompt, and nothing else."""

    plant: Planted
    survey: Survey
    identity: str
    seed: int
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        self._pull = self.plant.pull + self.plant.luck * (1, -1, 0)[self.seed % 3]
        self._names = {country: frame("en").country(country) for country in self.survey.countries}

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        return [OptionAnswer(self._answer(prompt), MASS) for prompt in prompts]

    def _answer(self, prompt: OptionPrompt) -> np.ndarray:
        asked: str = json.loads(prompt.text)[-1]["content"]
        item = next(one for one in self.survey.items if asked.startswith(f"{one.question}\n"))
        shown = re.findall(r"^[A-Z]\. (.*)$", asked, re.MULTILINE)
        country = next(code for code, name in self._names.items() if name in asked)
        held = [np.array(self.survey.people[item.id, Group(one)].probabilities) for one in self.survey.countries]
        own = np.array(self.survey.people[item.id, Group(country)].probabilities)
        rng = np.random.default_rng(zlib.crc32(f"{self.identity} {item.id} {country}".encode()))
        meant = answer(self.plant, own, np.mean(held, axis=0), self._pull)
        p = (1 - self.plant.noise) * meant + self.plant.noise * rng.dirichlet(np.ones(len(own)))
        return np.array([p[item.options.index(option)] for option in shown])

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        raise NotImplementedError("the scripted model chooses and does not write")

    def perplexity(self, texts: Sequence[str]) -> float:
        return 9.0
