"""The answer to a question about models, in a word and sentences: what was found, of whom, and what it does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data.tags import FAMILY, SIZE
from eval.census_questions import Question
from eval.inference import decide, holds_for, signed
from eval.size_trend import LEAST_SIZES

Tags = Mapping[str, Mapping[str, Any]]
Row = Mapping[str, Any]
TURNED = ("U", "∩")


def family_of(name: str, tags: Tags) -> str:
    """The model's family; one that has none is a family of its own."""
    return str(tags[name].get(FAMILY) or name)


def verdict(question: Question, row: Row, tags: Tags, no_verdict: str = "") -> dict[str, str]:
    """`verdict` and `sentence` of a question's row in summary.json; `no_verdict` says why there may be none."""
    if question.by == SIZE:
        why = no_verdict or ("" if row["n"] else row["method"])
        turned = _turns(row["trends"], question.margin, row["p_holm"], why)
        return turned | {"sentence": " ".join([turned["sentence"], *holds_for(row["method"])])}
    if not row["n"]:
        why = "; ".join(filter(None, (no_verdict, row["method"])))
        return {"verdict": "NO VERDICT", "sentence": f"No verdict: {why}."}
    first, second = row["models"]
    sides = (first, second or [question.against or "0"])
    p = {"p_holm": row["p_holm"], "p_equivalence": row["p_equivalence"]}
    made = decide(question.hypothesis(*sides), row["value"], row["low"], row["high"], **p, no_verdict=no_verdict)
    sentences = [made.sentence, *holds_for(row["method"]), *_beyond(question, row, tags)]
    return {"verdict": made.verdict, "sentence": " ".join(sentences)}


def _beyond(question: Question, row: Row, tags: Tags) -> list[str]:
    """Of which models the answer speaks, and whether it says anything of others."""
    if not question.by:
        above, below = (sum(test(one) for one in row["each"]) for test in (_above, _below))
        less = f", less what the row {question.against!r} scores on the same questions" if question.against else ""
        of = f"It is the mean over {who(row['models'][0], tags)}{less}."
        return [of, f"By itself it is above 0 in {above} and below 0 in {below} of {len(row['each'])} models."]
    sides = zip((question.first, question.second), row["models"], strict=True)
    named = "; ".join(f"{', '.join(values)}: {who(names, tags)}" for values, names in sides)
    exchange = row["exchange"]
    if not math.isfinite(exchange["share"]):
        other = "With one family a side, or one on both sides, nothing tells it from what else sets the families apart."
    else:
        share = f"{100 * exchange['share']:.0f}% of all {exchange['ways']} divisions of these families differ as much"
        chance = ", so chance would do as well" if exchange["share"] > 0.05 else ": hardly chance"
        other = f"{share}{chance}."
    return [f"It speaks for these models ({named}).", other]


def _above(one: Row) -> bool:
    return bool(one["low"] > 0)


def _below(one: Row) -> bool:
    return bool(one["high"] < 0)


def who(names: Sequence[str], tags: Tags) -> str:
    """How many models of how many families, and how large: `3 models of 2 families, 7 to 12 billion parameters`."""
    sizes = sorted(float(tags[n][SIZE]) for n in names if tags[n].get(SIZE) is not None)
    families = len({family_of(name, tags) for name in names})
    told = f"{len(names)} model{'s' * (len(names) > 1)} of {families} famil{'ies' if families > 1 else 'y'}"
    if not sizes:
        return f"{told}, of unknown size"
    span = f"{sizes[0]:g}" if sizes[0] == sizes[-1] else f"{sizes[0]:g} to {sizes[-1]:g}"
    unknown = f", {len(names) - len(sizes)} of unknown size" if len(sizes) < len(names) else ""
    return f"{told}, {span} billion parameters{unknown}"


def _turns(rows: Sequence[Row], margin: float, p_holm: float, no_verdict: str) -> dict[str, str]:
    """The verdict on a turn: of the widest scope, with how many single families show it."""
    if not rows:
        why = "; ".join(filter(None, (no_verdict, f"it takes {LEAST_SIZES} different sizes within families")))
        return {"verdict": "NO VERDICT", "sentence": f"No verdict: {why}."}
    main, families = rows[0], rows[1:]
    told = [_trend(main)]
    if families:
        turned = ", ".join(row["scope"] for row in families if row["shape"] in TURNED) or "none"
        told.append(f"Families with {LEAST_SIZES} sizes that turn so by themselves: {turned} of {len(families)}.")
    told.append("It speaks for these models: size is not told from what else differs between two of them.")
    if no_verdict:
        word, head = "NO VERDICT", f"No verdict: {no_verdict}."
    elif main["shape"] in TURNED and p_holm <= 0.05:
        word, head = "SUPPORTED", f"It {'falls, then rises' if main['shape'] == 'U' else 'rises, then falls'}."
    elif main["shape"] in ("falling", "rising"):
        word, head = "CONTRADICTED", f"Both lines are {main['shape']} wherever the sizes are cut."
    else:
        word, head = "INCONCLUSIVE", f"No turn of more than {margin:g} on both sides is clear."
    return {"verdict": word, "sentence": " ".join([head, *told])}


def _trend(row: Row) -> str:
    whole = f"Over all sizes, {row['scope']}: {change(row['line'])}."
    if not math.isfinite(row["p"]):
        return whole
    return f"{whole} Cut at {row['cut']:g} billion: {change(row['before'])}, and {change(row['after'])}."


def change(one: Row) -> str:
    """What a line does over its sizes: `−0.050 [−0.070, −0.030] from 0.5 to 3 billion`."""
    bounds = f" [{signed(one['low'])}, {signed(one['high'])}]" if math.isfinite(one["low"]) else ""
    return f"{signed(one['value'])}{bounds} from {one['smallest']:g} to {one['largest']:g} billion"
