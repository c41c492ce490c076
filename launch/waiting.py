"""Cells that somebody is at: the workers that hold their locks, and the jobs of this run on a queue.

A command that was killed leaves jobs behind that go on (submitit, Slurm); a launcher that gives up at the first lost
job leaves the others. They are waited for, so that no cell is worked on twice at once.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from launch.cells import Cell

LOOK_EVERY = 2.0
SAY_EVERY = 600.0
SUBMITTED, RESULT, SCRIPT = "_submitted.pkl", "_0_result.pkl", "_submission.sh"


def is_held(folder: Path) -> bool:
    """Whether a worker is at the cell in a folder now, on this machine or one that shares its files and their locks."""
    if not (path := folder / ".lock").exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def wait_for_others(run: Path, cells: Sequence[Cell]) -> bool:
    """Wait until nobody is at any of the cells and no job of the run is queued; says on stderr whom it waits for.
    Returns whether there was anybody.
    """
    said = float("-inf")
    while others := [f"job {name}" for name in jobs(run)] + [cell.name for cell in cells if is_held(cell.folder)]:
        if time.monotonic() - said > SAY_EVERY:
            named = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
            print(f"waiting for what still runs: {named}", file=sys.stderr, flush=True)
            said = time.monotonic()
        time.sleep(LOOK_EVERY)
    return said > float("-inf")


def jobs(run: Path) -> list[str]:
    """The ids of the run's submitit jobs that are queued or running: Slurm's as sacct knows them, or processes here."""
    found = []
    for path in sorted((run / ".submitit").glob(f"*/*{SUBMITTED}")):
        name = path.name.removesuffix(SUBMITTED)
        if not (path.parent / f"{name}{RESULT}").exists() and _goes_on(run / ".submitit", name):
            found.append(name)
    return found


def _goes_on(folder: Path, name: str) -> bool:
    first = name.partition("_")[0]  # of an array, whose script lies with it
    if not (folder / first / f"{first}{SCRIPT}").exists():
        return _is_process(int(name)) if name.isdigit() else False
    if not shutil.which("sacct"):
        return False
    from submitit import SlurmJob

    return not SlurmJob(folder / "%j", name).done()


def _is_process(pid: int) -> bool:
    """Whether submitit's own process of that number runs on this machine (where there is no /proc the locks tell)."""
    try:
        return b"submitit" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
