"""Auditing a cell's variant: every audit that is not there yet under its key, each committed whole.

An audit's `estimates.json` is written last and is the mark that it is complete. The answers lie in one store a cell: an
audit that was cut off goes on where it was.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from data.files import replacing, write_json
from data.prompts import Asking
from launch.build import build, build_as
from launch.cells import Cell, audit_key
from launch.people import people
from launch.progress import Progressing, duration

if TYPE_CHECKING:
    from eval.records import AuditResult

log = logging.getLogger("polyphony")


def audit_cell(cell: Cell) -> dict[str, str]:
    """Run what is missing; returns the message of each audit that failed. One that fails does not stop the others."""
    keys = cell.config["keys"]
    missing = [name for name, key in keys.items() if audit_key(cell.folder, name) != key]
    if not missing:
        return {}
    from transformers.utils.logging import disable_progress_bar

    from data.dilemmas.corpus import load_dilemmas
    from data.models import ModelSpec
    from eval.answer_store import AnswerStore
    from eval.answers import Backend, Costs
    from eval.context import AuditContext

    disable_progress_bar()  # type: ignore[no-untyped-call]  # loading a model is no progress worth a bar
    config = cell.config
    audits = {name: build(config["audit"][name], f"audit.{name}") for name in missing}
    survey, split = people(config["survey"])
    spec = build_as(ModelSpec, config["model"], "model")
    asking = build_as(Asking, config["prompt"], "prompt")
    backend: Backend = build(config["backend"], "backend")
    failures: dict[str, str] = {}
    with (
        closing(AnswerStore(cell.folder / "audits" / "answers.sqlite")) as store,
        backend.open(cell.folder, spec, asking, store) as opened,
    ):
        for name, audit in audits.items():
            opened.answerer.costs = Costs()
            started = time.perf_counter()
            with Progressing(f"{cell.arm} seed {config['seed']} {name}") as progress:
                context = AuditContext(
                    answerer=opened.answerer,
                    renderer=opened.renderer,
                    survey=survey,
                    split=split,
                    dilemmas=load_dilemmas(),
                    seed=config["audit_seed"],
                    limit=config["limit"],
                    progress=progress.bar,
                )
                try:
                    result = audit(context)
                except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
                    log.error("audit %s failed: %s", name, "".join(traceback.format_exception(error)))
                    failures[name] = str(error) or type(error).__name__
                    continue
            costs = dataclasses.asdict(opened.answerer.costs) | {"seconds": round(time.perf_counter() - started, 2)}
            _commit(cell.folder / "audits" / name, result, keys[name], opened.weights, costs)
            log.info("audit %s done: %s", name, costs)
            print(f"{cell.arm} seed {config['seed']}: {name} done in {duration(costs['seconds'])}", file=sys.stderr)
    return failures


def _commit(folder: Path, result: AuditResult, key: str, weights: str, costs: dict[str, float]) -> None:
    for name, frame in (("items", result.items), ("scores", result.scores)):
        with replacing(folder / f"{name}.parquet") as temporary:
            frame.to_parquet(temporary, index=False)
    content = {
        "audit": result.audit,
        "key": key,
        "weights": weights,
        "settings": dict(result.settings),
        "costs": costs,
        "excluded": dict(result.excluded),
        "estimates": [dataclasses.asdict(estimate) for estimate in result.estimates],
    }
    write_json(folder / "estimates.json", content)
