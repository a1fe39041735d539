"""The roofline timer: an operator takes the longer of its arithmetic and its memory traffic, plus its launch.

Williams, Waterman and Patterson, "Roofline" (CACM 2009), with an achieved fraction of peak per operator class and
format (facts, subject `efficiency`). Example: a bf16 GEMM of 1e12 FLOP on 989 TFLOP/s at 70 % takes 1.44 ms.

A step is the sum of its operators. Work is a matrix product of step features and operator coefficients, so a million
steps cost a few array passes; `explain` does the same for one step in plain Python, operator by operator, and is the
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
_BLOCK_ELEMENTS = 1 << 15  # kernels x steps x samples per block: four such arrays stay in the cache


@dataclass(frozen=True, slots=True)
class KernelSpeeds:
    """Seconds per unit of work for each operator on each chip; all (n, operators)."""

    compute_s_per_flop: Array
    memory_s_per_byte: Array
    link_s_per_byte: Array
    fixed_s: Array
    compute_j_per_flop: Array


def kernel_speeds(table: OperatorTable, chips: Chips) -> KernelSpeeds:
    """What a unit of each operator's work takes on each chip, collectives less what overlap hides of them."""
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
    return KernelSpeeds(compute * own, memory * own, link * own, fixed * own, joules)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A table on n chips, arranged for array passes. Only kernels need one pass each, for the larger of two times;
    what is linear in the features (links, energy) is a product with their sum.

    flop, memory_bytes   coefficients of the kernels, (kernels, columns)
    link_bytes           coefficients of the collectives, (collectives, columns)
    kernel_count         runs per stage, (kernels, stages)
    link_s_per_byte      seconds times runs, (n, collectives, stages)
    support              which columns make an operator run at all, one row per distinct answer, (patterns, columns)
    launch_s, latency_s  fixed seconds of the kernels and the collectives of a pattern, (n, patterns, stages)
    """

    flop: Array
    memory_bytes: Array
    link_bytes: Array
    kernel_count: Array
    compute_s_per_flop: Array
    memory_s_per_byte: Array
    link_s_per_byte: Array
    support: Array
    launch_s: Array
    latency_s: Array


def _plan(table: OperatorTable, speeds: KernelSpeeds) -> _Plan:
    on_link = np.array([op.collective is not None for op in table.operators])
    runs = table.count.T
    touches = (table.flop != 0) | (table.memory_bytes != 0) | (table.link_bytes != 0)
    support, pattern = np.unique(touches, axis=0, return_inverse=True)
    member = (np.arange(len(support))[:, None] == pattern.reshape(-1)).astype(float)
    fixed = member * speeds.fixed_s[:, None, :]
    return _Plan(
        flop=table.flop[~on_link],
        memory_bytes=table.memory_bytes[~on_link],
        link_bytes=table.link_bytes[on_link],
        kernel_count=np.ascontiguousarray(runs[~on_link]),
        compute_s_per_flop=speeds.compute_s_per_flop[:, ~on_link],
        memory_s_per_byte=speeds.memory_s_per_byte[:, ~on_link],
        link_s_per_byte=speeds.link_s_per_byte[:, on_link, None] * runs[on_link],
        support=support.astype(float),
        launch_s=fixed[:, :, ~on_link] @ runs[~on_link],
        latency_s=fixed[:, :, on_link] @ runs[on_link],
    )


class RooflineTimer:
    """Times steps on any chip from its peaks and the shared efficiencies."""

    def time(self, table: OperatorTable, chips: Chips, features: Array) -> StepTime:
        """See `Timer.time`. Features (m, columns) on n chips give (n, m)."""
        n, m = chips.n, features.shape[0]
        speeds = kernel_speeds(table, chips)
        plan = _plan(table, speeds)
        compute_s, memory_s, link_s, launch_s, longest_s = (np.empty((n, m)) for _ in range(5))
        kernels = len(plan.flop)
        rows = max(1, min(m, _BLOCK_ELEMENTS // kernels))
        samples = max(1, _BLOCK_ELEMENTS // (kernels * rows))
        for a in range(0, m, rows):
            x = features[a : a + rows]
            flop, memory, sent = x @ plan.flop.T, x @ plan.memory_bytes.T, x @ plan.link_bytes.T
            runs = (x @ plan.support.T > 0).astype(float)
            for b in range(0, n, samples):
                s = slice(b, b + samples)
                at = (s, slice(a, a + rows))
                compute_s[at], memory_s[at], link_s[at], launch_s[at], longest_s[at] = _block(
                    plan, s, flop, memory, sent, runs
                )
        overhead = (chips.step_overhead_s * chips.time_frac)[:, None]
        latency = compute_s + memory_s + link_s + launch_s + overhead
        stage = longest_s + overhead

        # Energy per chip of a stage position; a stage that would draw more than the cap at full speed runs longer.
        stages, stage_chips = table.count.shape[0], table.parallelism.stage_chips
        total = table.count.sum(axis=0)
        flop_sum, memory_sum, link_sum = total @ table.flop, total @ table.memory_bytes, total @ table.link_bytes
        joules = (
            (speeds.compute_j_per_flop * total) @ table.flop
            + chips.memory_j_per_byte[:, None] * memory_sum
            + chips.link_j_per_byte[:, None] * link_sum
        )
        dynamic = joules @ features.T
        needed = dynamic / (stages * (chips.tdp_w - chips.idle_w)[:, None])
        throttled = needed > stage
        slow = np.fmax(needed / stage, 1.0)  # a cap that nobody states (NaN) throttles nothing
        stage *= slow
        return StepTime(
            stage_s=stage,
            latency_s=latency * slow,
            compute_s=compute_s * slow,
            memory_s=memory_s * slow,
            link_s=link_s * slow,
            overhead_s=(launch_s + overhead) * slow,
            flop=features @ flop_sum * stage_chips,
            memory_bytes=features @ memory_sum * stage_chips,
            link_bytes=features @ link_sum * stage_chips,
            energy_j=(dynamic + stages * chips.idle_w[:, None] * stage) * stage_chips,
            throttled=throttled,
            provenance=chips.provenance,
            relative_uncertainty_frac=chips.relative_uncertainty_frac,
        )

    def explain(self, table: OperatorTable, chips: Chips, features: Array) -> list[OperatorTime]:
        """One step (features of shape (columns,)) on one chip (n = 1), operator by operator, in plain Python."""
        speeds = kernel_speeds(table, chips)
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
    plan: _Plan, s: slice, flop: Array, memory: Array, sent: Array, runs: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Seconds of one block, each (samples, rows): bound by compute, by memory, links, launches, the longest stage.

    Kernels are the last axis of the work, (samples, rows, kernels), until they are summed over each stage's runs.
    """
    compute = flop * plan.compute_s_per_flop[s, None, :]
    busy = memory * plan.memory_s_per_byte[s, None, :]
    bound = compute > busy
    np.maximum(compute, busy, out=busy)
    compute *= bound
    shape = (*compute.shape[:2], plan.kernel_count.shape[1])
    busy_s = (busy.reshape(-1, busy.shape[-1]) @ plan.kernel_count).reshape(shape)
    link_s = sent @ plan.link_s_per_byte[s] + runs @ plan.latency_s[s]
    launch_s = runs @ plan.launch_s[s]
    compute_s = (compute.reshape(-1, busy.shape[-1]) @ plan.kernel_count.sum(axis=1)).reshape(shape[:2])
    kernel_s = _over_stages(busy_s)
    memory_s = np.maximum(kernel_s - compute_s, 0.0)
    per_stage = busy_s + link_s + launch_s
    longest_s = per_stage[..., 0] if shape[2] == 1 else per_stage.max(axis=-1)
    return compute_s, memory_s, _over_stages(link_s), _over_stages(launch_s), longest_s


def _over_stages(x: Array) -> Array:
    """Sum over the last axis, which is often one long."""
    return x[..., 0] if x.shape[-1] == 1 else np.asarray(x.sum(axis=-1))
