"""The comparison of an experiment's arms: `summary.json` and the table of all unit scores, from what the cells left.

Nothing is asked of a model here. Incomplete cells are reported and never averaged.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from data.value_axes import read_axes
from eval.agreement.axes import agreement
from eval.arm_rows import arm_row, exclusions
from eval.bootstrap import DRAWS
from eval.cells import AnswersOf, Arm, CellResult, arms_of, base_of, model_of
from eval.collapse_curves import collapse_curves
from eval.contrasts import contrast_of_sets, contrasts, family, subject
from eval.controls import blind_audits, control_rows
from eval.culture_map import culture_map
from eval.curve_words import said
from eval.differences import contrast
from eval.effects import design, factor_effects
from eval.findings import findings
from eval.inference import Hypothesis, equivalence_p
from eval.leaderboard import leaderboard
from eval.pooling import levels_of, matched, mean_of_cells, pooled_estimates
from eval.records import Comparison, Estimate
from eval.response_curves import CurveSettings, response_curves
from eval.validity import Validity, gate, stopped, worst
from eval.verdicts import shortcomings, verdict_on

SCHEMA = 2
AGREEMENT_DRAWS = 2000
MAPPED = ("country", "participants:expected", "participants")
"""The condition by which an audit's countries lie on its map: the first of these that was asked."""
Drift = Callable[[str, pd.DataFrame, pd.DataFrame], list[Estimate]]
"""(audit, a variant's per-item evidence, its base's) -> how far the variant moved; empty where the audit has none."""


def compare(
    cells: Sequence[CellResult],
    hypotheses: Sequence[Hypothesis] = (),
    *,
    experiment: str,
    command: str = "",
    seed: int = 0,
    draws: int = DRAWS,
    answers: Mapping[str, AnswersOf] | None = None,
    drift: Drift | None = None,
    gate_audit: str = "first_token",
    curves: CurveSettings | None = None,
    not_a_result: Sequence[str] = (),
    split: Mapping[str, Any] | None = None,
    surveys: Sequence[Mapping[str, Any]] = (),
    provenance: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The summary (JSON-able, NaN for undefined) and all finished cells' scores with columns arm, seed, draw, audit.

    `answers` gives, by audit, how its items.parquet becomes an answers table: those audits get measures of variation
    compared, a culture map and the agreement between audits, and `gate_audit` the validity gate. The first
    untouched arm is the base that every arm is held against; trained ones are decomposed into factors (`eval.effects`)
    and make the response curves that `curves` describes (None: as `CurveSettings` has it).
    `not_a_result` adds the caller's reasons (a placeholder survey …) to those found here; `split`, `surveys` and
    `provenance` are shown as they are.
    The same cells, seed and draws give the same numbers whatever other arms there are. ValueError where a hypothesis
    names an unknown arm or has another's name.
    """
    arms = {arm.name: arm for arm in arms_of(cells)}
    for place, hypothesis in enumerate(hypotheses):
        if hypothesis.name in (other.name for other in hypotheses[:place]):
            raise ValueError(f"two hypotheses are called {hypothesis.name!r}: a verdict is found by its name")
        for name in hypothesis.weights:
            if name not in arms:
                raise ValueError(f"hypothesis {hypothesis.name!r} names arm {name!r}; the arms are {', '.join(arms)}")
    readers = answers or {}
    base = base_of(list(arms.values()))
    estimates = _estimates(arms, base, drift, seed, draws)
    validity = {name: _validity(arm, base, gate_audit, readers.get(gate_audit)) for name, arm in arms.items()}
    compared, equivalent = _comparisons(arms, base, hypotheses, readers, seed, draws)
    comparisons, by_hypothesis = family(compared, hypotheses)
    collapsed = [name for name, found in validity.items() if found.status == "collapsed"]
    effects = factor_effects(design(list(arms.values()), collapsed), functools.partial(_rng, seed), draws, readers)
    reasons = [*not_a_result, *shortcomings(arms)]
    settings, names = curves or CurveSettings(), functools.partial(_rng, seed)
    responses = response_curves(list(arms.values()), readers, settings, collapsed, names, draws)
    controls = control_rows(estimates)
    found = findings(base.name if base else None, list(arms), estimates, comparisons, validity, effects["rows"])
    summary = {
        "schema": SCHEMA,
        "experiment": experiment,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "not_a_result": reasons,
        "finding": [*found, *said(responses), *blind_audits(controls)],
        "controls": controls,
        "base": base.name if base else None,
        "arms": [arm_row(arm, validity[name]) for name, arm in arms.items()],
        "estimates": [
            {"arm": arm, "audit": audit, **asdict(one)}
            for arm, audits in estimates.items()
            for audit, found in audits.items()
            for one in found
        ],
        "comparisons": [asdict(one) for one in comparisons],
        "effects": effects,
        "response_curves": responses,
        "leaderboard": leaderboard(arms, validity, estimates, readers, functools.partial(_rng, seed), draws),
        "verdicts": [
            asdict(verdict_on(one, by_hypothesis.get(one.name), equivalent.get(one.name), arms, validity, not_a_result))
            | {"contrast": asdict(contrast(one, arms))}
            for one in hypotheses
        ],
        "culture_maps": {
            audit: _map(_pooled_answers(arms, audit, reader))
            for audit, reader in readers.items()
            if any(audit in arm.audits for arm in arms.values())
        },
        "agreement": agreement(arms, base, _rng(seed, "agreement"), min(draws, AGREEMENT_DRAWS), read_axes(), collapsed)
        if readers
        else {},
        "collapse": collapse_curves(arms, estimates, functools.partial(_rng, seed), draws),
        "split": dict(split or {}),
        "training": {name: dict(arm.first.manifest.get("training") or {}) for name, arm in arms.items() if arm.trained},
        "surveys": [dict(survey) for survey in surveys],
        "exclusions": exclusions(arms),
        "provenance": dict(provenance or {}),
    }
    table = [arm.scores(audit) for arm in arms.values() for audit in arm.audits]
    return summary, pd.concat(table, ignore_index=True) if table else pd.DataFrame()


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _estimates(
    arms: Mapping[str, Arm], base: Arm | None, drift: Drift | None, seed: int, draws: int
) -> dict[str, dict[str, list[Estimate]]]:
    found: dict[str, dict[str, list[Estimate]]] = {}
    for name, arm in arms.items():
        found[name] = {audit: pooled_estimates(arm, audit, _rng(seed, name, audit), draws) for audit in arm.audits}
        if drift is None or base is None or arm.untouched:
            continue
        for audit in set(arm.audits) & set(base.audits):
            before = base.cells[0].items(audit)
            moved = matched([drift(audit, cell.items(audit), before) for cell in arm.cells])
            rng = _rng(seed, name, audit, "drift")
            pooled = [mean_of_cells(each, levels_of(arm), audit, rng, draws) for each in moved.values()]
            found[name][audit] = [*found[name][audit], *pooled]
    return found


def _comparisons(
    arms: Mapping[str, Arm],
    base: Arm | None,
    hypotheses: Sequence[Hypothesis],
    readers: Mapping[str, AnswersOf],
    seed: int,
    draws: int,
) -> tuple[list[Comparison], dict[str, float]]:
    """All paired differences, and by hypothesis the p-value of equivalence within its margin."""
    pairs = [(name, base.name) for name in arms if name != base.name] if base else []
    pairs = list(dict.fromkeys([*pairs, *(one.pair for one in hypotheses if one.pair)]))
    found: list[Comparison] = []
    equivalent: dict[str, float] = {}
    for name, other in pairs:
        for audit in sorted(set(arms[name].audits) & set(arms[other].audits)):
            also = [
                (one.measure, one.condition, one.group)
                for one in hypotheses
                if (one.pair, one.audit) == ((name, other), audit)
            ]
            rng = _rng(seed, name, other, audit)
            for made, replicates in contrasts(arms[name], arms[other], audit, rng, draws, readers.get(audit), also):
                found.append(made)
                asked = [one for one in hypotheses if subject(one) == subject(made)]
                equivalent |= {one.name: equivalence_p(replicates, one.margin) for one in asked}
    for key, one in {subject(one): one for one in hypotheses if not one.pair}.items():
        if of_sets := contrast_of_sets(one, arms, _rng(seed, *key), draws, readers.get(one.audit)):
            found.append(of_sets[0])
            asked = [each for each in hypotheses if subject(each) == key]
            equivalent |= {each.name: equivalence_p(of_sets[1], each.margin) for each in asked}
    return found, equivalent


def _validity(arm: Arm, base: Arm | None, audit: str, reader: AnswersOf | None) -> Validity:
    """The gate of every cell and of its training; an incomplete one makes the arm incomplete whatever others are."""
    before = float("nan")
    if base and base.cells and audit in base.audits and model_of(arm) == model_of(base):
        before = _perplexity(base.cells[0], audit)
    found = [(cell, Validity("incomplete", cell.missing)) for cell in arm.incomplete]
    for cell in arm.cells:
        if audit not in cell.audits:
            found.append((cell, Validity("valid", (f"not gated: audit {audit} was not run",))))
            continue
        table = cell.answers(audit, reader) if reader else None
        found.append((cell, gate(cell.items(audit), table, _perplexity(cell, audit), before)))
    return worst([(cell.label, stopped(one, cell.manifest.get("collapsed"))) for cell, one in found])


def _perplexity(cell: CellResult, audit: str) -> float:
    """The cell's estimate `perplexity`; NaN where the audit did not measure it."""
    return next((one.value for one in cell.estimates(audit) if one.name == "perplexity"), float("nan"))


def _map(answers: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    asked = {condition for table in answers.values() for condition in table["condition"]}
    return culture_map(answers, next((condition for condition in MAPPED if condition in asked), MAPPED[0]))


def _pooled_answers(arms: Mapping[str, Arm], audit: str, reader: AnswersOf) -> dict[str, pd.DataFrame]:
    """Each arm's answers table with `p` averaged over its finished cells."""
    found = {}
    for name, arm in arms.items():
        if audit not in arm.audits:
            continue
        keys = ["item", "country", "age", "sex", "education", "condition", "stratum"]
        parts = [table.set_index(keys) for table in arm.answers(audit, reader).values()]
        shared = parts[0].index
        for part in parts[1:]:
            shared = shared.intersection(part.index)
        pooled = parts[0].loc[shared].copy()
        stacked = zip(*(part.loc[shared, "p"] for part in parts), strict=True)
        pooled["p"] = pd.Series([np.mean(np.stack(rows), axis=0) for rows in stacked], index=shared, dtype=object)
        found[name] = pooled.reset_index()
    return found
