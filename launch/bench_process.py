"""A process that asks in one way, as the parent that `polyphony bench answers` runs in has it (`bench_child`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

LAST_LINES = 5
GRACE_SECONDS = 30.0


class Child:
    """A running `bench_child`. `order` is what its `Way` needs to know, as JSON has it."""

    def __init__(self, name: str, environment: Mapping[str, str], order: Mapping[str, Any]) -> None:
        self.name = name
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
        self._said = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launch.bench_child"],
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
        )
        self._tell({"name": name, **order})

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the child's `Way` returns. Raises ChildProcessError with the last lines that the child wrote
        where it has ended.
        """
        self._tell([method, *arguments])
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._said.seek(0)
        last = "\n".join(self._said.read().splitlines()[-LAST_LINES:])
        raise ChildProcessError(
            f"the process that asks {self.name} ended with exit code {code}; its last lines:\n{last}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the child end by itself; where the benchmark failed, do not wait for what it is doing."""
        with self._said, self._process:
            if kind is not None:
                self._process.terminate()
            with suppress(BrokenPipeError):
                if self._process.stdin:
                    self._process.stdin.close()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _tell(self, what: Any) -> None:
        with suppress(BrokenPipeError):  # a child that is gone says nothing either, which `call` reports
            if self._process.stdin:
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()
