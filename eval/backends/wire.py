"""What is sent to an OpenAI-compatible server for a prompt, and what its reply says: no network here.

Three ways to send a prompt: as messages (style `native`: the server applies its own chat template), as rendered text,
or, where the tokenizer is here, as token ids, so that nothing is tokenised twice or differently.

Log-probabilities are asked for at temperature 1 and top_p 1. What a server reports is either the model's own
distribution, whatever the temperature (OpenAI, vLLM's `raw_logprobs`, llama.cpp), or that after temperature and top_p
(SGLang, some gateways); at 1 and 1 both are the model's own. The token drawn beside them is not used. max_tokens is 1
and never 0, at which llama.cpp's server generates without end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.files import digest
from data.options import FORMS, OptionTokens
from data.prompts import OptionPrompt, Renderer
from eval.answers import OptionAnswer, TextAnswer, TextRequest

UNTOLD = -9999.0  # what OpenAI and vLLM write for "very unlikely" instead of a log-probability
CHAT, COMPLETIONS = "/chat/completions", "/completions"
Body = dict[str, Any]
Listed = tuple[str, float]


@dataclass(frozen=True)
class Wire:
    """How `model` on a server is asked: `top` log-probabilities are wanted, `extra` fields are put into each body
    (null takes one out). With a tokenizer in the renderer, prompts go out as token ids and tokens come back as ids
    (`return_tokens_as_token_ids`, of vLLM).
    """

    model: str
    renderer: Renderer
    top: int
    extra: Mapping[str, Any]

    def __post_init__(self) -> None:
        tokenizer = self.renderer.tokenizer
        object.__setattr__(self, "_tokens", OptionTokens(tokenizer) if tokenizer is not None else None)

    @property
    def path(self) -> str:
        return CHAT if self.renderer.asking.style == "native" else COMPLETIONS

    def score_body(self, prompt: OptionPrompt) -> Body:
        wanted = {"logprobs": True, "top_logprobs": self.top} if self.path == CHAT else {"logprobs": self.top}
        ids = {"return_tokens_as_token_ids": True} if self._by_id else {}
        return self._body(prompt.text, max_tokens=1, temperature=1.0, top_p=1.0, **wanted, **ids)

    def text_body(self, request: TextRequest) -> Body:
        """`seed` on the wire is made of the request's seed, repeat index and text, so that no two draws share it."""
        fields: Body = {"max_tokens": request.max_tokens, "temperature": request.temperature, "top_p": request.top_p}
        fields["seed"] = int(digest([request.seed, request.repeat, request.text])[:7], 16)
        if request.stop:
            fields["stop"] = list(request.stop)
        if request.schema:
            schema = json.loads(request.schema)
            named = {"name": "answer", "schema": schema, "strict": schema.get("additionalProperties") is False}
            fields["response_format"] = {"type": "json_schema", "json_schema": named}
        return self._body(request.text, **fields)

    def echo_body(self, text: str) -> Body:
        """Asks for the log-probabilities of a text itself, where a server gives them (never at the chat endpoint)."""
        return self._body(text, max_tokens=1, temperature=1.0, top_p=1.0, logprobs=1, echo=True)

    def read_options(self, reply: Mapping[str, Any], prompt: OptionPrompt) -> OptionAnswer | None:
        """The answer in a reply to `score_body`; None where the server gave no log-probabilities."""
        listed = _first_token(reply["choices"][0])
        if listed is None:
            return None
        return label_answer(*listed, self._forms(prompt))

    def read_text(self, reply: Mapping[str, Any]) -> TextAnswer:
        choice = reply["choices"][0]
        text = choice.get("text") if "message" not in choice else choice["message"].get("content")
        finish = "length" if choice.get("finish_reason") == "length" else "stop"
        return TextAnswer(text or "", finish, usage(reply)[1] or 0)

    def read_echo(self, reply: Mapping[str, Any]) -> tuple[float, int]:
        """(sum of log-probabilities, tokens) of an echoed text without its first token; (NaN, 0) where it was not
        echoed.
        """
        logprobs = reply["choices"][0].get("logprobs") or {}
        values, length = logprobs.get("token_logprobs") or [], usage(reply)[0] or 0
        echoed = values[1:length]
        if length < 2 or len(values) < length or any(value is None for value in echoed):
            return math.nan, 0
        return float(sum(echoed)), len(echoed)

    @property
    def _by_id(self) -> bool:
        return self.renderer.tokenizer is not None

    def _body(self, text: str, **fields: Any) -> Body:
        if self.path == CHAT:
            said: Body = {"messages": json.loads(text)}
        else:
            said = {"prompt": self.renderer.encode([text])[0] if self._by_id else text}
        body = {"model": self.model, **said, **fields, **self.extra}
        return {name: value for name, value in body.items() if value is not None}

    def _forms(self, prompt: OptionPrompt) -> list[list[str]]:
        tokens: OptionTokens | None = self._tokens  # type: ignore[attr-defined]
        if tokens is None:
            return [[form.format(label) for form in FORMS] for label in prompt.labels]
        return [[f"token_id:{token}" for token in ids] for ids in tokens(prompt.text, prompt.labels)]


def label_answer(top: Sequence[Listed], drawn: Listed | None, forms: Sequence[Sequence[str]]) -> OptionAnswer:
    """Option probabilities from a server's most probable next tokens, and a bound of what the list does not show.

    `top` has (token, log-probability) pairs, `drawn` the sampled token, which need not be among them; `forms` are the
    tokens that stand for each label. A label's probability is the sum over its forms that are listed; one of which no
    form is listed has 0 and `missing_mass` says how wrong that may be: a token that is not listed is at most as
    probable as the least probable one that is, and all such tokens together have what the listed ones leave, so the
    unseen forms have at most min(1 − Σ listed, unseen forms × smallest listed). This is the bound of Santurkar et al.
    2023 (OpinionQA, arXiv:2303.17548) for one missing option, over all missing forms. The drawn token counts as
    listed, but not as the smallest: it may have come from below the list.

    Where no label is seen at all, the probabilities are NaN and `option_mass` is 0: nothing is known, least of all
    that the answer is even.
    """
    listed = [*top] if drawn is None or drawn[0] in {token for token, _ in top} else [*top, drawn]
    probability = [(token, math.exp(value)) for token, value in listed]
    raw = np.array([sum(p for token, p in probability if token in mine) for mine in forms])
    seen = {token for token, _ in listed}
    unseen = sum(form not in seen for mine in forms for form in mine)
    smallest = min((p for token, p in probability if drawn is None or token != drawn[0]), default=1.0)
    left = max(0.0, 1.0 - sum(p for _, p in probability))
    missing = min(left, unseen * smallest)
    mass = float(raw.sum())
    shares = raw / mass if mass > 0 else np.full(len(raw), np.nan)
    return OptionAnswer(shares, min(mass, 1.0), missing)


def label_of(text: str, labels: Sequence[str]) -> int | None:
    """Which label a drawn token is, in any of its forms; None where it is none."""
    plain = text.strip().removeprefix("(")
    return list(labels).index(plain) if plain in labels else None


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def usage(reply: Mapping[str, Any]) -> tuple[int | None, int | None, int]:
    """(prompt tokens, generated tokens, prompt tokens that the server had in its cache); None where it does not say."""
    said = reply.get("usage") or {}
    cached = (said.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return said.get("prompt_tokens"), said.get("completion_tokens"), cached


def _first_token(choice: Mapping[str, Any]) -> tuple[list[Listed], Listed | None] | None:
    """(most probable tokens, drawn token) at the first place of a reply; None without log-probabilities.

    Reads the chat endpoint's form and that of completions; a reply that ended before its first token lists nothing.
    A token whose log-probability is not told counts as not listed.
    """
    logprobs = choice.get("logprobs")
    if not logprobs or not isinstance(logprobs, Mapping):
        return None
    if "content" in logprobs:
        if logprobs["content"] is None:
            return None
        for first in logprobs["content"]:
            top = [(one["token"], one["logprob"]) for one in first.get("top_logprobs") or []]
            return (_told(top), next(iter(_told([(first["token"], first["logprob"])])), None)) if top else None
        return [], None
    lists = logprobs.get("top_logprobs")
    if lists is None:
        return None
    if not lists:
        return [], None
    tokens, values = logprobs.get("tokens") or [], logprobs.get("token_logprobs") or []
    return _told((lists[0] or {}).items()), next(iter(_told(zip(tokens[:1], values[:1], strict=False))), None)


def _told(listed: Iterable[tuple[str, float | None]]) -> list[Listed]:
    return [(token, value) for token, value in listed if value is not None and value > UNTOLD]
