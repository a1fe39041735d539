"""The systolic timer against what was published of weight-stationary arrays, and chips built from their facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoville.errors import FactError
from scoville.facts import Facts, load
from scoville.timing import Chips
from scoville.timing.systolic import Hardware, SystolicTimes, systolic
from scoville.transformer.architecture import FORMATS


def timer(facts: Facts, name: str) -> SystolicTimes:
    found = systolic(facts.accelerator(name), facts)
    assert found is not None
    return found


def half(chip: SystolicTimes) -> SystolicTimes:
    """One of the two cores of a chip, with half of its memory bandwidth."""
    h = chip.hardware
    rates = {pair: rate / 2 for pair, rate in h.compute_flop_per_s.items()}
    return SystolicTimes(
        replace(h, slices_count=1, memory_bytes_per_s=h.memory_bytes_per_s / 2, compute_flop_per_s=rates)
    )


@pytest.fixture(scope="module")
def tpu_v1(facts: Facts) -> SystolicTimes:
    """Jouppi et al. 2017, sections 2 and 3: 256 x 256 at 700 MHz, 34 GB/s of weight memory, 24 MiB of unified buffer
    and 4 MiB of accumulators, between which all activations stay."""
    return SystolicTimes(
        Hardware(
            name="tpu-v1",
            slices_count=1,
            arrays_count=1,
            rows_count=256,
            columns_count=256,
            clock_count_per_s=0.7e9,
            compute_flop_per_s={("int8", "int8"): 92e12},
            memory_bytes_per_s=34e9,
            sram_bytes=28 * 2.0**20,
            memory_frac=facts.get("systolic", "memory_share").number,
            compute_frac=facts.get("systolic", "compute_share").number,
            off_chip=("weights",),
        )
    )


# Table 1: weights and layers give a square layer of the mean size, `batch` and, for CNN0, 8 x 19 x 19 positions the
# rows; table 3, row 9: TOPS. LSTM1's 600 x 600 matrices (section 7) occupy 3 x 3 tiles in weight memory, so 768 x 768
# are read. CNN1 mixes shallow convolutions and layers of unpublished sizes, and is left out.
@pytest.mark.parametrize(
    ("name", "rows", "n", "k", "used", "tops", "limit"),
    [
        ("MLP0", 200, 2000, 2000, 1.0, 12.3, "memory bandwidth"),
        ("MLP1", 168, 1118, 1118, 1.0, 9.7, "memory bandwidth"),
        ("LSTM0", 64, 1472, 1472, 1.0, 3.7, "memory bandwidth"),
        ("LSTM1", 96, 768, 768, (600 / 768) ** 2, 2.8, "memory bandwidth"),
        ("CNN0", 2888, 256, 2304, 1.0, 86.0, "array"),
    ],
)
def test_tpu_v1_runs_its_networks_as_published(
    tpu_v1: SystolicTimes, name: str, rows: int, n: int, k: int, used: float, tops: float, limit: str
) -> None:
    found = tpu_v1.explain(rows, n, k, "int8", "int8")
    assert found.limit == limit, f"{name} is bound by {found.limit}"
    assert 2 * rows * n * k * used / found.total_s / 1e12 == pytest.approx(tops, rel=0.18), name


def test_tpu_v1_needs_1350_rows_a_weight(tpu_v1: SystolicTimes) -> None:
    # "The operations per byte needed to reach peak performance is ~1350" (section 2), at full speed on both sides.
    ideal = SystolicTimes(replace(tpu_v1.hardware, memory_frac=1.0, compute_frac=1.0))
    limits = [ideal.explain(rows, 4096, 4096, "int8", "int8").limit for rows in (1300, 1400)]
    assert limits == ["memory bandwidth", "array"]


# One product at a time, in microseconds: launches of about 1 us, which this timer leaves to others, are in them.
V6E_US = {  # yutation/SCALE-SIM_Validation@8a265d8: data/data_matmul_new_v6/fusion_statistics_report_{1024,4096}.csv
    (1024, 1024, 4096): 16.10, (1024, 2048, 2048): 16.96, (1024, 4096, 4096): 50.78, (1536, 1536, 1536): 15.23,
    (1536, 3072, 3072): 42.59, (2048, 2048, 2048): 30.24, (2048, 2048, 4096): 53.46, (2048, 4096, 1024): 29.01,
    (2048, 4096, 4096): 96.41, (2560, 2560, 2560): 47.84, (2560, 1024, 4096): 31.69, (3584, 3584, 3584): 122.99,
    (3584, 4096, 4096): 161.63, (4096, 1024, 1024): 15.88, (4096, 4096, 1024): 55.57, (4096, 4096, 4096): 189.27,
}  # fmt: skip
TPU7X_US = {  # AI-Hypercomputer/accelerator-microbenchmarks@0ddd4b8: Ironwood readme, bf16 TFLOP/s of one core
    (size, size, size): 2e-6 * size**3 / tflops
    for size, tflops in {2048: 679.28, 4096: 892.94, 16384: 950.13, 32768: 956.38}.items()
}
V5E_US = {  # jax-ml/jax@1082251: docs/pallas/tpu/matmul.ipynb, XLA; less 108 us of dispatch, all but 11 of 1024 cubed
    (4096, 4096, 4096): 827.3 - 108,
    (8192, 8192, 8192): 6047.1 - 108,
}


@pytest.mark.parametrize(
    ("chip", "measured", "mean", "worst"),
    [("tpu-v6e", V6E_US, 0.09, 0.16), ("tpu-v7", TPU7X_US, 0.09, 0.26), ("tpu-v5e", V5E_US, 0.17, 0.19)],
)
def test_large_products_of_tpus_take_about_as_long_as_measured(
    facts: Facts, chip: str, measured: Mapping[tuple[int, int, int], float], mean: float, worst: float
) -> None:
    on = half(timer(facts, chip)) if chip == "tpu-v7" else timer(facts, chip)
    errors = np.array(
        [on.explain(m, n, k, "bf16", "bf16").total_s * 1e6 / us - 1 for (m, n, k), us in measured.items()]
    )
    assert np.abs(errors).mean() <= mean
    assert np.abs(errors).max() <= worst


def test_rows_stream_through_a_v5e_at_the_measured_pace(facts: Facts) -> None:
    # ayaka14732/pallas-tpu-tutorial, chapter01/11_matmul_mxu: 211 cycles for 128 rows, 435 for 1024, through 128 x 128.
    on = SystolicTimes(replace(timer(facts, "tpu-v5e").hardware, off_chip=(), compute_frac=1.0))
    cycles = on.gemm_seconds([128, 1024], 128, 128, "bf16", "bf16") * 1.5e9
    assert cycles[1] - cycles[0] == pytest.approx(435 - 211, rel=0.15)
    assert 0 < cycles[0] - 211 < 250, "a TPU's arrays are shallower than one register a row"


def test_reference_chip_is_as_disclosed(facts: Facts) -> None:
    h = timer(facts, "jalapeno").hardware
    # 64 slices x 15 active arrays of 64 x 64 at 1.7 GHz, 512 KiB a slice.
    assert (h.slices_count, h.arrays_count, h.rows_count, h.columns_count) == (64, 15, 64, 64)
    assert h.native_flop_per_s == pytest.approx(13.4e15, rel=0.003)
    assert h.sram_bytes == 512 * 1024
    assert h.memory_bytes_per_s / 64 == pytest.approx(240e9, rel=0.005)
    assert h.pace(FORMATS["fp8"], FORMATS["fp8"])[1] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize(
    ("formats", "weights_us", "row_ns", "ridge"),
    [
        # 8192 x 8192: weights at 15.4 TB/s x 0.88; FLOP a row at peak x 0.83; bytes a row in and out.
        (("mxfp4", "mxfp4"), 2.63, 12.07 - 1.53, 250),
        (("fp8", "fp8"), 4.95, 47.6 - 1.8, 108),
        (("mxfp4", "bf16"), 2.63, 193.7 - 2.4, 14),
    ],
)
def test_ridge_of_the_reference_chip_is_where_arithmetic_puts_it(
    facts: Facts, formats: tuple[str, str], weights_us: float, row_ns: float, ridge: int
) -> None:
    assert weights_us * 1e3 / row_ns == pytest.approx(ridge, rel=0.02)
    on = timer(facts, "jalapeno")
    assert on.explain(0.85 * ridge, 8192, 8192, *formats).limit == "memory bandwidth"
    assert on.explain(1.2 * ridge, 8192, 8192, *formats).limit == "array"
    alone = on.gemm_seconds(1, 8192, 8192, *formats).item() * 1e6
    assert weights_us < alone < weights_us + 0.2


def test_a_chip_whose_arrays_nobody_described_has_no_systolic_timer(facts: Facts) -> None:
    assert systolic(facts.accelerator("h100-sxm"), facts) is None


def test_a_chip_of_ones_own_says_in_a_sentence_what_is_missing(tmp_path: Path) -> None:
    def chip(**extra: str) -> Facts:
        entries = {
            "compute_bf16": "100 TFLOP/s",
            "memory_capacity": "80 GB",
            "memory_bandwidth": "2 TB/s",
            "arrays_per_slice": "4",
            "array_rows": "64",
            "array_columns": "32",
            "clock": "1 GHz",
        } | extra
        table = '[mine]\ncategory = "accelerator"\n' + "".join(
            f'[mine.{name}]\nvalue = "{value}"\nsource = "me"\nas_of = "2026"\nkind = "estimated"\n'
            for name, value in entries.items()
        )
        file = tmp_path / "mine.toml"
        file.write_text(table)
        return load([file])

    def asked(**extra: str) -> SystolicTimes | None:
        facts = chip(**extra)
        return systolic(facts.accelerator("mine"), facts)

    with pytest.raises(FactError, match="mine: on-chip memory is unknown; add sram_per_slice"):
        asked()
    with pytest.raises(FactError, match="mine: spare_arrays_per_slice leaves no active array"):
        asked(sram_per_slice="1 MiB", spare_arrays_per_slice="4")
    found = asked(sram_capacity="8 MiB", slices="4", vector_rate="1 TFLOP/s", fabric_bandwidth_per_slice="50 GB/s")
    assert found is not None
    h = found.hardware
    assert (h.sram_bytes, h.vector_flop_per_s, h.fabric_bytes_per_s) == (2 * 2**20, 1e12, 5e10)
    assert h.compute_flop_per_s["fp4", "bf16"] == 100e12, "narrow weights widen to what the chip multiplies"


@pytest.mark.parametrize("chip", ["jalapeno", "tpu-v5e", "tpu-v7"])
def test_formats_run_at_the_same_peaks_as_on_the_roofline(
    facts: Facts, central: Callable[[str], Chips], chip: str
) -> None:
    h, roofline = timer(facts, chip).hardware, central(chip)
    assert h.memory_bytes_per_s == roofline.memory_bytes_per_s[0]
    for weight in FORMATS.values():
        for activation in FORMATS.values():
            try:
                pair = roofline.rate(weight.rate, activation.rate)
            except FactError:
                with pytest.raises(FactError, match=f"{chip}: no compute rate for {weight.name} weights"):
                    h.peak_flop_per_s(weight, activation)
                continue
            assert h.peak_flop_per_s(weight, activation) == roofline.compute_flop_per_s[pair][0]
