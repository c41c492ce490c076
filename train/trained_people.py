"""Whose answers a recipe may draw on beside those of its examples."""

from __future__ import annotations

from data.records import AnswerDistribution, Group
from train.run import RunContext

Known = dict[tuple[str, Group], AnswerDistribution]


def trained_people(run: RunContext) -> Known:
    """Answers to the items of the run's examples in the countries of its examples, by item and group.

    So a mixture of one country stays one. Raises ValueError where the answers of an example are not those of the
    survey's people: beside a mixture that changes answers the true ones would contradict it.
    """
    survey = run.people.restrict({e.item.id for e in run.examples}, {e.group.country for e in run.examples})
    for example in run.examples:
        known = survey.people.get((example.item.id, example.group))
        if known is None or known.probabilities != example.people:
            raise ValueError(
                f"the mixture gives {example.group.label} answers to item {example.item.id!r} that are not those of "
                "the survey's people: this recipe draws further answers of the same people and needs a mixture that "
                "leaves them as they are, such as mixture=diverse"
            )
    return survey.people
