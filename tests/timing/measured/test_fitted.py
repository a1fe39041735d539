"""The fitted roofline in a step: the chip's own peaks by sample, formats, links, errors of classes; and the arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.timing.conftest import one_sample

from scoville.errors import FactError
from scoville.facts import Draws, Facts
from scoville.timing import Chips, RooflineTimer, chips
from scoville.timing.curves import ROWS, Curve
from scoville.timing.measured import collectives, gemm
from scoville.timing.measured.fitted import FittedKernels
from scoville.timing.measured.gemm import GEMM_FORMATS, GemmChip
from scoville.timing.roofline import kernel_speeds
from scoville.timing.systolic import systolic
from scoville.transformer import load
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

Central = Callable[[str], Chips]
TIMER = RooflineTimer()
FP8 = Precision("fp8", "fp8", "fp8")


def llama(precision: Precision = FP8) -> OperatorTable:
    return operator_table(load("llama-3.1-70b"), precision, Parallelism(4))


def steps(table: OperatorTable) -> NDArray[np.float64]:
    """Decodes of 1 and of 128 sequences, a prompt of 4,096 tokens, and both."""
    mix = uniform_mix(
        table.architecture,
        decode_sequences=np.array([1, 128, 0, 128]),
        context_tokens=2048,
        prefill_sequences=np.array([0, 0, 1, 1]),
        prefill_tokens=np.array([0, 0, 4096, 4096]),
    )
    return table.layout.features(mix)


def curve(table: OperatorTable, on: Chips, name: str) -> Curve:
    """The curve of one operator of a step."""
    i = next(i for i, op in enumerate(table.operators) if op.name == name)
    return next(c for c in kernel_speeds(table, on).curves if c.operator == i)


def test_a_chip_without_tables_takes_the_fitted_functions_at_its_own_peaks(facts: Facts, central: Central) -> None:
    """B200, whose units are 2.3 times as fast as an H100's: 4.5 PFLOP/s of fp8 count as 300 units, not 132."""
    found = curve(llama(), central("b200-sxm"), "mlp_up")
    chip = GemmChip(4.5e15, 8e12, 4.5e15 / (1979e12 / 132))
    kernel = gemm.fitted_kernel(facts, "fp8", "vllm")
    expected = gemm.roofline_seconds(kernel, chip, GEMM_FORMATS["fp8"], ROWS, 2 * 28_672 // 4, 8192)
    assert found.source == "fitted"
    np.testing.assert_allclose(found.seconds[0], expected, rtol=2e-4)  # 1,979 is rounded


def test_every_sample_is_timed_at_its_own_peaks(facts: Facts) -> None:
    """Samples side by side equal each sample alone, whatever varies: peaks, bandwidth, links and errors."""
    on = chips(facts.accelerator("mi300x"), facts, Draws(5, 4))
    rng = np.random.default_rng(1)
    on = replace(
        on,
        memory_bytes_per_s=on.memory_bytes_per_s * rng.uniform(0.8, 1.2, 4),
        compute_flop_per_s={pair: x * rng.uniform(0.7, 1.1, 4) for pair, x in on.compute_flop_per_s.items()},
    )
    for name, precision in (("llama-3.1-70b", FP8), ("gpt-oss-120b", Precision())):
        table = operator_table(load(name), precision, Parallelism(4))
        together = TIMER.time(table, on, steps(table)).stage_s
        for i in range(4):
            alone = TIMER.time(table, one_sample(on, i), steps(table)).stage_s[0]
            np.testing.assert_allclose(together[i], alone, rtol=1e-12, err_msg=f"sample {i} of {name}")


def test_curves_of_every_bundled_chip_rise_with_rows_and_stay_above_light(facts: Facts) -> None:
    """Experts never take less for more tokens; a product may, by less than a tile's worth of waves."""
    table = operator_table(load("gpt-oss-120b"), Precision(), Parallelism(4))
    timed = [a for a in facts.accelerators() if not a.missing and ("bf16", "bf16") in a.compute]
    assert len(timed) > 20
    for accelerator in timed:
        on = chips(accelerator, facts, Draws.central())
        for c in kernel_speeds(table, on).curves:
            op = table.operators[c.operator]
            assert np.isfinite(c.seconds).all() and (c.seconds >= 0).all(), f"{op.name} on {accelerator.id}"
            if isinstance(on.kernels, FittedKernels) and op.kind == "moe":
                assert (np.diff(c.seconds) >= 0).all(), f"{op.name} on {accelerator.id} gets faster with tokens"
            if isinstance(on.kernels, FittedKernels) and op.collective is None:
                rows = np.zeros((len(ROWS), len(table.layout.names)))
                rows[:, c.column] = ROWS
                peak = on.compute_flop_per_s[on.rate(op.weight_rate, op.activation_rate)][0]
                share = 1.0 if op.kind == "gemm" else 1 / 3  # experts: both products share one bound
                light = share * (rows @ table.flop[c.operator]) / peak
                assert (c.seconds[0] >= light * (1 - 1e-9)).all(), f"{op.name} on {accelerator.id} is beyond its peak"


@pytest.mark.parametrize("name", ["b200-sxm", "mi300x", "jalapeno"])
def test_more_bandwidth_and_faster_links_are_never_slower(central: Central, name: str) -> None:
    table, on = llama(), central(name)
    before = TIMER.time(table, on, steps(table)).stage_s
    more = replace(on, memory_bytes_per_s=on.memory_bytes_per_s * 2)
    links = tuple(replace(link, bandwidth_bytes_per_s=link.bandwidth_bytes_per_s * 2) for link in on.links)
    for better in (more, replace(on, links=links)):
        assert (TIMER.time(table, better, steps(table)).stage_s < before).all()


def test_narrow_formats_take_the_nearest_set(central: Central) -> None:
    """Of B200, at 16,384 rows: FP4 doubles the peak of FP8 but keeps 0.40 of 0.49 of its share, so it is faster by less
    than 2; at one row it moves 4.25 bits for 8. Weights of 4 bits multiplied in bf16 move a quarter of bf16's."""
    on = central("b200-sxm")
    fp4 = Precision("mxfp4", "mxfp4", "fp8")
    formats = {"fp8": FP8, "fp4": fp4, "fp4_bf16": Precision("mxfp4"), "bf16": Precision("bf16")}
    shown = {name: curve(llama(precision), on, "mlp_up").seconds[0] for name, precision in formats.items()}
    wide = int(np.searchsorted(ROWS, 16_384))
    assert 1.2 < shown["fp8"][wide] / shown["fp4"][wide] < 2.0
    assert shown["fp4"][0] < shown["fp8"][0] < shown["bf16"][0]
    assert shown["fp4_bf16"][0] < shown["bf16"][0]
    assert shown["fp4_bf16"][wide] > shown["fp4"][wide]


def test_tensorrt_llm_rotates_inside_attention_and_does_not_look_for_scales(facts: Facts) -> None:
    """As where its kernels were measured: no kernel of its own that rotates, nor one that looks for scales."""
    b200 = facts.accelerator("b200-sxm")
    ours, theirs = (chips(b200, facts, Draws.central(), family) for family in ("vllm", "trtllm"))
    assert (curve(llama(), theirs, "rope").seconds == 0).all()
    rows = TIMER.explain(llama(), ours, steps(llama())[1])
    assert next(r.source for r in rows if r.name == "rope") == "roofline"
    assert isinstance(theirs.kernels, FittedKernels)
    assert theirs.kernels.gemm["fp8"].fixed_s == theirs.kernels.gemm["bf16"].fixed_s


def test_a_measured_chip_falls_back_to_its_own_fitted_roofline(central: Central) -> None:
    """Nobody measured 8-bit weights multiplied in bf16 on an H100."""
    table, on = llama(Precision("fp8", "bf16")), central("h100-sxm")
    sources = {r.name: r.source for r in TIMER.explain(table, on, steps(table)[1])}
    assert sources["mlp_up"] == "fitted"
    assert sources["attention_decode"] == sources["all_reduce_mlp"] == "measured"
    assert sources["norm_attention"] == "roofline"


def test_links_of_a_switch_take_the_fitted_line_others_the_ring(facts: Facts, central: Central) -> None:
    """B200: the line at 900 GB/s, and 2.5 us of its link in place of the measured chips' mean at 1.83 GHz."""
    found = curve(llama(), central("b200-sxm"), "all_reduce_mlp")
    line = collectives.fitted_line(facts, "all_reduce")
    clocks = {"a100-sxm": 1.41, "h100-sxm": 1.83, "h200-sxm": 1.83}
    latency = np.mean([facts.accelerator(c).links[0].latency.number * ghz / 1.83 for c, ghz in clocks.items()])
    expected = collectives.line_seconds(line, "all_reduce", 900e9, 4, ROWS * 8192 * 2) + 2.5e-6 - latency
    np.testing.assert_allclose(found.seconds[0], expected, rtol=1e-9)
    table = llama()
    torus = {table.operators[c.operator].name for c in kernel_speeds(table, central("tpu-v7")).curves}
    assert "all_reduce_mlp" not in torus, "a torus has no switch"


def test_the_error_of_a_class_is_a_chips_own(facts: Facts) -> None:
    """One draw a class and design, apart from the chip's; measured kernels don't feel it."""
    b200, gb200, amd, h100 = (
        chips(facts.accelerator(a), facts, Draws(3, 400)) for a in ("b200-sxm", "gb200-nvl72", "mi300x", "h100-sxm")
    )
    assert set(b200.class_frac) == {"gemm", "moe", "attention", "collective"}
    draws = [*b200.class_frac.values(), b200.time_frac, amd.class_frac["gemm"]]
    apart = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(apart).max() < 0.2, "errors of classes and chips are drawn one by one"
    one_design = facts.find("timing-family", "gb200-nvl72")
    if one_design and one_design.value == getattr(facts.find("timing-family", "b200-sxm"), "value", "b200-sxm"):
        np.testing.assert_array_equal(b200.class_frac["gemm"], gb200.class_frac["gemm"])
    table = llama()
    without = replace(h100, class_frac={k: np.ones(400) for k in h100.class_frac})
    measured, unmoved = (TIMER.time(table, on, steps(table)).stage_s for on in (h100, without))
    np.testing.assert_array_equal(measured, unmoved)
    spread = [np.std(np.log(TIMER.time(table, on, steps(table)[1:2]).stage_s)) for on in (h100, b200, amd)]
    assert spread[0] < spread[1] < spread[2], "less is known of chips the further they are from measured ones"


def test_an_h20_is_not_bound_by_the_arithmetic_of_decode_attention(central: Central) -> None:
    """148 TFLOP/s beside 4 TB/s; kernels measured on it read the cache at 0.8 of the bandwidth (alibaba/InferSim)."""
    table, on = llama(Precision()), central("h20")
    x = table.layout.features(uniform_mix(table.architecture, decode_sequences=64, context_tokens=8192))[0]
    row = next(r for r in TIMER.explain(table, on, x) if r.name == "attention_decode")
    assert row.limit == "memory bandwidth"
    assert 0.7 < row.memory_bytes / 4e12 / row.time_s < 0.95


def test_arrays_time_their_own_products(facts: Facts) -> None:
    """Jalapeño: the systolic timer's seconds and the roofline's launch; links are the fitted roofline's."""
    accelerator = facts.accelerator("jalapeno")
    on, table = chips(accelerator, facts, Draws.central(), "systolic"), llama()
    times = systolic(accelerator, facts)
    assert times is not None
    expected = times.gemm_seconds(ROWS, 2 * 28_672 // 4, 8192, "fp8", "fp8") + on.launch_s["gemm"]
    np.testing.assert_allclose(curve(table, on, "mlp_up").seconds[0], expected)
    sources = {r.kind: r.source for r in TIMER.explain(table, on, steps(table)[3])}
    assert sources == {
        "gemm": "systolic", "attention_decode": "systolic", "attention_prefill": "systolic", "elementwise": "roofline",
        "collective": sources["collective"],
    }  # fmt: skip
    assert on.provenance.startswith("systolic arrays")


@pytest.mark.parametrize("model", ["gpt-oss-120b", "deepseek-v3", "qwen3.5-397b-a17b"])
def test_arrays_time_experts_and_latent_caches(facts: Facts, model: str) -> None:
    """Experts, attention and projections are the arrays'; with twice the bandwidth every step is faster."""
    table = operator_table(load(model), Precision(), Parallelism(8))
    on = chips(facts.accelerator("jalapeno"), facts, Draws.central(), "systolic")
    x = steps(table)
    before = TIMER.time(table, on, x)
    for row in TIMER.explain(table, on, x[1]):
        if row.kind == "moe" or row.name.endswith(("attention_decode", "output_projection")):
            assert row.source == "systolic", row.name
    double = replace(on, memory_bytes_per_s=on.memory_bytes_per_s * 2)
    assert (TIMER.time(table, double, x).stage_s < before.stage_s).all()


def test_a_chip_without_arrays_is_told_so(facts: Facts) -> None:
    with pytest.raises(FactError, match="h100-sxm has no matrix units that the systolic timer could time: its facts"):
        chips(facts.accelerator("h100-sxm"), facts, Draws.central(), "systolic")


def test_no_draw_beats_the_speed_of_light(facts: Facts) -> None:
    """However much quicker than the fit a class is drawn, weights cross the memory and FLOP take the peak."""
    on = chips(facts.accelerator("b200-sxm"), facts, Draws(3, 2))
    on = replace(on, class_frac={name: np.full(2, 0.01) for name in on.class_frac})
    table = llama(Precision("fp8", "fp8", "bf16"))
    found = curve(table, on, "mlp_up")
    light = gemm.light_seconds(GemmChip(4.5e15, 8e12, 1.0), GEMM_FORMATS["fp8"], ROWS, 2 * 28_672 // 4, 8192)
    assert (found.seconds >= 0.99 * light).all(), "a product is quicker than its chip"
    decode = next(op for op in table.operators if op.kind == "attention_decode")
    assert isinstance(on.kernels, FittedKernels)
    sides = on.kernels.sides(decode, on)
    assert sides is not None
    token_s = sides.sides.memory.kv_token_s * sides.memory_frac
    assert (token_s >= 0.99 * 2 * 2 * 2 * 128 / 8e12).all(), "a cache is read faster than the memory can"
    pair_s = sides.sides.compute.pair_s * sides.compute_frac
    assert (pair_s >= 0.99 * 16 * 4 * 128 / 4.5e15).all(), "scores are quicker than the peak"
