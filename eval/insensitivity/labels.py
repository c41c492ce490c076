"""How well rules and judge agree with the labelled replies of `data.labelled`, axis by axis.

    coverage  share of the labelled replies that are decided
    accuracy  share of the decided ones decided as labelled
    kappa     Cohen's (1960): agreement beyond that of two who know only how frequent each verdict is; at most 1, 0 by
              chance, NaN where both always say the same thing

A row of its own says always what is labelled more often: accuracy by itself proves nothing where one label prevails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data.labelled import AXES, LabelledAnswer
from eval.bootstrap import DRAWS, percentile_interval
from eval.distances import FloatArray
from eval.records import Estimate

if TYPE_CHECKING:
    from eval.insensitivity.rates import Verdicts

RULES_ALONE, JUDGE_ALONE, BOTH, MAJORITY = "rules", "judge", "rules then judge", "always the more frequent label"
RULES_UNSEEN = "rules, on replies that they were not made with"
_NAMES = {
    RULES_ALONE: ("rule", "by rule"),
    RULES_UNSEEN: ("rule_unseen", "by rule"),
    JUDGE_ALONE: ("judge", "by judge"),
    BOTH: ("decided", "decided"),
    MAJORITY: ("majority", "reference:majority"),
}
COLUMNS = ("axis", "who", "n", "coverage", "accuracy", "kappa", "low", "high")


def cohen_kappa(counts: FloatArray) -> FloatArray:
    """Cohen's kappa of 2 × 2 tables of counts, (…, 2, 2) → (…,); NaN where chance agreement is 1 or nothing is
    counted.
    """
    total = counts.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = counts / total[..., None, None]
        observed = shares[..., 0, 0] + shares[..., 1, 1]
        by_chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
        return np.asarray(np.where(by_chance < 1, (observed - by_chance) / (1 - by_chance), np.nan))


def kappa_interval(first: FloatArray, second: FloatArray, rng: np.random.Generator, draws: int) -> tuple[float, ...]:
    """Kappa of two 0/1 vectors with its 95% interval, (value, low, high); replies are resampled.

    Where all agree, resampling knows no other sample: `low` is then kappa at the largest share of disagreement under
    which none would be seen among so many with a probability of 2.5% (Clopper and Pearson 1934).
    """
    n = len(first)
    if not n:
        return (float("nan"),) * 3
    counts = np.zeros((2, 2))
    np.add.at(counts, (first.astype(int), second.astype(int)), 1)
    value = float(cohen_kappa(counts))
    if value == 1:
        unseen, share = 1 - 0.025 ** (1 / n), float(first.mean())
        return value, 1 - unseen / (2 * share * (1 - share)), 1.0
    resampled = rng.multinomial(n, counts.reshape(-1) / n, size=draws).reshape(-1, 2, 2)
    return (value, *percentile_interval(cohen_kappa(resampled.astype(np.float64))))


def agreement(
    labelled: Sequence[LabelledAnswer], found: Verdicts, rng: np.random.Generator, draws: int = DRAWS
) -> pd.DataFrame:
    """A row an axis and way of deciding (columns COLUMNS); `n` counts labelled replies, those without a label left out.

    `found` are the verdicts on the same replies in the same order, the judge asked about all of them. Without a judge
    there are no rows of it.
    """
    rows: list[tuple[object, ...]] = []
    for axis in AXES:
        labels = np.array([np.nan if (label := one.labels[axis]) is None else label for one in labelled], dtype=float)
        there = ~np.isnan(labels)
        unseen = np.array([one.part == "held_out" for one in labelled])
        ways = {RULES_ALONE: found.by_rule(axis), RULES_UNSEEN: found.by_rule(axis)}
        if not np.isnan(found.p[axis]).all():
            ways |= {JUDGE_ALONE: found.by_judge(axis), BOTH: found.decided(axis)}
        for who, said in ways.items():
            of = there & unseen if who == RULES_UNSEEN else there
            both = of & ~np.isnan(said)
            right = float((said[both] == labels[both]).mean()) if both.any() else float("nan")
            kappa = kappa_interval(labels[both], said[both], rng, draws)
            coverage = float(both.sum() / of.sum()) if of.any() else float("nan")
            rows.append((axis, who, int(of.sum()), coverage, right, *kappa))
        share = float(labels[there].mean())
        rows.append((axis, MAJORITY, int(there.sum()), 1.0, max(share, 1 - share), 0.0, float("nan"), float("nan")))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def agreement_estimates(table: pd.DataFrame) -> list[Estimate]:
    """`rule_kappa`, `rule_accuracy`, `rule_coverage`, likewise `rule_unseen_…`, `judge_…` and `decided_…` (rules, then
    judge), and `majority_accuracy`; group "axis=NAME".
    """
    nan, found = float("nan"), []
    for row in table.to_dict("records"):
        prefix, condition = _NAMES[row["who"]]
        group, n = f"axis={row['axis']}", row["n"]
        decided = 0 if np.isnan(row["coverage"]) else round(row["coverage"] * n)
        method = f"on {decided} of {n} labelled replies"
        values = [("accuracy", row["accuracy"], nan, nan, decided)]
        if row["who"] != MAJORITY:
            kappa = ("kappa", row["kappa"], row["low"], row["high"], decided)
            values += [("coverage", row["coverage"], nan, nan, n), kappa]
        for name, value, low, high, count in values:
            how = f"bootstrap {method}" if name == "kappa" else f"{method}; no interval"
            found.append(Estimate(f"{prefix}_{name}", group, condition, value, low, high, count, how))
    return found


def worthless(low: float) -> bool:
    """Whether a kappa with this lower bound is no better than guessing; so is one without an interval."""
    return not low > 0
