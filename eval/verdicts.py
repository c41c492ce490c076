"""The verdict on each hypothesis, and why a run is no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eval.cells import Arm
from eval.inference import Hypothesis, decide
from eval.records import Comparison, Verdict
from eval.validity import Validity


def shortcomings(arms: Mapping[str, Arm]) -> list[str]:
    """Why nothing here may be read as a result: too few seeds, a limit, incomplete cells; empty where all is well."""
    reasons = []
    alone = [name for name, arm in arms.items() if arm.trained and len(arm.seeds) < 2]
    if alone:
        reasons.append(f"fewer than two training seeds: {', '.join(alone)}")
    limits = sorted(
        {
            str(cell.config["limit"])
            for arm in arms.values()
            for cell in (*arm.cells, *arm.incomplete)
            if cell.config.get("limit") is not None
        }
    )
    if limits:
        reasons.append(f"the audits were cut short by limit={', '.join(limits)}")
    incomplete = [f"{name} ({cell.label})" for name, arm in arms.items() for cell in arm.incomplete]
    if incomplete:
        reasons.append(f"incomplete cells: {', '.join(incomplete)}")
    return reasons


def verdict_on(
    hypothesis: Hypothesis,
    one: Comparison | None,
    p_equivalence: float | None,
    arms: Mapping[str, Arm],
    validity: Mapping[str, Validity],
    placeholders: Sequence[str],
) -> Verdict:
    """The hypothesis decided by its comparison `one` (None: the arms share no such measure); `placeholders` are reasons
    of the caller against any verdict.
    """
    named = {name: arms[name] for name in (hypothesis.arm, hypothesis.against)}
    reasons = [*placeholders, *shortcomings(named)]
    reasons += [f"{name} has collapsed" for name in named if validity[name].status == "collapsed"]
    if one is None or p_equivalence is None:
        nan, margin = float("nan"), hypothesis.margin
        what = (
            f"{hypothesis.audit} has no {hypothesis.measure} for {hypothesis.group}, condition {hypothesis.condition}"
        )
        sentence = f"No verdict: {'; '.join([*reasons, what + ', that both arms share'])}."
        return Verdict(hypothesis.name, hypothesis.statement, "NO VERDICT", sentence, nan, nan, nan, margin, nan)
    p, why = {"p_holm": one.p_holm, "p_equivalence": p_equivalence}, "; ".join(reasons)
    verdict = decide(hypothesis, one.value, one.low, one.high, **p, no_verdict=why)
    given = next((part for part in one.method.split("; ") if "as given" in part), "")
    return (
        replace(verdict, sentence=f"{verdict.sentence} It holds for {given}.")
        if given and np.isfinite(one.low)
        else verdict
    )
