"""Trains one cell in every process that a launcher started: `python engine_child.py ROOT CELL MODEL SETTINGS`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

root, cell, model, settings = sys.argv[1:]
sys.path[:0] = [root, f"{root}/tests", f"{root}/tests/train"]

import conftest  # noqa: E402
import test_engines  # noqa: E402

from data.records import Split  # noqa: E402
from eval.backends.sharing import join, leave  # noqa: E402

SPLIT = Split(("toy/work", "toy/poor"), ("USA", "JPN"), ("toy/bribe", "toy/vote"), ("NOR", "GHA", "BRA", "IND"), 0)
asked = json.loads(settings)


def log(step: int, record: dict[str, float]) -> None:
    if step == asked.get("die_at") and not (Path(cell) / "died").exists():
        (Path(cell) / "died").touch()
        os.kill(os.getpid(), 9)


join()
test_engines.train(Path(cell), Path(model), conftest.make_survey(), SPLIT, asked, on_log=log)
leave()
