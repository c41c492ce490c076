"""Auditing a cell's variant: every audit that is not there yet under its key, each committed whole.

An audit's `estimates.json` is written last and is the mark that it is complete. The answers lie in one store a cell: an
audit that was cut off goes on where it was. What a variant whose training collapsed cannot be asked is no failure of
the run: its manifest keeps it as `unaudited`; asked otherwise, or with --retry-failed, it is tried again. Several
processes walk through the same audits together where the backend shares its work among them (`eval.backends.sharing`);
else the main process asks and the others wait.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.files import replacing, write_json
from data.manifest import update_manifest
from data.prompts import Asking
from launch.build import build, build_as
from launch.cells import Cell
from launch.judging import open_judge
from launch.people import people
from launch.progress import Progressing, duration

if TYPE_CHECKING:
    from eval.answers import Backend, Progress
    from eval.backends.sharing import Processes
    from eval.context import AuditContext
    from eval.records import AuditResult

log = logging.getLogger("polyphony")


class AuditsError(RuntimeError):
    """Some audits failed, in all processes alike; the message says which and why."""


def audit_cell(cell: Cell, processes: Processes, collapsed: Mapping[str, Any] | None = None) -> None:
    """Run what is missing. An audit that fails does not stop the others.

    Raises AuditsError in the end where some failed, unless the training has `collapsed` (the manifest's record: reason,
    step); other errors where none could be run.
    """
    from eval.backends.sharing import Processes

    missing = processes.from_main("missing", cell.audits_to_do)
    if not missing:
        return
    backend: Backend = build(cell.config["backend"], "backend")
    if getattr(backend, "shares", False):
        failures = _audits(cell, backend, missing, processes)
    else:
        failures = processes.from_main("audits", lambda: _audits(cell, backend, missing, Processes()))
    if failures and collapsed:
        processes.from_main("unaudited", partial(_give_up, cell, failures))
    elif failures:
        raise AuditsError("; ".join(f"audit {name}: {error}" for name, error in failures.items()))


def _give_up(cell: Cell, failures: Mapping[str, str]) -> None:
    keys = cell.config["keys"]
    update_manifest(cell.folder, unaudited={name: {"key": keys[name], "why": why} for name, why in failures.items()})
    for name, why in failures.items():
        print(f"{cell.arm} seed {cell.config['seed']} has collapsed and cannot take {name}: {why}", file=sys.stderr)


def _audits(cell: Cell, backend: Backend, names: list[str], processes: Processes) -> dict[str, str]:
    """Run and commit these audits; returns the message of each that failed."""
    from transformers.utils.logging import disable_progress_bar

    from data.dilemmas.corpus import load_dilemmas
    from data.models import ModelSpec
    from eval.answer_store import AnswerStore
    from eval.answers import Costs
    from eval.context import AuditContext
    from eval.controls import controls_of, sentence
    from eval.interventions import Unchanged

    disable_progress_bar()  # type: ignore[no-untyped-call]  # loading a model is no progress worth a bar
    config = cell.config
    audits = {name: build(config["audit"][name], f"audit.{name}") for name in names}
    intervention: Unchanged = build(config["inference"], "inference")
    survey, split = people(config["survey"])
    spec = build_as(ModelSpec, config["model"], "model")
    asking = build_as(Asking, config["prompt"], "prompt")
    path = cell.folder / "audits" / "answers.sqlite"
    failures: dict[str, str] = {}
    with (
        closing(processes.main_first("store", lambda: AnswerStore(path))) as store,
        backend.open(Path(config.get("variant", cell.folder)), spec, asking, store) as opened,
        open_judge(config, cell.folder, opened, processes) as judge,
    ):
        context = AuditContext(
            answerer=intervention.answerer(opened.answerer),
            renderer=intervention.renderer(opened.renderer),
            survey=survey,
            split=split,
            dilemmas=load_dilemmas(),
            seed=config["audit_seed"],
            limit=config["limit"],
            progress=_unseen,
            controls=config["controls"],
            judge=judge,
        )
        for name, audit in audits.items():
            expected = processes.from_main(f"forecast {name}", partial(_forecast, audit, name, context))
            if expected and processes.main:
                print(f"{cell.arm} seed {config['seed']} {name}: {expected['sentence']}", file=sys.stderr)
            opened.answerer.costs = Costs()
            started = time.perf_counter()
            with Progressing(f"{cell.arm} seed {config['seed']} {name}") if processes.main else nullcontext() as shown:
                seen = _watched(context, shown.bar) if shown else context
                result, problem = _run(audit, name, seen)
            if any(problems := processes.gather(f"audit {name}", partial(str, problem))):
                failures[name] = problem or next(filter(None, problems))
                continue
            seconds = time.perf_counter() - started
            costs = dataclasses.asdict(opened.answerer.costs) | {"seconds": round(seconds, 2)}
            folder, key, weights = cell.folder / "audits" / name, config["keys"][name], opened.weights
            processes.from_main(f"commit {name}", partial(_commit, folder, result, key, weights, costs, expected))
            log.info("audit %s done: %s", name, costs)
            if processes.main:
                print(f"{cell.arm} seed {config['seed']}: {name} done in {duration(seconds)}", file=sys.stderr)
                for control in controls_of(result.estimates):
                    print(f"{cell.arm} seed {config['seed']} {sentence(name, control)}", file=sys.stderr)
    return failures


def _run(audit: Callable[[AuditContext], AuditResult], name: str, context: AuditContext) -> tuple[Any, str]:
    """The audit's result, or None and what went wrong."""
    try:
        return audit(context), ""
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        log.error("audit %s failed: %s", name, "".join(traceback.format_exception(error)))
        return None, str(error) or type(error).__name__


def _forecast(audit: Any, name: str, context: AuditContext) -> dict[str, Any] | None:
    """What the audit will ask and about how long it takes, as far as that can be said; None where it cannot.

    Only the asking is timed; what is computed from the answers afterwards takes seconds.
    """
    from eval.forecast import Paced, innermost, rehearse

    seconds = math.nan
    try:
        rehearsal = rehearse(audit, context)
        if rehearsal is None:
            return None
        expected, answerer = rehearsal.forecast, innermost(context.answerer)
        if expected.stored == expected.prompts + expected.texts:
            seconds = 0.0
        elif isinstance(answerer, Paced):
            seconds = expected.seconds(answerer.pace(rehearsal.prompts, rehearsal.requests))
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        log.info("audit %s has no forecast: %s", name, error)
        return None  # asked in earnest it says the same, and is recorded as failed
    left = (
        f"asking takes {expected.about} {duration(seconds)}"
        if math.isfinite(seconds)
        else "how long depends on the server"
    )
    return {**dataclasses.asdict(expected), "seconds": seconds, "sentence": f"{expected.sentence}; {left}"}


def _watched(context: AuditContext, bar: Callable[[str], Progress]) -> AuditContext:
    """The context with progress that is shown, the judge's too."""
    judge = dataclasses.replace(context.judge, progress=bar) if context.judge else None
    return dataclasses.replace(context, progress=bar, judge=judge)


def _unseen(what: str) -> Progress:
    """Progress beside the main process, which shows it."""
    return lambda done, total: None


def _commit(
    folder: Path,
    result: AuditResult,
    key: str,
    weights: str,
    costs: dict[str, float],
    expected: dict[str, Any] | None,
) -> None:
    for name, frame in (("items", result.items), ("scores", result.scores)):
        with replacing(folder / f"{name}.parquet") as temporary:
            frame.to_parquet(temporary, index=False)
    content = {
        "audit": result.audit,
        "key": key,
        "weights": weights,
        "settings": dict(result.settings),
        "costs": costs,
        "expected": expected,
        "excluded": dict(result.excluded),
        "estimates": [dataclasses.asdict(estimate) for estimate in result.estimates],
    }
    write_json(folder / "estimates.json", content)
