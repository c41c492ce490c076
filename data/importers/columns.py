"""The columns of a data file as the codes that stand in it: csv (comma, semicolon or tab), .sav, .dta and parquet.

Only the columns that are asked for are read, each as distinct texts and one index a row, so that a World Values Survey
(97,000 people × 300 columns) takes some 200 MB. Nothing is converted to missing: an empty cell is `""`, a
system-missing value of SPSS or Stata is `""` too, and Stata's tagged missing values are `".a"` to `".z"`.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

KINDS = (".csv", ".tsv", ".txt", ".sav", ".zsav", ".dta", ".parquet")
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Column:
    """`texts[index[row]]` is what stands in the row, canonical (`code_text`); `labels` name codes."""

    texts: tuple[str, ...]
    index: npt.NDArray[np.int64]
    labels: Mapping[str, str]

    def rows_of(self, place: int) -> npt.NDArray[np.int64]:
        """Row numbers (from 0) in which `texts[place]` stands."""
        return np.flatnonzero(self.index == place)


class DataFile:
    """A data file whose header has been read. `find` resolves names; `read` gets columns."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError, or ValueError for an unknown kind or a header that cannot be read."""
        if not path.is_file():
            raise FileNotFoundError(f"data file {path} not found: expected one of {', '.join(KINDS)}")
        self.path, self.kind = path, path.suffix.lower()
        self.delimiter = ","
        if self.kind in (".csv", ".tsv", ".txt"):
            self.names = self._csv_header()
        elif self.kind in (".sav", ".zsav", ".dta"):
            self.names = list(self._labelled(metadataonly=True)[1].column_names)
        elif self.kind == ".parquet":
            try:
                self.names = list(pa.parquet.read_schema(path).names)
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{path} is no readable parquet file: {error}") from error
        else:
            raise ValueError(
                f"{path}: unknown kind {self.kind or 'without suffix'!r}, expected one of {', '.join(KINDS)}"
            )

    def find(self, name: str) -> str | None:
        """The file's own name of a column: the name itself, else `"NAME: label"`, else the one that differs in case."""
        if name in self.names:
            return name
        same = [own for own in self.names if own.split(":")[0].strip() == name]
        same = same or [own for own in self.names if own.split(":")[0].strip().casefold() == name.casefold()]
        return same[0] if len(same) == 1 else None

    def nearest(self, name: str) -> str:
        """The column whose name is most like `name`, for error messages."""
        return difflib.get_close_matches(name, self.names, n=1, cutoff=0)[0]

    def read(self, names: Sequence[str]) -> dict[str, Column]:
        """Columns by the file's own names. Raises ValueError naming the row or column that cannot be read."""
        wanted = list(dict.fromkeys(names))
        if self.kind in (".sav", ".zsav", ".dta"):
            frame, meta = self._labelled(usecols=wanted)
            return {name: _column(frame[name], meta.variable_value_labels.get(name, {})) for name in wanted}
        if self.kind == ".parquet":
            try:
                table = pa.parquet.read_table(self.path, columns=wanted)
                return {name: _column(table.column(name).to_pandas(), {}) for name in wanted}
            except (pa.ArrowException, OSError, KeyError, TypeError) as error:
                said = " ".join(str(error).split())[:200]
                raise ValueError(f"{self.path} is no readable parquet file: {said}") from error
        return self._csv_columns(wanted)

    def _csv_header(self) -> list[str]:
        with self.path.open("rb") as handle:
            text = self._utf8(handle.readline(), 1)
        if not text.strip():
            raise ValueError(f"{self.path}, line 1: found nothing, expected the columns' names")
        try:
            headers = {mark: next(csv.reader([text], delimiter=mark)) for mark in DELIMITERS}
        except csv.Error as error:
            raise ValueError(f"{self.path}, line 1: {error}; expected lines that end in \\n or \\r\\n") from error
        self.delimiter = max(DELIMITERS, key=lambda mark: len(headers[mark]))
        names = [name.strip() for name in headers[self.delimiter]]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.path}, line 1: column {repeated[0]!r} is named twice")
        return names

    def _utf8(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}, line {number}: not UTF-8; convert the file to UTF-8 (e.g. with iconv)"
            ) from error

    def _refuse_other_encodings(self) -> None:
        with self.path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                self._utf8(line, number)

    def _csv_columns(self, wanted: Sequence[str]) -> dict[str, Column]:
        kind = pa.dictionary(pa.int32(), pa.string())
        try:
            table = pa.csv.read_csv(
                self.path,
                read_options=pa.csv.ReadOptions(column_names=self.names, skip_rows=1, use_threads=False),
                parse_options=pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=wanted, column_types=dict.fromkeys(wanted, kind), strings_can_be_null=False
                ),
            )
        except pa.ArrowException as error:
            self._refuse_other_encodings()
            said = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{self.path} cannot be read as text with {self.delimiter!r} between {len(self.names)} columns: {said}"
            ) from error
        return {name: _column(table.column(name).to_pandas(), {}) for name in wanted}

    def _labelled(self, **options: Any) -> tuple[pd.DataFrame, Any]:
        import pyreadstat

        read = pyreadstat.read_dta if self.kind == ".dta" else pyreadstat.read_sav
        try:
            frame, meta = read(str(self.path), user_missing=True, disable_datetime_conversion=True, **options)
        except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError) as error:
            raise ValueError(f"{self.path} is no readable {self.kind} file: {error}") from error
        return frame, meta


def code_text(value: Any) -> str:
    """A code as canonical text: `1.0`, `"01"` and `1` are all `"1"`; NaN is `""`."""
    if pd.isna(value):
        return ""
    text = str(value).strip()
    return str(int(float(text))) if re.fullmatch(r"[+-]?\d{1,15}(\.0*)?", text) else text


def _column(values: pd.Series, labels: Mapping[Any, str]) -> Column:
    tagged = values.dtype == object and any(isinstance(value, float) for value in values)
    index, distinct = pd.factorize(values, use_na_sentinel=False)
    texts = [_tagged(value) if tagged else code_text(value) for value in distinct]
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    merged = np.array([place[text] for text in texts], dtype=np.int64)
    return Column(tuple(place), merged[index], {_tagged(code): str(label).strip() for code, label in labels.items()})


def _tagged(value: Any) -> str:
    """Stata's tagged missing values come as a single letter among numbers."""
    return f".{value}" if isinstance(value, str) and re.fullmatch("[a-z]", value) else code_text(value)
