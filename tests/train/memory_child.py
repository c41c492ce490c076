"""Trains a model for two steps, alone in its process, and prints what was estimated and what it held at most, in bytes:
`python memory_child.py ROOT MODEL CELL KIND`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

root, model, cell, kind = sys.argv[1:]
sys.path[:0] = [root, f"{root}/tests", f"{root}/tests/train"]

import conftest  # noqa: E402
import numpy as np  # noqa: E402
import test_memory_estimate  # noqa: E402
import torch  # noqa: E402
from transformers import AutoConfig  # noqa: E402

from data.mixture import Mixture  # noqa: E402
from data.models import ModelSpec, load_tokenizer  # noqa: E402
from data.prompts import Asking, Renderer  # noqa: E402
from data.records import Split  # noqa: E402
from train.activations import heaviest  # noqa: E402
from train.batches import arrange  # noqa: E402
from train.memory_estimate import estimate  # noqa: E402
from train.recipes.match import Match  # noqa: E402
from train.run import Budget, RunContext  # noqa: E402
from train.variant import train_variant  # noqa: E402


class Measured(Match):
    """Counts from when the model is loaded to the last step."""

    def __call__(self, run: RunContext) -> Any:
        run.model  # noqa: B018  (loads it)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        trainer = super().__call__(run)
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        print(json.dumps({"peak": int(line.split()[1]) * 1024}))
        return trainer


adapter, engine = test_memory_estimate.TRAINED[kind]
survey, folder = conftest.make_survey(), Path(model)
split = Split(("toy/work", "toy/poor"), ("USA", "JPN"), ("toy/bribe", "toy/vote"), ("NOR", "GHA", "BRA", "IND"), 0)
train_variant(
    cell=Path(cell),
    spec=ModelSpec(model),
    recipe=Measured(learning_rate=1e-5),
    adapter=adapter,
    mixture=Mixture(),
    asking=Asking(),
    survey=survey,
    split=split,
    seed=0,
    draw=0,
    budget=Budget(examples=48, batch_size=24, checkpoint_every=100),
    on_log=lambda step, record: None,
    engine=engine,
)
examples = arrange(Mixture()(survey, 48, 0, 0), np.random.default_rng([0, 0]))
renderer = Renderer(Asking(), load_tokenizer(folder))
prompts = [renderer.survey(e.item, e.order, e.group, e.condition).text for e in examples]
found = estimate(AutoConfig.from_pretrained(folder), adapter, engine, torch.float32, heaviest(renderer, prompts, 24))
print(json.dumps({"estimate": found.total, "said": str(found)}))
