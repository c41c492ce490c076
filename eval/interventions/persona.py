"""Persona and cultural prompts: who answers is an identity in the system turn, instead of a sentence by the question.

    persona_prompt     "You are a person who lives in Norway and is 18 to 29 years old. Answer as that person would."
    cultural_prompt    "You are an average human being who was born in Norway and lives there. Answer as …"

The second after Tao et al. 2024 (PNAS Nexus 3(9), pgae346, "Cultural bias and cultural alignment of large language
models"), who tell the model to answer as an average human being born in and living in a country; the wording is ours,
and facts beside the country that an audit states (age, sex, education) are added, since its answers are held against
these people. First-token alignment and DEF state groups; MARK describes a person in the question, so that the system
turn of its answers (not of its psychologist's stages) says that this is who answers. The dilemmas state nobody and are
asked as without. In all languages of `data.languages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.languages import Frame
from data.prompts import Renderer
from data.records import Group
from eval.interventions import Unchanged


@dataclass(frozen=True)
class PersonaPrompt(Unchanged):
    """You are that person: all the facts that an audit states."""

    def renderer(self, renderer: Renderer) -> Renderer:
        return renderer.stating(self)

    def of_group(self, group: Group, fields: Sequence[str], words: Frame) -> str:
        said = [words.facts[name].portrayal.format(value=words.value(name, getattr(group, name))) for name in fields]
        return words.identity.format(facts=words.portrayal_joint.join(said))

    def of_described(self, place: str, words: Frame) -> str:
        return words.described


@dataclass(frozen=True)
class CulturalPrompt(PersonaPrompt):
    """You are an average human being of that country."""

    def of_group(self, group: Group, fields: Sequence[str], words: Frame) -> str:
        said = [
            words.born.format(value=words.country(group.country))
            if name == "country"
            else words.facts[name].portrayal.format(value=words.value(name, getattr(group, name)))
            for name in fields
        ]
        return words.average.format(facts=words.portrayal_joint.join(said))

    def of_described(self, place: str, words: Frame) -> str:
        return words.average.format(facts=words.born.format(value=place)) if place else ""
