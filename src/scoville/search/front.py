"""The exact Pareto front: the points that no other beats in one objective without losing in another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SAMPLE = 4096  # points whose front thins out the others
_HEAD = 1024  # points whose front is found pair by pair, before it is held to the rest
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
    if len(kept) > 2 * _SAMPLE:
        sample = kept[:: len(kept) // _SAMPLE]
        kept = kept[_hardly_beaten(values[kept], values[sample[front(values[sample])]])]
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


def _hardly_beaten(points: Array, by: Array) -> NDArray[np.bool_]:
    """False for points that one of a few of `by` dominates, chosen for each: quick, and leaves some that others would.

    Of those with at most the point's value of one objective, the least in a mix of the others.
    """
    k = points.shape[1]
    scaled = by / np.where((top := np.abs(by).max(axis=0)) > 0, top, 1.0)
    mixes = scaled @ np.vstack([np.eye(k), np.ones(k), 1 + 3 * np.eye(k)]).T
    alive = np.arange(len(points))
    for column in range(k):
        order = np.argsort(by[:, column])
        for mix in mixes[order].T:
            least = order[np.maximum.accumulate(np.where(mix <= np.minimum.accumulate(mix), np.arange(len(mix)), 0))]
            mine = points[alive]
            place = np.searchsorted(by[order, column], mine[:, column], side="right") - 1
            chosen = by[least[place]]
            beaten = (chosen <= mine).all(axis=1) & (chosen < mine).any(axis=1) & (place >= 0)
            alive = alive[~beaten]
    kept = np.zeros(len(points), bool)
    kept[alive] = True
    return kept


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
