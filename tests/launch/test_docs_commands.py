"""Every command that README, docs and help texts show is one that the program takes."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

import conf
from data.records import Survey
from data.survey_file import write_survey_file
from launch.arms import ask
from launch.cells import Cell
from launch.check import check_cells
from launch.cli import TEACHING, app
from launch.compose import Composer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"(?<!`)`((?:[A-Z_]+=\S+ )*polyphony\s[^`]+)`(?!`)")
LINE = re.compile(r"^(?:\s{4,}|# \S+:\s+)?((?:[A-Z_]+=\S+ )*polyphony .+)$")
YAML_FILE = re.compile(r"```yaml\n(# @package _global_\n# my-conf/(\S+\.yaml):.*?)```", re.DOTALL)

STAND_INS = {  # what a reader has and this test has not, by the word of the command that needs it
    "survey=wvs7": ["survey.blocks=['file:{survey}']"],  # an imported survey
}
REPEATS = ("seed=", "seeds=", "draws=")  # the same cells more often: left out here, for time
KEYS = [f"{name}_API_KEY" for name in ("OPENAI", "ANTHROPIC", "DEEPSEEK", "DASHSCOPE")]  # made-up ones
PLACEHOLDERS = {  # what stands for a reader's own file, folder or package → what stands for it here
    "/path/mine.jsonl": "{survey}",  # a survey file
    "/path/to/folder": "{here}/model",  # a model's folder
    "$PYTHONPATH": "{here}/plugin",  # where docs/own_recipe.md's package lies
    "--config-dir conf": "--config-dir {here}/versions",  # a folder with two dated versions of a model
    "--config-dir ./my-conf": "--config-dir {here}/plugin/polyphony_example/conf",  # a folder with recipe/mine.yaml
    "runs/…": "runs/x",  # a run of the reader's
    "cells/reward-…": "cells/reward-1",
}


def commands(text: str) -> Iterator[str]:
    """Those in lines of code, and those in backticks within a sentence."""
    joined, fenced = text.replace("\\\n", " "), False
    for line in joined.splitlines():
        fenced ^= line.startswith("```")
        found = LINE.match(line)
        if found and (fenced or line.startswith("    ")):
            yield found[1].strip()
    prose = re.sub(r"^```.*?^```", "", joined, flags=re.DOTALL | re.MULTILINE)
    yield from (" ".join(one.split()) for one in INLINE.findall(prose))


def shown() -> list[tuple[str, str]]:
    """(where, command), each command once, where it is shown first."""
    found = [(page.relative_to(ROOT).as_posix(), one) for page in PAGES for one in commands(page.read_text("utf-8"))]
    helped = [re.split(r"\s{2,}", line)[0] for line in TEACHING.splitlines() if line.startswith("polyphony run")]
    first: dict[tuple[str, ...], tuple[str, str]] = {}
    for where, command in [*(("run --help", line) for line in helped), *found]:
        words = [word for word in shlex.split(command, comments=True) if word != "--dry-run"]
        first.setdefault(tuple(words), (where, command))
    return list(first.values())


SHOWN = shown()
RUNS = [one for one in SHOWN if "polyphony run" in one[1]]
OTHERS = [one for one in SHOWN if "polyphony run" not in one[1]]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder: a model, a package, two versions of a model, trained cells, the docs' experiments."""
    folder = tmp_path_factory.mktemp("reader")
    cells = [f"runs/x/cells/{name}" for name in ("sft-full--s0--d0--1234abcd", "reward-1", "CELL")]
    for name in ("model", "versions/model", *cells):
        (folder / name).mkdir(parents=True)
    shutil.copytree(ROOT / "tests" / "plugin", folder / "plugin")
    shipped = (Path(str(conf.__file__)).parent / "model" / "smollm2-135m.yaml").read_text(encoding="utf-8")
    for name in ("mine-2024", "mine-2025"):
        (folder / "versions" / "model" / f"{name}.yaml").write_text(shipped.replace("name: ", f"name: {name}-"))
    for page in PAGES:
        for text, name in YAML_FILE.findall(page.read_text("utf-8")):
            path = folder / "my-conf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    yield folder
    for name in [name for name in sys.modules if name.startswith("polyphony_example")]:
        del sys.modules[name]


@pytest.mark.parametrize(("where", "command"), RUNS, ids=[f"{where}: {command[:60]}" for where, command in RUNS])
def test_what_is_run_composes(
    where: str, command: str, here: Path, tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_survey_file(tiny_survey, here / "survey.jsonl")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here / "plugin")
    for key in KEYS:
        monkeypatch.setenv(key, "a key")
    named = {"here": str(here), "survey": str(here / "survey.jsonl")}
    for word, instead in PLACEHOLDERS.items():
        command = command.replace(word, instead.format(**named))
    words = shlex.split(command, comments=True)
    for variable in words[: words.index("polyphony")]:
        monkeypatch.setenv(*variable.partition("=")[::2])
    asked = parsed(words[words.index("polyphony") + 1 :])
    if asked is None:  # polyphony run --help
        return
    overrides = [word for word in asked["overrides"] if not word.startswith(REPEATS)]
    overrides += [more.format(**named) for word in asked["overrides"] for more in STAND_INS.get(word, [])]
    with Composer([Path(folder) for folder in asked["config_dir"] or []]) as composer:
        request = ask(composer, overrides, asked["multirun"])
        assert request.cells
        if "hydra/launcher=ray" not in request.dispatch:  # whose plug-in wants other versions of its own
            composer.with_hydra(request.dispatch, "dispatch")
        check_cells([Cell(Path(), config) for config in request.cells], elsewhere=True)


@pytest.mark.parametrize(("where", "command"), OTHERS, ids=[f"{where}: {command[:60]}" for where, command in OTHERS])
def test_other_commands_and_their_options_are_there(where: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    words = words[words.index("polyphony") + 1 :]
    parsed(words if len(words) > 1 else [*words, "--help"])  # a sentence may name a command alone


def test_commands_are_found_everywhere() -> None:
    pages = {where for where, _ in RUNS}
    assert pages > {"README.md", "docs/chains.md", "docs/mixtures.md", "docs/engines.md", "run --help"}
    assert all(any(word in command for _, command in SHOWN) for word in (*STAND_INS, *PLACEHOLDERS))


def parsed(words: list[str]) -> dict[str, Any] | None:
    """The parameters of a command line as typer reads it; None where it only asks for help. Raises click's errors."""
    group: Any = typer.main.get_command(app)
    while isinstance(group, click.Group) or hasattr(group, "commands"):
        if not words:
            return None
        assert words[0] in group.commands, f"there is no command {words[0]!r}: {sorted(group.commands)}"
        group, words = group.commands[words[0]], words[1:]
    if "--help" in words:
        return None
    return dict(group.make_context(group.name, words, resilient_parsing=False).params)
