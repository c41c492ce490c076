"""An audit of a user's own, used by the tests: first-token alignment that can be slowed down enough to be killed."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from eval.context import AuditContext
from eval.first_token.audit import FirstToken
from eval.records import AuditResult


@dataclass(frozen=True)
class SlowFirstToken(FirstToken):
    def __call__(self, context: AuditContext) -> AuditResult:
        def progress(what: str) -> Callable[[int, int], None]:
            return lambda done, total: time.sleep(float(os.environ.get("SLOW_AUDIT_SECONDS", "0")))

        return FirstToken.__call__(self, dataclasses.replace(context, progress=progress))
