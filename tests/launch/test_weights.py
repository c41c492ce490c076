"""keep_models=false: weights go once a variant is audited, and come again, the same, where something else is asked."""

from __future__ import annotations

from typing import Any

import pytest

from data.snapshots import weights_of
from launch.cells import REMOVED

ARMS = "arms:\n  good: [recipe=sft]\n"
CHILD = "  child: [recipe=dpo, parent=good]\n"
GONE = ("keep_models=false", "base_arm=false")


def test_weights_go_once_audited_and_come_again_for_another_audit(toys: Any) -> None:
    told = toys.experiment("told", ARMS)
    assert toys.run(told, *GONE) == 0
    cell = toys.cells()["good"]
    assert weights_of(cell.folder) is None
    assert (cell.manifest["weights"], cell.manifest["state"], cell.lacks()) == (REMOVED, "done", [])
    assert toys.run(told, *GONE) == 0
    assert toys.started == []
    assert toys.run(told, *GONE, "audit.edc.dilemmas=3") == 0  # asked otherwise: trained again, to the same weights
    assert toys.started == ["good"]
    again = toys.cells()["good"]
    assert (again.manifest["hashes"], again.manifest["weights"]) == (cell.manifest["hashes"], REMOVED)
    assert toys.run(told, "base_arm=false") == 0  # and kept from now on
    assert weights_of(toys.cells()["good"].folder) is not None
    assert toys.cells()["good"].manifest["weights"] is None


def test_what_others_are_built_on_has_to_stay(toys: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert toys.run(toys.experiment("chain", ARMS + CHILD), *GONE) == 2
    said = capsys.readouterr().err
    assert "keep_models=false removes the weights of arm good once it is audited, and arm child is built on it" in said
    assert toys.started == []
