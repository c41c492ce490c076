"""Auditing the snapshots of a cell's training, one after the other once the variant itself is audited.

A snapshot is audited as a cell is, in its own folder. Then its weights go, unless the config keeps them: of audits
that are asked for later in another way, `absent` says that they cannot be had.
"""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from data.manifest import read_manifest, update_manifest
from data.snapshots import weights_of
from launch.audits import AuditsError, audit_cell
from launch.cells import REMOVED, Cell, audit_key

if TYPE_CHECKING:
    from eval.backends.sharing import Processes


def audit_snapshots(cell: Cell, processes: Processes, collapsed: Mapping[str, Any] | None = None) -> None:
    """Audit the snapshots whose weights are there, and remove the weights of those that are audited. One that fails
    does not stop the others; raises AuditsError in the end where some failed, as `audit_cell` does.
    """
    failures = []
    for snapshot in cell.snapshots():
        if processes.from_main(f"{snapshot.name} to do", partial(_to_do, snapshot)):
            try:
                audit_cell(snapshot, processes, collapsed)
            except AuditsError as error:
                failures.append(f"snapshot {snapshot.name}: {error}")
                continue
            finally:
                let_go()
        processes.from_main(f"{snapshot.name} done", partial(_finish, snapshot))
    if failures:
        raise AuditsError("; ".join(failures))


def absent(cell: Cell) -> list[str]:
    """What the snapshots of a trained cell were to be audited with and cannot be any more, in sentences."""
    if "train" in cell.lacks():
        return []
    steps: dict[str, list[str]] = {}
    for snapshot in cell.snapshots():
        if not _has_weights(snapshot) and (missing := ", ".join(snapshot.audits_to_do())):
            steps.setdefault(missing, []).append(str(snapshot.config["step"]))
    return [
        f"{cell.name}: the snapshots of steps {', '.join(at)} have no {audits} as asked for now, and their weights are "
        f"gone (keep_snapshots=true keeps them); to have it, move {cell.folder} away and run again"
        for audits, at in steps.items()
    ]


def missing_audits(snapshot: Cell) -> list[str]:
    """The audits that the snapshot lacks, or has under another key."""
    return [name for name, key in snapshot.config["keys"].items() if audit_key(snapshot.folder, name) != key]


def audited_snapshots(cell: Cell) -> tuple[int, int]:
    """How many snapshots have all of their audits, and how many there are to be."""
    every: Sequence[Cell] = cell.snapshots()
    return sum(not missing_audits(snapshot) for snapshot in every), len(every)


def let_go() -> None:
    """Free what the trainer or a model held (their parts refer to each other), so that the next has the memory."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _has_weights(snapshot: Cell) -> bool:
    """Whether all of its weights are there: not so where their removal was begun."""
    return weights_of(snapshot.folder) is not None and read_manifest(snapshot.folder).get("weights") != REMOVED


def _anew(snapshot: Cell) -> Cell:
    """The snapshot with its manifest as it stands now."""
    return Cell(snapshot.folder, snapshot.config)


def _to_do(snapshot: Cell) -> bool:
    return bool(_anew(snapshot).audits_to_do()) and _has_weights(snapshot)


def _finish(snapshot: Cell) -> None:
    """Remove the weights, and the store of answers that serves nobody without them, of a snapshot that is audited."""
    weights = weights_of(snapshot.folder)
    todo = _anew(snapshot).audits_to_do() or snapshot.config["keep_snapshots"]
    if weights is None or (_has_weights(snapshot) and todo):
        return
    update_manifest(snapshot.folder, state="done", weights=REMOVED)
    for path in (snapshot.folder / "audits").glob("answers.sqlite*"):
        path.unlink()
    shutil.rmtree(weights)
