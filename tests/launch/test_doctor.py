"""The self-test of the scoring says what it compared, and notices a model whose answers are wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

import launch.selftest
from data.models import load_model
from data.records import Survey
from data.survey_file import write_survey_file
from launch.doctor import Finding, examine

_spec = importlib.util.spec_from_file_location(
    "serving", Path(__file__).parents[1] / "eval" / "backends" / "serving.py"
)
assert _spec
assert _spec.loader
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)


@pytest.fixture
def overrides(tmp_path: Path, tiny_model: Path, tiny_survey: Survey) -> list[str]:
    write_survey_file(tiny_survey, tmp_path / "toy.jsonl")
    return [
        "model=local",
        f"model.source={tiny_model}",
        "survey=file",
        f"survey.blocks=['file:{tmp_path / 'toy.jsonl'}']",
    ]


def scoring(overrides: list[str]) -> Finding:
    findings = {finding.what: finding for finding in examine(overrides, deep=True)}
    return findings["scoring"]


def changed(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    def load(folder: Path, dtype: torch.dtype, trust: bool) -> Any:
        model = load_model(folder, dtype, trust)
        change(model)
        return model

    monkeypatch.setattr(launch.selftest, "load_model", load)


def test_a_model_that_packs(overrides: list[str]) -> None:
    found = scoring(overrides)
    assert found.level == "ok"
    assert found.said.startswith("12 prompts in packed trees, float32 on cpu: option probabilities differ from a plain")
    assert found.said.endswith("allowed are 0.0001")


def test_half_precision_has_its_own_tolerance(overrides: list[str]) -> None:
    found = scoring([*overrides, "model.dtype=bfloat16"])
    assert found.level == "ok"
    assert "bfloat16 on cpu" in found.said
    assert found.said.endswith("allowed are 0.12")


def test_a_model_that_does_not_pack_is_a_warning_with_its_reason(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, lambda model: setattr(type(model), "_is_stateful", True))
    monkeypatch.setattr("transformers.LlamaForCausalLM._is_stateful", False)  # what `changed` sets is undone
    found = scoring(overrides)
    assert found.level == "warn"
    assert "12 prompts in cached prefixes" in found.said
    assert "cached prefixes because it has recurrent layers" in found.said


def test_wrong_answers_are_a_failure(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def shift(model: Any) -> None:
        forward = model.forward

        def shifted(**given: Any) -> Any:
            out = forward(**given)
            if "packed_tree" in given:
                out.logits = out.logits * 3
            return out

        model.forward = shifted

    changed(monkeypatch, shift)
    found = scoring(overrides)
    assert found.level == "warn"
    assert "Slower than packed" in found.said
    monkeypatch.setattr("eval.backends.ways.unfit", lambda *_: "")
    found = scoring(overrides)
    assert found.level == "fail"
    assert "cannot be trusted" in found.said


def test_a_served_model_is_asked_a_question(
    overrides: list[str], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving.ModelServer(serving.decided(tiny_model, tmp_path / "decided")) as server:
        source = [*overrides[2:], "recipe=none", "model=served", "model.source=api:tiny", "backend=api"]
        found = scoring([*source, f"backend.base_url={server.base_url}"])
        assert found.level == "ok"
        assert found.said.startswith("asked one question in 1 requests of ")
        assert server.requests == 1
        refused = scoring(
            [*source[:-2], "model.source=api:other", "backend=api", f"backend.base_url={server.base_url}"]
        )
    assert refused.level == "fail"
    assert "The model 'other' does not exist" in refused.said
