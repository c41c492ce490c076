"""The eight cognitive functions and the type dynamics that complete two of them to a person's stack of four.

    >>> stack("Ni", "Te"), type_name("Ni", "Te")
    (('Ni', 'Te', 'Fi', 'Se'), 'INTJ')

A function is a process (T thinking, F feeling, S sensing, N intuition) turned outwards (e) or inwards (i). The
auxiliary balances the dominant twice: it judges (T, F) where the dominant perceives (S, N) or the reverse, and it faces
the other way. So each dominant has two valid auxiliaries, and the 8 x 2 pairs are the 16 types. The tertiary is the
auxiliary's opposite process, the inferior the dominant's, each facing the other way. Writers disagree about the
tertiary's attitude (Myers turned it as the auxiliary); the alternating stack used here is the commoner one today.
The descriptions are in our own words, short enough to be repeated in every prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RANKS = ("dominant", "auxiliary", "tertiary", "inferior")
_OPPOSITE = {"T": "F", "F": "T", "S": "N", "N": "S", "e": "i", "i": "e"}


@dataclass(frozen=True, slots=True)
class Function:
    """One way of taking in or judging things: `normal` and `stressed` continue the words "This person ..."."""

    code: str
    name: str
    normal: str
    stressed: str


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.code: function
        for function in (
            Function(
                "Te",
                "extraverted thinking",
                "organises people and facts and decides by what works",
                "turns bossy and impatient and forces quick decisions",
            ),
            Function(
                "Ti",
                "introverted thinking",
                "analyses step by step and decides by inner logic",
                "turns cold and picks every statement apart",
            ),
            Function(
                "Fe",
                "extraverted feeling",
                "seeks harmony and decides by what others need",
                "pleases everybody or blames others for the mood",
            ),
            Function(
                "Fi",
                "introverted feeling",
                "listens to personal values and decides by what feels right",
                "withdraws, feels hurt and judges harshly",
            ),
            Function(
                "Se",
                "extraverted sensing",
                "notices what is here and now and acts at once",
                "acts rashly and chases quick relief",
            ),
            Function(
                "Si",
                "introverted sensing",
                "trusts experience, habit and proven ways",
                "clings to routine and fears every change",
            ),
            Function(
                "Ne",
                "extraverted intuition",
                "explores possibilities and new connections",
                "sees threats everywhere and jumps between ideas",
            ),
            Function(
                "Ni",
                "introverted intuition",
                "follows one inner vision of what will come",
                "fixes on a single dark outcome",
            ),
        )
    }
)


def auxiliaries(dominant: str) -> tuple[str, str]:
    """The two functions that may support `dominant`, in the order of `FUNCTIONS`. ValueError if it is unknown."""
    process, attitude = _parts(dominant)
    first, second = "SN" if process in "TF" else "TF"
    other = _OPPOSITE[attitude]
    found = sorted((first + other, second + other), key=list(FUNCTIONS).index)
    return found[0], found[1]


def stack(dominant: str, auxiliary: str) -> tuple[str, str, str, str]:
    """Dominant, auxiliary, tertiary, inferior. Raises ValueError for a pair that type dynamics does not allow."""
    _check(dominant, auxiliary)
    return dominant, auxiliary, _opposite(auxiliary), _opposite(dominant)


def type_name(dominant: str, auxiliary: str) -> str:
    """The four-letter type, e.g. "ENFP". Raises ValueError for a pair that type dynamics does not allow."""
    _check(dominant, auxiliary)
    outer = dominant if dominant[1] == "e" else auxiliary
    perceiving, judging = (dominant, auxiliary) if dominant[0] in "SN" else (auxiliary, dominant)
    return dominant[1].upper() + perceiving[0] + judging[0] + ("J" if outer is judging else "P")


def _opposite(code: str) -> str:
    return "".join(_OPPOSITE[letter] for letter in code)


def _parts(code: str) -> tuple[str, str]:
    if code not in FUNCTIONS:
        raise ValueError(f"unknown cognitive function {code!r}: expected one of {list(FUNCTIONS)}")
    return code[0], code[1]


def _check(dominant: str, auxiliary: str) -> None:
    _parts(auxiliary)
    if auxiliary not in auxiliaries(dominant):
        raise ValueError(f"{auxiliary} cannot support {dominant}: expected one of {list(auxiliaries(dominant))}")
