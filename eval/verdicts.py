"""The verdict on each hypothesis, and why a run is no result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from eval.cells import Arm
from eval.inference import Hypothesis, decide, holds_for
from eval.outer_levels import together
from eval.pooling import levels_of
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
    others = any(arm.untouched and arm.cells for arm in arms.values())
    left_out = [name for name, arm in arms.items() if arm.untouched and not arm.cells and others]  # costs its row only
    incomplete = [f"{n} ({cell.label})" for n, arm in arms.items() for cell in arm.incomplete if n not in left_out]
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
    named = {name: arms[name] for name in hypothesis.weights}
    reasons = [*placeholders, *shortcomings(named)]
    reasons += [f"{name} has collapsed" for name in named if validity[name].status == "collapsed"]
    if one is None or p_equivalence is None:
        nan, margin = float("nan"), hypothesis.margin
        what = (
            f"{hypothesis.audit} has no {hypothesis.measure} for {hypothesis.group}, condition {hypothesis.condition}"
        )
        sentence = f"No verdict: {'; '.join([*reasons, what + ', that all of its arms share'])}."
        return Verdict(hypothesis.name, hypothesis.statement, "NO VERDICT", sentence, nan, nan, nan, margin, nan)
    p, why = {"p_holm": one.p_holm, "p_equivalence": p_equivalence}, "; ".join(reasons)
    verdict = decide(hypothesis, one.value, one.low, one.high, **p, no_verdict=why)
    sentences = [verdict.sentence, *(holds_for(one.method) if np.isfinite(one.low) else [])]
    if not hypothesis.pair:
        sentences.append(f"Compared: {' minus '.join(hypothesis.words)}; {_cells(named.values())}.")
    return replace(verdict, sentence=" ".join(sentences))


def _cells(arms: Collection[Arm]) -> str:
    """In words, how often the trained arms were trained: "4 trained arms, each with 2 training seeds × 1 data draw"."""
    told = {arm.name: _levels(arm) for arm in arms if arm.trained}
    if len(told) > 1 and len(set(told.values())) == 1:
        return f"{len(told)} trained arms, each with {next(iter(told.values()))}"
    return ", ".join(f"{name} with {words}" for name, words in told.items()) or "no trained arm"


def _levels(arm: Arm) -> str:
    """For example "3 training seeds × 1 data draw"."""
    counts = ((len(arm.seeds), "training seed"), (len(arm.draws), "data draw"))
    seeds, draws = (f"{count} {name}{'s' * (count != 1)}" for count, name in counts)
    own = len(arm.cells) > 1 and together(levels_of(arm))
    return f"{seeds}, each with a data draw of its own" if own else f"{seeds} × {draws}"
