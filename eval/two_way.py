"""Variance of a statistic over a table of two crossed clusterings: items and countries, or seeds and data draws."""

from __future__ import annotations

from eval.distances import FloatArray


def two_way(influence: FloatArray) -> tuple[float, float, float]:
    """Variances of the statistic from its rows and from its columns, and the share in [1/2, 1] of their sum to keep.

    `influence` (rows, columns), the first-order influence of each entry, sums to 0; a single row or column has variance
    0. An entry's own noise is in both variances: the share takes it out once (Cameron, Gelbach & Miller 2011, eq.
    2.11), but never leaves less than the larger of the two.
    """
    rows, columns = (
        float((influence.sum(axis=1 - axis) ** 2).sum()) * clusters / max(clusters - 1, 1) * (clusters > 1)
        for axis, clusters in enumerate(influence.shape)
    )
    if min(rows, columns) == 0:
        return rows, columns, 1.0
    once = max(rows + columns - float((influence**2).sum()), rows, columns)
    return rows, columns, once / (rows + columns)
