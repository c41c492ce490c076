"""Can MARK's traces be believed? Does a stage decide anything, is the cited cause the cause, is a type found twice?"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.distances import FloatArray, entropy
from eval.mark.resamples import Resamples
from eval.mark.writing import Written
from eval.records import Estimate


def trust_estimates(items: pd.DataFrame, again: Resamples) -> list[Estimate]:
    """Estimates by name and condition; shares and rates in [0, 1], total variations in [0, 1].

    stage_validity: S1, a feature kept and another not, the levels a point or more apart · S3, stress found to harm some
    functions and not others over all decisions of the person. decisiveness of a stage: 1 - entropy over its maximum;
    near 0 the verdict hangs on a hair, and on the wording; undefined for written verdicts. stage_validity of S3
    weights: they fall with the rank (`in_order`). negative_impact_rate; consistency_rate (answers that fit at once);
    revision_changed_rate (of revisions); position_effect (total variation between an answer's two orders).
    vote_agreement. faithfulness: how far the answer moves without what is cited, without another, the difference, and,
    of written answers, where the same is asked again. type_stability against its chance level. type_share. option_mass
    by stage.
    """
    chosen = bool(items["option_mass"].notna().any())
    people = items.drop_duplicates("respondent")
    who, ids = items["respondent"].tolist(), people["respondent"].tolist()
    voices = _voices(items)
    heard = voices["respondent"].tolist()
    negative = voices["under_stress"].astype(float)
    mixed = negative.groupby(voices["respondent"]).nunique().reindex(ids) > 1
    revised = voices[voices["revised"]]
    changed = (revised["answer"] != revised["first_answer"]).astype(float)
    made = [
        again.mean("stage_validity", "S1 stress", ids, people["stress_valid"].astype(float).tolist()),
        again.mean("stage_validity", "S3 impact", ids, mixed.astype(float).tolist()),
        again.mean("consistency_rate", "S4 consistency", heard, (~voices["revised"]).astype(float).tolist()),
        again.mean("negative_impact_rate", "S3 impact", heard, negative.tolist()),
        again.mean("revision_changed_rate", "S4 consistency", revised["respondent"].tolist(), changed.tolist()),
        again.mean("vote_agreement", "mark", who, items["vote_agreement"].tolist()),
    ]
    if chosen:
        made += [
            again.mean("decisiveness", "S2 type", ids, _decisiveness(np.stack(people["p_dominant"].to_list()))),
            again.mean("decisiveness", "S3 impact", heard, _decisiveness(_yes_no(voices["negative_impact"]))),
            again.mean("decisiveness", "S4 consistency", heard, _decisiveness(_yes_no(voices["consistent"]))),
            again.mean("position_effect", "S3 answer", heard, voices["position_effect"].tolist()),
            *_option_mass(items, again),
        ]
    else:
        made += [
            again.mean("stage_validity", "S3 weights", who, items["weights_in_order"].tolist()),
            again.mean("faithfulness", "feature: asked again", who, items["asked_again"].tolist()),
        ]
    for kind, top, other in (
        ("function", "without_cited_function", "without_other_function"),
        ("feature", "without_cited_feature", "without_other_feature"),
    ):
        made += [
            again.mean("faithfulness", f"{kind}: greatest", who, items[top].tolist()),
            again.mean("faithfulness", f"{kind}: another", who, items[other].tolist()),
            again.mean("faithfulness", f"{kind}: difference", who, (items[top] - items[other]).tolist(), least=-1.0),
        ]
    return [*made, *_type_estimates(people, again)]


def failure_estimates(texts: Sequence[Written], draws: int, rng: np.random.Generator) -> list[Estimate]:
    """Of all texts of a stage: `stage_failed`, the share that did not fulfil its schema after all attempts, and
    `stage_retried`, that did not at once; over the people whom the texts are about.
    """
    made = []
    for stage in dict.fromkeys(text.stage for text in texts):
        part = [text for text in texts if text.stage == stage]
        who = [text.person for text in part]
        again = Resamples.of(who, draws, rng)
        failed, retried = [text.value is None for text in part], [text.attempts > 1 for text in part]
        made.append(again.mean("stage_failed", stage, who, list(map(float, failed))))
        made.append(again.mean("stage_retried", stage, who, list(map(float, retried))))
    return made


def _decisiveness(p: FloatArray) -> list[float]:
    values: list[float] = (1 - entropy(p) / np.log(p.shape[-1])).tolist()
    return values


def _yes_no(yes: pd.Series) -> FloatArray:
    p = yes.to_numpy(dtype=np.float64)
    return np.column_stack([p, 1 - p])


def _voices(items: pd.DataFrame) -> pd.DataFrame:
    """One row a function of a decision."""
    rows = []
    for respondent, functions in zip(items["respondent"], items["functions"], strict=True):
        rows += [{"respondent": respondent, **voice} for voice in json.loads(functions)]
    return pd.DataFrame(rows)


def _type_estimates(people: pd.DataFrame, again: Resamples) -> list[Estimate]:
    ids = people["respondent"].tolist()
    repeated = people["type_repeated"].replace("", np.nan)
    same = (people["type"] == repeated).astype(float).where(repeated.notna()).tolist()
    first, second = people["type"].value_counts(normalize=True), repeated.value_counts(normalize=True)
    chance = float((first * second).dropna().sum())
    nan = float("nan")
    made = [
        again.mean("type_stability", "features shuffled", ids, same),
        Estimate(
            "type_stability", "all", "reference:chance", chance, nan, nan, len(ids), "product of the shares of types"
        ),
    ]
    for name in sorted(set(people["type"])):
        is_it = (people["type"] == name).astype(float).tolist()
        made.append(again.mean("type_share", "S2 type", ids, is_it, group=f"type={name}"))
    return made


def _option_mass(items: pd.DataFrame, again: Resamples) -> list[Estimate]:
    rows = [
        (respondent, entry["stage"], entry["option_mass"])
        for respondent, prompts in zip(items["respondent"], items["prompts"], strict=True)
        for entry in json.loads(prompts)
    ]
    table = pd.DataFrame(rows, columns=["respondent", "stage", "mass"])
    return [
        again.mean("option_mass", str(stage), part["respondent"].tolist(), part["mass"].tolist())
        for stage, part in table.groupby("stage", sort=True)
    ]
