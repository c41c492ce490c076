"""DEF: cultural fidelity by simulated survey takers (Liu et al., IP&M 62(4) 2025, 104099), answering by choice.

A participant is one pass through a questionnaire: it lives in a place of a country, remembers some of its earlier
answers, and sees options in an order of its own (the three diversity modifications: location, memory, order). At each
item the model's option distribution is read off, an answer is sampled from it (temperature 1), and the pair is appended
to the memory. What the participants of a country answered is its preference distribution. Two conditions:

    participants            shares of their sampled answers: the published measure
    participants:expected   the mean of the distributions that they were sampled from: without that sampling noise, but
                            chance still enters by what was remembered (`noise_of_memories` takes it out of variation)

Departures from the paper: answers are chosen among the options, not written and parsed, so none fails and none carries
an explanation; participants are spread evenly over countries instead of drawn; options are shuffled so that over a
country's participants each stands at each place about equally often; the memory is resampled without replacement, as
in the paper's figure (its code does so with replacement); the quick default has fewer participants than the paper's 20.
Not computed in this mode: what needs a written answer (the six insensitivity axes, diversity of wordings).
The surprise: shares of a handful of answers are far from any population by chance alone, so the floor `people_again` of
`participants` lets people be as few as the participants; variation between and within countries, which shares of so
few cannot carry, is reported on `participants:expected` only; and the forward KL, infinite wherever nobody happened to
give an answer, is not reported at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from data.prompts import LETTERS
from data.records import Group, Item
from eval.bootstrap import DRAWS
from eval.context import AuditContext
from eval.distances import FloatArray
from eval.first_token import people_table
from eval.languages import in_language
from eval.participants import Participant, draw_participants, shuffled
from eval.places import PLACES
from eval.records import SCORE_COLUMNS, AuditResult
from eval.summaries import summarise
from eval.survey_estimates import survey_estimates, survey_scores

COUNTS, EXPECTED = "participants", "participants:expected"
VARIATION = ("between_ratio", "between_structure", "between_structure_p", "within_ratio", "mode_share")
BETWEEN_COUNTRIES = 4
TINY = 1e-12
MEASURES = ("js_distance", "total_variation", "emd", "top1_agreement")
DEMOGRAPHICS = ("age", "sex", "education")


@dataclass(frozen=True)
class DiversityEnhanced:
    """The audit: `countries` × `participants` answer the `items` held-out items that most held-out countries were
    asked; a participant remembers 0 … `max_memory` pairs; `draws` bootstrap resamples; `language` of the questions and
    personas, None for that of the prompts. Places are known in English only: other languages' participants have none.
    """

    countries: int = 8
    participants: int = 6
    items: int = 3
    max_memory: int = 15
    draws: int = DRAWS
    language: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("countries", 1), ("participants", 1), ("items", 1), ("max_memory", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"audit.def.{name} must be at least {least}, got {getattr(self, name)}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises ValueError where no held-out item has people in a held-out
        country.
        """
        rng = np.random.default_rng([context.seed, 2])
        context, unsaid = in_language(context, self.language)
        language = context.renderer.asking.language
        questionnaire, countries, excluded = self._whom_and_what(context)
        excluded |= unsaid
        places = PLACES if language == "en" else {}
        everyone = draw_participants(countries, self.participants, self.max_memory, context.seed, places)
        everyone = everyone[: context.limit]
        if not places:
            excluded["participants' places (named in English only)"] = len(everyone)
        items = self._interview(questionnaire, everyone, context)
        answers = preference_answers(items)
        people = people_table(context.survey)
        shared = survey_scores(answers, people)
        own = own_scores(items)
        paired = [shared[shared["measure"] != "kl_people_model"], own[~own["condition"].str.startswith("reference:")]]
        estimates = [
            replace(estimate, condition=estimate.condition.removesuffix(f" ({COUNTS})"))
            for estimate in survey_estimates(answers, people, rng, self.draws, measures=MEASURES)
            if _supported(estimate.name, estimate.condition, answers["country"].nunique())
        ]
        estimates += summarise(own, rng, self.draws, by=("country",))
        settings = asdict(self) | {
            "language": language,
            "asked_countries": list(countries),
            "asked_items": [i.id for i in questionnaire],
        }
        return AuditResult("def", items, pd.concat(paired, ignore_index=True), tuple(estimates), excluded, settings)

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

    def _interview(
        self, questionnaire: list[Item], everyone: tuple[Participant, ...], context: AuditContext
    ) -> pd.DataFrame:
        """All participants answer an item before any goes on to the next: one batch an item. One row a participant ×
        item.
        """
        report = context.progress("simulated survey takers")
        rows: list[dict[str, Any]] = []
        total = len(questionnaire) * len(everyone)
        for step, item in enumerate(questionnaire):
            seeds = [context.seed, 2, step]
            orders = [
                shuffled(len(item.options), who.number, self.participants, np.random.default_rng(seeds))
                for who in everyone
            ]
            prompts = [who.ask(item, order, context.renderer) for who, order in zip(everyone, orders, strict=True)]
            done = len(rows)
            answers = context.answerer.score(prompts, lambda n, _, done=done: report(done + n, total))  # type: ignore[misc]
            for who, order, prompt, answer in zip(everyone, orders, prompts, answers, strict=True):
                people = context.survey.people.get((item.id, Group(who.country)))
                p = np.empty(len(order))
                p[list(order)] = answer.probabilities
                row = {
                    "participant": who.id,
                    "item": item.id,
                    "country": who.country,
                    **dict.fromkeys(DEMOGRAPHICS, ""),
                    "condition": EXPECTED,
                    "stratum": "held_out",
                    "place": who.place,
                    "memory_length": who.memory_length,
                    "remembered": len(who.memory),
                    "step": step,
                    "order": list(order),
                    "labels": list(prompt.labels),
                    "prompt": prompt.text,
                    "probabilities": answer.probabilities,
                    "option_mass": answer.option_mass,
                    "p": p,
                    "q": None if people is None else np.asarray(people.probabilities),
                    "n": 0.0 if people is None else people.n_effective,
                    "ordered": item.ordered,
                    "positions": None if item.scale is None else np.asarray(item.scale),
                }
                rows.append(row | {"answer": who.answer(item, order, p)})
        return pd.DataFrame(rows)


def preference_answers(items: pd.DataFrame) -> pd.DataFrame:
    """The answers table of both conditions from the evidence; only item × country with people.

    `n_model` is the number of participants behind shares; for `participants:expected` the number of answers that would
    be as noisy as chance memories make the mean distribution (see `noise_of_memories`), infinite where they make none.
    """
    rows = []
    for item, asked in items.groupby("item", sort=True):
        noise = noise_of_memories(asked) if asked["remembered"].any() else 0.0
        for country, part in asked[asked["q"].notna()].groupby("country", sort=True):
            first = part.iloc[0]
            shares = np.bincount(part["answer"], minlength=len(first["q"])) / len(part)
            mean = np.stack(part["p"].to_list()).mean(axis=0)
            as_noisy = float((mean * (1 - mean)).sum() / (noise / len(part))) if noise > TINY else float("inf")
            for condition, p, n_model in ((COUNTS, shares, float(len(part))), (EXPECTED, mean, max(as_noisy, 1.0))):
                rows.append(
                    {"item": item, "country": country, **dict.fromkeys(DEMOGRAPHICS, ""), "condition": condition}
                    | {"stratum": "held_out", "p": p, "n_model": n_model, "option_mass": part["option_mass"].mean()}
                    | {name: first[name] for name in ("q", "n", "ordered", "positions")}
                )
    return pd.DataFrame(rows)


def noise_of_memories(asked: pd.DataFrame) -> float:
    """Variance of one participant's distribution, summed over options, that neither country nor number explains.

    The residual mean square of an additive two-way layout, country + participant number, of one item: participants
    of one number see the same order, so what is left is what each one's own memory adds (and what country and order
    do only together, so that it is rather too large). 0 with fewer than two countries or participants a country.
    """
    number = asked["participant"].str.rpartition("-")[2].to_numpy()
    degrees = (asked["country"].nunique() - 1) * (len(set(number)) - 1)
    if degrees == 0:
        return 0.0
    p = pd.DataFrame(np.stack(asked["p"].to_list()), index=asked.index)
    residual = p - p.groupby(asked["country"]).transform("mean") - p.groupby(number).transform("mean") + p.mean()
    return float((residual**2).to_numpy().sum() / degrees)


def expected_distinct(q: FloatArray, people: int) -> float:
    """How many distinct answers so many people of distribution `q` (k,) give on average, in [1, k]: Σ 1 − (1 −
    q)^people.
    """
    return float((1 - (1 - q) ** people).sum())


def own_scores(items: pd.DataFrame) -> pd.DataFrame:
    """Two measures of the participants themselves, an item × country a row, where there are people:

    `response_diversity` is the number of distinct answers among the participants; its reference row is what as many
    people give. `order_effect` is the mean probability of the option shown first, less the mean probability of the same
    option over all participants, in [−1, 1]: 0 for a model that does not look at places.
    """
    rows = []
    for (item, country), part in items[items["q"].notna()].groupby(["item", "country"], sort=True):
        q = np.asarray(part["q"].iloc[0], dtype=np.float64)
        content = np.stack(part["p"].to_list()).mean(axis=0)
        first = np.array(
            [p[0] - content[order[0]] for p, order in zip(part["probabilities"], part["order"], strict=True)]
        )
        for measure, condition, value in (
            ("response_diversity", COUNTS, float(part["answer"].nunique())),
            ("response_diversity", "reference:people_again", expected_distinct(q, len(part))),
            ("order_effect", EXPECTED, float(first.mean())),
        ):
            rows.append(
                {"measure": measure, "condition": condition, "stratum": "held_out", "item": item, "country": country}
                | {**dict.fromkeys(DEMOGRAPHICS, ""), "value": value, "n": float(len(part))}
            )
    return pd.DataFrame(rows)[list(SCORE_COLUMNS)]


def _supported(name: str, condition: str, countries: int) -> bool:
    """Variation is measured on the expected distributions, and between countries only with at least four."""
    if name not in VARIATION:
        return True
    enough = countries >= BETWEEN_COUNTRIES or not name.startswith("between")
    return enough and condition in (EXPECTED, "reference:people")
