"""What a worker does before a cell that is built on others: the parent's whole model, the reward model's folder.

The cell is then as any other: `model.source` names the folder of the model that it starts from, for training and
audits alike, and `recipe.reward_model` the trained cell. In one that trains nothing `variant` is the folder of the
parent, whose variant is audited as the parent's own audits have it: an adapter stays unmerged on its base.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.manifest import update_manifest
from data.snapshots import weights_of
from launch.asked import trains
from launch.build import build_as
from launch.cells import Cell
from launch.chains import PARENT, REWARD_MODEL, cells_built_on

if TYPE_CHECKING:
    from data.models import ModelSpec


def on_its_parents(cell: Cell, lacking: Sequence[str]) -> Cell:
    """The cell with the folders of what it is built on in its config; the same where it is built on nothing.

    The parent's model is made available (an adapter merged) if the cell is to be trained, or if its own adapter lies
    on it. The manifest keeps the hash of the weights that training starts from. Raises ValueError where it started
    from others before, and as `data.merging.whole_model` does.
    """
    others = cells_built_on(cell)
    if not trains(cell.config):
        return _asking(cell, others[PARENT]) if PARENT in others and lacking else cell
    model, recipe = cell.config["model"], cell.config["recipe"]
    if REWARD_MODEL in others:
        judge = others[REWARD_MODEL]
        if "train" in lacking:
            _merge_judge(judge)
        recipe = {**recipe, "reward_model": str(judge.folder.absolute())}
    weights = weights_of(cell.folder)
    if PARENT in others and ("train" in lacking or (weights and weights.name == "adapter")):
        from data.models import fetch, weights_hash

        spec = start_of(cell)
        found = weights_hash(fetch(spec))
        if (known := cell.manifest["parent"].get("start", found)) != found:
            raise ValueError(
                f"{cell.folder}: its training started from other weights ({known[:12]}) than its parent "
                f"{others[PARENT].folder} holds now ({found[:12]}): move both folders away and run again"
            )
        update_manifest(cell.folder, parent={"start": found})
        model = {**model, "source": spec.source, "revision": spec.revision}
    return Cell(cell.folder, {**cell.config, "model": model, "recipe": recipe})


def _asking(cell: Cell, parent: Cell) -> Cell:
    """The cell with its parent's variant. A parent's collapse is the cell's own, and is in its manifest."""
    from data.merging import trained_weights

    model = cell.config["model"]
    if trained_weights(parent.folder)[0] == "adapter":
        spec = start_of(parent)
        model = {**model, "source": spec.source, "revision": spec.revision}
    update_manifest(cell.folder, collapsed=parent.manifest.get("collapsed"))
    return Cell(cell.folder, {**cell.config, "model": model, "variant": str(parent.folder.absolute())})


def _merge_judge(judge: Cell) -> None:
    """Merge a reward model's adapter into what it was trained on, as that lies now: run folders may be moved."""
    from data.merging import whole_model
    from train.reward_model import load_scorer

    whole_model(judge.folder, start_of(judge), load_scorer)


def start_of(cell: Cell) -> ModelSpec:
    """The model that the cell's training starts from: the base, or the whole model of its parent."""
    from data.merging import whole_model
    from data.models import ModelSpec

    spec = build_as(ModelSpec, cell.config["model"], "model")
    parent = cells_built_on(cell).get(PARENT)
    if parent is None:
        return spec
    return dataclasses.replace(spec, source=str(whole_model(parent.folder, start_of(parent))), revision=None)
