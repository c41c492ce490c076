"""The process that does a cell's work: train, then audit. Started by `accelerate launch` with a cell's folder.

Several of them work on a cell as one (`eval.backends.sharing`): the main process decides what is lacking and writes,
all train and answer. One that dies ends the cell: the launcher then ends the others. The worker reads the resolved
config.yaml, builds its objects and never imports Hydra or OmegaConf. Whatever fails is in the manifest and log.txt,
with one line on stderr. It ends when its parent does: the parent holds the other end of stdin.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from data.manifest import read_manifest, update_manifest
from data.prompts import Asking
from launch.asked import trains
from launch.audits import AuditsError, audit_cell
from launch.build import build, build_as
from launch.cells import Cell, read_cell
from launch.memory import memory_line
from launch.people import people
from launch.process import last_error, quiet_deepspeed
from launch.snapshots import audit_snapshots, let_go
from launch.starts import on_its_parents
from launch.tracking import Tracker, open_tracker
from launch.weights import begin_anew, remove_weights

if TYPE_CHECKING:
    from eval.backends.sharing import Processes

STAGES = ("train", "audit")
ENVIRONMENT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENOMEM}
ENVIRONMENT_ERRORS |= {errno.ETIMEDOUT}  # a server that is away for now
FULL_BYTES = 1_000_000
GRACE_SECONDS = 3.0
log = logging.getLogger("polyphony")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="launch.worker", description=__doc__)
    parser.add_argument("cell", type=Path)
    parser.add_argument("--stages", default=",".join(STAGES))
    asked = parser.parse_args(arguments)
    stages = asked.stages.split(",")
    if wrong := [stage for stage in stages if stage not in STAGES]:
        parser.error(f"unknown stage {wrong[0]!r}: expected some of {','.join(STAGES)}")
    if os.environ.get("POLYPHONY_PARENT_HOLDS_STDIN") == "1":
        threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_deepspeed()
    from eval.backends.sharing import join, leave

    processes = join()
    try:
        cell = read_cell(asked.cell)
        if not processes.main:
            return _work(cell, stages, processes)
        with FileLock(cell.folder / ".lock", timeout=60):
            return _work(cell, stages, processes)
    except Timeout:
        print(f"{asked.cell.name}: another process is working on this cell", file=sys.stderr)
    except (ValueError, OSError) as error:
        if processes.main:
            print(f"{asked.cell.name}: {error}", file=sys.stderr)
    finally:
        leave()
    return 1


def _work(cell: Cell, stages: list[str], processes: Processes) -> int:
    """Do what the cell lacks. Returns the exit code; the manifest says what failed."""
    _log_to(cell.folder / "log.txt", processes.main)
    stage = "train"
    try:
        lacking = processes.from_main("lacks", cell.lacks)
        tracker = open_tracker(cell, off=not processes.main)
        try:
            cell = processes.from_main("parents", partial(on_its_parents, cell, lacking))
            if "train" in stages and "train" in lacking:
                log.info("training")
                processes.from_main("anew", partial(begin_anew, cell))
                _train(cell, tracker)
                let_go()
                _mark(cell, processes, state="trained", trained=True, error=None)
            stage = "audit"
            if "audit" in stages:
                _mark(cell, processes, state="auditing", error=None)
                collapsed = processes.from_main("collapsed", lambda: read_manifest(cell.folder).get("collapsed"))
                audit_cell(cell, processes, collapsed)
                let_go()
                audit_snapshots(cell, processes, collapsed)
                processes.from_main("weights", partial(remove_weights, cell))
                _mark(cell, processes, state="done", error=None)
        finally:
            tracker.close()
        code = 0
    except AuditsError as error:  # the same in all processes
        code = _failed(cell, stage, error, processes)
    except Exception as error:
        return _failed(cell, stage, error, processes)
    processes.wait("end")
    return code


def _mark(cell: Cell, processes: Processes, **changes: object) -> None:
    if processes.main:
        update_manifest(cell.folder, **changes)


def _train(cell: Cell, tracker: Tracker) -> None:
    from data.models import ModelSpec
    from train.engines import Engine
    from train.run import Budget
    from train.variant import train_variant

    config = cell.config
    survey, split = people(config["survey"])
    budget = build_as(Budget, config["budget"], "budget")
    if _is_main() and trains(config):
        print(f"{cell.arm} seed {config['seed']} draw {config['draw']}: {budget.told}", file=sys.stderr)
        print(f"memory: {memory_line(config)}", file=sys.stderr)
    train_variant(
        cell=cell.folder,
        spec=build_as(ModelSpec, config["model"], "model"),
        recipe=build(config["recipe"], "recipe"),
        adapter=build(config["adapter"], "adapter"),
        mixture=build(config["mixture"], "mixture"),
        asking=build_as(Asking, config["prompt"], "prompt"),
        survey=survey,
        split=split,
        seed=config["seed"],
        draw=config["draw"],
        budget=budget,
        on_log=tracker.log,
        audit_every=config.get("audit_every"),
        engine=build_as(Engine, config["engine"], "engine"),
        gate=build(config["gate"], "gate"),
    )
    if _is_main():
        manifest = read_manifest(cell.folder)
        spent = manifest.get("budget", {})
        if stopped := manifest.get("collapsed"):
            print(f"{cell.arm} collapsed at step {stopped['step']}: {stopped['reason']}", file=sys.stderr)
        update_manifest(
            cell.folder, training={**spent, "batch_size": budget.batch_size, "mixture": config["chosen"]["mixture"]}
        )


def _failed(cell: Cell, stage: str, error: Exception, processes: Processes) -> int:
    """Say it once, keep the traceback. What the machine caused (full disk, no permission) leaves the state as it is,
    so that the same command goes on when that is mended.
    """
    if not processes.main:
        return _failed_beside(cell, stage, error, processes)
    message = f"{stage}: {error}" if str(error) else f"{stage}: {type(error).__name__}"
    environment = _is_the_machines(error, cell.folder)
    print(f"{cell.name} failed in {message} (details in {cell.folder / 'log.txt'})", file=sys.stderr)
    try:
        log.error("%s", "".join(traceback.format_exception(error)))
        changes = {} if environment else {"state": "failed"}
        update_manifest(
            cell.folder, error={"stage": stage, "type": type(error).__name__, "message": str(error)}, **changes
        )
    except OSError as second:
        print(f"{cell.name}: the failure could not be recorded: {second}", file=sys.stderr)
    return 1


def _failed_beside(cell: Cell, stage: str, error: Exception, processes: Processes) -> int:
    """A failure in another process than the main one. What all have alike is the main process's to tell; what this one
    has alone is told here, once the main process has had time to say its own: the launcher ends it next.
    """
    log.error("process %d: %s", processes.rank, "".join(traceback.format_exception(error)))
    if not isinstance(error, AuditsError):
        time.sleep(GRACE_SECONDS)
        if not last_error(cell.folder):
            print(f"{cell.name}: process {processes.rank} failed in {stage}: {error}", file=sys.stderr)
    return 1


def _is_the_machines(error: BaseException, folder: Path) -> bool:
    """Whether the machine and not the cell is at fault. Libraries wrap a full disk in errors of their own."""
    if isinstance(error, OSError) and error.errno in ENVIRONMENT_ERRORS:
        return True
    full = any(words in str(error) for words in ("No space left", "os error 28", "disk is full", "Disk quota"))
    return full or shutil.disk_usage(folder).free < FULL_BYTES


def _log_to(path: Path, main: bool) -> None:
    """Everything from INFO on to log.txt, warnings to stderr as well (of a failure stderr has one line of its own, and
    log.txt the traceback). Beside the main process: warnings, to log.txt alone.
    """
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setLevel(logging.INFO if main else logging.WARNING)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_screen = logging.StreamHandler()
    to_screen.setLevel(logging.WARNING if main else logging.CRITICAL)
    to_screen.addFilter(lambda record: record.name != "py.warnings")  # deprecations inside libraries: log.txt has them
    to_screen.addFilter(lambda record: record.name != log.name or record.levelno < logging.ERROR)  # tracebacks
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_screen], force=True)
    logging.captureWarnings(True)
    for noisy in ("httpx", "urllib3", "fsspec", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _end_with_parent() -> None:
    while os.read(0, 1024):  # unbuffered: a buffered read would hold a lock that the interpreter wants at its end
        pass
    os._exit(130)


def _is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


if __name__ == "__main__":
    sys.exit(main())
