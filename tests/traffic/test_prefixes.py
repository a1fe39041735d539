"""Ids of blocks that can be shared: by hand, against the content itself, and on real traces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import TrafficError
from scoville.traffic import Trace, extended, load, prefix_blocks, reused_tokens


def _turns(lengths: list[tuple[int, int]], **columns: object) -> Trace:
    n = len(lengths)
    inputs, outputs = zip(*lengths, strict=True)
    if "parent" in columns:
        columns["think_s"] = np.zeros(n)
    return Trace("talk", "s", np.arange(n) * 1.0, np.array(inputs), np.array(outputs), **columns)  # type: ignore[arg-type]


def _lists(trace: Trace, block_tokens: int) -> list[list[int]]:
    found = prefix_blocks(trace, block_tokens)
    assert found is not None
    ids, offsets, _ = found
    assert ids.dtype == offsets.dtype == np.int64
    assert sorted(set(ids.tolist())) == list(range(len(set(ids.tolist()))))
    return [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())]


def test_hashes_of_full_blocks_only() -> None:
    """40 tokens are 2 blocks of 16 and 8 tokens, 32 are 2 in full, 100 tokens have fewer hashes than blocks."""
    trace = _turns(
        [(40, 5), (32, 5), (100, 5), (7, 5)],
        block_hashes=np.array([50, -7, 9, 50, -7, 50, -7, 1000, 4]),
        block_offsets=np.array([0, 3, 5, 8, 9]),
        block_tokens=16,
    )
    assert _lists(trace, 16) == [[1, 0], [1, 0], [1, 0, 2], []]
    assert _lists(trace, 8) == _lists(trace, 16)
    found = prefix_blocks(trace, 8)
    assert found is not None and found[2] == 16


def test_hashes_far_apart_are_numbered_as_well() -> None:
    trace = _turns(
        [(32, 5), (32, 5)],
        block_hashes=np.array([2**63 - 1, -(2**63), 2**63 - 1, 5]),
        block_offsets=np.array([0, 2, 4]),
        block_tokens=16,
    )
    assert _lists(trace, 16) == [[2, 0], [2, 1]]


def test_a_conversation_by_hand() -> None:
    """Blocks of 16. Turn 1: 40 + 30 = 70 tokens. Turn 2 of 100 + 20 begins with them. Turn 3 asks 50, all known."""
    talk = _turns([(40, 30), (20, 3), (100, 20), (50, 15)], parent=np.array([-1, -1, 0, 2]))
    assert _lists(talk, 16) == [[0, 1, 2, 3], [4], [0, 1, 2, 3, 5, 6, 7], [0, 1, 2, 8]]
    found = prefix_blocks(talk, 16)
    assert found is not None and found[2] == 16


def test_two_turns_after_one_share_its_blocks_only() -> None:
    fork = _turns([(32, 16), (64, 16), (64, 16)], parent=np.array([-1, 0, 0]))
    assert _lists(fork, 16) == [[0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 5, 6]]


def test_sessions_without_parents_are_followed_in_order() -> None:
    talk = _turns([(40, 30), (20, 3), (100, 20), (50, 15)], session_ids=np.array([3, 0, 3, 3]))
    assert _lists(talk, 16) == [[0, 1, 2, 3], [4], [0, 1, 2, 3, 5, 6, 7], [0, 1, 2, 8]]


def test_requests_shorter_than_a_block_have_none() -> None:
    assert _lists(_turns([(3, 3), (4, 4)], parent=np.array([-1, 0])), 16) == [[], []]
    assert _lists(_turns([(3, 3), (30, 4), (3, 3)], parent=np.array([-1, 0, -1])), 16) == [[], [0, 1], []]


def test_a_trace_that_knows_nothing_of_content() -> None:
    assert prefix_blocks(_turns([(40, 30)]), 16) is None


@given(st.data())
def test_ids_are_equal_where_the_content_up_to_the_block_is(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    block_tokens = data.draw(st.integers(1, 9))
    lengths = [(data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20))) for _ in range(n)]
    parent = [data.draw(st.integers(-1, i - 1)) for i in range(n)]
    contents: list[list[tuple[int, int]]] = []
    for i, (prompt, answer) in enumerate(lengths):
        known = contents[parent[i]][:prompt] if parent[i] >= 0 else []
        contents.append(known + [(i, t) for t in range(len(known), prompt + answer)])
    found = _lists(_turns(lengths, parent=np.array(parent)), block_tokens)
    meaning: dict[int, tuple[tuple[int, int], ...]] = {}
    for content, ids in zip(contents, found, strict=True):
        assert len(ids) == len(content) // block_tokens
        for k, id in enumerate(ids):
            upto = tuple(content[: (k + 1) * block_tokens])
            assert meaning.setdefault(id, upto) == upto
    assert len(set(meaning.values())) == len(meaning)


def test_blocks_of_the_bundled_trace_are_its_hashes() -> None:
    trace = extended(load("mooncake-synthetic"), 5000)
    assert trace.block_hashes is not None and trace.block_offsets is not None
    found = prefix_blocks(trace, 64)
    assert found is not None
    ids, offsets, tokens = found
    assert tokens == 512
    full = np.minimum(trace.input_tokens // 512, np.diff(trace.block_offsets))
    assert np.array_equal(np.diff(offsets), full)
    # The blocks alone tell the same reuse, where a run is not cut by a part-filled block.
    alone = Trace(
        "t", "s", trace.arrival_s, trace.input_tokens, trace.output_tokens,
        block_hashes=ids, block_offsets=offsets, block_tokens=512,
    )  # fmt: skip
    assert np.array_equal(reused_tokens(alone), np.minimum(reused_tokens(trace) // 512, full) * 512)


def test_block_sizes_that_do_not_fit() -> None:
    trace = _turns([(40, 5)], block_hashes=np.array([1]), block_offsets=np.array([0, 1]), block_tokens=512)
    with pytest.raises(TrafficError, match="its prefix blocks of 512 tokens are no multiple of cache blocks of 48"):
        prefix_blocks(trace, 48)
    with pytest.raises(TrafficError, match="talk: prefix blocks of 0 tokens; expected an integer >= 1"):
        prefix_blocks(trace, 0)
