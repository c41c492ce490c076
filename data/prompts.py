r"""How a model is asked: every prompt of training and of the audits is rendered here, once, to text.

    >>> renderer.survey(item, order=(0, 1), group=Group("NOR"), condition="country").text
    '... Should the state own more of the economy?\nA. Yes\nB. No\n\nI live in Norway. ...'

Text is tokenised once, without added special tokens (`encode`). The style is set by the config and never guessed from
the presence of a chat template: `chat` applies the tokenizer's template, `completion` writes plain text, `native` is
for served models that apply a template of their own and renders the messages as JSON, which is what is sent. `layout`
says what comes first: with `item_first` the persona stands after the question, so that one question's tokens are shared
by all personas; with `persona_first` a persona's tokens are shared by all items.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import TemplateError

from data.languages import frame, languages
from data.personas import PERSONAS, Statement, persona, stated_fields
from data.records import Group, Item, Turn

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STYLES = ("chat", "completion", "native")
LAYOUTS = ("item_first", "persona_first")


@dataclass(frozen=True, slots=True)
class OptionPrompt:
    """A rendered prompt and the labels that may answer it, in the order shown.

    `reorder(places)` asks the same with, at place i, what stands here at `places[i]`; None where nothing has an order.
    """

    text: str
    labels: tuple[str, ...]
    reorder: Callable[[tuple[int, ...]], OptionPrompt] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Asking:
    """The knobs of the prompt renderer; arms that are compared share them. `language` is one of `languages()`."""

    style: str = "chat"
    layout: str = "item_first"
    persona: str = "biography"
    language: str = "en"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("style", self.style, STYLES),
            ("layout", self.layout, LAYOUTS),
            ("persona", self.persona, PERSONAS),
            ("language", self.language, languages()),
        ):
            if value not in known:
                raise ValueError(f"prompt.{name} must be one of {list(known)}, got {value!r}")


class Renderer:
    """Renders dialogues and survey questions for one tokenizer (None in completion and native style without one)."""

    def __init__(self, asking: Asking, tokenizer: Any | None = None, statement: Statement | None = None) -> None:
        self.asking = asking
        self.statement = statement
        self.frame = frame(asking.language)
        self.tokenizer = tokenizer
        if asking.style == "chat" and getattr(tokenizer, "chat_template", None) is None:
            raise ValueError(
                "prompt.style is chat but the model's tokenizer has no chat template; set it to completion"
            )
        bos = getattr(tokenizer, "bos_token", None)
        self._bos = bos if bos and tokenizer is not None and _adds_bos(tokenizer) else ""

    def in_language(self, language: str) -> Renderer:
        """The same renderer for another language. ValueError where there is no frame for it."""
        if language == self.asking.language:
            return self
        return Renderer(replace(self.asking, language=language), self.tokenizer, self.statement)

    def stating(self, statement: Statement) -> Renderer:
        """The same renderer, whose system turn says in the words of `statement` who answers, where one is stated."""
        return Renderer(self.asking, self.tokenizer, statement)

    def dialogue(self, turns: Sequence[Turn]) -> str:
        """The text of a dialogue up to the point where the model speaks. Where a chat template takes no system turn,
        its text begins the first user's. ValueError where it refuses the dialogue all the same.
        """
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        if self.asking.style == "native":
            return json.dumps(messages, ensure_ascii=False)
        if self.asking.style == "chat":
            try:
                return self._templated(messages)
            except TemplateError as error:  # Gemma's and others' know no system turn
                if len(messages) < 2 or messages[0]["role"] != "system":
                    raise ValueError(f"the model's chat template refuses the dialogue: {error}") from error
                first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
                return self._templated([first, *messages[2:]])
        before = {"system": "", "user": self.frame.question, "assistant": self.frame.answer}
        parts = [before[turn.role] + turn.text for turn in turns]
        return self._bos + "\n\n".join([*parts, self.frame.cue])

    def _templated(self, messages: Sequence[Mapping[str, str]]) -> str:
        tokenizer: Any = self.tokenizer
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def closed(self, turns: Sequence[Turn], question: str, options: Sequence[str], ask: str = "") -> OptionPrompt:
        """A dialogue whose last turn is a lettered question; `ask` follows the options."""
        labels = tuple(LETTERS[: len(options)])
        text = lettered(question, options) + (f"\n\n{ask}" if ask else "")

        def reorder(places: tuple[int, ...]) -> OptionPrompt:
            return self.closed(turns, question, [options[place] for place in places], ask)

        return OptionPrompt(self.dialogue([*turns, Turn("user", text)]), labels, reorder)

    def survey(
        self,
        item: Item,
        order: Sequence[int],
        group: Group,
        condition: str,
        told: int | None = None,
        place: str = "",
        before: Sequence[Turn] = (),
    ) -> OptionPrompt:
        """An item with its options in `order`, put to the persona that `condition` states of `group`, all in the
        language of the prompts. ValueError where the item has no wording in it.

        `told` is the index of an option that a line after the persona says most people choose. `place`: where in the
        country the persona lives. `before`: turns of user and assistant before the question.
        """
        item = item.in_language(self.asking.language)
        stated = self.persona(group, condition, place)
        if told is not None:
            stated = "\n".join(filter(None, [stated, self.frame.told.format(option=item.options[told])]))
        options = [item.options[index] for index in order]
        if self.asking.layout == "persona_first" or self.statement is not None:
            return self.closed([Turn("system", self.instruction(stated)), *before], item.question, options)
        return self.closed([Turn("system", self.frame.instruction), *before], item.question, options, stated)

    def persona(self, group: Group, condition: str, place: str = "") -> str:
        """As the function `persona`, in the renderer's style and language; with `place` as "Hamar in Norway". In the
        words of the renderer's statement where it has one.
        """
        if self.statement is None:
            stated = persona(group, condition, self.asking.persona, self.asking.language)
        else:
            fields = stated_fields(group, condition)
            stated = self.statement.of_group(group, fields, self.frame) if fields else ""
        if not place:
            return stated
        country = self.frame.country(group.country)
        return stated.replace(country, f"{place} in {country}")

    def instruction(self, stated: str) -> str:
        """What a system turn says: the instruction, then the persona where one is stated."""
        return f"{self.frame.instruction}{self.frame.biography_joint}{stated}" if stated else self.frame.instruction

    def described(self, instruction: str, place: str) -> str:
        """The system turn of a question that itself describes who answers, from the country named `place` ("": not
        stated): the instruction, and what the renderer's statement adds.
        """
        said = self.statement.of_described(place, self.frame) if self.statement else ""
        return f"{instruction}{self.frame.biography_joint}{said}" if said else instruction

    def in_style(self, persona: str) -> Renderer:
        """The renderer with another persona style, one of PERSONAS, in place of a statement's words. ValueError for
        another.
        """
        if persona == self.asking.persona and self.statement is None:
            return self
        return Renderer(replace(self.asking, persona=persona), self.tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids, nothing added. Raises ValueError where a text would begin with two beginning-of-sequence
        tokens.
        """
        if self.tokenizer is None:
            raise ValueError("this renderer has no tokenizer")
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        for text, ids in zip(texts, encoded, strict=True):
            if bos is not None and ids[:2] == [bos, bos]:
                raise ValueError(f"the prompt begins with two beginning-of-sequence tokens: {text[:80]!r}")
        return encoded


def lettered(question: str, options: Sequence[str]) -> str:
    """The question with one lettered line an option. Raises ValueError beyond 26 options."""
    if len(options) > len(LETTERS):
        raise ValueError(f"at most {len(LETTERS)} options have a one-letter label, got {len(options)}: {question!r}")
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines])


def orders(
    options: int, ordered: bool, exhaustive: int = 5, beyond: int = 4, rotate_scales: bool = False
) -> list[tuple[int, ...]]:
    """The orders in which an item is asked, each a tuple of option indices; the first is always the item's own.

    A nominal item: all cyclic shifts up to `exhaustive` options, for longer ones `beyond` evenly spaced shifts, so
    that every option stands at many places. An ordered scale: its own order and the reverse, since a scale that
    begins in the middle is no scale any more (our design: no survey shows one, and a small model trained on rotated
    scales learns nothing but to spread its answer evenly). `rotate_scales` shifts scales too, each shift also
    reversed.
    """
    shifts = options if options <= exhaustive else beyond
    if ordered:
        shifts = max(1, shifts // 2 if options > exhaustive else shifts) if rotate_scales else 1
    cyclic = [
        tuple((start + place) % options for place in range(options))
        for start in (round(step * options / shifts) for step in range(shifts))
    ]
    found = cyclic + ([order[::-1] for order in cyclic] if ordered else [])
    return list(dict.fromkeys(found))


def in_any_order(ask: Callable[[tuple[int, ...]], OptionPrompt], order: Sequence[int]) -> OptionPrompt:
    """`ask(order)`, which can be asked in other orders too. For a question that earlier turns of its dialogue repeat:
    `ask` builds all that depends on the order of the options.
    """

    def reorder(places: tuple[int, ...]) -> OptionPrompt:
        return in_any_order(ask, [order[place] for place in places])

    return replace(ask(tuple(order)), reorder=reorder)


def _adds_bos(tokenizer: Any) -> bool:
    ids: list[int] = tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id
