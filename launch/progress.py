"""How far a long job is, with the time left, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 15.0


class Progressing:
    """A context manager; `bar(what)` gives a callback to be called with (done, total)."""

    def __init__(self, title: str) -> None:
        self._title = title
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=Console(stderr=True)) if sys.stderr.isatty() else None

    def __enter__(self) -> Progressing:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def bar(self, what: str) -> Callable[[int, int], None]:
        label = f"{self._title}: {what}"
        return self._on_terminal(label) if self._bars else _in_lines(label)

    def _on_terminal(self, label: str) -> Callable[[int, int], None]:
        bars = self._bars
        assert bars is not None  # checked by the caller
        task = bars.add_task(label, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)


def _in_lines(label: str) -> Callable[[int, int], None]:
    started = time.monotonic()
    last = started

    def say(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY:
            return
        last = now
        left = (now - started) / max(done, 1) * (total - done)
        ending = f"about {duration(left)} left" if done < total else f"done in {duration(now - started)}"
        print(f"{label} {done}/{total}, {ending}", file=sys.stderr, flush=True)

    return say


def duration(seconds: float) -> str:
    """`"42 s"`, `"3 min 20 s"`, `"2 h 5 min"`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
