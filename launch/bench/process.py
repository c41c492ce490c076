"""A process of its own for a thing to be measured: the parent's end of it (`Child`) and the child's (`serve`).

The parent writes lines of JSON to the child's stdin: first the arguments of what is opened there, then the names and
arguments of its methods; a line of JSON on the child's stdout says what each returned. The child ends when its stdin
does. So neither memory that one way holds nor a setting made for it changes another's numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

LAST_LINES = 5
GRACE_SECONDS = 30.0


class Child:
    """A running child. `module` opens what is measured there from `name` and `order`, as JSON has it."""

    def __init__(self, module: str, name: str, environment: Mapping[str, str], order: Mapping[str, Any]) -> None:
        self.name = name
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
        self._said = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
        )
        self._tell({"name": name, **order})

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method returns of what the child opened. Raises ChildProcessError with the last lines that the child
        wrote where it has ended.
        """
        self._tell([method, *arguments])
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._said.seek(0)
        last = "\n".join(self._said.read().splitlines()[-LAST_LINES:])
        raise ChildProcessError(f"the process of {self.name} ended with exit code {code}; its last lines:\n{last}")

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


def serve(opens: Callable[..., Any]) -> None:
    """The child's end: open what the first line says, with a `stack` closed at the end, then do as asked."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    with ExitStack() as stack:
        opened = opens(**json.loads(sys.stdin.readline()), stack=stack)
        while line := sys.stdin.readline():
            method, *arguments = json.loads(line)
            answers.write(json.dumps(getattr(opened, method)(*arguments)) + "\n")
            answers.flush()
