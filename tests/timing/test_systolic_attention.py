"""Attention on arrays: bounds, the two sides, what head layouts cost."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoville.errors import FactError
from scoville.timing.systolic import Hardware, Heads, SystolicTimes

HEADS = Heads(
    heads_count=32, kv_heads_count=8, head_count=128, v_head_count=128, kv_bytes=4096, query_bytes=16384 + 4096
)


def chip(**changes: Any) -> SystolicTimes:
    """Four arrays of 128 x 128 at 1 GHz: 131 TFLOP/s in bf16; 1 TB/s off the chip."""
    base = Hardware(
        name="paper",
        slices_count=1,
        arrays_count=4,
        rows_count=128,
        columns_count=128,
        clock_count_per_s=1e9,
        compute_flop_per_s={("bf16", "bf16"): 131.072e12},
        memory_bytes_per_s=1e12,
        sram_bytes=2.0**26,
    )
    return SystolicTimes(replace(base, **changes))


def test_whole_heads_fill_the_arrays_and_the_cache_streams_at_full_bandwidth() -> None:
    time = chip().attention(HEADS, "bf16", "bf16", prompt=True)
    assert time.compute_s_per_pair_tokens == pytest.approx(2 * 32 * 256 / 131.072e12)
    assert time.movement_s_per_kv_tokens == pytest.approx(4096 / 1e12)
    # 8,192 tokens: 33.6 M pairs of 16,384 FLOP in 4.19 ms, and half a fold of 128 keys more for each query.
    pairs = 8192 * 8193 / 2
    by_hand = (pairs + 64 * 8192) * 1.25e-10 + 2 * 382e-9
    assert time.seconds(pairs, 8192, 8192).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("head", [64, 80, 128, 192, 256])
@pytest.mark.parametrize("prompt", [False, True])
def test_attention_is_never_faster_than_peak_or_memory(head: int, prompt: bool) -> None:
    heads = replace(HEADS, head_count=head, v_head_count=head, kv_bytes=8 * 2 * head * 2)
    time = chip().attention(heads, "bf16", "bf16", prompt=prompt)
    rng = np.random.default_rng(5)
    kv, query = rng.uniform(1, 1e6, 200), rng.uniform(1, 1e4, 200)
    seconds = time.seconds(kv * query, kv, query)
    assert np.all(seconds >= 2 * 32 * 2 * head * kv * query / 131.072e12)
    assert np.all(seconds >= (heads.kv_bytes * kv + heads.query_bytes * query) / 1e12)


def test_time_is_the_larger_of_two_straight_lines() -> None:
    time = chip().attention(HEADS, "bf16", "bf16", prompt=False)
    compute, movement = time.seconds(1e9, 1, 1), time.seconds(1, 1e6, 1)
    assert time.seconds(2e9, 1, 1) - compute == pytest.approx(1e9 * time.compute_s_per_pair_tokens)
    assert time.seconds(1, 2e6, 1) - movement == pytest.approx(1e6 * time.movement_s_per_kv_tokens)
    assert time.seconds(0, 0, 0) == 0


def test_heads_half_as_wide_as_the_array_leave_half_of_it_idle() -> None:
    # Head size 128 on a 256 x 256 array of the same peak.
    wide = chip(arrays_count=1, rows_count=256, columns_count=256)
    narrow, broad = (c.attention(HEADS, "bf16", "bf16", prompt=True) for c in (chip(), wide))
    assert broad.compute_s_per_pair_tokens == pytest.approx(2 * narrow.compute_s_per_pair_tokens)


def test_a_cache_head_enters_the_arrays_no_faster_than_their_edges_take_it() -> None:
    # One query per cached head: 32 x 256 elements a token at 4 x 128 a clock is 16 ns; 16 KiB at 1.5 TB/s take 10.9.
    heads = replace(HEADS, kv_heads_count=32, kv_bytes=16384)
    time = chip(memory_bytes_per_s=1.5e12).attention(heads, "bf16", "bf16", prompt=False)
    assert time.movement_s_per_kv_tokens == pytest.approx(16e-9)


def test_softmax_bounds_a_prompt_on_weak_vector_units() -> None:
    slow = chip(vector_flop_per_s=1e11).attention(HEADS, "bf16", "bf16", prompt=True)
    assert slow.compute_s_per_pair_tokens == pytest.approx(32 * 5 / 1e11)


def test_small_on_chip_memory_reads_a_prompts_cache_again() -> None:
    # Half of 1 MiB holds 524,288 / (20,480 + 16,384) = 14.2 query tokens; each tile reads 4,096 bytes a cached token.
    small = chip(sram_bytes=2.0**20).attention(HEADS, "bf16", "bf16", prompt=True)
    assert small.compute_s_per_pair_tokens == pytest.approx(4096 * (16384 + 20480) / 2**19 / 1e12)
    decode = chip(sram_bytes=2.0**20).attention(HEADS, "bf16", "bf16", prompt=False)
    assert decode.compute_s_per_pair_tokens == pytest.approx(1.25e-10)


def test_a_latent_cache_is_one_head_for_all() -> None:
    # 576 elements on arrays 128 deep take 5 folds for 4.5.
    latent = Heads(128, 1, 576, 512, 1152, 128 * 1088 * 2)
    time = chip().attention(latent, "bf16", "bf16", prompt=False)
    assert time.compute_s_per_pair_tokens == pytest.approx(128 * (5 + 4) / 128 / 4e9)


def test_on_chip_bandwidth_bounds_what_passes_through_it() -> None:
    assert (
        chip(sram_bytes_per_s=1e12).attention(HEADS, "bf16", "bf16", prompt=True).compute_s_per_pair_tokens
        > chip(sram_bytes_per_s=math.inf).attention(HEADS, "bf16", "bf16", prompt=True).compute_s_per_pair_tokens
    )


def test_fewer_query_heads_than_cached_heads_are_refused() -> None:
    with pytest.raises(FactError, match="attention of 4 heads over 8 of the cache"):
        chip().attention(replace(HEADS, heads_count=4), "bf16", "bf16", prompt=True)
