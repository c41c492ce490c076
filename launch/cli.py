"""The command `polyphony`."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from launch.bench.command import app as bench_app
from launch.survey_command import app as survey_app

app = typer.Typer(
    help="What does a training intervention do to the cultural values that a language model expresses?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(survey_app, name="survey")
app.add_typer(bench_app, name="bench")
Runs = Annotated[list[Path], typer.Argument(metavar="RUNS…", help="Run folders, e.g. runs/quickstart.")]
TEACHING = """Train, audit and compare; do what is not done yet. The same command again is the resume.

\b
polyphony run experiment=quickstart                  train the arms, audit them, compare, write the report
polyphony run recipe=match adapter=lora seed=1       one cell (and the untrained base beside it)
polyphony run recipe=none model=qwen2.5-0.5b         audit a model as it is
polyphony run -m recipe=match,dpo seed=0,1           every combination; the comparison follows
polyphony run experiment=quickstart limit=4 name=try   a quick look: few units an audit, stamped NOT A RESULT
polyphony run survey=file 'survey.blocks=["file:/path/mine.jsonl"]' 'audit=[first_token,edc]'  people of your own
polyphony run model=local model.source=/path/to/folder                 a model of your own
polyphony run -m recipe=none inference=none,persona_prompt   what asking in another way does, nothing trained
polyphony run recipe=dpo parent=runs/…/cells/CELL    a chain: training starts from another variant (docs/chains.md)
polyphony run --config-dir ./my-conf recipe=mine     a recipe of your own (recipe/mine.yaml in that folder)
polyphony run -m seed=0,1 hydra/launcher=joblib      cells side by side; Slurm, Ray: docs/sweeps.md

A folder of your own holds recipe/, mixture/, adapter/, audit/ or inference/NAME.yaml; the Python modules that these
name are installed, here, or on PYTHONPATH. Instead of --config-dir: POLYPHONY_CONF=/a/folder, or
'hydra.searchpath=[pkg://my_package.conf]', or an installed package with an entry point of the group polyphony.conf,
which is found by itself (docs/own_recipe.md). recipes/NAME.yaml adds arms to an experiment: +recipes=NAME.
"""


class Teaching(typer.core.TyperCommand):
    """`run`, whose help ends with the parts and knobs that the configuration has now."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from launch.guide import guide

        formatter.write(guide())


@app.command(cls=Teaching, help=TEACHING, context_settings={"ignore_unknown_options": True})
def run(
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[PART=MEMBER | KEY=VALUE]…")] = None,
    multirun: Annotated[bool, typer.Option("--multirun", "-m", help="Values with commas are all run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells; write nothing.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try cells again that failed before.")] = False,
    config_dir: Annotated[
        list[Path] | None, typer.Option(help="A config folder of your own, beside the shipped one.")
    ] = None,
) -> None:
    from launch.pipeline import run as run_pipeline

    command = shlex.join(["polyphony", *sys.argv[1:]])
    try:
        code = run_pipeline(
            overrides or [],
            multirun=multirun,
            folders=config_dir or [],
            dry_run=dry_run,
            retry_failed=retry_failed,
            command=command,
        )
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        code = 130
    raise typer.Exit(code)


@app.command(context_settings={"ignore_unknown_options": True})
def tune(
    overrides: Annotated[list[str], typer.Argument(metavar="KEY=RANGE… [PART=MEMBER | KEY=VALUE]…")],
    minimise: Annotated[str, typer.Option(help="AUDIT/MEASURE/CONDITION/GROUP: an estimate of an audit.")] = "",
    maximise: Annotated[str, typer.Option(help="The same, to be made large.")] = "",
    trials: Annotated[int, typer.Option(help="How many trials there are in all.")] = 20,
    at_once: Annotated[int, typer.Option(help="Trials asked for together, for launchers that run side by side.")] = 1,
    search_seed: Annotated[int, typer.Option(help="Another seed searches another way.")] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try trials again that failed before.")] = False,
    config_dir: Annotated[
        list[Path] | None, typer.Option(help="A config folder of your own, beside the shipped one.")
    ] = None,
) -> None:
    r"""Search a recipe's knobs with optuna; each trial is a cell, and the same command again goes on (docs/sweeps.md).

    \b
    polyphony tune recipe=dpo recipe.beta=log:0.02:2 recipe.learning_rate=log:1e-6:1e-4 --trials 12
    Ranges: log:LOW:HIGH, range:LOW:HIGH, range:LOW:HIGH:STEP, or a list of values with commas.
    """
    from launch.tune import DEFAULT_GOAL, goal_of
    from launch.tune import tune as search

    if minimise and maximise:
        raise ValueError("--minimise and --maximise exclude each other")
    try:
        code = search(
            overrides,
            goal_of(maximise or minimise or DEFAULT_GOAL, large=bool(maximise)),
            trials=trials,
            at_once=at_once,
            seed=search_seed,
            folders=config_dir or [],
            retry_failed=retry_failed,
            command=shlex.join(["polyphony", *sys.argv[1:]]),
        )
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        code = 130
    raise typer.Exit(code)


@app.command()
def status(
    runs: Runs,
    every: Annotated[bool, typer.Option("--all", help="List the finished cells of a large run too.")] = False,
) -> None:
    """What is planned, running, stopped, done, failed; of a large run the grid of its cells."""
    from launch.show import print_status

    for folder in runs:
        print_status(folder, every)


@app.command()
def report(runs: Runs) -> None:
    """Rebuild comparison and report from what the cells left; no model is loaded."""
    from launch.pipeline import finish

    for folder in runs:
        finish(folder, anew=True)


@app.command()
def publish(
    runs: Runs,
    hub: Annotated[
        str, typer.Option(metavar="ORG/PREFIX", help="Send trained variants to the Hugging Face Hub instead.")
    ] = "",
    cell: Annotated[list[str] | None, typer.Option(help="With --hub: this cell, also a collapsed one.")] = None,
    public: Annotated[bool, typer.Option("--public/--private", help="With --hub: who may see it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --hub: print what would be sent.")] = False,
) -> None:
    """Send (again) what the cells left to Weights & Biases, or trained variants with their cards to the Hub."""
    from launch.tracked_comparison import publish as send

    if not hub and (cell or public or dry_run):
        raise ValueError("--cell, --public and --dry-run go with --hub ORG/PREFIX")
    for folder in runs:
        if hub:
            from launch.hub import send_variants

            send_variants(folder.absolute(), hub, cell or [], private=not public, dry_run=dry_run)
            continue
        written, sent = send(folder.absolute())
        how = "sent" if sent else "written offline, not sent: `wandb login`, then publish again"
        typer.echo(f"{folder}: {written} W&B runs {how}")


@app.command()
def doctor(
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="What to check for.")] = None,
    model: Annotated[bool, typer.Option("--model", help="Load the model and check its scoring.")] = False,
    config_dir: Annotated[
        list[Path] | None, typer.Option(help="A config folder of your own, beside the shipped one.")
    ] = None,
) -> None:
    """Versions, devices, data, model, tracker, disk; exit 1 if the main job cannot run."""
    from launch.doctor import examine

    failed = False
    for finding in examine(overrides or ["experiment=quickstart"], deep=model, folders=config_dir or []):
        failed |= finding.level == "fail"
        typer.echo(f"{finding.level:<5}{finding.what:<18}{finding.said}")
    raise typer.Exit(1 if failed else 0)


def main(arguments: list[str] | None = None) -> int:
    """The console command: a mistake or a refusal of the machine is one line on stderr and exit code 2."""
    signal.signal(signal.SIGTERM, _terminated)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a recipe in the user's own folder, as `python -m` would find it
    try:
        app(args=arguments, prog_name="polyphony")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"polyphony: {_sentence(error)}", file=sys.stderr)
        return 2
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot write or read{place}: {error.strerror}"
    return str(error)


def _terminated(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
