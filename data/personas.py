"""Who answers, in words: the sentence of a group's facts that a prompt states, and statements in words of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from data.languages import Frame, frame
from data.records import Group

PERSONAS = ("portrayal", "biography", "question_answer")
FIELDS = ("country", "age", "sex", "education")


class Statement(Protocol):
    """Who answers, said in the system turn in words of its own (`Renderer.stating`)."""

    def of_group(self, group: Group, fields: Sequence[str], words: Frame) -> str:
        """States these fields of `group` (among FIELDS, all known there)."""
        ...

    def of_described(self, place: str, words: Frame) -> str:
        """Of a person whom the question itself describes; `place` is the country's name, "" where it is not stated."""
        ...


def persona(group: Group, condition: str, style: str = "biography", language: str = "en") -> str:
    """The sentence that states who answers: the fields of `group` that `condition` names, e.g. "country+age".

    "none" states nobody. Styles after Santurkar et al. 2023 (OpinionQA): portrayal, biography, question and answer.
    Raises ValueError for a field that is unknown or empty in `group`, and for a value that `language` has no words for.
    """
    fields, words = stated_fields(group, condition), frame(language)
    if not fields:
        return ""
    facts = [(words.facts[name], words.value(name, getattr(group, name))) for name in fields]
    if style == "question_answer":
        return "\n".join(
            words.question_answer.format(question=fact.question, answer=fact.answer.format(value=value))
            for fact, value in facts
        )
    if style == "biography":
        return words.biography_joint.join(fact.biography.format(value=value) for fact, value in facts)
    said = words.portrayal_joint.join(fact.portrayal.format(value=value) for fact, value in facts)
    return words.portrayal.format(facts=said)


def stated_fields(group: Group, condition: str) -> tuple[str, ...]:
    """The fields that a condition states, () for "none". ValueError for one that is unknown or empty in `group`."""
    fields = () if condition == "none" else tuple(condition.split("+"))
    for name in fields:
        if name not in FIELDS or not getattr(group, name):
            raise ValueError(f"condition {condition!r} needs {name!r}, which group {group.label!r} does not have")
    return fields


def place_name(country: str) -> str:
    """The country's English name as it stands in a sentence: "the United States", "Norway"."""
    return frame("en").country(country)
