"""The record itself: what it refuses, and what it does to its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scoville.errors import TrafficError
from scoville.traffic.trace import Trace, build


def trace(**columns: Any) -> Trace:
    """Three requests a second apart, with some columns replaced."""
    plain: dict[str, Any] = {"arrival_s": [0.0, 1.0, 2.0], "input_tokens": [10, 20, 30], "output_tokens": [1, 2, 3]}
    return Trace(name="t", source="s", **{k: np.array(v) for k, v in (plain | columns).items() if k != "block_tokens"},
                 block_tokens=columns.get("block_tokens", 0))  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"arrival_s": []}, "s: the trace is empty; expected at least one request"),
        ({"arrival_s": [0.0, 2.0, 1.0]}, "t: request 2: arrival_s is 1.0; expected arrivals in non-decreasing order"),
        ({"arrival_s": [0.0, 1.0, np.inf]}, "t: request 2: arrival_s is inf; expected seconds from 0 to 1e+11"),
        ({"arrival_s": [-1.0, 1.0, 2.0]}, "t: request 0: arrival_s is -1.0; expected seconds from 0 to 1e+11"),
        ({"input_tokens": [10, 0, 30]}, "t: request 1: input_tokens is 0; expected an integer >= 1"),
        ({"output_tokens": [1, 2, 0]}, "t: request 2: output_tokens is 0; expected an integer >= 1"),
        ({"output_tokens": [1, 2]}, "t: output_tokens has shape (2,); expected (3,)"),
        ({"output_tokens": [1.0, 2.0, 2.5]}, "t: output_tokens has type float64; expected integers"),
        ({"output_tokens": [1, 2, 2**31]}, "t: output_tokens reaches 2147483648; expected at most 2147483647"),
        ({"parent": [-1, 0, 2], "think_s": [0.0, 1.0, 1.0]},
         "t: request 2: parent is 2; expected the index of an earlier request, or -1"),
        ({"parent": [-1, 0, 1]}, "t: parent and think_s come together or not at all"),
        ({"parent": [-1, 0, 1], "think_s": [0.0, -1.0, 1.0]},
         "t: request 1: think_s is -1.0; expected a number of seconds >= 0"),
        ({"token_limit": [0, 1, 3]}, "t: request 1: token_limit is 1; expected 0 for none, or at least output_tokens"),
        ({"priority": [0, -1, 0]}, "t: request 1: priority is -1; expected an integer from 0 to 127"),
        ({"client_ids": [0, 1, -2]}, "t: request 2: client_ids is -2; expected an integer >= 0"),
        ({"block_hashes": [1]}, "t: block_hashes and block_offsets come together or not at all"),
        ({"block_hashes": [1, 2], "block_offsets": [0, 1, 1, 1], "block_tokens": 16},
         "t: block_offsets must rise from 0 to the 2 block_hashes"),
        ({"block_hashes": [1, 2], "block_offsets": [0, 2, 2, 2], "block_tokens": 16},
         "t: request 0 has 2 blocks of 16 tokens but only 10 input tokens"),
        ({"block_hashes": [1], "block_offsets": [0, 1, 1, 1]}, "t: block_tokens is 0; expected an integer >= 1"),
        ({"block_tokens": 16}, "t: block_tokens is 16 but there are no block_hashes"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrafficError) as error:
        trace(**columns)
    assert str(error.value) == sentence


def test_columns_are_cast_and_cannot_be_written_to() -> None:
    given = np.array([0.0, 1.0, 2.0])
    t = trace(arrival_s=given)
    assert (t.arrival_s.dtype, t.input_tokens.dtype) == (np.float64, np.int32)
    with pytest.raises(ValueError, match="read-only"):
        t.arrival_s[0] = 5
    given[0] = 0.0  # the caller's own array stays writable


def test_rows_in_any_order_are_sorted_with_their_parents() -> None:
    t = build(
        name="t",
        source="s",
        arrival_s=np.array([7.0, 5.0, 6.0]),
        input_tokens=np.array([30, 10, 20]),
        output_tokens=np.array([3, 1, 2]),
        parent=np.array([2, -1, 1]),
        think_s=np.array([0.5, 0.0, 0.25]),
        block_lists=[[3], [1], []],
        block_tokens=16,
    )
    assert t.arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert t.input_tokens.tolist() == [10, 20, 30]
    assert t.parent is not None
    assert t.parent.tolist() == [-1, 0, 1]
    assert t.block_hashes is not None
    assert t.block_offsets is not None
    assert (t.block_hashes.tolist(), t.block_offsets.tolist()) == ([1, 3], [0, 1, 1, 2])


def test_demand_counts_input_and_output() -> None:
    assert trace().demand_tokens_per_s == (10 + 20 + 30 + 1 + 2 + 3) / 2
    with pytest.raises(TrafficError, match="all 3 requests arrive at once"):
        _ = trace(arrival_s=[1.0, 1.0, 1.0]).demand_tokens_per_s


def test_equality_looks_at_columns_only() -> None:
    assert trace().equals(trace())
    assert not trace().equals(trace(output_tokens=[1, 2, 4]))
    assert not trace().equals(trace(client_ids=[1, 2, 3]))
