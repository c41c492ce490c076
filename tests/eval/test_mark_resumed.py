"""MARK with a real (tiny, random) model: all the way, into parquet, and on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data.models import load_model, load_tokenizer
from data.prompts import Asking, Renderer
from data.records import Split, Survey
from eval.answer_store import AnswerStore
from eval.answers import Progress
from eval.backends.in_process import TransformersAnswerer
from eval.context import AuditContext
from eval.mark.audit import Mark
from eval.records import AuditResult


def test_a_real_model_goes_all_the_way_and_the_evidence_survives_parquet(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny_model, torch.float32), load_tokenizer(tiny_model)
    renderer = Renderer(Asking(), tokenizer)
    answerer = TransformersAnswerer(model, renderer, "tiny")
    asked = AuditContext(answerer, renderer, tiny_survey, tiny_split, (), 0, 3, lambda what: lambda done, total: None)
    result = Mark(draws=100)(asked)
    result.items.to_parquet(tmp_path / "items.parquet")
    back = pd.read_parquet(tmp_path / "items.parquet")
    assert len(back) == 6
    assert json.loads(back["prompts"].iloc[0])[0]["text"].startswith("<|im_start|>system")
    np.testing.assert_allclose(back["p"].iloc[0], result.items["p"].iloc[0])
    assert np.stack(back["p"].to_list()[:1]).sum() == pytest.approx(1)


def test_killed_in_ask_and_run_again_gives_the_same_decisions(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny_model, torch.float32), load_tokenizer(tiny_model)
    renderer = Renderer(Asking(), tokenizer)
    audit = Mark(respondents=2, items=1, draws=50)

    def asked(name: str, stop_after: int = 10**9) -> AuditResult:
        answerer = TransformersAnswerer(model, renderer, "tiny", AnswerStore(tmp_path / f"{name}.sqlite"))
        calls = 0

        def progress(what: str) -> Progress:
            nonlocal calls
            calls += 1
            if calls > stop_after:
                raise KeyboardInterrupt
            return lambda done, total: None

        return audit(AuditContext(answerer, renderer, tiny_survey, tiny_split, (), 0, None, progress))

    whole = asked("whole")
    with pytest.raises(KeyboardInterrupt):
        asked("cut", stop_after=4)
    assert whole.items.to_json() == asked("cut").items.to_json()
