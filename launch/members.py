"""What members of parts are, in the words at the head of their YAML files: a report is read without the program."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import conf
from launch.asked import trains
from launch.cells import Cell
from launch.plugins import FILE, Place, places

PARTS = ("recipe", "adapter", "mixture", "inference")


def described(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """Part → member → what it is, for all that the cells have; of untrained cells the intervention at inference alone.

    Members from a folder that only `--config-dir` named are absent: a comparison does not know of it.
    """
    files = {name: path for place in _places() for name, path in place.members.items()}
    found: dict[str, dict[str, str]] = {}
    for cell in cells:
        for part in PARTS if trains(cell.config) else ("inference",):
            member = cell.config["chosen"].get(part)
            path = files.get(f"{part}/{member}")
            if path is not None and (part, member) != ("inference", "none"):
                found.setdefault(part, {})[member] = head(path)
    return found


def head(path: Path) -> str:
    """The comment that a YAML file begins with, as one line."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines if "@package" not in line)


def _places() -> list[Place]:
    return [*reversed(places()), Place(f"{FILE}{Path(str(conf.__file__)).parent}", "conf")]
