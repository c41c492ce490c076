"""What an audit asks of a model, and what it gets back, whoever answers.

Two calls: `score` takes prompts with option labels and returns option probabilities; `generate` takes prompts and
returns sampled text. `eval.backends` has the three that answer: transformers in this process, a vLLM server, an
OpenAI-compatible API. Every answer is stored under a key of all that it depends on (`option_key`, `text_key`), so an
interrupted audit goes on where it was and gets the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from data.files import digest
from data.models import ModelSpec
from data.prompts import Asking, OptionPrompt, Renderer
from eval.answer_store import AnswerStore

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class OptionAnswer:
    """`probabilities` (k,) float64 over the labels in the order shown, summing to 1; `option_mass` in [0, 1] is the
    probability that the model gave to all labels together before normalising. `missing_mass` in [0, 1] bounds what the
    labels may have beyond that where a server tells only its most probable tokens; 0 where every token is known.
    """

    probabilities: npt.NDArray[np.float64]
    option_mass: float
    missing_mass: float = 0.0


@dataclass(frozen=True, slots=True)
class TextRequest:
    """Text wanted after a rendered prompt.

    Sampled at `temperature` (0: the most probable token) from the smallest set of tokens with probability `top_p`,
    until a `stop` string, the model's end of text or `max_tokens`. `seed` and `repeat` are the request's own
    randomness: the same request gets the same text, whatever is asked beside it. `schema` is a JSON schema (as JSON)
    that the text must fulfil, "" for free text.
    """

    text: str
    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    schema: str = ""
    seed: int = 0
    repeat: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if self.seed < 0 or self.repeat < 0:
            raise ValueError(f"seed and repeat must be 0 or more, got {self.seed} and {self.repeat}")
        if not 0 <= self.temperature < math.inf or not 0 < self.top_p <= 1:
            found = f"temperature {self.temperature}, top_p {self.top_p}"
            raise ValueError(f"temperature must be 0 or more and top_p in (0, 1], got {found}")
        if "" in self.stop:
            raise ValueError("a stop string must not be empty")


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """The text without its stop string; `finish` is "stop" (a stop string, the end of text, a fulfilled schema) or
    "length"; `tokens` were generated.
    """

    text: str
    finish: str
    tokens: int


@dataclass
class Costs:
    """What asking has cost so far. `prompt_tokens` counts every prompt in full, `computed_tokens` the distinct ones
    that were computed; `stored` counts answers taken from disk. `truncated` counts prompts whose labels were not all
    among a server's most probable tokens, `missing_mass` is the largest bound of what they may have. `money` is in the
    unit of the configured prices, `peak_memory_gib` the process's (or the GPU's) largest so far; None where not known.
    """

    prompts: int = 0
    texts: int = 0
    stored: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    generated_tokens: int = 0
    requests: int = 0
    retries: int = 0
    truncated: int = 0
    missing_mass: float = 0.0
    money: float | None = None
    seconds: float = 0.0
    peak_memory_gib: float | None = None


class Answerer(Protocol):
    """What an audit needs of a model. `identity` names everything that an answer depends on besides the prompt."""

    costs: Costs

    @property
    def identity(self) -> str: ...

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        """Option probabilities of each prompt, in the order of `prompts`."""
        ...

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        """Sampled text for each request, in the order of `requests`."""
        ...

    def perplexity(self, texts: Sequence[str]) -> float:
        """Perplexity on plain texts, at least 1; NaN where the model does not tell."""
        ...


@runtime_checkable
class Asks(Protocol):
    """An answerer that asks another one in its own way; `around` is the same way of asking `inner`."""

    inner: Answerer

    def around(self, inner: Answerer) -> Answerer: ...


@dataclass(frozen=True)
class Opened:
    """A variant that can be asked. `weights` is the hash (or, of a served model, the name) of what answers."""

    answerer: Answerer
    renderer: Renderer
    weights: str


class Backend(Protocol):
    """How variants are asked: a frozen dataclass of knobs, named by `_target_` in the config group `backend`."""

    def open(self, cell: Path, spec: ModelSpec, asking: Asking, store: AnswerStore) -> AbstractContextManager[Opened]:
        """Load, start or connect to the variant in `cell` (of base `spec`), and let go of it at the end."""
        ...


def option_key(identity: str, prompt: OptionPrompt) -> str:
    """The key under which an option answer is stored."""
    return digest([identity, prompt.text, prompt.labels])


def text_key(identity: str, request: TextRequest) -> str:
    """The key under which a text is stored: decoding, seed and repeat index included."""
    return digest([identity, asdict(request)])
