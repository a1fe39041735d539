"""Which table answers for an operator, and that the timer takes what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoville.facts import Draws, load
from scoville.serving.costs import TICKS_PER_S, compile_costs
from scoville.serving.settings import EngineSettings
from scoville.timing import Chips, RooflineTimer, chips
from scoville.timing.curves import ROWS, Position
from scoville.timing.measured.collectives import collective_times
from scoville.timing.measured.gemm import gemm_tables, gemm_times
from scoville.timing.measured.moe import moe_times
from scoville.timing.records import OperatorTime
from scoville.timing.roofline import kernel_speeds
from scoville.transformer import load as model
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

FACTS = load()
MEASURED = ("a100-sxm", "h100-sxm", "h200-sxm", "l40s")
BF16, FP8 = Precision("bf16"), Precision("fp8", "fp8", "bf16")


def central(name: str, family: str = "vllm") -> Chips:
    return chips(FACTS.accelerator(name), FACTS, Draws.central(), family)


def table(name: str, precision: Precision = BF16, **ranks: int) -> OperatorTable:
    return operator_table(model(name), precision, Parallelism(**ranks))


def explained(t: OperatorTable, on: Chips, decodes: float, prompt: float = 0.0) -> dict[str, OperatorTime]:
    mix = uniform_mix(
        t.architecture,
        decode_sequences=decodes,
        context_tokens=1023,
        prefill_sequences=float(prompt > 0),
        prefill_tokens=prompt,
    )
    return {row.name: row for row in RooflineTimer().explain(t, on, t.layout.features(mix)[0])}


@pytest.mark.parametrize("rows", [1, 16, 64, 256, 4096])
def test_a_product_takes_the_tables_own_time_at_a_knot(rows: int) -> None:
    """Llama-3.1-70B's gate and up projection on one of four ranks: 14,336 x 8,192."""
    up = explained(table("llama-3.1-70b", tensor=4), central("h100-sxm"), rows)["mlp_up"]
    assert float(rows) in ROWS
    assert up.source == "measured"
    assert up.time_s == pytest.approx(
        float(gemm_times("h100-sxm", "vllm", "bf16").seconds(rows, 14336, 8192)), rel=1e-12
    )


def test_more_rows_than_were_measured_are_extrapolated() -> None:
    """Products on an A100 were measured up to 8,192 rows, its experts up to 65,536 tokens."""
    t, on = table("mixtral-8x7b", tensor=2), central("a100-sxm")
    for prompt, product in ((4096, "measured"), (16_384, "extrapolated")):
        rows = explained(t, on, 0, prompt)
        assert rows["qkv_projection"].source == product, f"products of {prompt} rows"
        assert rows["experts_up"].source == "measured", f"experts of {prompt} tokens"


def test_between_knots_a_curve_is_a_straight_line() -> None:
    values = np.interp(ROWS, [1, ROWS[-1]], [5.0, 7.0])
    at = np.array([0.0, 1.5, 1000.3, ROWS[-1]])
    assert Position.of(at).at(values).tolist() == pytest.approx([0.0, *np.interp(at[1:], [1, ROWS[-1]], [5.0, 7.0])])


def test_the_shares_of_both_products_of_experts_add_up_to_the_pair() -> None:
    rows = explained(table("mixtral-8x7b", tensor=2), central("h100-sxm"), 32)
    pair = moe_times("h100-sxm", "vllm", "bf16").seconds(32, 4096, 14336, 8, 2, 2, 1)
    assert rows["experts_up"].time_s + rows["experts_down"].time_s == pytest.approx(float(pair), rel=1e-12)
    assert rows["experts_up"].time_s == pytest.approx(2 * rows["experts_down"].time_s, rel=1e-12)  # gate and up


def test_a_collective_takes_the_tables_own_time() -> None:
    reduce = explained(table("llama-3.1-70b", tensor=4), central("h100-sxm"), 64)["all_reduce_mlp"]
    told = collective_times("h100-sxm", "vllm").seconds("all_reduce", 4, 64 * 8192 * 2)
    assert reduce.time_s == pytest.approx(float(told), rel=1e-12)


def test_engine_families_have_their_own_tables() -> None:
    fp8 = table("llama-3.1-70b", FP8, tensor=4)
    one, other = (explained(fp8, central("h100-sxm", family), 64)["mlp_up"].time_s for family in ("vllm", "trtllm"))
    assert one != other
    assert {family for _, family, _ in gemm_tables()} == {"vllm", "trtllm"}


def test_a_format_nobody_measured_is_left_to_the_roofline() -> None:
    """An A100 has no FP8: its weights are widened, so that no bf16 product moves as few bytes."""
    t, on = table("llama-3.1-70b", FP8, tensor=4), central("a100-sxm")
    rows = explained(t, on, 64)
    assert rows["mlp_up"].source not in ("measured", "extrapolated")
    assert rows["head"].source == "measured"  # bf16 weights
    assert rows["mlp_up"].time_s < explained(table("llama-3.1-70b", tensor=4), on, 64)["mlp_up"].time_s


@pytest.mark.parametrize("kind", ["norm_attention", "rope", "mlp_activation", "sampling"])
def test_element_wise_work_has_no_table(kind: str) -> None:
    assert explained(table("llama-3.1-8b"), central("h100-sxm"), 64)[kind].source not in ("measured", "extrapolated")


@pytest.mark.parametrize(
    ("fact", "value"),
    [("memory_bandwidth", "4.8 TB/s"), ("compute_bf16", "1200 TFLOP/s"), ("compute_fp8", "1 PFLOP/s")],
)
def test_an_h100_with_another_memory_or_peak_is_not_the_one_that_was_measured(
    tmp_path: Path, fact: str, value: str
) -> None:
    own = tmp_path / "own.toml"
    said = 'value = "{}"\nsource = "mine"\nas_of = "2026"\nkind = "measured"\n'
    own.write_text(f"[h100-sxm.{fact}]\n" + said.format(value))
    facts = load([own])
    t, mine = table("llama-3.1-8b"), chips(facts.accelerator("h100-sxm"), facts, Draws.central())
    assert {row.source for row in explained(t, mine, 64).values()} & {"measured", "extrapolated"} == set()
    assert "measured with" not in mine.provenance


@pytest.mark.parametrize("family", ["vllm", "trtllm"])
@pytest.mark.parametrize("name", MEASURED)
def test_the_bundled_facts_are_those_of_the_measured_chips(name: str, family: str) -> None:
    assert "measured with" in central(name, family).provenance, f"the tables of {name} have other peaks than its facts"


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize(
    ("architecture", "precision", "ranks"),
    [("llama-3.1-8b", BF16, {}), ("llama-3.1-70b", FP8, {"tensor": 4}), ("mixtral-8x7b", BF16, {"tensor": 2})],
)
def test_what_explain_lists_adds_up_to_the_step(
    name: str, architecture: str, precision: Precision, ranks: dict[str, int]
) -> None:
    t, on = table(architecture, precision, **ranks), central(name)
    for decodes, prompt in ((1, 0), (64, 0), (64, 1000)):
        mix = uniform_mix(
            t.architecture,
            decode_sequences=decodes,
            context_tokens=1023,
            prefill_sequences=float(prompt > 0),
            prefill_tokens=prompt,
        )
        step = RooflineTimer().time(t, on, t.layout.features(mix))
        rows = explained(t, on, decodes, prompt).values()
        total = sum(row.time_s * row.runs_count for row in rows) + float(on.step_overhead_s[0])
        assert not step.throttled[0, 0]
        assert float(step.latency_s[0, 0]) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("name", MEASURED)
def test_compiled_costs_of_the_simulator_are_the_timers(name: str) -> None:
    """Decodes of 1,024 tokens of context; the simulator's whole ticks and the timer's figures agree within 1 %."""
    t, on = table("llama-3.1-8b"), central(name)
    costs = compile_costs(t, on, EngineSettings(token_budget=4096, max_sequences=512, block_tokens=16))
    for decodes in (1, 7, 64, 300):
        mix = uniform_mix(t.architecture, decode_sequences=decodes, context_tokens=1023)
        step = RooflineTimer().time(t, on, t.layout.features(mix))
        v = [1, decodes, 0, decodes, 1024 * decodes, 0, 0]
        assert not step.throttled[0, 0]
        assert costs.own(decodes, decodes, v) / TICKS_PER_S == pytest.approx(float(step.stage_s[0, 0]), rel=0.01)


@pytest.mark.parametrize("name", MEASURED)
def test_no_curve_falls_below_the_time_of_light(name: str) -> None:
    """At full peak and bandwidth no kernel is faster, up to what a straight line between knots cuts off."""
    t, on = table("llama-3.1-70b", tensor=4), central(name)
    speeds = kernel_speeds(t, on)
    for curve in speeds.curves:
        op = t.operators[curve.operator]
        if op.kind != "gemm" or op.shape is None:
            continue
        n, k = op.shape
        peak = on.compute_flop_per_s["bf16", "bf16"][0]
        light = np.maximum(2 * ROWS * n * k / peak, 2 * n * k / on.memory_bytes_per_s[0])
        assert (curve.seconds >= light * (1 - 1e-9)).all(), op.name
