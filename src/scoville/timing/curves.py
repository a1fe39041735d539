"""Operators whose time follows from the rows they work on: curves of seconds against rows, linear between knots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _knots() -> Array:
    """1 to 16, sixteen to the octave up to 32,768 (tiles of kernels are 16 to 256 rows), then octaves to 2^20."""
    fine = np.round(2.0 ** np.arange(4, 15, 1 / 16))
    return np.unique(np.concatenate([np.arange(1.0, 17.0), fine, 2.0 ** np.arange(15, 21)]))


ROWS: Array = _knots()


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Seconds of an operator at ROWS, by the rows that column `column` of the features counts.

    `seconds` has shape (n, K) for n chips, or (1, K) where all take the same time. `compute_bound` (K,) says where
    its arithmetic takes longer than its memory traffic; `source` whose times they are.
    """

    operator: int
    column: int
    seconds: Array
    compute_bound: NDArray[np.bool_]
    source: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where numbers of rows lie between the knots, each (m,); `runs_count` is 0 where there are none, else 1."""

    index: NDArray[np.intp]
    share_frac: Array
    runs_count: Array

    @classmethod
    def of(cls, rows: Array) -> Position:
        """Of numbers of rows, (m,). The first and the last piece go on beyond the ends; no rows take no time."""
        i = np.clip(np.searchsorted(ROWS, rows, side="right") - 1, 0, len(ROWS) - 2)
        return cls(i, (rows - ROWS[i]) / (ROWS[i + 1] - ROWS[i]), (rows > 0).astype(float))

    def at(self, values: Array) -> Array:
        """Values (..., K) at the positions: (..., m)."""
        low, high = values[..., self.index], values[..., self.index + 1]
        return np.asarray(np.maximum(low + (high - low) * self.share_frac, 0.0) * self.runs_count)
