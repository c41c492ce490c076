"""Training mixtures: which closed questions, put to which people, a model is trained on.

    >>> examples = Mixture()(survey.restrict(split.train_items, split.train_countries), size=512, seed=0, draw=0)

One mixture feeds every recipe: an example carries the people's distribution (for `match`, `rlhf`), one preference drawn
from it (for `dpo` and its kin) and one person's answer (for `sft`), so compared arms see the same questions, personas
and people.

The rule of drawing, one example at a time: an item with weight (countries that have it) ** `balance`, then one of its
countries evenly, then one of the conditions that the country's groups can state evenly, then a group evenly, then an
order of the options evenly from `data.prompts.orders`. With `balance` 1 every item x country pair is alike: an item
asked in 50 countries is drawn fifty times as often as one asked in a single country, and no country fills the mixture
because many surveys were held there. With 0 every item is alike, and such a country does.

With `evenness` or `age_evenness` examples are drawn by the nearest chances to this rule's that have the asked shares
(`data.evenness.rake`), so that countries come as often as asked whatever items they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from data.controls import CONTROLS, Key, Truth, pooled
from data.diversity import topic_of
from data.drawing import Cells, Drawable, Margin, answer, by_chance, by_rule, drawable_of, preference, with_margins
from data.personas import FIELDS
from data.prompts import orders
from data.records import Group, Survey, TrainingExample

POOLINGS = ("country", "population")


@dataclass(frozen=True, slots=True)
class _Start:
    """What may be drawn, and the random streams of a drawing."""

    cells: Cells
    drawable: Sequence[Drawable]
    rng: np.random.Generator
    of_answers: np.random.Generator
    of_truth: np.random.Generator


@dataclass(frozen=True)
class Mixture:
    """What to draw from, how evenly, and whose answers are taught.

    `conditions`: the personas stated; each is asked of the groups that have exactly these fields. `countries`: None for
    all training countries, a number of them drawn at random, or a list of alpha-3 codes. `items`: patterns of item ids
    such as "wvs/*", empty for all. `topics`: None for all, a number of them drawn at random, or patterns of topics (a
    survey's name stands for those of its items that have none). `min_countries`: items that fewer of the countries were
    asked are left out; `min_items`: countries that were asked fewer of the items. `balance`: in [0, 1], see above.
    `evenness`: of the countries, in [0, 1] (`data.evenness`); `dominant` is the most frequent one, drawn at random
    unless named. `age_evenness` and `dominant_age`: the same of the age bands, among examples that state an age. None:
    as drawn.
    `pooling`: country, or population: the answers of all groups of the item pooled, though one is stated. `control`:
    None, or one of `data.controls.CONTROLS`.
    """

    conditions: tuple[str, ...] = ("country", "country+age")
    countries: int | tuple[str, ...] | None = None
    items: tuple[str, ...] = ()
    topics: int | tuple[str, ...] | None = None
    min_countries: int = 1
    min_items: int = 1
    balance: float = 1.0
    evenness: float | None = None
    dominant: str | None = None
    age_evenness: float | None = None
    dominant_age: str | None = None
    pooling: str = "country"
    control: str | None = None
    name: str = "diverse"

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError(f"mixture.conditions must name at least one, such as country, got {self.conditions!r}")
        for condition in self.conditions:
            fields = condition.split("+")
            if "country" not in fields or len(set(fields)) != len(fields) or not set(fields) <= set(FIELDS):
                raise ValueError(
                    f"mixture.conditions: {condition!r} must be country, joined by + with any of {list(FIELDS[1:])}"
                )
        for name, number in (
            ("countries", self.countries),
            ("topics", self.topics),
            ("min_countries", self.min_countries),
            ("min_items", self.min_items),
        ):
            if isinstance(number, int) and number < 1:
                raise ValueError(f"mixture.{name} must be at least 1, got {number}")
        for name, share in (
            ("balance", self.balance),
            ("evenness", self.evenness),
            ("age_evenness", self.age_evenness),
        ):
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"mixture.{name} must lie in [0, 1], got {share}")
        for margin in self._margins:
            if margin.dominant is not None and margin.evenness is None:
                raise ValueError(f"{margin.of_dominant} needs {margin.of_evenness}, which says how far it dominates")
        if self.pooling not in POOLINGS:
            raise ValueError(f"mixture.pooling must be one of {list(POOLINGS)}, got {self.pooling!r}")
        if self.control is not None and self.control not in CONTROLS:
            raise ValueError(f"mixture.control must be null or one of {list(CONTROLS)}, got {self.control!r}")
        if self.control == "shuffled_countries":
            if self.pooling == "population":
                raise ValueError("mixture.control shuffled_countries changes nothing with mixture.pooling population")
            if self.min_countries < 2:
                raise ValueError("mixture.control shuffled_countries needs mixture.min_countries of 2 or more")

    def __call__(self, survey_train: Survey, size: int, seed: int, draw: int) -> tuple[TrainingExample, ...]:
        """Exactly `size` examples, drawn with replacement; the same for the same arguments.

        `survey_train` is the part of the survey that may be trained on. Preferences: two distinct options evenly, the
        first preferred with q(a) / (q(a) + q(b)); a pair that nobody chose is drawn again. Answers come from a random
        stream of their own. Pooling and controls keep items, groups, conditions and orders of the mixture without them.
        Raises ValueError where the knobs leave nothing to draw from.
        """
        if size < 1:
            raise ValueError(f"a mixture needs at least 1 example, got size {size}")
        start = self._start(survey_train, seed, draw)
        rng = start.rng
        by_shares = any(margin.evenness is not None for margin in self._margins)
        drawn = by_chance(start.drawable, size, rng) if by_shares else by_rule(start.cells, size, self.balance, rng)
        examples = []
        for people, condition in drawn:
            item = survey_train.by_id[people.item]
            shown = orders(len(item.options), item.ordered)
            order = shown[rng.integers(len(shown))]
            chosen, rejected = preference(people.probabilities, rng)
            answered = answer(people.probabilities, start.of_answers)
            examples.append(
                TrainingExample(item, people.group, condition, order, people.probabilities, chosen, rejected, answered)
            )
        if self._true:
            return tuple(examples)
        truth = self._truth(survey_train, start)
        return tuple(_answered_by(truth, example, start.of_truth) for example in examples)

    def taught(self, survey_train: Survey, seed: int, draw: int) -> Survey:
        """The answers that the mixture teaches as a survey, for recipes that draw on more than its examples.

        The survey as it is unless pooling or a control changes whose answers these are; then what may be drawn, with
        its questions and answers, and nobody's own (`respondents`).
        """
        if self._true:
            return survey_train
        truth = self._truth(survey_train, self._start(survey_train, seed, draw))
        made = (
            replace(survey_train.people[key], item=item.id, probabilities=people)
            for key, (item, people) in truth.items()
        )
        items = {item.id: item for item, _ in truth.values()}
        return replace(survey_train, items=tuple(items.values()), distributions=tuple(made), respondents=(), earlier=())

    @property
    def _true(self) -> bool:
        return self.pooling == "country" and self.control is None

    @property
    def _margins(self) -> tuple[Margin, Margin]:
        return (
            Margin("country", self.evenness, self.dominant, "mixture.evenness", "mixture.dominant"),
            Margin("age", self.age_evenness, self.dominant_age, "mixture.age_evenness", "mixture.dominant_age"),
        )

    def _start(self, survey: Survey, seed: int, draw: int) -> _Start:
        """Everything before the first example is drawn."""
        rng = np.random.default_rng([seed, draw])
        of_answers, of_topics, of_ranks, of_truth = rng.spawn(4)
        cells = self._cells(survey, rng, of_topics)
        drawable = with_margins(drawable_of(cells, self.balance), self._margins, of_ranks)
        return _Start(cells, drawable, rng, of_answers, of_truth)

    def _truth(self, survey: Survey, start: _Start) -> Truth:
        """What is asked of each group and what its people answer, after pooling and control."""
        chances: dict[Key, float] = {}
        for one in start.drawable:
            key = (one.people.item, one.people.group)
            chances[key] = chances.get(key, 0.0) + one.chance
        truth = {key: (survey.by_id[key[0]], survey.people[key].probabilities) for key in chances}
        if self.pooling == "population":
            truth = pooled(truth, chances)
        return CONTROLS[self.control](truth, start.of_truth) if self.control else truth

    def _cells(self, survey: Survey, rng: np.random.Generator, of_topics: np.random.Generator) -> Cells:
        """Item → country → condition → distributions, all in sorted order."""
        by_fields = {frozenset(condition.split("+")): condition for condition in self.conditions}
        asked = self._asked(survey, of_topics)
        usable = [
            (people, by_fields[_fields(people.group)])
            for people in sorted(survey.distributions, key=lambda d: (d.item, d.group))
            if _fields(people.group) in by_fields and people.item in asked
        ]
        of_country = Counter(country for country, _ in {(people.group.country, people.item) for people, _ in usable})
        known = sorted(country for country, items in of_country.items() if items >= self.min_items)
        kept = set(self._choose(known, rng))
        cells: Cells = {}
        for people, condition in usable:
            if people.group.country in kept:
                by_country = cells.setdefault(people.item, {})
                by_country.setdefault(people.group.country, {}).setdefault(condition, []).append(people)
        cells = {item: by_country for item, by_country in cells.items() if len(by_country) >= self.min_countries}
        if not cells:
            raise ValueError(
                f"mixture {self.name!r} leaves nothing to train on: items {list(self.items)}, topics {self.topics}, "
                f"min_countries {self.min_countries}, min_items {self.min_items}, conditions {list(self.conditions)}, "
                f"countries {self.countries}; "
                f"the survey offers for training {len(survey.items)} items in {len(survey.countries)} countries"
            )
        return cells

    def _asked(self, survey: Survey, rng: np.random.Generator) -> set[str]:
        """The ids of the items that fit `items` and `topics`."""
        named = [
            item for item in survey.items if not self.items or any(fnmatchcase(item.id, name) for name in self.items)
        ]
        if self.topics is None:
            return {item.id for item in named}
        topics = sorted({topic_of(item) for item in named})
        if isinstance(self.topics, int):
            if self.topics > len(topics):
                raise ValueError(f"mixture.topics asks for {self.topics}, there are {len(topics)}: {', '.join(topics)}")
            kept = {topics[place] for place in rng.choice(len(topics), size=self.topics, replace=False)}
        else:
            if unknown := [name for name in self.topics if not any(fnmatchcase(topic, name) for topic in topics)]:
                raise ValueError(f"mixture.topics {unknown[0]!r} fits none of the topics: {', '.join(topics)}")
            kept = {topic for topic in topics if any(fnmatchcase(topic, name) for name in self.topics)}
        return {item.id for item in named if topic_of(item) in kept}

    def _choose(self, known: list[str], rng: np.random.Generator) -> Sequence[str]:
        if self.countries is None:
            return known
        if isinstance(self.countries, int):
            if self.countries > len(known):
                raise ValueError(f"mixture.countries asks for {self.countries}, there are {len(known)} for training")
            return [known[i] for i in rng.choice(len(known), size=self.countries, replace=False)]
        if missing := sorted(set(self.countries) - set(known)):
            raise ValueError(f"mixture.countries names {missing}, which are not among the training countries {known}")
        return self.countries


def _fields(group: Group) -> frozenset[str]:
    return frozenset(name for name in FIELDS if getattr(group, name))


def _answered_by(truth: Truth, example: TrainingExample, rng: np.random.Generator) -> TrainingExample:
    """The example with the question, the people, the preference and the answer of `truth`."""
    item, people = truth[example.item.id, example.group]
    chosen, rejected = preference(people, rng)
    return replace(example, item=item, people=people, chosen=chosen, rejected=rejected, answered=answer(people, rng))
