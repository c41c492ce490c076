"""Config folders of the user's own, searched after the shipped one: from the command line, the environment
(POLYPHONY_CONF) and installed packages (entry points of the group `polyphony.conf`).

    [project.entry-points."polyphony.conf"]      # in the package's pyproject.toml
    mine = "my_package.conf"                     # a package with recipe/mine.yaml, mixture/…, audit/…, inference/…

A member may not have the name of one that is found before it: it would never be taken.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from launch.build import resolve

GROUP = "polyphony.conf"
VARIABLE = "POLYPHONY_CONF"
PACKAGE, FILE = "pkg://", "file://"


@dataclass(frozen=True)
class Place:
    """A config folder: `path` as Hydra writes it (file:///… or pkg://…), `named` where it was named."""

    path: str
    named: str

    @property
    def folder(self) -> Path:
        """On disk. Raises ValueError or FileNotFoundError, naming who named it, where it is not there."""
        if not self.path.startswith(PACKAGE):
            folder = Path(self.path.removeprefix(FILE))
            if not folder.is_dir():
                raise FileNotFoundError(f"{self.named} {folder} is no folder")
            return folder
        name = self.path.removeprefix(PACKAGE).replace("/", ".")
        try:
            found = importlib.util.find_spec(name)
        except ImportError:
            found = None
        if found is None or not found.submodule_search_locations:
            raise ValueError(
                f"{self.named} names {name!r}, which is no package here: install it, or put its folder on PYTHONPATH"
            )
        return Path(next(iter(found.submodule_search_locations)))

    @property
    def members(self) -> Mapping[str, Path]:
        """Its files by "part/member"."""
        folder = self.folder
        return {
            path.relative_to(folder).with_suffix("").as_posix(): path
            for path in sorted(folder.rglob("*.yaml"))
            if path.parent != folder
        }


def places(folders: Sequence[Path] = ()) -> list[Place]:
    """Those of the command line (`folders`), the environment and installed packages, in this order, each once."""
    found = [Place(f"{FILE}{folder.absolute()}", "--config-dir") for folder in folders]
    found += [as_place(text, VARIABLE) for text in os.environ.get(VARIABLE, "").split(",") if text.strip()]
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)
    found += [Place(f"{PACKAGE}{one.value}", f"the entry point {one.name!r} of {GROUP}") for one in points]
    return list({place.path: place for place in reversed(found)}.values())[::-1]


def as_place(text: str, named: str) -> Place:
    """A place as a user writes it: file:///a/folder, pkg://a.package or a folder."""
    plain = text.strip()
    return Place(plain if plain.startswith((FILE, PACKAGE)) else f"{FILE}{Path(plain).expanduser().absolute()}", named)


def check_places(found: Sequence[Place], shipped: Path) -> None:
    """Raise where a place is not there, and ValueError where a member of it would never be taken."""
    taken = dict(Place(f"{FILE}{shipped}", "conf").members)
    for place in found:
        for name, path in place.members.items():
            first = taken.setdefault(name, path)
            if first.resolve() != path.resolve():
                raise ValueError(f"{path} is never read: {first} has the same name and comes first. Rename it")


def listed(found: Sequence[Place]) -> Iterator[tuple[str, str]]:
    """Of each place: what it is, and its members as they are asked for ("recipe=mine", "+recipes=mine")."""
    for place in found:
        members = ", ".join("+" * name.startswith("recipes/") + name.replace("/", "=") for name in place.members)
        yield place.path, members or "holds no member (recipe/NAME.yaml, mixture/NAME.yaml …)"


def broken(place: Place) -> Iterator[str]:
    """A sentence for each of its members whose `_target_` cannot be imported or whose YAML cannot be read."""
    for name, path in place.members.items():
        try:
            node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for where, target in _targets(node, name.partition("/")[0]):
                resolve(target, f"{path}: {where}")
        except (ValueError, yaml.YAMLError) as error:
            yield str(error)


def _targets(node: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            if key == "_target_":
                yield f"{where}._target_", str(child)
            yield from _targets(child, f"{where}.{key}")
