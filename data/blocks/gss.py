"""General Social Survey of the United States: abortion circumstances (2010-18) and national spending (2018).

The abortion columns are 1 = should be legal, 0 = no support. Spending is −1 too much, 0 about right, 1 too little;
some spending items had two wordings, which the source pools. Neither data set carries weights.
"""

from __future__ import annotations

from data.blocks.block import Block, code, fetch, label, scale, source
from data.records import Item
from data.table_of_people import TableOfPeople, make_table

FIRST_YEAR = 2010
_RACE = {"White": "White", "Black": "Black", 1: "White", 2: "Black"}
_PARTY = (
    "strong Democrat",
    "not very strong Democrat",
    "independent, near Democrat",
    "independent",
    "independent, near Republican",
    "not very strong Republican",
    "strong Republican",
    "supporter of another party",
)
_PARTY_SHORT = dict(
    zip(
        (
            "Strong Democrat",
            "Not Str Democrat",
            "Ind,Near Dem",
            "Independent",
            "Ind,Near Rep",
            "Not Str Republican",
            "Strong Republican",
            "Other Party",
        ),
        _PARTY,
        strict=True,
    )
)
_VIEWS = {
    1: "extremely liberal",
    2: "liberal",
    3: "slightly liberal",
    4: "moderate",
    5: "slightly conservative",
    6: "conservative",
    7: "extremely conservative",
}
_DEGREES = (
    "no high school diploma",
    "high school diploma",
    "junior college degree",
    "bachelor's degree",
    "graduate degree",
)
_SCHOOLING = {
    **dict.fromkeys(range(12), "at most 11 years of school"),
    12: "12 years of school",
    **dict.fromkeys(range(13, 16), "13 to 15 years of school"),
    **dict.fromkeys(range(16, 21), "16 or more years of school"),
}
_CITATION = "T. W. Smith et al., General Social Surveys, NORC at the University of Chicago, compiled by S. V. Miller"
_TERMS = "Free to use with citation (gss.norc.org)."

_CIRCUMSTANCES = {
    "abany": "if the woman wants it for any reason",
    "abdefect": "if there is a serious defect in the fetus",
    "abnomore": "if she is pregnant but wants no more children",
    "abhlth": "if the pregnant woman's own health is in danger",
    "abpoor": "if she is poor and cannot afford more children",
    "abrape": "if she became pregnant because of a rape",
    "absingle": "if she is single and does not want to marry the man who made her pregnant",
}
_ABORTION = tuple(
    Item(
        f"gss/{key}",
        f"Do you think it should be possible for a woman to obtain a legal abortion {case}?",
        ("Yes, it should be legal", "No, it should not be legal"),
        False,
        "gss_abortion",
        "family",
        paraphrased=True,
    )
    for key, case in _CIRCUMSTANCES.items()
)


def _read_abortion() -> TableOfPeople:
    every = fetch("stevedata", "gss_abortion")
    frame = every[every["year"] >= FIRST_YEAR]
    return make_table(
        ids=frame["year"].astype(str) + "-" + frame["id"].astype(str),
        country="USA",
        year=frame["year"].astype(str),
        age=frame["age"],
        sex=label(frame["sex"], {"Male": "male", "Female": "female"}),
        education=label(frame["educ"], _SCHOOLING),
        features={"race": label(frame["race"], _RACE), "party": label(frame["partyid"], _PARTY_SHORT)},
        answers={item.id: code(frame[item.id.removeprefix("gss/")], (1, 0)) for item in _ABORTION},
        excluded={f"people asked before {FIRST_YEAR}": len(every) - len(frame)},
    )


_SPENDING_ON = {
    "natspac": "the space exploration program",
    "natenvir": "improving and protecting the environment",
    "natheal": "improving and protecting the nation's health",
    "natcity": "solving the problems of the big cities",
    "natcrime": "halting the rising crime rate",
    "natdrug": "dealing with drug addiction",
    "nateduc": "improving the nation's education system",
    "natrace": "improving the conditions of Black people",
    "natarms": "the military, armaments and defense",
    "nataid": "foreign aid",
    "natfare": "welfare",
    "natroad": "highways and bridges",
    "natsoc": "Social Security",
    "natmass": "mass transportation",
    "natpark": "parks and recreation",
    "natchld": "assistance for child care",
    "natsci": "supporting scientific research",
    "natenrgy": "developing alternative energy sources",
}
_SPENDING = tuple(
    Item(
        f"gss/{key}",
        f"Do you think that the country spends too much, too little, or about the right amount of money on {purpose}?",
        ("Too little", "About the right amount", "Too much"),
        True,
        "gss_spending",
        "public spending",
        paraphrased=True,
    )
    for key, purpose in _SPENDING_ON.items()
)


def _read_spending() -> TableOfPeople:
    frame = fetch("stevedata", "gss_spending")
    return make_table(
        ids=frame["id"],
        country="USA",
        year="2018",
        age=frame["age"],
        sex=label(frame["sex"], {0: "male", 1: "female"}),
        education=label(frame["degree"], dict(enumerate(_DEGREES))),
        features={
            "race": label(frame["race"], _RACE),
            "party": label(frame["partyid"], dict(enumerate(_PARTY))),
            "political views": label(frame["polviews"], _VIEWS),
        },
        answers={item.id: scale(frame[item.id.removeprefix("gss/")], -1, 1, reverse=True) for item in _SPENDING},
    )


BLOCKS = (
    Block(
        source(
            "gss_abortion",
            "General Social Survey 2010-2018, United States: legal abortion",
            f"{_CITATION} (stevedata::gss_abortion).",
            _TERMS,
        ),
        _ABORTION,
        _read_abortion,
    ),
    Block(
        source(
            "gss_spending",
            "General Social Survey 2018, United States: national spending",
            f"{_CITATION} (stevedata::gss_spending).",
            _TERMS,
        ),
        _SPENDING,
        _read_spending,
    ),
)
