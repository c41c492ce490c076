"""A question about many models, as an experiment's YAML states it before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data.tags import SIZE
from eval.inference import Hypothesis

TURN = "turn"
REFERENCES = ("uniform", "people", "people_again", "other_countries_mean")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about models, stated before the run. `audit`, `measure`, `condition` and `group` name an estimate.

    `by` a tag: the mean of the models whose tag is among `first` minus that of those among `second`, expected `lower`,
    `higher` or the `same` by `margin`, in the measure's unit. `by` parameters: expected to `turn`, each line by more
    than `margin`. No `by`: every model's mean, minus that of the row `against` ("uniform": an even answer) where one is
    named. `sizes`: only models of so many billions of parameters, from and to. ValueError where these do not go
    together.
    """

    name: str
    statement: str
    audit: str
    measure: str
    expect: Literal["lower", "higher", "same", "turn"]
    margin: float
    condition: str = "country"
    group: str = "all"
    by: str = ""
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    against: str = ""
    sizes: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        where = f"question {self.name!r}"
        if (self.expect == TURN) != (self.by == SIZE):
            raise ValueError(f"{where}: expect {TURN} goes with by {SIZE}, got {self.expect!r} and by {self.by!r}")
        grouped = self.by not in ("", SIZE)
        if grouped != bool(self.first and self.second) or grouped < bool(self.first or self.second):
            raise ValueError(f"{where}: first and second, both with values of a tag, go with by, the tag's name")
        if both := sorted(set(self.first) & set(self.second)):
            raise ValueError(f"{where}: {both[0]!r} is in first and in second")
        if self.against and (self.by or self.against not in REFERENCES):
            known = ", ".join(REFERENCES)
            raise ValueError(f"{where}: against must be one of {known}, and there is no by; got {self.against!r}")
        if self.sizes is not None and not 0 <= self.sizes[0] < self.sizes[1]:
            raise ValueError(f"{where}: sizes must be two numbers of billions, from and to, got {list(self.sizes)}")
        if self.expect == TURN and not self.margin >= 0:
            raise ValueError(f"{where}: margin must be 0 or more, got {self.margin}")
        if self.expect != TURN:
            self.hypothesis(["first"], ["second"])

    @property
    def key(self) -> tuple[str, str, str]:
        return self.measure, self.condition, self.group

    def hypothesis(self, first: Sequence[str], second: Sequence[str]) -> Hypothesis:
        """The same as a hypothesis on sets of arms, which `eval.inference` decides. ValueError on a wrong margin."""
        expect: Any = self.expect
        sides = tuple(first), tuple(second)
        return Hypothesis(
            self.name, self.statement, self.audit, self.measure, *sides, expect, self.margin, self.condition, self.group
        )
