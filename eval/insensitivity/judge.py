"""A model of its own that judges replies where no rule can: closed questions with two answers, asked in both orders.

    with Judge(ModelSpec("HuggingFaceTB/SmolLM2-360M-Instruct"), InProcess()).open(folder, store, audited) as judge:
        p = judge.p_second(cases)   # (n, 2): the probability of each case's second answer, in the two orders

In Liu et al., IP&M 62(4) 2025, 104099 people judge. A judge that looks at places alone says in one order the opposite
of what it says in the other: the mean of both is then near one half, and `position_effect` near 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from data.manifest import update_manifest
from data.models import ModelSpec
from data.prompts import Asking, Renderer
from data.records import Turn
from eval.answer_store import AnswerStore
from eval.answers import Answerer, Opened, Progress
from eval.distances import FloatArray

SYSTEM = "You check what people replied in a survey. Reply with the letter of one option only."


@dataclass(frozen=True, slots=True)
class Case:
    """A closed question to the judge: `text`, then two answers in words."""

    text: str
    answers: tuple[str, str]


@dataclass(frozen=True)
class OpenJudge:
    """A judge that can be asked. `itself`: the audited variant judges its own replies; `progress(what)` makes a
    progress callback.
    """

    answerer: Answerer
    renderer: Renderer
    name: str
    itself: bool = False
    progress: Callable[[str], Progress] | None = None

    def p_second(self, cases: Sequence[Case]) -> FloatArray:
        """The probability of each case's second answer, (n, 2) in [0, 1]: shown second, and shown first."""
        turns = [Turn("system", SYSTEM)]
        prompts = [
            self.renderer.closed(turns, case.text, answers)
            for case in cases
            for answers in (case.answers, case.answers[::-1])
        ]
        answered = self.answerer.score(prompts, self.progress("the judge") if self.progress else None)
        first = np.array([answer.probabilities[0] for answer in answered], dtype=np.float64).reshape(-1, 2)
        return np.column_stack([1 - first[:, 0], first[:, 1]])


def position_effect(p: FloatArray) -> float:
    """Mean absolute difference of the two orders' probabilities (n, 2), in [0, 1]: 0 where places do not matter, 1
    where they decide alone. NaN for no cases.
    """
    return float(np.abs(p[:, 0] - p[:, 1]).mean()) if len(p) else float("nan")


class JudgeSource(Protocol):
    """A frozen dataclass of knobs, named by `_target_` in the config group `judge`."""

    def open(self, folder: Path, store: AnswerStore, audited: Opened) -> Any:
        """A context manager of an `OpenJudge`, or of None."""
        ...


@dataclass(frozen=True)
class NoJudge:
    """Nobody judges: what rules cannot decide stays undecided."""

    @contextmanager
    def open(self, folder: Path, store: AnswerStore, audited: Opened) -> Iterator[OpenJudge | None]:
        yield None


@dataclass(frozen=True)
class SameJudge:
    """The audited variant judges its own replies. No second model is loaded, but the judge changes with what it
    judges: rates of different variants are then not comparable. For a first look only.
    """

    @contextmanager
    def open(self, folder: Path, store: AnswerStore, audited: Opened) -> Iterator[OpenJudge | None]:
        yield OpenJudge(audited.answerer, audited.renderer, "the audited variant itself", itself=True)


@dataclass(frozen=True)
class Judge:
    """A judge of its own: `model` answered by `backend` (`eval.answers.Backend`), asked in `style` as
    `data.prompts.Asking` has it. The same judge for all variants makes their rates comparable.
    """

    model: ModelSpec
    backend: Any
    style: Literal["chat", "completion", "native"] = "chat"

    def __post_init__(self) -> None:
        if not callable(getattr(self.backend, "open", None)):
            wanted = "a backend, such as {_target_: eval.backends.in_process.InProcess}"
            raise ValueError(f"judge.backend must be {wanted}, got {self.backend!r}")

    @contextmanager
    def open(self, folder: Path, store: AnswerStore, audited: Opened) -> Iterator[OpenJudge | None]:
        """Load, start or connect to the judge. `folder` is its own, made where it is missing, and holds no weights;
        answers go to `store` under the judge's own identity.
        """
        if not (folder / "manifest.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            update_manifest(folder, state="done", judge=self.model.source)
        name = self.model.name or self.model.source
        with self.backend.open(folder, self.model, Asking(style=self.style), store) as opened:
            yield OpenJudge(opened.answerer, opened.renderer, name)
