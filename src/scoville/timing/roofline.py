"""The timer: an operator takes what was measured, else the longer of its arithmetic and its traffic, plus its launch.

Williams, Waterman and Patterson, "Roofline" (CACM 2009), with an achieved fraction of peak per operator class and
format (facts, subject `efficiency`). Example: a bf16 GEMM of 1e12 FLOP on 989 TFLOP/s at 70 % takes 1.44 ms. On a chip
whose kernels were measured (`timing.measured`), matrix products, experts and collectives take a curve over the rows
they work on in its place, and attention two sides of its own.

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
from scoville.timing.curves import ROWS, Curve, Position
from scoville.timing.measured.attention import Side
from scoville.timing.records import OperatorTime, StepTime
from scoville.transformer.operators import OperatorTable

Array = NDArray[np.float64]
_KEPT = 16  # tables on chips
_BLOCK_ELEMENTS = 1 << 15  # kernels x steps x samples per block: four such arrays stay in the cache


@dataclass(frozen=True, slots=True)
class KernelSpeeds:
    """How each operator of a table takes time on each of n chips.

    flop, memory_bytes   coefficients of the two sides over the columns of the layout, (operators, columns): FLOP and
                         bytes, or seconds where the sides were measured; `once_s` what each adds when it runs, (2, ops)
    *_s_per_*, fixed_s   seconds per unit of a side, of link bytes, and when it runs, (n, operators)
    compute_j_per_flop   (n, operators)
    curves               operators that take a curve instead; theirs are seconds, times `time_frac` (n,)
    sources              whose times each operator's are
    """

    flop: Array
    memory_bytes: Array
    once_s: Array
    compute_s_per_flop: Array
    memory_s_per_byte: Array
    link_s_per_byte: Array
    fixed_s: Array
    compute_j_per_flop: Array
    curves: tuple[Curve, ...]
    time_frac: Array
    sources: tuple[str, ...]


def kernel_speeds(table: OperatorTable, chips: Chips) -> KernelSpeeds:
    """What a unit of each operator's work takes on each chip, collectives less what overlap hides of them."""
    n, ops = chips.n, len(table.operators)
    flop, traffic, once = table.flop.copy(), table.memory_bytes.copy(), np.zeros((2, ops))
    compute, memory, link = np.zeros((n, ops)), np.zeros((n, ops)), np.zeros((n, ops))
    fixed, joules, shown = np.zeros((n, ops)), np.zeros((n, ops)), np.ones((n, ops))
    own = chips.time_frac
    pairs: list[tuple[str, str] | None] = []
    sources = ["roofline"] * ops
    for i, op in enumerate(table.operators):
        if op.collective is not None:
            per_byte, latency = collective(op.collective, op.span_count, chips)
            if op.may_overlap or op.collective == "all_reduce":
                shown[:, i] = 1 - chips.overlap_frac.get(op.collective, np.zeros(n))
            link[:, i], fixed[:, i] = per_byte * shown[:, i] * own, latency * shown[:, i] * own
            pairs.append(None)
            continue
        pair = chips.rate(op.weight_rate, op.activation_rate)
        pairs.append(pair)
        peak = chips.compute_flop_per_s[pair]
        joules[:, i] = chips.compute_power_frac * chips.tdp_w / peak
        sides = chips.kernels.sides(op, chips) if chips.kernels and op.kind.startswith("attention") else None
        if sides is None:
            compute[:, i] = own / (peak * chips.compute_efficiency_frac[op.kind, pair[1]])
            memory[:, i] = own / (chips.memory_bytes_per_s * chips.memory_efficiency_frac[op.kind])
            fixed[:, i] = chips.launch_s["attention" if op.kind.startswith("attention") else op.kind] * own
        else:
            sources[i], central = sides.source, sides.sides
            for k, (coefficients, side) in enumerate(((flop, central.compute), (traffic, central.memory))):
                coefficients[i], once[k, i] = _side(table, i, side)
            compute[:, i], memory[:, i] = own * sides.compute_frac, own * sides.memory_frac
            fixed[:, i] = sides.fixed_s * own
    curves: tuple[Curve, ...] = ()
    if chips.kernels is not None:
        rows = table.layout.by_tokens(ROWS)
        rows[:, table.layout.column("rank_sampled_tokens")] = ROWS
        bound = (rows @ flop.T) * compute.mean(axis=0) > (rows @ traffic.T) * memory.mean(axis=0)
        curves = chips.kernels.curves(table, chips, pairs, bound.T, shown)
    for curve in curves:
        i = curve.operator
        sources[i] = curve.source
        flop[i] = traffic[i] = 0.0
        link[:, i] = fixed[:, i] = 0.0
    return KernelSpeeds(flop, traffic, once, compute, memory, link, fixed, joules, curves, own, tuple(sources))


def _side(table: OperatorTable, i: int, side: Side) -> tuple[Array, float]:
    """A side of an attention core over the columns of the layout, and what it adds whenever it runs.

    A decode is a sequence of its own; the prompts of a step, of which there are few, count as one.
    """
    op, layout = table.operators[i], table.layout
    decode = op.kind == "attention_decode"
    phase = "decode" if decode else "prefill"
    span = "all" if op.heads is None or op.heads.window is None else str(op.heads.window)
    coefficients = np.zeros(len(layout.names))
    coefficients[layout.column(f"{phase}_pairs:{span}")] = side.pair_s
    coefficients[layout.column(f"{phase}_kv:{span}")] = side.kv_token_s
    coefficients[layout.column(f"rank_{phase}_tokens")] = side.query_token_s + (side.sequence_s if decode else 0.0)
    return coefficients, side.one_s + (0.0 if decode else side.sequence_s)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A table on n chips, arranged for array passes. Only kernels need one pass each, for the larger of two times;
    what is linear in the features (links, energy) is a product with their sum, and curves over the same column add up.

    flop, memory_bytes   coefficients of the kernels, (kernels, columns); once_s when they run, (2, kernels)
    link_bytes           coefficients of the collectives, (collectives, columns)
    kernel_count         runs per stage, (kernels, stages)
    link_s_per_byte      seconds times runs, (n, collectives, stages)
    support              which columns make an operator run at all, one row per distinct answer, (patterns, columns)
    pattern              the answer of each kernel, (kernels,)
    launch_s, latency_s  fixed seconds of the kernels and the collectives of a pattern, (n, patterns, stages)
    curves_s             by column: seconds at ROWS of kernels and of collectives, and of kernels bound by arithmetic,
                         (3, n or 1, stages, K)
    """

    flop: Array
    memory_bytes: Array
    once_s: Array
    link_bytes: Array
    kernel_count: Array
    compute_s_per_flop: Array
    memory_s_per_byte: Array
    link_s_per_byte: Array
    support: Array
    pattern: NDArray[np.intp]
    launch_s: Array
    latency_s: Array
    curves_s: dict[int, Array]
    time_frac: Array


def _plan(table: OperatorTable, speeds: KernelSpeeds) -> _Plan:
    on_link = np.array([op.collective is not None for op in table.operators])
    on_curve = np.zeros(len(on_link), np.bool_)
    on_curve[[c.operator for c in speeds.curves]] = True
    kernels, links = ~on_link & ~on_curve, on_link & ~on_curve
    runs = table.count.T
    touches = (table.flop != 0) | (table.memory_bytes != 0) | (table.link_bytes != 0)
    support, pattern = np.unique(touches, axis=0, return_inverse=True)
    member = (np.arange(len(support))[:, None] == pattern.reshape(-1)).astype(float)
    fixed = member * speeds.fixed_s[:, None, :]
    curves: dict[int, Array] = {}
    n = max((len(c.seconds) for c in speeds.curves), default=1)
    for curve in speeds.curves:
        total = curves.setdefault(curve.column, np.zeros((3, n, table.count.shape[0], len(ROWS))))
        each = table.count[:, curve.operator, None] * curve.seconds[:, None]
        total[1 if on_link[curve.operator] else 0] += each
        total[2] += each * curve.compute_bound
    return _Plan(
        flop=speeds.flop[kernels],
        memory_bytes=speeds.memory_bytes[kernels],
        once_s=speeds.once_s[:, kernels],
        link_bytes=table.link_bytes[links],
        kernel_count=np.ascontiguousarray(runs[kernels]),
        compute_s_per_flop=speeds.compute_s_per_flop[:, kernels],
        memory_s_per_byte=speeds.memory_s_per_byte[:, kernels],
        link_s_per_byte=speeds.link_s_per_byte[:, links, None] * runs[links],
        support=support.astype(float),
        pattern=pattern.reshape(-1)[kernels],
        launch_s=fixed[:, :, kernels] @ runs[kernels],
        latency_s=fixed[:, :, links] @ runs[links],
        curves_s=curves,
        time_frac=speeds.time_frac,
    )


class RooflineTimer:
    """Times steps on any chip from its kernels, its peaks and the shared efficiencies.

    What follows from a table and a chip alone is kept for the latest ones, which are asked for again and again.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[OperatorTable, Chips, KernelSpeeds, _Plan]] = {}

    def _prepared(self, table: OperatorTable, chips: Chips) -> tuple[KernelSpeeds, _Plan]:
        key = (id(table), id(chips))
        found = self._kept.get(key)
        if found is None:
            speeds = kernel_speeds(table, chips)
            found = table, chips, speeds, _plan(table, speeds)  # with the objects themselves, which keep their ids
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept), key), None)
            self._kept[key] = found
        return found[2:]

    def time(self, table: OperatorTable, chips: Chips, features: Array) -> StepTime:
        """See `Timer.time`. Features (m, columns) on n chips give (n, m)."""
        n, m = chips.n, features.shape[0]
        speeds, plan = self._prepared(table, chips)
        compute_s, memory_s, link_s, launch_s, longest_s = (np.empty((n, m)) for _ in range(5))
        kernels = max(1, len(plan.flop))
        rows = max(1, min(m, _BLOCK_ELEMENTS // kernels))
        samples = max(1, _BLOCK_ELEMENTS // (kernels * rows))
        for a in range(0, m, rows):
            x = features[a : a + rows]
            flop, memory, sent = x @ plan.flop.T, x @ plan.memory_bytes.T, x @ plan.link_bytes.T
            runs = (x @ plan.support.T > 0).astype(float)
            if plan.once_s.any():
                flop += plan.once_s[0] * runs[:, plan.pattern]
                memory += plan.once_s[1] * runs[:, plan.pattern]
            at_rows = {column: Position.of(x[:, column]) for column in plan.curves_s}
            for b in range(0, n, samples):
                s = slice(b, b + samples)
                at = (s, slice(a, a + rows))
                compute_s[at], memory_s[at], link_s[at], launch_s[at], longest_s[at] = _block(
                    plan, s, flop, memory, sent, runs, _drawn(plan, s, at_rows)
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
        curves = {c.operator: c for c in speeds.curves}
        rows = []
        for i, op in enumerate(table.operators):
            flop = sum(float(c) * float(x) for c, x in zip(table.flop[i], features, strict=True))
            memory = sum(float(c) * float(x) for c, x in zip(table.memory_bytes[i], features, strict=True))
            link = sum(float(c) * float(x) for c, x in zip(table.link_bytes[i], features, strict=True))
            runs = flop > 0 or memory > 0 or link > 0
            compute_s, memory_s = (
                (sum(float(c) * float(x) for c, x in zip(side[i], features, strict=True)) + float(once[i]) * runs)
                * float(per_unit[0, i])
                for side, once, per_unit in (
                    (speeds.flop, speeds.once_s[0], speeds.compute_s_per_flop),
                    (speeds.memory_bytes, speeds.once_s[1], speeds.memory_s_per_byte),
                )
            )
            link_s = link * float(speeds.link_s_per_byte[0, i])
            fixed_s = float(speeds.fixed_s[0, i]) if runs else 0.0
            source = speeds.sources[i]
            if i in curves:
                source = curves[i].source_at(float(features[curves[i].column]))
                at = Position.of(features[[curves[i].column]])
                both = np.stack([curves[i].seconds[0], curves[i].seconds[0] * curves[i].compute_bound])
                whole_s, compute_s = (at.at(both)[:, 0] * speeds.time_frac[0]).tolist()
                memory_s, link_s = whole_s - compute_s, 0.0
                busy = whole_s
            else:
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
                    fixed_s=fixed_s,
                    source=source,
                )
            )
        return rows


def _drawn(plan: _Plan, s: slice, at_rows: dict[int, Position]) -> Array:
    """Seconds on curves of kernels, of collectives, and of kernels bound by arithmetic.

    (3, samples or 1, rows, stages). `at_rows` says by column of the features where its rows lie.
    """
    total: Array = np.zeros((3, 1, 1, plan.kernel_count.shape[1]))
    for column, position in at_rows.items():
        seconds = plan.curves_s[column]
        each = position.at(seconds if seconds.shape[1] == 1 else seconds[:, s])
        total = total + np.moveaxis(each, -1, -2)
    return total


def _block(
    plan: _Plan, s: slice, flop: Array, memory: Array, sent: Array, runs: Array, drawn: Array
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
    own = plan.time_frac[s, None, None]
    busy_s = (busy.reshape(-1, busy.shape[-1]) @ plan.kernel_count).reshape(shape) + own * drawn[0]
    link_s = sent @ plan.link_s_per_byte[s] + runs @ plan.latency_s[s] + own * drawn[1]
    launch_s = runs @ plan.launch_s[s]
    compute_s = (compute.reshape(-1, busy.shape[-1]) @ plan.kernel_count.sum(axis=1)).reshape(shape[:2])
    compute_s = compute_s + own[..., 0] * drawn[2].sum(axis=-1)
    kernel_s = _over_stages(busy_s)
    memory_s = np.maximum(kernel_s - compute_s, 0.0)
    per_stage = busy_s + link_s + launch_s
    longest_s = per_stage[..., 0] if shape[2] == 1 else per_stage.max(axis=-1)
    return compute_s, memory_s, _over_stages(link_s), _over_stages(launch_s), longest_s


def _over_stages(x: Array) -> Array:
    """Sum over the last axis, which is often one long."""
    return x[..., 0] if x.shape[-1] == 1 else np.asarray(x.sum(axis=-1))
