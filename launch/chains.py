"""Cells that are built on other cells: on a parent, where their training starts, or on a reward model.

`parent` and `recipe.reward_model` name an arm of the run (its cell of the same seed and draw) or the folder of a
trained cell. In a planned cell's config `start` and `rewarded_by` name the folders: those of the same run by name
alone, so that a run folder may be moved. A cell that trains nothing has its parent's variant audited (`variant_cell`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from data.files import digest
from launch.asked import of_the_base, trains
from launch.build import nearest
from launch.cells import Cell, read_cell
from launch.heads import LANGUAGE, REWARD
from launch.process import last_error

PARENT, REWARD_MODEL = "parent", "recipe.reward_model"
PLACES = {PARENT: "start", REWARD_MODEL: "rewarded_by"}
Config = dict[str, Any]


@dataclass(frozen=True)
class Link:
    """A cell that another is built on, and what it is known by in that one's identity: its own identity, which covers
    its parents in turn, and of a folder given by the user its trained weights as well.
    """

    cell: Cell
    identity: str


def words(config: Mapping[str, Any]) -> dict[str, str]:
    """What an asked cell is built on, as the user named it, by knob."""
    named = {PARENT: config["parent"], REWARD_MODEL: config["recipe"].get("reward_model")}
    return {knob: word for knob, word in named.items() if word is not None}


def check_words(config: Mapping[str, Any]) -> None:
    for knob, word in words(config).items():
        if not isinstance(word, str) or not word:
            raise ValueError(f"{knob} must be the name of an arm, a cell's folder or null, got {word!r}")


def parents_first(cells: Sequence[Config]) -> list[Config]:
    """The asked cells, each after those that it is built on; a folder given becomes absolute.

    Raises ValueError for a name that is neither an arm nor a folder, for a circle and for what cannot be built on.
    """
    by_key = {key(cell): cell for cell in cells}
    graph: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for cell in cells:
        found = [linked(cell, knob, word, cells) for knob, word in words(cell).items()]
        graph[key(cell)] = [key(one) for one in found if not isinstance(one, Path)]
    try:
        return [by_key[one] for one in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " → ".join(str(one[0]) for one in reversed(error.args[1]))
        raise ValueError(f"parent: the arms start from each other in a circle: {circle}") from None


def key(config: Mapping[str, Any]) -> tuple[str, int, int]:
    return config["arm"], config["seed"], config["draw"]


def linked(config: Mapping[str, Any], knob: str, word: str, cells: Sequence[Config]) -> Config | Path:
    """The asked cell that `word` names for `config`, or the folder that it is. Raises ValueError where it is neither,
    and where a model of the wrong kind is named.
    """
    where = f"{knob} of arm {config['arm']}"
    arms = [cell for cell in cells if cell["arm"] == word]
    if not arms:
        folder = Path(word).expanduser()
        if folder.is_dir():
            return folder.absolute()
        known = nearest(word, {cell["arm"] for cell in cells} - {config["arm"]})
        raise ValueError(f"{where} names {word!r}, which is neither an arm of this run nor a folder here{known}")
    mine = [cell for cell in arms if of_the_base(cell) or key(cell)[1:] == key(config)[1:]]
    if not mine:
        raise ValueError(f"{where} names {word!r}, which has no cell of seed {config['seed']}, draw {config['draw']}")
    check_head(where, knob, mine[0], f"arm {word!r}")
    return mine[0]


def check_head(where: str, knob: str, other: Mapping[str, Any], name: str) -> None:
    """Raise ValueError where a parent answers no questions, or a reward model gives no rewards."""
    reward = other["head"] == REWARD
    if knob == PARENT and reward:
        raise ValueError(
            f"{where} names {name}, a reward model: training starts from a language model; a reward model is named "
            "in recipe.reward_model of rlhf"
        )
    if knob == REWARD_MODEL and not reward:
        raise ValueError(f"{where} names {name}, which is no reward model (recipe {other['chosen']['recipe']})")


def trained_cell(folder: Path, where: str, knob: str) -> Link:
    """The cell in a folder that the user gave. Raises FileNotFoundError or ValueError where it holds none of this
    version, or one that is not trained or of the wrong kind.
    """
    try:
        cell = read_cell(folder)
        manifest = cell.manifest
    except (ValueError, OSError) as error:
        raise type(error)(f"{where}: {error}") from error
    if problem := unfit(cell):
        raise ValueError(f"{where}: {folder} {problem}: expected a cell whose training is finished")
    if not manifest.get("hashes"):
        raise ValueError(f"{where}: {folder} holds no trained weights (recipe {cell.config['chosen']['recipe']})")
    check_head(where, knob, {"head": LANGUAGE, **cell.config}, str(folder))
    return Link(cell, digest([manifest["identity"], manifest["hashes"]]))


def unfit(cell: Cell) -> str:
    """Why nothing can be built on a cell, as the end of a sentence about it; "" where something can."""
    if not cell.trained:
        why = last_error(cell.folder) or f"its manifest says state {cell.manifest.get('state')!r}"
        return f"is not trained ({why})"
    if collapsed := cell.manifest.get("collapsed"):
        return f"has collapsed in training ({collapsed['reason']})"
    return ""


def check_base(where: str, config: Mapping[str, Any], known: str, other: Cell) -> None:
    """Raise ValueError where a parent descends from another base model than the cell's."""
    base = other.config["parent"]
    if base["weights"] != known:
        raise ValueError(
            f"{where}: {other.folder} descends from model {base['name']} (weights {base['weights'][:12]}), but this "
            f"arm has model {config['model']['name']} (weights {known[:12]}): set the model that its parent has"
        )


def place_of(cell: Cell, cells: Path) -> str:
    """How cells of the run whose cells lie in `cells` name this one: by name within the run, else by the whole path."""
    return cell.name if cell.folder.parent == cells else str(cell.folder)


def cells_built_on(cell: Cell) -> dict[str, Cell]:
    """The cells that a planned cell is built on, by knob, as they stand now."""
    named = {knob: cell.config.get(place) for knob, place in PLACES.items()}
    run = next((above for above in cell.folder.parents if above.name == "cells"), cell.folder.parent)
    return {knob: read_cell(run / place) for knob, place in named.items() if place}


def variant_cell(cell: Cell) -> Cell:
    """The cell that trained the variant which this one audits: itself, where it is not built on one and trains nothing.

    Not that of another variant: planning names the cell that trained.
    """
    parent = None if trains(cell.config) else cells_built_on(cell).get(PARENT)
    return parent or cell


def levels(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in groups: each is built on cells of earlier groups alone, or on such as are not among `cells`."""
    by_name = {cell.name: cell for cell in cells}
    sorter = TopologicalSorter(
        {
            name: [place for field in PLACES.values() if (place := cell.config.get(field)) in by_name]
            for name, cell in by_name.items()
        }
    )
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        found.append([cell for cell in cells if cell.name in ready])
        sorter.done(*ready)
    return found


def lineage(config: Mapping[str, Any], parent: Cell | None) -> str:
    """The recipes that led to a cell's variant, in order: `"sft → dpo"`, `"sft lora → dpo"`."""
    chosen = config["chosen"]
    if parent is not None and not trains(config):
        return str(parent.config["lineage"])
    if parent is None:
        return str(chosen["recipe"])
    before, adapter = parent.config["lineage"], parent.config["chosen"]["adapter"]
    return f"{before}{'' if adapter == 'full' else f' {adapter}'} → {chosen['recipe']}"
