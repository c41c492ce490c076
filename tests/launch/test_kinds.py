"""Requests that cannot succeed are refused before anything is written, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.cli import main

RUN = ["run", "survey=world_values", "tracker=off", "--dry-run"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=3", "seeds must be a list or null, got 3"),
        ("seeds=[]", "seeds is empty"),
        ("arms=5", "arms must be a mapping or null, got 5"),
        ("hypotheses=5", "hypotheses must be a list or null, got 5"),
        ("runs=5", "runs must be text, got 5"),
        ("audit_seed=x", "audit_seed must be a whole number, got 'x'"),
        ("audit.def=3", "audit.def must be a mapping, got 3"),
        ("survey.blocks=wvs3", "survey.blocks must be a list, got 'wvs3'"),
        ("survey.min_n=x", "survey.min_n must be a whole number, got 'x'"),
        ("model.source=5", "model.source must be text, got 5"),
        ("limit=true", "limit must be null or a whole number"),
        ("mixture.countries=[AUS]", "mixture.countries names ['AUS']"),
        ("mixture.items=[nope]", "leaves nothing to train on"),
        ("backend.token_budget=-5", "token_budget must be at least 1"),
        ("audit.first_token.draws=0", "draws must be at least 2, got 0"),
        ("survey.split.held_out_items=[]", "nothing is held out to audit on"),
        ("+engine.procesess=2", "engine.procesess is not a knob of Engine; did you mean 'processes'?"),
        ("+backend.foo=1", "backend.foo is not a knob"),
        ("recipe.learning_rate=abc", "recipe.learning_rate must be"),
    ],
)
def test_it_says_what_is_wrong_and_writes_nothing(
    override: str, message: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if override.startswith("model.") else [f"model.source={tiny_model}"]
    place = [] if override.startswith("runs=") else [f"runs={tmp_path / 'runs'}"]
    assert main([*RUN, "model=local", *model, *place, override]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_hypothesis_about_an_audit_that_is_not_run(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = (
        "{name: a, statement: b, audit: first_tokn, measure: js_distance, arm: base, against: match, "
        "expect: lower, margin: 0.1}"
    )
    assert main([*RUN, "model=local", f"model.source={tiny_model}", f"runs={tmp_path}", f"hypotheses=[{claim}]"]) == 2
    assert "did you mean 'first_token'?" in capsys.readouterr().err
