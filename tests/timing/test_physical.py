"""No step is faster than its chip, and none takes less or more energy than its work and its time allow.

Models x shardings x chips x timers, each operator on its own: its FLOP at the peak of the formats it multiplies, its
bytes at full bandwidth, and nothing else.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville.errors import ScovilleError
from scoville.facts import Draws, load
from scoville.timing import Chips, RooflineTimer, chips
from scoville.timing.chips import SYSTOLIC, TIMERS
from scoville.timing.curves import Position
from scoville.timing.measured.fitted import STORED, expected_load
from scoville.timing.roofline import kernel_speeds
from scoville.transformer import load as model
from scoville.transformer.architecture import FORMATS
from scoville.transformer.operators import Operator, OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

Array = NDArray[np.float64]
FACTS = load()
FP8 = Precision("fp8", "fp8", "fp8")
CASES = {
    "dense, bf16": ("llama-3.1-8b", Precision("bf16"), Parallelism()),
    "dense, fp8, TP8": ("llama-3.1-70b", FP8, Parallelism(8)),
    "dense, fp4, TP4": ("llama-3.1-70b", Precision("mxfp4", "mxfp4", "fp8"), Parallelism(4)),
    "dense, int4 weights, TP2 PP2": ("llama-3.1-70b", Precision("int4"), Parallelism(2, 2)),
    "windows": ("gemma-3-27b", Precision("bf16"), Parallelism(2)),
    "experts, bf16": ("qwen3-30b-a3b", Precision("bf16"), Parallelism()),
    "experts, fp8, TP2": ("mixtral-8x7b", FP8, Parallelism(2)),
    "experts as published": ("gpt-oss-120b", Precision(), Parallelism()),
    "latent cache, EP8": ("deepseek-v3", Precision(), Parallelism(8, expert=8)),
    "linear attention": ("qwen3.5-397b-a17b", Precision("fp8", "fp8"), Parallelism(8)),
}
# Sequences and context of decodes, sequences and tokens of prompts.
STEPS = [
    (1, 1, 0, 0), (1, 100_000, 0, 0), (8, 2048, 0, 0), (64, 8192, 0, 0), (512, 1000, 0, 0), (16, 100_000, 0, 0),
    (0, 0, 1, 16), (0, 0, 1, 1000), (0, 0, 8, 16_000), (64, 2048, 1, 512), (512, 2048, 4, 8192),
]  # fmt: skip


def steps(table: OperatorTable) -> Array:
    sequences, context, prompts, tokens = np.array(STEPS, float).T
    mix = uniform_mix(
        table.architecture,
        decode_sequences=sequences,
        context_tokens=context,
        prefill_sequences=prompts,
        prefill_tokens=tokens,
    )
    return table.layout.features(mix)


def timed(timer: str, table: OperatorTable) -> list[Chips]:
    """Every bundled chip at its central figures that can run the table with a timer."""
    found = []
    for accelerator in FACTS.accelerators():
        if accelerator.missing:
            continue
        try:
            on = chips(accelerator, FACTS, Draws.central(), timer)
            for op in table.operators:
                if op.collective is None:
                    on.rate(op.weight_rate, op.activation_rate)
        except ScovilleError:
            continue
        found.append(on)
    return found


def light_seconds(table: OperatorTable, i: int, on: Chips, features: Array) -> Array:
    """The bound of operator i for each step: (steps,)."""
    op = table.operators[i]
    peak = on.compute_flop_per_s[on.rate(op.weight_rate, op.activation_rate)][0]
    moved = features @ table.memory_bytes[i] if op.experts is None else expert_bytes(table, i, features)
    return np.asarray(np.maximum(features @ table.flop[i] / peak, moved / on.memory_bytes_per_s[0]))


def expert_bytes(table: OperatorTable, i: int, features: Array) -> Array:
    """Weights of the experts that the law of routing behind the times reaches: fewer than an even router's, which the
    table counts."""
    op = table.operators[i]
    assert op.experts is not None and op.shape is not None
    e, (n, k) = op.experts, op.shape
    touched = expected_load(e.experts, e.top_k, e.expert).touched
    rows = Position.of(features[:, np.flatnonzero(table.flop[i])[0]])
    weight_bytes = n * k / e.tensor * FORMATS[STORED[op.weight_rate]].size_bytes
    return np.asarray(rows.at(touched) * weight_bytes)


def operator_seconds(table: OperatorTable, on: Chips, features: Array) -> tuple[Array, tuple[str, ...]]:
    """Seconds of a run of each operator, (steps, operators), and whose times they are."""
    speeds = kernel_speeds(table, on)
    touches = (table.flop != 0) | (table.memory_bytes != 0) | (table.link_bytes != 0)
    runs = (features @ touches.T > 0).astype(float)
    compute = (features @ speeds.flop.T + speeds.once_s[0] * runs) * speeds.compute_s_per_flop[0]
    memory = (features @ speeds.memory_bytes.T + speeds.once_s[1] * runs) * speeds.memory_s_per_byte[0]
    link = features @ table.link_bytes.T * speeds.link_s_per_byte[0]
    seconds = np.maximum(compute, memory) + link + speeds.fixed_s[0] * runs
    for curve in speeds.curves:
        at = Position.of(features[:, curve.column]).at(curve.seconds[:1])
        seconds[:, curve.operator] = at[0] * speeds.time_frac[0]
    return seconds, speeds.sources


def fused(op: Operator, on: Chips) -> bool:
    """TensorRT-LLM rotates inside attention, so that the operator of its own takes no time."""
    return op.name.endswith("rope") and getattr(on.kernels, "family", "") == "trtllm"


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("case", CASES)
def test_no_operator_is_faster_than_its_work_at_the_chips_peaks(case: str, timer: str) -> None:
    name, precision, parallelism = CASES[case]
    table = operator_table(model(name), precision, parallelism)
    features, runs = steps(table), table.count.sum(axis=0)
    on_chips, answered = timed(timer, table), set()
    for on in on_chips:
        seconds, sources = operator_seconds(table, on, features)
        answered |= set(sources)
        whole = np.zeros(len(features))
        for i, op in enumerate(table.operators):
            if op.collective is not None or fused(op, on):
                continue
            light = light_seconds(table, i, on, features)
            slow = seconds[:, i] >= light * (1 - 1e-9)
            assert slow.all(), (
                f"{op.name} of {name} on {on.name} ({sources[i]}) takes {seconds[~slow, i]} s, "
                f"its work at peak {light[~slow]} s"
            )
            whole += runs[i] * light
        assert (RooflineTimer().time(table, on, features).latency_s[0] >= whole).all(), f"a step of {name} on {on.name}"
    assert len(on_chips) > (3 if timer == SYSTOLIC else 10), f"hardly a chip runs {name}"
    assert ("systolic" if timer == SYSTOLIC else "fitted") in answered


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("case", ["dense, fp8, TP8", "experts, fp8, TP2", "latent cache, EP8"])
def test_energy_lies_between_that_of_the_work_and_the_power_cap(case: str, timer: str) -> None:
    """FLOP at the watts of full arithmetic and bytes at the joules of the memory, below; every chip at its cap for the
    whole step, above."""
    name, precision, parallelism = CASES[case]
    table = operator_table(model(name), precision, parallelism)
    features, runs = steps(table), table.count.sum(axis=0)
    checked = 0
    for on in timed(timer, table):
        if np.isnan(on.tdp_w[0]):
            continue
        step = RooflineTimer().time(table, on, features)
        work_j = np.zeros(len(features))
        for i, op in enumerate(table.operators):
            if op.collective is None:
                peak = on.compute_flop_per_s[on.rate(op.weight_rate, op.activation_rate)][0]
                flop_j = features @ table.flop[i] / peak * on.compute_power_frac[0] * on.tdp_w[0]
                work_j += runs[i] * (flop_j + features @ table.memory_bytes[i] * on.memory_j_per_byte[0])
        work_j *= parallelism.stage_chips
        cap_j = on.tdp_w[0] * parallelism.chips * step.stage_s[0]
        assert (step.energy_j[0] >= work_j).all(), f"a step of {name} on {on.name} takes less than its work"
        assert (step.energy_j[0] <= cap_j * (1 + 1e-9)).all(), f"a step of {name} on {on.name} draws more than its cap"
        checked += 1
    assert checked > (3 if timer == SYSTOLIC else 10)
