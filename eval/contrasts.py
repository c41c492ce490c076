"""Arm against arm, paired by item and group, on every measure that both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eval.bootstrap import Interval, paired
from eval.cells import Arm
from eval.inference import Hypothesis, bootstrap_p, holm
from eval.panels import STRATUM_GROUPS, stratum_group
from eval.records import Comparison
from eval.summaries import select
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
) -> list[Comparison]:
    """Arm minus `against` for one audit: every measure, condition and stratum of the unit scores, and the measures of
    variation where the audit has an answers table. `also` names further groups as (measure, condition, group).

    Undefined units (NaN) pair with nothing. All are marked exploratory; `family` marks the pre-registered ones.
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
            p = bootstrap_p(result.replicates)
            found.append(_comparison(arm, against, audit, (measure, group, condition), result.interval, p))
    if answers is not None:
        for one, replicates in variation_differences(
            tables(arm, audit, answers), tables(against, audit, answers), rng, draws
        ):
            interval = Interval(one.value, one.low, one.high, one.n, one.method)
            p = bootstrap_p(replicates) if np.isfinite(one.low) else float("nan")
            found.append(_comparison(arm, against, audit, (one.name, one.group, one.condition), interval, p))
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


def _comparison(arm: Arm, against: Arm, audit: str, key: Name, interval: Interval, p: float) -> Comparison:
    name, group, condition = key
    value, low, high, n, method = interval
    nan = float("nan")
    return Comparison(
        arm.name, against.name, audit, name, group, condition, value, low, high, n, method, p, nan, "exploratory"
    )


def family(
    comparisons: Sequence[Comparison], hypotheses: Sequence[Hypothesis]
) -> tuple[list[Comparison], Mapping[str, Comparison]]:
    """The comparisons with those that a hypothesis names marked primary and Holm's p within them, and each hypothesis's
    comparison by its name (absent where it was not measured).
    """
    wanted = {_key(hypothesis): hypothesis for hypothesis in hypotheses}
    primary = [index for index, one in enumerate(comparisons) if _key(one) in wanted]
    adjusted = dict(zip(primary, holm([comparisons[index].p for index in primary]), strict=True))
    marked = [
        replace(one, family="primary", p_holm=adjusted[index]) if index in adjusted else one
        for index, one in enumerate(comparisons)
    ]
    by_key = {_key(one): one for one in marked}
    return marked, {
        hypothesis.name: by_key[_key(hypothesis)] for hypothesis in hypotheses if _key(hypothesis) in by_key
    }


def _key(one: Comparison | Hypothesis) -> tuple[str, ...]:
    measure = one.measure if isinstance(one, Hypothesis) else one.name
    return (one.arm, one.against, one.audit, measure, one.condition, one.group)
