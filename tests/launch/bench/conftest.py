"""What a benchmark's child does, done in the test's own process: imports are most of a child's seconds."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Self

import pytest

OPENED = {"launch.bench.training_child": "Way", "launch.bench.cell_child": "Trained"}


class InProcess:
    """A `launch.bench.process.Child` without a process; `opened` notes the names of those that were."""

    opened: list[str] = []  # noqa: RUF012 (one list for all on purpose: the test reads it)

    def __init__(self, module: str, name: str, environment: Mapping[str, str], order: Mapping[str, Any]) -> None:
        self.opened.append(name)
        self._stack = ExitStack()
        kind = getattr(importlib.import_module(module), OPENED[module])
        self._child = kind(**json.loads(json.dumps({"name": name, **order})), stack=self._stack)

    def call(self, method: str, *arguments: Any) -> Any:
        return json.loads(json.dumps(getattr(self._child, method)(*json.loads(json.dumps(arguments)))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> type[InProcess]:
    monkeypatch.setattr(InProcess, "opened", [])
    for module in ("training", "curve", "recipes"):
        monkeypatch.setattr(f"launch.bench.{module}.Child", InProcess)
    return InProcess
