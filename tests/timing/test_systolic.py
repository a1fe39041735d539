"""Matrix products on arrays: cycles by hand and by simulation, bounds, and what more silicon buys."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoville.errors import FactError
from scoville.facts import Draws, Facts
from scoville.timing import chips
from scoville.timing.roofline import kernel_speeds
from scoville.timing.systolic import Hardware, SystolicTimes, systolic
from scoville.timing.systolic.mapping import Product, layouts
from scoville.transformer import load
from scoville.transformer.architecture import FORMATS
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

BF16 = FORMATS["bf16"]


def times(**changes: Any) -> SystolicTimes:
    """One slice with one array of 32 x 32 at 1 GHz, so that a nanosecond is a cycle; operands lie on the chip."""
    base = Hardware(
        name="paper",
        slices_count=1,
        arrays_count=1,
        rows_count=32,
        columns_count=32,
        clock_count_per_s=1e9,
        compute_flop_per_s={},
        memory_bytes_per_s=1e12,
        sram_bytes=2.0**26,
        off_chip=(),
    )
    hardware = replace(base, **changes)
    peak = {("bf16", "bf16"): hardware.native_flop_per_s, ("fp8", "fp8"): 2 * hardware.native_flop_per_s}
    return SystolicTimes(replace(hardware, compute_flop_per_s=hardware.compute_flop_per_s or peak))


def tall(**changes: Any) -> SystolicTimes:
    """Eight slices of four 64 x 64 arrays at 1 GHz, 1 MiB each, 262 TFLOP/s in bf16 and 1 TB/s."""
    shape = {"slices_count": 8, "arrays_count": 4, "rows_count": 64, "columns_count": 64, "sram_bytes": 2.0**20}
    return times(**{**shape, "off_chip": ("weights", "activations"), **changes})


def cycles_by_simulation(rows: int, columns: int, vectors: int) -> int:
    """A weight-stationary array moved register by register: load row by row, then stream skewed vectors through.

    Every register is None or (vector, partial sum of ones); the cycle is returned in which the last sum leaves.
    """
    cycle = rows  # a row of weights enters per cycle
    inputs: list[list[int | None]] = [[None] * columns for _ in range(rows)]
    sums: list[list[int | None]] = [[None] * columns for _ in range(rows)]
    done = 0
    start = cycle
    while done < vectors * columns:
        step = cycle - start
        new_inputs: list[list[int | None]] = [[None] * columns for _ in range(rows)]
        new_sums: list[list[int | None]] = [[None] * columns for _ in range(rows)]
        for r in range(rows):
            for c in range(columns):
                x = (step - r if 0 <= step - r < vectors else None) if c == 0 else inputs[r][c - 1]
                above = 0 if r == 0 else sums[r - 1][c]
                if x is not None:
                    assert above is not None, "a partial sum and its input do not meet"
                    new_inputs[r][c], new_sums[r][c] = x, above + 1
        done += sum(x == rows for x in new_sums[rows - 1])
        inputs, sums, cycle = new_inputs, new_sums, cycle + 1
    return cycle


@pytest.mark.parametrize(("rows", "columns", "vectors"), [(4, 4, 7), (3, 5, 1), (8, 2, 20), (1, 1, 3)])
def test_one_fold_takes_as_many_cycles_as_an_array_moved_register_by_register(
    rows: int, columns: int, vectors: int
) -> None:
    # Samajdar et al. 2020, section II: 2 R + C + T - 2.
    assert cycles_by_simulation(rows, columns, vectors) == 2 * rows + columns + vectors - 2
    on = times(rows_count=rows, columns_count=columns)
    product = Product(np.array([float(vectors)]), np.ones(1), columns, rows, BF16, BF16)
    found = {x.dataflow: y for x, y in layouts(on.hardware, product, batched=False) if x.stream_count == 1}
    assert found["weight"].total_s.item() * 1e9 == pytest.approx(2 * rows + columns + vectors - 2)


def test_folds_follow_each_other_without_a_gap() -> None:
    # 128 x 64 weights: 4 x 2 folds of 32 x 32, each 100 vectors; the first loads in 32 cycles, the skew is 62.
    assert times().gemm_seconds(100, 64, 128, "bf16", "bf16").item() * 1e9 == pytest.approx(8 * 100 + 32 + 62)
    # One vector a fold: loading the next fold takes longer, 32 cycles; the last streams one.
    assert times().gemm_seconds(1, 64, 128, "bf16", "bf16").item() * 1e9 <= 7 * 32 + 1 + 32 + 62


def test_dataflow_keeps_what_would_otherwise_pass_the_on_chip_memory_most_often() -> None:
    on = times(sram_bytes_per_s=1e12)
    assert on.explain(32, 32, 4096, "bf16", "bf16").mapping.dataflow == "output"
    assert on.explain(4096, 32, 32, "bf16", "bf16").mapping.dataflow == "weight"
    assert on.explain(32, 4096, 32, "bf16", "bf16").mapping.dataflow == "input"


def test_narrow_formats_deepen_the_array_and_wide_ones_slow_its_stream() -> None:
    v1 = {("int8", "int8"): 2 * 1024 * 1e9, ("int8", "bf16"): 1024 * 1e9, ("bf16", "bf16"): 512 * 1e9}
    on = times(compute_flop_per_s=v1)
    # Jouppi et al. 2017, section 2: full speed with 8 bits, half with 8 and 16, a quarter with 16.
    assert on.hardware.pace(FORMATS["int8"], FORMATS["int8"]) == (1, 1)
    assert on.hardware.pace(FORMATS["int8"], BF16) == (1, 2)
    assert on.hardware.pace(BF16, BF16) == (1, 4)
    assert times().hardware.pace(FORMATS["fp8"], FORMATS["fp8"]) == (2, 1)
    one, two = (times().gemm_seconds(4096, 32, 64, f, f).item() * 1e9 for f in ("fp8", "bf16"))
    assert two - one == pytest.approx(4096), "half as deep an array needs a second fold"


def shapes(seed: int, count: int) -> list[tuple[float, int, int]]:
    rng = np.random.default_rng(seed)
    return [(float(m), round(n), round(k)) for m, n, k in np.exp(rng.uniform(0, np.log(20000), (count, 3)))]


def test_nothing_is_faster_than_peak_or_memory() -> None:
    for fabric, sram in ((math.inf, math.inf), (2e11, 5e11)):
        on = tall(fabric_bytes_per_s=fabric, sram_bytes_per_s=sram)
        for m, n, k in shapes(1, 16):
            for name in ("bf16", "fp8"):
                size = FORMATS[name].size_bytes
                seconds = on.gemm_seconds(m, n, k, name, name).item()
                assert seconds >= 2 * m * n * k / on.hardware.peak_flop_per_s(FORMATS[name], FORMATS[name])
                assert seconds >= (n * k * size + m * k * size + 2 * m * n) / on.hardware.memory_bytes_per_s


@pytest.mark.parametrize("chip", ["jalapeno", "tpu-v4", "tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7"])
def test_no_bundled_chip_beats_its_own_peaks(facts: Facts, chip: str) -> None:
    on = systolic(facts.accelerator(chip), facts)
    assert on is not None
    weight, activation = ("mxfp4", "fp8") if chip == "jalapeno" else ("bf16", "bf16")
    m = np.geomspace(1, 30000, 40)
    for n, k in ((8192, 8192), (1000, 5000), (128, 57344), (57344, 96)):
        seconds = on.gemm_seconds(m, n, k, weight, activation)
        peak = on.hardware.peak_flop_per_s(FORMATS[weight], FORMATS[activation])
        moved = n * k * FORMATS[weight].size_bytes + m * k * FORMATS[activation].size_bytes + 2 * m * n
        assert np.all(seconds >= 2 * m * n * k / peak), "faster than the arrays' peak"
        assert np.all(seconds >= moved / on.hardware.memory_bytes_per_s), "faster than the off-chip memory"


def test_large_products_of_whole_folds_fill_the_arrays() -> None:
    for size, least in ((4096, 0.95), (32768, 0.99)):
        seconds = tall(sram_bytes=2.0**24).gemm_seconds(size, size, size, "bf16", "bf16").item()
        use = 2 * size**3 / seconds / tall().hardware.native_flop_per_s
        assert least < use <= 1, f"{size} cubed uses {use:.1%} of the arrays"


def test_narrow_results_leave_columns_idle_but_ragged_ones_are_mapped_around() -> None:
    on = tall(off_chip=())
    one, whole, more = (on.gemm_seconds(1e5, n, 64, "bf16", "bf16").item() for n in (1, 64, 64 * 32 + 1))
    assert one == pytest.approx(whole, rel=0.03), "one column takes as long as a whole fold of 64"
    assert more == pytest.approx(32 * whole, rel=0.1)


def test_small_batches_wait_for_weights_and_cost_nothing_more() -> None:
    seconds = tall().gemm_seconds([1, 8, 32], 8192, 8192, "bf16", "bf16")
    weights = 2 * 8192**2 / 1e12
    assert np.all(seconds > weights)
    assert seconds[2] < 1.02 * seconds[0] < 1.06 * weights


@pytest.mark.parametrize(
    ("what", "changes", "slack"),
    [
        ("off-chip bandwidth", {"memory_bytes_per_s": 2e12}, 1.0),
        ("network on the chip", {"fabric_bytes_per_s": 6e11}, 1.0),
        ("on-chip bandwidth", {"sram_bytes_per_s": 2e12}, 1.0),
        ("clock", {"clock_count_per_s": 2e9}, 1.0),
        ("arrays", {"arrays_count": 8}, 1.01),
        ("on-chip memory", {"sram_bytes": 2.0**22}, 1.03),  # other tiles are tried, not all of the old ones again
    ],
)
def test_more_of_anything_is_not_slower(what: str, changes: dict[str, float], slack: float) -> None:
    limits = {"fabric_bytes_per_s": 3e11, "sram_bytes_per_s": 1e12}
    before, after = tall(**limits), tall(**{**limits, **changes})
    for m, n, k in shapes(2, 16):
        old, new = (on.gemm_seconds(m, n, k, "bf16", "bf16").item() for on in (before, after))
        assert new <= old * slack * (1 + 1e-9), f"more {what} made {m} x {n} x {k} slower"


def test_on_chip_memory_buys_time_where_operands_must_come_again() -> None:
    little, much = (
        tall(sram_bytes=b, fabric_bytes_per_s=1e11).gemm_seconds(4096, 8192, 8192, "bf16", "bf16").item()
        for b in (2.0**17, 2.0**22)
    )
    assert much < 0.8 * little


def test_every_dimension_can_be_the_one_that_slices_split() -> None:
    on = tall(off_chip=(), sram_bytes_per_s=1e12)
    assert on.explain(65536, 64, 64, "bf16", "bf16").mapping.m_count == 8
    assert on.explain(64, 65536, 64, "bf16", "bf16").mapping.n_count == 8
    assert on.explain(64, 64, 65536, "bf16", "bf16").mapping.k_count == 8


def test_many_rows_at_once_give_what_each_gives_alone() -> None:
    on = tall(fabric_bytes_per_s=3e11)
    m = np.linspace(1, 9000, 9001)
    together = on.gemm_seconds(m, 4096, 3072, "bf16", "bf16")
    some = slice(7, None, 331)
    alone = on.gemm_seconds(m[some], 4096, 3072, "bf16", "bf16")
    assert np.all(together[some] >= alone * (1 - 1e-12)), "the search over many beats the full one"
    assert together[some] == pytest.approx(alone, rel=0.02)
    assert on.gemm_seconds(m[::-1], 4096, 3072, "bf16", "bf16") == pytest.approx(together[::-1])
    assert on.explain(float(m[338]), 4096, 3072, "bf16", "bf16").total_s <= alone[1] * 1.001


def test_shapes_pass_through_and_no_rows_take_no_time() -> None:
    on = tall()
    square = on.gemm_seconds(np.array([[0.0, 1.0], [2.5, 0.0]]), 512, 512, "bf16", "bf16")
    assert square.shape == (2, 2)
    assert (square == 0).tolist() == [[True, False], [False, True]]
    assert on.gemm_seconds(3, 512, 512, "bf16", "bf16").shape == ()
    assert on.moe_seconds(np.zeros(2), np.zeros(2), 512, 512, "bf16", "bf16").tolist() == [0, 0]


def test_experts_share_the_chip() -> None:
    on = tall()
    one = on.gemm_seconds(64, 2048, 1024, "bf16", "bf16").item()
    same = on.moe_seconds(64.0, 1.0, 2048, 1024, "bf16", "bf16").item()
    eight = on.moe_seconds(8 * 64.0, 8.0, 2048, 1024, "bf16", "bf16").item()
    assert same == one
    assert eight <= 8 * one, "experts one after another would be faster"
    weights = 8 * 2 * 2048 * 1024 / 1e12
    assert weights < eight < 1.1 * (weights + 8 * 64 * 2 * (1024 + 2048) / 1e12)
    # Fractional means of touched experts lie between whole numbers.
    few, between, more = on.moe_seconds(np.full(3, 64.0), np.array([7.0, 7.5, 8.0]), 2048, 1024, "bf16", "bf16")
    assert few < between < more


def test_layout_of_a_product_names_what_bounds_it() -> None:
    assert tall().explain(1, 8192, 8192, "bf16", "bf16").limit == "memory bandwidth"
    assert tall().explain(8192, 8192, 8192, "bf16", "bf16").limit == "array"
    assert tall(sram_bytes_per_s=1e10).explain(8192, 8192, 8192, "bf16", "bf16").limit == "on-chip memory"


def test_formats_nobody_can_multiply_are_refused_in_a_sentence() -> None:
    with pytest.raises(FactError, match="paper: no compute rate for mxfp4 weights and bf16 activations"):
        tall().gemm_seconds(1, 64, 64, "mxfp4", "bf16")
    with pytest.raises(FactError, match="unknown number format 'fp9'; known: fp32"):
        tall().gemm_seconds(1, 64, 64, "fp9", "bf16")


def test_samples_spread_with_the_shares_that_arrays_and_memory_reach(facts: Facts) -> None:
    """Many rows of a product take the inverse of the drawn share of the peak, few rows that of the bandwidth."""
    draws = Draws(1, 200)
    accelerator = facts.accelerator("jalapeno")
    one = chips(accelerator, facts, Draws.central(), "systolic")
    on = replace(
        chips(accelerator, facts, draws, "systolic"),
        compute_flop_per_s={pair: np.repeat(rate, 200) for pair, rate in one.compute_flop_per_s.items()},
        memory_bytes_per_s=np.repeat(one.memory_bytes_per_s, 200),
        launch_s=dict.fromkeys(one.launch_s, np.zeros(200)),
    )
    table = operator_table(load("llama-3.1-70b"), Precision("fp8", "fp8", "fp8"), Parallelism(4))
    speeds = kernel_speeds(table, on)
    up = next(c for c in speeds.curves if table.operators[c.operator].name.endswith("mlp_up"))
    for k, name in ((0, "memory_share"), (-1, "compute_share")):
        share = facts.get("systolic", name)
        drawn = draws.sample(share)
        assert drawn.std() > 0.01
        central = up.seconds[:, k] * drawn / share.number
        assert np.ptp(central) < 1e-9 * central.mean(), f"{name} does not reach the seconds"
