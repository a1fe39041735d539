"""Two traces become one and are told apart again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scoville.errors import TrafficError
from scoville.serving.offline import with_offline
from scoville.traffic import Trace


def trace(n: int, **columns: Any) -> Trace:
    return Trace("t", "made up", np.arange(3.0, 3.0 + n), np.full(n, 40), np.full(n, 5), **columns)


def test_offline_requests_come_first_and_in_the_last_class() -> None:
    both = with_offline(trace(3, priority=np.array([0, 2, 1])), trace(2))
    assert both.arrival_s.tolist() == [3.0, 3.0, 3.0, 4.0, 5.0]
    assert both.priority is not None and both.priority.tolist() == [3, 3, 0, 2, 1]


def test_turns_and_clients_are_renumbered() -> None:
    own = trace(3, client_ids=np.array([4, 4, 1]), session_ids=np.array([0, 0, 5]), parent=np.array([-1, 0, -1]),
                think_s=np.array([0.0, 2.0, 0.0]))  # fmt: skip
    both = with_offline(own, trace(2))
    for name, values in (
        ("client_ids", [5, 5, 4, 4, 1]), ("session_ids", [6, 7, 0, 0, 5]), ("parent", [-1, -1, -1, 2, -1]),
        ("think_s", [0.0, 0.0, 0.0, 2.0, 0.0]),
    ):  # fmt: skip
        assert getattr(both, name).tolist() == values


def test_blocks_count_where_they_are_of_one_size() -> None:
    blocks: dict[str, Any] = {"block_hashes": np.array([1, 2, 1]), "block_offsets": np.array([0, 2, 3])}
    both = with_offline(trace(2, **blocks, block_tokens=16), trace(2, **blocks, block_tokens=16))
    assert both.block_offsets is not None and both.block_offsets.tolist() == [0, 2, 3, 5, 6]
    assert both.block_hashes is not None and both.block_hashes.tolist() == [1, 2, 1, 1, 2, 1]
    other = with_offline(trace(2, **blocks, block_tokens=16), trace(2, **blocks, block_tokens=20))
    assert other.block_offsets is not None and other.block_offsets.tolist() == [0, 0, 0, 2, 3]


def test_a_class_has_to_be_left() -> None:
    with pytest.raises(TrafficError, match="priority 126 is the last class"):
        with_offline(trace(2, priority=np.array([126, 0])), trace(1))
