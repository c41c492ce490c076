"""How a dilemma is asked: alone, reworded, in another question form or language, and late in a dialogue.

    alone                 scenario, "Your choice?", the two actions lettered; the first paraphrase; asked in both orders
    wording:1, :2 …       the same with the other paraphrases
    form:compare          "Do you prefer <action> over <other action>?", Yes or No, in both directions
    form:repeat           the chosen action is to be said in words: sampled text, matched by `eval.dilemmas.repeat`
    dialogue:neutral:n    `alone` after n exchanges of small talk, the same for all dilemmas
    dialogue:pressing:n   `alone`, an answer, a pushback that gives no reason, and the question once more; n times
    dialogue:agreeing     the same with one agreement in place of the pushback: what asking once more does by itself
    language:zh …         `alone` in another language
    control:stated value  `alone` with a system turn that states one of the two colliding values (positive control)
    control:said before   `alone` after the very question with an answer drawn for it (positive control)

The surprise is in the followed-up dialogues: both possible answers are followed up at every step, each path weighed by
the probability that the model takes it. So the condition is the exact distribution of the answer in a dialogue that
the model itself led, it doesn't hang on which of two nearly equal answers was ahead, and all of it can be scored in
one batch: 2 orders × 2^n prompts for the nth pushback.
Question forms after MoralChoice (Scherrer et al. 2023, arXiv:2307.14324); the wording here is our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from data.prompts import LETTERS, OptionPrompt, Renderer, in_any_order, lettered
from data.records import Dilemma, Turn, Wording
from eval.answers import TextRequest
from eval.dilemmas.scripts import SCRIPTS, Script

ALONE, COMPARE, REPEAT = "alone", "form:compare", "form:repeat"
NEUTRAL, PRESSING, AGREEING = "dialogue:neutral", "dialogue:pressing", "dialogue:agreeing"
CONDITIONS = ("wording", COMPARE, REPEAT, NEUTRAL, PRESSING, AGREEING)
WORDING, LANGUAGE, CONTROL = "wording:", "language:", "control:"
STATED, SAID = f"{CONTROL}stated value", f"{CONTROL}said before"
ANSWER_FORMS = ("words", "letters")
BOTH_ORDERS = ((0, 1), (1, 0))
_STOP = ("\n",)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of each dilemma; the fields are knobs of `eval.dilemmas.audit.EthicalDilemmas`."""

    language: str
    languages: tuple[str, ...]
    conditions: tuple[str, ...]
    paraphrases: int
    dialogue_turns: tuple[int, ...]
    pressing_turns: int
    repeats: int
    repeat_tokens: int
    repeat_temperature: float
    answer_form: str


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt about a dilemma. The option labelled `labels[i]` stands for action `shown[i]`; `said` are the actions
    that the assistant has named before, `stated` is the action whose value the system turn states (-1: none).
    """

    dilemma: int
    condition: str
    paraphrase: int
    language: str
    shown: tuple[int, int]
    prompt: OptionPrompt
    said: tuple[int, ...] = ()
    stated: int = -1


@dataclass(frozen=True, slots=True)
class TextQuestion:
    """One text wanted about a dilemma whose `actions` (in the dilemma's own order) are listed in the order `shown`."""

    dilemma: int
    language: str
    shown: tuple[int, int]
    actions: tuple[str, str]
    request: TextRequest


def questions(number: int, dilemma: Dilemma, plan: Plan, renderers: Mapping[str, Renderer]) -> Iterator[Question]:
    """Every scored prompt about one dilemma but its control. `number` is handed through as `Question.dilemma`;
    `renderers` by language.
    """
    renderer, script, wording = renderers[plan.language], SCRIPTS[plan.language], dilemma.wordings[plan.language]
    system = Turn("system", script.instruction)
    for order in BOTH_ORDERS:
        actions = [wording.actions[action] for action in order]
        asked = [f"{scenario}\n{script.question}" for scenario in wording.scenarios]
        for paraphrase in range(plan.paraphrases if "wording" in plan.conditions else 1):
            condition = f"{WORDING}{paraphrase}" if paraphrase else ALONE
            prompt = renderer.closed([system], asked[paraphrase], actions)
            yield Question(number, condition, paraphrase, plan.language, order, prompt)
        if NEUTRAL in plan.conditions:
            for turns in plan.dialogue_turns:
                prompt = renderer.closed([system, *_talk(script, turns)], asked[0], actions)
                yield Question(number, f"{NEUTRAL}:{turns}", 0, plan.language, order, prompt)
        if PRESSING in plan.conditions:
            for depth in range(1, plan.pressing_turns + 1):
                for said in product(order, repeat=depth):
                    prompt = _followed(renderer, system, asked[0], wording, order, said, script.pushbacks)
                    yield Question(number, f"{PRESSING}:{depth}", 0, plan.language, order, prompt, said)
        if AGREEING in plan.conditions:
            for action in order:
                prompt = _followed(renderer, system, asked[0], wording, order, (action,), (script.agreement,))
                yield Question(number, AGREEING, 0, plan.language, order, prompt, (action,))
        if COMPARE in plan.conditions:
            yield from _compare(number, wording, order, script, plan, system, renderer)
        for language in plan.languages:
            yield Question(number, f"{LANGUAGE}{language}", 0, language, order,
                           _plain(dilemma, language, order, renderers[language]))  # fmt: skip


def stated_questions(
    number: int, dilemma: Dilemma, stated: int, language: str, renderer: Renderer
) -> Iterator[Question]:
    """`alone` with the value of action `stated` stated in the system turn, in both orders."""
    name, definition = SCRIPTS[language].values[dilemma.values[stated]]
    creed = SCRIPTS[language].stated.format(value=name, definition=definition)
    for order in BOTH_ORDERS:
        prompt = _plain(dilemma, language, order, renderer, creed)
        yield Question(number, STATED, 0, language, order, prompt, (), stated)


def said_questions(number: int, dilemma: Dilemma, said: int, language: str, renderer: Renderer) -> Iterator[Question]:
    """`alone` once more after the same question, in the same order, which the assistant has answered with `said`."""
    for order in BOTH_ORDERS:
        prompt = _plain(dilemma, language, order, renderer, before=said)
        yield Question(number, SAID, 0, language, order, prompt, (said,))


def text_questions(number: int, dilemma: Dilemma, plan: Plan, renderer: Renderer, seed: int) -> Iterator[TextQuestion]:
    """`repeats` texts in each order; none unless `form:repeat` is asked."""
    if REPEAT not in plan.conditions:
        return
    script, wording = SCRIPTS[plan.language], dilemma.wordings[plan.language]
    for order in BOTH_ORDERS:
        first, second = (wording.actions[action] for action in order)
        text = f"{wording.scenarios[0]}\n{script.repeat.format(first=first, second=second)}"
        prompt = renderer.dialogue([Turn("system", script.repeat_instruction), Turn("user", text)])
        for repeat in range(plan.repeats):
            request = TextRequest(
                prompt, plan.repeat_tokens, plan.repeat_temperature, stop=_STOP, seed=seed, repeat=repeat
            )
            yield TextQuestion(number, plan.language, order, wording.actions, request)


def _plain(
    dilemma: Dilemma,
    language: str,
    order: tuple[int, int],
    renderer: Renderer,
    creed: str = "",
    before: int | None = None,
) -> OptionPrompt:
    script, wording = SCRIPTS[language], dilemma.wordings[language]
    question = f"{wording.scenarios[0]}\n{script.question}"

    def ask(shown: tuple[int, ...]) -> OptionPrompt:
        turns = [Turn("system", f"{script.instruction} {creed}" if creed else script.instruction)]
        actions = [wording.actions[action] for action in shown]
        if before is not None:
            turns += [Turn("user", lettered(question, actions)), Turn("assistant", LETTERS[shown.index(before)])]
        return renderer.closed(turns, question, actions)

    return in_any_order(ask, order)


def _talk(script: Script, turns: int) -> list[Turn]:
    talk = script.small_talk[:turns]
    return [turn for user, reply in talk for turn in (Turn("user", user), Turn("assistant", reply))]


def _followed(
    renderer: Renderer,
    system: Turn,
    question: str,
    wording: Wording,
    order: tuple[int, int],
    said: tuple[int, ...],
    replies: tuple[str, ...],
) -> OptionPrompt:
    """The question asked once more after the answers `said`, each followed by the user's next reply."""

    def ask(shown: tuple[int, ...]) -> OptionPrompt:
        turns = [system, Turn("user", lettered(question, [wording.actions[action] for action in shown]))]
        for action, reply in zip(said, replies, strict=False):
            turns += [Turn("assistant", LETTERS[shown.index(action)]), Turn("user", reply)]
        return OptionPrompt(renderer.dialogue(turns), tuple(LETTERS[: len(shown)]))

    return in_any_order(ask, order)


def _compare(
    number: int,
    wording: Wording,
    order: tuple[int, int],
    script: Script,
    plan: Plan,
    system: Turn,
    renderer: Renderer,
) -> Iterator[Question]:
    """Yes prefers the action named first. In letters, Yes and No are themselves shown in both orders."""

    def text(named: tuple[int, ...]) -> str:
        first, second = (wording.actions[action] for action in named)
        return f"{wording.scenarios[0]}\n{script.compare.format(first=first, second=second)}"

    if plan.answer_form == "words":

        def ask(named: tuple[int, ...]) -> OptionPrompt:
            return OptionPrompt(renderer.dialogue([system, Turn("user", text(named))]), (script.yes, script.no))

        yield Question(number, COMPARE, 0, plan.language, order, in_any_order(ask, order))
        return
    for shown, words in ((order, (script.yes, script.no)), (order[::-1], (script.no, script.yes))):
        yield Question(number, COMPARE, 0, plan.language, shown, renderer.closed([system], text(order), words))
