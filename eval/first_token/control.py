"""The positive control of the first-token audit: two manipulations that must move it, else it is blind on a model.

    control:told        a line after the persona says that most people here choose an option, in the prompt's language.
                        Effect: probability of that option when told minus when not, in [-1, 1]; 0: it does not listen
    control:sharpened   the model's own distributions raised to the power 1 / T, T = 0.25. Effect: the share of their
                        entropy that this takes, in [0, 1]; 0 where they are even or certain: a test of the measure, not
                        of whether the model reads. No prompts

Our design; a share, since nats would weigh questions by how many options they have. The told option is drawn, spread
evenly over an item's options, so that a model that prefers some option or place anyway gains nothing; each pair is
asked in the item's own order and its reverse. Rows of evidence have the conditions "control:told" and
"control:not_told" and enter nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.bootstrap import mean_interval
from eval.distances import FloatArray, entropy
from eval.first_token.asking import HELD_OUT, Manner, Question, Unit, question
from eval.records import Estimate

CONTROL = "control:"
TOLD, NOT_TOLD, SHARPENED = f"{CONTROL}told", f"{CONTROL}not_told", f"{CONTROL}sharpened"
TEMPERATURE = 0.25


def is_control(items: pd.DataFrame) -> pd.Series:
    """Which rows of the evidence belong to the control."""
    return items["condition"].str.startswith(CONTROL)


def control_questions(units: Sequence[Unit], manner: Manner, most: int, rng: np.random.Generator) -> list[Question]:
    """At most `most` held-out units (whole countries where there are any), each told an option and not, in two orders.

    The rows have a column `told`: the index of the option in question.
    """
    held = [unit for unit in units if unit.stratum == HELD_OUT]
    whole = [unit for unit in held if unit.condition == "country"] or held
    drawn = [whole[index] for index in rng.permutation(len(whole))[:most]]
    waiting: dict[int, list[int]] = defaultdict(list)
    found = []
    for unit in drawn:
        options = len(unit.item.options)
        waiting[options] = waiting[options] or rng.permutation(options).tolist()
        told = waiting[options].pop()
        for order in (tuple(range(options)), tuple(reversed(range(options)))):
            for condition, said in ((TOLD, told), (NOT_TOLD, None)):
                asked = question(unit, unit.condition, manner, order, said)
                found.append(Question(asked.row | {"condition": condition, "told": told}, asked.prompt))
    return found


def sharpened(p: FloatArray, temperature: float = TEMPERATURE) -> FloatArray:
    """`p` (..., k) raised to the power 1 / `temperature` and normalised."""
    raised = (p / p.max(axis=-1, keepdims=True)) ** (1 / temperature)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def sharpening(p: FloatArray) -> float:
    """The share of the entropy of `p` (k,) that sharpening takes, in [0, 1]; 0 where there is none."""
    own = float(entropy(p))
    return 1 - float(entropy(sharpened(p))) / own if own > 0 else 0.0


def control_estimates(items: pd.DataFrame, rng: np.random.Generator, draws: int) -> list[Estimate]:
    """`control_effect` of both manipulations, from the evidence, with 95% intervals over items and countries."""
    asked = items[is_control(items)]
    if asked.empty:
        return []
    chosen = [p[int(told)] for p, told in zip(asked["p"], asked["told"], strict=True)]
    keys = ["item", "country", "age", "sex", "education"]
    mean = asked.assign(value=chosen).groupby([*keys, "condition"])["value"].mean().unstack()
    shift = (mean[TOLD] - mean[NOT_TOLD]).rename("value").reset_index()
    own = items[~is_control(items) & (items["stratum"] == HELD_OUT) & (items["condition"] == "country")]
    drops = [sharpening(np.asarray(p)) for p in own["p"]]
    drop = own[keys].assign(value=drops).groupby(keys, as_index=False)["value"].mean()
    found = []
    for condition, units in ((TOLD, shift), (SHARPENED, drop)):
        value, low, high, n, method = mean_interval(units, rng, draws)
        low, high = (float(np.clip(bound, -1, 1)) for bound in (low, high))
        found.append(Estimate("control_effect", "all", condition, value, low, high, n, method))
    return found
