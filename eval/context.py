"""What every audit is given: a model that answers, how it is asked, and whom its answers are held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data.prompts import Renderer
from data.records import Dilemma, Split, Survey
from eval.answers import Answerer, Progress
from eval.insensitivity.judge import OpenJudge


@dataclass(frozen=True)
class AuditContext:
    """`survey` is the whole human data, `split` says what is held out; `limit` bounds the units of each audit (items,
    participants, dilemmas, respondents) and stamps the run NOT A RESULT; `progress(what)` makes a progress callback.
    With `controls` each audit also asks its positive control (`eval.controls`). `judge` says of written replies what no
    rule can (None: nobody).
    """

    answerer: Answerer
    renderer: Renderer
    survey: Survey
    split: Split
    dilemmas: tuple[Dilemma, ...]
    seed: int
    limit: int | None
    progress: Callable[[str], Progress]
    controls: bool = False
    judge: OpenJudge | None = None
