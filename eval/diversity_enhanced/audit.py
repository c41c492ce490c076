"""DEF: cultural fidelity by simulated survey takers (Liu et al., IP&M 62(4) 2025, 104099).

A participant is one pass through a questionnaire: it lives in a place of a country, remembers some of its earlier
answers, and sees options in an order of its own (the three diversity modifications: location, memory, order). At each
item it answers, by `choice` (an answer drawn from the option distribution) or to `explain` (an answer and a reason,
written and then read by rule), and the pair is appended to the memory. What the participants of a country answered is
its preference distribution (`eval.diversity_enhanced.answers`), held against the country's people.

Departures from the paper: participants are spread evenly over countries instead of drawn; options are shuffled so that
over a country's participants each stands at each place about equally often; the memory is resampled without
replacement, as in the paper's figure (its code does so with replacement). Decoding `drawn` follows the published code,
which draws each participant's number of beams evenly from 1 up to 5: of a one-token choice, beam search of any width is
the most probable option, so those with several beams choose it; of a written answer, the most probable token stands in
for beams. One beam samples (T = 1, top_p = 1).

The surprise: shares of a handful of answers are far from any population by chance alone, so the floor `people_again` of
`participants` lets people be as few as the participants; variation between and within countries, which shares of so
few cannot carry, is reported on `participants:expected` only, or of written answers with at least 20 participants; and
the forward KL, infinite wherever nobody happened to give an answer, is not reported at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from data.places import PLACES
from data.prompts import LETTERS
from data.records import Group, Item, Survey
from eval.bootstrap import DRAWS
from eval.context import AuditContext
from eval.diversity_enhanced.answers import EXPECTED, preference_answers
from eval.diversity_enhanced.effects import ablation_scores, control_effects
from eval.diversity_enhanced.groups import group_estimates, group_scores
from eval.diversity_enhanced.interview import Way, interview
from eval.diversity_enhanced.measures import participant_scores
from eval.diversity_enhanced.participants import ABLATIONS, PARTICIPANTS, draw_participants
from eval.diversity_enhanced.replies import UNPARSED
from eval.first_token.audit import people_table
from eval.insensitivity.rates import insensitivity_estimates
from eval.languages import in_language
from eval.records import AuditResult, Estimate
from eval.summaries import summarise
from eval.survey_estimates import survey_estimates, survey_scores

ANSWERING = ("choice", "explain")
DECODING = ("sampled", "drawn")
VARIATION = ("between_ratio", "between_structure", "between_structure_p", "within_ratio", "mode_share")
BETWEEN_COUNTRIES = 4
ENOUGH_SHARES = 20
MEASURES = ("js_distance", "total_variation", "emd", "top1_agreement")


@dataclass(frozen=True)
class Interviews:
    """What was asked and answered: `items` as `interview` gives it, the survey in the language of the questions, what
    was left out, and settings beside the knobs.
    """

    items: pd.DataFrame
    survey: Survey
    excluded: dict[str, int]
    settings: dict[str, Any]


@dataclass(frozen=True)
class DiversityEnhanced:
    """The audit: `countries` × `participants` answer the `items` held-out items that most held-out countries were
    asked; a participant remembers 0 … `max_memory` pairs. `answering` is among ANSWERING, `decoding` among DECODING;
    each of `ablations` (among ABLATIONS) asks everyone again without one modification. `max_tokens` bounds a written
    reply; `control_participants` of each country are asked the positive controls; `draws` bootstrap resamples;
    `language` of the questions and personas, None for that of the prompts. Places are known in English only: other
    languages' participants have none, and written answers are asked for in English only.
    """

    countries: int = 8
    participants: int = 20
    items: int = 3
    max_memory: int = 15
    answering: str = "choice"
    decoding: str = "sampled"
    ablations: Sequence[str] = ()
    max_tokens: int = 64
    control_participants: int = 2
    draws: int = DRAWS
    language: str | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("countries", 1),
            ("participants", 1),
            ("items", 1),
            ("max_memory", 0),
            ("max_tokens", 1),
            ("control_participants", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"audit.def.{name} must be at least {least}, got {getattr(self, name)}")
        for name, known in (("answering", ANSWERING), ("decoding", DECODING)):
            if getattr(self, name) not in known:
                raise ValueError(f"audit.def.{name} must be one of {list(known)}, got {getattr(self, name)!r}")
        if isinstance(self.ablations, str) or set(self.ablations) - set(ABLATIONS):
            raise ValueError(f"audit.def.ablations must be a list among {list(ABLATIONS)}, got {self.ablations!r}")
        if len(set(self.ablations)) < len(self.ablations):
            raise ValueError(f"audit.def.ablations names one twice: {list(self.ablations)}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises as `ask`."""
        asked = self.ask(context)
        rng = np.random.default_rng([context.seed, 2])
        answers = preference_answers(asked.items)
        own, bare = participant_scores(asked.items), ablation_scores(asked.items, self.ablations)
        paired, estimates = [own, bare], list[Estimate]()
        if len(answers):
            reading = answers[answers["condition"] == self._reading]
            groups = group_scores(reading, asked.survey)
            paired += [groups, survey_scores(answers, people_table(asked.survey))]
            estimates += self._survey_estimates(answers, asked.survey, rng)
            estimates += group_estimates(groups, rng, self.draws)
        estimates += summarise(own, rng, self.draws, by=("country",))
        estimates += summarise(bare, rng, self.draws)
        estimates += control_effects(asked.items, rng, self.draws)
        items = asked.items
        if self.answering == "explain":
            written = items[items["condition"] == PARTICIPANTS]
            found, flags = insensitivity_estimates(written, context.judge, rng, self.draws)
            estimates += found
            items = items.join(flags)
        scores = pd.concat([part for part in paired if len(part)], ignore_index=True)
        kept = ~scores["condition"].str.startswith("reference:") & (scores["measure"] != "kl_people_model")
        settings = asdict(self) | asked.settings
        return AuditResult("def", items, scores[kept], tuple(estimates), asked.excluded, settings)

    @property
    def _reading(self) -> str:
        """The reading of the interviews on which variation and groups are measured."""
        return EXPECTED if self.answering == "choice" else PARTICIPANTS

    def ask(self, context: AuditContext) -> Interviews:
        """All the asking. Raises ValueError where no held-out item has people in a held-out country, and where written
        answers are wanted in a language other than English.
        """
        language = self.language or context.renderer.asking.language
        if self.answering == "explain" and language != "en":
            raise ValueError(
                f"audit.def.answering=explain is worded and read in English only, got language {language!r}: "
                "set audit.def.language=en or answering=choice"
            )
        context, excluded = in_language(context, self.language)
        questionnaire, countries, left_out = self._whom_and_what(context)
        excluded |= left_out
        places = PLACES if language == "en" else {}
        drawn = self.decoding == "drawn"
        everyone = draw_participants(countries, self.participants, self.max_memory, context.seed, places, drawn)
        everyone = everyone[: context.limit]
        if not places:
            excluded["participants' places (named in English only)"] = len(everyone)
        bare = [who.without(name) for name in self.ablations for who in everyone]
        way = Way(self.answering == "explain", self.max_tokens, self.control_participants if context.controls else 0)
        items = interview(questionnaire, [*everyone, *bare], self.participants, way, context)
        unread = int(((items["condition"] == PARTICIPANTS) & (items["answer"] == UNPARSED)).sum())
        if unread:
            excluded["replies that name no option or several (not in the distances)"] = unread
        settings = {
            "language": language,
            "asked_countries": list(countries),
            "asked_items": [item.id for item in questionnaire],
        }
        return Interviews(items, context.survey, excluded, settings)

    def _whom_and_what(self, context: AuditContext) -> tuple[list[Item], list[str], dict[str, int]]:
        """The questionnaire and the countries: items asked in most held-out countries, then countries with people in
        most of these items, ties drawn by the split's seed, so that all arms and seeds are asked the same.
        """
        survey, split = context.survey, context.split
        asked = {
            item.id: {c for c in split.held_out_countries if (item.id, Group(c)) in survey.people}
            for item in survey.items
            if item.id in split.held_out_items
        }
        usable = [item for item in survey.items if asked.get(item.id) and len(item.options) <= len(LETTERS)]
        if not usable:
            raise ValueError(
                f"nothing to audit: none of the held-out items {list(split.held_out_items)} has answers of people in "
                f"the held-out countries {list(split.held_out_countries)}"
            )
        questionnaire = sorted(usable, key=lambda item: (-len(asked[item.id]), item.id))[: self.items]
        luck = np.random.default_rng([split.seed, 2]).permutation(len(split.held_out_countries))
        coverage = {
            country: (-sum(country in asked[item.id] for item in questionnaire), place)
            for country, place in zip(split.held_out_countries, luck.tolist(), strict=True)
        }
        reachable = [country for country, (covered, _) in coverage.items() if covered < 0]
        countries = sorted(sorted(reachable, key=lambda country: coverage[country])[: self.countries])
        excluded = {
            f"items with more than {len(LETTERS)} options": len(asked)
            - len([i for i in asked.values() if not i])
            - len(usable),
            "held-out items without people in a held-out country": sum(not found for found in asked.values()),
            f"held-out items beyond items={self.items}": len(usable) - len(questionnaire),
            f"held-out countries beyond countries={self.countries}": len(reachable) - len(countries),
            "item × country without people": sum(c not in asked[i.id] for i in questionnaire for c in countries),
        }
        return questionnaire, countries, {reason: count for reason, count in excluded.items() if count}

    def _survey_estimates(self, answers: pd.DataFrame, survey: Survey, rng: np.random.Generator) -> list[Estimate]:
        """Each reading by itself, since its floor lets people be as few as the answers behind it. Without variation
        that these participants cannot carry; reference rows of the shares have no suffix.
        """
        few = self.answering == "explain" and answers["n_model"].min() < ENOUGH_SHARES
        between = answers["country"].nunique() >= BETWEEN_COUNTRIES
        found = []
        for reading, part in answers.groupby("condition", sort=True):
            for one in survey_estimates(part, people_table(survey), rng, self.draws, measures=MEASURES):
                carried = not few and (between or not one.name.startswith("between")) and reading == self._reading
                if one.name not in VARIATION or carried:
                    found.append(replace(one, condition=one.condition.removesuffix(f" ({PARTICIPANTS})")))
        return found
