"""Gross dies on a round wafer: the exact count of the best grid, and Chiplet Actuary's formula beside it.

A wafer is cut along straight lines, so its dies stand on one grid whose offset may be chosen. A die counts when all of
it lies inside of the wafer less the edge exclusion; touching that edge, within a nanometre, is inside. The wafer has no
notch.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_TOUCHING_MM = 1e-6
_NARROWEST_MM = 1e-9
_AT_ONCE = 4096
_SIZES_AT_ONCE = 256
_ANY = np.iinfo(np.int64).max


def gross_dies(
    width_mm: ArrayLike, height_mm: ArrayLike, *, scribe_mm: float, edge_mm: float, wafer_mm: float
) -> Counts:
    """Whole dies on a wafer with the best grid offset, exact; shapes broadcast. Millimetres.

    `scribe_mm` is the lane between two dies, `edge_mm` the excluded ring, `wafer_mm` the wafer's diameter. 26 x 33 mm
    with a lane of 0.1 and an edge of 3 on 300: 64. Raises ValueError where a size is not positive.
    """
    width, height = np.broadcast_arrays(np.asarray(width_mm, float), np.asarray(height_mm, float))
    if not ((width > 0).all() and (height > 0).all()):
        raise ValueError("a die's width and height must be positive")
    sizes, back = np.unique(np.stack([width.ravel(), height.ravel()]), axis=1, return_inverse=True)
    any_count = np.zeros(sizes.shape[1], np.int64), np.full(sizes.shape[1], _ANY)
    return _most(sizes[0], sizes[1], scribe_mm, wafer_mm / 2 - edge_mm, *any_count)[back].reshape(width.shape)


def _most(width: Floats, height: Floats, scribe: float, radius: float, least: Counts, most: Counts) -> Counts:
    """The largest count of each die size, all shapes (n,), by branch and bound over the grid's vertical offset.

    It is known to lie between `least` and `most`.

    At one vertical offset the best horizontal one is found exactly (`_best_across`). Over a span of vertical offsets no
    row is longer than at the end of the span where the row lies nearest to the middle; the count with every row that
    long bounds the span, and a span whose bound does not pass the best count found is dropped. By symmetry offsets up
    to half a pitch suffice.
    """
    if len(width) > _SIZES_AT_ONCE:
        parts = [slice(i, i + _SIZES_AT_ONCE) for i in range(0, len(width), _SIZES_AT_ONCE)]
        return np.concatenate([_most(width[p], height[p], scribe, radius, least[p], most[p]) for p in parts])
    radius += _TOUCHING_MM
    pitch = height + scribe
    rows = int(np.ceil(radius / pitch.min())) + 1 if len(pitch) else 0
    k = np.arange(-rows, rows + 1)
    best = least.copy()
    die = np.repeat(np.arange(len(width)), 8)
    step = np.tile(np.arange(8), len(width)) / 8
    low, high = step * pitch[die] / 2, (step + 1 / 8) * pitch[die] / 2

    def count(die: NDArray[np.int64], upper: Floats, lower: Floats) -> Counts:
        """The best count with rows above the middle at offset `upper` and those below at `lower`."""
        counts = np.empty(len(die), np.int64)
        for i in range(0, len(die), _AT_ONCE):
            d, part = die[i : i + _AT_ONCE], slice(i, i + _AT_ONCE)
            offset = np.where(k >= 0, upper[part, None], lower[part, None])
            far = np.abs(offset + k * pitch[d, None]) + height[d, None] / 2
            half = np.sqrt(np.maximum(radius**2 - far**2, 0.0)) - width[d, None] / 2
            counts[part] = _best_across(np.where(far <= radius, half, -1.0) / (width[d, None] + scribe))
        return counts

    while len(die):
        middle = (low + high) / 2
        np.maximum.at(best, die, count(die, middle, middle))
        open_ = (best < most)[die] & (high - low > _NARROWEST_MM)
        open_[open_] = count(die[open_], low[open_], high[open_]) > best[die[open_]]
        die, low, middle, high = die[open_], low[open_], middle[open_], high[open_]
        die, low, high = np.tile(die, 2), np.concatenate([low, middle]), np.concatenate([middle, high])
    return best


def _best_across(half: Floats) -> Counts:
    """Dies of rows that share a horizontal offset, the best one taken; `half` (n, rows) in pitches, negative = no die.

    `half` is how far from the middle a die's centre may lie. With whole part m and fraction f, a row has 2 m + 1 dies
    at offset u in [0, 1/2]; one less where f < 1/2 and u > f; one more where f >= 1/2 and u >= 1 - f. Rows of the first
    kind want a small offset, so the best is 0 or the 1 - f of some row of the second kind.
    """
    whole = np.floor(half)
    fraction = half - whole
    there = half >= 0
    losing, winning = there & (fraction < 0.5), there & (fraction >= 0.5)
    lost_beyond = np.where(losing, fraction, 2.0)
    won_from = np.where(winning, 1 - fraction, 2.0)
    gained = np.zeros(len(half), np.int64)
    for row in np.flatnonzero(winning.any(axis=0)):
        u = won_from[:, row : row + 1]
        change = (won_from <= u).sum(axis=1) - (lost_beyond < u).sum(axis=1)
        np.maximum(gained, np.where(winning[:, row], change, 0), out=gained)
    at_zero: Counts = np.where(there, 2 * whole + 1, 0).sum(axis=1).astype(np.int64)
    return at_zero + gained


class Outline(Hashable, Protocol):
    """How a die's sides follow from its area; both must grow with it. Equal ones share what is remembered."""

    def sides_mm(self, area_mm2: Floats) -> tuple[Floats, Floats]:
        """Width and height of dies of these areas."""
        ...


@dataclass(frozen=True, slots=True)
class Square:
    """A square, or as wide as `field_mm` where a square would be too wide."""

    field_mm: tuple[float, float]

    def sides_mm(self, area_mm2: Floats) -> tuple[Floats, Floats]:
        """Width and height of dies of these areas."""
        width = np.minimum(np.sqrt(area_mm2), min(self.field_mm))
        return width, area_mm2 / width


def gross_dies_of_area(
    area_mm2: ArrayLike, *, field_mm: tuple[float, float], scribe_mm: float, edge_mm: float, wafer_mm: float
) -> Counts:
    """`gross_dies` for squares of these areas, no wider than the field; exact, fast for millions of areas."""
    return gross_dies_of_outline(area_mm2, Square(field_mm), scribe_mm=scribe_mm, edge_mm=edge_mm, wafer_mm=wafer_mm)


def gross_dies_of_outline(
    area_mm2: ArrayLike, outline: Outline, *, scribe_mm: float, edge_mm: float, wafer_mm: float
) -> Counts:
    """`gross_dies` for the sides that the outline gives each area; exact for each, fast for millions of areas.

    A larger die never fits more often: moving the grid of the larger one towards the middle keeps every smaller die
    inside. So areas between two of equal count have that count too; few counts are ever computed, and those are
    remembered.
    """
    area = np.asarray(area_mm2, float)
    return _ladder(outline, scribe_mm, edge_mm, wafer_mm).at(area.ravel()).reshape(area.shape)


class _Ladder:
    """Areas whose count is known, ascending, with their counts, descending."""

    def __init__(self, outline: Outline, scribe_mm: float, edge_mm: float, wafer_mm: float) -> None:
        self._outline, self._wafer = outline, (scribe_mm, edge_mm, wafer_mm)
        self._areas, self._counts = np.empty(0), np.empty(0, np.int64)

    def _compute(self, areas: Floats, least: Counts, most: Counts) -> None:
        """Compute these, known to lie between two counts, and forget what lies inside a run of equal counts."""
        scribe, edge, wafer = self._wafer
        width, height = self._outline.sides_mm(areas)
        counts = _most(width, height, scribe, wafer / 2 - edge, least, most)
        every = np.concatenate([self._areas, areas])
        order = np.argsort(every)
        every, counts = every[order], np.concatenate([self._counts, counts])[order]
        change = np.flatnonzero(np.diff(counts))
        kept = np.unique(np.concatenate([[0, len(every) - 1], change, change + 1]))
        self._areas, self._counts = every[kept], counts[kept]

    def at(self, areas: Floats) -> Counts:
        if not len(areas):
            return np.empty(0, np.int64)
        if not areas.min() > 0:
            raise ValueError("a die's area must be positive")
        ends = np.array([areas.min(), areas.max()])
        if not len(self._areas) or ends[0] < self._areas[0] or ends[1] > self._areas[-1]:
            new = np.setdiff1d(ends, self._areas)
            self._compute(new, np.zeros(len(new), np.int64), np.full(len(new), _ANY))
        while True:
            right = np.searchsorted(self._areas, areas)
            left = np.maximum(right - 1, 0)
            exact = self._areas[right] == areas
            unknown = ~exact & (self._counts[left] != self._counts[right])
            if not unknown.any():
                return self._counts[right]
            # The middle one of the areas asked for in each open gap halves what is unknown in it.
            gaps = right[unknown]
            order = np.lexsort((areas[unknown], gaps))
            starts = np.flatnonzero(np.diff(gaps[order], prepend=-1))
            middle = order[starts + np.diff(np.append(starts, len(order))) // 2]
            self._compute(areas[unknown][middle], self._counts[gaps[middle]], self._counts[gaps[middle] - 1])


@lru_cache(maxsize=64)
def _ladder(outline: Outline, scribe_mm: float, edge_mm: float, wafer_mm: float) -> _Ladder:
    return _Ladder(outline, scribe_mm, edge_mm, wafer_mm)


def chiplet_actuary_dies(
    area_mm2: ArrayLike, *, scribe_mm: float = 0.2, edge_mm: float = 5.0, wafer_mm: float = 300.0
) -> Floats:
    """Dies per wafer by Chiplet Actuary's formula (Yinxiao-Feng/DAC2022@d8dc4f1: ChipletHL/chip.py), not rounded.

    pi (d/2 - e)^2 / A' - pi (d - 2 e) / sqrt(2 A') with A' = A + 2 s sqrt(A) + s^2; its own edge and lane by default.
    858 mm2: 54.7.
    """
    area = np.asarray(area_mm2, float)
    cell = area + 2 * scribe_mm * np.sqrt(area) + scribe_mm**2
    dies: Floats = np.pi * (wafer_mm / 2 - edge_mm) ** 2 / cell - np.pi * (wafer_mm - 2 * edge_mm) / np.sqrt(2 * cell)
    return dies
