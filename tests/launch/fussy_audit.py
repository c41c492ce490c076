"""An audit of a user's own, used by the tests: first-token alignment in which what the environment names goes wrong.

FUSSY="match-full--s1=fail base=die-3" fails in the cells whose names begin with match-full--s1, and in those of base
kills the process so many generations up the tree (0 is the worker itself). SLOW_AUDIT_SECONDS slows every answer down.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from eval.context import AuditContext
from eval.first_token.audit import FirstToken
from eval.records import AuditResult


@dataclass(frozen=True)
class Fussy(FirstToken):
    def __call__(self, context: AuditContext) -> AuditResult:
        def progress(what: str) -> Callable[[int, int], None]:
            for named in os.environ.get("FUSSY", "").split():
                cell, _, wrong = named.partition("=")
                if cell_name().startswith(cell):
                    go_wrong(wrong)
            return lambda done, total: time.sleep(float(os.environ.get("SLOW_AUDIT_SECONDS", "0")))

        return FirstToken.__call__(self, replace(context, progress=progress))


def cell_name() -> str:
    """The cell's folder, as the worker's command line names it."""
    words = psutil.Process().cmdline()
    return Path(words[words.index("--stages") - 1]).name


def go_wrong(how: str) -> None:
    if how == "fail":
        raise ValueError("this cell is fussy")
    process = psutil.Process()
    for _ in range(int(how.removeprefix("die-"))):
        process = process.parent()
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(60)
