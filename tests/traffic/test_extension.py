"""An extended trace is the original again and again: same reuse, same order, nothing shared between repetitions."""

from __future__ import annotations

import re

import numpy as np
import pytest

from scoville.errors import TrafficError
from scoville.traffic import Trace, extended, load, reused_tokens


@pytest.fixture(scope="module")
def mooncake() -> Trace:
    return load("mooncake-synthetic")


@pytest.fixture
def talk() -> Trace:
    """Four requests in 6 s, so a mean gap of 2 s and a period of 8 s; two sessions, one of two turns."""
    return Trace(
        "talk",
        "s",
        np.array([1.0, 2.0, 5.0, 7.0]),
        np.array([40, 50, 90, 64]),
        np.array([8, 9, 10, 11]),
        block_hashes=np.array([7, 7, 900, 7, -3, 7]),
        block_offsets=np.array([0, 1, 3, 5, 6]),
        block_tokens=32,
        client_ids=np.array([4, 4, 6, 4]),
        session_ids=np.array([10, 10, 99, 10]),
        parent=np.array([-1, 0, -1, 1]),
        think_s=np.array([0.0, 0.5, 0.0, 2.0]),
        priority=np.array([0, 1, 0, 1]),
        token_limit=np.array([0, 16, 0, 0]),
    )


def test_every_column_by_hand(talk: Trace) -> None:
    more = extended(talk, 10)
    assert more.arrival_s.tolist() == [1, 2, 5, 7, 9, 10, 13, 15, 17, 18]
    assert more.input_tokens.tolist() == [40, 50, 90, 64, 40, 50, 90, 64, 40, 50]
    assert more.output_tokens.tolist() == [8, 9, 10, 11, 8, 9, 10, 11, 8, 9]
    # Ids -3, 7 and 900 are numbers 0, 1, 2 of a repetition, and three more in each one after.
    assert more.block_hashes is not None and more.block_offsets is not None
    assert more.block_hashes.tolist() == [1, 1, 2, 1, 0, 1, 4, 4, 5, 4, 3, 4, 7, 7, 8]
    assert more.block_offsets.tolist() == [0, 1, 3, 5, 6, 7, 9, 11, 12, 13, 15]
    assert more.client_ids is not None and more.client_ids.tolist() == [4, 4, 6, 4, 4, 4, 6, 4, 4, 4]
    assert more.session_ids is not None and more.session_ids.tolist() == [0, 0, 1, 0, 2, 2, 3, 2, 4, 4]
    assert more.parent is not None and more.parent.tolist() == [-1, 0, -1, 1, -1, 4, -1, 5, -1, 8]
    assert more.think_s is not None and more.think_s.tolist() == [0, 0.5, 0, 2, 0, 0.5, 0, 2, 0, 0.5]
    assert more.priority is not None and more.priority.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert more.token_limit is not None and more.token_limit.tolist() == [0, 16, 0, 0, 0, 16, 0, 0, 0, 16]
    assert more.block_tokens == 32
    assert more.notes == (
        "4 requests repeated to 10, every 8 s: prefix blocks and sessions of each repetition are its own, clients are"
        " the same",
    )


def test_columns_that_a_trace_has_not_stay_away() -> None:
    plain = Trace("t", "s", np.arange(3.0), np.full(3, 5), np.full(3, 5))
    more = extended(plain, 7)
    assert more.columns() == ("arrival_s", "input_tokens", "output_tokens")
    assert more.arrival_s.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_reuse_of_each_repetition_is_that_of_the_original(mooncake: Trace) -> None:
    n = len(mooncake)
    more = extended(mooncake, 3 * n + 1000)
    original, reused = reused_tokens(mooncake), reused_tokens(more)
    for r in range(3):
        assert np.array_equal(reused[r * n : (r + 1) * n], original)
    assert np.array_equal(reused[3 * n :], original[:1000])
    assert more.block_hashes is not None and mooncake.block_hashes is not None
    whole = more.block_hashes[: 3 * len(mooncake.block_hashes)]
    assert len(np.unique(whole)) == 3 * len(np.unique(mooncake.block_hashes))


def test_arrivals_keep_their_gaps_and_their_rate(mooncake: Trace) -> None:
    n = len(mooncake)
    more = extended(mooncake, 4 * n)
    gaps = np.diff(more.arrival_s)
    assert np.all(gaps >= 0)
    for r in range(4):
        assert np.allclose(gaps[r * n : (r + 1) * n - 1], np.diff(mooncake.arrival_s), rtol=0, atol=1e-9)
    mean_s = mooncake.duration_s / (n - 1)
    assert gaps[n - 1 :: n] == pytest.approx([mean_s] * 3)
    assert more.duration_s / (4 * n - 1) == pytest.approx(mean_s)


def test_fewer_requests_are_the_first_ones(talk: Trace) -> None:
    less = extended(talk, 2)
    assert less.arrival_s.tolist() == [1, 2]
    assert less.block_offsets is not None and less.block_offsets.tolist() == [0, 1, 3]
    assert less.notes == ("the first 2 of 4 requests",)
    assert len(extended(Trace("t", "s", np.zeros(1), np.ones(1, int), np.ones(1, int)), 1)) == 1


def test_a_gap_too_small_for_the_clock_does_not_turn_back_time() -> None:
    late = Trace("t", "s", np.array([0.0, 9e9, 9e9 + 2e-6]), np.full(3, 5), np.full(3, 5))
    assert np.all(np.diff(extended(late, 20).arrival_s) >= 0)


def test_what_cannot_be_extended(talk: Trace) -> None:
    once = Trace("t", "s", np.zeros(5), np.full(5, 5), np.full(5, 5))
    sentence = (
        "t: cannot repeat 5 requests in 0 s, since they have no gap to be continued with; expected arrivals at two"
        " times or more, or at most 5 requests"
    )
    with pytest.raises(TrafficError, match=re.escape(sentence)):
        extended(once, 6)
    with pytest.raises(TrafficError, match="talk: cannot extend to 0 requests; expected an integer >= 1"):
        extended(talk, 0)
