"""An adapter merged into its base answers as beside it, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from data.files import digest_files, read_json
from data.manifest import update_manifest
from data.merging import whole_model
from data.models import ModelSpec, load_model, weights_hash


def cell_with_adapter(folder: Path, base: Path, dora: bool) -> torch.nn.Module:
    """As a training leaves it, with an adapter that is far from nothing. Returns the model with it."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", use_dora=dora)
    model = get_peft_model(load_model(base, torch.float32), config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(0.02 * torch.randn_like(weight))
    model.save_pretrained(folder / "adapter")
    weights = digest_files(sorted((folder / "adapter").glob("*.safetensors")), folder / "adapter")
    update_manifest(folder, state="done", hashes={"adapter": weights, "base": weights_hash(base)})
    found: torch.nn.Module = model
    return found


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_the_merged_model_answers_as_the_adapter_beside_its_base(tiny_model: Path, tmp_path: Path, dora: bool) -> None:
    model = cell_with_adapter(tmp_path, tiny_model, dora)
    merged = whole_model(tmp_path, ModelSpec(str(tiny_model)))
    assert read_json(merged / "manifest.json")["largest_difference"] < 1e-4
    written = (merged / "model.safetensors").stat().st_mtime_ns
    assert whole_model(tmp_path, ModelSpec(str(tiny_model))) == merged
    assert (merged / "model.safetensors").stat().st_mtime_ns == written, "merged once"
    ids = torch.arange(40)[None]
    with torch.no_grad():
        beside, by_merged, by_base = (
            one(ids).logits for one in (model, *(load_model(place, torch.float32) for place in (merged, tiny_model)))
        )
    torch.testing.assert_close(by_merged, beside, atol=1e-4, rtol=0)
    assert (beside - by_base).abs().max() > 0.05


def test_a_merge_that_answers_otherwise_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell_with_adapter(tmp_path, tiny_model, dora=False)
    monkeypatch.setattr("peft.tuners.tuners_utils.BaseTuner.merge_and_unload", lambda model, safe_merge: model.unload())
    with pytest.raises(ValueError, match="merged into its base it answers otherwise than beside it"):
        whole_model(tmp_path, ModelSpec(str(tiny_model)))
    assert not (tmp_path / "merged").exists()


def test_another_base_than_the_adapters_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    cell_with_adapter(tmp_path, tiny_model, dora=False)
    update_manifest(tmp_path, hashes={"base": "0" * 64})
    with pytest.raises(ValueError, match=r"not those that the manifest of the cell promises .*expected 000000000000"):
        whole_model(tmp_path, ModelSpec(str(tiny_model)))
