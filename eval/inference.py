"""From an interval to a word: Holm's correction, bootstrap p-values and verdicts against a pre-registered margin.

The margin cuts the differences (arm minus against) into three zones: lower than -margin, within ±margin (too small to
matter), higher than +margin. An interval that lies wholly in one zone decides; one that does not is INCONCLUSIVE and
says what could have been found. Equivalence by a 95% interval is two one-sided tests at 2.5% each (Schuirmann 1987 uses
5%).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from eval.distances import FloatArray
from eval.records import Verdict

Factor = Literal["objective", "parameters", "data", "start", "asking", "budget", "precision"]
Arms = str | tuple[str, ...]
"""An arm by name, or several, which stand for the mean over them."""
SIDES = ("arm", "against")
_POWER = (1.959964 + 0.841621) / (2 * 1.959964)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A pre-registered statement about one paired difference, `arm` minus `against`, each an arm or the mean of several
    (every arm of a side counts alike). With `minus`, two further sides under the keys `arm` and `against`, it is about
    a difference of differences: (arm - against) - (minus.arm - minus.against).

    `measure`, `condition` and `group` name it as estimates do ("js_distance", "country", "all"); `margin` >= 0 is the
    smallest difference that matters, in the measure's unit. `factor` is what the two sides are meant to differ in, with
    `minus` the two differences (`eval.differences`); None takes the first of objective, parameters and data that does.
    ValueError on any other `expect`, `factor` or margin, on a measure `*_as_published`, on a side that names no arm or
    one twice, and on an arm that cancels out.
    """

    name: str
    statement: str
    audit: str
    measure: str
    arm: Arms
    against: Arms
    expect: Literal["lower", "higher", "same"]
    margin: float
    condition: str = "country"
    group: str = "all"
    factor: Factor | None = None
    minus: Mapping[str, Arms] | None = None

    @property
    def sides(self) -> tuple[tuple[str, ...], ...]:
        """The names on each side: of arm and against, and of those of `minus`."""
        given = [self.arm, self.against, *((self.minus[side] for side in SIDES) if self.minus else ())]
        return tuple((side,) if isinstance(side, str) else tuple(side) for side in given)

    @property
    def weights(self) -> dict[str, float]:
        """By how much each arm counts in the difference; the weights add up to 0."""
        found: dict[str, float] = {}
        for sign, side in zip((1.0, -1.0, -1.0, 1.0), self.sides, strict=False):
            for name in side:
                found[name] = found.get(name, 0.0) + sign / len(side)
        return found

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two arms, where there are just two."""
        one, other = self.sides[:2]
        return (one[0], other[0]) if self.minus is None and len(one) == len(other) == 1 else None

    @property
    def words(self) -> tuple[str, str]:
        """What is held against what: "mean of sft, match" and "dpo"; with `minus` "(a − b)" and "(c − d)"."""
        told = [side[0] if len(side) == 1 else f"mean of {', '.join(side)}" for side in self.sides]
        if self.minus is None:
            return told[0], told[1]
        return f"({told[0]} − {told[1]})", f"({told[2]} − {told[3]})"

    def __post_init__(self) -> None:
        if self.expect not in ("lower", "higher", "same"):
            raise ValueError(f"hypothesis {self.name!r}: expect must be lower, higher or same, got {self.expect!r}")
        if self.factor not in (None, *get_args(Factor)):
            known = ", ".join(get_args(Factor))
            raise ValueError(f"hypothesis {self.name!r}: factor must be one of {known}, got {self.factor!r}")
        if not self.margin >= 0 or (self.expect == "same" and self.margin == 0):
            need = "above 0 where the same is expected" if self.expect == "same" else "0 or more"
            raise ValueError(f"hypothesis {self.name!r}: margin must be {need}, got {self.margin}")
        if self.measure.endswith("_as_published"):
            raise ValueError(
                f"hypothesis {self.name!r}: no verdict rests on {self.measure}, which is computed for comparison with "
                "published tables; name the measure without its quirk"
            )
        if self.minus is not None and set(self.minus) != set(SIDES):
            raise ValueError(f"hypothesis {self.name!r}: minus must have arm and against, got {list(self.minus)}")
        for side in self.sides:
            if not side or not all(isinstance(one, str) and one for one in side) or len(set(side)) < len(side):
                raise ValueError(
                    f"hypothesis {self.name!r}: expected an arm or a list of different arms, got {list(side)}"
                )
        if cancelled := [name for name, weight in self.weights.items() if abs(weight) < 1e-12]:
            raise ValueError(
                f"hypothesis {self.name!r}: {', '.join(cancelled)} cancels out of the difference; state it without"
            )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values in the given order; NaN stays NaN and is not counted (Holm 1979)."""
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    defined = np.flatnonzero(~np.isnan(values))
    order = defined[np.argsort(values[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def bootstrap_p(replicates: FloatArray, null: float = 0.0) -> float:
    """Two-sided p-value that the statistic is `null`: twice the smaller share of replicates on one side of it, each
    with one added so that it is never 0 (Davison & Hinkley 1997, ch. 4). NaN where fewer than two replicates are
    defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size < 2:
        return float("nan")
    below, above = (defined <= null).sum(), (defined >= null).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + defined.size)))


def equivalence_p(replicates: FloatArray, margin: float) -> float:
    """The p-value of two one-sided tests that the statistic lies within ±margin (Schuirmann 1987): the larger share of
    replicates beyond either end, with one added as in `bootstrap_p`. NaN where fewer than two replicates are defined.

    Where it is at most 0.025 the 95% percentile interval lies within the margin; the verdict EQUIVALENT asks for both.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size < 2:
        return float("nan")
    beyond = max((defined <= -margin).sum(), (defined >= margin).sum())
    return float((1 + beyond) / (1 + defined.size))


def holds_for(method: str) -> list[str]:
    """Sentences on the items and countries that an interval takes as given, by its `method` (`eval.bootstrap`). A
    single country is not told of: where none was asked about there is one.
    """
    parts = [] if method.startswith("no interval") else method.removeprefix("paired ").split("; ")
    return [f"It holds for {part}." for part in parts if "as given" in part or part == "one item"]


def smallest_detectable(low: float, high: float) -> float:
    """The difference that a test of this precision finds with 80% power: 2.80 standard errors, taken from a 95%
    interval.
    """
    return float(_POWER * (high - low))


def zone(low: float, high: float, margin: float) -> str:
    """Where an interval lies: "lower", "same", "higher", or "" where it crosses a border or is undefined."""
    if high < -margin:
        return "lower"
    if low > margin:
        return "higher"
    return "same" if low > -margin and high < margin else ""


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign in print: "+0.123", "−0.123"."""
    return f"{value:+.{digits}f}".replace("-", "−")


def decide(
    hypothesis: Hypothesis,
    value: float,
    low: float,
    high: float,
    *,
    p_holm: float = float("nan"),
    p_equivalence: float = float("nan"),
    no_verdict: str = "",
) -> Verdict:
    """SUPPORTED, CONTRADICTED, EQUIVALENT or INCONCLUSIVE, with a sentence; NO VERDICT where `no_verdict` gives a
    reason.

    SUPPORTED: the interval lies in the expected zone. EQUIVALENT: wholly within the margin (also where that was
    expected). CONTRADICTED: wholly in another zone than expected, except that one within the margin is EQUIVALENT. A
    directed verdict needs `p_holm` <= 0.05 as well, EQUIVALENT `p_equivalence` <= 0.025, where these are given.
    """
    bounds = "without an interval" if np.isnan(low) or np.isnan(high) else f"[{signed(low)}, {signed(high)}]"
    found = f"{signed(value)} {bounds}"
    where, p = zone(low, high, hypothesis.margin), ""
    if where == "same" and p_equivalence > 0.025:
        where, p = "", f"lies within the margin, but p of equivalence is {p_equivalence:.3f}, over 0.025"
    elif where and where != "same" and p_holm > 0.05:
        where, p = "", f"lies beyond the margin, but not after Holm's correction for all hypotheses (p {p_holm:.3f})"
    if no_verdict:
        word, sentence = "NO VERDICT", f"No verdict: {no_verdict}. The difference is {found}."
    elif np.isnan(low) or np.isnan(high):
        word, sentence = "NO VERDICT", f"No verdict: the difference {signed(value)} has no interval."
    elif where == "same":
        word, sentence = "EQUIVALENT", f"The difference {found} lies within the margin of ±{hypothesis.margin:g}."
    elif where == "":
        least = hypothesis.margin + smallest_detectable(low, high)
        undecided = f"does not decide; one of {least:.3f} or more would have been found with 80% power"
        word, sentence = "INCONCLUSIVE", f"The difference {found} {p or undecided}."
    elif where == hypothesis.expect:
        word, sentence = (
            "SUPPORTED",
            f"The difference {found} is {where}, as expected, by more than {hypothesis.margin:g}.",
        )
    else:
        word = "CONTRADICTED"
        sentence = (
            f"The difference {found} is {where} by more than {hypothesis.margin:g}; expected was {hypothesis.expect}."
        )
    margin = hypothesis.margin
    return Verdict(hypothesis.name, hypothesis.statement, word, sentence, value, low, high, margin, p_equivalence)
