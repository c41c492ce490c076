"""Weights & Biases as a publisher of what the cells' files say. Files are the truth; off is a null object.

One run a cell, grouped by experiment, with an id that depends on nothing but the two names: publishing again overwrites
the same run. A run that is opened replays metrics.jsonl first, so a resumed training has its whole curve.
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
from data.snapshots import weights_of
from launch.artifacts import made_from, variant_artifact
from launch.cells import Cell, read_cell, read_experiment

if TYPE_CHECKING:
    import pandas as pd

TABLE_ROWS = 10_000
MODES = ("auto", "online", "offline", "off")
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
        self._run = _start(cell.config["tracker"], mode, run, cell.name, "cell", config)
        self._mode = mode
        for record in _metrics(cell.folder / "metrics.jsonl"):
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
        for path in sorted((self._cell.folder / "audits").glob("*/estimates.json")):
            self._audit(path.parent.name, read_json(path)["estimates"], path.with_name("items.parquet"))
        self._variant(manifest)
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
        self._run.log({name: _table(frame) for name, frame in tables.items() if len(frame)})

    def _variant(self, manifest: Mapping[str, Any]) -> None:
        """The variant as an artifact that points to its folder (nothing is copied), made from its base or from the
        variants of the cells that it is built on.
        """
        if weights_of(self._cell.folder) is None:
            return
        if self._mode == "online":
            for artifact in made_from(self._cell, manifest):
                self._run.use_artifact(artifact)
        self._run.log_artifact(variant_artifact(self._cell, manifest))


def open_tracker(cell: Cell, off: bool = False) -> Tracker:
    """The tracker that the cell's config asks for. A tracker that cannot start is a message, never the end of a run."""
    mode = "off" if off else resolve_mode(cell.config["tracker"]["mode"])
    return NoTracker() if mode == "off" else _opened(cell, mode)


def publish(run: Path) -> tuple[int, bool]:
    """Send (again) what the run's cells and comparison left, also of a run that was made with the tracker off.

    Returns how many W&B runs were written, and whether they were sent (False: offline files only). Raises
    FileNotFoundError where `run` is no run folder, OSError where the server that was wanted is out of reach.
    """
    _, cells = read_experiment(run)
    wanted = _at_least_auto(cells[0]) == "online"
    started = [cell for cell in cells if (cell.folder / "manifest.json").exists()]
    for cell in started:
        WandbCell(cell, _at_least_auto(cell)).send()
    written = len(started) + publish_comparison(run, _at_least_auto(cells[0]))
    if wanted and os.environ.get("WANDB_MODE") == "offline":
        raise ConnectionError(f"{run}: W&B was out of reach; {written} runs were written offline and not sent")
    return written, wanted


def publish_comparison(run: Path, mode: str = "") -> int:
    """Send the comparison as a run of its own. Returns 1, or 0 where the tracker is off or nothing was compared."""
    experiment, cells = read_experiment(run)
    tracker = cells[0].config["tracker"]
    mode, path = mode or resolve_mode(tracker["mode"]), run / "comparison" / "summary.json"
    if mode == "off" or not path.exists():
        return 0
    import pandas as pd
    import wandb

    summary = read_json(path)
    sent = _start(tracker, mode, run, "comparison", "comparison", {"experiment": experiment["name"]})
    for name in ("estimates", "comparisons", "verdicts"):
        if summary.get(name):
            sent.log({name: _table(pd.DataFrame(summary[name]).head(TABLE_ROWS))})
    sent.summary["finding"] = "\n".join(summary.get("finding", []))
    sent.summary["not_a_result"] = "\n".join(summary.get("not_a_result", []))
    report = run / "comparison" / "report.html"
    if report.exists():
        sent.log({"report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})
    sent.finish()
    return 1


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


def _at_least_auto(cell: Cell) -> str:
    """online, or offline where there is no login or W&B is off: what is to be published is at least written."""
    mode = cell.config["tracker"]["mode"]
    found = resolve_mode("auto" if mode == "off" else mode)
    return "offline" if found == "off" else found


def _opened(cell: Cell, mode: str) -> Tracker:
    try:
        return WandbCell(cell, mode)
    except Exception as error:  # a tracker's own failures are many and none may cost a training
        print(f"{cell.name}: not tracked, because W&B failed to start: {error}", file=sys.stderr)
        log.warning("W&B failed to start", exc_info=True)
        return NoTracker()


def _start(tracker: Mapping[str, Any], mode: str, run: Path, name: str, kind: str, config: Mapping[str, Any]) -> Any:
    """A new W&B run with its files under the run folder; offline with one message where the server is out of reach."""
    for variable, place in (
        ("WANDB_DATA_DIR", "staging"),
        ("WANDB_CACHE_DIR", "cache"),
        ("WANDB_ARTIFACT_DIR", "artifacts"),
    ):
        os.environ.setdefault(variable, str(run / "wandb" / place))
    import wandb

    def begin(mode: str) -> Any:
        return wandb.init(
            project=tracker["project"],
            entity=tracker["entity"],
            group=run.name,
            job_type=kind,
            name=name,
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


def _table(frame: pd.DataFrame) -> Any:
    """A W&B table; lists and arrays become JSON text, which every viewer shows."""
    import wandb

    plain = frame.copy()
    for name in plain.columns:
        if plain[name].dtype == object or str(plain[name].dtype) not in ("float64", "float32", "int64", "bool"):
            plain[name] = [_cell_text(value) for value in plain[name]]
    return wandb.Table(dataframe=plain)


def _cell_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value.tolist() if hasattr(value, "tolist") else value, default=str)


def _metrics(path: Path) -> list[dict[str, Any]]:
    """The logged steps; a last line torn by a kill is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
