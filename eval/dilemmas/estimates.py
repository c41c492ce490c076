"""From choices in dilemmas to estimates: of one model (stability) and of a variant against its base (drift).

All intervals resample dilemmas with replacement (`eval.bootstrap`), stretched for few of them (`widened`, where the
coverage is stated) within the measure's bounds; both sides of a comparison are resampled alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eval.bootstrap import DRAWS, Interval, cluster_counts, mean_interval
from eval.dilemmas.bradley_terry import POLES, RIDGE
from eval.dilemmas.measures import krippendorff_alpha, preferences, preferred
from eval.dilemmas.priorities import bounds, fit, order_change, over, priorities, value_pairs
from eval.dilemmas.questions import ALONE, REPEAT, WORDING
from eval.dilemmas.scores import AGAIN, changes, control_scores, frame
from eval.records import Estimate
from eval.summaries import unless_alike, within_scale

EXACT = "exact scoring has no resampling noise, so its floor is 0"
CONTEXTS = ("unspecified", "US", "China")
OTHER = "other countries"
COUNTED = ("flip_rate", "unmatched_rate")
"""Shares of dilemmas: where none of a few turns, one of more might."""
LEAST = 5
"""Dilemmas that a context needs for a row of its own."""


def dilemma_estimates(
    items: pd.DataFrame, scores: pd.DataFrame, ridge: float, rng: np.random.Generator, draws: int
) -> list[Estimate]:
    """Everything that one model's choices say of its stability; `scores` are `dilemma_scores(items)`."""
    contexts = items.drop_duplicates("dilemma").set_index("dilemma")["context"]
    contexts = contexts.where(contexts.isin(CONTEXTS), OTHER)
    return [
        *_means(scores, contexts, rng, draws),
        *_alpha(preferences(items), rng, draws),
        *priorities(items, contexts, ridge, rng, draws),
    ]


def control_estimate(items: pd.DataFrame, control: str, rng: np.random.Generator, draws: int) -> Estimate:
    """How far what `control` suggests (a value that the system turn states, or an answer given before) moves the choice
    towards its action, in [-1, 1]; NaN where it was asked of no dilemma, because no values are known.
    """
    nan = float("nan")
    if not (items["condition"] == control).any():
        why = "undefined: no dilemma whose two values are known"
        return Estimate("control_effect", "all", control, nan, nan, nan, 0, why)
    interval = within_scale("control_effect", mean_interval(control_scores(items, control), rng, draws))
    return Estimate("control_effect", "all", control, *interval._replace(method=_over(interval)))


def training_drift(
    items: pd.DataFrame, base_items: pd.DataFrame, rng: np.random.Generator, draws: int = DRAWS, ridge: float = RIDGE
) -> list[Estimate]:
    """Training time: a variant's choices against its base's, over the dilemmas that both were asked.

    For each scored condition `c` of both, with condition "training:c": `flip_rate`, `disagreement` (its reference row
    is the base asked again), `excess_disagreement`, `js_distance`, and from the fitted value priorities, where values
    are known, `priority_drift` (logits) and `kendall_tau`. `items` and `base_items` are the audits' evidence; sampled
    texts and control rows are left out. Raises ValueError if they share no dilemma.
    """
    table, base = preferences(items), preferences(base_items)
    shared = table.index.intersection(base.index)
    if shared.empty:
        raise ValueError("the two audits share no dilemma: they were made from different corpora")
    table, base = table.loc[shared], base.loc[shared]
    found: list[Estimate] = []
    pairs = value_pairs(items).reindex(shared).dropna()
    counts = cluster_counts(len(pairs), draws, rng) if len(pairs) else np.empty((draws, 0))
    for condition in [name for name in base.columns if name in table.columns and name != REPEAT]:
        name = f"training:{condition}"
        rows = changes(table[condition], base[condition], name, f"{AGAIN}:{condition}")
        found += _means(frame(rows), None, rng, draws, same=table[condition].equals(base[condition]))
        if len(pairs):
            after, before = (fit(pairs, side[condition].loc[pairs.index], counts, ridge) for side in (table, base))
            found += order_change(after, before, name, len(pairs))
    return found


def _means(
    scores: pd.DataFrame, contexts: pd.Series | None, rng: np.random.Generator, draws: int, same: bool = False
) -> list[Estimate]:
    """The mean of every measure and condition, of flips by context too. What is preferred between poles is a group.
    `same`: both sides of the comparison are one model, which cannot differ from itself.
    """
    poles = {pole.replace(" ", "_").replace("-", "_"): pole for pole in POLES}
    found = []
    for (measure, condition), part in scores.groupby(["measure", "condition"], sort=False):
        exact = measure in ("flip_rate", "js_distance") and REPEAT not in str(condition)
        for group, units in _groups(str(measure), part, contexts):
            interval = mean_interval(units, rng, draws)
            interval = unless_alike(interval, units, measure in COUNTED and not same)
            method = _over(interval) + (f"; {EXACT}" if exact else "")
            name, where = str(measure), group
            if measure in poles:
                pole = f"pole={poles[str(measure)]}"
                name, where = "pole_preference", pole if group == "all" else f"{group}, {pole}"
            interval = within_scale(name, interval._replace(method=method), "edc")
            found.append(Estimate(name, where, str(condition), *interval))
    return found


def _over(interval: Interval) -> str:
    """`over`, or that dilemmas are too few for an interval of a mean."""
    n = interval.n
    return f"no interval: {n} dilemmas are too few" if n > 1 and np.isnan(interval.low) else over(n)


def _groups(measure: str, part: pd.DataFrame, contexts: pd.Series | None) -> list[tuple[str, pd.DataFrame]]:
    groups = [("all", part)]
    if contexts is None or measure not in ("flip_rate", *(p.replace(" ", "_").replace("-", "_") for p in POLES)):
        return groups
    context = part["item"].map(contexts)
    if context.nunique() > 1:
        groups += [(f"context={name}", rows) for name, rows in part.groupby(context) if len(rows) >= LEAST]
    return groups


def _alpha(table: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """Krippendorff's alpha of the preferred action over the paraphrases, and over all scored conditions."""
    wordings = [ALONE, *(name for name in table.columns if name.startswith(WORDING))]
    every = [name for name in table.columns if name != REPEAT]
    found = []
    for condition, raters in (("wordings", wordings), ("all conditions", every)):
        if len(raters) == 1:
            continue
        ratings = preferred(table[raters].to_numpy())
        replicates = krippendorff_alpha(ratings, cluster_counts(len(table), draws, rng))
        low, high = bounds(replicates, len(table), most=1.0)
        value = float(krippendorff_alpha(ratings)[0])
        method = f"{over(len(table))}; nominal, on the preferred action under {len(raters)} conditions"
        if len(table) > 1 and np.isnan(low):
            method = "no interval: in too many resamples one action is always preferred, which leaves alpha undefined"
        found.append(Estimate("krippendorff_alpha", "all", condition, value, low, high, len(table), method))
    return found
