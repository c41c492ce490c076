"""Is an arm's output usable at all? The gate before any verdict, so that a broken model is not read as a change of
values.

    option mass       mean probability on all option labels together; under 0.5 the model does not answer
    position effect   0: the order of options does not matter; 1: always the same place, whatever stands there
    perplexity        on neutral text, over the base's; a ratio over 3 warns, over 10 the model has collapsed
    mode share        share of item x group with over 0.9 on one option, minus people's; over 0.5 warns
Our design: the borders are conventions, stated in the report, and every figure is shown beside its status.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from eval.survey_scores import MODE, order_effect

STATUSES = ("valid", "warned", "collapsed", "incomplete")
LEAST_MASS, MOST_POSITION, MOST_PERPLEXITY, COLLAPSED_PERPLEXITY, MOST_MODE = 0.5, 0.75, 3.0, 10.0, 0.5
_ASKED = ("item", "country", "age", "sex", "education", "condition")


@dataclass(frozen=True)
class Validity:
    """`status` is the worst of the gate's findings, in the order of STATUSES; `figures` are the numbers behind it."""

    status: str
    reasons: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


def position_effect(items: pd.DataFrame) -> float:
    """Mean over item x group of `eval.survey_scores.order_effect`; NaN where nothing was asked in two orders.

    `items` has a row a prompt: item, country, age, sex, education, condition, order (list or JSON; order[j] is the
    option shown at place j) and p (k,) in the item's own option order.
    """
    effects = []
    for _, part in items.groupby(list(_ASKED), sort=False):
        p = np.stack(part["p"].to_list()).astype(np.float64)
        orders = np.array([json.loads(order) if isinstance(order, str) else list(order) for order in part["order"]])
        if len(p) > 1:
            effects.append(order_effect(p, orders))
    return float(np.nanmean(effects)) if not np.isnan(effects).all() else float("nan")


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose condition is neither a control ("control:told") nor in another manner ("country (fr)")."""
    if "condition" not in table:
        return table
    return table[~table["condition"].str.contains(r"^control:| \(", regex=True)]


def gate(
    items: pd.DataFrame,
    answers: pd.DataFrame | None = None,
    perplexity: float = float("nan"),
    base_perplexity: float = float("nan"),
) -> Validity:
    """The status of one variant from its per-prompt evidence (`items`, as `position_effect` with option_mass).

    `answers` (p and q a row) gives the mode shares. Figures that are not known are NaN and decide nothing. What was
    asked beside the main reading does not enter: the positive control, further persona styles and languages.
    """
    items, answers = _main(items), None if answers is None else _main(answers)
    share, people = float("nan"), float("nan")
    if answers is not None and len(answers):
        people = float(np.mean([max(row) > MODE for row in answers["q"]]))
        single = answers["mode"] if "mode" in answers else [max(row) > MODE for row in answers["p"]]
        share = float(np.mean(single))
    figures = {
        "option_mass": float(items["option_mass"].mean()) if len(items) else float("nan"),
        "position_effect": position_effect(items) if len(items) else float("nan"),
        "perplexity": float(perplexity),
        "perplexity_ratio": perplexity / base_perplexity if base_perplexity > 0 else float("nan"),
        "mode_share": share,
        "mode_share_of_people": people,
    }
    collapsed, warned = [], []
    if figures["option_mass"] < LEAST_MASS:
        collapsed.append(
            f"only {figures['option_mass']:.2f} of the probability is on the answers offered; {LEAST_MASS} are needed"
        )
    if figures["perplexity_ratio"] > COLLAPSED_PERPLEXITY or math.isinf(perplexity):
        collapsed.append(f"perplexity on neutral text is {figures['perplexity_ratio']:.1f} times the base's")
    elif figures["perplexity_ratio"] > MOST_PERPLEXITY:
        warned.append(f"perplexity on neutral text is {figures['perplexity_ratio']:.1f} times the base's")
    if figures["position_effect"] > MOST_POSITION:
        warned.append(
            f"the place of an option decides more than its content (position effect {figures['position_effect']:.2f})"
        )
    if share - people > MOST_MODE:
        warned.append(f"{share:.0%} of answers put over {MODE} on one option, of people's {people:.0%}")
    status = "collapsed" if collapsed else "warned" if warned else "valid"
    return Validity(status, (*collapsed, *warned), figures)


def stopped(found: Validity, collapsed: Mapping[str, Any] | None) -> Validity:
    """What audits found of a variant whose training was stopped (the manifest's `collapsed`: reason, step): collapsed,
    whatever they found, or if they found nothing to ask (a model may be too broken). Unchanged where it was not (None).
    """
    if not collapsed:
        return found
    reason = f"its training was stopped at step {collapsed['step']}: {collapsed['reason']}"
    return Validity("collapsed", (reason, *found.reasons), found.figures)


def worst(found: Sequence[tuple[str, Validity]]) -> Validity:
    """One status for an arm from its cells' (label, validity): the worst, with each reason under its cell's label.

    Figures are the means over cells.
    """
    if not found:
        return Validity("incomplete", ("no cell is finished",))
    status = max((validity.status for _, validity in found), key=STATUSES.index)
    prefix = {label: f"{label}: " if len(found) > 1 else "" for label, _ in found}
    reasons = tuple(f"{prefix[label]}{reason}" for label, validity in found for reason in validity.reasons)
    names = dict.fromkeys(name for _, validity in found for name in validity.figures)
    figures = {
        name: float(np.mean([validity.figures.get(name, float("nan")) for _, validity in found])) for name in names
    }
    return Validity(status, reasons, figures)
