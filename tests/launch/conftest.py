"""Runs of toys, with the workers in this process, few resamples and no drawn report."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.records import Survey
from data.survey_file import write_survey_file
from eval.compare import compare
from launch import worker
from launch.cells import Cell, read_cell, read_experiment
from launch.cli import main

AUDIT = ("audit=[edc]", "audit.edc.dilemmas=2", "audit.edc.draws=100", "audit.edc.conditions=['form:compare']")


@dataclass
class Toys:
    """Runs in `folder` on a tiny model and survey; `started` are the arms whose worker was started."""

    folder: Path
    model: Path
    started: list[str] = field(default_factory=list)

    def arguments(self, *more: str, name: str = "toy") -> list[str]:
        """The command line; `more` overrides the rest, and "~key" leaves it out."""
        given = {
            "runs": f"{self.folder}",
            "name": name,
            "model": "local",
            "model.source": f"{self.model}",
            "survey": "file",
            "survey.blocks": f"['file:{self.folder / 'toy.jsonl'}']",
            "survey.split.held_out_items": "[toy/bribe,toy/vote]",
            "survey.split.held_out_item_share": "0",
            "survey.split.held_out_countries": "[NOR,GHA]",
            "survey.split.held_out_country_share": "0",
            "budget.examples": "16",
            "budget.batch_size": "4",
            "recipe.learning_rate": "1e-3",  # before what an experiment's arm says
            "tracker": "off",
        }
        audit = () if any(one.startswith("audit=") for one in more) else AUDIT
        keys = {one.removeprefix("~").partition("=")[0] for one in more}
        more = tuple(one for one in more if not one.startswith("~"))
        kept = [f"{key}={value}" for key, value in given.items() if key not in keys]
        return ["run", "--config-dir", str(self.folder / "conf"), *kept, *audit, *more]

    def run(self, *more: str, name: str = "toy") -> int:
        """The exit code."""
        self.started.clear()
        return main(self.arguments(*more, name=name))

    def experiment(self, name: str, text: str) -> str:
        """The override that chooses an experiment written as `text`."""
        (self.folder / "conf" / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
        return f"experiment={name}"

    def cells(self, name: str = "toy") -> dict[str, Cell]:
        return {cell.arm: cell for cell in read_experiment(self.folder / name)[1]}


def made_toys(folder: Path, model: Path, survey: Survey, patched: pytest.MonkeyPatch) -> Toys:
    write_survey_file(survey, folder / "toy.jsonl")
    (folder / "conf" / "experiment").mkdir(parents=True)
    toys = Toys(folder, model)

    def run_worker(cell: Path, stages: str, engine: Any) -> int:
        toys.started.append(read_cell(cell).arm)
        return worker.main([str(cell), "--stages", stages])

    patched.setattr("launch.dispatch.run_worker", run_worker)
    patched.setattr(worker, "_log_to", lambda path, main: None)
    patched.setattr("eval.compare.compare", functools.partial(compare, draws=100))
    patched.setattr("eval.report.page.write_report", lambda folder: (folder / "report.html").touch())
    return toys


@pytest.fixture
def toys(tmp_path: Path, tiny_model: Path, tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch) -> Toys:
    return made_toys(tmp_path, tiny_model, tiny_survey, monkeypatch)


@pytest.fixture(scope="module")
def toys_of_module(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_survey: Survey) -> Iterator[Toys]:
    """Shared by a module's tests."""
    with pytest.MonkeyPatch.context() as patched:
        yield made_toys(tmp_path_factory.mktemp("toys"), tiny_model, tiny_survey, patched)
