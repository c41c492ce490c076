"""Cooperative Congressional Election Study 2016, United States: four statements on race, and religion.

The surprise: `angryracism` and `whiteadv` run from 1 strongly agree to 5, `fearraces` and `racerare` from 1 strongly
DISagree. Here all four run from "Strongly agree". The data set carries no weights.
"""

from __future__ import annotations

from data.blocks.block import AGREEMENT, STATEMENT, Block, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

_STATEMENTS = {
    "angryracism": "I am angry that racism exists.",
    "whiteadv": "White people in the U.S. have certain advantages because of the color of their skin.",
    "fearraces": "I often find myself fearful of people of other races.",
    "racerare": "Racial problems in the U.S. are rare, isolated situations.",
}
_DISAGREEMENT_FIRST = ("fearraces", "racerare")
_ITEMS = (
    *(
        Item(
            f"cces/{key}",
            STATEMENT.format(statement),
            AGREEMENT,
            True,
            "cces16",
            "race",
            paraphrased=True,
        )
        for key, statement in _STATEMENTS.items()
    ),
    Item(
        "cces/religimp",
        "How important is religion in your life?",
        ("Not at all important", "Not too important", "Somewhat important", "Very important"),
        True,
        "cces16",
        "religion",
        paraphrased=True,
    ),
)


def _read() -> TableOfPeople:
    frame = fetch("stevedata", "TV16")
    views = ("very liberal", "liberal", "moderate", "conservative", "very conservative")
    answers = {f"cces/{key}": scale(frame[key], 1, 5, reverse=key in _DISAGREEMENT_FIRST) for key in _STATEMENTS}
    return make_table(
        ids=frame["uid"],
        country="USA",
        year="2016",
        age=frame["age"],
        sex=label(frame["female"], {0: "male", 1: "female"}),
        education=label(frame["collegeed"], {0: "no college degree", 1: "college degree"}),
        features={
            "race": frame["racef"].where(frame["racef"] != "Other", ""),
            "state": frame["state"],
            "religion": label(frame["bornagain"], {1: "born-again Christian"}),
            "political views": label(frame["ideo"], dict(enumerate(views, start=1))),
        },
        answers={**answers, "cces/religimp": scale(frame["religimp"], 1, 4)},
    )


BLOCKS = (
    Block(
        source(
            "cces16",
            "Cooperative Congressional Election Study 2016, United States",
            "S. Ansolabehere and B. F. Schaffner (2017), CCES Common Content 2016, Harvard Dataverse, compiled by "
            "S. V. Miller (stevedata::TV16).",
            "CC0 1.0.",
        ),
        _ITEMS,
        _read,
    ),
)
