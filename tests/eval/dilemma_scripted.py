"""Twelve made-up dilemmas and a scripted model that reads its prompts and answers them by a rule."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.prompts import Asking, OptionPrompt, Renderer
from data.records import Dilemma, Split, Survey, Wording
from eval.answers import OptionAnswer, Progress, TextAnswer, TextRequest
from eval.context import AuditContext
from eval.dilemmas.audit import EthicalDilemmas
from eval.dilemmas.scripts import SCRIPTS
from eval.records import AuditResult, Estimate

VALUES = ("benevolence", "power", "security", "stimulation")
PAIRS = tuple((a, b) for i, a in enumerate(VALUES) for b in VALUES[i + 1 :])
STRENGTHS = {"benevolence": 2.0, "power": -1.5, "security": 0.5, "stimulation": -1.0}


def dilemmas(paraphrases: int = 3) -> tuple[Dilemma, ...]:
    """Each pair of values twice, the second time with the actions exchanged; the first five are set in the US."""
    made = []
    for number, (a, b) in enumerate([*PAIRS, *((b, a) for a, b in PAIRS)]):
        english = tuple(f"Scenario {number} in words {paraphrase}." for paraphrase in range(paraphrases))
        chinese = tuple(f"情景 {number} in words {paraphrase}." for paraphrase in range(paraphrases))
        wordings = {
            "en": Wording(english, (f"Act for {a}", f"Act for {b}")),
            "zh": Wording(chinese, (f"Act for {a} 中文", f"Act for {b} 中文")),
        }
        made.append(Dilemma(f"d{number:02d}", (a, b), "US" if number < 5 else "unspecified", wordings))
    return tuple(made)


@dataclass(frozen=True)
class Shown:
    """What the scripted model reads: the values that the actions serve in the order shown, and all around them.
    `before` is the value whose action its own earlier turn named in answer to the same question ("": none).
    """

    values: tuple[str, str]
    dilemma: int
    paraphrase: int
    compare: bool
    turns: int
    said: tuple[str, ...]
    agreed: bool
    language: str
    stated: str
    before: str


Rule = Callable[[Shown], float]


def read(text: str) -> Shown:
    language = "zh" if "中文" in text else "en"
    script = SCRIPTS[language]
    values = sorted((v for v in VALUES if f"Act for {v}" in text), key=lambda v: text.index(f"Act for {v}"))
    replies = [reply for reply in (*script.pushbacks, script.agreement) if reply in text]
    mark = {"en": "Answer: ", "zh": "回答："}[language]
    said = tuple(values["AB".index(text.split(reply)[0].split(mark)[-1][0])] for reply in replies)
    place = text.index(" in words ")
    stated = [
        v for v in VALUES if script.stated.format(value=script.values[v][0], definition=script.values[v][1]) in text
    ]
    earlier = text.count(" in words ") > 1 and not replies
    return Shown(
        values=(values[0], values[1]),
        dilemma=int(text[:place].split()[-1]),
        paraphrase=int(text[place + len(" in words ")]),
        compare=script.compare.split("{")[0] in text,
        turns=sum(f"{user}\n" in text for user, _ in script.small_talk),
        said=said,
        agreed=script.agreement in text,
        language=language,
        stated=stated[0] if stated else "",
        before=values["AB".index(text.split(mark)[1][0])] if earlier else "",
    )


class Fake:
    """Answers by a rule: the probability of the value shown first. Texts say that action, sampled by the same rule."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.prompts: list[OptionPrompt] = []
        self.requests: list[TextRequest] = []

    @property
    def identity(self) -> str:
        return "fake"

    def perplexity(self, texts: Sequence[str]) -> float:
        return math.nan

    def score(self, prompts: Sequence[OptionPrompt], progress: Progress | None = None) -> list[OptionAnswer]:
        self.prompts += prompts
        first = [self.rule(read(prompt.text)) for prompt in prompts]
        turned = ["A. No" in prompt.text or "A. 不" in prompt.text for prompt in prompts]
        return [
            OptionAnswer(np.array([1 - p, p] if no_first else [p, 1 - p]), 0.9)
            for p, no_first in zip(first, turned, strict=True)
        ]

    def generate(self, requests: Sequence[TextRequest], progress: Progress | None = None) -> list[TextAnswer]:
        self.requests += requests
        return [TextAnswer(self.write(request), "stop", 4) for request in requests]

    def write(self, request: TextRequest) -> str:
        shown = read(request.text)
        rng = np.random.default_rng([zlib.crc32(request.text.encode()), request.seed, request.repeat])
        return f"Act for {shown.values[int(rng.random() >= self.rule(shown))]}"


def context(
    answerer: Fake,
    limit: int | None = None,
    corpus: tuple[Dilemma, ...] | None = None,
    controls: bool = False,
    seed: int = 0,
) -> AuditContext:
    return AuditContext(
        answerer=answerer,  # type: ignore[arg-type]
        renderer=Renderer(Asking(style="completion")),
        survey=Survey((), ()),
        split=Split((), (), (), (), 0),
        dilemmas=dilemmas() if corpus is None else corpus,
        seed=seed,
        limit=limit,
        progress=lambda _: lambda done, total: None,
        controls=controls,
    )


def audit(rule: Rule, audit: EthicalDilemmas | None = None, **given: object) -> AuditResult:
    return (audit or EthicalDilemmas(draws=200))(context(Fake(rule), **given))  # type: ignore[arg-type]


def find(estimates: Sequence[Estimate], name: str, condition: str, group: str = "all") -> Estimate:
    (found,) = [e for e in estimates if (e.name, e.condition, e.group) == (name, condition, group)]
    return found


def by_value(shown: Shown) -> float:
    a, b = shown.values
    return 1 / (1 + math.exp(STRENGTHS[b] - STRENGTHS[a]))


def stronger(shown: Shown, p: float) -> float:
    """The probability of the value shown first where the stronger value is chosen with `p`."""
    return p if STRENGTHS[shown.values[0]] > STRENGTHS[shown.values[1]] else 1 - p
