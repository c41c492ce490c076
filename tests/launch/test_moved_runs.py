"""A run folder that is moved between the stages of a chain goes on where it was."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from data.files import read_json
from data.models import weights_hash
from train.reward_model import load_reward_model, open_scorer

STAGES = """arms:
  sft-lora: [recipe=sft, adapter=lora]
  judge: [recipe=reward, adapter=lora, parent=sft-lora]
"""
LAST = "  rlhf: [recipe=rlhf, adapter=lora, recipe.reward=model, recipe.reward_model=judge, parent=sft-lora]\n"


def test_a_reward_model_with_an_adapter_is_found_where_its_run_lies_now(toys: Any) -> None:
    one, two = (toys.experiment(name, text) for name, text in (("one", STAGES), ("two", STAGES + LAST)))
    assert toys.run(one, "audit=[]", "base_arm=false") == 0
    judge = toys.cells()["judge"]
    base = toys.folder / "toy" / "cells" / judge.config["start"] / "merged"
    assert read_json(judge.folder / "adapter" / "adapter_config.json")["base_model_name_or_path"] == str(base)
    ids = {"input_ids": torch.arange(30)[None]}
    beside = open_scorer(judge.folder / "adapter", base, torch.float32)(**ids).logits.detach()

    (toys.folder / "elsewhere").mkdir()
    shutil.move(toys.folder / "toy", toys.folder / "elsewhere" / "toy")
    assert toys.run(two, "audit=[]", "base_arm=false", f"runs={toys.folder / 'elsewhere'}") == 0
    assert toys.started == ["rlhf"], "the earlier stages are found again"
    moved = toys.folder / "elsewhere" / "toy" / "cells" / judge.name
    promised = read_json(moved / "merged" / "manifest.json")["made_of"]
    assert promised["base"] == weights_hash(moved.parent / judge.config["start"] / "merged")
    merged, _ = load_reward_model(moved)
    torch.testing.assert_close(merged(**ids).logits, beside, atol=1e-4, rtol=0)
    assert beside.abs().max() > 1e-3
