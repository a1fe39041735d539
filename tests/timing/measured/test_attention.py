"""Measured attention: the sides, the tables on them, and their scores on head layouts that no fit saw."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from scoville.errors import DeploymentError
from scoville.facts import load
from scoville.timing.measured.attention import (
    AttentionSides,
    AttentionTimes,
    HeadLayout,
    Phase,
    Side,
    Work,
    attention_times,
    work,
)
from scoville.timing.measured.attention_roofline import AttentionChip, AttentionKernel, roofline_sides, sizes

FACTS = load()
PAIRS = [(chip, family) for chip in ("a100-sxm", "h100-sxm", "h200-sxm", "l40s") for family in ("trtllm", "vllm")]
LLAMA_8B = HeadLayout(32, 8, 128)


def times(chip: str, family: str) -> AttentionTimes:
    found = attention_times(chip, family)
    assert found is not None, f"{chip} and {family} were measured, but have no table"
    return found


def held_out() -> pl.DataFrame:
    with (files("scoville.timing.measured") / "data" / "attention_held_out.parquet").open("rb") as f:
        return pl.read_parquet(f)


def layout_of(row: dict[str, int | str]) -> HeadLayout:
    heads, kv_heads, dim = (int(row[c]) for c in ("heads", "kv_heads", "head_dim"))
    return HeadLayout(heads, kv_heads, dim, int(row["window"]) or None, str(row["query"]), str(row["cache"]))


def test_work_counts_pairs_and_tokens_by_hand() -> None:
    # 3 prompts of 4 tokens after 10 cached: token i sees 11, 12, 13, 14 = 50 pairs; 14 cached tokens are read.
    w = work(3, 4, 10, None)
    assert (float(w.pairs), float(w.kv_tokens), float(w.query_tokens), float(w.sequences)) == (150, 42, 12, 3)
    # A window of 8: each token sees 8; the first and the last window together cover 8 + 3.
    w = work(3, 4, 10, 8)
    assert (float(w.pairs), float(w.kv_tokens)) == (96, 33)


def test_sides_by_hand() -> None:
    # 10 us + max(arithmetic 4 us, traffic 20 us) + a quarter of the shorter.
    sides = AttentionSides.overlapped(10e-6, 1e-9, 0.0, 0.0, 5e-9, 0.0, 0.25)
    w = Work(*(np.array([x]) for x in (4000.0, 4000.0, 1.0, 1.0)))
    assert sides.seconds(w)[0] == pytest.approx(31e-6), "the overlapped part is not a quarter of the shorter side"


def test_nothing_to_do_takes_no_time() -> None:
    sides = times("h100-sxm", "vllm").sides(LLAMA_8B, "decode")
    assert sides.seconds(work(0, 1, 100, None)) == 0, "an empty batch takes time"


def test_sides_add_up_over_sequences() -> None:
    sides = times("h100-sxm", "vllm").sides(LLAMA_8B, "decode")
    one, two = work(16, 1, 999, None), work(32, 1, 999, None)
    total = Work(*(a + a for a in one))
    assert sides.seconds(total) == pytest.approx(float(sides.seconds(two))), "two halves are not the whole"


@pytest.mark.parametrize(("chip", "family"), PAIRS)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_held_out_layouts_meet_the_target(chip: str, family: str, phase: Phase) -> None:
    rows = held_out().filter(pl.col("chip") == chip, pl.col("family") == family, pl.col("phase") == phase)
    assert len(rows) >= 20, "too few held-out rows ship"
    table = times(chip, family)
    found = [
        float(table.seconds(layout_of(r), phase, r["batch"], r["new_tokens"], r["cached_tokens"]) / r["time_s"])
        for r in rows.iter_rows(named=True)
    ]
    error = np.abs(np.array(found) - 1)
    assert np.median(error) <= 0.05, f"median error {np.median(error):.1%} on {len(rows)} rows"
    assert error.mean() <= 0.08, f"mean error {error.mean():.1%} on {len(rows)} rows"


def test_a_published_row_is_met_at_its_knot() -> None:
    # ai-dynamo/aiconfigurator@095f58a, h100_sxm, vllm 0.24.0, generation_attention: 32 heads, 8 KV heads of 128 in
    # bf16, window 0, batch 32, 4,095 cached tokens: 0.185941 ms; batch 1: 0.016875 ms.
    t = times("h100-sxm", "vllm")
    assert t.seconds(LLAMA_8B, "decode", 32, 1, 4095) == pytest.approx(185.9e-6, rel=0.03)
    assert t.seconds(LLAMA_8B, "decode", 1, 1, 4095) == pytest.approx(16.9e-6, rel=0.05)


def test_between_knots_lies_between_their_times() -> None:
    t = times("h100-sxm", "trtllm")
    knots = t.seconds(LLAMA_8B, "decode", np.array([16, 32]), 1, 4095)
    between = t.seconds(LLAMA_8B, "decode", 24, 1, 4095)
    assert knots[0] < between < knots[1]


@pytest.mark.parametrize(("chip", "family"), PAIRS)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_sides_are_never_faster_than_the_chip(chip: str, family: str, phase: Phase) -> None:
    t, peak = times(chip, family), AttentionChip.of(FACTS.accelerator(chip), FACTS)
    for dim in (64, 128):
        if chip == "a100-sxm" and dim != 128:
            continue
        for heads, kv_heads in ((8, 1), (32, 8), (64, 8), (32, 32)):
            w = work(*np.meshgrid([1, 8, 64, 512], [1] if phase == "decode" else [64, 2048]), 4000, None)
            flop, token_bytes = sizes(phase, dim, "bf16")
            arithmetic = flop * heads * w.pairs / peak.bf16_flop_per_s
            traffic = token_bytes * kv_heads * w.kv_tokens / peak.memory_bytes_per_s if phase == "decode" else 0.0
            seconds = t.sides(HeadLayout(heads, kv_heads, dim), phase).seconds(w)
            assert (seconds >= 0.99 * np.maximum(arithmetic, traffic)).all(), f"{heads}/{kv_heads}/{dim} beats the chip"


@pytest.mark.parametrize(("chip", "family"), PAIRS)
def test_more_work_never_takes_less_by_the_sides(chip: str, family: str) -> None:
    sides = times(chip, family).sides(LLAMA_8B, "decode")
    seconds = sides.seconds(work(2.0 ** np.arange(10)[:, None], 1, 2.0 ** np.arange(17), None))
    assert (np.diff(seconds, axis=0) >= 0).all(), "a larger batch is quicker"
    assert (np.diff(seconds, axis=1) >= 0).all(), "a longer context is quicker"


def test_what_was_not_measured_is_marked() -> None:
    t = times("h100-sxm", "vllm")
    assert t.covers(LLAMA_8B, "decode", 20, 1, 3000).all()
    assert not t.covers(LLAMA_8B, "decode", 4096, 1, 3000).any(), "a batch of 4,096 was never measured"
    assert not t.covers(LLAMA_8B, "decode", 1, 1, 500_000).any(), "nor 500k tokens"
    assert not t.covers(LLAMA_8B, "decode", 1, 4, 3000).any(), "nor several query tokens of a decode"
    assert t.covers(LLAMA_8B, "prefill", 1, 3000, 0).all()
    assert not t.covers(LLAMA_8B, "prefill", 1, 3000, 1000).any(), "nor a prompt with cached tokens"
    assert not t.covers(HeadLayout(32, 8, 32), "decode", 1, 1, 100).any(), "nor a head size of 32"
    assert not t.covers(HeadLayout(32, 8, 128, 4096), "decode", 1, 1, 100).any(), "nor a window of 4,096"
    assert np.isfinite(t.seconds(HeadLayout(32, 8, 128, 4096), "decode", 4096, 1, 500_000)), "yet it is answered"


def test_an_unmeasured_format_is_refused_with_what_there_is() -> None:
    with pytest.raises(DeploymentError, match="measured: bf16 queries on a bf16 cache"):
        times("a100-sxm", "vllm").sides(HeadLayout(32, 8, 128, cache="fp8"), "decode")
    assert attention_times("tpu-v5e", "vllm") is None


def test_a_layout_is_checked() -> None:
    with pytest.raises(DeploymentError, match="multiple of KV heads"):
        HeadLayout(10, 4, 128)


def test_a_long_prefix_costs_its_pairs() -> None:
    # 512 new tokens after 15,872 see 16,128 each on average; a prompt of 16,384 sees 8,192: 16 such pieces of 512
    # would be twice its arithmetic, so a piece lies near an eighth of the prompt's time.
    sides = times("h100-sxm", "vllm").sides(LLAMA_8B, "prefill")
    piece, prompt = sides.seconds(work(1, 512, 15_872, None)), sides.seconds(work(1, 16_384, 0, None))
    assert 1 / 32 < piece / prompt < 1 / 10


def test_the_roofline_by_hand() -> None:
    chip = AttentionChip(1e15, 2e15, 2e12)
    kernel = replace(AttentionKernel.of(FACTS, "decode", "vllm"), compute_frac=0.5, memory_frac=0.5, overlap_frac=0.0)
    # Decode: 4 x 128 x 16 padded rows x 8 = 65,536 FLOP a pair over 0.5e15; 4,096 bytes a token over 1e12.
    sides = roofline_sides(LLAMA_8B, "decode", chip, kernel)
    assert sides.compute == pytest.approx(Side(0.0, 65_536 / 0.5e15, 0.0, 0.0, 0.0))
    assert sides.memory.kv_token_s == pytest.approx(4096 / 1e12)
    assert sides.memory.query_token_s == pytest.approx((4096 + 2 * 2 * 32 * 128) / 1e12)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_the_roofline_of_the_facts_is_near_the_measured_sides(phase: Phase) -> None:
    kernel = AttentionKernel.of(FACTS, phase, "vllm")
    for chip in ("a100-sxm", "h100-sxm", "h200-sxm"):
        w = (
            work(np.array([64.0, 256.0]), 1, 4000, None)
            if phase == "decode"
            else work(4, np.array([2048.0, 8192.0]), 0, None)
        )
        roofline = roofline_sides(LLAMA_8B, phase, AttentionChip.of(FACTS.accelerator(chip), FACTS), kernel).seconds(w)
        ratio = roofline / times(chip, "vllm").sides(LLAMA_8B, phase).seconds(w)
        assert ((ratio > 0.6) & (ratio < 1.6)).all(), f"{chip}: {ratio}"


def test_latent_attention_reads_one_latent() -> None:
    latent = HeadLayout(128, 1, 576)
    t = times("h100-sxm", "trtllm")
    sides = t.sides(latent, "decode")
    assert sides.memory.kv_token_s >= 0.99 * 1152 / 3.35e12, "quicker than the latent can be read"
    ratio = t.seconds(latent, "decode", 128, 1, 8191) / sides.seconds(work(128, 1, 8191, None))
    assert 0.6 < ratio < 1.6


def test_a_slower_clock_and_a_wider_instruction_start_later() -> None:
    chip, kernel = AttentionChip(1e15, 2e15, 2e12), AttentionKernel.of(FACTS, "prefill", "vllm")
    start = roofline_sides(LLAMA_8B, "prefill", chip, kernel).fixed_s
    slow = roofline_sides(LLAMA_8B, "prefill", replace(chip, clock_count_per_s=1.83e9 / 2), kernel).fixed_s
    assert slow - start == pytest.approx(kernel.fixed_s), "half of the clock does not take the start twice as long"
    narrow = roofline_sides(LLAMA_8B, "prefill", replace(chip, warpgroup=False), kernel).fixed_s
    assert narrow < start


def test_an_h20_comes_nearer_to_its_small_peak() -> None:
    # alibaba/InferSim, bench_data/mha/prefill/h20/32-8-128.csv: one prompt of 8,192 in bf16, 4,155.6 us, MFU 0.894;
    # 64-8-128.csv: one of 16,384, 32,218 us.
    h20, kernel = AttentionChip.of(FACTS.accelerator("h20"), FACTS), AttentionKernel.of(FACTS, "prefill", "vllm")
    for heads, tokens, measured_s in ((32, 8192, 4155.6e-6), (64, 16_384, 32_218e-6)):
        seconds = roofline_sides(HeadLayout(heads, 8, 128), "prefill", h20, kernel).seconds(work(1, tokens, 0, None))
        assert seconds == pytest.approx(measured_s, rel=0.15)


def test_tensorrt_llm_multiplies_an_fp8_cache_in_fp8_where_instructions_are_wide() -> None:
    chip, kernel = AttentionChip(1e15, 2e15, 2e12), AttentionKernel.of(FACTS, "prefill", "trtllm")
    layout = HeadLayout(32, 8, 128, cache="fp8")
    wide, narrow = (
        roofline_sides(layout, "prefill", replace(chip, warpgroup=x), kernel).compute.pair_s for x in (True, False)
    )
    assert wide == pytest.approx(32 * 512 / (2e15 * kernel.compute_fp8_frac))
    assert narrow == pytest.approx(32 * 512 / (1e15 * kernel.compute_warp_frac))
