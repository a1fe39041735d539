"""The fits of products and collectives: they find what made the rows, and leave out what no engine's step would see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("scipy")

from scoville.timing.measured import fit, fit_collectives, fit_gemm
from scoville.timing.measured.collectives import CollectiveLine, line_seconds
from scoville.timing.measured.gemm import GEMM_FORMATS, GemmChip, GemmKernel, roofline_seconds

CHIP = GemmChip(1e15, 4e12, 128)
KERNEL = GemmKernel(4e-6, 0.8, 0.85, 0.3, 2e-12, 0.2, 1e-9, 3000.0, 2e-10)


def rows(kernel: GemmKernel, chip: str = "some-chip", fmt: str = "fp8") -> fit_gemm.Table:
    sizes = [64, 512, 1024, 4096, 16384]
    m, n, k = (x.ravel() for x in np.meshgrid([1, 16, 100, 512, 4096], sizes, sizes, indexing="ij"))
    time = roofline_seconds(kernel, CHIP, GEMM_FORMATS[fmt], m, n, k)
    frame = pl.DataFrame({"m": m, "n": n, "k": k, "time_s": time})
    return fit_gemm.Table((chip, "vllm", fmt), CHIP, GEMM_FORMATS[fmt], frame)


def test_a_fit_gives_the_times_that_it_was_shown() -> None:
    table = rows(KERNEL)
    wrong = np.abs(np.expm1(fit_gemm.error(table, fit_gemm.fit_kernel([table]))))
    assert wrong.mean() < 0.02, f"mean error {wrong.mean():.3f} on rows made by the model itself"


def test_holes_of_the_grid_close_on_a_plane_in_logs() -> None:
    n, k = np.array([32.0, 64, 256, 1024]), np.array([100.0, 200, 800])
    plane = (np.log(n)[:, None] + 2 * np.log(k))[..., None] * np.array([1.0, -0.5])
    holed = plane.copy()
    holed[1, 1] = np.nan
    holed[2, 1, 0] = np.nan
    closed = fit_gemm.fill(holed, n, k)
    known = ~np.isnan(holed)
    np.testing.assert_array_equal(closed[known], plane[known])
    np.testing.assert_allclose(closed, plane, atol=1e-9)


def test_rows_that_a_replay_reads_from_the_cache_are_left_out() -> None:
    table = rows(KERNEL, "l40s", "bf16")
    small, n, k = table.rows["m"].to_numpy() == 1, table.rows["n"].to_numpy(), table.rows["k"].to_numpy()
    stream_s = 2.0 * n * k / CHIP.memory_bytes_per_s
    faster = table._replace(rows=table.rows.with_columns(time_s=np.where(small, stream_s / 2, 1.0)))
    left = fit_gemm.uncached(faster)
    assert left.filter(m=1).is_empty(), "rows at twice the bandwidth of the memory stayed"
    assert len(left) == np.count_nonzero(~small)


def test_a_line_is_found_again() -> None:
    line = CollectiveLine(4e-6, 5e-7, 0.8, 2e6)
    ranks, payload = (x.ravel() for x in np.meshgrid([2, 4, 8], 2.0 ** np.arange(8, 30), indexing="ij"))
    time = line_seconds(line, "all_gather", 450e9, ranks, payload)
    table = pl.DataFrame({"ranks": ranks, "payload_bytes": payload, "time_s": time}).with_columns(
        chip=pl.lit("c"), kind=pl.lit("all_gather")
    )
    found = fit_collectives.fit_line([table], {"c": 450e9})
    assert found.fixed_s == pytest.approx(4e-6, rel=0.01) and found.rank_s == pytest.approx(5e-7, rel=0.01)
    assert found.bandwidth_frac == pytest.approx(0.8, rel=0.01) and found.ramp_bytes == pytest.approx(2e6, rel=0.02)


def test_every_other_payload_is_left_out_but_for_the_ends() -> None:
    payload = [2**i for i in range(9, 16)]
    table = pl.DataFrame({"chip": "c", "family": "nccl", "kind": "all_gather", "payload_bytes": payload})
    assert fit_collectives.left_out(table).to_list() == [False, False, True, False, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "no folder;"), (["nowhere"], "no folder 'nowhere'"), ([".", "gem"], "unknown class gem;")],
)
def test_wrong_arguments_are_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_tables_are_written_and_scores_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"a": [1]})
    monkeypatch.setattr(fit_gemm, "fit_tables", lambda folder: {"gemm": frame, "gemm_scores": frame})
    assert set(fit.fit_class("gemm", tmp_path, tmp_path)) == {"gemm_scores"}
    assert [f.name for f in tmp_path.iterdir()] == ["gemm.parquet"]
