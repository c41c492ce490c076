"""Hydra's compose API behind one class: overrides in, a resolved plain dictionary out, and errors that name the fix.

The parent composes; nobody else imports Hydra. A wrong key or value is answered with the nearest valid one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from hydra import compose, initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

import conf
from launch.build import nearest
from launch.plugins import Place, as_place, check_places, places

SHIPPED = Path(str(conf.__file__)).parent
SEARCH_PATH = "hydra.searchpath"
INSTEAD = {  # recipes that are looked for under a name of their own
    "ppo": "trl removed PPO in 1.13. Take recipe=rlhf (the same objective, computed exactly on closed questions), or "
    "with recipe.estimator=sampled RLOO or GRPO (recipe.algorithm=rloo, grpo); docs/rlhf.md says how they differ",
    "rloo": "take recipe=rlhf recipe.estimator=sampled recipe.algorithm=rloo",
    "grpo": "take recipe=rlhf recipe.estimator=sampled recipe.algorithm=grpo",
    "ipo": "take recipe=dpo recipe.loss_type=ipo",
    "lora": "take adapter=lora, with any recipe",
    "persona_prompt": "it trains nothing: take recipe=none inference=persona_prompt",
    "cultural_prompt": "it trains nothing: take recipe=none inference=cultural_prompt",
}
LAUNCHERS = ("basic", "joblib", "submitit_local", "submitit_slurm", "ray")
"""Those that are known to work here (docs/sweeps.md); another that is installed is taken as well."""
OF_THE_USER = {  # groups without shipped members
    "recipes": "recipes/NAME.yaml is looked for in a folder of your own, and none is named (--config-dir; "
    "docs/studies/debiasing.md)",
}


class Composer:
    """Composes `conf/config.yaml` with overrides. Use as a context manager: Hydra keeps its state in a global.

    `folders` are the user's own config folders; `launch.plugins` says where others are looked for. An override
    `hydra.searchpath=[…]` adds more. Raises ValueError or FileNotFoundError where one cannot be used.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self.places = places(folders)
        check_places(self.places, SHIPPED)

    def __enter__(self) -> Composer:
        self._outer = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        _Beside.places = self.places
        self._hydra = initialize_config_module("conf", version_base="1.3", job_name="polyphony")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        GlobalHydra.instance().clear()
        if self._outer is not None:
            GlobalHydra.instance().initialize(self._outer)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Parsed overrides. Raises ValueError naming the one that is no `key=value`, and as `check_places` where one
        adds to the search path.
        """
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
            if parsed[-1].key_or_group == SEARCH_PATH:
                self._check_search_path(parsed[-1])
        return parsed

    def __call__(self, overrides: Sequence[str], config: str = "config") -> dict[str, Any]:
        """The resolved configuration, and under `chosen` the member of each group.

        Raises ValueError for a wrong key or value, naming the nearest valid one.
        """
        try:
            composed = compose(config, overrides=list(overrides), return_hydra_config=True)
            chosen = dict(composed.hydra.runtime.choices)
            with open_dict(composed):
                del composed["hydra"]
            resolved: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        except MissingMandatoryValue as error:
            key = str(error.full_key)
            raise ValueError(f"{key} has no value: set it with {key}=…") from error
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(self._explain(overrides, error)) from error
        self._check_added(overrides, config)
        return {**resolved, "chosen": {str(part): member for part, member in chosen.items()}}

    def with_hydra(self, overrides: Sequence[str], config: str) -> Any:
        """The composed configuration with Hydra's own node, for its launchers."""
        try:
            return compose(config, overrides=list(overrides), return_hydra_config=True)
        except HydraException as error:
            raise ValueError(self._explain(overrides, error)) from error

    def groups(self) -> dict[str, list[str]]:
        """The parts that can be exchanged, each with its shipped members."""
        loader = GlobalHydra.instance().config_loader()
        names = [name for name in loader.list_groups("") if name != "hydra" and not name.startswith("_")]
        return {name: loader.get_group_options(name, ObjectType.CONFIG) for name in sorted(names)}

    def member(self, part: str, name: str) -> dict[str, Any]:
        """What stands in the YAML of a member, unresolved."""
        path = next(place.members[f"{part}/{name}"] for place in self._all if f"{part}/{name}" in place.members)
        node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        return dict(node or {})

    def _members_with(self, knob: str, part: str) -> list[str]:
        """The members of a part that have a knob."""
        files = {name: path for place in self._all for name, path in place.members.items()}
        mine = [name for name in sorted(files) if knob and part != "audit" and name.startswith(f"{part}/")]
        return [name.partition("/")[2] for name in mine if knob in (OmegaConf.load(files[name]) or {})]

    def _chosen(self, overrides: Sequence[str], part: str) -> str:
        return str(compose("config", overrides=list(overrides), return_hydra_config=True).hydra.runtime.choices[part])

    @property
    def _all(self) -> list[Place]:
        return [as_place(str(SHIPPED), "conf"), *self.places]

    def _check_search_path(self, override: Override) -> None:
        value = override.value()
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"{SEARCH_PATH} must be a list such as [file:///a/folder,pkg://a.package], got {value!r}")
        check_places([*self.places, *(as_place(one, SEARCH_PATH) for one in value)], SHIPPED)

    def _check_added(self, overrides: Sequence[str], config: str) -> None:
        """Raise ValueError for the first `+key=value` that nobody reads: neither a group on the search path, nor in the
        configuration without it.
        """
        heads = {
            text: re.split("[./]", one.key_or_group)[0]
            for text, one in zip(overrides, self.parse(overrides), strict=True)
            if (one.is_add() or one.is_force_add()) and not one.is_hydra_override()
        }
        groups = self.groups() if heads else {}
        added = {text: head for text, head in heads.items() if head not in groups}
        if not added:
            return
        known = list(compose(config, overrides=[text for text in overrides if text not in added]))
        for text, head in added.items():
            if head not in known:
                if head in OF_THE_USER:
                    raise ValueError(f"cannot read {text!r}: {OF_THE_USER[head]}")
                raise ValueError(f"unknown key {head!r} in {text!r}{nearest(head, {*map(str, known), *groups})}")

    def _explain(self, overrides: Sequence[str], error: Exception) -> str:
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            part, _, member = str(error.missing_cfg_file).rpartition("/")
            if part == "hydra/launcher":
                if member not in LAUNCHERS:
                    return f"hydra/launcher has no member {member!r}{nearest(member, LAUNCHERS)}"
                plugin = f"hydra-{member.partition('_')[0]}-launcher"
                return f"hydra/launcher={member} is not installed: pip install {plugin}"
            if part == "recipe" and member in INSTEAD:
                return f"{part} has no member {member!r}: {INSTEAD[member]}"
            return f"{part} has no member {member!r}{nearest(member, error.options or self.groups().get(part, []))}"
        groups = self.groups()
        try:
            plain = [text for text, one in zip(overrides, self.parse(overrides), strict=True) if _is_group(one, groups)]
            keys = list(dotted(OmegaConf.to_container(compose("config", overrides=plain))))
        except (HydraException, OmegaConfBaseException, ValueError):
            return _first_line(error)
        for one in self.parse(overrides):
            key = one.key_or_group
            if one.is_add() or one.is_hydra_override() or key in groups or key in keys:
                continue
            close = difflib.get_close_matches(key, [*groups, *keys], n=1, cutoff=0.5) or [
                other for other in keys if other.rpartition(".")[2] == key.rpartition(".")[2]
            ]
            part, _, knob = key.partition(".")
            if owners := self._members_with(knob, part):
                return (
                    f"{part}={self._chosen(plain, part)} has no knob {key!r}: it is one of {part}={', '.join(owners)}"
                )
            siblings = [other for other in keys if other.rpartition(".")[0] == key.rpartition(".")[0] and "." in key]
            siblings = [other for other in siblings if not other.endswith("._target_")]
            known = f" Known here: {', '.join(siblings)}" if siblings else ""
            hint = f"; did you mean {close[0]!r}?" if close else "; `polyphony run --help` lists the keys."
            return f"unknown key {key!r} in {one.input_line!r}{hint}{known}"
        return _first_line(error)


class _Beside(SearchPathPlugin):  # Hydra's way to add to its search path
    places: ClassVar[Sequence[Place]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for place in self.places:
            search_path.append(place.named, place.path)


Plugins.instance().register(_Beside)


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
