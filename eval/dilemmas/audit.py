"""The Ethical Dilemma Corpus audit: does the model choose the same when it is asked again, in other words, or later?

Each dilemma sets two defensible actions against each other, and each action serves one of Schwartz's ten values. The
model chooses under the conditions of `eval.dilemmas.questions`; every measure compares a condition with `alone`.

Sources: [TGT] (arXiv:2511.17256) names the audit and its purpose, temporal stability, but has published neither items
nor measure, so this is our own design. Entropy and consistency over question forms: MoralChoice (Scherrer et al. 2023).
Of the three readings of time, *dialogue time* is measured here, *training time* by `training_drift` between two states
of one model. *Calendar time* needs dated model versions as arms.
The surprise: at 135M parameters the first option shown often wins whatever it says. Averaged over both orders such a
model looks undecided (p near 1/2) and not unstable: read `flip_rate` beside `position_effect`, `order:exchanged` and
`excess_disagreement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.dilemmas.corpus import sample_balanced
from data.dilemmas.loaders import load_corpus
from data.options import OptionTokens
from data.prompts import Renderer
from data.records import Dilemma
from eval.bootstrap import DRAWS
from eval.context import AuditContext
from eval.dilemmas.bradley_terry import RIDGE
from eval.dilemmas.estimates import control_estimate, dilemma_estimates
from eval.dilemmas.evidence import Asked, evidence
from eval.dilemmas.measures import preferences, preferred
from eval.dilemmas.questions import (
    AGREEING,
    ANSWER_FORMS,
    COMPARE,
    CONDITIONS,
    NEUTRAL,
    PRESSING,
    SAID,
    STATED,
    Plan,
    Question,
    questions,
    said_questions,
    stated_questions,
    text_questions,
)
from eval.dilemmas.scores import dilemma_scores
from eval.dilemmas.scripts import SCRIPTS
from eval.records import AuditResult

TIED = "flip_rate: no preferred action, both are equally likely"
UNASKED = "form:repeat: no text that names an action in one of the two orders"
DEFAULT = ("wording", COMPARE, NEUTRAL, PRESSING, AGREEING)


@dataclass(frozen=True)
class EthicalDilemmas:
    """The audit. `conditions` among CONDITIONS are asked beside `alone`, and `alone` once more in each of `languages`.

    `corpus` is a file of the user's own (`data.dilemmas.loaders`; None: the dilemmas of the context), `dilemmas` how
    many are asked, drawn so that the ten values stand as evenly as can be (None: all). `dialogue_turns` are the
    exchanges of small talk before the question, `pressing_turns` the pushbacks after it, `repeats` the texts sampled
    in each order for `form:repeat`, at most `repeat_tokens` long, at `repeat_temperature`. `answer_form` of yes/no
    questions is "words", or "letters" for tokenizers without one token for each word; `control_dilemmas`: of how many
    each positive control is asked; `ridge` as in `eval.dilemmas.bradley_terry`.
    """

    language: str = "en"
    languages: tuple[str, ...] = ()
    conditions: tuple[str, ...] = DEFAULT
    paraphrases: int = 3
    dialogue_turns: tuple[int, ...] = (2, 6)
    pressing_turns: int = 1
    repeats: int = 4
    repeat_tokens: int = 64
    repeat_temperature: float = 1.0
    dilemmas: int | None = None
    corpus: str | None = None
    answer_form: str = "words"
    control_dilemmas: int = 12
    ridge: float = RIDGE
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if wrong := [name for name in self.conditions if name not in CONDITIONS]:
            raise ValueError(f"audit.edc.conditions must be among {list(CONDITIONS)}, got {wrong[0]!r}")
        for name, languages in (("language", (self.language,)), ("languages", self.languages)):
            if wrong := [language for language in languages if language not in SCRIPTS]:
                raise ValueError(f"audit.edc.{name} must be among {sorted(SCRIPTS)}, got {wrong[0]!r}")
        if self.language in self.languages or len(set(self.languages)) < len(self.languages):
            raise ValueError(
                f"audit.edc.languages must be others than audit.edc.language ({self.language!r}), each once, got "
                f"{list(self.languages)}"
            )
        if self.answer_form not in ANSWER_FORMS:
            raise ValueError(f"audit.edc.answer_form must be one of {list(ANSWER_FORMS)}, got {self.answer_form!r}")
        script = SCRIPTS[self.language]
        longest, presses = len(script.small_talk), len(script.pushbacks)
        turns = self.dialogue_turns
        if not turns or len(set(turns)) < len(turns) or not all(1 <= n <= longest for n in turns):
            raise ValueError(
                f"audit.edc.dialogue_turns must be different numbers from 1 to {longest}, got {list(turns)}; leave "
                f"{NEUTRAL} out of audit.edc.conditions to ask no small talk"
            )
        if not 1 <= self.pressing_turns <= presses:
            raise ValueError(f"audit.edc.pressing_turns must be from 1 to {presses}, got {self.pressing_turns}")
        for name, least in (("paraphrases", 1), ("repeats", 2), ("repeat_tokens", 1), ("control_dilemmas", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"audit.edc.{name} must be at least {least}, got {getattr(self, name)}")
        if self.dilemmas is not None and self.dilemmas < 1:
            raise ValueError(f"audit.edc.dilemmas must be at least 1, got {self.dilemmas}")
        if not self.repeat_temperature > 0:
            raise ValueError(f"audit.edc.repeat_temperature must be over 0, got {self.repeat_temperature}")
        if self.corpus is not None and not Path(self.corpus).expanduser().is_file():
            raise ValueError(f"audit.edc.corpus must be a file of dilemmas, and {self.corpus} is none")
        if not self.ridge > 0:
            raise ValueError(f"audit.edc.ridge must be positive, got {self.ridge}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises as `ask` does."""
        asked = self.ask(context)
        items, excluded = evidence(asked), dict(asked.excluded)
        scores = dilemma_scores(items)
        for condition, p in preferences(items).items():
            if unknown := int(p.isna().sum()):
                excluded[UNASKED] = unknown
            if tied := int(np.isnan(preferred(p.dropna())).sum()):
                excluded[f"{TIED} ({condition})"] = tied
        rng = np.random.default_rng([context.seed, 3])
        estimates = dilemma_estimates(items, scores, self.ridge, rng, self.draws)
        if context.controls:
            rng = np.random.default_rng([context.seed, 6])
            estimates += [control_estimate(items, control, rng, self.draws) for control in (STATED, SAID)]
        paired = scores[~scores["condition"].str.startswith("reference:")]
        settings = asdict(self) | {"asked": len(asked.dilemmas)}
        return AuditResult("edc", items, paired, tuple(estimates), excluded, settings)

    def ask(self, context: AuditContext) -> Asked:
        """Every question with its answer. Raises ValueError where no dilemma can be asked, where the tokenizer has no
        single token for Yes or No, and as `load_corpus` does.
        """
        dilemmas, excluded = self._dilemmas(context)
        renderers = {language: context.renderer.in_language(language) for language in (self.language, *self.languages)}
        plan = self._plan()
        asked = [one for n, dilemma in enumerate(dilemmas) for one in questions(n, dilemma, plan, renderers)]
        self._check_words(asked, context.renderer)
        if context.controls:
            asked += self._controls(dilemmas, renderers, context.seed)
        answers = context.answerer.score([one.prompt for one in asked], context.progress("ethical dilemmas"))
        said = [
            one
            for n, dilemma in enumerate(dilemmas)
            for one in text_questions(n, dilemma, plan, renderers[self.language], context.seed)
        ]
        texts = (
            context.answerer.generate([one.request for one in said], context.progress("ethical dilemmas, in words"))
            if said
            else []
        )
        return Asked(dilemmas, excluded, asked, answers, said, texts)

    def _plan(self) -> Plan:
        return Plan(
            self.language,
            self.languages,
            self.conditions,
            self.paraphrases,
            tuple(sorted(self.dialogue_turns)),
            self.pressing_turns,
            self.repeats,
            self.repeat_tokens,
            self.repeat_temperature,
            self.answer_form,
        )

    def _controls(self, dilemmas: tuple[Dilemma, ...], renderers: Mapping[str, Renderer], seed: int) -> list[Question]:
        """The positive controls of some dilemmas, evenly taken; the first action is suggested in half of them. Stated
        can only be a value that is known.
        """
        rng = np.random.default_rng([seed, 5])
        asked: list[Question] = []
        known = [number for number, dilemma in enumerate(dilemmas) if all(dilemma.values)]
        for places, control in ((known, stated_questions), (range(len(dilemmas)), said_questions)):
            n = min(self.control_dilemmas, len(places))
            chosen = [places[round(place)] for place in np.linspace(0, len(places) - 1, n)] if n else []
            for number, action in zip(chosen, rng.permutation(np.arange(n) % 2).tolist(), strict=True):
                asked += control(number, dilemmas[number], action, self.language, renderers[self.language])
        return asked

    def _check_words(self, asked: list[Question], renderer: Renderer) -> None:
        """Refuse Yes and No that are no single tokens before anything is asked."""
        first = next((one for one in asked if one.condition == COMPARE), None)
        if first is None or self.answer_form != "words" or renderer.tokenizer is None:
            return
        try:
            OptionTokens(renderer.tokenizer)(first.prompt.text, first.prompt.labels)
        except ValueError as error:
            raise ValueError(
                f"audit.edc.answer_form is words, but {' and '.join(first.prompt.labels)} cannot be told apart by one "
                f"token in {self.language!r} ({error}): set audit.edc.answer_form=letters, or leave {COMPARE} out of "
                "audit.edc.conditions"
            ) from error

    def _dilemmas(self, context: AuditContext) -> tuple[tuple[Dilemma, ...], dict[str, int]]:
        """Those that are worded as asked for; with a limit, spread evenly over the corpus."""
        excluded: dict[str, int] = {}
        corpus = context.dilemmas
        if self.corpus is not None:
            own = load_corpus(Path(self.corpus).expanduser())
            corpus, excluded = own.dilemmas, dict(own.left_out)
        wanted = self.paraphrases if "wording" in self.conditions else 1
        kept = []
        for dilemma in corpus:
            missing = [language for language in (self.language, *self.languages) if language not in dilemma.wordings]
            reason = f"dilemmas without wording in {missing[0]!r}" if missing else ""
            if not missing and len(dilemma.wordings[self.language].scenarios) < wanted:
                reason = f"dilemmas with fewer than {wanted} paraphrases"
            if reason:
                excluded[reason] = excluded.get(reason, 0) + 1
            else:
                kept.append(dilemma)
        if not kept:
            raise ValueError(
                f"nothing to audit: none of {len(corpus)} dilemmas can be asked ({excluded}); check "
                "audit.edc.language, languages and paraphrases, or leave `wording` out of audit.edc.conditions"
            )
        if self.dilemmas is not None and self.dilemmas < len(kept):
            kept = list(sample_balanced(kept, self.dilemmas, np.random.default_rng([context.seed, 4])))
        if context.limit is not None and context.limit < len(kept):
            kept = [kept[round(i)] for i in np.linspace(0, len(kept) - 1, context.limit)]
        return tuple(kept), excluded
