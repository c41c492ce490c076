"""Answers of a later and of an earlier wave to the same items by the same groups, so that a split by time can be made.

Distributions that span years are earlier only where their last year is; people go by the year they were asked in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.records import AnswerDistribution, Group, Survey
from data.table_of_people import TableOfPeople


def years(text: str) -> tuple[int, int] | None:
    """First and last year of `"2001"` or `"1995-1997"`; None where no year is stated."""
    parts = [part.strip() for part in text.split("-")]
    if not all(len(part) == 4 and part.isdigit() for part in parts) or len(parts) > 2:
        return None
    return int(parts[0]), int(parts[-1])


def split_waves(content: TableOfPeople | Survey, before: int) -> tuple[TableOfPeople | Survey, TableOfPeople | Survey]:
    """The later and the earlier part. What states no year is in neither and counted in the later part."""
    return split_survey(content, before) if isinstance(content, Survey) else _split_table(content, before)


def split_survey(survey: Survey, before: int) -> tuple[Survey, Survey]:
    """As `split_waves`; each part holds the latest distribution of each item × group. An earlier one that shares years
    with the later ("2012" with "2010-2016") may be of the same people: it is left out and counted.
    """
    everything = (*survey.distributions, *survey.earlier)
    dated = [(d, span) for d in everything if (span := years(d.year)) is not None]
    later = latest([d for d, (_, last) in dated if last >= before])
    begins = {(d.item, d.group): span[0] for d in later if (span := years(d.year)) is not None}
    old = [(d, last) for d, (_, last) in dated if last < before]
    earlier = latest([d for d, last in old if last < begins.get((d.item, d.group), before)])
    excluded = {
        **survey.excluded,
        "item × group without a year": len(everything) - len(dated),
        "earlier answers that share years with later ones": sum(
            last >= begins.get((d.item, d.group), before) for d, last in old
        ),
    }
    return (
        replace(survey, distributions=later, earlier=(), excluded=excluded),
        replace(survey, distributions=earlier, earlier=(), respondents=(), excluded={}),
    )


def pair_waves(later: Survey, earlier: Survey, before: int) -> Survey:
    """One survey of what both parts have: `distributions` and people of the later, `earlier` of the earlier part.

    An item × group on one side only is left out and counted; exclusions of the earlier part are named so.
    """
    both = {*later.people} & {*earlier.people}
    excluded = Counter(later.excluded)
    for side, part in (("later", later), ("earlier", earlier)):
        other = "before" if side == "later" else "from"
        reason = f"item × group asked in no wave {other} {before}"
        excluded[reason] += sum((d.item, d.group) not in both for d in part.distributions)
    excluded.update({f"earlier waves: {reason}": count for reason, count in earlier.excluded.items()})
    paired = replace(
        later,
        distributions=tuple(d for d in later.distributions if (d.item, d.group) in both),
        earlier=tuple(d for d in earlier.distributions if (d.item, d.group) in both),
        excluded={reason: count for reason, count in excluded.items() if count},
    )
    return paired.restrict({item for item, _ in both}, paired.countries)


def latest(distributions: Sequence[AnswerDistribution]) -> tuple[AnswerDistribution, ...]:
    """The latest of each item × group, in the order in which these first come; one without a year is the oldest."""
    found: dict[tuple[str, Group], AnswerDistribution] = {}
    for d in distributions:
        key = (d.item, d.group)
        if key not in found or (years(d.year) or (0, 0))[::-1] > (years(found[key].year) or (0, 0))[::-1]:
            found[key] = d
    return tuple(found.values())


def _split_table(table: TableOfPeople, before: int) -> tuple[TableOfPeople, TableOfPeople]:
    spans = {text: years(str(text)) for text in table.people["year"].unique()}
    sides = {text: -1 if span is None else int(span[1] < before) for text, span in spans.items()}
    side = table.people["year"].map(sides)
    excluded = {**table.excluded, "people asked in a year that is not known": int((side == -1).sum())}
    later, earlier = (_rows(table, (side == old).to_numpy()) for old in (0, 1))
    return replace(later, excluded=excluded), replace(earlier, excluded={})


def _rows(table: TableOfPeople, keep: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> TableOfPeople:
    frames = (frame[keep].reset_index(drop=True) for frame in (table.people, table.features, table.answers))
    return TableOfPeople(*frames)
