"""MARK: do the variant's reasons for an individual's answer hold up, and do they help?

Source: Liu et al. 2025 (EMNLP, arXiv:2508.17855). For a stratified probability sample of held-out respondents, four
stages: the stress of each demographic feature; the dominant and auxiliary cognitive function, completed to a stack of
four by type dynamics; each function's answer under the stress it is in, with a weight; a consistency check with
revision, and a weighted vote. The trace of each decision is kept whole. Held against rows that use no stages: guessing,
the country's most frequent answer, demographics alone, and the bare question without a person, which shows what the
model's liking of certain answers and places scores by itself (two orders do not undo it on a long scale).

Stages are answered by choice (`eval.mark.choice`) or by generation (`eval.mark.generation`). Departures from the paper,
and what we chose where we don't know its choice:
- By choice: closed questions, answered by the probabilities of their option labels. It works with any model and can't
  fail a schema; so there are no free-text reasons, and the explanation is composed from the stages. Every question is
  averaged over orders of its options (own and reversed; for the dominant function all shifts). Stress is the expected
  value over eleven levels. Weights are fixed: 4:3:2:1 by rank, times `reduction` under negative impact, normalised, so
  an unharmed function may outweigh a harmed one of higher rank.
- By generation: reasons, stress and weights are the model's own, written into a schema. A text that fails it after
  `retries` is counted (`stage_failed`), and the decisions that need it are left out and counted.
- Features at or above the person's average stress are kept with it, the rest stand in the profile without it. At most
  `features` features a person, the country first.
- Respondents are drawn by chance in strata of country x age band.
- Function descriptions are our own words; the tertiary's attitude alternates (see `mark_functions`).
- The consistency check sees question, answer and description (and the reason, where one is written), not the person; a
  contradicted answer is asked again once and not checked again. The answer is the most weighted option of the vote.
- Type theory is the paper's frame. Whether types exist is not tested; whether the model finds the same one twice is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, mean_interval
from eval.context import AuditContext
from eval.first_token.audit import people_table
from eval.languages import in_language
from eval.mark.choice import ByChoice
from eval.mark.control import ask_control, control_estimates
from eval.mark.decisions import Decision, trace
from eval.mark.generation import ByGeneration
from eval.mark.lockstep import decide
from eval.mark.measures import accuracy_estimates, aggregate_table, distance_estimates, scores_table
from eval.mark.removal import feature_removal
from eval.mark.resamples import Resamples
from eval.mark.sample import Case, majority_accuracy, sample_cases
from eval.mark.stages import Answering
from eval.mark.trust import failure_estimates, trust_estimates
from eval.mark.writing import Decoding, Writer, Written
from eval.records import PERSON, SCORE_COLUMNS, AuditResult, Estimate
from eval.references import reference_scores

ANSWERING = ("choice", "generation")
REMOVAL = ("dominant", "all")
FAILED_TEXTS = 20  # failed texts that are kept in the settings, for a look at what the model writes instead


@dataclass(frozen=True)
class Asked:
    """The evidence: decisions, what the removal of a feature did to each (columns of evidence), rows of the positive
    control, and every text that was written.
    """

    context: AuditContext
    cases: tuple[Case, ...]
    excluded: Counter[str]
    decisions: tuple[Decision, ...] = ()
    moved: tuple[dict[str, Any], ...] = ()
    control: pd.DataFrame = field(default_factory=pd.DataFrame)
    texts: tuple[Written, ...] = ()


@dataclass(frozen=True)
class Mark:
    """The audit. `respondents` and `items` (a respondent) set the cost: about 2,100 distinct tokens a respondent with
    two items, by choice. `answering`: choice or generation; `temperature`, `retries` and `reason_letters` are of the
    latter, `reduction` in (0, 1] (what negative impact leaves of a function's weight) of the former. `features`: the
    most demographic features stated of a person. `removal`: whom the removal of a feature is asked of, the dominant
    function or all four. `least_people`: respondents that an item and country need for a distance of their mean
    prediction to people. `control_respondents`: how many the positive control asks again. `draws`: bootstrap resamples.
    `language`: the stages are written in English, and questions are asked in it whatever the prompts' language.
    `context.limit` bounds the respondents.
    """

    respondents: int = 16
    items: int = 2
    answering: str = "choice"
    features: int = 5
    reduction: float = 0.5
    temperature: float = 0.7
    retries: int = 2
    reason_letters: int = 160
    removal: str = "dominant"
    control_respondents: int = 12
    least_people: int = 10
    draws: int = DRAWS
    language: str = "en"

    def __post_init__(self) -> None:
        least = {"respondents": 1, "items": 1, "features": 3, "retries": 0, "reason_letters": 20}
        least |= {"control_respondents": 1, "least_people": 1, "draws": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"audit.mark.{name} must be at least {bound}, got {getattr(self, name)}")
        for name, known in (("answering", ANSWERING), ("removal", REMOVAL)):
            if getattr(self, name) not in known:
                raise ValueError(f"audit.mark.{name} must be one of {list(known)}, got {getattr(self, name)!r}")
        if self.language != "en":
            raise ValueError(f"audit.mark.language must be en, in which its stages are written, got {self.language!r}")
        if not 0 < self.reduction <= 1:
            raise ValueError(f"audit.mark.reduction must be above 0 and at most 1, got {self.reduction}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"audit.mark.temperature must be 0 or more, got {self.temperature}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, vote, measure. Without any respondent in the held-out part: no estimates, the reason in `excluded`."""
        return self.measure(self.ask(context))

    def ask(self, context: AuditContext) -> Asked:
        """All stages for everybody, in lockstep: stages 1 and 2 once a person, 3 and 4 once a person and item; then
        without a feature, and, where wanted, the positive control.
        """
        rng = np.random.default_rng([context.seed, 4])
        context, unsaid = in_language(context, self.language)
        people = self.respondents if context.limit is None else min(self.respondents, context.limit)
        cases, excluded = sample_cases(context.survey, context.split, people, self.items, self.features, rng)
        excluded.update(unsaid)
        if not cases:
            return Asked(context, (), excluded)
        writer = Writer(context, Decoding(self.temperature, self.retries, self.reason_letters))
        way: Answering = ByChoice(context, self.reduction) if self.answering == "choice" else ByGeneration(writer)
        decisions = decide(way, cases, excluded, rng)
        moved = feature_removal(way, decisions, self.removal, rng)
        control = pd.DataFrame()
        if context.controls and decisions:
            again = np.random.default_rng([context.seed, 4, 1])
            who = sorted({decision.case.person.id for decision in decisions})
            some = set(again.permutation(who)[: self.control_respondents].tolist())
            control = ask_control(way, [decision for decision in decisions if decision.case.person.id in some])
        return Asked(context, tuple(cases), excluded, tuple(decisions), tuple(moved), control, tuple(writer.log))

    def measure(self, asked: Asked) -> AuditResult:
        """What the evidence says."""
        rng, excluded = np.random.default_rng([asked.context.seed, 4, 2]), Counter(asked.excluded)
        survey = asked.context.survey
        failed = [text for text in asked.texts if text.value is None]
        settings = asdict(self) | {
            "mode": self.answering,
            "respondents_asked": len(asked.cases),
            "decisions": len(asked.decisions),
            "texts": len(asked.texts),
            "failed_texts": [{"stage": t.stage, "who": t.who, "text": t.text} for t in failed[:FAILED_TEXTS]],
        }
        failures = failure_estimates(asked.texts, self.draws, rng)
        if not asked.decisions:
            scores = pd.DataFrame(columns=[*SCORE_COLUMNS, PERSON])
            return AuditResult("mark", pd.DataFrame(), scores, tuple(failures), excluded, settings)
        rows = [trace(decision) | moves for decision, moves in zip(asked.decisions, asked.moved, strict=True)]
        items = pd.DataFrame(rows).assign(**_accuracies(asked.decisions, survey.respondents))
        aggregate, unknown = aggregate_table(items, survey, self.least_people)
        if unknown:
            few = f"fewer than {self.least_people} respondents"
            excluded[f"item x country without people's distribution or with {few}: no js_distance"] += unknown
        again = Resamples.of(items["respondent"].tolist(), self.draws, rng)
        estimates = [
            *accuracy_estimates(items, again),
            *distance_estimates(items, aggregate, again),
            *self._references(asked.context, aggregate, rng),
            *trust_estimates(items, again),
            *failures,
            *control_estimates(asked.control, self.draws, rng),
        ]
        scores = scores_table(items, aggregate)
        kept = pd.concat([items, asked.control], ignore_index=True) if len(asked.control) else items
        prompts = [*kept["prompts"], *items["prompts_of_removal"]]
        settings |= {"prompts": len({entry["text"] for row in prompts for entry in json.loads(row)})}
        return AuditResult("mark", kept, scores, tuple(estimates), excluded, settings)

    def _references(self, context: AuditContext, aggregate: pd.DataFrame, rng: np.random.Generator) -> list[Estimate]:
        """The reference rows of `js_distance`; other countries' people may come from the whole survey."""
        if aggregate.empty:
            return []
        units = aggregate[aggregate["condition"] == "mark"]
        rows = reference_scores(units, ("js_distance",), rng=rng, people=people_table(context.survey))
        found = []
        for condition, part in rows.groupby("condition", sort=True):
            found.append(Estimate("js_distance", "all", str(condition), *mean_interval(part, rng, self.draws)))
        return found


def _accuracies(decisions: Sequence[Decision], people: Sequence[Any]) -> Mapping[str, list[float]]:
    return {
        "accuracy": [float(d.answer == d.human) for d in decisions],
        "accuracy_demographics_only": [float(np.argmax(d.baseline.p) == d.human) for d in decisions],
        "accuracy_no_person": [float(np.argmax(d.no_person.p) == d.human) for d in decisions],
        "accuracy_majority": [majority_accuracy(people, d.case.person, d.item.id) for d in decisions],
        "accuracy_random": [1 / len(d.item.options) for d in decisions],
    }
