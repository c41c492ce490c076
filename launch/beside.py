"""What a cell needs to run beside others on a machine: lines that carry its name, and GPUs of its own.

GPUs are shared out only where nobody else does it: a queue (Slurm, Ray) gives each of its jobs some. A seat is a lock
file in the machine's temporary folder, which the kernel lets go when its process dies, however that happens.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TextIO

from filelock import FileLock, Timeout

BAR_EVERY = 15.0  # seconds between the states of a progress bar, which becomes lines
WAIT = 1.0
VISIBLE = "CUDA_VISIBLE_DEVICES"


def relay(pipe: IO[bytes], name: str, to: TextIO) -> None:
    """Write what comes out of `pipe` to `to` until its end, whole lines at a time, each as `name | line`. What a
    progress bar overwrites (ends in a carriage return) is written now and then only.
    """
    rest, last = b"", time.monotonic()
    while chunk := os.read(pipe.fileno(), 65536):
        *whole, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        for part in whole:
            overwritten = part.endswith(b"\r")
            if overwritten and time.monotonic() - last < BAR_EVERY:
                continue
            last = time.monotonic() if overwritten else last
            _line(part, name, to)
    _line(rest, name, to)


def _line(part: bytes, name: str, to: TextIO) -> None:
    if text := part.decode("utf-8", "replace").strip():
        to.write(f"{name} | {text}\n")  # in one call: others write there too
        to.flush()


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES or nvidia-smi names them; empty without any."""
    if VISIBLE in os.environ:
        return [one.strip() for one in os.environ[VISIBLE].split(",") if one.strip()]
    if not (program := shutil.which("nvidia-smi")):
        return []
    asked = [program, "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return found.stdout.split() if found.returncode == 0 else []


@contextmanager
def seated(count: int, there: Sequence[str]) -> Iterator[None]:
    """While it lasts this process and those that it starts see `count` of the GPUs `there` that no other cell has;
    waits until so many are free. Where there are no more than that, nothing is shared out: cells share what there is.
    """
    if len(there) <= count:
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"polyphony-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    before = os.environ.get(VISIBLE)
    with ExitStack() as held:
        os.environ[VISIBLE] = ",".join(_taken(count, there, folder, held))
        try:
            yield
        finally:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _taken(count: int, there: Sequence[str], folder: Path, held: ExitStack) -> list[str]:
    """The first `count` that are free, locked. All are let go before waiting: no two cells wait for each other."""
    while True:
        got: list[str] = []
        with ExitStack() as mine:
            for gpu in there:
                try:
                    mine.enter_context(FileLock(folder / re.sub(r"\W", "_", gpu), timeout=0))
                except Timeout:
                    continue
                got.append(gpu)
                if len(got) == count:
                    held.push(mine.pop_all())
                    return got
        time.sleep(WAIT)
