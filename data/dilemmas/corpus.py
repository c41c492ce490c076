"""Load, check, weigh and sample the Ethical Dilemma Corpus.

The corpus is a JSON Lines file inside this package, one dilemma a line (shortened):

    {"id": "power-benevolence-01", "values": ["power", "benevolence"], "context": "unspecified",
     "wordings": {"en": {"scenarios": ["You are one of two candidates …", …],
                         "actions": ["Keep the weeks free …", "Take the cases …"]}, "zh": {…}}}

The surprise: the order is part of the meaning. Action 1 serves the first of `values` and action 2 the second, in every
language. Our design throughout: the corpus named in arXiv:2511.17256 is unpublished.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.files import digest
from data.records import Dilemma, Wording

DEFINITIONS: Mapping[str, str] = {
    "self_direction": "independent thought and action: choosing, creating, exploring",
    "stimulation": "excitement, novelty and challenge in life",
    "hedonism": "pleasure and gratification of the senses for oneself",
    "achievement": "personal success by showing competence that others recognise",
    "power": "status and prestige, control over people and resources",
    "security": "safety, harmony and stability of society, of relationships and of oneself",
    "conformity": "restraint of what may upset others or violate social expectations and norms",
    "tradition": "respect for and commitment to the customs and ideas of one's culture or religion",
    "benevolence": "the welfare of the people one is in frequent personal contact with",
    "universalism": "understanding, tolerance and protection of the welfare of all people and of nature",
}
"""The ten basic values in our words, after Schwartz (1992), Advances in Experimental Social Psychology 25, 1-65."""

VALUES: tuple[str, ...] = tuple(DEFINITIONS)
"""Their names, in the order of Schwartz's circle: neighbours are compatible, opposites conflict."""

_FIELDS = ("id", "values", "context", "wordings")


def load_dilemmas(path: Path | None = None) -> tuple[Dilemma, ...]:
    """Read and check a corpus file; the one shipped with the project when `path` is None.

    Blank lines are skipped; the dilemmas keep the order of the file. Raises FileNotFoundError for a missing file and
    ValueError, naming file, line and field, for a line that breaks the schema or repeats an id.
    """
    file = resources.files("data.dilemmas") / "corpus.jsonl" if path is None else path
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such dilemma corpus, expected a JSON Lines file")
    dilemmas: dict[str, Dilemma] = {}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8 text, found {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            dilemma = _dilemma(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number}: not valid JSON at column {error.colno}: {error.msg}") from error
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
        if dilemma.id in dilemmas:
            raise ValueError(
                f"{file}, line {number}: id: {dilemma.id!r} is taken by an earlier line, expected a new one"
            )
        dilemmas[dilemma.id] = dilemma
    if not dilemmas:
        raise ValueError(f"{file}: holds no dilemma, expected one JSON object a line")
    return tuple(dilemmas.values())


def balance(dilemmas: Iterable[Dilemma]) -> pd.DataFrame:
    """How often each value occurs, a dilemma counting once for each of its two values.

    One row a value (all ten, in the order of `VALUES`); integer columns `first` and `second` (its place in the
    dilemma), `total`, then one for each context in alphabetical order.
    """
    dilemmas = tuple(dilemmas)
    contexts = sorted({dilemma.context for dilemma in dilemmas})
    table = pd.DataFrame(0, index=pd.Index(VALUES, name="value"), columns=["first", "second", "total", *contexts])
    for dilemma in dilemmas:
        for value, place in zip(dilemma.values, ("first", "second"), strict=True):
            table.loc[value, [place, "total", dilemma.context]] += 1
    return table


def near_duplicates(dilemmas: Sequence[Dilemma], threshold: float = 0.15) -> list[tuple[str, str, float]]:
    """Pairs of dilemmas that tell nearly the same story: (id, id, similarity in [0, 1]), most similar first.

    Similarity is the Jaccard index of two scenarios' words (Chinese: pairs of adjacent characters), each weighted by
    ln(1 + dilemmas / dilemmas using it), at its greatest over paraphrases and shared languages. Our design, because
    rare words carry the story: over the shipped English scenarios, paraphrases of one dilemma score above 0.23 in
    95 % of cases and scenarios of different dilemmas never above 0.14; shared word pairs separate them less well.
    """
    terms = [
        {language: [_terms(text) for text in wording.scenarios] for language, wording in dilemma.wordings.items()}
        for dilemma in dilemmas
    ]
    used: Counter[str] = Counter()
    for by_language in terms:
        used.update({term for scenarios in by_language.values() for scenario in scenarios for term in scenario})
    weights = {term: math.log(1 + len(dilemmas) / count) for term, count in used.items()}
    found = []
    for (one, a), (two, b) in combinations(zip(dilemmas, terms, strict=True), 2):
        pairs = (pair for language in a.keys() & b.keys() for pair in product(a[language], b[language]))
        similarity = max((_overlap(x, y, weights) for x, y in pairs), default=0.0)
        if similarity >= threshold:
            found.append((one.id, two.id, similarity))
    return sorted(found, key=lambda pair: -pair[2])


def corpus_hash(dilemmas: Iterable[Dilemma]) -> str:
    """SHA-256 (hex) of all that the dilemmas say, whatever their order."""
    return digest(
        [
            [
                dilemma.id,
                dilemma.values,
                dilemma.context,
                {language: [wording.scenarios, wording.actions] for language, wording in dilemma.wordings.items()},
            ]
            for dilemma in sorted(dilemmas, key=lambda dilemma: dilemma.id)
        ]
    )


def sample_balanced(dilemmas: Iterable[Dilemma], n: int, rng: np.random.Generator) -> tuple[Dilemma, ...]:
    """`n` different dilemmas that cover the ten values as evenly as a local search finds, in order of their ids.

    A random draw is improved by exchanging a chosen dilemma for another as long as that lowers the sum of squared
    counts over values. The result depends on the ids and `rng`, not on the order given. Raises ValueError unless
    1 <= n <= number of dilemmas.
    """
    pool = sorted(dilemmas, key=lambda dilemma: dilemma.id)
    if not 1 <= n <= len(pool):
        raise ValueError(f"n must be between 1 and the {len(pool)} dilemmas given, got {n}")
    holds = np.array([[value in dilemma.values for value in VALUES] for dilemma in pool], dtype=int)
    shuffled = rng.permutation(len(pool))
    chosen, others = shuffled[:n], shuffled[n:]
    while len(others):
        counts = holds[chosen].sum(axis=0)
        change = holds[others][None] - holds[chosen][:, None]
        gain = (counts**2).sum() - ((counts + change) ** 2).sum(axis=2)
        out, into = np.unravel_index(gain.argmax(), gain.shape)
        if gain[out, into] <= 0:
            break
        chosen[out], others[into] = others[into], chosen[out]
    return tuple(pool[index] for index in sorted(chosen))


def _dilemma(record: Any) -> Dilemma:
    if not isinstance(record, dict) or set(record) != set(_FIELDS):
        found = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"expected an object with the fields {list(_FIELDS)}, found {found}")
    values = _texts(record["values"], "values", exactly=2)
    if unknown := [value for value in values if value not in VALUES]:
        raise ValueError(f"values: found {unknown}, expected names among {list(VALUES)}")
    wordings = record["wordings"]
    if not isinstance(wordings, dict) or not wordings:
        raise ValueError(f"wordings: expected an object by language code, found {wordings!r}")
    return Dilemma(
        id=_text(record["id"], "id"),
        values=(values[0], values[1]),
        context=_text(record["context"], "context"),
        wordings={language: _wording(wording, f"wordings.{language}") for language, wording in wordings.items()},
    )


def _wording(record: Any, field: str) -> Wording:
    if not isinstance(record, dict) or set(record) != {"scenarios", "actions"}:
        raise ValueError(f"{field}: expected an object with scenarios and actions, found {record!r}")
    actions = _texts(record["actions"], f"{field}.actions", exactly=2)
    return Wording(_texts(record["scenarios"], f"{field}.scenarios"), (actions[0], actions[1]))


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value or value != value.strip():
        raise ValueError(f"{field}: expected a text without blanks around it, found {value!r}")
    return value


def _texts(value: Any, field: str, exactly: int | None = None) -> tuple[str, ...]:
    wanted = "one or more" if exactly is None else str(exactly)
    if not isinstance(value, list) or not value or exactly not in (None, len(value)):
        raise ValueError(f"{field}: expected a list of {wanted} texts, found {value!r}")
    texts = tuple(_text(text, f"{field}[{place}]") for place, text in enumerate(value))
    if len(set(texts)) != len(texts):
        raise ValueError(f"{field}: expected different texts, found a repetition in {value!r}")
    return texts


def _terms(text: str) -> set[str]:
    """Lower-case words; in a run of Chinese or Japanese characters, which has no spaces, pairs of neighbours."""
    terms: set[str] = set()
    for han, word in re.findall(r"([\u3040-\u9fff]+)|([^\W\u3040-\u9fff]+)", text.casefold()):
        terms.update([word] if word else [han] if len(han) == 1 else map("".join, pairwise(han)))
    return terms


def _overlap(a: set[str], b: set[str], weights: Mapping[str, float]) -> float:
    return sum(weights[term] for term in sorted(a & b)) / sum(weights[term] for term in sorted(a | b)) if a | b else 0.0
