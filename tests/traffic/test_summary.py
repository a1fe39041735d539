"""Statistics against hand calculations and slow obvious oracles."""

from __future__ import annotations

import math
import statistics as standard

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.traffic import Trace, load, reused_tokens, statistics


def trace(arrival_s: list[float], lengths: list[int] | None = None, **columns: object) -> Trace:
    n = len(arrival_s)
    inputs = np.array(lengths or [10] * n)
    return Trace("t", "s", np.array(arrival_s), inputs, np.full(n, 2), **columns)  # type: ignore[arg-type]


def test_rates_lengths_and_gaps_by_hand() -> None:
    """Gaps 1, 1, 4 s: mean 2, variance 2, so SCV 0.5. Lengths 1, 2, 3, 8: median 2.5, powers 1, 2-3, 4-7, 8-15."""
    s = statistics(trace([0, 1, 2, 6], [1, 2, 3, 8]))
    assert (s.requests_count, s.duration_s) == (4, 6.0)
    assert s.requests_count_per_s == 4 / 6
    assert s.demand_tokens_per_s == (14 + 8) / 6
    assert s.gap_scv_frac == pytest.approx(0.5)
    assert (s.input.mean_tokens, s.input.p50_tokens, s.input.total_tokens) == (3.5, 2.5, 14)
    assert s.input.by_power_of_two_count == (1, 2, 0, 1)


def test_one_moment_has_no_rates() -> None:
    s = statistics(trace([3.0, 3.0, 3.0]))
    assert (s.requests_count_per_s, s.demand_tokens_per_s, s.gap_scv_frac) == (None, None, None)
    assert "all requests arrive at once: no rates" in s.notes


@given(st.lists(st.floats(0, 50), min_size=2, max_size=60), st.sampled_from([1.0, 10.0]))
def test_dispersion_is_that_of_counted_windows(arrivals: list[float], window_s: float) -> None:
    arrivals = sorted(arrivals)
    found = next(d for d in statistics(trace(arrivals)).dispersion if d.window_s == window_s)
    windows = math.floor((arrivals[-1] - arrivals[0]) / window_s)
    assert found.windows_count == windows
    if windows < 2:
        assert found.index_frac is None
        return
    counts = [0] * windows
    for a in arrivals:
        index = math.floor((a - arrivals[0]) / window_s)
        if index < windows:
            counts[index] += 1
    assert found.index_frac == pytest.approx(standard.pvariance(counts) / standard.mean(counts), abs=1e-9)


def test_poisson_has_index_one_at_every_window() -> None:
    rng = np.random.default_rng(0)
    s = statistics(trace(np.cumsum(rng.exponential(0.1, 200_000)).tolist()))
    assert s.gap_scv_frac == pytest.approx(1, abs=0.02)
    for d in s.dispersion:  # the index of n windows scatters by sqrt(2 / n)
        assert d.index_frac == pytest.approx(1, abs=4 * math.sqrt(2 / d.windows_count))


def test_a_day_has_a_shape() -> None:
    """Two requests in hour 0, one in each other hour, over two days: the peak is 2 / (25 / 24) of the mean."""
    hours = [h for day in (0, 24) for h in [day + 0.5, *(day + k + 0.5 for k in range(24))]]
    s = statistics(trace([0.0, *(h * 3600 for h in hours), 48 * 3600 - 1.0]))
    assert s.diurnal is not None
    # The first and last request, which set the span, are on top: 5 in hour 0 and 3 in hour 23.
    assert [round(r * 7200) for r in s.diurnal.hourly_count_per_s] == [5, *[2] * 22, 3]
    assert s.diurnal.peak_to_mean_frac == pytest.approx(5 / (52 / 24), rel=1e-3)
    assert any("less than a day: no diurnal shape" in n for n in statistics(trace([0, 5])).notes)


BLOCKS = st.lists(st.lists(st.integers(0, 12), max_size=5), min_size=1, max_size=12)


@given(BLOCKS, st.integers(1, 8), st.data())
def test_prefix_reuse_is_that_of_an_endless_cache(lists: list[list[int]], size: int, data: st.DataObject) -> None:
    lengths = [data.draw(st.integers(max(1, (len(b) - 1) * size + 1), len(b) * size + 20)) for b in lists]
    t = trace(
        [float(i) for i in range(len(lists))],
        lengths,
        block_hashes=np.array([b for blocks in lists for b in blocks], dtype=np.int64),
        block_offsets=np.cumsum([0, *map(len, lists)]),
        block_tokens=size,
    )
    cache: set[int] = set()
    expected = []
    for blocks, length in zip(lists, lengths, strict=True):
        left, hit = length, 0
        for block in blocks:
            if block not in cache:
                break
            hit += min(size, left)
            left -= size
        expected.append(hit)
        cache.update(blocks)
    assert reused_tokens(t).tolist() == expected
    prefix = statistics(t).prefix
    assert prefix is not None
    assert prefix.reused_frac == sum(expected) / sum(lengths)
    assert prefix.distinct_blocks_count == len(cache)


def test_mooncake_reuse_equals_the_oracle() -> None:
    t = load("mooncake-synthetic")
    assert t.block_hashes is not None
    assert t.block_offsets is not None
    cache: set[int] = set()
    total = 0
    for i, length in enumerate(t.input_tokens.tolist()):
        blocks = t.block_hashes[t.block_offsets[i] : t.block_offsets[i + 1]].tolist()
        hits = next((k for k, b in enumerate(blocks) if b not in cache), len(blocks))
        total += min(hits * 512, length)
        cache.update(blocks)
    prefix = statistics(t).prefix
    assert prefix is not None
    assert prefix.reused_tokens == total


def test_what_is_not_there_is_unknown() -> None:
    s = statistics(trace([0, 5]))
    assert (s.prefix, s.sessions, s.clients_count, s.diurnal) == (None, None, None, None)
    assert "no block hashes: prefix reuse unknown" in s.notes
