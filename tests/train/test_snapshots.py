"""Snapshots along a training: at which steps, of what, and what they leave as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import train.loop
import train.snapshots
from data.manifest import read_manifest
from data.mixture import Mixture
from data.models import ModelSpec
from data.prompts import Asking
from data.records import Split, Survey
from data.snapshots import snapshot_steps, weights_of
from data.variant import load_variant
from train.adapters import Full, Lora
from train.recipes.dpo import Dpo
from train.recipes.match import Match
from train.run import Budget
from train.variant import train_variant

BUDGET = Budget(examples=32, batch_size=4, checkpoint_every=3)
KINDS: dict[str, dict[str, Any]] = {
    "full": {"adapter": Full(), "recipe": Match(learning_rate=3e-3)},
    "lora": {"adapter": Lora(rank=4, dropout=0.1), "recipe": Match(learning_rate=3e-3)},
    "dpo": {"adapter": Full(), "recipe": Dpo(learning_rate=1e-3)},
}


def fit(cell: Path, model: Path, survey: Survey, split: Split, kind: str = "full", **changes: Any) -> None:
    settings: dict[str, Any] = {
        "cell": cell,
        "spec": ModelSpec(str(model)),
        "mixture": Mixture(),
        "asking": Asking(),
        "survey": survey,
        "split": split,
        "seed": 0,
        "draw": 0,
        "budget": BUDGET,
        "on_log": lambda step, record: None,
        **KINDS[kind],
    }
    train_variant(**(settings | changes))


def files(folder: Path) -> set[str]:
    return {path.name for path in (weights_of(folder) or folder).iterdir()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    kept = weights_of(folder)
    assert kept is not None
    (path,) = kept.glob("*.safetensors")
    return load_file(path)


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def names(cell: Path) -> list[str]:
    return sorted(path.name for path in (cell / "snapshots").iterdir())


@pytest.mark.parametrize("kind", list(KINDS))
def test_snapshots_are_there_differ_and_leave_the_variant_as_it_was(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, kind: str
) -> None:
    plain, cell = tmp_path / "plain", tmp_path / "cell"
    fit(plain, tiny_model, tiny_survey, tiny_split, kind)
    fit(cell, tiny_model, tiny_survey, tiny_split, kind, audit_every=3)
    assert names(cell) == ["step-00003", "step-00006"]
    assert not (plain / "snapshots").exists()
    assert same(plain, cell), "snapshots must not change what is trained"
    one, other = (cell / "snapshots" / name for name in names(cell))
    assert not same(one, other)
    assert not same(other, cell)
    assert {path.name for path in one.iterdir()} == {"manifest.json", "adapter" if kind == "lora" else "model"}
    assert {p.name for p in (weights_of(one) or one).iterdir()} == {
        p.name for p in (weights_of(cell) or cell).iterdir()
    }
    assert (read_manifest(one)["state"], read_manifest(one)["step"]) == ("trained", 3)
    load_variant(one, ModelSpec(str(tiny_model)), torch.device("cpu"))


def test_a_snapshot_is_the_checkpoint_of_its_step(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, dict[str, torch.Tensor]] = {}
    marked = train.loop.Recorder.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = tmp_path / "checkpoints" / f"checkpoint-{state.global_step}"
        kept[f"step-{state.global_step:05d}"] = load_file(folder / "model.safetensors")
        marked(self, args, state, control, **kwargs)

    monkeypatch.setattr(train.loop.Recorder, "on_save", on_save)
    fit(tmp_path, tiny_model, tiny_survey, tiny_split, audit_every=3)
    assert list(kept) == names(tmp_path)
    for name, checkpoint in kept.items():
        snapshot = weights(tmp_path / "snapshots" / name)
        assert all(torch.equal(value, checkpoint[key]) for key, value in snapshot.items())


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_cut_off_and_gone_on_the_snapshots_are_those_of_one_go(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, kind: str
) -> None:
    """Cut off after step 5, when those of steps 2 and 4 are there and the newest checkpoint is that of step 3: the
    snapshot of step 4 is of a training that is lost and is made again, and a half-written one goes.
    """
    straight, cell = tmp_path / "straight", tmp_path / "cell"
    fit(straight, tiny_model, tiny_survey, tiny_split, kind, audit_every=2)

    def stop(step: int, record: dict[str, float]) -> None:
        if step == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(cell, tiny_model, tiny_survey, tiny_split, kind, audit_every=2, on_log=stop)
    assert names(cell) == ["step-00002", "step-00004"]
    second, fourth = (cell / "snapshots" / name / "manifest.json" for name in names(cell))
    before = second.stat().st_mtime_ns, fourth.stat().st_mtime_ns
    torn = cell / "snapshots" / ".step-00006.partial" / "model"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_text("half")
    fit(cell, tiny_model, tiny_survey, tiny_split, kind, audit_every=2)
    assert names(cell) == names(straight) == ["step-00002", "step-00004", "step-00006"]
    assert (second.stat().st_mtime_ns == before[0], fourth.stat().st_mtime_ns == before[1]) == (True, False)
    for name in names(cell):
        assert same(cell / "snapshots" / name, straight / "snapshots" / name), name
    assert same(cell, straight)


def test_a_snapshot_cut_off_while_it_is_saved_is_not_there(
    tiny_model: Path, tiny_survey: Survey, tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_manifest(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(train.snapshots, "update_manifest", no_manifest)
        with pytest.raises(OSError, match="disk is full"):
            fit(tmp_path, tiny_model, tiny_survey, tiny_split, audit_every=4)
    assert names(tmp_path) == [".step-00004.partial"]
    fit(tmp_path, tiny_model, tiny_survey, tiny_split, audit_every=4)
    assert names(tmp_path) == ["step-00004"]


def test_which_steps() -> None:
    assert list(snapshot_steps(10, 40)) == [10, 20, 30]
    assert list(snapshot_steps(10, 41)) == [10, 20, 30, 40]
    assert list(snapshot_steps(40, 40)) == list(snapshot_steps(None, 40)) == []
