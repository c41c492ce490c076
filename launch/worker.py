"""The process that does a cell's work: train, then audit. Started by `accelerate launch` with a cell's folder.

It reads the resolved config.yaml, builds its objects and never imports Hydra or OmegaConf. Whatever fails is in the
manifest and log.txt, with one line on stderr. It ends when its parent does: the parent holds the other end of stdin.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path

from filelock import FileLock, Timeout

from data.manifest import read_manifest, update_manifest
from data.prompts import Asking
from launch.asked import trains
from launch.audits import audit_cell
from launch.build import build, build_as
from launch.cells import Cell, read_cell
from launch.people import people
from launch.tracking import Tracker, open_tracker

STAGES = ("train", "audit")
ENVIRONMENT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENOMEM}
FULL_BYTES = 1_000_000
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
    try:
        cell = read_cell(asked.cell)
        if not _is_main():
            _train(cell, open_tracker(cell, off=True))
            return 0
        with FileLock(cell.folder / ".lock", timeout=60):
            return _work(cell, stages)
    except Timeout:
        print(f"{asked.cell.name}: another process is working on this cell", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"{asked.cell.name}: {error}", file=sys.stderr)
    return 1


def _work(cell: Cell, stages: list[str]) -> int:
    """Do what the cell lacks. Returns the exit code; the manifest says what failed."""
    _log_to(cell.folder / "log.txt")
    stage = "train"
    try:
        lacking = cell.lacks()
        tracker = open_tracker(cell)
        try:
            if "train" in stages and "train" in lacking:
                log.info("training")
                _train(cell, tracker)
                update_manifest(cell.folder, state="trained", trained=True, error=None)
            stage = "audit"
            if "audit" in stages:
                update_manifest(cell.folder, state="auditing", error=None)
                failures = audit_cell(cell)
                if failures:
                    raise RuntimeError("; ".join(f"audit {name}: {error}" for name, error in failures.items()))
                update_manifest(cell.folder, state="done", error=None)
        finally:
            tracker.close()
    except Exception as error:
        return _failed(cell, stage, error)
    return 0


def _train(cell: Cell, tracker: Tracker) -> None:
    from data.models import ModelSpec
    from train.run import Budget
    from train.variant import train_variant

    config = cell.config
    survey, split = people(config["survey"])
    budget = build_as(Budget, config["budget"], "budget")
    if _is_main() and trains(config):
        print(f"{cell.arm} seed {config['seed']} draw {config['draw']}: {budget.steps} steps", file=sys.stderr)
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
    )
    if _is_main():
        spent = read_manifest(cell.folder).get("budget", {})
        update_manifest(
            cell.folder, training={**spent, "batch_size": budget.batch_size, "mixture": config["chosen"]["mixture"]}
        )


def _failed(cell: Cell, stage: str, error: Exception) -> int:
    """Say it once, keep the traceback. What the machine caused (full disk, no permission) leaves the state as it is,
    so that the same command goes on when that is mended.
    """
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


def _is_the_machines(error: BaseException, folder: Path) -> bool:
    """Whether the machine and not the cell is at fault. Libraries wrap a full disk in errors of their own."""
    if isinstance(error, OSError) and error.errno in ENVIRONMENT_ERRORS:
        return True
    full = any(words in str(error) for words in ("No space left", "os error 28", "disk is full", "Disk quota"))
    return full or shutil.disk_usage(folder).free < FULL_BYTES


def _log_to(path: Path) -> None:
    """Everything from INFO on to log.txt, warnings to stderr as well."""
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_screen = logging.StreamHandler()
    to_screen.setLevel(logging.WARNING)
    to_screen.addFilter(lambda record: record.name != "py.warnings")  # deprecations inside libraries: log.txt has them
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
