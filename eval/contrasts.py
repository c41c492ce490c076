"""Arm against arm, paired by item and group, on every measure that both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eval.bootstrap import Interval, paired
from eval.cells import Arm
from eval.distances import FloatArray
from eval.inference import Hypothesis, bootstrap_p, holm
from eval.panels import STRATUM_GROUPS, stratum_group
from eval.records import Comparison
from eval.summaries import select
from eval.these_items import on_these_items
from eval.units import Units, shared
from eval.variation import Cells, variation_differences

AnswersOf = Callable[[pd.DataFrame], pd.DataFrame]
"""From an audit's per-item evidence (items.parquet) to its answers table."""

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
    first, second = (one.scores(audit).dropna(subset="value") for one in (arm, against))
    names = dict.fromkeys([*_names(first), *also])
    found = []
    for measure, condition, group in names:
        a, b = (select(scores, measure, condition, group) for scores in (first, second))
        if a.empty or b.empty:
            continue
        result = paired(a, b, rng, draws)
        if result.interval.n:
            key = (measure, group, condition)
            here = on_these_items([Units.of(part) for part in shared([a, b])], (1.0, -1.0), rng, draws)
            found.append(_comparison(arm, against, audit, key, result.interval, result.replicates, here))
    if answers is not None:
        for one, replicates in variation_differences(
            tables(arm, audit, answers), tables(against, audit, answers), rng, draws
        ):
            interval = Interval(one.value, one.low, one.high, one.n, one.method)
            key = (one.name, one.group, one.condition)
            found.append(_comparison(arm, against, audit, key, interval, replicates))
    return found


def tables(arm: Arm, audit: str, answers: AnswersOf) -> Cells:
    """The answers tables of an arm's finished cells by (seed, draw): the rows of the strata that are reported."""
    found = {(cell.seed, cell.draw): answers(cell.items(audit)) for cell in arm.cells}
    return {level: table[table["stratum"].isin(STRATUM_GROUPS)] for level, table in found.items()}


def _names(scores: pd.DataFrame) -> list[Name]:
    keys = scores[["measure", "condition", "stratum"]].drop_duplicates().itertuples(index=False)
    return sorted(
        (str(measure), str(condition), stratum_group(str(stratum)))
        for measure, condition, stratum in keys
        if not str(condition).startswith("reference:")
    )


def _comparison(
    arm: Arm,
    against: Arm,
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
    made = Comparison(
        arm.name, against.name, audit, name, group, condition, value, low, high, n, method, p, nan, "exploratory", *here
    )
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
    measure = one.measure if isinstance(one, Hypothesis) else one.name
    return (one.arm, one.against, one.audit, measure, one.condition, one.group)
