"""What a preference objective asks for at its optimum, and what is measured of variation there.

Expected reward less beta * KL(policy || reference) (Ziegler et al. 2019, arXiv:1909.08593) is largest at
pi(a) ~ reference(a) * exp(reward(a) / beta) (Rafailov et al. 2023, arXiv:2305.18290, equation 4). Where people with
shares q prefer a over b with q(a) / (q(a) + q(b)) the reward is log q(a), and so for `rlhf` and `dpo`

    pi(a) ~ reference(a) * q(a) ** (1 / beta)

With an entropy bonus of weight e it is (reference ** beta * q) ** (1 / (beta + e)) (`train.rewards.optimum`), and for
`spl`, whose leash is split into a on the entropy and b on the cross-entropy, reference ** (b / a) * q ** (1 / a)
(Slocum et al. 2025, arXiv:2511.08594). Example: people (0.8, 0.2) and an even reference. Beta 1 gives the people, 0.5
(0.94, 0.06), towards 0 the most frequent answer alone, towards infinity the reference: variation collapses as beta
falls, whatever the training. What to measure there, and on which answers, is our design.

Departure: a share below `least_share` counts as that, as in the reward of `rlhf`. An answer that nobody gave has share
0 at the optimum of `dpo` and `spl`, which no training of finite length reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.distances import FloatArray, distributions, entropy, js_distance
from eval.panels import Panel, widely_asked
from eval.survey_scores import MODE, UNIT, average_orders
from eval.variation_measures import between_ratio, within_ratio

MEASURES = ("between_ratio", "within_ratio", "js_distance")
LEAST_SHARE = 0.001
TINY = float(np.finfo(np.float64).tiny)
KNOBS = {
    "train.recipes.dpo.Dpo": "beta",
    "train.recipes.rlhf.Rlhf": "beta",
    "train.recipes.spl.Spl": "entropy_weight",
}
"""The recipes with such an optimum, and the knob that says how sharp it is."""


class Tilt(NamedTuple):
    """pi ~ reference ** `of_reference` * q ** `of_people`."""

    of_reference: float
    of_people: float


@dataclass(frozen=True, slots=True)
class Law:
    """How an optimum depends on the recipe's knob: beta, or the weight of the entropy where the leash is split.

    `bonus` weighs an entropy term beside beta; `pull` the cross-entropy from the reference, None where beta does.
    """

    bonus: float = 0.0
    pull: float | None = None
    least_share: float = LEAST_SHARE

    @property
    def knob(self) -> str:
        return "beta" if self.pull is None else "entropy_weight"

    @property
    def formula(self) -> str:
        """In words: "reference × people^(1/beta)"."""
        if self.pull is not None:
            return f"reference^({self.pull:g}/{self.knob}) × people^(1/{self.knob})"
        total = f"(beta + {self.bonus:g})"
        return f"reference^(beta/{total}) × people^(1/{total})" if self.bonus else "reference × people^(1/beta)"

    def tilt(self, at: float) -> Tilt:
        """At a value of the knob; ValueError unless that is above 0."""
        if not at > 0:
            raise ValueError(f"{self.knob} must be above 0, got {at}")
        if self.pull is not None:
            return Tilt(self.pull / at, 1 / at)
        return Tilt(at / (at + self.bonus), 1 / (at + self.bonus))


def tilted(reference: npt.ArrayLike, people: npt.ArrayLike, tilt: Tilt, least_share: float = LEAST_SHARE) -> FloatArray:
    """The optimum among k options, (..., k), where the reference and the people (..., k) are distributions.

    A reference of 0, which no softmax gives, counts as the least positive number.
    """
    return np.exp(_log_optimum(reference, people, tilt, least_share))


def kl_to_optimum(
    policy: npt.ArrayLike, reference: npt.ArrayLike, people: npt.ArrayLike, tilt: Tilt, least_share: float = LEAST_SHARE
) -> FloatArray:
    """KL(policy || optimum) in nats, (...), of distributions (..., k): 0 where training can gain no more, as `rlhf`
    logs it.

    Of rlhf and dpo, beta times it is what the objective lacks. Finite, however little the optimum has on an option.
    """
    own = distributions(policy, "policy")
    best = _log_optimum(reference, people, tilt, least_share)
    return np.asarray(np.maximum(-(own * best).sum(axis=-1) - entropy(own), 0.0))


def _log_optimum(reference: npt.ArrayLike, people: npt.ArrayLike, tilt: Tilt, least_share: float) -> FloatArray:
    base = np.maximum(distributions(reference, "reference"), TINY)
    liked = np.maximum(distributions(people, "people"), max(least_share, TINY))
    weights = tilt.of_reference * np.log(base) + tilt.of_people * np.log(liked)
    weights -= weights.max(axis=-1, keepdims=True)
    return np.asarray(weights - np.log(np.exp(weights).sum(axis=-1, keepdims=True)))


class Block(NamedTuple):
    """An item's m prompts: the distributions (m, k), and the means over the orders of each of its u units, (u, m), that
    stand at `places` (u,) among the answers.
    """

    places: npt.NDArray[np.int64]
    means: FloatArray
    reference: FloatArray
    people: FloatArray


@dataclass(frozen=True)
class Prompts:
    """What a reference answered, prompt by prompt, beside the people: `answers` has a row a unit (item x group).

    An optimum is one of a prompt, for training sees one order of the options at a time: it is taken in every order and
    averaged then, as a model's answers are.
    """

    answers: pd.DataFrame
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, items: pd.DataFrame, pooled: bool = False) -> Prompts:
        """From the evidence of one condition and stratum; `pooled`: people are the mean of an item's groups, each
        alike.
        """
        answers = average_orders(items).reset_index(drop=True)
        units = pd.MultiIndex.from_frame(answers[[*UNIT]])
        blocks = []
        for _, part in items.groupby("item", sort=True):
            places, own = np.unique(units.get_indexer(pd.MultiIndex.from_frame(part[[*UNIT]])), return_inverse=True)
            means = (own == np.arange(len(places))[:, None]).astype(np.float64)
            means /= means.sum(axis=1, keepdims=True)
            reference, people = (np.stack(part[name].to_list()).astype(np.float64) for name in ("p", "q"))
            if pooled:
                people = np.broadcast_to((means @ people).mean(axis=0), people.shape)
            blocks.append(Block(places, means, reference, people))
        return cls(answers, tuple(blocks))

    def answered(self, policy: Callable[[FloatArray, FloatArray], FloatArray]) -> pd.DataFrame:
        """The answers of a policy: a function of the reference and the people (m, k) of an item's prompts."""
        p: list[Any] = [None] * len(self.answers)
        spread, sure = np.zeros(len(p)), np.zeros(len(p))
        for block in self.blocks:
            shares = policy(block.reference, block.people)
            for place, mean in zip(block.places, block.means @ shares, strict=True):
                p[place] = mean
            spread[block.places] = block.means @ entropy(shares)
            sure[block.places] = block.means @ (shares.max(axis=-1) > MODE)
        return self.answers.assign(p=p, entropy=spread, mode=sure)

    def optimum(self, law: Law, at: float) -> pd.DataFrame:
        """The answers of the optimum at a value of the law's knob."""
        tilt = law.tilt(at)
        return self.answered(lambda reference, people: tilted(reference, people, tilt, law.least_share))

    def even(self) -> pd.DataFrame:
        """The answers of a policy that takes every option alike."""
        return self.answered(lambda reference, people: np.full_like(reference, 1 / reference.shape[-1]))

    def by_people(self) -> pd.DataFrame:
        """The people's own answers as the sample that they are: both ratios are 1, the distance is 0."""
        return self.answers.drop(columns=["entropy", "mode"]).assign(p=self.answers["q"], n_model=self.answers["n"])


def variation_of(answers: pd.DataFrame) -> dict[str, float]:
    """MEASURES of the answers of one condition and stratum, each as the audit has it; NaN where undefined."""
    panel, wide = Panel.of(answers), widely_asked(answers)
    between = panel if len(wide) == len(answers) else Panel.of(wide) if len(wide) else None
    distances = [js_distance(p, q) for p, q in zip(answers["p"], answers["q"], strict=True)]
    return {
        "between_ratio": float("nan") if between is None else float(between_ratio(between)[0]),
        "within_ratio": float(within_ratio(panel)[0]),
        "js_distance": float(np.mean(distances)),
    }


def law_of(recipe: Mapping[str, Any], mixture: Mapping[str, Any]) -> Law | str:
    """The law of the optimum of a configured recipe of KNOBS, or why it has none here, as the end of a sentence."""
    if control := mixture.get("control"):
        return f"is taught by the control {control}, which is nobody's answers"
    if pairs := recipe.get("pairs"):
        return f"was trained on the pairs of {pairs}, not on these people"
    if recipe.get("loss_type") not in (None, "sigmoid"):
        return f"has the loss type {recipe['loss_type']}, whose optimum is another one"
    if recipe.get("reward") not in (None, "people"):
        return "was rewarded by a model, whose rewards are not known here"
    if recipe.get("coverage_weight"):
        return "has a coverage term, with which the optimum has no closed form"
    if recipe.get("estimator") == "sampled" and recipe.get("algorithm") != "rloo":
        return f"was trained by {recipe.get('algorithm')}, which has another optimum"
    if KNOBS[recipe["_target_"]] != "beta":
        return Law(pull=float(recipe["cross_entropy_weight"]))
    return Law(bonus=recipe.get("entropy_weight") or 0.0, least_share=recipe.get("least_share") or LEAST_SHARE)
