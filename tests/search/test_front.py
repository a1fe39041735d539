"""The Pareto front equals the slow and obvious one, ties included, whole or merged from parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from scoville.search import front as module
from scoville.search.front import front

Array = NDArray[np.float64]

# Few distinct values, so that ties are the rule.
TIED = st.integers(1, 4).flatmap(
    lambda k: arrays(np.float64, st.tuples(st.integers(0, 40), st.just(k)), elements=st.integers(-3, 3).map(float))
)
ANY = st.integers(1, 4).flatmap(
    lambda k: arrays(
        np.float64, st.tuples(st.integers(0, 40), st.just(k)), elements=st.floats(-1e6, 1e6, allow_subnormal=False)
    )
)


def by_pairs(values: Array) -> list[int]:
    """No other point at most as large in all and smaller in one, and no earlier point that is equal."""
    found = []
    for i, a in enumerate(values):
        beaten = any((b <= a).all() and (b < a).any() for b in values)
        if not beaten and not any((b == a).all() for b in values[:i]):
            found.append(i)
    return found


@given(TIED | ANY)
def test_front_equals_the_comparison_of_all_pairs(values: Array) -> None:
    assert front(values).tolist() == by_pairs(values), "the front differs from the one found pair by pair"


@given(TIED, st.integers(1, 7))
def test_merged_fronts_of_parts_are_the_front_of_the_whole(values: Array, size: int) -> None:
    kept = np.empty(0, np.intp)
    for start in range(0, len(values), size):
        both = np.concatenate([kept, start + front(values[start : start + size])])
        kept = both[front(values[both])]
    assert kept.tolist() == front(values).tolist(), "fronts of parts, merged, are not the front of all"


def test_rows_that_are_not_finite_are_left_out() -> None:
    values = np.array([[1.0, np.inf], [2.0, 2.0], [np.nan, 0.0]])
    assert front(values).tolist() == [1], "an infeasible point is on the front"


def test_many_points_are_thinned_and_taken_in_heads_and_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random((300, 3)).round(1)
    whole = front(values)
    monkeypatch.setattr(module, "_SAMPLE", 20)
    monkeypatch.setattr(module, "_HEAD", 8)
    monkeypatch.setattr(module, "_PAIRS", 50)
    assert front(values).tolist() == whole.tolist() == by_pairs(values), "the front depends on how it is cut up"
