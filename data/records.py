"""The records that cross a folder boundary: frozen, slotted, and free of tensors, configs and open files.

Countries are ISO 3166 alpha-3 codes everywhere (`"NOR"`); names are made for prompts and reports only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

AGE_BANDS = ("18-29", "30-49", "50+")
NEUTRAL = "neutral/"
"""Ids of items that are of no survey, and so neither trained on nor held out, begin with this."""


@dataclass(frozen=True, slots=True)
class ItemWording:
    """An item in another language: the question, and the same options in the same order."""

    language: str
    question: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One closed survey question. `options` holds the substantive answers only; "don't know" is never among them.

    `positions` are the options' places on their scale (ordered items only; ascending or descending, any unit).
    `paraphrased` says that the source documents the question's content but not its full wording. `language` is an ISO
    639 code such as "en"; `wordings` are the same item in other languages.
    """

    id: str
    question: str
    options: tuple[str, ...]
    ordered: bool
    survey: str
    topic: str = ""
    positions: tuple[float, ...] | None = None
    language: str = "en"
    paraphrased: bool = False
    wordings: tuple[ItemWording, ...] = ()

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(f"item {self.id!r} needs at least two options, got {list(self.options)}")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"item {self.id!r} repeats an option: {list(self.options)}")
        if self.ordered and self.positions is not None and len(self.positions) != len(self.options):
            raise ValueError(f"item {self.id!r} has {len(self.options)} options but {len(self.positions)} positions")
        if len(set(self.languages)) != len(self.languages):
            raise ValueError(f"item {self.id!r} has two wordings in one language: {list(self.languages)}")
        for wording in self.wordings:
            if not len(set(wording.options)) == len(wording.options) == len(self.options):
                raise ValueError(
                    f"item {self.id!r} needs {len(self.options)} different options in {wording.language!r}, "
                    f"got {list(wording.options)}"
                )

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language that the item has a wording in, its own first."""
        return (self.language, *(wording.language for wording in self.wordings))

    def in_language(self, language: str) -> Item:
        """The same item (id, positions, order of the options) worded in `language`. ValueError where it has none."""
        if language == self.language:
            return self
        found = next((wording for wording in self.wordings if wording.language == language), None)
        if found is None:
            raise ValueError(f"item {self.id!r} has no wording in {language!r}; it has {', '.join(self.languages)}")
        others = [wording for wording in self.wordings if wording is not found]
        own = ItemWording(self.language, self.question, self.options)
        return replace(self, question=found.question, options=found.options, language=language, wordings=(own, *others))

    @property
    def scale(self) -> tuple[float, ...] | None:
        """Positions of the options, equally spaced where the source gives none; None for a nominal item."""
        if not self.ordered:
            return None
        return self.positions or tuple(float(i) for i in range(len(self.options)))


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """The people whom a distribution describes. An empty string means "any"."""

    country: str
    age: str = ""
    sex: str = ""
    education: str = ""

    @property
    def label(self) -> str:
        """`"NOR"`, `"NOR age=18-29"`: stable, used as a key and in tables."""
        parts = [f"{name}={value}" for name in ("age", "sex", "education") if (value := getattr(self, name))]
        return " ".join([self.country, *parts])


@dataclass(frozen=True, slots=True)
class AnswerDistribution:
    """What the people of a group answered to an item.

    `probabilities` sum to 1 over the item's options (survey weights applied where the survey has them). `n` is the
    number of people who gave a substantive answer; `n_effective` is Kish's (sum w)^2 / sum w^2, equal to `n` without
    weights. `n = 0` means that the source gives percentages without a base: no sampling floor can be computed.
    """

    item: str
    group: Group
    probabilities: tuple[float, ...]
    n: int
    n_effective: float
    year: str = ""

    def __post_init__(self) -> None:
        total = sum(self.probabilities)
        if abs(total - 1) > 1e-6 or min(self.probabilities) < 0:
            raise ValueError(
                f"{self.item} {self.group.label}: probabilities must be >= 0 and sum to 1, got sum {total}"
            )


@dataclass(frozen=True, slots=True)
class Respondent:
    """One person: demographics as text, and answers as option indices by item id (substantive answers only)."""

    id: str
    group: Group
    features: Mapping[str, str]
    answers: Mapping[str, int]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where a block of human data comes from and on what terms; printed in every report that uses it."""

    name: str
    title: str
    citation: str
    terms: str
    version: str = ""


@dataclass(frozen=True)
class Survey:
    """Items with the answer distributions of groups, and the respondents behind them where the source has them.

    `distributions` hold each item x group once. `earlier` holds answers of earlier years to the same items; where
    training is to see earlier waves only, each item x group once (see `data.waves`).
    """

    items: tuple[Item, ...]
    distributions: tuple[AnswerDistribution, ...]
    respondents: tuple[Respondent, ...] = ()
    sources: tuple[Source, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    earlier: tuple[AnswerDistribution, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Item]:
        return {item.id: item for item in self.items}

    @cached_property
    def people(self) -> dict[tuple[str, Group], AnswerDistribution]:
        return {(d.item, d.group): d for d in self.distributions}

    @cached_property
    def countries(self) -> tuple[str, ...]:
        return tuple(sorted({d.group.country for d in self.distributions}))

    def restrict(self, items: Iterable[str], countries: Iterable[str]) -> Survey:
        """The part of the survey that holds only these items and countries (respondents lose their other answers)."""
        keep_items, keep_countries = set(items), set(countries)
        respondents = []
        for person in self.respondents:
            answers = {key: value for key, value in person.answers.items() if key in keep_items}
            if answers and person.group.country in keep_countries:
                respondents.append(Respondent(person.id, person.group, person.features, answers, person.weight))
        made, earlier = (
            tuple(d for d in part if d.item in keep_items and d.group.country in keep_countries)
            for part in (self.distributions, self.earlier)
        )
        return Survey(
            items=tuple(item for item in self.items if item.id in keep_items),
            distributions=made,
            respondents=tuple(respondents),
            sources=self.sources,
            excluded=self.excluded,
            earlier=earlier,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Which items and countries a variant may see in training; the rest is held out. Disjoint by construction.

    `train_before`: training sees answers of earlier years only, and audits hold against those of this year or later.
    """

    train_items: tuple[str, ...]
    train_countries: tuple[str, ...]
    held_out_items: tuple[str, ...]
    held_out_countries: tuple[str, ...]
    seed: int
    train_before: int | None = None

    def __post_init__(self) -> None:
        for kind, seen, held in (
            ("items", self.train_items, self.held_out_items),
            ("countries", self.train_countries, self.held_out_countries),
        ):
            if both := sorted(set(seen) & set(held)):
                raise ValueError(f"{kind} both in training and held out: {both}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a dialogue; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Wording:
    """A dilemma in one language: paraphrases of the scenario, and the two actions."""

    scenarios: tuple[str, ...]
    actions: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Dilemma:
    """Two defensible actions, each serving one of two colliding Schwartz values. Action i serves value i."""

    id: str
    values: tuple[str, str]
    context: str
    wordings: Mapping[str, Wording]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Open-ended preference data: a prompt with a chosen and a rejected reply, and the annotator's country if known.

    `country` is an alpha-3 code or "". `before` are the turns of the dialogue that came before the prompt.
    """

    prompt: str
    chosen: str
    rejected: str
    country: str = ""
    before: tuple[Turn, ...] = ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The dialogue up to the reply; the last turn is the user's."""
        return (*self.before, Turn("user", self.prompt))


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One closed question put to a group, with the people's answer.

    `order[j]` is the option shown at place j. `people` is the answer distribution in the item's own option order.
    `chosen` and `rejected` are option indices of one preference drawn by P(a > b) = q(a) / (q(a) + q(b)); `answered` is
    the option that one person, drawn from `people`, chose.
    """

    item: Item
    group: Group
    condition: str
    order: tuple[int, ...]
    people: tuple[float, ...]
    chosen: int
    rejected: int
    answered: int
