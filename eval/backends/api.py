"""Models behind an OpenAI-compatible API: GPT-4o, Claude, DeepSeek, Qwen, or a server of your own (vLLM, llama.cpp).

A served model has no weights that could be hashed: what answers is known by name and address alone, and whoever serves
it may change it behind that name. Fix a dated model name, or `model.revision` to tell one time of asking from another.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from data.models import ModelSpec
from data.prompts import Asking, Renderer
from data.served import SERVED, served_weights
from eval.answer_store import AnswerStore
from eval.answers import Opened
from eval.backends.api_client import Client, is_here
from eval.backends.served import ServedAnswerer
from eval.backends.wire import Wire


@dataclass(frozen=True)
class OpenAICompatible:
    """A server at `base_url` whose key is in the environment variable `api_key_env` (a server on this machine needs
    none). `concurrency`, `timeout`, `retries`, `longest_wait`: see `eval.backends.api_client.Client`; `logprobs`,
    `samples`, `prices`: see `eval.backends.served.ServedAnswerer`; `top_logprobs`, `extra`: see
    `eval.backends.wire.Wire`. `prices` are {input, output, currency}, for a million tokens; None where not known.
    """

    served: ClassVar[bool] = True

    name: str = "api"
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 6
    longest_wait: float = 60.0
    logprobs: Literal["auto", "top", "sample"] = "auto"
    top_logprobs: int = 20
    samples: int = 20
    prices: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self._client("")
        if self.api_key_env and not re.fullmatch(r"[A-Za-z_]\w*", self.api_key_env, re.ASCII):
            raise ValueError("api_key_env must be the name of an environment variable that holds the key, not the key")
        for name, value in (("top_logprobs", self.top_logprobs), ("samples", self.samples)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        prices = self.prices or {}
        amounts = [prices.get("input"), prices.get("output")]
        if prices and (set(prices) != {"input", "output", "currency"} or not all(map(_is_price, amounts))):
            wanted = "{input: 2.5, output: 10, currency: USD}, for a million tokens"
            raise ValueError(f"prices must be null or like {wanted}, got {dict(prices)}")

    def check(self, spec: ModelSpec, asking: Asking) -> None:
        """Raise ValueError (no template, no name) or PermissionError (no key) for what is known to fail."""
        if not spec.served:
            raise ValueError(
                f"backend.name={self.name} asks a served model: model.source must be api:NAME, got {spec.source!r}"
            )
        if asking.style == "chat":
            raise ValueError(
                "prompt.style chat needs the model's own template, which a served model keeps to itself: "
                "set prompt=native (the server applies it) or prompt=completion"
            )
        self._client(self._key())

    @contextmanager
    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> Iterator[Opened]:
        self.check(spec, asking)
        weights = served_weights(spec.source, spec.revision, self.base_url)
        renderer = Renderer(asking)
        wire = Wire(spec.source.removeprefix(SERVED), renderer, self.top_logprobs, self.extra or {})
        client = self._client(self._key())
        answerer = ServedAnswerer(client, wire, weights, store, self.logprobs, self.samples, self.prices or {})
        yield Opened(answerer, renderer, weights)

    def _client(self, key: str) -> Client:
        return Client(self.base_url, key, self.concurrency, self.timeout, self.retries, self.longest_wait)

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        if self.api_key_env and not key and not is_here(self.base_url):
            missing = PermissionError(
                f"the environment variable {self.api_key_env} is not set: it must hold the key for {self.base_url} "
                "(backend.api_key_env names another; empty: the server needs none)"
            )
            missing.errno = errno.EACCES  # nothing is wrong with the cell: the same command with the key goes on
            raise missing
        return key


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
