"""YAML of which every scalar is text and every mistake has a line: for files that people write by hand.

YAML reads `No` as false, `NO` (Norway) too, and keeps the last of two equal keys. Here both are what they look like, or
an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from data.importers.columns import code_text


class Node(dict[str, Any]):
    """A mapping, the line on which it starts, and the line of each key."""

    line = 1
    lines: Mapping[str, int] = MappingProxyType({})


class _Loader(yaml.BaseLoader):
    """Makes text, lists and `Node`s only; refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = Node({str(key): value for key, value in super().construct_mapping(node, deep=True).items()})
        made.line = node.start_mark.line + 1
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise yaml.YAMLError(f"line {line}: key {name!r} is given twice, first in line {lines[name]}")
            lines[name] = line
        made.lines = lines
        return made


@dataclass
class CheckedYaml:
    """What readers of such files share: each method returns a checked value or raises what `fail` makes."""

    path: str

    def load(self) -> Any:
        """The file's content. Raises ValueError for what is no YAML and for a key given twice."""
        try:
            return yaml.load(Path(self.path).read_text(encoding="utf-8"), Loader=_Loader)  # no objects are made
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path} is no readable YAML: {' '.join(str(error).split())}") from error

    def fail(self, node: Mapping[str, Any], key: str, message: str) -> ValueError:
        line = node.lines.get(key, node.line) if isinstance(node, Node) else 1
        return ValueError(f"{self.path}, line {line}, key {key!r}: {message}")

    def known(self, node: Mapping[str, Any], keys: Sequence[str]) -> None:
        for key in node:
            if key not in keys:
                nearest = difflib.get_close_matches(key, keys, n=1, cutoff=0)[0]
                raise self.fail(node, key, f"unknown; did you mean {nearest!r}? Known: {', '.join(keys)}")

    def mapping(self, node: Mapping[str, Any], key: str) -> Node:
        value = node.get(key, Node())
        if not isinstance(value, Node):
            raise self.fail(node, key, f"found {value!r}, expected a mapping")
        return value

    def text(self, node: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = node.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.fail(node, key, f"found {value!r}, expected text")
        return value.strip()

    def flag(self, node: Mapping[str, Any], key: str, default: bool | None) -> bool:
        value = node.get(key)
        if value is None and default is not None:
            return default
        if value not in ("true", "false"):
            raise self.fail(node, key, f"found {value!r}, expected true or false")
        return bool(value == "true")

    def codes(self, node: Mapping[str, Any], key: str) -> dict[str, str]:
        """Code → text, codes canonical and none of them twice."""
        given = self.mapping(node, key)
        made: dict[str, str] = {}
        for code, text in given.items():
            if not isinstance(text, str) or not text.strip():
                raise self.fail(given, key, f"code {code}: found {text!r}, expected text")
            if code_text(code) in made:
                raise self.fail(given, key, f"code {code_text(code)} is given twice")
            made[code_text(code)] = text.strip()
        return made
