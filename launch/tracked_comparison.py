"""The comparison as a Weights & Biases run: tables, native charts, the report, and the audits that it was made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files import read_json
from launch.artifacts import audit_artifact, comparison_artifact, use
from launch.cells import Cell, read_experiment
from launch.tracking import COLLAPSED, TABLE_ROWS, WandbCell, resolve_mode, start_run, table

NOT_A_RESULT = "NOT A RESULT"


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
    summary = read_json(path)
    collapsed = [arm["name"] for arm in summary["arms"] if arm["validity"]["status"] == "collapsed"]
    tags = [f"experiment:{experiment['name']}"]
    tags += [NOT_A_RESULT] * bool(summary["not_a_result"]) + [COLLAPSED] * bool(collapsed)
    config = {"experiment": experiment["name"], "arms": [arm["name"] for arm in summary["arms"]]}
    config |= {name: summary.get("provenance", {}).get(name) for name in ("versions", "git")}
    sent = start_run(tracker, mode, run, "comparison", "comparison", config, tags)
    for cell in cells:
        if audited := audit_artifact(cell):
            use(sent, audited)
    sent.summary["finding"] = "\n".join(summary.get("finding", []))
    sent.summary["not_a_result"] = "\n".join(summary["not_a_result"])
    sent.summary["collapsed"] = ", ".join(collapsed)
    _send_tables(sent, summary, cells, run / "comparison" / "report.html")
    sent.log_artifact(comparison_artifact(run, experiment["name"]))
    sent.finish()
    return 1


def _send_tables(sent: Any, summary: Mapping[str, Any], cells: list[Cell], report: Path) -> None:
    import wandb

    from launch.tracked_tables import charts, tables

    shown = tables(summary, [cell.folder for cell in cells])
    cut = {name: f"the first {TABLE_ROWS} of {len(rows)}" for name, rows in shown.items() if len(rows) > TABLE_ROWS}
    sent.summary.update({f"rows/{name}": said for name, said in cut.items()})
    logged = {name: table(rows.head(TABLE_ROWS)) for name, rows in shown.items()}
    logged |= {f"charts/{chart.name}": _drawn(chart) for chart in charts(summary, shown)}
    if report.exists():
        logged["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
    sent.log(logged)


def _drawn(chart: Any) -> Any:
    """A chart by one of W&B's own presets, with all columns of its rows in the table behind it."""
    from wandb import plot

    rows = table(chart.rows)
    if chart.kind == "bar":
        return plot.bar(rows, chart.x, chart.y, title=chart.title, split_table=True)
    if chart.kind == "scatter":
        return plot.scatter(rows, chart.x, chart.y, title=chart.title, split_table=True)
    return plot.plot_table(
        vega_spec_name="wandb/lineseries/v0",
        data_table=rows,
        fields={"step": chart.x, "lineKey": chart.line, "lineVal": chart.y},
        string_fields={"title": chart.title, "xname": chart.x},
        split_table=True,
    )


def _at_least_auto(cell: Cell) -> str:
    """online, or offline where there is no login or W&B is off: what is to be published is at least written."""
    mode = cell.config["tracker"]["mode"]
    found = resolve_mode("auto" if mode == "off" else mode)
    return "offline" if found == "off" else found
