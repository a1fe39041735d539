"""Operators whose time follows from the rows they work on: curves of seconds against rows, linear between knots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _knots() -> Array:
    """1 to 16, sixteen to the octave up to 32,768 (tiles of kernels are 16 to 256 rows), then octaves to 2^20."""
    fine = np.round(2.0 ** np.arange(4, 15, 1 / 16))
    return np.unique(np.concatenate([np.arange(1.0, 17.0), fine, 2.0 ** np.arange(15, 21)]))


ROWS: Array = _knots()


@lru_cache(maxsize=1)
def _below() -> NDArray[np.intp]:
    """By whole rows up to 32,768, which of ROWS is the last that is no more; knots are whole."""
    return np.maximum(np.searchsorted(ROWS, np.arange((1 << 15) + 1), side="right") - 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Seconds of an operator at ROWS, by the rows that column `column` of the features counts.

    `seconds` has shape (n, K) for n chips, or (1, K) where all take the same time. `compute_bound` (K,) says where
    its arithmetic takes longer than its memory traffic; `source` whose times they are, and beyond
    `measured_rows_count` what was measured is extrapolated.
    """

    operator: int
    column: int
    seconds: Array
    compute_bound: NDArray[np.bool_]
    source: str
    measured_rows_count: float = np.inf

    def source_at(self, rows: float) -> str:
        """Whose time that of `rows` rows is."""
        return "extrapolated" if self.source == "measured" and rows > self.measured_rows_count else self.source


@dataclass(frozen=True, slots=True)
class Position:
    """Where numbers of rows lie between the knots, each (m,); `runs_count` is 0 where there are none, else 1."""

    index: NDArray[np.intp]
    share_frac: Array
    runs_count: Array

    @classmethod
    def of(cls, rows: Array) -> Position:
        """Of numbers of rows, (m,). The first and the last piece go on beyond the ends; no rows take no time."""
        below = _below()
        i = below.take(rows.astype(np.intp), mode="clip")
        if (many := rows >= len(below)).any():
            i[many] = np.minimum(np.searchsorted(ROWS, rows[many], side="right") - 1, len(ROWS) - 2)
        return cls(i, (rows - ROWS[i]) / (ROWS[i + 1] - ROWS[i]), (rows > 0).astype(float))

    def at(self, values: Array) -> Array:
        """Values (..., K) at the positions: (..., m). Knots come first in memory, so that each position is one read."""
        knots = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        column = (-1, *(1,) * (knots.ndim - 1))
        found = np.diff(knots, axis=0).take(self.index, axis=0)
        found *= self.share_frac.reshape(column)
        found += knots.take(self.index, axis=0)
        np.maximum(found, 0.0, out=found)
        found *= self.runs_count.reshape(column)
        return np.asarray(np.moveaxis(found, 0, -1))
