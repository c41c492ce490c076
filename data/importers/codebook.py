"""The codebook of a table of people: YAML that says which columns are which, and what their codes mean.

    format: polyphony-codebook
    version: 1
    source: {name: mine, title: My survey, citation: "Me (2024).", terms: CC BY 4.0}
    id: respno                                  # repeated: number makes "17/2" of an id that is given again
    country: {column: cntry, map: {UK: GBR}, leave_out: {XX: not a country}}    # or {is: Norway} for all
    year: {is: 2024}                            # or a column
    weight: pspwght                             # optional
    age: {column: agea, missing: [999]}         # in years; or codes: {1: 18-29, 2: 30-49, 3: 50+}
    sex: {column: gndr, codes: {1: male, 2: female}, missing: [9]}
    education: {column: edu, codes: {1: primary school, 2: university}}
    features: {religion: {column: rlgdnm, codes: {1: Catholic, 2: Muslim}}}
    missing: {-1: don't know, -2: no answer, empty: empty cell}     # of every column; `negative` is any code below 0
    ordered: true                               # of every item that does not say it itself; so language, paraphrased
    items:
      - {column: trust, question: "Can most people be trusted?", options: {1: Yes, 2: No}, ordered: false}
      - columns: {imp1: family, imp2: work}     # a battery: {} in question is replaced
        question: How important is {} in your life?
        options: {1: Very, 2: Rather, 3: Not at all}
      - {column: happy, question: "How happy are you?", scale: {0: not at all, 10: completely}, missing: {77: refused}}

An item is named `NAME/COLUMN`, or `NAME/ID` with `id`. `options` are in the order in which they are shown; `positions`
(numbers), `topic`, and `wordings: {zh: {question: …, options: {1: …}}}` (with `columns` in a battery) are optional.
`splits` names splits: the lists `train_items`, `held_out_items` (columns, or ranges `Q1..Q163` in the codebook's
order), `train_countries` and `held_out_countries`. Every other key is refused.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.blocks.block import ends
from data.countries import iso3
from data.importers.checked_yaml import CheckedYaml, Node
from data.records import AGE_BANDS, Item, ItemWording, Source
from data.splits import SIDES

FORMAT, VERSION = "polyphony-codebook", "1"
SHIPPED = ("wvs7",)
NEGATIVE, EMPTY = "negative", "empty"
MOST_OPTIONS = 100

_TOP = (
    "format", "version", "source", "id", "country", "year", "weight", "age", "sex", "education", "features", "missing",
    "ordered", "language", "paraphrased", "items", "splits",
)  # fmt: skip
_ITEM = (
    "id", "column", "columns", "question", "options", "scale", "ordered", "positions", "topic", "missing", "language",
    "paraphrased", "wordings",
)  # fmt: skip


class Missing(dict[str, str]):
    """Code → what it means, of answers that are none. `meaning` knows `negative` and `empty` too."""

    def meaning(self, code: str) -> str | None:
        if code == "":
            return self.get(EMPTY)
        below = code.startswith("-") and code[1:].replace(".", "", 1).isdigit()
        return self.get(code, self.get(NEGATIVE) if below else None)


@dataclass(frozen=True)
class PersonColumn:
    """One attribute of persons: a column or one value (`constant`) for all; `codes` None means the text itself."""

    column: str = ""
    constant: str = ""
    codes: Mapping[str, str] | None = None
    missing: Missing = field(default_factory=Missing)
    leave_out: Mapping[str, str] = field(default_factory=dict)
    number_repeats: bool = False


@dataclass(frozen=True)
class CodedItem:
    """An item, its column, the code of each option (in order), and the codes that are no answers."""

    item: Item
    column: str
    codes: tuple[str, ...]
    labels: tuple[str, ...]
    missing: Missing


@dataclass(frozen=True)
class Codebook:
    """A checked codebook. `age_in_years` says that the age column holds years, not codes of bands."""

    path: str
    source: Source
    persons: Mapping[str, PersonColumn]
    features: Mapping[str, PersonColumn]
    items: tuple[CodedItem, ...]
    splits: Mapping[str, Mapping[str, tuple[str, ...]]]

    @property
    def age_in_years(self) -> bool:
        return self.persons["age"].codes is None


def shipped(name: str) -> Path:
    """The codebook that comes with the program under this name (one of SHIPPED)."""
    return Path(str(resources.files("data.importers.codebooks") / f"{name}.yaml"))


def read_codebook(path: Path) -> Codebook:
    """A codebook file, checked wholly. Raises FileNotFoundError, or ValueError naming file, line and key at fault."""
    if not path.is_file():
        raise FileNotFoundError(f"codebook {path} not found: expected a YAML file")
    reader = _Reader(str(path))
    return reader.book(reader.load())


class _Reader(CheckedYaml):
    """Makes a codebook of the YAML; every method names file, line and key of what it refuses."""

    def book(self, content: Any) -> Codebook:
        if not isinstance(content, Node):
            raise ValueError(f"{self.path}: found {type(content).__name__}, expected a mapping of keys")
        self.known(content, _TOP)
        for key, expected in (("format", FORMAT), ("version", VERSION)):
            if content.get(key) != expected:
                raise self.fail(content, key, f"found {content.get(key)!r}, expected {expected!r}")
        source = self.source(content)
        everywhere = self.missing(content)
        persons = {
            "id": self.person(content, "id", everywhere, "repeated"),
            "country": self.person(content, "country", everywhere, "map", "leave_out"),
            "year": self.person(content, "year", everywhere),
            "weight": self.person(content, "weight", everywhere),
            "age": self.person(content, "age", everywhere, "codes"),
            "sex": self.person(content, "sex", everywhere, "codes"),
            "education": self.person(content, "education", everywhere, "codes"),
        }
        if not (persons["country"].column or persons["country"].constant):
            raise self.fail(content, "country", "missing; expected a column, or {is: NAME} for one country")
        for key, allowed in (("age", AGE_BANDS), ("sex", ("female", "male"))):
            for code, text in (persons[key].codes or {}).items():
                if text not in allowed:
                    raise self.fail(content, key, f"code {code} is {text!r}, expected one of {', '.join(allowed)}")
        if persons["sex"].column and persons["sex"].codes is None:
            raise self.fail(content, "sex", "codes are missing; expected codes: {CODE: male, CODE: female}")
        features = self.mapping(content, "features")
        items = tuple(self.items(content, source.name, everywhere))
        return Codebook(
            self.path,
            source,
            persons,
            {name: self.person(features, name, everywhere, "codes") for name in features},
            items,
            self.splits(content, items, source.name),
        )

    def source(self, content: Node) -> Source:
        node = self.mapping(content, "source")
        self.known(node, ("name", "title", "citation", "terms", "version"))
        name, title, citation, terms = (self.text(node, key) for key in ("name", "title", "citation", "terms"))
        return Source(name, title, citation, terms, self.text(node, "version", ""))

    def missing(self, node: Mapping[str, Any], everywhere: Mapping[str, str] | None = None) -> Missing:
        value = node.get("missing", Node())
        if isinstance(value, list):
            if wrong := [code for code in value if not isinstance(code, str)]:
                raise self.fail(node, "missing", f"found {wrong[0]!r}, expected a list of codes")
            value = Node({str(code): "missing" for code in value})
            value.line = getattr(node, "line", 1)
        own = Node({**node, "missing": value})
        own.line, own.lines = getattr(node, "line", 1), getattr(node, "lines", {})
        return Missing({**(everywhere or {}), **self.codes(own, "missing")})

    def person(self, content: Mapping[str, Any], key: str, everywhere: Missing, *more: str) -> PersonColumn:
        value = content.get(key)
        if value is None:
            return PersonColumn()
        if isinstance(value, str):
            return PersonColumn(column=self.text(content, key), missing=everywhere)
        node = self.mapping(content, key)
        self.known(node, ("column", "is", "missing", *more))
        if ("column" in node) == ("is" in node):
            raise self.fail(node, key, "expected either column or is")
        constant = self.text(node, "is", "")
        codes = self.codes(node, "map" if "map" in more else "codes")
        if key == "country":
            try:
                constant = iso3(constant) if constant else ""
                codes = {code: iso3(name) for code, name in codes.items()}
            except ValueError as error:
                raise self.fail(node, key, str(error)) from error
        if self.text(node, "repeated", "refused") not in ("refused", "number"):
            raise self.fail(node, key, f"repeated: found {node['repeated']!r}, expected refused or number")
        return PersonColumn(
            column=self.text(node, "column", ""),
            constant=constant,
            codes=codes or None,
            missing=self.missing(node, everywhere),
            leave_out=self.codes(node, "leave_out"),
            number_repeats=node.get("repeated") == "number",
        )

    def items(self, content: Node, survey: str, everywhere: Missing) -> list[CodedItem]:
        given = content.get("items")
        if not isinstance(given, list) or not given:
            raise self.fail(content, "items", f"found {given!r}, expected a list of items")
        made: dict[str, CodedItem] = {}
        for node in given:
            if not isinstance(node, Node):
                raise self.fail(content, "items", f"found {node!r}, expected an item with its keys")
            self.known(node, _ITEM)
            if ("column" in node) == ("columns" in node):
                raise self.fail(node, "column", "expected either column or columns")
            for column, subject in (self.codes(node, "columns") or {self.text(node, "column", ""): ""}).items():
                coded = self.item(content, node, survey, column, subject, everywhere)
                key = "id" if "id" in node else "columns" if subject else "column"
                if coded.item.id in made:
                    raise self.fail(node, key, f"item {coded.item.id!r} is given twice")
                if same := [other.item.id for other in made.values() if other.column == column]:
                    raise self.fail(node, key, f"column {column!r} is that of item {same[0]!r} already")
                made[coded.item.id] = coded
        return list(made.values())

    def item(self, content: Node, node: Node, survey: str, column: str, subject: str, everywhere: Missing) -> CodedItem:
        question = self.text(node, "question")
        if subject and "{}" not in question:
            raise self.fail(node, "question", f"found {question!r}, expected {{}} where the battery's parts go")
        options, labels = self.options(node)
        ordered = self.flag(node, "ordered", True if "scale" in node else self.flag(content, "ordered", False))
        missing = self.missing(node, everywhere)
        if both := sorted(set(options) & set(missing)):
            raise self.fail(node, "options", f"code {both[0]} is an option and missing too")
        positions, wordings = self.positions(node), self.wordings(node, column, list(options))
        try:
            item = Item(
                id=f"{survey}/{self.text(node, 'id', column) if not subject else column}",
                question=question.replace("{}", subject) if subject else question,
                options=tuple(options.values()),
                ordered=ordered,
                survey=survey,
                topic=self.text(node, "topic", ""),
                positions=positions,
                language=self.text(node, "language", self.text(content, "language", "en")),
                paraphrased=self.flag(node, "paraphrased", self.flag(content, "paraphrased", False)),
                wordings=wordings,
            )
        except ValueError as error:
            raise self.fail(node, "options", str(error)) from error
        return CodedItem(item, column, tuple(options), tuple(labels), missing)

    def wordings(self, node: Node, column: str, codes: Sequence[str]) -> tuple[ItemWording, ...]:
        made = []
        given = self.mapping(node, "wordings")
        for language in given:
            words = self.mapping(given, language)
            self.known(words, ("question", "options", "scale", "columns"))
            question, options = self.text(words, "question"), self.options(words)[0]
            if "columns" in node:
                question = question.replace("{}", self.text(self.mapping(words, "columns"), column))
            if list(options) != list(codes):
                raise self.fail(words, "options", f"found codes {list(options)}, expected {list(codes)} in this order")
            made.append(ItemWording(language, question, tuple(options.values())))
        return tuple(made)

    def options(self, node: Node) -> tuple[dict[str, str], list[str]]:
        """Code → text as it is shown, and the bare labels: of a numeric scale only the ends are named."""
        if ("options" in node) == ("scale" in node):
            raise self.fail(node, "options", "expected either options or scale")
        if "options" in node:
            options = self.codes(node, "options")
            self.few(node, "options", len(options))
            return options, list(options.values())
        named = self.codes(node, "scale")
        try:
            (low, first), (high, last) = ((int(code), text) for code, text in named.items())
        except ValueError as error:
            raise self.fail(node, "scale", f"found {named}, expected two whole numbers and their names") from error
        if low >= high:
            raise self.fail(node, "scale", f"found {low} before {high}, expected the lower end first")
        self.few(node, "scale", high - low + 1)
        codes = [str(code) for code in range(low, high + 1)]
        return dict(zip(codes, ends(low, high, first, last), strict=True)), [first, *codes[1:-1], last]

    def few(self, node: Node, key: str, options: int) -> None:
        if options > MOST_OPTIONS:
            raise self.fail(node, key, f"found {options:,} options, expected at most {MOST_OPTIONS}")

    def positions(self, node: Node) -> tuple[float, ...] | None:
        given = node.get("positions")
        if given is None:
            return None
        try:
            made = tuple(float(value) for value in given)
        except (TypeError, ValueError) as error:
            raise self.fail(node, "positions", f"found {given!r}, expected a list of numbers") from error
        gaps = [b - a for a, b in pairwise(made)]
        if not (all(0 < gap < math.inf for gap in gaps) or all(-math.inf < gap < 0 for gap in gaps)):
            raise self.fail(node, "positions", f"found {given!r}, expected all rising or falling")
        return made

    def splits(
        self, content: Node, items: Sequence[CodedItem], survey: str
    ) -> dict[str, Mapping[str, tuple[str, ...]]]:
        columns = [coded.column for coded in items]
        made: dict[str, Mapping[str, tuple[str, ...]]] = {}
        for name, node in self.mapping(content, "splits").items():
            if not isinstance(node, Node):
                raise self.fail(content, "splits", f"{name}: found {node!r}, expected {', '.join(SIDES)}")
            self.known(node, SIDES)
            if lacking := [side for side in SIDES if side not in node]:
                raise self.fail(node, lacking[0], f"missing in split {name!r}")
            sides: dict[str, tuple[str, ...]] = {}
            for side, values in node.items():
                if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                    raise self.fail(node, side, f"found {values!r}, expected a list")
                try:
                    if side.endswith("countries"):
                        sides[side] = tuple(iso3(value) for value in values)
                    else:
                        chosen = {columns[i] for value in values for i in _range(value, columns)}
                        sides[side] = tuple(coded.item.id for coded in items if coded.column in chosen)
                except ValueError as error:
                    raise self.fail(node, side, str(error)) from error
            made[name] = sides
        return made


def _range(text: str, columns: Sequence[str]) -> range:
    """`"Q1..Q3"` or `"Q1"` as places in the codebook's order."""
    first, _, last = text.partition("..")
    for name in (first, last or first):
        if name not in columns:
            nearest = difflib.get_close_matches(name, columns, n=1, cutoff=0)[0]
            raise ValueError(f"{text!r}: no item has the column {name!r}; did you mean {nearest!r}?")
    return range(columns.index(first), columns.index(last or first) + 1)
