"""The measures of cultural variation of one panel, plain or under cluster counts; `eval.variation` says what they mean.

Counts say how often each item and country was drawn, shapes (draws, items) and (draws, countries); what is not given
counts once. Two copies of one country make no pair, so that they don't count as a distance of 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.distances import FloatArray
from eval.panels import Panel
from eval.structure import complete, mantel, mean_distances, spearman

IntArray = npt.NDArray[np.int64]
PERMUTATIONS = 9_999
_CHUNK = 2_000_000


def between_ratio(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Mean pairwise divergence between countries, model over people, under cluster counts (draws, ...): (draws,).

    Without counts the plain estimate, shape (1,). NaN where people's spread is not above their sampling noise.
    """
    item_counts, country_counts = _counts(panel, items, countries)
    upper = np.triu_indices(len(panel.countries), 1)
    spreads = [np.nan_to_num(spread[:, upper[0], upper[1]]).T for spread in (panel.model_spread, panel.people_spread)]
    there = (~np.isnan(panel.people_spread[:, upper[0], upper[1]])).astype(np.float64).T
    draws = max(len(item_counts), len(country_counts))
    ratio, step = np.full(draws, np.nan), max(1, _CHUNK // max(1, len(upper[0])))
    for start in range(0, draws, step):
        part = slice(start, start + step)
        questions = (item_counts[part] if len(item_counts) > 1 else item_counts)[:, panel.item_of]
        each = country_counts[part] if len(country_counts) > 1 else country_counts
        pairs = each[:, upper[0]] * each[:, upper[1]]
        drawn = pairs @ there
        share = np.divide(
            questions, drawn, out=np.zeros(np.broadcast_shapes(questions.shape, drawn.shape)), where=drawn > 0
        )
        model, people = ((share * (pairs @ spread)).sum(axis=1) for spread in spreads)
        ratio[part] = np.divide(model, people, out=np.full(len(model), np.nan), where=people > 0)
    return ratio


def within_ratio(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Mean entropy of the model over that of people, shape (draws,); NaN where people's is 0."""
    model = _cell_sum(panel, panel.model_entropy, items, countries)
    people = _cell_sum(panel, panel.people_entropy, items, countries)
    return np.asarray(np.divide(model, people, out=np.full(len(model), np.nan), where=people > 0))


def mode_share(
    panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None, *, people: bool = False
) -> FloatArray:
    """Share of item x group whose largest share is over 0.9, of the model or of `people`, shape (draws,), in [0, 1]."""
    total = _cell_sum(panel, np.ones_like(panel.model_mode), items, countries)
    mode = _cell_sum(panel, panel.people_mode if people else panel.model_mode, items, countries)
    return np.asarray(np.divide(mode, total, out=np.full(len(mode), np.nan), where=total > 0))


def _cell_sum(panel: Panel, values: FloatArray, items: FloatArray | None, countries: FloatArray | None) -> FloatArray:
    item_counts, country_counts = _counts(panel, items, countries)
    return np.asarray(((item_counts @ by_item(panel, values)) * country_counts).sum(axis=1))


def by_item(panel: Panel, values: FloatArray) -> FloatArray:
    """Sums over an item's demographics of `values` (questions, countries), (items, countries); not asked counts 0."""
    sums = np.zeros((len(panel.items), len(panel.countries)))
    np.add.at(sums, panel.item_of, np.where(np.isnan(panel.people_entropy), 0.0, values))
    return sums


def _counts(panel: Panel, items: FloatArray | None, countries: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """What is not given counts once, in one row."""
    return (
        np.ones((1, len(panel.items))) if items is None else items,
        np.ones((1, len(panel.countries))) if countries is None else countries,
    )


def between_structure(panel: Panel, items: FloatArray | None = None, countries: FloatArray | None = None) -> FloatArray:
    """Spearman correlation of the model's and people's distances over country pairs, in [-1, 1], shape (draws,).

    A pair's distance is the mean of `js_distance` over the questions both countries were asked, each question centred
    on its own mean, so that pairs that were asked different questions compare (without missing questions this changes
    no rank). Biased towards 0 by the noise of few questions and people on both sides. NaN with fewer than four
    countries and where one side does not vary.
    """
    counts = _counts(panel, items, countries)
    draws = max(map(len, counts))
    item_counts, country_counts = (np.broadcast_to(one, (draws, one.shape[1])) for one in counts)
    upper = np.triu_indices(len(panel.countries), 1)
    correlation = np.full(draws, np.nan)
    if len(panel.countries) < 4:
        return correlation
    model, people, there = _pair_distances(panel, upper)
    questions = item_counts[:, panel.item_of]
    step = max(1, _CHUNK // len(upper[0]))
    for start in range(0, len(questions), step):
        part = slice(start, start + step)
        asked = questions[part] @ there
        weight = country_counts[part][:, upper[0]] * country_counts[part][:, upper[1]] * (asked > 0)
        divisor = np.where(asked > 0, asked, 1.0)
        correlation[part] = spearman(questions[part] @ model / divisor, questions[part] @ people / divisor, weight)
    return correlation


def _pair_distances(panel: Panel, upper: tuple[IntArray, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centred js distances of the model and of people, and which are there, each (questions, pairs); 0 if not there."""
    sides = []
    for js in (panel.model_js, panel.people_js):
        pairs = np.sqrt(js[:, upper[0], upper[1]])
        count = np.maximum((~np.isnan(pairs)).sum(axis=1, keepdims=True), 1)
        sides.append(np.nan_to_num(pairs - np.nansum(pairs, axis=1, keepdims=True) / count))
    return sides[0], sides[1], (~np.isnan(panel.people_js[:, upper[0], upper[1]])).astype(np.float64)


def mantel_p(panel: Panel, rng: np.random.Generator, permutations: int = PERMUTATIONS) -> float:
    """One-sided p-value of `between_structure` with the model's countries permuted, in (0, 1].

    Over the countries that share a question with every other kept country. NaN with fewer than four of these.
    """
    model, people = (mean_distances(np.sqrt(js)) for js in (panel.model_js, panel.people_js))
    keep = complete(people)
    return mantel(model[np.ix_(keep, keep)], people[np.ix_(keep, keep)], rng, permutations)[1]
