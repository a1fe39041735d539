"""A trace reduced to its moments, against loops over every token."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.serving import shape
from scoville.traffic import Trace

WINDOWS = (None, 8, 128)
lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=6)


def trace(pairs: list[tuple[int, int]], arrivals: list[float] | None = None, **fields: object) -> Trace:
    return Trace(
        name="small",
        source="test",
        arrival_s=np.array(arrivals or range(len(pairs)), float),
        input_tokens=np.array([i for i, _ in pairs]),
        output_tokens=np.array([o for _, o in pairs]),
        **fields,  # type: ignore[arg-type]
    )


def within(context: int, window: int | None) -> int:
    return context if window is None else min(context, window)


@given(lengths)
def test_context_held_is_counted_token_by_token(pairs: list[tuple[int, int]]) -> None:
    s = shape(trace(pairs), WINDOWS, 16)
    for w in WINDOWS:
        held = [within(i + j, w) for i, o in pairs for j in range(1, o + 1)]
        assert s.held_tokens[w] == pytest.approx(sum(held) / len(held))
        seen = [sum(within(q, w) for q in range(1, i + 1)) for i, _ in pairs]
        assert s.pairs_tokens[w] == pytest.approx(sum(seen) / len(seen))


@given(lengths, st.integers(1, 40))
def test_cache_read_in_pieces_is_counted_piece_by_piece(pairs: list[tuple[int, int]], chunk: int) -> None:
    s = shape(trace(pairs), WINDOWS, chunk)
    for w in WINDOWS:
        total = 0.0
        for prompt, _ in pairs:
            count = -(-prompt // chunk)
            size = prompt / count
            for j in range(1, count + 1):
                total += min(j * size, np.inf if w is None else w + size)
        assert s.prompt_kv_tokens[w] == pytest.approx(total / len(pairs))


@given(lengths)
def test_moments_of_prompts_and_gaps(pairs: list[tuple[int, int]]) -> None:
    arrivals = np.cumsum([0.5 + (k * k) % 7 for k in range(len(pairs))])
    s = shape(trace(pairs, list(arrivals)), (None,), 16)
    x = [i for i, _ in pairs]
    mean = sum(x) / len(x)
    assert s.input_tokens == s.fresh_input_tokens == pytest.approx(mean)
    assert s.output_tokens == pytest.approx(sum(o for _, o in pairs) / len(pairs))
    assert s.prompt_second_frac == pytest.approx(sum(v**2 for v in x) / len(x) / mean**2)
    assert s.prompt_third_frac == pytest.approx(sum(v**3 for v in x) / len(x) / mean**3)
    answers = [o for _, o in pairs]
    assert s.longest_tokens == max(i + o for i, o in pairs)
    assert s.output_inverse_frac == pytest.approx(sum(1 / o for o in answers) / len(x) * s.output_tokens)
    gaps = [b - a for a, b in itertools.pairwise(arrivals)]
    if gaps:
        m = sum(gaps) / len(gaps)
        assert s.gap_scv_frac == pytest.approx(sum((g - m) ** 2 for g in gaps) / len(gaps) / m**2)


def test_requests_at_one_instant_count_as_poisson() -> None:
    assert shape(trace([(5, 5), (5, 5)], [3.0, 3.0]), (None,), 16).gap_scv_frac == 1.0
    assert shape(trace([(5, 5)]), (None,), 16).gap_scv_frac == 1.0


def test_repeated_blocks_are_found_but_the_last_token_is_computed() -> None:
    # Blocks of 4: the second prompt repeats the first one's two blocks, the third repeats the second entirely.
    t = trace(
        [(8, 1), (10, 1), (10, 1)],
        block_hashes=np.array([1, 2, 1, 2, 3, 1, 2, 3]),
        block_offsets=np.array([0, 2, 5, 8]),
        block_tokens=4,
    )
    s = shape(t, (None,), 16)
    assert s.cached_input_tokens == pytest.approx((0 + 8 + 9) / 3)
    assert s.fresh_input_tokens == pytest.approx((8 + 2 + 1) / 3)
    assert s.input_tokens == pytest.approx(28 / 3)
    # Query tokens at positions 1..8, then 9, 10, then 10 see as many cached tokens; each prompt is one piece.
    assert s.pairs_tokens[None] == pytest.approx((36 + 19 + 10) / 3)
    assert s.prompt_kv_tokens[None] == pytest.approx((8 + 10 + 10) / 3)
