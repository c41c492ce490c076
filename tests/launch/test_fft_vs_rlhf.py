"""Study 1: arms and hypotheses are what its page says, it plans at every scale, a reduced copy comes to verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig

import conf
from data.files import read_json
from eval.inference import SIDES, Hypothesis
from launch.arms import ask
from launch.asked import Asked, trains
from launch.build import build, build_as
from launch.cells import Cell
from launch.check import check_cells
from launch.compose import Composer
from train.engines import Engine
from train.memory_estimate import estimate
from train.run import Budget

FOLDER = Path(str(conf.__file__)).parent
STUDY = yaml.safe_load((FOLDER / "experiment" / "fft_vs_rlhf.yaml").read_text(encoding="utf-8"))
OBJECTIVES, ADAPTERS = ("sft", "match", "dpo", "rlhf"), ("full", "lora")
SCALES = ("cpu", "gpu", "node")


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def hypotheses() -> list[Hypothesis]:
    return [build_as(Hypothesis, one, f"hypotheses[{place}]") for place, one in enumerate(STUDY["hypotheses"])]


@pytest.fixture(scope="module")
def asked(composer: Composer) -> Asked:
    return ask(composer, ["experiment=fft_vs_rlhf", "scale=cpu"], False)


def test_every_combination_is_an_arm_and_the_others_stand_beside_them(asked: Asked) -> None:
    arms = {cell["arm"]: cell for cell in asked.cells}
    made = {
        name: tuple(cell["chosen"][part] for part in ("recipe", "adapter", "mixture")) for name, cell in arms.items()
    }
    core = {name: made[name] for name in made if made[name][2] in ("diverse", "monocultural") and "beta" not in name}
    core = {name: parts for name, parts in core.items() if parts[0] != "none"}
    assert sorted(core.values()) == sorted(itertools.product(OBJECTIVES, ADAPTERS, ("diverse", "monocultural")))
    for name, (recipe, adapter, mixture) in core.items():
        assert name == f"{recipe}-{adapter}{'-mono' if mixture == 'monocultural' else ''}"
    beside = {name: parts for name, parts in made.items() if name not in core}
    assert beside == {
        "base": ("none", "full", "diverse"),
        "base-persona": ("none", "full", "diverse"),
        **{f"{recipe}-full-pooled": (recipe, "full", "pooled") for recipe in ("dpo", "rlhf", "match")},
        **{f"{recipe}-full-shuffled": (recipe, "full", "shuffled_labels") for recipe in ("match", "rlhf")},
        **{f"rlhf-full-beta-{beta}": ("rlhf", "full", "diverse") for beta in ("0.3", "1")},
    }
    assert arms["base-persona"]["chosen"]["inference"] == "persona_prompt"
    assert [arms[f"rlhf-full{end}"]["recipe"]["beta"] for end in ("", "-beta-0.3", "-beta-1")] == [0.1, 0.3, 1.0]
    assert len(arms) == 25
    assert len(asked.cells) == 23 * 3 + 2


def test_arms_differ_in_nothing_but_what_they_are_named_for(asked: Asked) -> None:
    trained = [cell for cell in asked.cells if trains(cell)]
    assert {cell["recipe"]["learning_rate"] for cell in trained} == {1e-5}
    for part in ("model", "survey", "prompt", "budget", "engine", "audit", "gate", "inference"):
        assert all(cell[part] == trained[0][part] for cell in trained), part
    assert {(cell["seed"], cell["draw"]) for cell in trained} == {(0, 0), (1, 1), (2, 2)}


def test_hypotheses_name_arms_that_are_there_with_margins(asked: Asked) -> None:
    arms, found = {cell["arm"] for cell in asked.cells}, hypotheses()
    assert len({one.name for one in found}) == len(found) == 13
    for one in found:
        assert set(one.weights) <= arms
        assert one.margin == {"js_distance": 0.02}.get(one.measure, 0.05)
        assert one.factor in ("objective", "parameters", "data")
    assert {one.name[0] for one in found} == set("abcdef")
    assert sum(one.minus is not None for one in found) == 2


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_composes_and_builds(composer: Composer, scale: str) -> None:
    found = ask(composer, ["experiment=fft_vs_rlhf", f"scale={scale}"], False)
    check_cells([Cell(Path(), config) for config in found.cells], elsewhere=True)
    assert len(found.cells) == 71
    assert found.name == f"fft-vs-rlhf-scale-{scale}"


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["gpu", "node"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_eight_billion_parameters_fit(composer: Composer, scale: str, adapter: str) -> None:
    made = composer([f"scale={scale}", f"adapter={adapter}"])
    engine = build_as(Engine, made["engine"], "engine")
    micro, accumulated = build_as(Budget, made["budget"], "budget").split(engine.processes)
    shape = {"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "num_hidden_layers": 32}
    llama = LlamaConfig(vocab_size=128256, hidden_size=4096, **shape)
    prompts = [[*range(3, 63), *range(63 + 60 * k, 123 + 60 * k)] for k in range(micro)]
    found = estimate(llama, build(made["adapter"], "adapter"), engine, torch.bfloat16, prompts, accumulated)
    assert found.total / 2**30 < 0.85 * 80, str(found)


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_set_beside_a_scale_stays(composer: Composer, scale: str) -> None:
    assert composer([f"scale={scale}", "experiment=fft_vs_rlhf"])["arms"] == STUDY["arms"]
    own = ["model=smollm2-360m", "budget.examples=64", "seeds=[0,1]", "audit=[edc]"]
    made = composer([f"scale={scale}", "experiment=quickstart", *own])
    assert (made["model"]["name"], made["budget"]["examples"], made["seeds"]) == ("SmolLM2-360M-Instruct", 64, [0, 1])
    assert list(made["audit"]) == ["edc"]


@pytest.mark.slow
def test_the_whole_study_plans_on_a_tiny_model(toys: Any, capsys: pytest.CaptureFixture[str]) -> None:
    own = ("experiment=fft_vs_rlhf", "audit=[first_token]", "~recipe.learning_rate", "--dry-run")
    assert toys.run(*own) == 0
    assert toys.started == []
    said = capsys.readouterr().out
    assert "(planned," in said
    assert said.count("memory of ") >= 4  # full and lora, on two kinds of data


KEPT = ("base", "match-full", "dpo-full", "match-lora", "dpo-lora", "dpo-full-pooled", "match-full-pooled")


def reduced() -> dict[str, Any]:
    """The study with the arms KEPT, two seeds and the hypotheses on these, each side with what is left of it."""
    claims = []
    for node, one in zip(STUDY["hypotheses"], hypotheses(), strict=True):
        sides = [[name for name in side if name in KEPT] for side in one.sides]
        if all(sides):
            minus = {"minus": dict(zip(SIDES, sides[2:], strict=True))} if one.minus else {}
            claims.append({**node, **dict(zip(SIDES, sides[:2], strict=True)), **minus})
    arms = {name: changes for name, changes in STUDY["arms"].items() if name in KEPT}
    return {**STUDY, "arms": arms, "seeds": [0, 1], "controls": False, "hypotheses": claims}


@pytest.mark.slow
def test_a_reduced_copy_comes_to_verdicts(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.validity.LEAST_MASS", 0.0)  # a random model's probability is not on the options
    text = yaml.safe_dump(reduced(), sort_keys=False, allow_unicode=True)
    own = ("audit=[first_token]", "audit.first_token.conditions=[country]", "audit.first_token.draws=50")
    people = ("survey.split.held_out_countries=[NOR,GHA,BRA,JPN]", "~recipe.learning_rate")
    assert toys.run(toys.experiment("reduced", text), *own, *people) == 0
    assert len(toys.started) == 1 + 6 * 2
    summary = read_json(toys.folder / "toy" / "comparison" / "summary.json")
    assert summary["not_a_result"] == []
    verdicts = {one["hypothesis"]: one for one in summary["verdicts"]}
    assert list(verdicts) == [
        *("a-between", "a-between-pooled", "a-between-new-questions", "b-within", "b-within-new-questions"),
        *("c-objective-under-lora", "c-parameters", "c-objective-by-parameters"),
        *("d-pooling", "d-not-rl-as-such", "d-pooling-alike"),
    ]
    words = {"SUPPORTED", "CONTRADICTED", "EQUIVALENT", "INCONCLUSIVE"}
    for claim in [one for one in hypotheses() if one.name in verdicts]:
        found = verdicts[claim.name]
        assert found["verdict"] in words
        assert found["contrast"]["factor"] == claim.factor
    assert verdicts["d-pooling"]["contrast"]["own"][0]["what"] == "mixture pooled against diverse"
    assert (
        "4 trained arms, each with 2 training seeds, each with a data draw of its own."
        in (verdicts["c-parameters"]["sentence"])
    )
    a, rival = verdicts["a-between"], verdicts["d-not-rl-as-such"]
    assert a["value"] == rival["value"]
    effects = summary["effects"]
    assert effects["factors"] == ["objective", "trained parameters"]
    assert effects["notes"] == [
        "Left out, as not every combination with them is an arm: dpo-full-pooled, match-full-pooled."
    ]
    assert {one["name"] for one in effects["rows"]} == {"js_distance", "between_ratio", "within_ratio"}
