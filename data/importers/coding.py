"""A data file and its codebook made into people and answers; every code is an option, missing, or an error.

Nothing is guessed: a code that the codebook does not know, a column that is not there, and a value label of the file
that contradicts the codebook are refused, all at once, with column, code, number of people and first row. What the
codebook calls missing is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.countries import iso3
from data.importers.codebook import Codebook, CodedItem, Missing, PersonColumn
from data.importers.columns import Column, DataFile
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

MOST_FAULTS = 12


@dataclass(frozen=True)
class Coded:
    """People of a file. `dropped` counts answers by missing code, `absent` lists columns left out on request."""

    items: tuple[Item, ...]
    people: TableOfPeople
    dropped: Mapping[str, int]
    absent: tuple[str, ...]


def code_people(file: DataFile, book: Codebook, allow_absent: bool = False) -> Coded:
    """The people of a file by its codebook; items and features whose column is absent are left out if `allow_absent`.

    Raises ValueError that lists (at most MOST_FAULTS of) the columns, codes and labels that do not fit.
    """
    return _Coder(file, book, allow_absent).people()


@dataclass
class _Coder:
    file: DataFile
    book: Codebook
    allow_absent: bool
    faults: list[str] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def people(self) -> Coded:
        own, absent = self.find_columns()
        self.columns = self.read(own)
        persons = {key: self.person(key, spec) for key, spec in self.book.persons.items()}
        kept, left_out = self.kept(persons)
        items = [coded for coded in self.book.items if coded.column in own]
        answers = {coded.item.id: self.answers(coded, kept) for coded in items}
        features = {name: self.person(name, spec) for name, spec in self.book.features.items() if spec.column in own}
        self.refuse_faults()
        if not kept.any():
            raise ValueError(f"{self.file.path} holds no person: expected at least one row with a country and a weight")
        ids = self.ids(persons["id"], kept)
        table = make_table(
            ids=ids,
            country=pd.Series(persons["country"][kept]),
            year=pd.Series(persons["year"][kept]),
            weight=pd.Series(self.weights()[kept]),
            age=pd.Series(self.years(persons["age"])[kept]) if self.book.age_in_years else None,
            sex=pd.Series(persons["sex"][kept]),
            education=pd.Series(persons["education"][kept]),
            features={name: pd.Series(values[kept]) for name, values in features.items()},
            answers={item: pd.Series(index[kept]) for item, index in answers.items()},
            excluded={**left_out, **{f"answers {reason}": count for reason, count in self.dropped.items()}},
        )
        if not self.book.age_in_years:
            table.people["age"] = persons["age"][kept]
        return Coded(tuple(coded.item for coded in items), table, dict(self.dropped), tuple(absent))

    # --- columns -----------------------------------------------------------------------------------------------------

    def find_columns(self) -> tuple[dict[str, str], list[str]]:
        """The codebook's name of each column that is there → the file's; and those that may be absent and are."""
        needed = [spec.column for spec in self.book.persons.values() if spec.column]
        optional = [spec.column for spec in self.book.features.values()] + [c.column for c in self.book.items]
        own, absent = {}, []
        for name in dict.fromkeys([*needed, *optional]):
            found = self.file.find(name)
            if found is not None:
                own[name] = found
            elif self.allow_absent and name not in needed:
                absent.append(name)
            else:
                self.faults.append(f"column {name!r} is missing (the nearest is {self.file.nearest(name)!r})")
        if self.faults and len(self.file.names) == 1:
            raise ValueError(
                f"{self.file.path}, line 1: found one column only, {self.file.names[0][:80]!r}; "
                f"expected a comma, a semicolon or a tab between columns"
            )
        if not any(coded.column in own for coded in self.book.items):
            self.faults.append("none of the codebook's items has a column in the file")
        self.refuse_faults(" (--allow-absent leaves out items and features that have no column)")
        return own, absent

    def read(self, own: Mapping[str, str]) -> dict[str, Column]:
        data = self.file.read(list(own.values()))
        return {name: data[found] for name, found in own.items()}

    def refuse_faults(self, hint: str = "") -> None:
        if self.faults:
            more = len(self.faults) - MOST_FAULTS
            lines = [*self.faults[:MOST_FAULTS], *([f"and {more} more"] if more > 0 else [])]
            raise ValueError(
                f"{self.file.path} does not fit the codebook {self.book.path}{hint}:\n  " + "\n  ".join(lines)
            )

    def fault(self, name: str, column: Column, place: int, expected: str) -> None:
        rows = column.rows_of(place)
        label = column.labels.get(column.texts[place])
        code = f"{column.texts[place]!r}{f' ({label})' if label else ''}" if column.texts[place] else "an empty cell"
        self.faults.append(
            f"column {name!r}: {code} in {len(rows):,} rows, first in row {rows[0] + 1}; expected {expected}"
        )

    # --- persons -----------------------------------------------------------------------------------------------------

    def person(self, key: str, spec: PersonColumn) -> npt.NDArray[np.object_]:
        """One text a row: "" where the codebook calls it missing. Country: alpha-3, or "-REASON" if left out."""
        if not spec.column:
            return np.full(self.rows, spec.constant, dtype=object)
        column = self.columns[spec.column]
        if key != "country":
            self.check_labels(spec.column, column, spec.codes or {}, spec.missing)
        made = []
        for place, code in enumerate(column.texts):
            text = self.person_text(key, spec, code)
            if text is None:
                known = f"a code among {', '.join(spec.codes)}" if spec.codes and key != "country" else _EXPECTED[key]
                self.fault(spec.column, column, place, f"{known}, or a code that is missing")
            made.append(text or "")
        return np.array([*made, ""], dtype=object)[column.index]

    def person_text(self, key: str, spec: PersonColumn, code: str) -> str | None:
        if code in spec.leave_out:
            return f"-{spec.leave_out[code]}"
        if spec.codes is not None and code in spec.codes:
            return spec.codes[code]
        if spec.missing.meaning(code) is not None:
            return "-without a country" if key == "country" else ""
        if key == "country":
            try:
                return iso3(code)
            except ValueError:
                return None
        if key in ("weight", "age") and "," in code and self.file.delimiter == ",":
            return None  # "1,234" may be thousands
        fits = _FITS.get(key, bool)
        return code if spec.codes is None and fits(code) else None

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())).index)

    def weights(self) -> npt.NDArray[np.float64]:
        """Survey weights, 1 where there is no weight column, 0 where the weight is missing."""
        spec = self.book.persons["weight"]
        if not spec.column:
            return np.ones(self.rows)
        column = self.columns[spec.column]
        values = [_number(code) if spec.missing.meaning(code) is None else 0.0 for code in column.texts]
        return np.array([0.0 if value is None else value for value in values])[column.index]

    def kept(self, persons: Mapping[str, npt.NDArray[np.object_]]) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """People with a country and a weight above 0, and the others counted."""
        left_out: Counter[str] = Counter()
        codes, reasons = pd.factorize(persons["country"])
        out = np.array([reason.startswith("-") or reason == "" for reason in reasons], dtype=bool)
        for place in np.flatnonzero(out):
            left_out[f"people {str(reasons[place])[1:] or 'without a country'}"] = int((codes == place).sum())
        with_country = ~out[codes]
        weighted = self.weights() > 0
        if count := int((with_country & ~weighted).sum()):
            left_out["people without a weight above 0"] = count
        return with_country & weighted, dict(left_out)

    def years(self, age: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        return np.array([_number(text) if text else np.nan for text in age], dtype=float)

    def ids(self, given: npt.NDArray[np.object_], kept: npt.NDArray[np.bool_]) -> list[str]:
        """The persons' ids, their row numbers where the file has none. Raises ValueError for one given twice."""
        spec = self.book.persons["id"]
        if not spec.column:
            return [str(row + 1) for row in np.flatnonzero(kept)]
        ids, seen = [], Counter[str]()
        for row in np.flatnonzero(kept):
            name = str(given[row])
            seen[name] += 1
            if seen[name] > 1 and not spec.number_repeats:
                raise ValueError(
                    f"{self.file.path}, column {spec.column!r}: {name!r} is given twice, again in row {row + 1}; "
                    f"expected each person once (`repeated: number` in the codebook keeps both)"
                )
            ids.append(name if seen[name] == 1 else f"{name}/{seen[name]}")
        return ids

    # --- answers -----------------------------------------------------------------------------------------------------

    def answers(self, coded: CodedItem, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8]:
        """The option's index a row, -1 = missing."""
        column = self.columns[coded.column]
        self.check_labels(coded.column, column, dict(zip(coded.codes, coded.labels, strict=True)), coded.missing)
        counts = np.bincount(column.index[kept], minlength=len(column.texts))
        option = {code: i for i, code in enumerate(coded.codes)}
        index = np.full(len(column.texts), -1, dtype=np.int8)
        for place, code in enumerate(column.texts):
            meaning = coded.missing.meaning(code)
            if code in option:
                index[place] = option[code]
            elif meaning is None:
                known = ", ".join(coded.codes) if len(coded.codes) < 12 else f"{coded.codes[0]} to {coded.codes[-1]}"
                self.fault(coded.column, column, place, f"{known}, or a code that is missing")
            elif counts[place]:
                self.dropped[f"coded {code or 'as an empty cell'} ({meaning})"] += int(counts[place])
        return index[column.index]

    def check_labels(self, name: str, column: Column, texts: Mapping[str, str], missing: Missing) -> None:
        """A value label of the file may not name a code that the codebook does not know, nor belong to another code."""
        wanted = {_plain(text): code for code, text in texts.items() if not text.isdigit()}
        for code, label in column.labels.items():
            if texts and code not in texts and missing.meaning(code) is None:
                self.faults.append(
                    f"column {name!r}: the file labels code {code} {label!r}, which the codebook has neither among "
                    f"its codes nor as missing"
                )
            elif code in texts and wanted.get(_plain(label), code) != code and _plain(texts[code]) != _plain(label):
                self.faults.append(
                    f"column {name!r}: the file labels code {code} {label!r}, which is code {wanted[_plain(label)]} in "
                    f"the codebook; is the scale turned round?"
                )


_EXPECTED = {
    "id": "an id",
    "country": "a country's name or ISO code",
    "year": "a year such as 2018",
    "weight": "a number >= 0",
    "age": "years from 0 to 120",
}
_FITS: Mapping[str, Callable[[str], bool]] = {
    "year": lambda text: re.fullmatch(r"(1[89]|20)\d\d(-(1[89]|20)\d\d)?", text) is not None,
    "weight": lambda text: (_number(text) or 0) >= 0 and _number(text) is not None,
    "age": lambda text: (number := _number(text)) is not None and 0 <= number <= 120,
}


def _number(text: str) -> float | None:
    """A finite number, with a decimal point or comma; None for anything else."""
    try:
        value = float(text.replace(",", ".")) if text.count(",") <= 1 else np.nan
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
