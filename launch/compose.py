"""Hydra's compose API behind one class: overrides in, a resolved plain dictionary out, and errors that name the fix.

The parent composes; nobody else imports Hydra. A wrong key or value is answered with the nearest valid one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from launch.build import nearest


class Composer:
    """Composes `conf/config.yaml` with overrides. Use as a context manager: Hydra keeps its state in a global.

    `folders` are users' own config folders, searched after the shipped ones.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"--config-dir {folder} is no folder")
        places = ",".join(f"file://{folder.resolve()}" for folder in folders)
        self._search = [f"hydra.searchpath=[{places}]"] if folders else []

    def __enter__(self) -> Composer:
        self._outer = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        self._hydra = initialize_config_module("conf", version_base="1.3", job_name="polyphony")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        GlobalHydra.instance().clear()
        if self._outer is not None:
            GlobalHydra.instance().initialize(self._outer)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Parsed overrides. Raises ValueError naming the one that is no `key=value`."""
        parser = OverridesParser.create()
        parsed = []
        for text in overrides:
            try:
                parsed.append(parser.parse_override(text))
            except (OverrideParseException, HydraException) as error:
                raise ValueError(
                    f"cannot read {text!r}: expected key=value, part=member or ~key; quote values that hold "
                    f"= , [ ] or spaces ({_first_line(error)})"
                ) from error
        return parsed

    def __call__(self, overrides: Sequence[str], config: str = "config") -> dict[str, Any]:
        """The resolved configuration, and under `chosen` the member of each group.

        Raises ValueError for a wrong key or value, naming the nearest valid one.
        """
        try:
            composed = compose(config, overrides=[*self._search, *overrides], return_hydra_config=True)
            chosen = dict(composed.hydra.runtime.choices)
            with open_dict(composed):
                del composed["hydra"]
            resolved: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        except MissingMandatoryValue as error:
            key = str(error.full_key)
            raise ValueError(f"{key} has no value: set it with {key}=…") from error
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(self._explain(overrides, error)) from error
        return {**resolved, "chosen": {str(part): member for part, member in chosen.items()}}

    def with_hydra(self, overrides: Sequence[str], config: str) -> Any:
        """The composed configuration with Hydra's own node, for its launchers."""
        try:
            return compose(config, overrides=[*self._search, *overrides], return_hydra_config=True)
        except HydraException as error:
            raise ValueError(self._explain(overrides, error)) from error

    def groups(self) -> dict[str, list[str]]:
        """The parts that can be exchanged, each with its shipped members."""
        loader = GlobalHydra.instance().config_loader()
        names = [name for name in loader.list_groups("") if name != "hydra" and not name.startswith("_")]
        return {name: loader.get_group_options(name, ObjectType.CONFIG) for name in sorted(names)}

    def _explain(self, overrides: Sequence[str], error: Exception) -> str:
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            part, _, member = str(error.missing_cfg_file).rpartition("/")
            if part == "hydra/launcher":
                return f"hydra/launcher={member} is not installed: pip install hydra-{member}-launcher"
            return f"{part} has no member {member!r}{nearest(member, error.options or self.groups().get(part, []))}"
        groups = self.groups()
        try:
            plain = [text for text, one in zip(overrides, self.parse(overrides), strict=True) if _is_group(one, groups)]
            keys = list(dotted(OmegaConf.to_container(compose("config", overrides=[*self._search, *plain]))))
        except (HydraException, OmegaConfBaseException, ValueError):
            return _first_line(error)
        for one in self.parse(overrides):
            key = one.key_or_group
            if one.is_add() or one.is_hydra_override() or key in groups or key in keys:
                continue
            close = difflib.get_close_matches(key, [*groups, *keys], n=1, cutoff=0.5) or [
                other for other in keys if other.rpartition(".")[2] == key.rpartition(".")[2]
            ]
            siblings = [other for other in keys if other.rpartition(".")[0] == key.rpartition(".")[0] and "." in key]
            known = f" Known here: {', '.join(siblings)}" if siblings else ""
            hint = f"; did you mean {close[0]!r}?" if close else "; `polyphony run --help` lists the keys."
            return f"unknown key {key!r} in {one.input_line!r}{hint}{known}"
        return _first_line(error)


def dotted(node: Any, prefix: str = "") -> Iterator[str]:
    """All keys of nested dictionaries, inner ones as `outer.inner`."""
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield f"{prefix}{key}"
            yield from dotted(child, f"{prefix}{key}.")


def _is_group(override: Override, groups: Mapping[str, Sequence[str]]) -> bool:
    return override.key_or_group in groups and not override.is_delete()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
