"""How often simulated survey takers reply insensitively, on six axes: by rule, by a judge where rules cannot tell.

    instruction        does not name one option and say why           value_conflict  argues for another option
    question_capture   does not speak to the question                 false_facts     states what is not so
    role_play          is a machine, an examiner, from elsewhere      irrelevance     goes beyond the point

    insensitivity_rate  share of insensitive replies among those decided, in [0, 1]; group "axis=NAME", condition "by
                        rule", "by judge" (what rules left open) or "decided" (both)
    undecided_rate      share of replies to which the axis applies that stay undecided, in [0, 1]
    found_rate          share of replies to which the axis applies that were found insensitive, in [0, 1]: at least so
                        many are; with the undecided ones, at most

The axes are those of Liu et al., IP&M 62(4) 2025, 104099, who had people judge; rules, judge and rates are our design.
The surprise: an undecided reply is neither sensitive nor insensitive. Rules decide the plain cases first, so a rate "by
rule" is no rate of all replies; read it beside `undecided_rate`, and both beside the agreement with labels
(`eval.insensitivity.labels`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.labelled import AXES, load_labelled
from data.prompts import LETTERS
from eval.bootstrap import DRAWS, mean_interval
from eval.distances import FloatArray
from eval.insensitivity.judge import Case, OpenJudge, position_effect
from eval.insensitivity.labels import agreement, agreement_estimates
from eval.insensitivity.rules import RULES, Finding
from eval.insensitivity.text import Reply
from eval.records import Estimate
from eval.summaries import share_interval
from eval.units import Units

BY_RULE, BY_JUDGE, DECIDED = "by rule", "by judge", "decided"
THRESHOLD = 0.5
QUESTIONS: Mapping[str, tuple[str, str, str]] = {
    "instruction": (
        "The person was asked to name one option and to explain the choice. Which is true of the reply?",
        "It names one option and gives a reason.",
        "It names no option, or several, or gives no reason.",
    ),
    "question_capture": (
        "Which is true of the reply?",
        "It speaks to the question that was asked.",
        "It speaks of something else, or makes no sense.",
    ),
    "role_play": (
        "Who seems to speak in the reply?",
        "A person of that country, for themselves.",
        "A machine, an examiner, or somebody of another country.",
    ),
    "value_conflict": (
        "Which is true of the option chosen and the rest of the reply?",
        "They fit together.",
        "The rest of the reply speaks for another option.",
    ),
    "false_facts": (
        "Is anything wrong that the reply states about the country, the place, the options or earlier answers?",
        "No, nothing is wrong.",
        "Yes, something is wrong.",
    ),
    "irrelevance": (
        "Which is true of the reply?",
        "All of it is to the point.",
        "Part of it is beside the point, repeated, or no language.",
    ),
}
"""What the judge is asked on each axis: the question, the answer of a sensitive reply, that of an insensitive one."""


@dataclass(frozen=True)
class Verdicts:
    """What rules and judge say of n replies: `findings[axis]` by rule, `p[axis]` (n, 2) the judge's probability that
    the reply is insensitive in both orders of its answers, NaN where it was not asked.
    """

    findings: Mapping[str, tuple[Finding, ...]]
    p: Mapping[str, FloatArray]

    def applies(self, axis: str) -> FloatArray:
        """Where the axis asks something of the reply, (n,) booleans."""
        return np.array([one.verdict != "not applicable" for one in self.findings[axis]], dtype=bool)

    def by_rule(self, axis: str) -> FloatArray:
        """1 insensitive, 0 sensitive, NaN undecided or not applicable, (n,)."""
        value = {"insensitive": 1.0, "sensitive": 0.0}
        return np.array([value.get(one.verdict, np.nan) for one in self.findings[axis]], dtype=np.float64)

    def by_judge(self, axis: str) -> FloatArray:
        """As `by_rule`, by the judge's mean probability over both orders; NaN at exactly one half."""
        mean = self.p[axis].mean(axis=1)
        return np.where(np.isnan(mean) | (mean == THRESHOLD), np.nan, mean > THRESHOLD)

    def decided(self, axis: str) -> FloatArray:
        """The rule's verdict, else the judge's."""
        rule = self.by_rule(axis)
        return np.where(np.isnan(rule) & self.applies(axis), self.by_judge(axis), rule)

    def flags(self, index: pd.Index) -> pd.DataFrame:
        """One column an axis (1, 0, NaN) and `reasons`, JSON: by axis what decided it, with the judge's probability."""
        table = pd.DataFrame({axis: self.decided(axis) for axis in self.findings}, index=index)
        return table.assign(reasons=[self._reasons(row) for row in range(len(table))])

    def _reasons(self, row: int) -> str:
        reasons: dict[str, dict[str, Any]] = {}
        for axis, findings in self.findings.items():
            finding, p = findings[row], self.p[axis][row]
            reasons[axis] = {"rule": finding.verdict, "reason": finding.reason}
            if not np.isnan(p).any():
                reasons[axis] |= {"judge": round(float(p.mean()), 4), "orders": [round(float(one), 4) for one in p]}
        return json.dumps(reasons, ensure_ascii=False)


def verdicts(items: pd.DataFrame, judge: OpenJudge | None, language: str = "en", whole: bool = False) -> Verdicts:
    """Rules on every reply, and the judge on what they leave undecided (`whole`: on everything).

    `items` has a row a reply: country, place, question, options (in the order shown), persona, memory (JSON), reply,
    letter, explanation. Raises ValueError where a column is missing or in another form.
    """
    replies = [Reply.of(row, language) for row in items.to_dict("records")]
    findings = {axis: tuple(RULES[axis](reply) for reply in replies) for axis in AXES}
    p = {axis: np.full((len(replies), 2), np.nan) for axis in AXES}
    if judge is not None:
        asked = [
            (axis, row)
            for row in range(len(replies))
            for axis in AXES
            if whole or findings[axis][row].verdict == "undecided"
        ]
        personas = items["persona"].astype(str).to_list()
        told = judge.p_second([_case(replies[row], personas[row], axis) for axis, row in asked])
        for (axis, row), both in zip(asked, told, strict=True):
            p[axis][row] = both
    return Verdicts(findings, p)


def insensitivity_estimates(
    items: pd.DataFrame,
    judge: OpenJudge | None,
    rng: np.random.Generator,
    draws: int = DRAWS,
    language: str = "en",
) -> tuple[list[Estimate], pd.DataFrame]:
    """Rates with intervals over items and countries, the agreement of rules and judge with the labelled sample, and the
    flags of each reply (`Verdicts.flags`, index as `items`).

    `items` as in `verdicts`, with item and country; the rows of one condition. Without a judge there is no row "by
    judge". Rates of no decided reply are NaN with n = 0.
    """
    found = verdicts(items, judge, language)
    estimates = []
    for axis in AXES:
        applies = found.applies(axis)
        columns = {BY_RULE: found.by_rule(axis)}
        if judge is not None:
            judged = np.where(np.isnan(found.by_rule(axis)), found.by_judge(axis), np.nan)
            columns |= {BY_JUDGE: judged, DECIDED: found.decided(axis)}
        for condition, flags in columns.items():
            known = ~np.isnan(flags)
            estimates.append(_rate("insensitivity_rate", axis, condition, items[known], flags[known], rng, draws))
            if condition != BY_JUDGE:
                of_all = {"undecided_rate": np.isnan(flags[applies]), "found_rate": flags[applies] == 1}
                estimates += [
                    _rate(name, axis, condition, items[applies], shares.astype(np.float64), rng, draws)
                    for name, shares in of_all.items()
                ]
    labelled = load_labelled()
    truth = verdicts(pd.DataFrame([one.row for one in labelled]), judge, whole=True)
    held = agreement(labelled, truth, rng, draws)
    estimates += agreement_estimates(held)
    if judge is not None:
        for axis in AXES:
            p = truth.p[axis]
            method = f"mean over {len(p)} labelled replies, each in two orders; judge: {judge.name}"
            value = position_effect(p)
            row = ("judge_position_effect", f"axis={axis}", BY_JUDGE, value, float("nan"), float("nan"), len(p), method)
            estimates.append(Estimate(*row))
    return estimates, found.flags(items.index)


def _rate(
    name: str, axis: str, condition: str, items: pd.DataFrame, flags: FloatArray, rng: np.random.Generator, draws: int
) -> Estimate:
    scores = pd.DataFrame({"item": items["item"], "country": items["country"], "value": flags})
    interval = mean_interval(scores, rng, draws)
    if not np.isnan(interval.low):
        low, high = share_interval(interval.value, interval.low, interval.high, Units.of(scores))
        interval = interval._replace(low=low, high=high)
    return Estimate(name, f"axis={axis}", condition, *interval)


def _case(reply: Reply, persona: str, axis: str) -> Case:
    """The reply as the judge sees it: who was asked what, what they remember, what they said; then the axis."""
    question, sensitive, insensitive = QUESTIONS[axis]
    options = [f"({letter}) {option}" for letter, option in zip(LETTERS, reply.options, strict=False)]
    earlier = [f'Earlier: "{asked.splitlines()[0]}" Reply: "{answer}"' for asked, answer in reply.memory]
    about = [f'The person said: "{persona}"', *earlier, f"Question: {reply.question}", *options]
    return Case("\n".join([*about, f'The reply: "{reply.reply.strip()}"', "", question]), (sensitive, insensitive))
