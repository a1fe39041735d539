"""Measured experts: the held-out target, exactness, physics, the routing law, a hand-worked roofline."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import DeploymentError
from scoville.facts import Facts, load
from scoville.timing.measured import fit_moe
from scoville.timing.measured.generation import Generation
from scoville.timing.measured.moe import (
    MOE_FORMATS,
    RESIDUAL_STEP,
    Curves,
    ExpertLayout,
    MoeChip,
    MoeKernel,
    light_seconds,
    moe_chip,
    moe_tables,
    moe_times,
    moe_times_of,
    roofline_seconds,
)
from scoville.timing.measured.moe_roofline import MoeAcross
from scoville.timing.measured.moe_routing import DISTRIBUTIONS, Load, routing_load, rows_by_expert

QWEN3_30B = (2048, 768, 128, 8)  # hidden, intermediate, experts, top-k of Qwen3-30B-A3B
PLAIN = MoeKernel(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
UNIT = MoeChip(1e12, 1e12, 0.0)


@lru_cache(maxsize=1)
def facts() -> Facts:
    """The bundled facts, read once."""
    return load()


@lru_cache(maxsize=1)
def held_out() -> pl.DataFrame:
    """Left-out rows that ship with the tables, with what the tables say of them."""
    data = (files("scoville.timing.measured") / "data" / "moe_held_out.parquet").read_bytes()
    rows = pl.read_parquet(data).with_row_index("row")
    said = np.empty(len(rows))
    keys = ["chip", "family", "format", "kernel", "distribution", *fit_moe.LAYOUT]
    for key, part in rows.group_by(keys, maintain_order=True):
        chip, family, fmt, kernel = (str(x) for x in key[:4])
        layout = ExpertLayout._make([*key[5:], "nongated" not in kernel])
        named = layout._asdict() | {"distribution": key[4], "cached": True}
        said[part["row"].to_numpy()] = moe_times(chip, family, fmt).seconds(part["tokens"].to_numpy(), **named)
    return rows.with_columns((pl.Series(said) / rows["seconds"] - 1).abs().alias("error"))


@pytest.mark.parametrize("chip", ["a100-sxm", "h100-sxm", "h200-sxm", "l40s"])
def test_layouts_left_out_whole_are_met_within_5_percent_at_the_median_and_8_on_average(chip: str) -> None:
    error = held_out().filter(chip=chip)["error"].to_numpy()
    assert len(error) >= 500
    assert np.median(error) <= 0.05, f"{chip}: median error {np.median(error):.3f}"
    assert error.mean() <= 0.08, f"{chip}: mean error {error.mean():.3f}"


def test_no_left_out_layout_is_in_the_tables() -> None:
    raw = (files("scoville.timing.measured") / "data" / "moe.parquet").read_bytes()
    fitted = set(pl.read_parquet(raw).select(fit_moe.LAYOUT).unique().iter_rows())
    left_out = set(held_out().select(fit_moe.LAYOUT).unique().iter_rows())
    assert left_out and not fitted & left_out, "a held-out layout was fitted"


def test_a_measured_layout_returns_its_own_curve() -> None:
    times = moe_times("h100-sxm", "vllm", "bf16")
    layout = ExpertLayout(*QWEN3_30B)
    table = times.tables[0]
    curves = table.curves["balanced"]
    own = curves.log_ratio_frac[(curves.layouts == layout[:6]).all(1)][0]
    load_ = routing_load(times.tokens, layout.experts, layout.top_k, 1, "balanced")
    base = roofline_seconds(table.kernel, times.chip, times.format, layout, times.tokens, load_, True)
    said = times.seconds(times.tokens, *QWEN3_30B, distribution="balanced", cached=True)
    assert said == pytest.approx(base * np.exp(own), rel=1e-9), "a knot of a measured curve is not reproduced"


def test_a_published_row_comes_back() -> None:
    # vLLM 0.24.0 on H100, bf16, balanced, 2048 x 768, top-8 of 128, one rank: 0.450 ms at 128 tokens, 2.912 at 16384.
    times = moe_times("h100-sxm", "vllm", "bf16")
    said = times.seconds([128, 16384], *QWEN3_30B, distribution="balanced", cached=True)
    assert said == pytest.approx([0.450e-3, 2.912e-3], rel=2 * RESIDUAL_STEP)


@pytest.mark.parametrize("table", moe_tables())
def test_no_answer_is_faster_than_light(table: tuple[str, str, str]) -> None:
    times = moe_times(*table)
    for layout in (ExpertLayout(*QWEN3_30B, 1, 4), ExpertLayout(7168, 2048, 256, 8, 2, 8), ExpertLayout(512, 96, 8, 1)):
        knots = times.tokens
        light = light_seconds(
            times.chip, times.format, layout, routing_load(knots, *layout[2:4], layout.expert, "power_law_1.2")
        )
        said = times.seconds(knots, *layout[:6])
        assert (said >= light * (1 - 1e-9)).all(), f"{table} {layout}: below peak and bandwidth of the chip"


def test_weights_from_the_cache_are_never_slower() -> None:
    layout = ExpertLayout(*QWEN3_30B, 8)
    for chip, family, fmt in moe_tables():
        times = moe_times(chip, family, fmt)
        per = routing_load(times.tokens, layout.experts, layout.top_k, 1, "balanced")
        for table in times.tables:
            given_ = (table.kernel, times.chip, times.format, layout, times.tokens, per)
            warm, cold = (roofline_seconds(*given_, cached=x) for x in (True, False))
            assert (warm <= cold).all(), f"{chip} {family} {fmt}: cache costs time"
    # The eight experts of one token are 9 MB of bf16 on a rank of eight, in L40S' cache of 96 MB.
    warm, cold = (moe_times("l40s", "vllm", "bf16").seconds(1, *layout[:6], cached=x) for x in (True, False))
    assert warm < cold, "nothing gained from the cache"


def test_more_tokens_never_take_less_time_with_weights_from_memory() -> None:
    tokens = np.geomspace(1, 1e5, 400)
    for table in moe_tables():
        for split in ((1, 1), (8, 1), (1, 8)):
            said = moe_times(*table).seconds(tokens, *QWEN3_30B, *split)
            assert (np.diff(said) >= -1e-12).all(), f"{table} {split}: time falls as tokens grow"


def test_outside_the_measured_range_is_marked_and_continues() -> None:
    times = moe_times("h200-sxm", "trtllm", "fp8_block")
    assert times.covers([0.5, 1, 16384, 16385], *QWEN3_30B).tolist() == [False, True, True, False]
    assert not times.covers([64], 2 * 7168, 2048, 256, 8).any(), "a hidden size beyond all measured ones"
    assert not times.covers([64], *QWEN3_30B, gated=False).any(), "no plain experts were measured"
    last, beyond = times.seconds([16384, 65536], *QWEN3_30B)
    assert 3 < beyond / last < 5, "four times the tokens beyond the table take about four times as long"
    assert times.seconds(0.2, *QWEN3_30B) == times.seconds(1, *QWEN3_30B)


def test_seconds_keep_the_shape_of_tokens_and_take_fractions() -> None:
    times = moe_times("a100-sxm", "vllm", "bf16")
    said = times.seconds(np.array([[1.0, 40.0], [48.0, 3000.5]]), *QWEN3_30B)
    assert said.shape == (2, 2)
    assert said[0, 0] < said[0, 1] < said[1, 0] < said[1, 1]


@pytest.mark.parametrize(
    ("layout", "distribution", "words"),
    [
        ((2048, 768, 128, 8, 1, 3), "balanced", "multiple of the expert groups"),
        ((2048, 768, 128, 200, 1, 1), "balanced", "top-k at most"),
        ((2048, 768, 128, 8, 1, 1), "uniform", "no measured distribution 'uniform'"),
    ],
)
def test_impossible_questions_are_refused(
    layout: tuple[int, int, int, int, int, int], distribution: str, words: str
) -> None:
    with pytest.raises(DeploymentError, match=words):
        moe_times("h100-sxm", "vllm", "bf16").seconds(1, *layout, distribution=distribution)


def test_an_unknown_table_names_those_there_are() -> None:
    with pytest.raises(DeploymentError, match="expected one of a100-sxm"):
        moe_times("h100-sxm", "vllm", "fp4")


@given(
    st.integers(1, 5000), st.sampled_from([8, 16, 60, 128]), st.sampled_from([1, 2, 4]), st.sampled_from(DISTRIBUTIONS)
)
def test_every_token_reaches_its_experts(tokens: int, experts: int, top_k: int, distribution: str) -> None:
    n = rows_by_expert(tokens, experts, top_k, 1, distribution)
    assert (n.sum(1) == tokens * top_k).all(), "rows lost or invented"
    assert n.min() >= 0 and n.max() <= tokens, "an expert has more rows than there are tokens"


@given(st.integers(1, 5000), st.sampled_from([2, 4, 8]))
def test_the_busiest_rank_has_at_least_its_share(tokens: int, expert: int) -> None:
    for distribution in DISTRIBUTIONS:
        rows = routing_load((tokens,), 64, 4, expert, distribution).rows[0]
        assert tokens * 4 / expert <= rows + 4 and rows <= tokens * 4, f"{distribution}: load of the busiest rank"


def test_balanced_routing_by_hand() -> None:
    # 8 experts, top-2, stride 4. Two tokens start at 0 and 2: rows on 0, 4 and 2, 6.
    assert rows_by_expert(2, 8, 2, 1, "balanced").tolist() == [[1, 0, 1, 0, 1, 0, 1, 0]]
    assert rows_by_expert(5, 8, 2, 1, "balanced").tolist() == [[2, 1, 1, 1, 2, 1, 1, 1]]
    assert rows_by_expert(2, 8, 2, 4, "balanced").tolist() == [[1, 0]]


def test_roofline_by_hand() -> None:
    # 8 tokens, top-2 of 8, balanced: 2 rows each, padded to 16: 768 MFLOP, 48 MB of bf16.
    layout, tokens = ExpertLayout(1000, 1000, 8, 2), [8]
    load_ = routing_load((8,), 8, 2, 1, "balanced")
    assert (load_.rows[0], load_.touched[0], load_.padded[0]) == (16, 8, 128)
    fmt = MOE_FORMATS["bf16"]
    assert roofline_seconds(PLAIN, UNIT, fmt, layout, tokens, load_) == pytest.approx([768e-6])
    half = replace(PLAIN, overlap_frac=0.5, fixed_s=1e-6)
    assert roofline_seconds(half, UNIT, fmt, layout, tokens, load_) == pytest.approx([768e-6 + 24e-6 + 1e-6])
    assert light_seconds(UNIT, fmt, layout, load_) == pytest.approx([96e-6])
    # A tenth of the bandwidth binds: 480 us; half the weights' bytes make it 240 us. 16 rows x 8 kB once: 128 kB.
    slow = replace(UNIT, peak_flop_per_s=1e15, memory_bytes_per_s=1e11)
    assert roofline_seconds(PLAIN, slow, fmt, layout, tokens, load_) == pytest.approx([480e-6])
    assert roofline_seconds(PLAIN, slow, MOE_FORMATS["fp8"], layout, tokens, load_) == pytest.approx([240e-6])
    rows = replace(PLAIN, row_count=1.0)
    assert roofline_seconds(rows, slow, fmt, layout, tokens, load_) == pytest.approx([480e-6 + 16 * 10e3 / 1e11])


@given(st.sampled_from(["vllm", "trtllm"]), st.integers(1, 4096), st.integers(0, 2))
def test_a_better_chip_or_less_work_is_never_slower(family: str, tokens: int, what: int) -> None:
    h100 = Generation.of(facts().accelerator("h100-sxm"), facts())
    kernel, fmt = MoeAcross.of(facts(), family, "fp8_block").on(h100), MOE_FORMATS["fp8_block"]
    chip, layout = moe_chip(facts(), "h100-sxm", fmt), ExpertLayout(4096, 2048, 64, 4)
    load_ = routing_load((tokens,), 64, 4, 1, "power_law_1.2")
    time = roofline_seconds(kernel, chip, fmt, layout, [tokens], load_)
    better = (
        replace(chip, memory_bytes_per_s=2 * chip.memory_bytes_per_s),
        replace(chip, peak_flop_per_s=2 * chip.peak_flop_per_s),
        chip,
    )[what]
    smaller = layout._replace(intermediate=1024) if what == 2 else layout
    assert roofline_seconds(kernel, better, fmt, smaller, [tokens], load_) <= time


def test_kriging_meets_its_points_and_falls_back_to_the_mean() -> None:
    reach = np.ones(6)
    layouts = np.array([[1024, 512, 64, 2, 1, 1], [4096, 512, 64, 2, 1, 1], [2048, 2048, 64, 2, 1, 1]], float)
    values = np.array([[0.1], [0.3], [-0.2]])
    curves = Curves.of(layouts, values, reach, 0.0)
    assert curves.at(layouts[1], reach) == pytest.approx([0.3])
    near = curves.at(np.array([4000, 512, 64, 2, 1, 1], float), reach)
    assert near == pytest.approx([0.3], abs=0.02)
    assert curves.at(np.array([8192, 512, 64, 2, 1, 1], float), reach) == pytest.approx([0.3], abs=1e-9), "border"


def test_rows_slower_than_more_work_are_set_aside() -> None:
    def row(tensor: int, tokens: int, ms: float) -> dict[str, object]:
        shape = {"hidden": 64, "intermediate": 64, "experts": 8, "top_k": 2, "tensor": tensor, "expert": 1}
        named = {"chip": "c", "family": "f", "format": "bf16", "kernel": "k", "distribution": "balanced"}
        return named | shape | {"tokens": tokens, "seconds": ms}

    good = [row(1, 16, 1.0), row(1, 32, 1.1), row(1, 64, 1.2), row(4, 16, 0.5), row(4, 32, 2.1), row(4, 64, 0.6)]
    bad_curve = [row(2, 16, 1.3), row(2, 32, 1.5), row(2, 64, 1.8)]
    out = fit_moe.set_aside(pl.DataFrame(good + bad_curve)).sort("tensor", "tokens")
    assert out["set_aside"].to_list() == [False] * 3 + [True] * 3 + [False, True, False]


def test_a_fit_of_made_rows_finds_the_kernel_that_made_them() -> None:
    made = replace(PLAIN, fixed_s=2e-5, compute_frac=0.5, memory_frac=0.8, overlap_frac=0.3, row_count=3.0)
    made = replace(made, routing_count=0.5, cache_frac=1.0)
    chip, fmt, tokens = MoeChip(989e12, 3.35e12, 25e6), MOE_FORMATS["bf16"], (1, 4, 16, 64, 256, 1024, 4096, 16384)
    rows = []
    for split in ((1, 1), (2, 1), (8, 1), (1, 4), (1, 16)):
        for hidden in (2048, 4096):
            layout = ExpertLayout(hidden, 1024, 64, 4, *split)
            per = routing_load(tokens, 64, 4, layout.expert, "balanced")
            seconds = roofline_seconds(made, chip, fmt, layout, tokens, per, True)
            head = {"chip": "c", "family": "f", "format": "bf16", "kernel": "k", "distribution": "balanced"}
            shape = dict(zip(fit_moe.LAYOUT, layout[:6], strict=True))
            rows += [head | shape | {"tokens": t, "seconds": float(s)} for t, s in zip(tokens, seconds, strict=True)]
    frame = pl.DataFrame(rows)
    parameters, residuals = fit_moe.fit_table(frame, chip, fmt)
    assert parameters["compute_frac"][0] == pytest.approx(0.5, rel=0.05)
    assert parameters["memory_frac"][0] == pytest.approx(0.8, rel=0.05)
    times = moe_times_of("made", fmt, parameters, residuals)
    said = times.seconds(tokens, 3072, 1024, 64, 4, 1, 2, "balanced", cached=True)
    per = routing_load(tokens, 64, 4, 2, "balanced")
    truth = roofline_seconds(made, chip, fmt, ExpertLayout(3072, 1024, 64, 4, 1, 2), tokens, per, True)
    assert said == pytest.approx(truth, rel=0.03), "a layout nobody measured, from the roofline that made the rows"


def test_light_counts_the_weights_of_touched_experts_only() -> None:
    load_ = Load(np.array([2.0]), np.array([1.0]), np.array([16.0]))
    layout, wide = ExpertLayout(1000, 1000, 8, 2, gated=False), replace(UNIT, peak_flop_per_s=1e15)
    assert light_seconds(UNIT, MOE_FORMATS["fp8"], layout, load_) == pytest.approx([2 * 2 * 2e6 / 1e12])
    assert light_seconds(wide, MOE_FORMATS["fp8"], layout, load_) == pytest.approx([(2e6 + 2 * 1000 * 2 / 2) / 1e12])


def test_rows_of_experts_cost_the_units_time_or_the_memory() -> None:
    """16 rows of 10 kB at 1 TB/s; a chip with twice the bandwidth to a unit and cycle moves half of them no faster."""
    fmt, layout, load_ = MOE_FORMATS["bf16"], ExpertLayout(1000, 1000, 4, 2), Load(*(np.array([x]) for x in (16, 0, 0)))
    kernel = replace(PLAIN, row_count=1.0, unit_frac=0.5)
    one = roofline_seconds(kernel, UNIT, fmt, layout, [8], load_)
    two = replace(UNIT, memory_bytes_per_s=2e12, unit_memory_frac=2.0)
    assert roofline_seconds(kernel, two, fmt, layout, [8], load_) == pytest.approx(0.75 * one)


def test_a_generation_gives_start_and_share_of_the_peak() -> None:
    across = MoeAcross.of(facts(), "trtllm", "bf16")
    h100, l40s = (across.on(Generation.of(facts().accelerator(c), facts())) for c in ("h100-sxm", "l40s"))
    assert (h100.compute_frac, l40s.compute_frac) == (across.compute_frac, across.compute_warp_frac)
    assert h100.fixed_s == pytest.approx(3e-6 + across.fixed_s)
    assert l40s.fixed_s == pytest.approx(3e-6 + across.fixed_warp_s * 1.83 / 2.49)


def test_a_chip_that_nobody_counted_takes_the_defaults() -> None:
    g = Generation.of(facts().accelerator("mi300x"), facts())
    assert (g.clock_count_per_s, g.warpgroup, g.unit_frac) == (1.83e9, True, 1.0)
    # 1,307 TFLOP/s are 174 units of an H100's 7.49; 5.3 TB/s to them are 1.2 times an H100's bandwidth to a unit.
    assert g.units_count == pytest.approx(174, rel=0.01)
    assert g.unit_memory_frac == pytest.approx(5.3 / 3.35 * 132 / 174, rel=0.01)
