"""First-token probability alignment: does the next-token distribution over option labels match people's answers?

Every item × group × order of options is one prompt; the answer to an item is the mean over its orders, mapped back to
the item's own option order. Conditions state nobody ("none"), the country, or the country and an age band. Only
countries that training never saw are asked; items that it never saw are the stratum `held_out` (the result), the
others `seen_items` (beside it: has the intervention learned the item?).

Sources: Cao et al. 2025 (arXiv:2502.07068) for first-token alignment with survey distributions; Durmus et al. 2023
(GlobalOpinionQA) for the country persona; Suh et al. 2025 (SubPOP, 2502.16761) for the option distribution.
Departures: several option orders instead of one; the option mass is kept beside the normalised distribution; sampling
noise of people is shown as a floor; distances as defined in `eval.distances`, not as published (the published forms
exist there under their own names).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.prompts import orders
from data.records import AnswerDistribution, Group, Item, Survey
from eval.answers import Answerer
from eval.context import AuditContext
from eval.neutral_text import TEXTS
from eval.records import AuditResult, Estimate
from eval.summaries import summarise
from eval.survey_estimates import survey_estimates, survey_scores
from eval.survey_scores import OF_ORDERS, average_orders, position_scores

CONDITIONS = ("none", "country", "country+age", "country+sex", "country+education")
HELD_OUT, SEEN = "held_out", "seen_items"


@dataclass(frozen=True)
class FirstToken:
    """The audit. `conditions` are among CONDITIONS; `max_countries` bounds the countries asked about each item (drawn
    with the audit's seed; those with age bands first); `seen_items` also asks the training items in held-out countries;
    `home` is the country whose pull is measured (US-centrism); `exhaustive_orders`,
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
        asked, excluded = self._units(context, rng)
        items = self._ask(asked, context)
        answers, people = answers_table(items), people_table(context.survey)
        estimates = survey_estimates(answers, people, rng, self.draws, self.home)
        places = position_scores(items)
        estimates += summarise(places, rng, self.draws)
        estimates.append(neutral_perplexity(context.answerer))
        scores = pd.concat([survey_scores(answers, people, self.home), places], ignore_index=True)
        return AuditResult("first_token", items, scores, tuple(estimates), excluded)

    def _units(
        self, context: AuditContext, rng: np.random.Generator
    ) -> tuple[list[tuple[Item, str, AnswerDistribution]], Mapping[str, int]]:
        """(item, stratum, people) of everything to be asked, and what was left out by reason."""
        split, survey = context.split, context.survey
        strata = {name: HELD_OUT for name in split.held_out_items}
        if self.seen_items:
            seen = {d.item for d in survey.distributions if d.group.country in split.train_countries}
            strata |= {name: SEEN for name in split.train_items if name in seen}
        wanted = [item for item in survey.items if item.id in strata]
        if context.limit is not None:
            wanted = sorted(wanted, key=lambda item: strata[item.id])[: context.limit]
        excluded: dict[str, int] = {}
        units: list[tuple[Item, str, AnswerDistribution]] = []
        for item in wanted:
            groups = [
                d
                for d in survey.distributions
                if d.item == item.id
                and d.group.country in split.held_out_countries
                and _stated(d.group) in self.conditions
            ]
            if len(item.options) > 26:
                excluded["items with more than 26 options"] = excluded.get("items with more than 26 options", 0) + 1
                continue
            kept = self._countries(groups, rng)
            if dropped := len({d.group.country for d in groups}) - len(kept):
                reason = f"item × country beyond max_countries={self.max_countries}"
                excluded[reason] = excluded.get(reason, 0) + dropped
            units += [(item, strata[item.id], d) for d in groups if d.group.country in kept]
        if not any(stratum == HELD_OUT for _, stratum, _ in units):
            raise ValueError(
                f"nothing to audit: none of the held-out items {list(split.held_out_items)} has answers of people in "
                f"the held-out countries {list(split.held_out_countries)}"
            )
        return units, excluded

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
