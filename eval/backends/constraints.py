"""Structured output: which tokens may come next so that a text fulfils a JSON schema.

The grammar engine is llguidance (Rust; the one behind guidance and one of vLLM's), over the bytes of the model's own
vocabulary. JSON is written without white space between its parts. A text that ended ("stop") parses and validates; one
cut by its token limit does not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerFast


class Constraints:
    """Schemas for one tokenizer, each compiled once. `vocabulary` is the width of the model's logits, `ends` the tokens
    that end a text.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ValueError(f"structured output needs a fast tokenizer, got {type(tokenizer).__name__}")
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=max(vocabulary, len(tokenizer)), eos_token=list(ends))
        self._vocabulary = vocabulary
        self._compiled: dict[str, LLMatcher] = {}

    def start(self, schema: str) -> Constraint:
        """The constraint of a new text. Raises ValueError for what is no JSON schema object, for parts of a schema that
        are not supported (named in the message) and for one that no text fulfils.
        """
        if schema not in self._compiled:
            self._compiled[schema] = self._compile(schema)
        return Constraint(self._compiled[schema].deep_copy(), self._vocabulary, schema)

    def _compile(self, schema: str) -> LLMatcher:
        shown = schema if len(schema) <= 200 else f"{schema[:200]}…"
        try:
            content = json.loads(schema)
        except json.JSONDecodeError as error:
            raise ValueError(f"the schema is not JSON ({error}): {shown}") from error
        if not isinstance(content, dict):
            raise ValueError(f"a schema must be a JSON object, got {type(content).__name__}: {shown}")
        grammar = LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        )
        refused, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
        if refused:
            raise ValueError(f"the schema cannot be enforced: {'; '.join(messages)}: {shown}")
        return LLMatcher(self._tokenizer, grammar)


class Constraint:
    """The state of one text under a schema."""

    def __init__(self, matcher: LLMatcher, vocabulary: int, schema: str) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._schema = schema

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, shape (vocabulary,); an end token exactly where the text fulfils the schema."""
        mask = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8)[: self._vocabulary] > 0
        self._check()
        if not mask.any():
            raise ValueError(f"no token of this model continues a text that fulfils the schema {self._schema}")
        return mask

    def take(self, token: int) -> bool:
        """Go on with a token that was allowed; True where the text fulfils the schema and nothing can follow."""
        self._matcher.consume_token(token)
        self._check()
        return self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise ValueError(f"the schema cannot be followed further: {self._matcher.get_error()}: {self._schema}")
