"""What two arms differ in beside what is meant, from cells made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.cells import Arm, CellResult
from eval.differences import FACTORS, Contrast, Difference, contrast, differences, of_sets
from eval.inference import Hypothesis

CONFIG: dict[str, Any] = {
    "recipe": {"_target_": "train.recipes.match.Match", "learning_rate": 5e-5, "mass_weight": 0.1},
    "adapter": {"_target_": "train.adapters.Full", "learning_rate_scale": 1.0},
    "mixture": {"_target_": "data.mixture.Mixture", "countries": None},
    "survey": {"blocks": ["wvs3"], "min_n": 50},
    "prompt": {"style": "chat", "language": "en"},
    "inference": {"_target_": "eval.interventions.Unchanged"},
    "model": {"name": "tiny", "source": "tiny", "dtype": "auto"},
    "parent": {"name": "tiny", "source": "tiny", "weights": "aaaa"},
    "budget": {"examples": 320, "batch_size": 16, "match": "examples", "amount": None},
    "engine": {"kind": "single", "processes": 1, "threads": 4},
    "audit": {"first_token": {"draws": 100}, "edc": {"draws": 100}},
    "audit_seed": 0,
    "limit": None,
    "judge": {"_target_": "eval.insensitivity.judge.NoJudge"},
    "backend": {"_target_": "eval.backends.in_process.InProcess", "name": "transformers", "rows": 32},
}
SPENT = {"examples": 320, "tokens": 30000.0, "steps": 20, "flops": 6e12}


def arm(
    name: str,
    recipe: str = "match",
    adapter: str = "full",
    mixture: str = "diverse",
    inference: str = "none",
    spent: Mapping[str, float] = SPENT,
    seeds: tuple[int, ...] = (0,),
    **knobs: Any,
) -> Arm:
    """An arm; `knobs` are changed in its configuration, as in `recipe__mass_weight=0.5`."""
    whole: dict[str, Any] = {part: dict(node) if isinstance(node, dict) else node for part, node in CONFIG.items()}
    for key, value in knobs.items():
        part, _, knob = key.partition("__")
        if knob:
            whole[part][knob] = value
        else:
            whole[part] = value
    cells = [
        CellResult(name, seed, 0, Path(name), {"budget": dict(spent)}, whole, recipe, adapter, mixture, inference)
        for seed in seeds
    ]
    return Arm(name, tuple(cells), ())


def hypothesis(factor: Any = None) -> Hypothesis:
    return Hypothesis("h", "s", "first_token", "js_distance", "one", "other", "lower", 0.01, factor=factor)


def between(one: Arm, other: Arm, factor: Any = None) -> Contrast:
    """The contrast of a hypothesis on two arms."""
    asked = replace(hypothesis(factor), arm=one.name, against=other.name)
    return contrast(asked, {one.name: one, other.name: other})


def test_the_same_arm_differs_in_nothing() -> None:
    assert differences(arm("one"), arm("other")) == []
    found = between(arm("one"), arm("other"))
    assert (found.factor, found.others, found.warning) == ("", (), "")
    assert found.meant == "one and other differ in nothing that is known of them."


def test_a_matched_contrast_of_objectives_names_its_learning_rates_and_warns_of_nothing() -> None:
    found = between(arm("one"), dpo())
    assert found.factor == "objective"
    assert found.own == (
        Difference("objective", "recipe match against dpo"),
        Difference("objective", "learning_rate 5e-05 against 5e-06"),
    )
    assert found.meant == (
        "one and other are meant to differ in the objective (recipe match against dpo, learning_rate 5e-05 against "
        "5e-06)."
    )
    assert (found.others, found.warning) == ((), "")


def dpo(**changes: Any) -> Arm:
    return arm("other", "dpo", recipe__learning_rate=5e-6, recipe__beta=0.1, **changes)


def test_more_than_the_objective_is_named() -> None:
    found = between(
        arm("one"),
        dpo(spent=SPENT | {"flops": 8e12}, adapter="lora", prompt__language="fr"),
    )
    assert [each.factor for each in found.others] == ["parameters", "asking", "budget"]
    assert found.warning == (
        "one and other differ in more than the objective: also in the trained parameters (adapter full against lora); "
        "how the model is asked (prompt.language en against fr); the budget (FLOPs 6e+12 against 8e+12)."
    )


@pytest.mark.parametrize(
    ("changes", "factor", "what"),
    [
        ({"recipe__mass_weight": 0.5}, "objective", "mass_weight 0.1 against 0.5"),
        ({"recipe__learning_rate": 1e-3}, "objective", "learning_rate 5e-05 against 0.001"),
        ({"adapter__learning_rate_scale": 2.0}, "parameters", "learning_rate_scale 1.0 against 2.0"),
        ({"mixture__countries": ["NOR", "USA"]}, "data", "countries null against NOR, USA"),
        ({"survey__min_n": 10}, "data", "survey.min_n 50 against 10"),
        ({"survey__split": {"seed": 0, "train_before": 2005}}, "data", "survey.split.train_before null against 2005"),
        ({"seeds": (0, 1)}, "data", "seeds 0 against 0, 1"),
        ({"parent__weights": "bbbb"}, "start", "weights of tiny aaaa against bbbb"),
        ({"parent__cell": "/runs/x/cells/sft-full--s0--d0--01234567"}, "start", "parent the base against sft-full"),
        ({"recipe___target_": "mine.Match"}, "objective", "_target_ train.recipes.match.Match against mine.Match"),
        ({"audit__first_token": {"draws": 5}}, "asking", "audit.first_token.draws 100 against 5"),
        ({"audit_seed__": 1}, "asking", "audit_seed 0 against 1"),
        ({"limit__": 3}, "asking", "limit null against 3"),
        ({"judge__name": "strict"}, "asking", "judge.name null against strict"),
        ({"inference__style": "native"}, "asking", "inference.style null against native"),
        ({"budget__batch_size": 8}, "budget", "budget.batch_size 16 against 8"),
        ({"spent": SPENT | {"tokens": 34000.0}}, "budget", "prompt tokens 30 000 against 34 000"),
        ({"spent": SPENT | {"steps": 40}}, "budget", "optimiser steps 20 against 40"),
        ({"model__dtype": "bfloat16"}, "precision", "dtype auto against bfloat16"),
        ({"model__attention": "eager"}, "precision", "attention null against eager"),
        ({"engine__processes": 2, "engine__kind": "ddp"}, "precision", "engine.kind single against ddp"),
        ({"backend__name": "vllm"}, "precision", "backend.name transformers against vllm"),
        ({"backend__dtype": "float16"}, "precision", "backend.dtype null against float16"),
    ],
)
def test_every_factor_is_seen(changes: dict[str, Any], factor: str, what: str) -> None:
    found = differences(arm("one"), arm("other", **changes), "first_token")
    assert any(each.factor == factor and each.what.startswith(what) for each in found)
    assert {each.factor for each in found} == {factor}
    assert factor in FACTORS


@pytest.mark.parametrize(
    "changes",
    [
        {"spent": SPENT | {"tokens": 31400.0}},  # within 5% of the larger
        {"engine__threads": 1},
        {"backend__rows": 8},
        {"budget__match": "steps", "budget__amount": 20},  # what it came to is the same
        {"budget__micro_batch": 4, "budget__checkpoint_every": 1},  # no gradient changes
        {"audit__edc": {"draws": 5}},  # another audit than the one that is compared
        {"spent": {}},  # not known, not judged
    ],
)
def test_what_makes_no_difference_is_not_named(changes: dict[str, Any]) -> None:
    assert differences(arm("one"), arm("other", **changes), "first_token") == []


def test_what_an_arm_spent_is_the_mean_of_its_cells() -> None:
    one = arm("one", seeds=(0, 1))
    first, second = one.cells
    dearer = replace(second, manifest={"budget": SPENT | {"steps": 40}})
    assert differences(one, replace(one, cells=(first, dearer))) == [
        Difference("budget", "optimiser steps 20 against 30")
    ]


def test_long_values_that_differ_in_their_ends_are_told_apart() -> None:
    path = f"file:/home/{'folder/' * 12}"
    (found,) = differences(
        arm("one", survey__blocks=[f"{path}a.jsonl"]), arm("other", survey__blocks=[f"{path}b.jsonl"])
    )
    assert "a.jsonl against file:" in found.what
    assert found.what.endswith("b.jsonl")


def test_a_parent_of_the_same_name_that_was_made_otherwise_is_another() -> None:
    """Of other seeds the hash differs as well: parents of one arm are then the same."""
    cell = "/runs/x/cells/sft-full--s0--d0--"
    one, other = (arm("one", parent__cell=cell + made) for made in ("aaaaaaaa", "bbbbbbbb"))
    assert differences(one, other) == [Difference("start", "parent sft-full aaaaaaaa against bbbbbbbb")]
    assert differences(one, arm("other", parent__cell=cell.replace("s0", "s1") + "bbbbbbbb")) == []


def test_chains_of_one_recipe_differ_in_their_start() -> None:
    found = differences(arm("one", "sft → dpo"), arm("other", "dpo"))
    assert found == [Difference("start", "parent sft against the base")]
    assert between(arm("one", "sft → dpo"), arm("other", "dpo")).warning == ""


def test_a_factor_that_is_named_is_meant() -> None:
    one, other = arm("one"), arm("other", adapter="lora", mixture="monocultural")
    assert between(one, other).factor == "parameters"
    named = between(one, other, "data")
    assert named.warning.startswith("one and other differ in more than the training data: also in the trained param")
    absent = between(one, other, "objective")
    assert absent.warning.startswith("one and other do not differ in the objective, the factor that is named, but in")
    alone = between(one, arm("other"), "objective")
    assert alone.warning == "one and other do not differ in the objective, the factor that is named."


def test_beside_the_base_only_what_training_cannot_explain_is_named() -> None:
    base = arm("base", "none", spent=dict.fromkeys(SPENT, 0))
    assert between(arm("one"), base).warning == ""
    asked = arm("base", "none", spent=dict.fromkeys(SPENT, 0), prompt__language="fr")
    assert between(arm("one"), asked).warning == (
        "one and base differ in more than training: also in how the model is asked (prompt.language en against fr)."
    )


OTHER_MODEL = {"model__name": "big", "parent__name": "big", "parent__weights": "bbbb"}


def test_another_model_is_named_beside_an_untrained_arm_too() -> None:
    base, other = arm("base", "none"), arm("other", "none", **OTHER_MODEL)
    found = between(base, other)
    assert (found.factor, found.own, found.warning) == ("start", (Difference("start", "model tiny against big"),), "")
    trained = arm("one", parent__cell="/runs/x/cells/sft-full--s0--d0--01234567")
    assert between(trained, other).warning == (
        "one and other differ in more than training: also in where training started (model tiny against big)."
    )


def test_interventions_at_inference_time_are_a_factor() -> None:
    one, base = arm("one", "none", inference="persona_prompt"), arm("base", "none")
    found = between(one, base)
    assert (found.factor, found.warning) == ("asking", "")


def test_unknown_factors_are_refused() -> None:
    with pytest.raises(ValueError, match="factor must be one of objective, parameters"):
        hypothesis("colour")


RECIPES: dict[str, dict[str, Any]] = {
    "sft": {"recipe__learning_rate": 1e-5},
    "match": {},
    "dpo": {"recipe__beta": 0.1},
    "rlhf": {},
}
CORE = {
    f"{recipe}-{adapter}": arm(
        f"{recipe}-{adapter}", recipe, adapter, adapter__learning_rate_scale=10.0 if adapter == "lora" else 1.0, **knobs
    )
    for recipe, knobs in RECIPES.items()
    for adapter in ("full", "lora")
}
TUNED, PREFERRED = ("sft-full", "match-full"), ("dpo-full", "rlhf-full")


def test_sets_that_are_balanced_differ_in_their_factor_alone() -> None:
    sides: dict[str, Any] = dict(arm=(*TUNED, "sft-lora", "match-lora"), against=(*PREFERRED, "dpo-lora", "rlhf-lora"))
    found = contrast(replace(hypothesis(), **sides), CORE)
    assert (found.factor, found.others, found.warning) == ("objective", (), "")
    assert {each.what.partition(" ")[0] for each in found.own} == {"recipe", "learning_rate"}
    full, lora = ([name for name in CORE if adapter in name] for adapter in ("full", "lora"))
    every: dict[str, Any] = {"arm": tuple(full), "against": tuple(lora[::-1])}
    found = contrast(replace(hypothesis(), **every), CORE)
    assert (found.factor, found.warning) == ("parameters", "")
    assert found.own == (
        Difference("parameters", "adapter full against lora"),
        Difference("parameters", "learning_rate_scale 1.0 against 10.0"),
    )
    assert found.meant == (
        "mean of sft-full, match-full, dpo-full, rlhf-full and mean of rlhf-lora, dpo-lora, match-lora, sft-lora are "
        "meant to differ in the trained parameters (adapter full against lora, learning_rate_scale 1.0 against 10.0)."
    )


def test_sets_that_are_not_balanced_are_named() -> None:
    sides: dict[str, Any] = dict(arm=TUNED, against=("dpo-full", "rlhf-lora"))
    found = contrast(replace(hypothesis(), **sides), CORE)
    assert found.warning == (
        "mean of sft-full, match-full and mean of dpo-full, rlhf-lora differ in more than the objective: also in the "
        "trained parameters (adapter full against lora, learning_rate_scale 1.0 against 10.0)."
    )
    pooled = CORE | {"pooled": arm("pooled", "dpo", mixture="pooled", recipe__beta=0.1)}
    found = contrast(replace(hypothesis("data"), arm="pooled", against=PREFERRED), pooled)
    assert [each.what for each in found.own] == ["mixture pooled against diverse"]
    assert found.warning.startswith("pooled and mean of dpo-full, rlhf-full differ in more than the training data: al")


def test_one_arm_stands_beside_each_of_several() -> None:
    other = arm("other", mixture="pooled")
    assert of_sets([arm("one"), arm("two")], [other]) == [Difference("data", "mixture diverse against pooled")]
    assert of_sets([arm("one"), arm("two", budget__batch_size=8)], [arm("x"), arm("y"), arm("z")]) == [
        Difference("budget", "budget.batch_size 8 against 16")
    ]


def test_a_difference_of_differences_is_meant_in_what_the_two_do_not_share() -> None:
    minus = {"arm": ("sft-lora", "match-lora"), "against": ("dpo-lora", "rlhf-lora")}
    asked = replace(hypothesis(), arm=TUNED, against=PREFERRED, minus=minus)
    found = contrast(asked, CORE)
    assert (found.factor, found.warning) == ("parameters", "")
    assert found.meant.startswith(
        "(mean of sft-full, match-full − mean of dpo-full, rlhf-full) and (mean of sft-lora, match-lora − mean of "
        "dpo-lora, rlhf-lora) are meant to differ in the trained parameters ("
    )


def test_trainings_of_another_type_or_device_are_told_apart() -> None:
    def on(name: str, dtype: str, device: str) -> Arm:
        made = arm(name)
        told = {**made.first.manifest, "trained_on": {"dtype": dtype, "device": device}}
        return replace(made, cells=(replace(made.first, manifest=told),))

    assert differences(on("one", "float32", "cpu"), on("other", "float32", "cpu")) == []
    found = differences(on("one", "float32", "cpu"), on("other", "bfloat16", "cuda"))
    assert found == [Difference("precision", "trained in float32 on cpu against bfloat16 on cuda")]
