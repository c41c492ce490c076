"""What `polyphony run` does, on one page: compose → cells → train and audit → compare → report.

Every step asks first whether it has been done: the same command again is the resume.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data.files import digest, write_json
from data.manifest import update_manifest
from launch.arms import ask
from launch.asked import Asked, trains
from launch.build import nearest
from launch.cells import Cell, read_experiment, write_cell, write_experiment
from launch.census import check_questions
from launch.check import check_cells
from launch.comparison import compare_run
from launch.compose import Composer
from launch.dispatch import dispatch
from launch.heads import REWARD, check_heads
from launch.identities import MEMORY, last_identity, remembered, served_identity, weights_identity
from launch.judging import judge_model
from launch.memory import memory_lines
from launch.missing import check_model, clear_rows, keep_rows, without_key
from launch.people import people
from launch.planning import plan
from launch.process import last_error
from launch.provenance import provenance
from launch.show import print_plan
from launch.snapshots import absent
from launch.tracked_comparison import publish_comparison


def run(
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    folders: Sequence[Path] = (),
    dry_run: bool = False,
    retry_failed: bool = False,
    command: str = "",
    finishes: bool = True,
) -> int:
    """Do all that the overrides ask for and is not done yet. Returns the exit code: 0, or 1 where a cell failed. The
    comparison follows unless more cells are to come (`finishes` is False).

    Raises ValueError and OSError, before anything is written, for what is wrong with the request.
    """
    with Composer(folders) as composer:
        asked = ask(composer, overrides, multirun)
        composer.with_hydra(asked.dispatch, "dispatch")
        run_folder = asked.runs / asked.name
        models = remembered(run_folder)
        cells = plan_cells(asked, models)
        new = [cell for cell in cells if not (cell.folder / "config.yaml").exists() and not cell.missing]
        check_cells(new, elsewhere=dry_run or bool(asked.dispatch))
        check_heads(new)
        check_hypotheses(asked, cells)
        check_curves(asked)
        check_questions(asked)
        if dry_run:
            print_plan(run_folder, cells)
            for line in memory_lines(cells):
                print(line)
            return 0
        run_folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(run_folder / ".lock", timeout=0):
                if models != remembered(run_folder):
                    write_json(run_folder / MEMORY, models)
                code = _run(composer, asked, cells, run_folder, retry_failed, command)
                if finishes:
                    finish(run_folder)
                return code
        except Timeout:
            raise ValueError(
                f"another polyphony is working in {run_folder}: wait for it, or choose another name="
            ) from None


def _run(
    composer: Composer, asked: Asked, cells: list[Cell], run_folder: Path, retry_failed: bool, command: str
) -> int:
    clear_rows(run_folder)
    for cell in cells:
        write_cell(cell)
    write_experiment(run_folder, asked, cells, command, {"git": provenance()["git"]})
    if retry_failed:
        cells = [_tried_again(cell) for cell in cells]
    unfinished = [cell for cell in cells if cell.lacks() or cell.manifest.get("state") != "done"]
    without_model = keep_rows(unfinished)
    again = [cell for cell in cells if retry_failed or (asked.keeps_rows and not trains(cell.config))]
    given_up = [c for c in unfinished if c.manifest.get("state") == "failed" and c not in (*again, *without_model)]
    work = [cell for cell in unfinished if cell not in (*given_up, *without_model)]
    gone = f", {len(without_model)} without a model" if without_model else ""
    say(f"{run_folder}: {len(cells)} cells, {len(cells) - len(unfinished)} done, {len(work)} to do{gone}")
    dispatch(composer, work, asked.dispatch, run_folder)
    failed = _report_failures(run_folder, given_up)
    for sentence in (sentence for cell in read_experiment(run_folder)[1] for sentence in absent(cell)):
        say(sentence)
    return 1 if failed else 0


def _tried_again(cell: Cell) -> Cell:
    """The cell with nothing written off that a collapsed variant could not be asked."""
    for one in (cell, *cell.snapshots()):
        if one.manifest.get("unaudited"):
            update_manifest(one.folder, unaudited=None)
    return Cell(cell.folder, cell.config)


def finish(run_folder: Path, anew: bool = False) -> None:
    """Compare what the cells left, write the report, send the comparison, and say where it is and what it found."""
    result = compare_run(run_folder, anew=anew)
    if result is None:
        say(f"{run_folder}: no audited cell is finished, so there is nothing to compare")
        return
    if result.new:
        from launch.card import write_cards

        write_cards(run_folder)
        publish_comparison(run_folder)
    for warning in result.warnings:
        say(f"Warning: {warning}")
    for line in result.finding[:3]:
        print(line)
    print(f"Report: {result.report}")


def plan_cells(asked: Asked, models: dict[str, Any]) -> list[Cell]:
    """The cells with their folders; loads the survey, and fetches and hashes a base model that `models`, what the run
    folder remembers of them, does not know: it is added. A model that cannot be had raises, or with
    `missing_models=row` makes its cells `missing` (`launch.missing`).
    """
    surveys: dict[str, str] = {}
    weights: dict[str, str] = {}
    missing: dict[str, str] = {}
    for config in asked.cells:
        if digest(config["survey"]) not in surveys:
            from data.surveys import survey_hash

            survey, split = people(config["survey"])
            surveys[digest(config["survey"])] = digest([survey_hash(survey), str(split)])
        for model in (None if served_identity(config) else config["model"], judge_model(config)):
            if model is None or digest(model) in {*weights, *missing}:
                continue
            try:
                weights[digest(model)] = weights_identity(model, models)
            except (OSError, ValueError) as error:
                if not asked.keeps_rows or model is not config["model"]:
                    raise
                check_model(model)  # a wrong knob is no missing model
                if known := last_identity(model, models):
                    weights[digest(model)] = known
                else:
                    missing[digest(model)] = str(error)
    cells = plan(asked, surveys, weights, missing)
    return [without_key(cell) for cell in cells] if asked.keeps_rows else cells


def check_hypotheses(asked: Asked, cells: Sequence[Cell]) -> None:
    """Raise ValueError where a hypothesis names an arm or an audit that this run does not have."""
    if not asked.hypotheses:
        return
    from eval.inference import Hypothesis
    from launch.build import build_as

    arms = {cell.arm for cell in cells if cell.head != REWARD}
    audits = {name for cell in cells for name in cell.config["audit"]}
    for number, one in enumerate(asked.hypotheses):
        hypothesis = build_as(Hypothesis, one, f"hypotheses[{number}]")
        if hypothesis.audit not in audits:
            known = nearest(hypothesis.audit, audits)
            raise ValueError(f"hypotheses[{number}] names audit {hypothesis.audit!r}, which this run lacks{known}")
        if hypothesis.name in (other.get("name") for other in asked.hypotheses[:number]):
            raise ValueError(f"hypotheses[{number}].name {hypothesis.name!r} is another hypothesis's name too")
        for arm in hypothesis.weights:
            if arm not in arms:
                raise ValueError(f"hypotheses[{number}] names arm {arm!r}, which this run lacks{nearest(arm, arms)}")


def check_curves(asked: Asked) -> None:
    """Raise ValueError where `response_curves` names a diversity or a measure that there is not."""
    from eval.response_curves import CurveSettings
    from launch.build import build_as

    build_as(CurveSettings, asked.response_curves, "response_curves")


def _report_failures(run_folder: Path, given_up: Sequence[Cell]) -> list[Cell]:
    failed = [cell for cell in read_experiment(run_folder)[1] if cell.lacks() or cell.manifest.get("state") != "done"]
    earlier = {cell.name for cell in given_up}
    for cell in failed:
        if cell.name in earlier:
            say(f"{cell.name} failed before in {last_error(cell.folder)}; --retry-failed tries it again")
    if failed:
        say(f"{len(failed)} of the cells are not done: {', '.join(cell.name for cell in failed)}")
    return failed


def say(text: str) -> None:
    """A line for the user that is no result: stderr."""
    print(text, file=sys.stderr, flush=True)
