"""The census: questions about many models that nobody here trained, asked of groups of them by their tags.

Three kinds of question, each stated before the run with what is expected and the margin that matters:

- two groups of models (`by` a tag): the difference of their means (`eval.model_groups`);
- `by: parameters`: does the measure turn with size, within families (`eval.size_trend`);
- no `by`: the mean over all models against 0, or `against` a reference row on the same questions.

Collapsed and incomplete models are named and take no part. The verdict's interval covers items and countries and holds
for the models at hand; what it says beyond them, `exchange` and the single families say. Holm's correction is over all
questions of a census. Our design; the questions of `conf/experiment/census.yaml` are those of arXiv:2511.17256.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.tags import FAMILY, ORIGIN, SIZE, TUNING
from eval.bootstrap import DRAWS
from eval.cells import AnswersOf, Arm
from eval.census_questions import Question
from eval.census_words import family_of, verdict
from eval.distances import MEASURES
from eval.inference import bootstrap_p, equivalence_p, holm
from eval.model_groups import Measured, Sum, difference_weights, exchanged, group_weights, measured, without_one
from eval.references import reference_scores
from eval.representation import HOME, centrism_scores
from eval.size_trend import trends
from eval.summaries import select

BY = (ORIGIN, FAMILY, TUNING)
EVERY = "every model"


@dataclass(frozen=True)
class Census:
    """The audited models: their arms, the tags of each, the status of each by the validity gate, how answers tables are
    read from an audit's evidence, the people's distributions (`first_token.audit.people_table`) for reference rows, and
    why nothing here is a result ("" where it is).
    """

    arms: Mapping[str, Arm]
    tags: Mapping[str, Mapping[str, Any]]
    status: Mapping[str, str]
    answers: Mapping[str, AnswersOf]
    people: pd.DataFrame
    no_verdict: str = ""
    draws: int = DRAWS
    seed: int = 0

    def summary(self, questions: Sequence[Question]) -> dict[str, Any]:
        """summary.json's "census": `models` with tags, `questions` with their answers, `groups` of models by tag."""
        found = [self._answer(one) for one in questions]
        adjusted = holm([row["p"] for row in found])
        for one, row, p_holm in zip(questions, found, adjusted, strict=True):
            row |= {"p_holm": p_holm} | verdict(one, row | {"p_holm": p_holm}, self.tags, self.no_verdict)
        return {"models": self._models(), "questions": found, "groups": self._groups(questions)}

    def _models(self) -> list[dict[str, Any]]:
        rows = []
        for name, arm in self.arms.items():
            model = arm.first.config.get("model") or {}
            gone = "; ".join(reason for cell in arm.incomplete for reason in cell.missing)
            facts = {"arm": name, "model": model.get("name", name), "source": model.get("source", "")}
            rows.append({**facts, "tags": dict(self.tags[name]), "status": self.status[name], "missing": gone})
        return rows

    def _sides(self, question: Question) -> tuple[list[str], list[str], dict[str, str]]:
        """The models of the first and of the second group (all in the first, where there are no groups), and why others
        that the question is about take no part.
        """
        sides: tuple[list[str], list[str]] = ([], [])
        out = {}
        for name in self.arms:
            tag, size = self.tags[name].get(question.by), self.tags[name].get(SIZE)
            inside = question.by == SIZE or not question.by or tag in (*question.first, *question.second)
            if not inside:
                continue
            if self.status[name] in ("collapsed", "incomplete"):
                out[name] = self.status[name]
            elif question.audit not in self.arms[name].audits:
                out[name] = f"not audited with {question.audit}"
            elif (question.sizes or question.by == SIZE) and size is None:
                out[name] = "size not known"
            elif question.sizes and size is not None and not question.sizes[0] <= size <= question.sizes[1]:
                out[name] = "of another size"
            else:
                sides[question.by not in ("", SIZE) and tag in question.second].append(name)
        return *sides, out

    def _answer(self, question: Question) -> dict[str, Any]:
        """The question's row of summary.json but for its verdict."""
        first, second, out = self._sides(question)
        row: dict[str, Any] = asdict(question) | {"models": [first, second], "left_out": out}
        nothing = Sum(math.nan, math.nan, math.nan, np.empty(0))
        row |= dict(zip(("value", "low", "high", "p", "p_equivalence"), [math.nan] * 5, strict=True))
        row |= {"n": 0, "method": "", "each": [], "trends": [], "exchange": None, "without_one": None}
        if not first or (question.first and not second):
            told = ", ".join(f"{count} {why}" for why, count in Counter(out.values()).items())
            return row | {"method": f"a group has no model{f' ({told})' if told else ''}"}
        rng = np.random.default_rng([self.seed, zlib.crc32(question.name.encode())])
        arms = {name: self.arms[name] for name in (*first, *second)}
        beside = self._reference(question, arms[first[0]]) if question.against else {}
        if question.against and not beside:
            return row | {"method": f"{question.measure} of {question.audit} has no row {question.against!r} here"}
        reader = self.answers.get(question.audit)
        found = measured(arms, question.audit, question.key, rng, self.draws, reader, beside)
        if found is None:
            return row | {"method": f"the models share no {question.measure} of {question.audit} asked so"}
        row |= {"n": found.n, "method": found.method}
        family = {name: family_of(name, self.tags) for name in arms}
        answer = nothing
        if question.by == SIZE:
            ladder = trends(found, {n: float(self.tags[n][SIZE]) for n in first}, family, question.margin)
            return row | {"trends": [one.row() for one in ladder], "p": ladder[0].p if ladder else math.nan}
        if question.by:
            answer = found.sum(difference_weights(first, second, family))
            values = dict(zip(found.names, found.values.tolist(), strict=True))
            row["without_one"] = without_one(values, first, second, family)
            row["exchange"] = exchanged(values, first, second, family, rng)._asdict()
        else:
            minus = dict.fromkeys(beside, -1.0)
            answer = found.sum(group_weights(first, family) | minus)
            row["each"] = [_interval(found.sum({name: 1.0} | minus)) | {"arm": name} for name in first]
        p, equivalent = bootstrap_p(answer.replicates), equivalence_p(answer.replicates, question.margin)
        return row | _interval(answer) | {"p": p, "p_equivalence": equivalent}

    def _reference(self, question: Question, arm: Arm) -> dict[str, pd.DataFrame]:
        """The units of the reference row, as if a model had answered them; empty where the measure has no such."""
        reader = self.answers.get(question.audit)
        rows = pd.DataFrame()
        if reader is not None:
            table = reader(arm.cells[0].items(question.audit))
            table = table[table["condition"] == question.condition]
            if question.measure in MEASURES:
                rng = np.random.default_rng(self.seed)
                rows = reference_scores(table, (question.measure,), rng=rng, people=self.people)
            else:
                home = (arm.first.config.get("audit") or {}).get(question.audit, {}).get("home", HOME)
                rows = centrism_scores(table, self.people, home)
        name = f"reference:{question.against}"
        found = select(rows, question.measure, name, question.group) if len(rows) else rows
        return {} if found.empty else {name: found.assign(condition=question.condition)}

    def _groups(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """The mean of every group of models by each tag, of every measure that is asked about."""
        rows = []
        ranked = {name: arm for name, arm in self.arms.items() if self.status[name] not in ("collapsed", "incomplete")}
        for audit, key in dict.fromkeys((one.audit, one.key) for one in questions):
            arms = {name: arm for name, arm in ranked.items() if audit in arm.audits}
            rng = np.random.default_rng([self.seed, zlib.crc32("/".join((audit, *key)).encode())])
            found = measured(arms, audit, key, rng, self.draws, self.answers.get(audit))
            if found is None:
                continue
            facts = {"audit": audit, **dict(zip(("name", "condition", "group"), key, strict=True))}
            rows += [facts | {"method": found.method, "n": found.n} | row for row in self._by_tag(found)]
        return rows

    def _by_tag(self, found: Measured) -> list[dict[str, Any]]:
        family = {name: family_of(name, self.tags) for name in found.names}
        levels: list[tuple[str, str, list[str]]] = [("", EVERY, list(found.names))]
        for tag in BY:
            values = dict.fromkeys(str(self.tags[n][tag]) for n in found.names if self.tags[n].get(tag))
            levels += [(tag, one, [n for n in found.names if str(self.tags[n].get(tag)) == one]) for one in values]
        return [
            {"by": tag, "level": level, "models": names, **_interval(found.sum(group_weights(names, family)))}
            for tag, level, names in levels
        ]


def _interval(one: Sum) -> dict[str, Any]:
    return {"value": one.value, "low": one.low, "high": one.high}
