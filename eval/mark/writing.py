"""How MARK has texts written: JSON that fulfils a schema, asked again with another seed where it does not.

    >>> writer.write([Wanted("S2 type", "NOR-1", "NOR-1", "You are ...", "Person: ...", schema)])[0].value
    {'reason': 'plans far ahead', 'functions': 'Ni-Te'}

A backend that enforces schemas cannot write another form; a text may still be cut off at its limit of tokens, and a
server may not enforce what it was sent. Every text is therefore checked here; one that fails to the last attempt is
kept and counted, and no value is made up for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

from data.files import digest
from data.records import Turn
from eval.answers import TextRequest
from eval.context import AuditContext

Schema = Mapping[str, Any]
LEAST_LETTERS = 15


@dataclass(frozen=True, slots=True)
class Decoding:
    """`retries` follow a text that fails its schema; at temperature 0 there are none, for they would write the same.
    `reason_letters` is the most that a reason may have.
    """

    temperature: float
    retries: int
    reason_letters: int

    @property
    def attempts(self) -> int:
        return 1 + (self.retries if self.temperature > 0 else 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One text about a person. `who` (respondent, item, ...) makes the randomness of equal prompts differ. `before` is
    what an earlier turn of the model's own wrote to the same `text` ("": there is none). `place` as in
    `eval.mark.asking.Question`.
    """

    stage: str
    person: str
    who: str
    system: str
    text: str
    schema: Schema
    before: str = ""
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """`value` fulfils the schema, or is None where no attempt did; `text` is the last attempt's, `prompt` as it was
    tokenised.
    """

    stage: str
    person: str
    who: str
    prompt: str
    text: str
    attempts: int
    value: Mapping[str, Any] | None

    @property
    def evidence(self) -> dict[str, object]:
        return {"stage": self.stage, "text": self.prompt, "written": self.text, "attempts": self.attempts}


@dataclass(frozen=True)
class Writer:
    """Writes for many at once, each attempt in one batch; `log` keeps every text's last attempt."""

    context: AuditContext
    decoding: Decoding
    log: list[Written] = field(default_factory=list)

    def write(self, wanted: Sequence[Wanted]) -> list[Written]:
        """In the order of `wanted`."""
        found: dict[int, Written] = {}
        waiting = list(range(len(wanted)))
        for attempt in range(self.decoding.attempts):
            if not waiting:
                break
            requests = [self._request(wanted[place], attempt) for place in waiting]
            answers = self.context.answerer.generate(requests, self.context.progress(f"mark {wanted[0].stage}"))
            for place, request, answer in zip(waiting, requests, answers, strict=True):
                one = wanted[place]
                value = fulfilled(answer.text, one.schema)
                found[place] = Written(one.stage, one.person, one.who, request.text, answer.text, attempt + 1, value)
            waiting = [place for place in waiting if found[place].value is None]
        texts = [found[place] for place in range(len(wanted))]
        self.log.extend(texts)
        return texts

    def rng(self, *names: str) -> np.random.Generator:
        """The randomness of what is shown (orders of options and lists) to whom `names` say."""
        return np.random.default_rng(self._seed(names))

    def _request(self, one: Wanted, attempt: int) -> TextRequest:
        earlier = [Turn("user", one.text), Turn("assistant", one.before)] if one.before else []
        renderer = self.context.renderer
        system = one.system if one.place is None else renderer.described(one.system, one.place)
        return TextRequest(
            renderer.dialogue([Turn("system", system), *earlier, Turn("user", one.text)]),
            max_tokens=room(one.schema),
            temperature=self.decoding.temperature,
            schema=json.dumps(one.schema),
            seed=self._seed((one.stage, one.who)),
            repeat=attempt,
        )

    def _seed(self, names: Sequence[str]) -> int:
        return int(digest([self.context.seed, *names])[:7], 16)


def fulfilled(text: str, schema: Schema) -> Mapping[str, Any] | None:
    """The object that `text` is, where it is JSON that fulfils the schema; else None."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if Draft202012Validator(schema).is_valid(value) else None


def room(schema: Schema) -> int:
    """Tokens that a text of this schema may have: one for two letters of free text, which is twice what English needs,
    and 16 a field for its name and marks.
    """
    if schema.get("type") == "object":
        return 16 + sum(16 + room(part) for part in schema["properties"].values())
    return int(schema.get("maxLength", 0)) // 2


def record(**fields: Schema) -> Schema:
    """The schema of an object with exactly these fields, in this order. A reason stands before what it is for, so that
    the verdict is written after it.
    """
    return {"type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}


def words(letters: int) -> Schema:
    """Free text of `LEAST_LETTERS` to `letters`, which begins with a letter and holds no marks of code: small models
    else write a placeholder such as "{reason}".
    """
    pattern = r"^[A-Za-z][^{}\[\]<>\\_=|]*$"
    return {"type": "string", "minLength": LEAST_LETTERS, "maxLength": letters, "pattern": pattern}


def number(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def one_of(options: Sequence[str]) -> Schema:
    return {"type": "string", "enum": list(options)}
