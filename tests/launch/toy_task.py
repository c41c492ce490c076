"""What a launcher's task does to a cell, without a model: for tests of launchers, whose processes import it.

`wrong.txt` in the run folder names cells by how their names begin: `match-full--s1=die` ends the process that has the
cell, at once; `=fail` fails the cell; `=slow` takes a while. `told.txt` in a cell's folder has a line for each time.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from data.manifest import update_manifest


def finish(config: Any) -> int:
    folder = Path(str(config.cell))
    with FileLock(folder / ".lock"), (folder / "told.txt").open("a") as told:
        told.write(f"{os.getpid()}\n")
        told.flush()
        update_manifest(folder, state="training")
        for line in (folder.parent.parent / "wrong.txt").read_text().split():
            cell, _, how = line.partition("=")
            if not folder.name.startswith(cell):
                continue
            if how == "die":
                time.sleep(1)  # others begin
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "fail":
                update_manifest(folder, state="failed", error={"stage": "train", "type": "ValueError", "message": "no"})
                return 1
            time.sleep(2)
        update_manifest(folder, state="done", trained=True)
    return 0
