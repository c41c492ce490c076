"""Arm against arm, paired by item and group, on every measure that both have; and sets of arms, on the one measure that
a hypothesis names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eval.bootstrap import Interval, contrasted, paired
from eval.cells import AnswersOf, Arm
from eval.distances import FloatArray
from eval.inference import Hypothesis, bootstrap_p, holm
from eval.panels import STRATUM_OF, stratum_group
from eval.records import Comparison
from eval.these_items import on_these_items
from eval.units import Units, shared
from eval.variation import QUANTITIES, variation_contrasts, variation_differences

Name = tuple[str, str, str]


def contrasts(
    arm: Arm,
    against: Arm,
    audit: str,
    rng: np.random.Generator,
    draws: int,
    answers: AnswersOf | None = None,
    also: Sequence[Name] = (),
) -> list[tuple[Comparison, FloatArray]]:
    """Arm minus `against` for one audit: every measure, condition and stratum of the unit scores, and the measures of
    variation where the audit has an answers table. `also` names further groups as (measure, condition, group).

    Each with the bootstrap replicates behind its interval, empty where there is none. Undefined units (NaN) pair with
    nothing. All are marked exploratory; `family` marks the pre-registered ones.
    """
    names = dict.fromkeys([*_names(arm.scores(audit).dropna(subset="value")), *also])
    found = []
    for measure, condition, group in names:
        a, b = (one.units(audit, measure, condition, group).dropna(subset="value") for one in (arm, against))
        if a.empty or b.empty:
            continue
        result = paired(a, b, rng, draws)
        if result.interval.n:
            key = (measure, group, condition)
            here = on_these_items([Units.of(part) for part in shared([a, b])], (1.0, -1.0), rng, draws)
            found.append(_comparison((arm.name, against.name), audit, key, result.interval, result.replicates, here))
    if answers is not None:
        for one, replicates in variation_differences(
            arm.answers(audit, answers), against.answers(audit, answers), rng, draws
        ):
            interval = Interval(one.value, one.low, one.high, one.n, one.method)
            key = (one.name, one.group, one.condition)
            found.append(_comparison((arm.name, against.name), audit, key, interval, replicates))
    return found


def contrast_of_sets(
    hypothesis: Hypothesis,
    arms: Mapping[str, Arm],
    rng: np.random.Generator,
    draws: int,
    answers: AnswersOf | None = None,
) -> tuple[Comparison, FloatArray] | None:
    """What a hypothesis on sets of arms is about, with its bootstrap replicates: the weighted sum of all its arms over
    the units that all of their cells share. None where an arm has no such measure.

    A mean over arms is no mean over a population of arms: it speaks for these arms alone, and its noise is that of
    items, countries, seeds and data draws, paired over the arms that have the same.
    """
    audit, key = hypothesis.audit, (hypothesis.measure, hypothesis.group, hypothesis.condition)
    named, weights = [arms[name] for name in hypothesis.weights], list(hypothesis.weights.values())
    if not all(audit in arm.audits for arm in named):
        return None
    if hypothesis.measure in QUANTITIES and answers is not None:
        cells, stratum = [arm.answers(audit, answers) for arm in named], STRATUM_OF.get(hypothesis.group, "")
        names = (hypothesis.measure,)
        for one, replicates in variation_contrasts(cells, weights, hypothesis.condition, stratum, rng, draws, names):
            interval = Interval(one.value, one.low, one.high, one.n, one.method)
            return _comparison(hypothesis.words, audit, key, interval, replicates)
        return None
    wanted = (hypothesis.measure, hypothesis.condition, hypothesis.group)
    scores = [arm.units(audit, *wanted).dropna(subset="value") for arm in named]
    result = contrasted(scores, weights, rng, draws)
    if not result.interval.n:
        return None
    here = on_these_items([Units.of(part) for part in shared(scores)], weights, rng, draws)
    return _comparison(hypothesis.words, audit, key, result.interval, result.replicates, here)


def _names(scores: pd.DataFrame) -> list[Name]:
    keys = scores[["measure", "condition", "stratum"]].drop_duplicates().itertuples(index=False)
    return sorted(
        (str(measure), str(condition), stratum_group(str(stratum)))
        for measure, condition, stratum in keys
        if not str(condition).startswith("reference:")
    )


def _comparison(
    sides: tuple[str, str],
    audit: str,
    key: Name,
    interval: Interval,
    replicates: FloatArray,
    here: tuple[float, float] = (float("nan"), float("nan")),
) -> tuple[Comparison, FloatArray]:
    name, group, condition = key
    value, low, high, n, method = interval
    replicates = replicates if np.isfinite(low) else np.empty(0)
    p, nan = bootstrap_p(replicates), float("nan")
    made = Comparison(*sides, audit, name, group, condition, value, low, high, n, method, p, nan, "exploratory", *here)
    return made, replicates


def family(
    comparisons: Sequence[Comparison], hypotheses: Sequence[Hypothesis]
) -> tuple[list[Comparison], Mapping[str, Comparison]]:
    """The comparisons with those that a hypothesis names marked primary and Holm's p within them, and each hypothesis's
    comparison by its name (absent where it was not measured).
    """
    wanted = {subject(hypothesis) for hypothesis in hypotheses}
    primary = [index for index, one in enumerate(comparisons) if subject(one) in wanted]
    adjusted = dict(zip(primary, holm([comparisons[index].p for index in primary]), strict=True))
    marked = [
        replace(one, family="primary", p_holm=adjusted[index]) if index in adjusted else one
        for index, one in enumerate(comparisons)
    ]
    by_key = {subject(one): one for one in marked}
    return marked, {one.name: by_key[key] for one in hypotheses if (key := subject(one)) in by_key}


def subject(one: Comparison | Hypothesis) -> tuple[str, ...]:
    """What a comparison and the hypothesis that pre-registered it share."""
    if isinstance(one, Hypothesis):
        return (*one.words, one.audit, one.measure, one.condition, one.group)
    return (one.arm, one.against, one.audit, one.name, one.condition, one.group)
