"""The words around a survey question in each language: instruction, persona sentences, names of countries.

    >>> frame("de").country("NOR")
    'Norwegen'

A language is a YAML file beside this module; every file has the same keys. English names come from `data.countries`,
those of other languages from Babel (Unicode CLDR). Sentences are built so that a name needs no article or preposition
that depends on it ("Mon pays de résidence : Norvège.").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pycountry
import yaml
from babel import Locale

from data.countries import country_name

_FOLDER = Path(__file__).parent
_WITH_ARTICLE = ("United ", "Netherlands", "Philippines", "Czech Republic", "Dominican Republic", "Maldives")


@dataclass(frozen=True)
class Fact:
    """How one demographic fact is said in the three persona styles; `{value}` stands for it."""

    question: str
    answer: str
    biography: str
    portrayal: str


@dataclass(frozen=True)
class Frame:
    """One language's words. `education` is None where a survey's own text is used as it is (English). `identity`,
    `described`, `average` and `born` (an average person's country) are what `eval.interventions.persona` says.
    """

    language: str
    name: str
    instruction: str
    question: str
    answer: str
    cue: str
    question_answer: str
    portrayal: str
    portrayal_joint: str
    biography_joint: str
    told: str
    identity: str
    described: str
    average: str
    born: str
    age_range: str
    age_open: str
    sex: Mapping[str, str]
    education: Mapping[str, str] | None
    facts: Mapping[str, Fact]

    def country(self, code: str) -> str:
        """The country's name as in a sentence: "the United States", "挪威". ValueError for an unknown code."""
        name = country_name(code)
        if self.language == "en":
            return f"the {name}" if name.startswith(_WITH_ARTICLE) else name
        known: Any = pycountry.countries.get(alpha_3=code)
        territory = Locale.parse(self.language).territories.get("XK" if known is None else known.alpha_2)
        if territory is None:
            raise ValueError(f"language {self.language!r} has no name for the country {code}")
        return str(territory)

    def value(self, field: str, value: str) -> str:
        """A group's country, age, sex or education in words. ValueError where this language has none for it."""
        if field == "country":
            return self.country(value)
        if field == "age":
            low, dash, high = value.partition("-")
            if dash:
                return self.age_range.format(low=low, high=high)
            return self.age_open.format(low=value[:-1]) if value.endswith("+") else self._own("age", value, {})
        return self._own(field, value, self.sex if field == "sex" else self.education or {})

    def _own(self, field: str, value: str, known: Mapping[str, str]) -> str:
        if value in known:
            return known[value]
        if self.language == "en":
            return f"{value} years old" if field == "age" else value
        raise ValueError(
            f"language {self.language!r} has no words for {field} {value!r}: add them to "
            f"{_FOLDER / self.language}.yaml; known: {', '.join(known) or 'bands such as 18-29 and 50+'}"
        )


def languages() -> tuple[str, ...]:
    """The languages that there is a frame for, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def frame(language: str) -> Frame:
    """The frame of a language. Raises ValueError naming the known ones."""
    if language not in languages():
        raise ValueError(f"no prompts in language {language!r}: there is a frame for {', '.join(languages())}")
    raw = yaml.safe_load((_FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return Frame(**{**raw, "language": language, "facts": {name: Fact(**fact) for name, fact in raw["facts"].items()}})
