"""The roofline timer: an operator takes the longer of its arithmetic and its memory traffic, plus its launch.

Williams, Waterman and Patterson, "Roofline" (CACM 2009), with an achieved fraction of peak per operator class and
format
(facts, subject `efficiency`). Example: a bf16 GEMM of 1e12 FLOP on 989 TFLOP/s at 70 % takes 1.44 ms.

A step is the sum of its operators. Work is a matrix product of step features and operator coefficients, so a million
steps
cost a few array passes; `explain` does the same for one step in plain Python, operator by operator, and is the
reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.timing.chips import Chips
from scoville.timing.collectives import collective
from scoville.timing.records import OperatorTime, StepTime
from scoville.transformer.operators import OperatorTable

Array = NDArray[np.float64]
_BLOCK_ELEMENTS = 1 << 15  # operators x steps x samples per block: five such arrays stay in the cache


@dataclass(frozen=True, slots=True)
class _Speeds:
    """Seconds per unit of work for each operator on each chip; all (n, operators)."""

    compute_s_per_flop: Array
    memory_s_per_byte: Array
    link_s_per_byte: Array
    fixed_s: Array
    compute_j_per_flop: Array


def _speeds(table: OperatorTable, chips: Chips) -> _Speeds:
    n, ops = chips.n, len(table.operators)
    compute, memory, link = np.zeros((n, ops)), np.zeros((n, ops)), np.zeros((n, ops))
    fixed, joules = np.zeros((n, ops)), np.zeros((n, ops))
    for i, op in enumerate(table.operators):
        if op.collective is not None:
            per_byte, latency = collective(op.collective, op.span_count, chips)
            hidden = chips.overlap_frac.get(op.collective, np.zeros(n))
            shown = 1 - hidden if op.may_overlap or op.collective == "all_reduce" else np.ones(n)
            link[:, i], fixed[:, i] = per_byte * shown, latency * shown
            continue
        pair = chips.rate(op.weight_rate, op.activation_rate)
        peak = chips.compute_flop_per_s[pair]
        compute[:, i] = 1 / (peak * chips.compute_efficiency_frac[op.kind, pair[1]])
        memory[:, i] = 1 / (chips.memory_bytes_per_s * chips.memory_efficiency_frac[op.kind])
        fixed[:, i] = chips.launch_s["attention" if op.kind.startswith("attention") else op.kind]
        joules[:, i] = chips.compute_power_frac * chips.tdp_w / peak
    own = chips.time_frac[:, None]
    return _Speeds(compute * own, memory * own, link * own, fixed * own, joules)


class RooflineTimer:
    """Times steps on any chip from its peaks and the shared efficiencies."""

    def time(self, table: OperatorTable, chips: Chips, features: Array) -> StepTime:
        """See `Timer.time`. Features (m, columns) on n chips give (n, m)."""
        n, m = chips.n, features.shape[0]
        speeds = _speeds(table, chips)
        out = {
            k: np.empty((n, m))
            for k in ("stage_s", "latency_s", "compute_s", "memory_s", "link_s", "overhead_s", "energy_j")
        }
        throttled = np.zeros((n, m), bool)
        ops = len(table.operators)
        rows = max(1, min(m, _BLOCK_ELEMENTS // ops))
        samples = max(1, _BLOCK_ELEMENTS // (ops * rows))
        total = table.count.sum(axis=0)
        work = np.empty((3, m))
        for a in range(0, m, rows):
            x = features[a : a + rows]
            flop, memory, link = x @ table.flop.T, x @ table.memory_bytes.T, x @ table.link_bytes.T
            work[:, a : a + rows] = flop @ total, memory @ total, link @ total
            active = ((flop > 0) | (memory > 0) | (link > 0)).astype(float)
            for b in range(0, n, samples):
                s = slice(b, b + samples)
                block = _block(table, chips, speeds, s, flop, memory, link, active)
                for name, value in block.items():
                    target = throttled if name == "throttled" else out[name]
                    target[s, a : a + rows] = value
        stage_chips = table.parallelism.stage_chips
        out["energy_j"] *= stage_chips
        return StepTime(
            **out,
            flop=work[0] * stage_chips,
            memory_bytes=work[1] * stage_chips,
            link_bytes=work[2] * stage_chips,
            throttled=throttled,
            provenance=chips.provenance,
            relative_uncertainty_frac=chips.relative_uncertainty_frac,
        )

    def explain(self, table: OperatorTable, chips: Chips, features: Array) -> list[OperatorTime]:
        """One step (features of shape (columns,)) on one chip (n = 1), operator by operator, in plain Python."""
        speeds = _speeds(table, chips)
        rows = []
        for i, op in enumerate(table.operators):
            flop = sum(float(c) * float(x) for c, x in zip(table.flop[i], features, strict=True))
            memory = sum(float(c) * float(x) for c, x in zip(table.memory_bytes[i], features, strict=True))
            link = sum(float(c) * float(x) for c, x in zip(table.link_bytes[i], features, strict=True))
            compute_s = flop * float(speeds.compute_s_per_flop[0, i])
            memory_s = memory * float(speeds.memory_s_per_byte[0, i])
            link_s = link * float(speeds.link_s_per_byte[0, i])
            fixed_s = float(speeds.fixed_s[0, i]) if flop > 0 or memory > 0 or link > 0 else 0.0
            busy = max(compute_s, memory_s) + link_s
            if op.collective is not None:
                limit, rate, peak = "link", "", 0.0
            else:
                pair = chips.rate(op.weight_rate, op.activation_rate)
                limit = "compute" if compute_s > memory_s else "memory bandwidth"
                rate, peak = "x".join(dict.fromkeys(pair)), float(chips.compute_flop_per_s[pair][0])
            rows.append(
                OperatorTime(
                    name=op.name,
                    kind=op.kind,
                    runs_count=sum(op.per_stage_count),
                    flop=flop,
                    memory_bytes=memory,
                    link_bytes=link,
                    time_s=busy + fixed_s,
                    limit="launch" if fixed_s > busy and op.collective is None else limit,
                    rate=rate,
                    peak_flop_per_s=peak,
                )
            )
        return rows


def _block(
    table: OperatorTable,
    chips: Chips,
    speeds: _Speeds,
    s: slice,
    flop: Array,
    memory: Array,
    link: Array,
    active: Array,
) -> dict[str, Array | NDArray[np.bool_]]:
    """Step times of one block: operators on the last axis, (samples, rows, operators) -> (samples, rows)."""
    compute = flop * speeds.compute_s_per_flop[s, None, :]
    moved = memory * speeds.memory_s_per_byte[s, None, :]
    sent = link * speeds.link_s_per_byte[s, None, :]
    fixed = active * speeds.fixed_s[s, None, :]
    total = table.count.sum(axis=0)
    stages = table.count.T
    bound = compute > moved
    compute_s = np.where(bound, compute, 0.0) @ total
    memory_s = np.where(bound, 0.0, moved) @ total
    link_s, fixed_s = sent @ total, fixed @ total
    overhead = chips.step_overhead_s[s, None] * chips.time_frac[s, None]
    np.maximum(compute, moved, out=compute)
    compute += sent
    compute += fixed
    if stages.shape[1] == 1:
        latency = compute_s + memory_s + link_s + fixed_s + overhead
        stage = latency
    else:
        per_stage = compute @ stages
        latency = per_stage.sum(axis=-1) + overhead
        stage = per_stage.max(axis=-1) + overhead

    # Energy per chip of a stage position; a stage that would draw more than the cap at full speed runs longer.
    count = stages.shape[1]
    dynamic = (
        np.einsum("mo,no,o->nm", flop, speeds.compute_j_per_flop[s], total)
        + (memory @ total) * chips.memory_j_per_byte[s, None]
        + (link @ total) * chips.link_j_per_byte[s, None]
    )
    budget = (chips.tdp_w - chips.idle_w)[s, None] * count
    needed = dynamic / budget
    throttled = needed > stage
    slow = np.maximum(needed / stage, 1.0)
    stage, latency = stage * slow, latency * slow
    energy = dynamic + chips.idle_w[s, None] * stage * count
    return {
        "stage_s": stage,
        "latency_s": latency,
        "compute_s": compute_s * slow,
        "memory_s": memory_s * slow,
        "link_s": link_s * slow,
        "overhead_s": (fixed_s + overhead) * slow,
        "energy_j": energy,
        "throttled": throttled,
    }
