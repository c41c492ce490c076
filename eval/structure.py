"""How countries lie to each other: Spearman correlation of two distance structures, Mantel's test, classical MDS."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.distances import FloatArray


def mean_distances(distances: FloatArray) -> FloatArray:
    """Mean over questions of distances (questions, points, points), NaN where a question lacks a point.

    Each question is centred on its own mean before the average and the overall mean is put back, so that pairs that
    share different questions compare; without gaps this is the plain mean. The diagonal is 0, pairs without a question
    NaN.
    """
    off = ~np.eye(distances.shape[-1], dtype=bool)
    there = ~np.isnan(distances) & off
    filled = np.where(there, distances, 0.0)
    count = there.sum(axis=(1, 2))
    means = filled.sum(axis=(1, 2)) / np.maximum(count, 1)
    centred = np.where(there, filled - means[:, None, None], 0.0).sum(axis=0)
    asked = there.sum(axis=0)
    overall = means[count > 0].mean() if (count > 0).any() else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.maximum(centred / asked + overall, 0.0)
    return np.asarray(np.where(off, mean, 0.0))


def complete(matrix: FloatArray) -> npt.NDArray[np.int64]:
    """Indices that remain when the point with most NaN is dropped until the symmetric matrix has none."""
    keep = np.arange(len(matrix))
    while (missing := np.isnan(matrix[np.ix_(keep, keep)]).sum(axis=1)).any():
        keep = np.delete(keep, missing.argmax())
    return keep


def midranks(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Ranks within rows (draws, n) of values that count `weight` times, ties (to 1e-12) at their middle."""
    order = np.argsort(values, axis=1)
    ordered, counts = np.take_along_axis(values, order, 1), np.take_along_axis(weight, order, 1)
    after = np.cumsum(counts, axis=1)
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = np.diff(ordered, axis=1) > 1e-12
    stops = np.ones_like(starts)
    stops[:, :-1] = starts[:, 1:]
    begin = np.maximum.accumulate(np.where(starts, after - counts, 0.0), axis=1)
    end = np.minimum.accumulate(np.where(stops, after, np.inf)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty_like(values)
    np.put_along_axis(ranks, order, (begin + end) / 2, 1)
    return ranks


def spearman(x: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Spearman correlation within rows (draws, n) of pairs that count `weight` times: (draws,); NaN where one is
    constant.
    """
    total = weight.sum(axis=1, keepdims=True)
    divisor = np.where(total > 0, total, 1.0)
    a, b = (
        ranks - (ranks * weight).sum(axis=1, keepdims=True) / divisor
        for ranks in (midranks(x, weight), midranks(y, weight))
    )
    spread = np.sqrt((weight * a * a).sum(axis=1) * (weight * b * b).sum(axis=1))
    return np.asarray(np.divide((weight * a * b).sum(axis=1), spread, out=np.full(len(x), np.nan), where=spread > 1e-9))


def mantel(first: FloatArray, second: FloatArray, rng: np.random.Generator, permutations: int) -> tuple[float, float]:
    """Spearman correlation of two distance matrices (n, n) and its one-sided permutation p in (0, 1] (Mantel 1967).

    NaN, NaN with fewer than four points or where one matrix is constant off its diagonal.
    """
    upper = np.triu_indices(len(first), 1)
    ones = np.ones((1, len(upper[0])))
    if len(first) < 4:
        return float("nan"), float("nan")
    observed = float(spearman(first[upper][None], second[upper][None], ones)[0])
    if np.isnan(observed):
        return observed, observed
    ranks = midranks(first[upper][None], ones)[0]
    other = midranks(second[upper][None], ones)[0]
    square = np.zeros_like(first)
    square[upper] = square.T[upper] = ranks - ranks.mean()
    target = float(square[upper] @ other) - 1e-9
    beaten = 0
    for _ in range(permutations):
        order = rng.permutation(len(first))
        beaten += bool(square[order[upper[0]], order[upper[1]]] @ other >= target)
    return observed, (1 + beaten) / (1 + permutations)


def classical_mds(distances: FloatArray, dimensions: int = 2) -> tuple[FloatArray, float]:
    """Coordinates (n, dimensions) whose distances approximate `distances` (n, n), and Kruskal's stress-1 in [0, inf).

    Torgerson 1952; the axes are signed so that each one's largest coordinate in size is positive. Stress is NaN where
    all points coincide. ValueError on NaN.
    """
    if np.isnan(distances).any():
        raise ValueError("distances must not hold NaN: leave out points without a distance")
    n = len(distances)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    order = np.argsort(values)[::-1][:dimensions]
    points = np.zeros((n, dimensions))
    points[:, : len(order)] = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    largest = points[np.abs(points).argmax(axis=0), np.arange(dimensions)]
    points *= np.where(largest < 0, -1, 1)
    upper = np.triu_indices(n, 1)
    mapped = np.linalg.norm(points[:, None] - points[None], axis=-1)[upper]
    size = float((mapped**2).sum())
    stress = float(np.sqrt(((distances[upper] - mapped) ** 2).sum() / size)) if size > 1e-24 else float("nan")
    return points, stress
