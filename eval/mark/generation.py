"""MARK's stages by generation: the model writes reasons and verdicts as JSON in a schema (`eval.mark.writing`).

One text a person for stage 1 and one for stage 2, one a function for stage 3, one a function for the check, one more
where a function is asked to revise, and one for the conclusion. Options stand in their own order or reversed, by chance
for each person and item; the list of functions in stage 2 in an order by chance for each person, so that a liking for a
place averages out over people. A written answer is one option: distributions hold a 1, and the vote's shares are
shares of weight. The weights are the model's own (1-100, normalised over the four functions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from eval.mark.asking import Reply
from eval.mark.functions import FUNCTIONS, RANKS, auxiliaries
from eval.mark.options import SHORT, Options, reply_of, value_of
from eval.mark.sample import Case
from eval.mark.stages import Conclusion, Stress, Task, TypeFound, Voice, describe
from eval.mark.writing import Schema, Wanted, Writer, Written, number, one_of, record, words

_JUDGE = "You are a careful psychologist. Reply with JSON only."
PAIRS = tuple(f"{code}-{other}" for code in FUNCTIONS for other in auxiliaries(code))


class _Function(NamedTuple):
    """A function of a person on an item, with its texts so far."""

    task: Task
    rank: str
    code: str
    first: Written | None = None
    check: Written | None = None
    revision: Written | None = None

    @property
    def who(self) -> str:
        return f"{self.task.who} {self.code}"

    @property
    def description(self) -> str:
        harmed = value_of(self.first)["impact"] == "negative"
        return FUNCTIONS[self.code].stressed if harmed else FUNCTIONS[self.code].normal

    @property
    def whole(self) -> bool:
        """Every text that was asked for fulfils its schema."""
        return all(text is None or text.value is not None for text in (self.first, self.check, self.revision))


@dataclass(frozen=True)
class ByGeneration:
    """Every text goes through `writer`, whose log tells what failed."""

    writer: Writer
    writes = True

    @property
    def options(self) -> Options:
        return Options(self.writer)

    def stress(self, cases: Sequence[Case]) -> list[Stress | None]:
        """Stage 1: a reason and a number for each feature."""
        wanted = []
        for case in cases:
            names = [name for name, _ in case.features]
            text = (
                f"Person: {describe(case.features)}.\n"
                "How much stress does each fact of life cause this person? Write a JSON object that has for each of "
                f'{", ".join(names)} an object: "reason", one short sentence; "stress", from 0 (none) to 100 (extreme).'
            )
            schema = record(**{name: record(reason=self.options.reason, stress=number(0, 100)) for name in names})
            wanted.append(Wanted("S1 stress", case.person.id, case.person.id, _JUDGE, text, schema))
        return [
            None if written.value is None else _stress(case, written)
            for case, written in zip(cases, self.writer.write(wanted), strict=True)
        ]

    def types(self, people: Sequence[tuple[str, str, str]]) -> list[TypeFound | None]:
        """Stage 2: the two leading functions, one of the sixteen pairs that type dynamics allows."""
        wanted = []
        for person, who, profile in people:
            codes = list(FUNCTIONS)
            shown = [codes[place] for place in self.writer.rng("S2 type", who).permutation(len(codes))]
            ways = "\n".join(f"{code}: {FUNCTIONS[code].normal}" for code in shown)
            pairs = ", ".join(f"{code}-{other}" for code in shown for other in auxiliaries(code))
            text = (
                f"Person: {profile}.\nWays of thinking:\n{ways}\n"
                'Which one leads this person, and which one supports it? Write a JSON object: "reason", one short '
                f'sentence; "functions", the two as one of {pairs}.'
            )
            schema = record(reason=self.options.reason, functions=one_of(PAIRS))
            wanted.append(Wanted("S2 type", person, who, _JUDGE, text, schema))
        return [None if written.value is None else _type(written) for written in self.writer.write(wanted)]

    def voices(self, tasks: Sequence[Task]) -> list[tuple[Voice, ...] | None]:
        """Stages 3 and 4: the four functions' voices, dominant first; where one text fails, the task ends there."""
        heard = [_Function(task, rank, code) for task in tasks for rank, code in zip(RANKS, task.stack, strict=True)]
        first = self.writer.write([self._first(one) for one in heard])
        heard = [one._replace(first=text) for one, text in zip(heard, first, strict=True)]
        live = [place for place in range(len(heard)) if _still(heard, place)]
        for place, text in zip(live, self.writer.write([self._check(heard[i]) for i in live]), strict=True):
            heard[place] = heard[place]._replace(check=text)
        again = [place for place in live if _still(heard, place) and value_of(heard[place].check)["fits"] == "no"]
        for place, text in zip(again, self.writer.write([self._revision(heard[i]) for i in again]), strict=True):
            heard[place] = heard[place]._replace(revision=text)
        return [
            self._four(heard[start : start + len(RANKS)]) if _still(heard, start) else None
            for start in range(0, len(heard), len(RANKS))
        ]

    def _first(self, one: _Function) -> Wanted:
        function = FUNCTIONS[one.code]
        text = (
            f"Person: {one.task.profile}.\nThe person's {one.rank} way of thinking: the person {function.normal}. "
            f"Under harmful stress the person {function.stressed}.\n"
            'Write a JSON object: "reason", one short sentence on how this way of thinking answers; "impact", positive '
            'or negative, of the person\'s stress on it; "option", the letter of its answer; "weight", how much it '
            "counts from 1 to 100: the dominant way most, then auxiliary, tertiary and inferior, less under a negative "
            "impact."
        )
        return self.options.wanted(
            "S3 answer",
            one.who,
            one.task,
            text,
            lambda letters: record(
                reason=self.options.reason,
                impact=one_of(("positive", "negative")),
                option=letters,
                weight=number(1, 100),
            ),
        )

    def _check(self, one: _Function) -> Wanted:
        item, said = one.task.item, value_of(one.first)
        scale = f" (on a scale from {item.options[0]} to {item.options[-1]})" if item.ordered else ""
        text = (
            f"Survey question: {item.question}{scale}\nThe person {one.description}.\n"
            f"Answer: {item.options[self.options.option(one.task, said)]}\nReason: {said['reason']}\n"
            'Does the answer fit this way of thinking? Write a JSON object: "reason", one short sentence; "fits", yes '
            "or no."
        )
        schema = record(reason=self.options.reason, fits=one_of(("yes", "no")))
        return Wanted("S4 check", one.task.person, one.who, _JUDGE, text, schema)

    def _revision(self, one: _Function) -> Wanted:
        said = one.task.item.options[self.options.option(one.task, value_of(one.first))]
        text = (
            f'Person: {one.task.profile}.\nThe person {one.description}.\nThe answer "{said}" does not fit this: '
            f"{value_of(one.check)['reason']}\nThink again. {SHORT}"
        )
        return self.options.wanted("S4 revision", one.who, one.task, text, self.options.short)

    def _four(self, functions: Sequence[_Function]) -> tuple[Voice, ...]:
        voices = [self._voice(one) for one in functions]
        total = sum(voice.weight for voice in voices)
        return tuple(replace(voice, weight=voice.weight / total) for voice in voices)

    def _voice(self, one: _Function) -> Voice:
        """With the weight as the model wrote it."""
        first, check, revision = value_of(one.first), value_of(one.check), value_of(one.revision)
        said = self.options.one_hot(one.task, first)
        return Voice(
            code=one.code,
            rank=one.rank,
            negative=float(first["impact"] == "negative"),
            description=one.description,
            weight=float(first["weight"]),
            first_by_order=said[None],
            consistent=float(check["fits"] == "yes"),
            p=self.options.one_hot(one.task, revision) if revision else said,
            replies=tuple(reply_of(said, text) for text in (one.first, one.check, one.revision) if text),
            reason=first["reason"],
            check_reason=check["reason"],
            revision_reason=revision.get("reason", ""),
        )

    def conclude(self, tasks: Sequence[Task], voices: Sequence[Sequence[Voice]]) -> list[Conclusion | None]:
        """The end of stage 4: an explanation that cites the weights, an answer, and what counted most."""
        wanted = []
        for task, four in zip(tasks, voices, strict=True):
            says = "\n".join(
                f"{v.code} ({v.rank}, weight {v.weight:.2f}): {task.item.options[int(np.argmax(v.p))]}. "
                f"{v.revision_reason or v.reason}"
                for v in four
            )
            text = (
                f"Person: {task.profile}.\nThe person's ways of thinking say:\n{says}\n"
                'Which answer do they lead to together? Write a JSON object: "explanation", one or two sentences that '
                'cite the weights; "option", the letter of the answer; "function" and "fact", the way of thinking and '
                "the fact of life that count most."
            )
            wanted.append(self.options.wanted("S4 conclusion", task.who, task, text, self._ending(task, four)))
        return [
            None if written.value is None else self._conclusion(task, written, written.value)
            for task, written in zip(tasks, self.writer.write(wanted), strict=True)
        ]

    def _ending(self, task: Task, four: Sequence[Voice]) -> Callable[[Schema], Schema]:
        codes, names = [v.code for v in four], [name for name, _ in task.features]
        long = words(2 * self.writer.decoding.reason_letters)
        return lambda letters: record(explanation=long, option=letters, function=one_of(codes), fact=one_of(names))

    def _conclusion(self, task: Task, written: Written, value: Mapping[str, Any]) -> Conclusion:
        feature = [name for name, _ in task.features].index(value["fact"])
        reply = reply_of(self.options.one_hot(task, value), written)
        return Conclusion(value["explanation"], self.options.option(task, value), value["function"], feature, reply)

    def dominant(self, tasks: Sequence[Task], leading: Sequence[Voice], stage: str) -> list[Reply | None]:
        texts = [
            f"Person: {task.profile}.\nThe person {voice.description}.\n{SHORT}"
            for task, voice in zip(tasks, leading, strict=True)
        ]
        return self.options.answers(tasks, texts, stage)

    def plain(self, tasks: Sequence[Task], stage: str, before: Sequence[int] | None = None) -> list[Reply | None]:
        texts = [(f"Person: {task.profile}.\n" if task.profile else "") + SHORT for task in tasks]
        return self.options.answers(tasks, texts, stage, before)


def _still(heard: Sequence[_Function], place: int) -> bool:
    """All four functions of the task at `place` are whole."""
    start = place - place % len(RANKS)
    return all(one.whole for one in heard[start : start + len(RANKS)])


def _stress(case: Case, written: Written) -> Stress:
    parts = [value_of(written)[name] for name, _ in case.features]
    reply = reply_of(np.empty(0), written)
    return Stress(
        case.features, tuple(float(one["stress"]) for one in parts), (reply,), tuple(one["reason"] for one in parts)
    )


def _type(written: Written) -> TypeFound:
    dominant, auxiliary = value_of(written)["functions"].split("-")
    codes, allowed = list(FUNCTIONS), auxiliaries(dominant)
    first, second = np.eye(len(codes))[codes.index(dominant)], np.eye(2)[allowed.index(auxiliary)]
    return TypeFound(dominant, auxiliary, first, second, (reply_of(first, written),), value_of(written)["reason"])
