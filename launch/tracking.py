"""Weights & Biases as a publisher of what the cells' files say. Files are the truth; off is a null object.

One run a cell, grouped by run folder, with an id that depends on nothing but the two names: publishing again overwrites
the same run. A run that is opened replays metrics.jsonl first, so a resumed training has its whole curve. What the
cells say together is a run of its own (`launch.tracked_comparison`).
"""

from __future__ import annotations

import json
import logging
import netrc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast
from urllib.parse import urlsplit

from data.files import digest, read_json
from launch.artifacts import asked_of, audit_artifact, made_from, use, variant_artifact
from launch.asked import trains
from launch.cells import Cell, read_cell

if TYPE_CHECKING:
    import pandas as pd

TABLE_ROWS = 10_000
MODES = ("auto", "online", "offline", "off")
LONGEST_TAG = 64
"""Characters that W&B allows in a tag."""
COLLAPSED = "COLLAPSED"
PLACES = {"WANDB_DATA_DIR": "staging", "WANDB_CACHE_DIR": "cache", "WANDB_ARTIFACT_DIR": "artifacts"}
"""Where W&B keeps what is on its way, by the variable that says so: in a run's folder, unless the user has said it."""
GIVEN = PLACES.keys() & os.environ.keys()
log = logging.getLogger("polyphony")


class Tracker(Protocol):
    """Told of a cell's scalars while it trains, and of its end."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class NoTracker:
    """Says nothing to anybody."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class WandbCell:
    """A cell's W&B run: what metrics.jsonl holds already, then live; estimates, evidence and variant at the end."""

    def __init__(self, cell: Cell, mode: str) -> None:
        self._cell = cell
        run = cell.folder.parent.parent
        config = {key: value for key, value in cell.config.items() if key not in ("tracker", "keys")}
        self._run = start_run(cell.config["tracker"], mode, run, cell.name, "cell", config, tags_of(cell))
        for record in read_metrics(cell.folder / "metrics.jsonl"):
            self.log(int(record.pop("step")), record)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        try:
            self._run.log({f"training/{name}": value for name, value in values.items()}, step=step)
        except Exception:  # metrics.jsonl has it; `publish` sends it again
            log.warning("W&B did not take step %s", step, exc_info=True)

    def close(self) -> None:
        """Send what the audits left and the variant by reference, and end the run."""
        try:
            self.send()
        except Exception:  # the files have it all; `publish` sends them again
            log.warning("W&B did not take the results; send them with `polyphony publish`", exc_info=True)

    def send(self) -> None:
        """As `close`, but a failure is raised."""
        manifest = read_cell(self._cell.folder).manifest
        self._run.summary["state"] = manifest.get("state")
        if manifest.get("collapsed"):
            self._run.summary["collapsed"] = manifest["collapsed"]["reason"]
            self._run.tags = (*(self._run.tags or ()), COLLAPSED)
        for path in sorted((self._cell.folder / "audits").glob("*/estimates.json")):
            self._audit(path.parent.name, read_json(path)["estimates"], path.with_name("items.parquet"))
        self._lineage(manifest)
        self._run.finish()

    def _audit(self, audit: str, estimates: Sequence[Mapping[str, Any]], items: Path) -> None:
        import pandas as pd

        for one in estimates:
            if one["group"] in ("all", "seen items") and one["value"] is not None:
                place = "/".join(
                    [audit, one["name"], one["condition"], *(["seen items"] if one["group"] != "all" else [])]
                )
                self._run.summary[place] = one["value"]
        tables = {f"{audit}/estimates": pd.DataFrame(estimates)}
        if items.exists():
            tables[f"{audit}/items"] = pd.read_parquet(items).head(TABLE_ROWS)
        self._run.log({name: table(frame) for name, frame in tables.items() if len(frame)})

    def _lineage(self, manifest: Mapping[str, Any]) -> None:
        """The variant, made from its base or from the variants that it is built on, and the audits: artifacts that
        point to the cell's files (`launch.artifacts`). A cell that trains nothing uses what it asks; in one that trains
        both come out of one run, and the audits' metadata name the variant.
        """
        audited = audit_artifact(self._cell)
        if trains(self._cell.config):
            if manifest.get("hashes"):
                for artifact in made_from(self._cell, manifest):
                    use(self._run, artifact)
                self._run.log_artifact(variant_artifact(self._cell, manifest))
        elif audited:
            use(self._run, asked_of(self._cell))
        if audited:
            self._run.log_artifact(audited)


def open_tracker(cell: Cell, off: bool = False) -> Tracker:
    """The tracker that the cell's config asks for. A tracker that cannot start is a message, never the end of a run."""
    mode = "off" if off else resolve_mode(cell.config["tracker"]["mode"])
    return NoTracker() if mode == "off" else _opened(cell, mode)


def tags_of(cell: Cell) -> list[str]:
    """What W&B filters and groups runs by: `recipe:match`, `seed:0`, … and the tags of the model (`family:SmolLM2`)."""
    chosen, model = cell.config["chosen"], cell.config["model"]
    facts = {"experiment": cell.config["experiment"], "arm": cell.arm, "model": model["name"]}
    facts |= {part: chosen[part] for part in ("recipe", "adapter", "mixture", "inference") if chosen.get(part)}
    facts |= {"seed": cell.config["seed"], "draw": cell.config["draw"], **(model.get("tags") or {})}
    return [f"{name}:{value}"[:LONGEST_TAG] for name, value in facts.items() if value is not None]


def resolve_mode(mode: str) -> str:
    """online, offline or off. Off is off; else WANDB_MODE wins; auto is online where this user is logged in."""
    given = os.environ.get("WANDB_MODE", "") if mode != "off" else ""
    mode = {"disabled": "off", "online": "online", "offline": "offline"}.get(given, mode)
    if mode not in MODES:
        raise ValueError(f"tracker.mode must be one of {', '.join(MODES)}, got {mode!r}")
    return mode if mode != "auto" else "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Whether W&B would find a key: in WANDB_API_KEY or in the netrc file. Does not import wandb."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    places = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    try:
        return any(
            netrc.netrc(path).authenticators(host) for place in places if (path := Path(place).expanduser()).exists()
        )
    except (OSError, netrc.NetrcParseError):
        return False


def _opened(cell: Cell, mode: str) -> Tracker:
    try:
        return WandbCell(cell, mode)
    except Exception as error:  # a tracker's own failures are many and none may cost a training
        print(f"{cell.name}: not tracked, because W&B failed to start: {error}", file=sys.stderr)
        log.warning("W&B failed to start", exc_info=True)
        return NoTracker()


def start_run(
    tracker: Mapping[str, Any],
    mode: str,
    run: Path,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    tags: Sequence[str] = (),
) -> Any:
    """A new W&B run with its files under the run folder; offline with one message where the server is out of reach."""
    os.environ.update({name: str(run / "wandb" / place) for name, place in PLACES.items() if name not in GIVEN})
    import wandb

    def begin(mode: str) -> Any:
        return wandb.init(
            project=tracker["project"],
            entity=tracker["entity"],
            group=run.name,
            job_type=kind,
            name=name,
            tags=list(dict.fromkeys(tags)),
            id=digest([run.name, name])[:16],
            dir=run,
            config=dict(config),
            mode=cast("Literal['online', 'offline']", mode),
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True, init_timeout=30
            ),
        )

    try:
        return begin(mode)
    except (wandb.errors.Error, OSError) as error:
        if mode != "online":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(
            f"W&B cannot be reached ({reason}): writing offline files; send them with `polyphony publish {run}`",
            file=sys.stderr,
        )
        os.environ["WANDB_MODE"] = "offline"
        wandb.teardown()  # the id counts as in use until the service of the failed start is gone
        return begin("offline")


def table(frame: pd.DataFrame) -> Any:
    """A W&B table; lists and arrays become JSON text, which every viewer shows."""
    import pandas as pd
    import wandb

    plain = frame.copy()
    for name in plain.columns:
        if str(plain[name].dtype) in ("float64", "float32", "int64", "bool"):
            continue
        numbers = all(one is None or type(one) in (int, float) for one in plain[name])
        plain[name] = pd.to_numeric(plain[name]) if numbers else [_cell_text(value) for value in plain[name]]
    return wandb.Table(dataframe=plain)


def _cell_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value.tolist() if hasattr(value, "tolist") else value, default=str)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The logged steps; a last line torn by a kill is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
