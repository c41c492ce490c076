"""First-token probability alignment: does the next-token distribution over option labels match people's answers?

Every item × group × order of options is one prompt; the answer to an item is the mean over its orders, mapped back to
the item's own option order. Conditions state nobody ("none"), the country, or the country and an age band. Only
countries that training never saw are asked; items that it never saw are the stratum `held_out` (the result), the
others `seen_items` (beside it: has the intervention learned the item?). Where training saw earlier waves only, the
items and countries of training are asked too, against the later wave: the stratum `later_wave`.

Sources: Cao et al. 2025 (arXiv:2502.07068) for first-token alignment with survey distributions; Durmus et al. 2023
(GlobalOpinionQA) for the country persona; Suh et al. 2025 (SubPOP, 2502.16761) for the option distribution.
Departures: several option orders instead of one; the option mass is kept beside the normalised distribution; sampling
noise of people is shown as a floor; distances as defined in `eval.distances`, not as published (the published forms
exist there under their own names).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.prompts import orders
from data.records import AnswerDistribution, Group, Item, Survey
from data.splits import cell_stratum
from eval.answers import Answerer
from eval.context import AuditContext
from eval.languages import in_language
from eval.neutral_text import TEXTS
from eval.records import AuditResult, Estimate
from eval.summaries import summarise
from eval.survey_estimates import survey_estimates, survey_scores
from eval.survey_scores import OF_ORDERS, average_orders, position_scores

CONDITIONS = ("none", "country", "country+age", "country+sex", "country+education")
HELD_OUT = "held_out"
STRATA = (HELD_OUT, "seen_items", "later_wave")


@dataclass(frozen=True)
class FirstToken:
    """The audit. `conditions` are among CONDITIONS; `max_countries` bounds the countries asked about each item (drawn
    with the audit's seed; those with age bands first); `seen_items` also asks the training items, in held-out countries
    and, where training saw earlier waves only, in those of training; `language` of the questions and personas, None for
    that of the prompts; `home` is the country whose pull is measured (US-centrism); `exhaustive_orders`,
    `orders_beyond` and `rotate_scales` as in `data.prompts.orders`; `draws` bootstrap resamples.
    """

    conditions: tuple[str, ...] = ("none", "country", "country+age")
    max_countries: int | None = None
    seen_items: bool = True
    home: str = "USA"
    exhaustive_orders: int = 5
    orders_beyond: int = 4
    rotate_scales: bool = False
    draws: int = 10_000
    language: str | None = None

    def __post_init__(self) -> None:
        if wrong := [name for name in self.conditions if name not in CONDITIONS]:
            raise ValueError(f"audit.first_token.conditions must be among {list(CONDITIONS)}, got {wrong[0]!r}")
        for name, value in (("draws", self.draws), ("exhaustive_orders", self.exhaustive_orders)):
            if value < 2:
                raise ValueError(f"audit.first_token.{name} must be at least 2, got {value}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises ValueError where no held-out item has people in a held-out
        country.
        """
        rng = np.random.default_rng([context.seed, 1])
        context, unsaid = in_language(context, self.language)
        asked, excluded = self._units(context, rng)
        items = self._ask(asked, context)
        answers, people = answers_table(items), people_table(context.survey)
        estimates = survey_estimates(answers, people, rng, self.draws, self.home)
        places = position_scores(items)
        estimates += summarise(places, rng, self.draws)
        estimates.append(neutral_perplexity(context.answerer))
        scores = pd.concat([survey_scores(answers, people, self.home), places], ignore_index=True)
        settings = asdict(self) | {"language": context.renderer.asking.language}
        return AuditResult("first_token", items, scores, tuple(estimates), excluded | unsaid, settings)

    def _units(
        self, context: AuditContext, rng: np.random.Generator
    ) -> tuple[list[tuple[Item, str, AnswerDistribution]], dict[str, int]]:
        """(item, stratum, people) of everything to be asked, and what was left out by reason."""
        split, survey = context.split, context.survey
        trained = survey.distributions if split.train_before is None else survey.earlier
        seen = {d.item for d in trained if d.group.country in split.train_countries} if self.seen_items else set()
        held = set(split.held_out_items)
        wanted = [item for item in survey.items if item.id in held or item.id in seen]
        if context.limit is not None:
            wanted = sorted(wanted, key=lambda item: item.id not in held)[: context.limit]
        groups: dict[tuple[str, str], list[AnswerDistribution]] = {}
        for d in survey.distributions:
            if _stated(d.group) in self.conditions:
                groups.setdefault((d.item, cell_stratum(split, d.item, d.group.country)), []).append(d)
        excluded: Counter[str] = Counter()
        units: list[tuple[Item, str, AnswerDistribution]] = []
        for item in wanted:
            if len(item.options) > 26:
                excluded["items with more than 26 options"] += 1
                continue
            for stratum in STRATA:
                found = groups.get((item.id, stratum), [])
                kept = self._countries(found, rng)
                if dropped := len({d.group.country for d in found}) - len(kept):
                    excluded[f"item × country beyond max_countries={self.max_countries}"] += dropped
                units += [(item, stratum, d) for d in found if d.group.country in kept]
        if not any(stratum == HELD_OUT for _, stratum, _ in units):
            raise ValueError(
                f"nothing to audit: none of the held-out items {list(split.held_out_items)} has answers of people in "
                f"the held-out countries {list(split.held_out_countries)}"
            )
        return units, dict(excluded)

    def _countries(self, groups: list[AnswerDistribution], rng: np.random.Generator) -> set[str]:
        """At most `max_countries` of an item: those with demographic groups first, the rest drawn."""
        found = sorted({d.group.country for d in groups})
        if self.max_countries is None or len(found) <= self.max_countries:
            return set(found)
        first = sorted({d.group.country for d in groups if _stated(d.group) != "country"})[: self.max_countries]
        rest = [country for country in found if country not in first]
        drawn = rng.choice(rest, size=self.max_countries - len(first), replace=False)
        return {*first, *drawn.tolist()}

    def _ask(self, units: list[tuple[Item, str, AnswerDistribution]], context: AuditContext) -> pd.DataFrame:
        """One row a prompt: the evidence. The condition "none" is asked once an item and order, with country ""."""
        rows: list[dict[str, Any]] = []
        prompts = []
        nobody: set[str] = set()
        for item, stratum, people in units:
            group_conditions = [_stated(people.group)]
            if "none" in self.conditions and item.id not in nobody:
                group_conditions.append("none")
                nobody.add(item.id)
            for condition in group_conditions:
                if condition not in self.conditions:
                    continue
                group = people.group if condition != "none" else Group("")
                knobs = (self.exhaustive_orders, self.orders_beyond, self.rotate_scales)
                for order in orders(len(item.options), item.ordered, *knobs):
                    prompts.append(context.renderer.survey(item, order, group, condition))
                    rows.append(
                        {
                            "item": item.id,
                            **{name: getattr(group, name) for name in ("country", "age", "sex", "education")},
                            "condition": condition,
                            "stratum": stratum,
                            "order": list(order),
                            "labels": list(prompts[-1].labels),
                            "prompt": prompts[-1].text,
                            "q": np.asarray(people.probabilities) if condition != "none" else None,
                            "n": people.n_effective if condition != "none" else 0.0,
                            "ordered": item.ordered,
                            "positions": None if item.scale is None else np.asarray(item.scale),
                        }
                    )
        answers = context.answerer.score(prompts, context.progress("first-token alignment"))
        for row, answer in zip(rows, answers, strict=True):
            p = np.empty(len(row["order"]))
            p[row["order"]] = answer.probabilities
            row |= {"p": p, "option_mass": answer.option_mass}
        return pd.DataFrame(rows)


def people_table(survey: Survey) -> pd.DataFrame:
    """Every distribution of the survey as a row: item, country, age, sex, education, q, n (effective)."""
    return pd.DataFrame(
        {
            "item": d.item,
            **{name: getattr(d.group, name) for name in ("country", "age", "sex", "education")},
            "q": np.asarray(d.probabilities),
            "n": d.n_effective,
        }
        for d in survey.distributions
    )


def neutral_perplexity(answerer: Answerer) -> Estimate:
    """Perplexity on plain prose, for the validity gate: a variant that lost its language is no change of values."""
    method = f"exp of the mean token loss over {len(TEXTS)} neutral texts; no interval"
    nan = float("nan")
    return Estimate("perplexity", "all", "neutral text", answerer.perplexity(TEXTS), nan, nan, len(TEXTS), method)


def answers_table(items: pd.DataFrame) -> pd.DataFrame:
    """The answers table of the audit's evidence (also as read back from items.parquet)."""
    answers = average_orders(items.loc[items["country"] != ""])
    return pd.concat([answers, spread_no_persona(average_orders(items.loc[items["country"] == ""]), answers)])


def spread_no_persona(nobody: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The one answer given without a persona, held against each country's people: a row a country of `answers`."""
    if nobody.empty:
        return nobody
    countries = answers[answers["condition"] == "country"].drop(columns=["p", "condition", *OF_ORDERS])
    return countries.merge(nobody[["item", "condition", "p", *OF_ORDERS]], on="item")


def _stated(group: Group) -> str:
    """The condition that states all that a group says of itself."""
    return "+".join(["country", *(name for name in ("age", "sex", "education") if getattr(group, name))])
