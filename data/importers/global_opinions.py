"""GlobalOpinionQA (`Anthropic/llm_global_opinions`): shares by country of two cross-national surveys.

E. Durmus et al. (2023), Towards Measuring the Representation of Subjective Global Opinions in Language Models,
arXiv:2306.16388. A row has `question`, `selections` (country → shares, written by Python as
`"defaultdict(<class 'list'>, {'Belgium': [0.21, 0.79]})"`), `options` (a list, also as text) and `source` (GAS or WVS).
The Hub keeps one csv, `data/global_opinions.csv`; its own parquet conversion and JSON Lines have the same columns.

Left out and counted: options that are no answers (the other shares are rescaled), rows without a question, rows of
which fewer than two answers remain, repeated rows (same question and options: the first counts), samples that do not
stand for the country, and shares that are not one number an option with sum 1 within SHARE_TOLERANCE. The number of
people is not published: n = 0. Items are ordered only where the options are numbers, since the source does not say.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from data.countries import iso3
from data.importers.stored import Imported
from data.records import AnswerDistribution, Group, Item, Source, Survey

HUB = "Anthropic/llm_global_opinions"
KINDS = (".csv", ".parquet", ".jsonl")
COLUMNS = ("question", "selections", "options", "source")
SHARE_TOLERANCE = 0.05
SOURCE = Source(
    "goqa",
    "GlobalOpinionQA: Pew Global Attitudes Survey and World Values Survey 7, shares by country",
    "E. Durmus et al. (2023), Towards Measuring the Representation of Subjective Global Opinions in Language Models, "
    "arXiv:2306.16388 (Anthropic/llm_global_opinions).",
    "CC BY-NC-SA 4.0",
)
SURVEYS = {"GAS": "Pew Global Attitudes Survey", "WVS": "World Values Survey"}
NO_ANSWER = re.compile(
    r"(dk|don.?t know|do not know|refused|no answer|(other )?missing|not asked|not applicable|inap)\s*([/(;:,]| or |$)"
)
_COUNTRIES = {"S. Africa": "ZAF"}
_PARTS = ("Northern Ireland",)
_CURRENT = " (Current national sample)"


def fetch_global_opinions(place: str) -> Path:
    """The data file of a local file, a local folder or a Hub id (downloaded into the Hub's own cache).

    Raises FileNotFoundError, or ValueError where a folder holds no such file or several.
    """
    path = Path(place).expanduser()
    if not path.exists():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", place):
            raise FileNotFoundError(f"{place} not found: expected a file, a folder or a Hub id such as {HUB}")
        from huggingface_hub import snapshot_download

        path = Path(snapshot_download(place, repo_type="dataset", allow_patterns=[f"*{kind}" for kind in KINDS]))
    if path.is_file():
        if path.suffix not in KINDS:
            raise ValueError(f"{path}: unknown kind {path.suffix!r}, expected one of {', '.join(KINDS)}")
        return path
    found = sorted(file for file in path.rglob("*") if file.suffix in KINDS and file.is_file())
    if len(found) != 1:
        names = ", ".join(str(file.relative_to(path)) for file in found) or "none"
        raise ValueError(f"{path}: found {names}, expected one file of the kinds {', '.join(KINDS)}")
    return found[0]


def read_global_opinions(path: Path) -> Imported:
    """Items `goqa/0347` (rows count from 0) and their shares. Raises ValueError naming the row and column at fault."""
    excluded: Counter[str] = Counter()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    items, made = [], []
    for number, row in enumerate(_rows(path)):
        where = f"{path}, row {number + 1}"
        question = " ".join(str(row["question"]).split())
        if not question:
            excluded["rows without a question"] += 1
            continue
        options = [_text(option) for option in _literal(where, "options", row["options"], list)]
        shares = _literal(where, "selections", row["selections"], dict)
        if (question, tuple(options)) in seen:
            excluded["rows that repeat a question with the same options"] += 1
            continue
        seen.add((question, tuple(options)))
        answers = [i for i, option in enumerate(options) if not NO_ANSWER.match(option.strip("\"' (").casefold())]
        kept = tuple(options[i] for i in answers)
        if len(kept) < 2 or len(set(kept)) < len(kept):
            excluded["rows without two different answers"] += 1
            continue
        survey = SURVEYS.get(str(row["source"]).strip(), str(row["source"]).strip())
        item = Item(f"goqa/{number:04d}", question, kept, _numeric(kept), SOURCE.name, survey)
        found = list(_distributions(where, item, shares, len(options), answers, excluded))
        if found:
            items.append(item)
            made += found
        else:
            excluded["rows without a country"] += 1
    if not items:
        raise ValueError(f"{path} holds no question with answers: expected the columns {', '.join(COLUMNS)}")
    content = Survey(tuple(items), tuple(made), sources=(SOURCE,), excluded=dict(excluded))
    return Imported((SOURCE,), tuple(items), content, path, "goqa 1")


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        elif path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.DataFrame(list(_json_rows(path)))
    except (ValueError, OSError) as error:  # pandas, pyarrow and json raise kinds of these
        raise ValueError(f"{path} cannot be read: {error}") from error
    for column in COLUMNS:
        if column not in frame:
            raise ValueError(f"{path}: column {column!r} is missing; found {', '.join(map(str, frame.columns))}")
    frame["question"] = frame["question"].fillna("")
    yield from frame.to_dict("records")


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not JSON: {error}") from error
        if row is not None and not isinstance(row, dict):
            raise ValueError(f"line {number}: found {line[:60]!r}, expected a JSON object")
        if row is not None:
            yield row


def _literal(where: str, column: str, value: Any, kind: type) -> Any:
    """A list or dict, given as such or as Python's or JSON's text; nothing is executed."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        text = re.sub(r"^defaultdict\(<class 'list'>, (.*)\)$", r"\1", value.strip(), flags=re.DOTALL)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(
                f"{where}, column {column!r}: found {text[:60]!r}, expected a {kind.__name__} such as Python prints"
            ) from error
    if not isinstance(value, kind):
        raise ValueError(f"{where}, column {column!r}: found {str(value)[:60]!r}, expected a {kind.__name__}")
    return value


def _text(option: Any) -> str:
    """`2.0` is shown as "2"."""
    return str(int(option)) if isinstance(option, float) and option.is_integer() else " ".join(str(option).split())


def _numeric(options: Sequence[str]) -> bool:
    """Whether all but perhaps the two ends are whole numbers that rise or fall by one."""
    inner = options[1:-1]
    if len(inner) < 2 or not all(re.fullmatch(r"-?\d+", option) for option in inner):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(inner)}
    return steps in ({1}, {-1})


def _distributions(
    where: str, item: Item, given: Mapping[Any, Any], options: int, answers: Sequence[int], excluded: Counter[str]
) -> Iterator[AnswerDistribution]:
    seen: set[str] = set()
    for name, values in given.items():
        country = _country(str(name), excluded)
        if country is None:
            continue
        values = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(values, list) or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            raise ValueError(f"{where}, column 'selections': {name}: found {values!r}, expected a list of numbers")
        if len(values) != options or min(values, default=-1.0) < 0 or abs(sum(values) - 1) > SHARE_TOLERANCE:
            excluded["countries whose shares are not one an option with sum 1"] += 1
            continue
        total = math.fsum(values[i] for i in answers)
        if total <= 0 or country in seen:
            excluded["countries in which nobody answered" if total <= 0 else "second samples of a country"] += 1
            continue
        seen.add(country)
        if total < math.fsum(values) - 1e-9:
            excluded["countries whose non-answers were taken out (shares rescaled)"] += 1
        yield AnswerDistribution(item.id, Group(country), tuple(values[i] / total for i in answers), 0, 0.0)


def _country(name: str, excluded: Counter[str]) -> str | None:
    """Alpha-3 code, or None (counted) for a sample that does not stand for a country."""
    plain = name.removesuffix(_CURRENT).strip()
    if sample := re.search(r"\((.*sample)\)$", plain):
        excluded[f"countries' samples named {sample.group(1)!r}"] += 1
        return None
    if plain in _PARTS:
        excluded[f"parts of a country ({plain})"] += 1
        return None
    try:
        return _COUNTRIES.get(plain) or iso3(plain)
    except ValueError:
        excluded[f"places that are no country ({plain})"] += 1
        return None
