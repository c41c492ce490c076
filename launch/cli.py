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
polyphony run -m seed=0,1 hydra/launcher=joblib      cells side by side (pip install hydra-joblib-launcher)

A folder of your own holds recipe/, mixture/, adapter/, audit/ or inference/NAME.yaml; the Python modules that these
name are installed, here, or on PYTHONPATH. Instead of --config-dir: POLYPHONY_CONF=/a/folder, or
'hydra.searchpath=[pkg://my_package.conf]', or an installed package with an entry point of the group polyphony.conf,
which is found by itself (docs/own_recipe.md).
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


@app.command()
def status(runs: Runs) -> None:
    """What is planned, training, trained, audited, failed."""
    from launch.show import print_status

    for folder in runs:
        print_status(folder)


@app.command()
def report(runs: Runs) -> None:
    """Rebuild comparison and report from what the cells left; no model is loaded."""
    from launch.pipeline import finish

    for folder in runs:
        finish(folder, anew=True)


@app.command()
def publish(runs: Runs) -> None:
    """Send (again) what the cells left to Weights & Biases."""
    from launch.tracking import publish as send

    for folder in runs:
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
