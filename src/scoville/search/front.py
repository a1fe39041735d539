"""The exact Pareto front: the points that no other beats in one objective without losing in another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_HEAD = 1024  # points whose front is found pair by pair, before it thins out the rest
_PAIRS = 4_000_000  # comparisons held in memory at a time


def front(values: Array) -> NDArray[np.intp]:
    """Positions of the front, ascending; values (n, k) are objectives, less is better.

    A point is on the front if no other is at most as large in all objectives and smaller in one. Of points equal in
    all the first stays, so that fronts of parts, merged in order, are the front of the whole. Rows with a value that
    is not finite are left out.

    Points are taken by the sum of their scaled objectives (Chomicki et al. 2003, "Skyline with presorting"): whatever
    dominates a point comes before it, and those that dominate most come first.

    >>> front(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [1.0, 3.0]])).tolist()
    [0, 1]
    """
    kept = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(kept):
        return kept
    _, first = np.unique(values[kept], axis=0, return_index=True)  # in lexicographic order: ties of the sum need it
    kept = kept[first]
    points = values[kept]
    scale = np.abs(points).max(axis=0)
    order = np.argsort((points / np.where(scale > 0, scale, 1.0)).sum(axis=1), kind="stable")
    kept, points = kept[order], points[order]
    found = []
    while len(kept):
        head = _undominated(points[:_HEAD], points[:_HEAD], itself=True)
        found.append(kept[:_HEAD][head])
        rest = _undominated(points[_HEAD:], points[:_HEAD][head])
        kept, points = kept[_HEAD:][rest], points[_HEAD:][rest]
    return np.sort(np.concatenate(found))


def _undominated(points: Array, by: Array, itself: bool = False) -> NDArray[np.intp]:
    """Positions of the points that none of `by` dominates; all rows of the two are distinct, or they are the same."""
    alive = np.arange(len(points))
    start = 0
    while start < len(by) and len(alive):
        end = start + max(1, _PAIRS // len(alive))
        beaten = np.ones((len(alive), len(by[start:end])), bool)
        for column in range(points.shape[1]):
            beaten &= by[start:end, column] <= points[alive, column][:, None]
        if itself:
            inside = np.flatnonzero((alive >= start) & (alive < end))
            beaten[inside, alive[inside] - start] = False
        alive = alive[~beaten.any(axis=1)]
        start = end
    return alive
