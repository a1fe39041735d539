"""Matrix products from measured tables: physics, exactness at knots, error on shapes that no fit saw."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from scoville.errors import DeploymentError
from scoville.facts import load
from scoville.timing.measured.gemm import (
    GEMM_FORMATS,
    GemmChip,
    GemmKernel,
    fitted_kernel,
    gemm_bytes,
    gemm_chip,
    gemm_tables,
    gemm_times,
    light_seconds,
    roofline_seconds,
)

H100 = GemmChip(peak_flop_per_s=989e12, memory_bytes_per_s=3.35e12, units_count=132)
PLAIN = GemmKernel(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1e9, 0.0)
BF16 = GEMM_FORMATS["bf16"]


def held_out() -> pl.DataFrame:
    data = files("scoville.timing.measured") / "data" / "gemm_held_out.parquet"
    return pl.read_parquet(data.read_bytes())


def errors(rows: pl.DataFrame) -> pl.DataFrame:
    parts = []
    for (chip, family, fmt), part in rows.group_by("chip", "family", "format", maintain_order=True):
        times = gemm_times(str(chip), str(family), str(fmt))
        time = times.seconds(*(part[c].to_numpy() for c in ("m", "n", "k")))
        parts.append(part.with_columns(error=np.abs(time / part["time_s"].to_numpy() - 1)))
    return pl.concat(parts)


def test_a_product_by_hand() -> None:
    # 8192 x 8192 x 8192: 2^40 FLOP are 1.1117 ms at 989 TFLOP/s; 64 x 32 tiles of 128 x 256 on 132 units, 15.5 waves.
    n = 8192
    assert roofline_seconds(PLAIN, H100, BF16, n, n, n) == pytest.approx(2 * n**3 / 989e12)
    whole = replace(PLAIN, wave_frac=1.0)
    waves = [np.ceil(n / a * n / b / 132) * a * b for a, b in ((16, 64), (64, 64), (64, 128), (128, 128), (128, 256))]
    assert roofline_seconds(whole, H100, BF16, n, n, n) == pytest.approx(min(waves) * 2 * n * 132 / 989e12)
    # One row: 134.3 MB at 3.35 TB/s.
    assert roofline_seconds(PLAIN, H100, BF16, 1, n, n) == pytest.approx((2 * n * n + 4 * n) / 3.35e12)


def test_each_parameter_costs_what_it_says() -> None:
    base = float(roofline_seconds(PLAIN, H100, BF16, 1, 64, 4096))
    fixed = replace(PLAIN, fixed_s=3e-6)
    assert roofline_seconds(fixed, H100, BF16, 1, 64, 4096) == pytest.approx(base + 3e-6)
    loop = replace(PLAIN, loop_s_per_count=1e-9)
    assert roofline_seconds(loop, H100, BF16, 1, 64, 4096) == pytest.approx(4.096e-6)
    split = replace(loop, split_count=1024.0)
    assert roofline_seconds(split, H100, BF16, 1, 64, 4096) == pytest.approx(1.024e-6)
    quantise = replace(PLAIN, quantise_s_per_count=1.32e-10)
    assert roofline_seconds(quantise, H100, BF16, 1, 64, 4096) == pytest.approx(base + 4096e-12)


def test_bytes_are_those_of_the_operators() -> None:
    assert gemm_bytes(BF16, 3, 5, 7) == 2 * (5 * 7 + 3 * (5 + 7))
    assert gemm_bytes(GEMM_FORMATS["fp8"], 3, 5, 7) == 5 * 7 + 3 * (7 + 2 * 5)
    assert gemm_bytes(GEMM_FORMATS["int4_bf16"], 3, 5, 7) == 5 * 7 * 4.5 / 8 + 2 * 3 * (5 + 7)


def test_every_chip_is_within_the_target_on_shapes_left_out() -> None:
    rows = errors(held_out())
    assert rows["seed"].n_unique() == 1 and len(rows) <= 3000
    per_chip = rows.group_by("chip").agg(pl.col("error").median().alias("median"), pl.col("error").mean().alias("mean"))
    missed = per_chip.filter((pl.col("median") > 0.05) | (pl.col("mean") > 0.08))
    assert set(per_chip["chip"]) == {"a100-sxm", "h100-sxm", "h200-sxm", "l40s"}
    assert missed.is_empty(), f"chips above 5 % median or 8 % mean: {missed.rows()}"


def test_every_table_keeps_its_error_on_shapes_left_out() -> None:
    per_table = errors(held_out()).group_by("chip", "family", "format").agg(pl.col("error").median(), pl.len())
    assert len(per_table) == len(gemm_tables()), "a table has no rows left out"
    worst = per_table.filter(pl.col("error") > 0.06)
    assert worst.is_empty(), f"tables above 6 % median: {worst.rows()}"


@pytest.mark.parametrize("name", gemm_tables(), ids=" ".join)
def test_no_time_is_below_the_speed_of_light(name: tuple[str, str, str]) -> None:
    times = gemm_times(*name)
    m, n, k = np.meshgrid([1, 7.3, 64, 129, 1000, 20000], [100, 3000, 60000, 120000], [100, 3000, 60000], indexing="ij")
    assert (times.seconds(m, n, k) >= light_seconds(times.chip, times.format, m, n, k)).all()


@pytest.mark.parametrize("name", gemm_tables(), ids=" ".join)
def test_knots_return_the_stored_residual(name: tuple[str, str, str]) -> None:
    times = gemm_times(*name)
    n, k = times.n_count[[4, -3]], times.k_count[[5, -2]]
    for i, j in ((4, 5), (-3, -2)):
        at_n, at_k = times.n_count[i], times.k_count[j]
        base = roofline_seconds(times.kernel, times.chip, times.format, times.m_count, at_n, at_k)
        stored = base * np.exp(times.log_ratio_frac[i, j])
        light = light_seconds(times.chip, times.format, times.m_count, at_n, at_k)
        np.testing.assert_allclose(times.seconds(times.m_count, at_n, at_k), np.maximum(stored, light), rtol=1e-12)
    assert times.covers(times.m_count[:, None], n, k).all()


def test_outside_the_table_is_marked_and_continues() -> None:
    times = gemm_times("h100-sxm", "vllm", "bf16")
    assert not times.covers([40000, 16, 16], [4096, 16, 4096], [4096, 4096, 100000]).any()
    inside, beyond = times.seconds(32768, 65536, 65536), times.seconds(32768, 65536 * 2, 65536)
    assert beyond == pytest.approx(2 * inside, rel=0.02), "twice the columns of a large product take twice the time"


def test_more_rows_are_seldom_faster_and_never_by_much() -> None:
    m = np.geomspace(1, 32768, 400)
    for chip in ("h100-sxm", "h200-sxm"):
        time = gemm_times(chip, "vllm", "bf16").seconds(m, 8192, 8192)
        assert (time[1:] / time[:-1]).min() > 0.85, chip
        assert time[-1] > 100 * time[0] / 10, chip


def test_shapes_broadcast_and_fractions_of_rows_are_allowed() -> None:
    times = gemm_times("h200-sxm", "trtllm", "fp8")
    m, n = np.array([[1.0], [100.5], [128.0]]), np.array([1000.0, 4096.0])
    whole = times.seconds(m, n, 4096)
    assert whole.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        assert whole[i, j] == times.seconds(m[i, 0], n[j], 4096)


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(DeploymentError, match="no measured table for b200-sxm vllm bf16; expected one of"):
        gemm_times("b200-sxm", "vllm", "bf16")


@pytest.mark.parametrize("fmt", sorted(GEMM_FORMATS))
def test_the_shared_parameters_are_physical(fmt: str) -> None:
    kernel = fitted_kernel(load(), fmt)
    assert 0 < kernel.fixed_s < 3e-5
    assert 0 < kernel.compute_frac <= 1 and 0 < kernel.memory_frac <= 1 and 0 <= kernel.overlap_frac <= 1


def test_the_shared_roofline_is_near_the_tables_it_was_fitted_to() -> None:
    facts, rows = load(), held_out().filter((pl.col("n") >= 512) & (pl.col("k") >= 512))
    for fmt, limit in (("bf16", 0.15), ("fp8", 0.25)):
        part = rows.filter(format=fmt, family="vllm")
        error = []
        for row in part.iter_rows(named=True):
            chip = gemm_chip(facts, row["chip"], fmt)
            time = roofline_seconds(fitted_kernel(facts, fmt), chip, GEMM_FORMATS[fmt], row["m"], row["n"], row["k"])
            error.append(abs(float(time) / row["time_s"] - 1))
        assert np.mean(error) < limit, f"{fmt}: mean error {np.mean(error):.3f} of the fit across chips"
