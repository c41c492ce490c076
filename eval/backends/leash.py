"""Runs a command and ends it, with all its children, when the process that started this one is gone or lets go.

    python -I leash.py COMMAND ARGUMENT…

The starter holds the other end of stdin; a kill -9 of it closes the pipe like a normal end does. Run as the leader of a
process group of its own (`start_new_session=True`): that group is what is ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType

GRACE_SECONDS = 20.0


def main(command: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _wait_for_the_child)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")
    ending = threading.Event()
    threading.Thread(target=_follow, args=(child, ending), daemon=True).start()
    while os.read(0, 1024):
        pass
    ending.set()
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _follow(child: subprocess.Popen[bytes], ending: threading.Event) -> None:
    code = child.wait()
    if not ending.is_set():
        os._exit(code & 0xFF)


def _wait_for_the_child(number: int, frame: FrameType | None) -> None:
    """The group was told to end, this process with it: it stays until the others have."""


if __name__ == "__main__":
    main(sys.argv[1:])
