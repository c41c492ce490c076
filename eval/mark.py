"""MARK: do the variant's reasons for an individual's answer hold up, and do they help?

Source: Liu et al. 2025 (EMNLP, arXiv:2508.17855). For a stratified probability sample of held-out respondents, four
stages: the stress of each demographic feature; the dominant and auxiliary cognitive function, completed to a stack of
four by type dynamics; each function's answer under the stress it is in, with a weight; a consistency check with
revision, and a weighted vote. The trace of each decision is kept whole. Held against rows that use no stages: guessing,
the country's most frequent answer, demographics alone, and the bare question without a person, which shows what the
model's liking of certain answers and places scores by itself (two orders do not undo it on a long scale).

Departures from the paper, and what we chose where we don't know its choice:
- Answers by choice scoring: closed questions, answered by the probabilities of their option labels. It works with any
  model and can't fail a schema; so there are no free-text reasons, and the explanation is composed from the stages.
- Every question is averaged over orders of its options (own and reversed; for the dominant function all shifts).
- Stress is the expected value over eleven levels (ours); features at or above the person's average are kept with it,
  the rest stand in the profile without it. At most `features` features a person, the country first.
- Respondents are drawn by chance in strata of country x age band.
- Function descriptions are our own words; the tertiary's attitude alternates (see `mark_functions`).
- Weights are fixed: 4:3:2:1 by rank, times `reduction` under negative impact, normalised, so an unharmed function may
  outweigh a harmed one of higher rank. The paper calls its weighting the model's own.
- The consistency check sees question, answer and description, not the person; a contradicted answer is asked again once
  and not checked again. The vote is over distributions; the answer is its most probable option.
- Type theory is the paper's frame. Whether types exist is not tested; whether the model finds the same one twice is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, mean_interval
from eval.context import AuditContext
from eval.first_token import people_table
from eval.languages import in_language
from eval.mark_asking import ask
from eval.mark_decisions import Decision, feature_removal, trace
from eval.mark_measures import (
    Resamples,
    accuracy_estimates,
    aggregate_table,
    distance_estimates,
    scores_table,
)
from eval.mark_sample import Case, majority_accuracy, sample_cases
from eval.mark_stages import answer_question, describe, find_stress, find_types, hear_voices
from eval.mark_trust import trust_estimates
from eval.records import SCORE_COLUMNS, AuditResult, Estimate
from eval.references import reference_scores


@dataclass(frozen=True)
class Mark:
    """The audit. `respondents` and `items` (a respondent) set the cost: about 2,800 distinct tokens a respondent with
    two items. `features`: the most demographic features stated of a person. `reduction` in (0, 1]: what negative
    impact leaves of a function's weight. `least_people`: respondents that an item and country need for a distance of
    their mean prediction to people. `draws`: bootstrap resamples. `language`: the stages are written in English, and
    questions are asked in it whatever the prompts' language. `context.limit` bounds the respondents.
    """

    respondents: int = 6
    items: int = 2
    features: int = 5
    reduction: float = 0.5
    least_people: int = 10
    draws: int = DRAWS
    language: str = "en"

    def __post_init__(self) -> None:
        for name, least in (("respondents", 1), ("items", 1), ("features", 3), ("least_people", 1), ("draws", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"audit.mark.{name} must be at least {least}, got {getattr(self, name)}")
        if self.language != "en":
            raise ValueError(f"audit.mark.language must be en, in which its stages are written, got {self.language!r}")
        if not 0 < self.reduction <= 1:
            raise ValueError(f"audit.mark.reduction must be above 0 and at most 1, got {self.reduction}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, vote, measure. Without any respondent in the held-out part: no estimates, the reason in `excluded`."""
        rng = np.random.default_rng([context.seed, 4])
        context, unsaid = in_language(context, self.language)
        people = self.respondents if context.limit is None else min(self.respondents, context.limit)
        cases, excluded = sample_cases(context.survey, context.split, people, self.items, self.features, rng)
        excluded.update(unsaid)
        if not cases:
            return AuditResult(
                "mark", pd.DataFrame(), pd.DataFrame(columns=list(SCORE_COLUMNS)), (), excluded, asdict(self)
            )
        decisions = self._decide(context, cases, rng)
        moved = feature_removal(context, decisions, rng)
        items = pd.DataFrame(trace(decision, moves) for decision, moves in zip(decisions, moved, strict=True))
        items = items.assign(**self._accuracies(context, decisions))
        aggregate, unknown = aggregate_table(items, context.survey, self.least_people)
        if unknown:
            few = f"fewer than {self.least_people} respondents"
            excluded[f"item x country without people's distribution or with {few}: no js_distance"] += unknown
        again = Resamples.of(items["respondent"].tolist(), self.draws, rng)
        estimates = [
            *accuracy_estimates(items, again),
            *distance_estimates(items, aggregate, again),
            *self._references(context, aggregate, rng),
            *trust_estimates(items, again),
        ]
        settings = asdict(self) | {
            "mode": "choice",
            "respondents_asked": len(cases),
            "decisions": len(items),
            "prompts": len({entry["text"] for row in items["prompts"] for entry in json.loads(row)}),
        }
        return AuditResult("mark", items, scores_table(items, aggregate), tuple(estimates), excluded, settings)

    def _decide(self, context: AuditContext, cases: list[Case], rng: np.random.Generator) -> list[Decision]:
        """All stages for everybody, in lockstep: stages 1 and 2 once a person, 3 and 4 once a person and item."""
        stress = find_stress(context, [case.features for case in cases])
        shuffled = [found.profile(order=_another_order(len(found.features), rng)) for found in stress]
        types = find_types(context, [*(found.profile() for found in stress), *shuffled])
        kinds, repeats = types[: len(cases)], types[len(cases) :]
        turns = [(number, item) for number, case in enumerate(cases) for item in case.items]
        voices = hear_voices(context, [(stress[i].profile(), kinds[i], item) for i, item in turns], self.reduction)
        stated = [answer_question(item, describe(cases[i].features)) for i, item in turns]
        unstated = [answer_question(item) for _, item in turns]
        plain = ask(context, [*stated, *unstated])
        return [
            Decision(cases[i], item, stress[i], kinds[i], repeats[i], heard, baseline, no_person)
            for (i, item), heard, baseline, no_person in zip(
                turns, voices, plain[: len(turns)], plain[len(turns) :], strict=True
            )
        ]

    def _accuracies(self, context: AuditContext, decisions: list[Decision]) -> Mapping[str, list[float]]:
        people = context.survey.respondents
        humans = [d.case.person.answers[d.item.id] for d in decisions]
        return {
            "accuracy": [float(d.answer == human) for d, human in zip(decisions, humans, strict=True)],
            "accuracy_demographics_only": [
                float(np.argmax(d.baseline.p) == human) for d, human in zip(decisions, humans, strict=True)
            ],
            "accuracy_no_person": [
                float(np.argmax(d.no_person.p) == human) for d, human in zip(decisions, humans, strict=True)
            ],
            "accuracy_majority": [majority_accuracy(people, d.case.person, d.item.id) for d in decisions],
            "accuracy_random": [1 / len(d.item.options) for d in decisions],
        }

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


def _another_order(count: int, rng: np.random.Generator) -> list[int]:
    """A random order that is not the given one."""
    own = list(range(count))
    order = own
    while order == own:
        order = [int(place) for place in rng.permutation(count)]
    return order
