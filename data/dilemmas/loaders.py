"""Dilemmas of a user's own: a file in the project's form, or a download of a published set in its own form.

Recognised by what the file is: JSON Lines as `data.dilemmas.corpus` has it, or a comma-separated file with the columns
of MoralChoice (Scherrer et al. 2023), DailyDilemmas (Chiu et al. 2024) or the Moral Machine (Awad et al. 2018). Nothing
is downloaded. The surprise: none of the three says which of Schwartz's values an action serves, so `values` are empty
and whatever rests on values is not measured. They are in English, with one wording a dilemma.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.dilemmas.corpus import load_dilemmas
from data.records import Dilemma, Wording

MOST = 20_000
"""Dilemmas that a file may hold; the Moral Machine's has tens of millions of rows."""

CHARACTERS: Mapping[str, tuple[str, str]] = {
    "Man": ("man", "men"),
    "Woman": ("woman", "women"),
    "Pregnant": ("pregnant woman", "pregnant women"),
    "Stroller": ("baby in a stroller", "babies in strollers"),
    "OldMan": ("elderly man", "elderly men"),
    "OldWoman": ("elderly woman", "elderly women"),
    "Boy": ("boy", "boys"),
    "Girl": ("girl", "girls"),
    "Homeless": ("homeless person", "homeless people"),
    "LargeWoman": ("large woman", "large women"),
    "LargeMan": ("large man", "large men"),
    "Criminal": ("criminal", "criminals"),
    "MaleExecutive": ("male executive", "male executives"),
    "FemaleExecutive": ("female executive", "female executives"),
    "FemaleAthlete": ("female athlete", "female athletes"),
    "MaleAthlete": ("male athlete", "male athletes"),
    "FemaleDoctor": ("female doctor", "female doctors"),
    "MaleDoctor": ("male doctor", "male doctors"),
    "Dog": ("dog", "dogs"),
    "Cat": ("cat", "cats"),
}
"""The Moral Machine's columns of characters, and what one and several of each are called here."""

_SIGNALS = {"0": "", "1": " crossing on a green light", "2": " crossing on a red light"}
_COURSES = {"0": "Stay on course", "1": "Swerve"}


@dataclass(frozen=True)
class Corpus:
    """The dilemmas of a file, and what was left out of it, counted by reason."""

    dilemmas: tuple[Dilemma, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class _Row:
    """A line of a table; every message about it begins with `where`."""

    where: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The text in a column without blanks around it. ValueError where it is empty."""
        if found := (self.cells[column] or "").strip():
            return found
        raise ValueError(f"{self.where}, column {column!r}: expected a text, found nothing")

    def one_of(self, column: str, known: Sequence[str]) -> str:
        found = self.text(column).removesuffix(".0")
        if found in known:
            return found
        raise ValueError(f"{self.where}, column {column!r}: expected one of {list(known)}, found {found!r}")


def load_corpus(path: Path) -> Corpus:
    """The dilemmas of a file. Raises FileNotFoundError where there is none, and ValueError naming file, line and column
    for one of another form, with broken rows, without a dilemma, or with more than 20,000.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such dilemma corpus, expected a .jsonl or .csv file")
    if path.suffix == ".jsonl":
        return Corpus(load_dilemmas(path), {})
    if path.suffix != ".csv":
        raise ValueError(f"{path}: expected a file ending in .jsonl or .csv, found {path.suffix or 'no ending'!r}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            form = next((name for name, (needs, _) in _FORMS.items() if set(needs) <= set(columns)), None)
            if form is None:
                wanted = "; ".join(f"{name}: {', '.join(needs)}" for name, (needs, _) in _FORMS.items())
                raise ValueError(f"{path}: no form of dilemmas has its columns {columns}; expected those of {wanted}")
            rows = (_Row(f"{path}, line {reader.line_num}", cells) for cells in reader)
            return _collected(path, form, rows)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, found {error}") from error


def _collected(path: Path, form: str, rows: Iterator[_Row]) -> Corpus:
    """All dilemmas of a table; of those with the same text the first alone."""
    found: dict[tuple[str, ...], Dilemma] = {}
    names: set[str] = set()
    left_out: dict[str, int] = {}
    for made in _FORMS[form][1](rows):
        if isinstance(made, str):
            left_out[made] = left_out.get(made, 0) + 1
            continue
        key = (*made.wordings["en"].scenarios, *made.wordings["en"].actions)
        if key in found:
            reason = f"{form}: dilemmas with the same text as an earlier one"
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        if made.id in names:
            raise ValueError(f"{path}: the id {made.id!r} stands for two different dilemmas, expected one")
        if len(found) == MOST:
            raise ValueError(f"{path}: more than {MOST} dilemmas; make a file of those that are to be asked")
        found[key] = made
        names.add(made.id)
    if not found:
        raise ValueError(f"{path}: holds no dilemma ({left_out or 'no rows'})")
    return Corpus(tuple(found.values()), left_out)


def _moral_choice(rows: Iterator[_Row]) -> Iterator[Dilemma | str]:
    for row in rows:
        actions = (row.text("action1"), row.text("action2"))
        yield _dilemma(row, row.text("scenario_id"), row.text("context"), actions)


def _daily(rows: Iterator[_Row]) -> Iterator[Dilemma | str]:
    """Two rows a dilemma, one for each action: the deed first, then leaving it undone."""
    for first, second in _pairs(rows, "dilemma_idx"):
        if second is None:
            yield "DailyDilemmas: dilemmas with one action alone"
            continue
        kinds = {row.one_of("action_type", ("to_do", "not_to_do")): row for row in (first, second)}
        if len(kinds) < 2:
            raise ValueError(f"{second.where}, column 'action_type': both actions are {next(iter(kinds))!r}")
        actions = (kinds["to_do"].text("action"), kinds["not_to_do"].text("action"))
        yield _dilemma(second, f"daily-{first.text('dilemma_idx')}", first.text("dilemma_situation"), actions)


def _moral_machine(rows: Iterator[_Row]) -> Iterator[Dilemma | str]:
    """Two rows a dilemma, one for who dies on each course; what the person chose is not used. The text is ours."""
    for first, second in _pairs(rows, "ResponseID"):
        if second is None:
            yield "Moral Machine: responses with one outcome alone"
            continue
        sides = {row.one_of("Intervention", tuple(_COURSES)): row for row in (first, second)}
        if len(sides) < 2:
            raise ValueError(f"{second.where}, column 'Intervention': both outcomes of a response have the same course")
        stay, swerve = _victims(sides["0"]), _victims(sides["1"])
        scenario = (
            f"The brakes of a self-driving car have failed, and you decide what it does. If it stays on course, {stay} "
            f"will die. If it swerves, {swerve} will die."
        )
        name = f"machine-{first.text('ResponseID')}"
        yield _dilemma(second, name, scenario, (_COURSES["0"], _COURSES["1"]))


def _victims(row: _Row) -> str:
    named = []
    for column, (one, several) in CHARACTERS.items():
        count = row.text(column).removesuffix(".0")
        if not count.isdigit():
            raise ValueError(f"{row.where}, column {column!r}: expected a number of characters, found {count!r}")
        if int(count):
            named.append(f"{count} {several if int(count) > 1 else one}")
    if not named:
        raise ValueError(f"{row.where}: expected a number over 0 in one of the columns of characters, found none")
    who = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    if row.one_of("Barrier", ("0", "1")) == "1":
        return f"{who} in the car"
    return f"{who} on the road{_SIGNALS[row.one_of('CrossingSignal', tuple(_SIGNALS))]}"


def _pairs(rows: Iterator[_Row], column: str) -> Iterator[tuple[_Row, _Row | None]]:
    """Rows that share a value of `column`, in the order of their second row; then those that stayed alone."""
    waiting: dict[str, _Row] = {}
    done: set[str] = set()
    for row in rows:
        name = row.text(column)
        if name in done:
            raise ValueError(f"{row.where}, column {column!r}: {name!r} stands in more than two rows, expected two")
        if name in waiting:
            done.add(name)
            yield waiting.pop(name), row
        else:
            waiting[name] = row
    for row in waiting.values():
        yield row, None


def _dilemma(row: _Row, name: str, scenario: str, actions: tuple[str, str]) -> Dilemma:
    if actions[0] == actions[1]:
        raise ValueError(f"{row.where}: expected two different actions, found {actions[0]!r} twice")
    return Dilemma(name, ("", ""), "unspecified", {"en": Wording((scenario,), actions)})


_FORMS: Mapping[str, tuple[tuple[str, ...], Callable[[Iterator[_Row]], Iterator[Dilemma | str]]]] = {
    "MoralChoice": (("scenario_id", "context", "action1", "action2"), _moral_choice),
    "DailyDilemmas": (("dilemma_idx", "dilemma_situation", "action_type", "action"), _daily),
    "Moral Machine": (("ResponseID", "Intervention", "Barrier", "CrossingSignal", *CHARACTERS), _moral_machine),
}
