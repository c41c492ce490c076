"""The Ethical Dilemma Corpus audit: does the model choose the same when it is asked again, in other words, or later?

Each dilemma sets two defensible actions against each other, and each action serves one of Schwartz's ten values. The
model chooses under the conditions of `eval.dilemma_questions`; every measure compares a condition with `alone`.

Sources: [TGT] (arXiv:2511.17256) names the audit and its purpose, temporal stability, but has published neither items
nor measure, so this is our own design. Entropy and consistency over question forms: MoralChoice (Scherrer et al. 2023).
Of the three readings of time, *dialogue time* is measured here, *training time* by `training_drift` between a variant
and its base. *Calendar time* needs dated model versions and is not measured.
The surprise: at 135M parameters the first option shown often wins whatever it says. Averaged over both orders such a
model looks undecided (p near 1/2) and not unstable: read `flip_rate` beside `position_effect` and
`excess_disagreement`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from data.dilemmas.corpus import sample_balanced
from data.records import Dilemma
from eval.bootstrap import DRAWS
from eval.context import AuditContext
from eval.dilemma_estimates import dilemma_estimates, dilemma_scores
from eval.dilemma_measures import preferences, preferred
from eval.dilemma_questions import ALONE, ANSWER_FORMS, CONDITIONS, SCRIPTS, Question, questions
from eval.records import AuditResult
from eval.value_priorities import RIDGE

TIED = "flip_rate: no preferred action, both are equally likely"


@dataclass(frozen=True)
class EthicalDilemmas:
    """The audit. `conditions` among CONDITIONS are asked beside `alone`; `answer_form` of yes/no questions is "words",
    or "letters" for tokenizers without one token for each word; `dilemmas`: how many are asked, drawn so that the ten
    values stand as evenly as can be (None: all); `ridge` as in `eval.value_priorities`.
    """

    language: str = "en"
    conditions: tuple[str, ...] = CONDITIONS
    paraphrases: int = 3
    dilemmas: int | None = None
    answer_form: str = "words"
    ridge: float = RIDGE
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if wrong := [name for name in self.conditions if name not in CONDITIONS]:
            raise ValueError(f"audit.edc.conditions must be among {list(CONDITIONS)}, got {wrong[0]!r}")
        if self.language not in SCRIPTS:
            raise ValueError(f"audit.edc.language must be one of {sorted(SCRIPTS)}, got {self.language!r}")
        if self.answer_form not in ANSWER_FORMS:
            raise ValueError(f"audit.edc.answer_form must be one of {list(ANSWER_FORMS)}, got {self.answer_form!r}")
        if self.dilemmas is not None and self.dilemmas < 1:
            raise ValueError(f"audit.edc.dilemmas must be at least 1, got {self.dilemmas}")
        if self.paraphrases < 1:
            raise ValueError(f"audit.edc.paraphrases must be at least 1, got {self.paraphrases}")
        if not self.ridge > 0:
            raise ValueError(f"audit.edc.ridge must be positive, got {self.ridge}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises ValueError where no dilemma can be asked."""
        dilemmas, excluded = self._dilemmas(context)
        renderer = context.renderer.in_language(self.language)
        asked: list[Question] = []
        for number, dilemma in enumerate(dilemmas):
            asked += questions(
                number, dilemma, self.language, self.conditions, self.paraphrases, self.answer_form, renderer
            )
        answers = context.answerer.score([question.prompt for question in asked], context.progress("ethical dilemmas"))
        rows = []
        for question, answer in zip(asked, answers, strict=True):
            dilemma = dilemmas[question.dilemma]
            rows.append(
                {
                    "dilemma": dilemma.id,
                    "value_0": dilemma.values[0],
                    "value_1": dilemma.values[1],
                    "context": dilemma.context,
                    "condition": question.condition,
                    "paraphrase": question.paraphrase,
                    "shown": list(question.shown),
                    "said": question.said,
                    "prompt": question.prompt.text,
                    "labels": list(question.prompt.labels),
                    "probabilities": answer.probabilities,
                    "option_mass": answer.option_mass,
                    "p_action_0": float(answer.probabilities[question.shown.index(0)]),
                    "p_first": float(answer.probabilities[0]),
                }
            )
        items = _weigh(pd.DataFrame(rows))
        scores = dilemma_scores(items)
        for condition, tied in preferences(items).apply(lambda p: int(np.isnan(preferred(p)).sum())).items():
            if tied:
                excluded[f"{TIED} ({condition})"] = tied
        rng = np.random.default_rng([context.seed, 3])
        estimates = dilemma_estimates(items, scores, self.ridge, rng, self.draws)
        paired = scores[~scores["condition"].str.startswith("reference:")]
        settings = asdict(self) | {"asked": len(dilemmas)}
        return AuditResult("edc", items, paired, tuple(estimates), excluded, settings)

    def _dilemmas(self, context: AuditContext) -> tuple[tuple[Dilemma, ...], dict[str, int]]:
        """Those that are worded as asked for; with a limit, spread evenly over the corpus."""
        excluded: dict[str, int] = {}
        kept = []
        for dilemma in context.dilemmas:
            wording = dilemma.wordings.get(self.language)
            reason = ""
            if wording is None:
                reason = f"dilemmas without wording in {self.language!r}"
            elif "wording" in self.conditions and len(wording.scenarios) < self.paraphrases:
                reason = f"dilemmas with fewer than {self.paraphrases} paraphrases"
            if reason:
                excluded[reason] = excluded.get(reason, 0) + 1
            else:
                kept.append(dilemma)
        if not kept:
            raise ValueError(f"nothing to audit: none of {len(context.dilemmas)} dilemmas can be asked ({excluded})")
        if self.dilemmas is not None and self.dilemmas < len(kept):
            kept = list(sample_balanced(kept, self.dilemmas, np.random.default_rng([context.seed, 4])))
        if context.limit is not None and context.limit < len(kept):
            kept = [kept[round(i)] for i in np.linspace(0, len(kept) - 1, context.limit)]
        return tuple(kept), excluded


def _weigh(items: pd.DataFrame) -> pd.DataFrame:
    """Adds `weight`: 1, or for an answer after an answer the probability that the model gave that first answer."""
    alone = items[items["condition"] == ALONE]
    first = {
        (name, shown[0], action): float(probability)
        for name, shown, probabilities in zip(alone["dilemma"], alone["shown"], alone["probabilities"], strict=True)
        for action, probability in zip(shown, probabilities, strict=True)
    }
    weights = [
        1.0 if said < 0 else first[name, shown[0], said]
        for name, shown, said in zip(items["dilemma"], items["shown"], items["said"], strict=True)
    ]
    return items.assign(weight=weights)
