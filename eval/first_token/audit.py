"""First-token probability alignment: does the next-token distribution over option labels match people's answers?

Every item × group × order of options is one prompt; the answer to an item is the mean over its orders, mapped back to
the item's own option order. Conditions state nobody ("none"), the country, or the country and other facts that the
survey's groups have ("country+age"); further persona styles and languages are conditions of their own
(`eval.first_token.asking`). Only countries that training never saw are asked; items that it never saw are the stratum
`held_out` (the result), the others `seen_items` (beside it: has the intervention learned the item?). Where training saw
earlier waves only, the items and countries of training are asked too, against the later wave: the stratum `later_wave`.

Sources: Cao et al. 2025 (arXiv:2502.07068) for first-token alignment with survey distributions; Durmus et al. 2023
(GlobalOpinionQA) for the country persona; Suh et al. 2025 (SubPOP, 2502.16761) for the option distribution.
Departures: several option orders instead of one; the option mass is kept beside the normalised distribution; sampling
noise of people is shown as a floor; distances as defined in `eval.distances`, not as published (the published forms
are a table of their own, `eval.first_token.published`); wrong countries are averaged over, not drawn
(`eval.first_token.knowledge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from data.languages import languages
from data.personas import PERSONAS
from data.prompts import orders
from data.records import AnswerDistribution, Survey
from eval.answers import Answerer
from eval.context import AuditContext
from eval.first_token.asking import CONDITIONS, NOBODY, Asked, answered, manners, questions_of, units_of
from eval.first_token.control import control_estimates, control_questions, is_control
from eval.first_token.knowledge import knowledge_scores
from eval.first_token.manners import manner_scores
from eval.first_token.published import published_estimates
from eval.languages import in_language
from eval.neutral_text import TEXTS
from eval.panels import DEMOGRAPHICS
from eval.records import AuditResult, Estimate
from eval.summaries import summarise
from eval.survey_estimates import people_counts, survey_estimates, survey_scores
from eval.survey_scores import OF_ORDERS, average_orders, position_scores, stacked


@dataclass(frozen=True)
class FirstToken:
    """The audit. `conditions` are among CONDITIONS; `personas` and `languages` are further styles and languages to ask
    in, None for the main ones alone; `max_countries` bounds the countries asked about each item (drawn with the audit's
    seed; those with demographic groups first); `seen_items` also asks the training items, in held-out countries and,
    where training saw earlier waves only, in those of training; `language` is the main one of questions and personas,
    None for that of the prompts; `home` is the country whose pull is measured (US-centrism); `exhaustive_orders`,
    `orders_beyond` and `rotate_scales` as in `data.prompts.orders`; `control_units` are asked by the positive control;
    `as_published` adds the measures of published tables; `draws` bootstrap resamples.
    """

    conditions: tuple[str, ...] = (NOBODY, "country", "country+age")
    personas: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    max_countries: int | None = None
    seen_items: bool = True
    home: str = "USA"
    exhaustive_orders: int = 5
    orders_beyond: int = 4
    rotate_scales: bool = False
    control_units: int = 24
    as_published: bool = False
    draws: int = 10_000
    language: str | None = None

    def __post_init__(self) -> None:
        for name, values, known in (
            ("conditions", self.conditions, CONDITIONS),
            ("personas", self.personas or (), PERSONAS),
            ("languages", self.languages or (), languages()),
        ):
            if wrong := [value for value in values if value not in known]:
                raise ValueError(f"audit.first_token.{name} must be among {list(known)}, got {wrong[0]!r}")
            if len(set(values)) != len(values):
                raise ValueError(f"audit.first_token.{name} names one twice: {list(values)}")
        if NOBODY in self.conditions and "country" not in self.conditions:
            raise ValueError(
                "audit.first_token.conditions has 'none' without 'country': what is answered for nobody is held "
                f"against the people of whole countries; add country, got {list(self.conditions)}"
            )
        for name, value in (("draws", self.draws), ("exhaustive_orders", self.exhaustive_orders)):
            if value < 2:
                raise ValueError(f"audit.first_token.{name} must be at least 2, got {value}")
        if self.control_units < 1:
            raise ValueError(f"audit.first_token.control_units must be at least 1, got {self.control_units}")

    def __call__(self, context: AuditContext) -> AuditResult:
        """Ask, measure, and keep the evidence. Raises ValueError where no held-out item has people in a held-out
        country.
        """
        asked = self.ask(context)
        rng = np.random.default_rng([context.seed, 1, 2])
        answers, people = answers_table(asked.items), people_table(context.survey)
        earlier = distribution_table(context.survey.earlier) if context.split.train_before is not None else None
        own = asked.items[~is_control(asked.items)]
        more = stacked([position_scores(own), knowledge_scores(answers), manner_scores(answers)])
        estimates = survey_estimates(answers, people, rng, self.draws, self.home, earlier=earlier)
        estimates += summarise(more, rng, self.draws)
        estimates += people_counts(answers)
        if self.as_published:
            estimates += published_estimates(answers, people, rng, self.draws)
        estimates += control_estimates(asked.items, rng, self.draws)
        estimates.append(neutral_perplexity(context.answerer))
        scores = stacked([survey_scores(answers, people, self.home), more])
        settings = asdict(self) | {"language": self.language or context.renderer.asking.language}
        return AuditResult("first_token", asked.items, scores, tuple(estimates), asked.excluded, settings)

    def ask(self, context: AuditContext) -> Asked:
        """Everything that the model is asked, in one batch, and its answers. Raises ValueError as `__call__`."""
        rng = np.random.default_rng([context.seed, 1])
        context, unsaid = in_language(context, self.language)
        ways, unworded = manners(context, self.personas or (), self.languages or ())
        units, excluded = units_of(context, self.conditions, self.seen_items, self.max_countries, rng)
        knobs = (self.exhaustive_orders, self.orders_beyond, self.rotate_scales)
        shown = {unit.item.id: orders(len(unit.item.options), unit.item.ordered, *knobs) for unit in units}
        questions = [one for manner in ways for one in questions_of(units, self.conditions, manner, shown)]
        if context.controls:
            luck = np.random.default_rng([context.seed, 1, 1])
            questions += control_questions(units, ways[0], self.control_units, luck)
        return Asked(answered(questions, context), excluded | unsaid | unworded)


def people_table(survey: Survey) -> pd.DataFrame:
    """Every distribution of the survey as a row: item, country, age, sex, education, q, n (effective)."""
    return distribution_table(survey.distributions)


def distribution_table(distributions: Sequence[AnswerDistribution]) -> pd.DataFrame:
    """A row a distribution: item, country, age, sex, education, q, n (effective)."""
    return pd.DataFrame(
        {
            "item": d.item,
            **{name: getattr(d.group, name) for name in ("country", *DEMOGRAPHICS)},
            "q": np.asarray(d.probabilities),
            "n": d.n_effective,
        }
        for d in distributions
    )


def neutral_perplexity(answerer: Answerer) -> Estimate:
    """Perplexity on plain prose, for the validity gate: a variant that lost its language is no change of values."""
    method = f"exp of the mean token loss over {len(TEXTS)} neutral texts; no interval"
    nan = float("nan")
    return Estimate("perplexity", "all", "neutral text", answerer.perplexity(TEXTS), nan, nan, len(TEXTS), method)


def answers_table(items: pd.DataFrame) -> pd.DataFrame:
    """The answers table of the audit's evidence (also as read back from items.parquet), without its control."""
    own = items[~is_control(items)]
    answers = average_orders(own.loc[own["country"] != ""])
    return pd.concat([answers, spread_no_persona(average_orders(own.loc[own["country"] == ""]), answers)])


def spread_no_persona(nobody: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The one answer given without a persona, held against each country's people: a row a country of `answers`."""
    if nobody.empty:
        return nobody
    countries = answers[answers["condition"] == "country"].drop(columns=["p", "condition", *OF_ORDERS])
    return countries.merge(nobody[["item", "condition", "p", *OF_ORDERS]], on="item")
