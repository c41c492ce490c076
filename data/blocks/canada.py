"""Canadian National Election Studies: 2011 (weighted, religion and abortion) and 1997 (traditional values)."""

from __future__ import annotations

from data.blocks.block import STATEMENT, Block, code, fetch, label, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

# --- carData::CES11, weighted ----------------------------------------------------------------------------------------

_CES_ITEMS = (
    Item("ces/abortion", "Should abortion be banned?", ("No", "Yes"), False, "ces11", "family"),
    Item(
        "ces/religion",
        "In your life, would you say that religion is very important, somewhat important, not very important, or not "
        "important at all?",
        ("Very important", "Somewhat important", "Not very important", "Not important at all"),
        True,
        "ces11",
        "religion",
    ),
)
_CES_EDUCATION = {
    "lessHS": "less than high school",
    "HS": "high school diploma",
    "somePS": "some post-secondary education",
    "college": "community college or technical school",
    "bachelors": "bachelor's degree",
    "higher": "graduate degree",
}
_PROVINCES = {
    "AB": "Alberta",
    "BC": "British Columbia",
    "MB": "Manitoba",
    "NB": "New Brunswick",
    "NL": "Newfoundland and Labrador",
    "NS": "Nova Scotia",
    "ON": "Ontario",
    "PE": "Prince Edward Island",
    "QC": "Quebec",
    "SK": "Saskatchewan",
}


def _read_ces() -> TableOfPeople:
    frame = fetch("carData", "CES11")
    return make_table(
        ids=frame["rownames"],
        country="CAN",
        year="2011",
        weight=frame["weight"],
        sex=label(frame["gender"], {"Male": "male", "Female": "female"}),
        education=label(frame["education"], _CES_EDUCATION),
        features={
            "region": label(frame["province"], _PROVINCES),
            "place": label(frame["urban"], {"urban": "town or city", "rural": "countryside"}),
        },
        answers={
            "ces/abortion": code(frame["abortion"], ("No", "Yes")),
            "ces/religion": code(frame["importance"], ("very", "somewhat", "notvery", "not")),
        },
    )


# --- sem::CNES -------------------------------------------------------------------------------------------------------

_CNES = {
    "MBSA2": (
        "tolerance",
        "We should be more tolerant of people who choose to live according to their own standards, even if they are "
        "very different from our own.",
    ),
    "MBSA7": ("lifestyles", "Newer lifestyles are contributing to the breakdown of our society."),
    "MBSA8": (
        "moral_change",
        "The world is always changing and we should adapt our view of moral behaviour to these changes.",
    ),
    "MBSA9": (
        "family_values",
        "This country would have many fewer problems if there were more emphasis on traditional family values.",
    ),
}
_CNES_ITEMS = tuple(
    Item(
        f"cnes/{key}",
        STATEMENT.format(text),
        ("Strongly agree", "Agree", "Disagree", "Strongly disagree"),
        True,
        "cnes97",
        "tradition",
    )
    for key, text in _CNES.values()
)


def _read_cnes() -> TableOfPeople:
    frame = fetch("sem", "CNES")
    levels = ("StronglyAgree", "Agree", "Disagree", "StronglyDisagree")
    return make_table(
        ids=frame["rownames"],
        country="CAN",
        year="1997",
        answers={f"cnes/{key}": code(frame[column], levels) for column, (key, _) in _CNES.items()},
    )


BLOCKS = (
    Block(
        source(
            "ces11",
            "Canadian National Election Study 2011",
            "P. Fournier, F. Cutler, S. Soroka and D. Stolle (2013), Canadian Election Study 2011, Canadian Opinion "
            "Research Archive, Queen's University (carData::CES11).",
            "Free for research with citation of the Canadian Election Study.",
        ),
        _CES_ITEMS,
        _read_ces,
    ),
    Block(
        source(
            "cnes97",
            "Canadian National Election Study 1997, mailback questionnaire",
            "Canadian National Election Study 1997, Institute for Social Research, York University (sem::CNES).",
            "Free for research with citation of the Canadian Election Study.",
        ),
        _CNES_ITEMS,
        _read_cnes,
    ),
)
