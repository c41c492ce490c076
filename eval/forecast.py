"""What an audit will cost, said before it starts: it is rehearsed with an answerer that computes nothing and counts.

    >>> forecast = rehearse(audit, context)
    >>> forecast.sentence
    '1,824 prompts of 118,000 tokens, 38,211 of them distinct'

Exact where what is asked does not depend on the answers (first-token alignment, dilemmas); else what is asked after
answers of chance (a participant's memory, a person's type) has about the length of what will be asked. The rehearsal
calls the audit's `ask`, which does all its asking; an audit without one has no forecast.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from data.packing import pack
from data.prompts import OptionPrompt, Renderer
from eval.answers import Answerer, Asks, Costs, OptionAnswer, Progress, TextAnswer, TextRequest
from eval.context import AuditContext

LETTERS_A_TOKEN = 4  # where there is no tokenizer: English text has about four letters a token


@runtime_checkable
class Remembers(Protocol):
    """An answerer that knows what it has answered before."""

    def stored(self, prompts: Sequence[OptionPrompt], requests: Sequence[TextRequest]) -> int: ...


@runtime_checkable
class Paced(Protocol):
    """An answerer whose pace can be measured: distinct prompt tokens and generated tokens a second."""

    def pace(self, prompts: Sequence[OptionPrompt], requests: Sequence[TextRequest]) -> tuple[float, float]: ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """`prompts` closed questions and `texts` to be generated; `stored` of both have answers on disk already.

    `prompt_tokens` counts all prompts in full, `distinct_tokens` what has to be computed where beginnings are shared,
    `generated_tokens` is the most that the texts may have. `exact` is false where tokens are counted from letters.
    """

    prompts: int
    texts: int
    stored: int
    prompt_tokens: int
    distinct_tokens: int
    generated_tokens: int
    exact: bool

    @property
    def sentence(self) -> str:
        about = "" if self.exact else "about "
        parts = []
        if self.prompts or not self.texts:
            parts.append(f"{self.prompts:,} prompts")
        if self.texts:
            parts.append(f"{self.texts:,} texts of at most {self.generated_tokens:,} generated tokens")
        tokens = f"{about}{self.prompt_tokens:,} prompt tokens, {self.distinct_tokens:,} of them distinct"
        stored = f", {self.stored:,} answered before" if self.stored else ""
        return f"{' and '.join(parts)}, {tokens}{stored}"

    @property
    def about(self) -> str:
        """How `seconds` is to be read: texts end before their limit, so that with them it is a bound."""
        return "at most about" if self.generated_tokens else "about"

    def seconds(self, pace: tuple[float, float]) -> float:
        """At `pace` = (distinct prompt tokens a second, generated tokens a second), were all texts as long as they may
        be; NaN where a pace that counts is.
        """
        answered = self.stored / max(self.prompts + self.texts, 1)
        parts = [(self.distinct_tokens, pace[0]), (self.generated_tokens, pace[1])]
        return (1 - answered) * sum(tokens / speed for tokens, speed in parts if tokens)


@dataclass
class Rehearsal:
    """An answerer that gives even probabilities and shortest texts, and keeps what it was asked."""

    renderer: Renderer
    identity: str
    costs: Costs = field(default_factory=Costs)
    prompts: list[OptionPrompt] = field(default_factory=list)
    requests: list[TextRequest] = field(default_factory=list)
    distinct_tokens: int = 0

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        self._count([prompt.text for prompt in prompts])
        return [OptionAnswer(np.full(len(p.labels), 1 / len(p.labels)), 1.0) for p in prompts]

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        self.requests += requests
        self._count([request.text for request in requests])
        self.costs.generated_tokens += sum(request.max_tokens for request in requests)
        return [TextAnswer(_shortest(request), "stop", 1) for request in requests]

    def perplexity(self, texts: Sequence[str]) -> float:
        return float("nan")

    def _count(self, texts: Sequence[str]) -> None:
        if self.renderer.tokenizer is None:
            letters = sum(map(len, texts))
            self.costs.prompt_tokens += letters // LETTERS_A_TOKEN
            self.distinct_tokens += letters // LETTERS_A_TOKEN
        elif texts:
            sequences = self.renderer.encode(texts)
            self.costs.prompt_tokens += sum(map(len, sequences))
            self.distinct_tokens += sum(len(tree.tokens) for tree in pack(sequences, max(map(len, sequences)) + 2048))

    @property
    def forecast(self) -> Forecast:
        return Forecast(
            prompts=len(self.prompts),
            texts=len(self.requests),
            stored=self.costs.stored,
            prompt_tokens=self.costs.prompt_tokens,
            distinct_tokens=self.distinct_tokens,
            generated_tokens=self.costs.generated_tokens,
            exact=self.renderer.tokenizer is not None,
        )


def rehearse(audit: Any, context: AuditContext) -> Rehearsal | None:
    """The rehearsal of `audit.ask(context)`; None where the audit has no `ask`. Raises as `ask` does."""
    if not hasattr(audit, "ask"):
        return None
    answering = innermost(context.answerer)
    rehearsal = Rehearsal(context.renderer, answering.identity)
    asked = _around(context.answerer, rehearsal)
    audit.ask(replace(context, answerer=asked, progress=lambda what: lambda done, total: None))
    if isinstance(answering, Remembers):
        rehearsal.costs.stored = answering.stored(rehearsal.prompts, rehearsal.requests)
    return rehearsal


def innermost(answerer: Answerer) -> Answerer:
    """What answers in the end, where answerers ask one another."""
    return innermost(answerer.inner) if isinstance(answerer, Asks) else answerer


def _around(answerer: Answerer, rehearsal: Rehearsal) -> Answerer:
    return answerer.around(_around(answerer.inner, rehearsal)) if isinstance(answerer, Asks) else rehearsal


def _shortest(request: TextRequest) -> str:
    return json.dumps(instance(json.loads(request.schema))) if request.schema else "A"


def instance(schema: Mapping[str, Any]) -> Any:
    """A smallest value that fulfils a JSON schema of the kinds that audits use (const, enum, anyOf, object, array,
    string, number, integer, boolean, null). ValueError for another.
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", schema.get("properties", {}))
        return {name: instance(schema["properties"][name]) for name in required}
    if kind == "array":
        return [instance(schema["items"])] * schema.get("minItems", 0)
    plain = {"string": "x" * schema.get("minLength", 1), "boolean": True, "null": None}
    plain |= dict.fromkeys(("number", "integer"), schema.get("minimum", 0))
    if kind not in plain:
        raise ValueError(f"no smallest value is known for the JSON schema {dict(schema)!r}")
    return plain[kind]
