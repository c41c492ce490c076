"""Audits that fail, or die, in one process alone."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from eval.backends.sharing import current
from eval.context import AuditContext
from eval.first_token.audit import FirstToken
from eval.records import AuditResult


@dataclass(frozen=True)
class Failing(FirstToken):
    def __call__(self, context: AuditContext) -> AuditResult:
        def fail() -> None:
            if not current().main:
                raise ValueError("this one cannot go on")

        current().gather("fail", fail)
        return FirstToken.__call__(self, context)


@dataclass(frozen=True)
class Killed(FirstToken):
    def __call__(self, context: AuditContext) -> AuditResult:
        if not current().main and "SPARED" not in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return FirstToken.__call__(self, context)
