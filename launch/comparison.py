"""Comparison and report of a run folder, from what its cells left. No model is loaded, and nothing is done twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.code import digest_code
from data.files import digest, read_json, replacing, write_json
from launch.asked import trains
from launch.build import build_as
from launch.cells import Cell, audit_key, read_experiment
from launch.census import census_of, tags_of, verdicts_of
from launch.chains import variant_cell
from launch.heads import REWARD
from launch.members import described
from launch.people import people
from launch.provenance import provenance
from launch.snapshots import absent, missing_audits

if TYPE_CHECKING:
    from eval.cells import CellResult
    from eval.records import Estimate

OF_TRAINING = ("recipe", "adapter", "mixture", "budget", "gate", "engine", "parent")


@dataclass(frozen=True)
class Compared:
    """Where the report is, the finding and warnings in sentences, and whether they were made just now."""

    report: Path
    finding: tuple[str, ...]
    warnings: tuple[str, ...]
    new: bool


def compare_run(run: Path, anew: bool = False) -> Compared | None:
    """Compare the run's finished cells and write comparison/; None where no cell that is audited is finished.

    What is there already stays if it was made from the same cells by the same code, unless `anew`.
    """
    experiment, cells = read_experiment(run)
    if not any(cell.manifest.get("state") == "done" for cell in cells if cell.head != REWARD):
        return None
    folder = run / "comparison"
    files = {
        "summary": folder / "summary.json",
        "report": folder / "report.html",
        "made_from": folder / "made_from.json",
    }
    key = _key(experiment, cells)
    fresh = all(path.exists() for path in files.values()) and read_json(files["made_from"])["key"] == key
    if anew or not fresh:
        _write(folder, experiment, cells)
        write_json(files["made_from"], {"key": key})
    summary = read_json(files["summary"])
    warnings = dict.fromkeys(verdict["contrast"]["warning"] for verdict in summary["verdicts"])
    return Compared(
        report=files["report"],
        finding=tuple(summary["finding"]),
        warnings=tuple(warning for warning in warnings if warning),
        new=anew or not fresh,
    )


def _write(folder: Path, experiment: dict[str, Any], stages: Sequence[Cell]) -> None:
    from eval.compare import compare
    from eval.diversity_enhanced.answers import preference_answers
    from eval.first_token.audit import answers_table
    from eval.inference import Hypothesis
    from eval.report.page import write_report
    from eval.response_curves import CurveSettings

    cells = [cell for cell in stages if cell.head != REWARD]
    config = cells[0].config
    survey, split = people(config["survey"])
    bases = ("name", "source", "weights")
    models = {cell.config["model"]["name"]: {name: cell.config["parent"][name] for name in bases} for cell in cells}
    asked_in = {"language": _languages(cells)}

    results = [_result(cell) for cell in cells]
    answers = {"first_token": answers_table, "def": preference_answers}
    summary, scores = compare(
        results,
        [build_as(Hypothesis, one, f"hypotheses[{place}]") for place, one in enumerate(experiment["hypotheses"])],
        experiment=experiment["name"],
        command=experiment["command"],
        answers=answers,
        drift=_drift,
        curves=build_as(CurveSettings, _curves(experiment), "response_curves"),
        split=dataclasses.asdict(split),
        surveys=[dataclasses.asdict(source) for source in survey.sources],
        provenance={**provenance(), "models": models, "survey_excluded": dict(survey.excluded), **asked_in}
        | _stages(stages),
    )
    summary["trajectories"] = _trajectories(cells, summary["estimates"])
    summary["members"] = described(stages)
    summary["census"] = census_of(experiment, results, summary, survey, answers)
    summary["verdicts"] += verdicts_of(summary["census"])
    with replacing(folder / "comparison.parquet") as temporary:
        scores.to_parquet(temporary, index=False)
    write_json(folder / "summary.json", summary)
    write_report(folder)


def _curves(experiment: dict[str, Any]) -> dict[str, Any]:
    """What a run says of response curves; a run of an earlier version says nothing."""
    found: dict[str, Any] = experiment.get("response_curves") or {}
    return found


def _stages(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """How each trained cell came to be, in words; nothing where every one was trained from the base in one stage."""
    if not any(cell.head == REWARD or cell.config.get("start") or cell.config.get("rewarded_by") for cell in cells):
        return {}
    said = {}
    for cell in cells:
        if (made := variant_cell(cell)) is not cell:
            said[cell.name] = f"the variant of {made.name} asked again, inference {cell.config['chosen']['inference']}"
        if not trains(cell.config):
            continue
        chosen, config, spent = cell.config["chosen"], cell.config, cell.manifest.get("budget") or {}
        judge = f", rewarded by {config['rewarded_by']}" if config.get("rewarded_by") else ""
        numbers = ", ".join(f"{spent[name]:g} {name}" for name in ("examples", "steps", "tokens") if spent.get(name))
        said[cell.name] = (
            f"{chosen['recipe']} {chosen['adapter']} from {config.get('start') or 'the base'}{judge}: "
            f"{numbers or 'not trained'}"
        )
    return {"stages": said}


def _languages(cells: Sequence[Cell]) -> dict[str, str]:
    """The language of the prompts in training and in each audit, as its settings say; several where cells differ."""
    found: dict[str, set[str]] = {"training": {cell.config["prompt"].get("language", "en") for cell in cells}}
    for cell in cells:
        for name in cell.config["keys"]:
            path = cell.folder / "audits" / name / "estimates.json"
            if path.exists() and (language := read_json(path)["settings"].get("language")):
                found.setdefault(name, set()).add(language)
    return {name: ", ".join(sorted(spoken)) for name, spoken in found.items()}


def _drift(audit: str, items: pd.DataFrame, base_items: pd.DataFrame) -> list[Estimate]:
    """How far training moved a variant's choices in dilemmas; the other audits have no measure of it."""
    if audit != "edc":
        return []
    from eval.dilemmas.estimates import training_drift

    return training_drift(items, base_items, np.random.default_rng(0))


def _trajectories(cells: Sequence[Cell], estimates: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """How values moved along the trainings, as the snapshots' audits say, and over dated versions."""
    from eval.dilemmas.questions import ALONE
    from eval.trajectories import Snapshot, trajectories

    def drift(items: pd.DataFrame, before: pd.DataFrame) -> list[Estimate]:
        return _drift("edc", *(side[side["condition"] == ALONE] for side in (items, before)))

    snapshots = [
        Snapshot(int(one.config["step"]), _result(Cell(one.folder, {**one.config, "arm": cell.arm, "audit": there})))
        for cell in cells
        for one in cell.snapshots()
        if (there := set(one.config["keys"]) - set(missing_audits(one)))
    ]
    lost = [sentence for cell in cells for sentence in absent(cell)]
    return trajectories([_result(cell) for cell in cells], snapshots, estimates, {"edc": drift}, lost)


def _result(cell: Cell) -> CellResult:
    """What the cell left; where another trained the variant, what is said of the training is that one's."""
    from eval.cells import CellResult

    chosen, config, manifest = cell.config["chosen"], cell.config, cell.manifest
    if (made := variant_cell(cell)) is not cell:
        chosen = {**chosen, **{part: made.config["chosen"][part] for part in ("adapter", "mixture")}}
        config = {**config, **{part: made.config[part] for part in OF_TRAINING}}
        manifest = {
            **manifest,
            **{fact: made.manifest.get(fact) for fact in ("budget", "training", "hashes", "mixture")},
        }
    return CellResult(
        arm=cell.arm,
        seed=config["seed"],
        draw=config["draw"],
        folder=cell.folder,
        manifest=manifest,
        config=config,
        recipe=config.get("lineage", chosen["recipe"]),
        adapter=chosen["adapter"],
        mixture=chosen["mixture"],
        inference=chosen.get("inference") or "none",
    )


def _key(experiment: dict[str, Any], cells: Sequence[Cell]) -> str:
    facts = ("state", "collapsed", "unaudited")
    left: list[Any] = [[cell.name, *map(cell.manifest.get, facts), _audit_keys(cell)] for cell in cells]
    left += [[one.name, _audit_keys(one)] for cell in cells for one in cell.snapshots()]
    dated = [[cell.config["model"].get(name) for name in ("series", "released")] for cell in cells]
    left += [[absent(cell) for cell in cells], dated, tags_of(cells), experiment.get("questions")]
    return digest([left, experiment["hypotheses"], _curves(experiment), digest_code("launch.comparison")])


def _audit_keys(cell: Cell) -> dict[str, str]:
    return {name: audit_key(cell.folder, name) for name in cell.config["keys"]}
