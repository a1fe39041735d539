"""One decode step and one prefill worked out on paper, and what the bundled H100 makes of the same step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.timing.conftest import paper_chip

from scoville.timing import Chips, RooflineTimer
from scoville.timing.measured.collectives import collective_times
from scoville.timing.measured.gemm import gemm_times
from scoville.transformer import load
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

FP8 = Precision("fp8", "fp8", "bf16")
DOCUMENT = Path(__file__).parents[2] / "docs" / "timing.md"


def test_llama_70b_decode_on_paper() -> None:
    """Llama-3.1-70B, FP8 weights, bf16 cache, TP4, one sequence that sees 1,024 tokens, on the chip of round figures:
    everything is bound by memory at 4 TB/s x 75 % = 3 TB/s. Microseconds."""
    at, launch = 3e6, 5.0  # bytes per microsecond
    weights = [  # n x k of one rank, one byte each
        (80, 10240 // 4 * 8192, 8192, 10240 // 4),
        (80, 8192 * 8192 // 4, 8192 // 4, 8192),
        (80, 57344 // 4 * 8192, 8192, 57344 // 4),
        (80, 8192 * 28672 // 4, 28672 // 4, 8192),
    ]
    # Weights once, one fp8 row in and one bf16 row out.
    gemm = sum(runs * ((size + into + 2 * out) / at + launch) for runs, size, into, out in weights)
    head = (128256 // 4 * 8192 * 2 + 8192 * 2 + 128256 // 4 * 4) / at + launch  # bf16 weights, fp32 logits
    # 2 KV heads x 2 x 128 x 2 bytes = 1,024 bytes a token, 1,024 read and 1 written; 16 heads' queries and output.
    attention = 80 * ((1025 * 1024 + 16 * 256 * 2) / at + launch)
    elementwise = (
        160 * ((4 * 8192 * 2 + 8192 * 2) / at + launch)  # norms
        + 80 * (2 * (2048 + 256) * 2 / at + launch)  # rotation of 16 heads and 2 keys, in and out
        + 80 * (3 * 7168 * 2 / at + launch)  # gate, up -> product
        + (2 * 8192 * 2 / at + launch)  # embedding row
        + ((4 * 8192 * 2 + 8192 * 2) / at + launch)  # last norm
        + (3 * 128256 * 4 / at + launch)  # sampling: three passes over fp32 logits
    )
    # 161 all-reduces of 16 KiB among 4: 2 x 3/4 over 200 GB/s; 2 + 3 x 1 us, and 3 us of the switch.
    reduce = 161 * (1.5 * 8192 * 2 / 0.2e6 + 8)
    gather = 0.75 * 128256 * 4 / 0.2e6 + 8
    expected = gemm + head + attention + elementwise + reduce + gather + 100
    assert gemm == pytest.approx(7_310, rel=1e-2)
    assert attention == pytest.approx(428, rel=1e-2)

    table = operator_table(load("llama-3.1-70b"), FP8, Parallelism(4))
    mix = uniform_mix(table.architecture, decode_sequences=1, context_tokens=1023)
    step = RooflineTimer().time(table, paper_chip(), table.layout.features(mix))
    assert step.latency_s[0, 0] * 1e6 == pytest.approx(expected, rel=1e-9)
    assert step.link_s[0, 0] * 1e6 == pytest.approx(reduce + gather, rel=1e-9)
    assert step.compute_s[0, 0] == 0


def test_llama_70b_prefill_on_paper() -> None:
    """A prompt of 4,096 in bf16 on one chip: 80 layers x 855.6e6 parameters x 2 FLOP x 4,096 at 1 PFLOP/s x 80 % take
    0.7009 s; 4,096 x 4,097 / 2 pairs x 4 x 64 x 128 FLOP x 80 layers 0.0275 s."""
    table = operator_table(load("llama-3.1-70b"), Precision("bf16"), Parallelism())
    mix = uniform_mix(table.architecture, prefill_sequences=1, prefill_tokens=4096)
    step = RooflineTimer().time(table, paper_chip(), table.layout.features(mix))
    layer = 8192 * 10240 + 8192 * 8192 + 3 * 8192 * 28672
    gemm = 80 * layer * 2 * 4096 / 0.8e15
    attention = 4096 * 4097 / 2 * 4 * 64 * 128 * 80 / 0.8e15
    assert gemm == pytest.approx(0.7009, rel=1e-3)
    assert attention == pytest.approx(0.0275, rel=1e-3)
    assert step.compute_s[0, 0] == pytest.approx(gemm + attention, rel=1e-9)


def test_llama_70b_fp8_on_four_h100(central: Callable[[str], Chips]) -> None:
    """69.5 GB of FP8 and bf16 weights over 4 x 3.35 TB/s are 5.3 ms at the least. The measured products of one row take
    8.7 ms, 61 % of that bandwidth; attention 1.0 ms, of which 0.8 to start; 161 all-reduces of 16 KiB at 4.8 us 0.8 ms;
    322 element-wise kernels at 2.5 us 0.8 ms; the engine 0.2. Together 11.5 ms, so about 87 tokens/s."""
    on = central("h100-sxm")
    table = operator_table(load("llama-3.1-70b"), FP8, Parallelism(4))
    mix = uniform_mix(table.architecture, decode_sequences=1, context_tokens=1023)
    step = RooflineTimer().time(table, on, table.layout.features(mix))
    weights = (80 * (8192 * 10240 + 8192 * 8192 + 3 * 8192 * 28672) + 2 * 128256 * 8192) / 4
    assert weights / 3.35e12 == pytest.approx(5.26e-3, rel=5e-3)
    fp8, bf16 = (gemm_times("h100-sxm", "vllm", x) for x in ("fp8", "bf16"))
    shapes = ((10240 // 4, 8192), (8192, 8192 // 4), (57344 // 4, 8192), (8192, 28672 // 4))
    products = 80 * sum(float(fp8.seconds(1, n, k)) for n, k in shapes) + float(bf16.seconds(1, 128256 // 4, 8192))
    assert products == pytest.approx(8.68e-3, rel=1e-2)
    reduce = 161 * float(collective_times("h100-sxm", "vllm").seconds("all_reduce", 4, 8192 * 2))
    assert reduce == pytest.approx(0.78e-3, rel=1e-2)
    expected = products + reduce + 1.01e-3 + 322 * 2.5e-6 + on.step_overhead_s[0]
    # The bytes of element-wise kernels and the gathered logits add the rest.
    assert expected < step.latency_s[0, 0] < 1.01 * expected


def test_the_table_in_the_documentation(central: Callable[[str], Chips]) -> None:
    """docs/timing.md shows operators of a step of 64 sequences; what it prints is what the timer says."""
    table = operator_table(load("llama-3.1-70b"), FP8, Parallelism(4))
    mix = uniform_mix(table.architecture, decode_sequences=64, context_tokens=1023)
    rows = RooflineTimer().explain(table, central("h100-sxm"), table.layout.features(mix)[0])
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    printed = [
        f"| {r.name} | {r.runs_count} | {r.flop / 1e9:.3f} | {r.memory_bytes / 1e6:.2f} | {r.time_s * 1e6:.2f} us "
        f"| {r.limit} |"
        for r in rows
    ]
    shown = [line for line in lines if line.endswith(("| memory bandwidth |", "| link |"))]
    assert len(shown) == 7
    assert [line for line in shown if line not in printed] == []
