"""Persona and cultural prompts in every audit that states who answers; training prompts are as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from known_models import Model, context, people
from known_world import DILEMMAS, PEOPLE, PERSONS

from data.languages import frame, languages
from data.prompts import Asking, Renderer
from data.records import Group
from eval.context import AuditContext
from eval.dilemmas.audit import EthicalDilemmas
from eval.distances import js_distance
from eval.diversity_enhanced.audit import DiversityEnhanced
from eval.first_token.audit import FirstToken
from eval.interventions import Unchanged
from eval.interventions.persona import CulturalPrompt, PersonaPrompt
from eval.mark.audit import Mark

PLAIN = "You answer survey questions. Reply with the letter of one option only."
PERSON = "You are a person who lives in {country}. Answer as that person would."
AVERAGE = "You are an average human being who was born in {country} and lives there. Answer as such a person would."
SAID = [(PersonaPrompt(), PERSON), (CulturalPrompt(), AVERAGE)]
DESCRIBED = "You are the person described. Answer as that person would."


@dataclass
class Recorder(Model):
    """Perfect people who keep what they were asked."""

    asked: list[list[dict[str, str]]] = field(default_factory=list)

    def score(self, prompts: Sequence, progress: object = None) -> list:
        self.asked += [json.loads(prompt.text) for prompt in prompts]
        return super().score(prompts)

    def generate(self, requests: Sequence, progress: object = None) -> list:
        self.asked += [json.loads(request.text) for request in requests]
        return super().generate(requests)


def intervened(intervention: Unchanged, audit: str = "") -> tuple[AuditContext, Recorder]:
    recorder = Recorder("recorder", people)
    plain = context(recorder, PERSONS if audit == "mark" else PEOPLE)
    renderer, answerer = intervention.renderer(plain.renderer), intervention.answerer(plain.answerer)
    return replace(plain, renderer=renderer, answerer=answerer), recorder


def systems(recorder: Recorder) -> set[str]:
    return {messages[0]["content"] for messages in recorder.asked if messages[0]["role"] == "system"}


@pytest.mark.parametrize(("intervention", "said"), SAID)
def test_first_token_states_an_identity_in_place_of_the_persona(intervention: Unchanged, said: str) -> None:
    asking, recorder = intervened(intervention)
    FirstToken(("none", "country", "country+age"), draws=20).ask(asking)
    found = systems(recorder)
    countries = ("Brazil", "Ghana", "India", "Norway")
    assert {PLAIN, *(f"{PLAIN} {said.format(country=country)}" for country in countries)} <= found
    facts = said.format(country="Norway").partition(".")[0]
    assert any(f"{facts} and is 18 to 29 years old." in system for system in found)
    assert not any("I live in" in messages[-1]["content"] for messages in recorder.asked)
    control = next(system for system in found if "Most people here answer" in system)
    assert control.startswith(f"{PLAIN} You are a")


@pytest.mark.parametrize(("intervention", "said"), SAID)
def test_simulated_survey_takers_have_their_place_in_it(intervention: Unchanged, said: str) -> None:
    asking, recorder = intervened(intervention)
    DiversityEnhanced(participants=2, items=2, draws=20).ask(asking)
    found = systems(recorder)
    assert any(re.fullmatch(re.escape(f"{PLAIN} {said}").replace(r"\{country\}", r"\w+ in Norway"), s) for s in found)
    assert all("You are a" in system for system in found)
    assert not any("I live in" in system for system in found)


@pytest.mark.parametrize("answering", ["choice", "generation"])
@pytest.mark.parametrize(("intervention", "said"), [(PersonaPrompt(), DESCRIBED), (CulturalPrompt(), AVERAGE)])
def test_mark_s_answers_are_the_person_s_and_its_psychologist_stays(
    intervention: Unchanged, said: str, answering: str
) -> None:
    asking, recorder = intervened(intervention, "mark")
    Mark(answering=answering, respondents=8).ask(asking)
    for messages in recorder.asked:
        system, text = messages[0]["content"], messages[-1]["content"]
        answers = system.startswith("You say how the person described answers")
        country = re.search(r"country: (\w+)", text)
        place = country[1] if country else ""
        stated = answers and "Person:" in text and bool(place or said == DESCRIBED)
        assert system.endswith(said.format(country=place)) == stated, (system, text)
    assert any("careful psychologist" in system for system in systems(recorder))
    answered = [m for m in recorder.asked if "You say how" in m[0]["content"] and "Person:" in m[-1]["content"]]
    assert any("country:" not in messages[-1]["content"] for messages in answered)  # the feature that was taken away
    assert any("Person:" not in m[-1]["content"] for m in recorder.asked if "You say how" in m[0]["content"])


@pytest.mark.parametrize("intervention", [PersonaPrompt(), CulturalPrompt()])
def test_dilemmas_state_nobody_and_are_asked_as_without(intervention: Unchanged) -> None:
    asked = []
    for one in (Unchanged(), intervention):
        asking, recorder = intervened(one)
        EthicalDilemmas(dilemmas=4).ask(asking)
        asked.append(recorder.asked)
    assert asked[0] == asked[1]
    assert len(DILEMMAS) > 4


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("intervention", [PersonaPrompt(), CulturalPrompt()])
def test_every_language_has_words_for_it(intervention: PersonaPrompt, language: str) -> None:
    asking = Asking("native", language=language)
    renderer = intervention.renderer(Renderer(asking))
    item = PEOPLE.items[0]
    said = renderer.persona(Group("NOR", "18-29", "female"), "country+age+sex")
    words = frame(language)
    assert words.country("NOR") in said
    assert all(words.value(name, value) in said for name, value in (("age", "18-29"), ("sex", "female")))
    assert "{" not in said
    assert said != Renderer(asking).persona(Group("NOR", "18-29", "female"), "country+age+sex")
    assert renderer.persona(Group("NOR"), "none") == ""
    with pytest.raises(ValueError, match="needs 'sex'"):
        renderer.persona(Group("NOR"), "country+sex")
    if language in item.languages:
        messages = json.loads(renderer.survey(item, range(4), Group("NOR"), "country").text)
        assert words.country("NOR") in messages[0]["content"]
        assert words.country("NOR") not in messages[1]["content"]


def test_another_language_keeps_the_identity_and_a_named_style_replaces_it() -> None:
    renderer = PersonaPrompt().renderer(Renderer(Asking("native")))
    assert renderer.in_language("zh").persona(Group("NOR"), "country") == "你是一个住在挪威的人。请像这个人那样回答。"
    assert renderer.in_style("biography").persona(Group("NOR"), "country") == "I live in Norway."
    group = Group("NOR")
    one, other = (renderer.in_style(style).survey(PEOPLE.items[0], range(4), group, "country") for style in
                  ("biography", "portrayal"))  # fmt: skip
    assert one.text != other.text


def test_a_perfect_reader_answers_as_well_with_either() -> None:
    for intervention, _ in SAID:
        asking, _ = intervened(intervention)
        items = FirstToken(("country", "country+age"), draws=20).ask(asking).items
        for row in items[~items["condition"].str.startswith("control")].itertuples():
            assert js_distance(row.p, row.q) < 1e-9


def test_without_an_intervention_nothing_is_touched() -> None:
    asking, recorder = intervened(Unchanged())
    assert asking.answerer is recorder
    assert asking.renderer.statement is None
