"""A model behind an OpenAI-compatible server: each answer is stored the moment it arrives and never asked for again."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.files import digest
from data.prompts import OptionPrompt
from eval.answer_store import AnswerStore
from eval.answers import Costs, OptionAnswer, Progress, TextAnswer, TextRequest, option_key, text_key
from eval.backends.api_client import Client, Job, RefusedError, Reply
from eval.backends.wire import CHAT, Body, Wire, is_json, label_of, usage

SCORER = 1  # raise when the numbers made of a reply may change
LOGPROBS = ("auto", "top", "sample")
log = logging.getLogger(__name__)


class NoLogprobsError(ValueError):
    """The server answers, but without log-probabilities."""


@dataclass
class ServedAnswerer:
    """Asks the server of `client` in the words of `wire`. `weights` names what answers, for the keys of the store.

    `logprobs`: "top" reads option probabilities from the server's most probable tokens; "sample" counts the labels
    among `samples` single tokens drawn at temperature 1, each a request of its own (the counts are noisy: with 20 draws
    a share of one half has a standard error of 0.11, which adds to every distance); "auto" is "top" until the first
    answer shows that the server gives none, then "sample", and stays so in this store. `prices` are money for a
    million tokens ("input", "output"). Token counts are the server's own; where it gives none, money is NaN.
    """

    client: Client
    wire: Wire
    weights: str
    store: AnswerStore
    logprobs: str = "auto"
    samples: int = 20
    prices: Mapping[str, Any] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)

    @property
    def identity(self) -> str:
        return digest([self.weights, self.wire.renderer.asking.style, dict(self.wire.extra), SCORER])

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        """Option probabilities of each prompt, in the order of `prompts`; `eval.backends.wire.label_answer` says what
        a list of the most probable tokens tells. Asked of the server: what the store does not hold.

        Raises ValueError where a prompt's answer holds none of its labels (after all were asked, so that nothing is
        lost): an even answer would be invented, and one left out silently would change who is compared. Also where
        `logprobs` is "top" and the server gives none, and as `Client.ask` does.
        """
        if not prompts:
            return []
        started = time.perf_counter()
        answers = None if self._mode() == "sample" else self._by_logprobs(prompts, progress)
        if answers is None:
            answers = self._by_sampling(prompts, progress)
        self.costs.prompts += len(prompts)
        self.costs.seconds += time.perf_counter() - started
        if empty := [prompt for prompt, answer in zip(prompts, answers, strict=True) if answer.option_mass <= 0]:
            raise ValueError(
                f"model {self.wire.model!r} answers {len(empty)} of {len(prompts)} prompts with none of their labels; "
                f"the first, with labels {list(empty[0].labels)}: …{empty[0].text[-200:]!r}"
            )
        return answers

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        """Text for each request, in the order of `requests`. Where a schema is asked for and the text is no JSON (some
        servers ignore `response_format`), a warning counts such texts. Raises as `Client.ask` does.
        """
        started = time.perf_counter()
        answers = self._texts(requests, progress)
        broken = sum(bool(r.schema) and not is_json(a.text) for r, a in zip(requests, answers, strict=True))
        if broken:
            log.warning("%d of %d texts of %s are not the JSON asked for", broken, len(requests), self.wire.model)
        self.costs.texts += len(requests)
        self.costs.seconds += time.perf_counter() - started
        return answers

    def stored(self, prompts: Sequence[OptionPrompt], requests: Sequence[TextRequest]) -> int:
        """How many of these have been answered before."""
        keys = [text_key(self.identity, request) for request in requests]
        if self._mode() == "sample":
            last = [TextRequest(prompt.text, 1, repeat=self.samples - 1) for prompt in prompts]
            keys += [text_key(self.identity, request) for request in last]
        else:
            identity = digest([self.identity, self.wire.top])
            keys += [option_key(identity, prompt) for prompt in prompts]
        known = self.store.get(list(dict.fromkeys(keys)))
        return sum(key in known for key in keys)

    def perplexity(self, texts: Sequence[str]) -> float:
        """Exp of the mean negative log-likelihood a token (first token of each text excluded); NaN where the server
        does not echo a text's log-probabilities, which no chat endpoint does.
        """
        if self.wire.path == CHAT:
            return math.nan
        keys = [digest([self.identity, "echo", text]) for text in texts]
        try:
            found = self._values(
                keys, lambda index: self.wire.echo_body(texts[index]), lambda reply, _: self.wire.read_echo(reply)
            )
        except RefusedError as error:
            log.info("no perplexity: %s", error)
            return math.nan
        total, count = sum(value[0] for value in found), sum(value[1] for value in found)
        return math.exp(-total / count) if count and not math.isnan(total) else math.nan

    def _by_logprobs(self, prompts: Sequence[OptionPrompt], progress: Progress | None) -> list[OptionAnswer] | None:
        """None where the server turns out to give no log-probabilities and `logprobs` is "auto"."""
        identity = digest([self.identity, self.wire.top])
        keys = [option_key(identity, prompt) for prompt in prompts]

        def read(reply: Reply, index: int) -> list[Any]:
            answer = self.wire.read_options(reply, prompts[index])
            if answer is None:
                raise NoLogprobsError(
                    f"{self.client.base_url} answers without log-probabilities for model {self.wire.model!r} (some "
                    "servers, transformers serve among them, ignore the field): set backend.logprobs=sample"
                )
            self._remember(True)
            return [answer.probabilities.tolist(), answer.option_mass, answer.missing_mass]

        try:
            values = self._values(keys, lambda index: self.wire.score_body(prompts[index]), read, progress, probe=True)
        except (NoLogprobsError, RefusedError) as error:
            told = isinstance(error, NoLogprobsError) or "logprob" in str(error)
            if self.logprobs != "auto" or self._mode() == "top" or not told:
                raise
            self._remember(False)
            log.warning("%s. Now each prompt is sampled %d times instead.", error, self.samples)
            return None
        answers = [OptionAnswer(np.array(shares, dtype=np.float64), mass, bound) for shares, mass, bound in values]
        self.costs.truncated += sum(not (answer.probabilities > 0).all() for answer in answers)
        self.costs.missing_mass = max(self.costs.missing_mass, *(answer.missing_mass for answer in answers))
        return answers

    def _by_sampling(self, prompts: Sequence[OptionPrompt], progress: Progress | None) -> list[OptionAnswer]:
        """Counts over labels; a draw that is no label lowers `option_mass`."""
        draws = [TextRequest(prompt.text, 1, repeat=repeat) for prompt in prompts for repeat in range(self.samples)]
        each = (lambda done, _: progress(done // self.samples, len(prompts))) if progress else None
        texts = self._texts(draws, each)
        answers = []
        for place, prompt in enumerate(prompts):
            mine = texts[place * self.samples : (place + 1) * self.samples]
            found = [label_of(text.text, prompt.labels) for text in mine]
            counts = np.array([found.count(label) for label in range(len(prompt.labels))], dtype=np.float64)
            total = float(counts.sum())
            answers.append(OptionAnswer(counts / total if total else counts * math.nan, total / self.samples))
        return answers

    def _texts(self, requests: Sequence[TextRequest], progress: Progress | None) -> list[TextAnswer]:
        def read(reply: Reply, index: int) -> list[Any]:
            answer = self.wire.read_text(reply)
            return [answer.text, answer.finish, answer.tokens]

        identity = self.identity
        keys = [text_key(identity, request) for request in requests]
        values = self._values(keys, lambda index: self.wire.text_body(requests[index]), read, progress)
        return [TextAnswer(*value) for value in values]

    def _values(
        self,
        keys: Sequence[str],
        body: Callable[[int], Body],
        read: Callable[[Reply, int], Any],
        progress: Progress | None = None,
        probe: bool = False,
    ) -> list[Any]:
        """The value of each key: the stored one, else what `read` makes of the reply to `body`, stored at once.

        `probe` sends the first request alone, so that a server that cannot answer is asked once.
        """
        if self.prices and self.costs.money is None:
            self.costs.money = 0.0
        found = self.store.get(list(dict.fromkeys(keys)))
        copies = Counter(keys)
        done = sum(copies[key] for key in found)
        self.costs.stored += done
        missing = [index for index, key in enumerate(keys) if key not in found]
        first = list({keys[index]: index for index in reversed(missing)}.values())[::-1]
        if progress and done:
            progress(done, len(keys))

        def take(index: int, reply: Reply) -> None:
            nonlocal done
            self._count(reply)
            key, value = keys[index], read(reply, index)
            self.store.put({key: value})
            found[key] = value
            done += copies[key]
            if progress:
                progress(done, len(keys))

        for part in (first[:1], first[1:]) if probe else (first,):
            self.client.ask((Job(index, self.wire.path, body(index)) for index in part), self.costs, take)
        return [found[key] for key in keys]

    def _mode(self) -> str:
        """Where log-probabilities are read ("top") or not ("sample"); "auto" where nothing has been asked yet."""
        if self.logprobs != "auto":
            return self.logprobs
        known = self.store.get([self._fact])
        return "auto" if not known else "top" if known[self._fact] else "sample"

    def _remember(self, gives: bool) -> None:
        if self._mode() == "auto":
            self.store.put({self._fact: gives})

    @property
    def _fact(self) -> str:
        return digest([self.identity, "gives log-probabilities"])

    def _count(self, reply: Reply) -> None:
        prompt, generated, cached = usage(reply)
        self.costs.prompt_tokens += prompt or 0
        self.costs.computed_tokens += (prompt or 0) - cached
        self.costs.generated_tokens += generated or 0
        if self.prices and self.costs.money is not None:
            unknown = prompt is None or generated is None
            spent = math.nan if unknown else prompt * self.prices["input"] + generated * self.prices["output"]
            self.costs.money += spent / 1e6
