"""The scalar path: one design under one sharding at one batch, in plain Python, operator by operator.

What `evaluate` does for many at once, written again as loops over floats; a test holds the two to each other. Only the
formulas of a product and of the balance are shared, as their plain source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from scoville.errors import DesignError
from scoville.search.balance import RESULTS, point
from scoville.search.evaluate import Hour
from scoville.serving.shape import TrafficShape
from scoville.serving.steady import Targets, bubble_frac, worst_rank_frac
from scoville.silicon.area import DIE_LINKS, FABRIC, VECTOR, area, memory_bytes_per_s
from scoville.silicon.cost import Prices, stack_bytes, unit_cost
from scoville.silicon.design import Design
from scoville.silicon.limits import broken
from scoville.silicon.peak import peak_flop_per_s
from scoville.silicon.power import INTERFACE, LEAKAGE, SRAM, STACKS, power
from scoville.silicon.technology import Technology
from scoville.timing.chips import Chips
from scoville.timing.collectives import hops_count, volume_frac
from scoville.timing.measured.collectives import line_seconds
from scoville.timing.measured.fitted import STORED
from scoville.timing.systolic.attention import Heads, attention
from scoville.timing.systolic.closed_form import FEW_ROWS, plain, product_seconds
from scoville.timing.systolic.hardware import Hardware
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.transformer.architecture import FORMATS, Format
from scoville.transformer.operators import Operator, OperatorTable
from scoville.transformer.step import StepMix

_WIDER = {"fp4": ("fp4", "fp8", "bf16"), "fp8": ("fp8", "bf16"), "bf16": ("bf16",)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a point is asked for: a dense model of grouped-query attention under a sharding, its traffic and targets."""

    table: OperatorTable
    shape: TrafficShape
    targets: Targets
    batch: int
    block_tokens: float = 16.0
    sequence_s: float = 0.0


def evaluate_one(
    design: Design,
    technology: Technology,
    prices: Prices,
    rate: Hour,
    like: Chips,
    asked: Asked,
    *,
    nre_usd_per_chip: float,
) -> dict[str, float]:
    """RESULTS of `balance` of one design (its numbers floats). Raises DesignError for a model that has more than
    products, grouped-query attention and collectives inside a scale-up domain or all-reduces across."""
    p, shape, batch = asked.table.parallelism, asked.shape, float(asked.batch)
    space = area(design, technology)
    used = power(design, technology, space)
    price = float(unit_cost(design, space, prices).price_usd)
    tdp = min(float(used.tdp_w), float(design.power_cap_w))
    hw = _hardware(design, technology, like)

    chunk = shape.chunk_tokens * p.attention_data
    busiest = float(worst_rank_frac(np.array([max(batch / p.pipeline, 1.0)]), p.attention_data)[0])
    steps = [_mix(asked, batch, 0.0), _mix(asked, 0.0, chunk)]
    times, energy = [], []
    for mix in steps:
        row = [float(x) for x in asked.table.layout.features(replace(mix, worst_rank_frac=np.array([busiest])))[0]]
        stages = [0.0] * p.pipeline
        flop: dict[tuple[str, str], float] = {}
        moved = sent = 0.0
        for i, op in enumerate(asked.table.operators):
            runs = [float(c[i]) for c in asked.table.count]
            seconds = _operator_s(op, asked.table, i, row, hw, design, like)
            stages = [total + count * seconds for total, count in zip(stages, runs, strict=True)]
            each = sum(runs) / len(runs)
            sent += each * _dot(asked.table.link_bytes[i], row)
            if op.collective is None:
                pair = op.weight_rate, op.activation_rate
                flop[pair] = flop.get(pair, 0.0) + each * _dot(asked.table.flop[i], row)
                moved += each * _dot(asked.table.memory_bytes[i], row)
        sampling = row[asked.table.layout.column("rank_sampled_tokens")] * asked.sequence_s
        overhead = float(like.step_overhead_s[0])
        own = float(like.time_frac[0])
        times.append(((max(stages) + overhead) * own + sampling, (sum(stages) + overhead) * own + sampling))
        energy.append(_joules(design, technology, used.blocks_w, flop, moved, sent))

    need = _need_bytes(asked, batch)
    memory, reserve = design.stacks_count * float(stack_bytes(design, prices)), float(like.reserve_bytes[0])
    room = float(memory) * float(like.memory_use_frac[0]) - reserve
    if design.memory == "none":
        slices = design.active_slices_count * design.sram_per_slice_bytes
        room = float(slices + design.compute_dies_count * design.sram_shared_bytes)
        need += shape.chunk_tokens * asked.table.architecture.hidden * 4.0
    allowed = not bool(broken(design, space, used, technology)) and p.tensor <= design.scale_up_domain_count
    t, static = asked.targets, float(used.blocks_w[LEAKAGE])
    spare = 1 / max(float(design.power_cap_w) - static, 1e-9)
    bubble = float(bubble_frac(shape, p, np.array([batch]))[0]) if p.pipeline > 1 else 1.0
    decode, full = ((*time, joules) for time, joules in zip(times, energy, strict=True))
    found = plain(point)(
        *decode, *full, room - asked.table.resident_bytes, spare, static,
        rate.of_price_usd_per_h * price + rate.of_tdp_usd_per_h * tdp + rate.fixed_usd_per_h,
        rate.of_nre_usd_per_h * nre_usd_per_chip, float(allowed),
        batch, need, float(batch / p.attention_data < shape.chunk_tokens),
        batch * (1 + shape.input_tokens / shape.output_tokens) / p.chips, bubble,
        float(p.pipeline), float(p.attention_data), chunk, shape.fresh_input_tokens, shape.output_tokens,
        shape.prompt_second_frac, shape.prompt_third_frac, shape.output_inverse_frac,
        NormalDist().inv_cdf(t.ttft_percentile_frac), NormalDist().inv_cdf(t.tpot_percentile_frac), t.ttft_s, t.tpot_s,
    )  # fmt: skip
    return {name: float(value) for name, value in zip(RESULTS, found, strict=True)}


def _hardware(design: Design, technology: Technology, like: Chips) -> Hardware:
    peaks = {pair: float(peak) for pair, peak in peak_flop_per_s(design).items()}
    slices = design.active_slices_count
    lanes = design.vector_lanes_per_slice_count
    speed = memory_bytes_per_s(design, technology)
    if design.memory == "none":
        speed = slices * design.sram_bandwidth_per_slice_bytes_per_s
    assert isinstance(like.kernels, SystolicKernels)
    shares = like.kernels.times.hardware
    return Hardware(
        name=design.id,
        slices_count=round(float(slices)),
        arrays_count=round(float(design.arrays_per_slice_count - design.spare_arrays_per_slice_count)),
        rows_count=round(float(design.rows_count)),
        columns_count=round(float(design.columns_count)),
        clock_count_per_s=float(design.clock_count_per_s),
        compute_flop_per_s={(w, a): peaks[_pair(w, a, peaks)] for w in _WIDER for a in _WIDER},
        memory_bytes_per_s=float(speed),
        sram_bytes=float(design.sram_per_slice_bytes),
        sram_bytes_per_s=float(design.sram_bandwidth_per_slice_bytes_per_s),
        fabric_bytes_per_s=float(design.fabric_bandwidth_per_slice_bytes_per_s),
        vector_flop_per_s=float(2 * slices * lanes * design.clock_count_per_s) if lanes else math.inf,
        memory_frac=shares.memory_frac,
        compute_frac=shares.compute_frac,
    )


def _pair(weights: str, activations: str, peaks: dict[tuple[str, str], float]) -> tuple[str, str]:
    """The formats that these two are multiplied in."""
    for w in _WIDER[weights]:
        for a in _WIDER[activations]:
            if (w, a) in peaks:
                return w, a
            if (w, a) in (("fp4", "fp8"), ("fp4", "bf16")) and (a, a) in peaks:
                return a, a
    raise DesignError(f"the design multiplies no {weights} weights with {activations} activations, nor anything wider")


def _mix(asked: Asked, batch: float, prefill: float) -> StepMix:
    """One micro-batch of `batch` sequences in decode on the replica and `prefill` tokens of prompts."""
    shape, decodes = asked.shape, batch / asked.table.parallelism.pipeline
    prompts = prefill / shape.fresh_input_tokens

    def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([value])

    return StepMix(
        decode_sequences_count=one(decodes),
        decode_tokens=one(decodes),
        prefill_sequences_count=one(math.ceil(prompts)),
        prefill_tokens=one(prefill),
        sampled_tokens=one(decodes + prompts),
        decode_pairs_tokens={w: one(decodes * v) for w, v in shape.held_tokens.items()},
        decode_kv_tokens={w: one(decodes * v) for w, v in shape.held_tokens.items()},
        prefill_pairs_tokens={w: one(prompts * v) for w, v in shape.pairs_tokens.items()},
        prefill_kv_tokens={w: one(prompts * v) for w, v in shape.prompt_kv_tokens.items()},
    )


def _need_bytes(asked: Asked, batch: float) -> float:
    """The cache of running sequences at their 99th percentile, and of the prompts in work."""
    table, shape = asked.table, asked.shape
    held = batch + NormalDist().inv_cdf(0.99) * math.sqrt(batch)
    share = float(worst_rank_frac(np.array([held]), table.parallelism.attention_data)[0])
    prompts = max(shape.chunk_tokens, shape.cached_input_tokens + shape.fresh_input_tokens * shape.prompt_second_frac)
    sequence, prompt = table.cache_bytes_per_sequence_bytes, 0.0
    for window, per_token in table.cache_bytes_per_token.items():
        sequence += per_token * (shape.held_tokens[window] + asked.block_tokens / 2)
        prompt += per_token * (prompts if window is None else min(prompts, window + shape.chunk_tokens))
    return held * share * sequence + prompt


def _joules(
    design: Design,
    technology: Technology,
    blocks: object,
    flop: dict[tuple[str, str], float],
    moved: float,
    sent: float,
) -> float:
    """Energy of a chip's part of a step: products with what feeds the arrays, memory, links."""
    assert isinstance(blocks, dict)
    over = 1.0 + float(technology.power_overhead_frac)
    feeding = over * float(blocks[SRAM] + blocks[FABRIC] + blocks[VECTOR])
    speed = float(memory_bytes_per_s(design, technology))
    if design.memory == "none":
        speed = float(design.active_slices_count * design.sram_bandwidth_per_slice_bytes_per_s)
    peaks = {pair: float(peak) for pair, peak in peak_flop_per_s(design).items()}
    total = moved * float(over * (blocks[INTERFACE] + blocks[DIE_LINKS]) + blocks[STACKS]) / speed
    total += sent * 2.0 * over * float(technology.link_j_per_byte)
    for asked, count in flop.items():
        pair = _pair(*asked, peaks)
        each = over * max(float(technology.matrix_j_per_flop[f]) for f in pair)
        total += count * (each + feeding / peaks[pair])
    return total


def _dot(coefficients: object, row: list[float]) -> float:
    return sum(float(c) * x for c, x in zip(coefficients, row, strict=True))  # type: ignore[call-overload]


def _operator_s(
    op: Operator, table: OperatorTable, i: int, row: list[float], hw: Hardware, design: Design, like: Chips
) -> float:
    """Seconds of one run of an operator, its launch inside."""
    flop, moved, payload = (_dot(x[i], row) for x in (table.flop, table.memory_bytes, table.link_bytes))
    if op.collective is not None:
        return _collective_s(op, payload, design, like) if payload > 0 else 0.0
    if flop <= 0 and moved <= 0:
        return 0.0
    weight, activation = FORMATS[STORED[op.weight_rate]], FORMATS[STORED[op.activation_rate]]
    if op.kind == "gemm" and op.shape is not None:
        tokens = row[int(np.flatnonzero(table.flop[i])[0])]
        return _product_s(tokens, *op.shape, weight, activation, hw) + _launch(like, "gemm") if tokens > 0 else 0.0
    if op.kind.startswith("attention") and op.heads is not None and not op.heads.latent:
        phase = "decode" if op.kind == "attention_decode" else "prefill"
        h, size = op.heads, FORMATS["bf16"].size_bytes
        cached = 2 * h.kv_heads * h.head_dim * weight.size_bytes
        heads = Heads(h.heads, h.kv_heads, h.head_dim, h.head_dim, cached, 2 * h.heads * h.head_dim * size + cached)
        span = "all" if h.window is None else str(h.window)
        at = (table.layout.column(n) for n in (f"{phase}_pairs:{span}", f"{phase}_kv:{span}", f"rank_{phase}_tokens"))
        pairs, kv, query = (row[k] for k in at)
        if query <= 0:
            return 0.0
        return float(attention(hw, heads, weight, activation, prompt=phase == "prefill").seconds(pairs, kv, query)) + (
            _launch(like, "attention")
        )
    if op.kind != "elementwise":
        raise DesignError(f"{op.name}: the scalar path has no form for it; ask `evaluate`")
    reached = float(like.compute_efficiency_frac["elementwise", like.rate(op.weight_rate, op.activation_rate)[1]][0])
    peak = min(hw.peak_flop_per_s(weight, activation) * reached, hw.vector_flop_per_s)
    stream = hw.memory_bytes_per_s * float(like.memory_efficiency_frac["elementwise"][0])
    return max(flop / peak, moved / stream) + _launch(like, "elementwise")


def _launch(like: Chips, kind: str) -> float:
    return float(like.launch_s[kind][0])


def _product_s(m: float, n: int, k: int, weight: Format, activation: Format, hw: Hardware) -> float:
    depth, beat = hw.pace(weight, activation)
    clock_s = 1.0 / hw.clock_count_per_s
    return float(
        plain(product_seconds)(
            m, 1.0, float(n), float(k), weight.size_bytes, activation.size_bytes, depth, 1.0 / depth, beat,
            float(hw.slices_count), 1.0 / hw.slices_count, 1.0 / hw.arrays_count, float(hw.rows_count),
            1.0 / hw.rows_count, float(hw.columns_count), 1.0 / hw.columns_count, clock_s, 1.0 / hw.stream_bytes_per_s,
            hw.sram_bytes, 1.0 / hw.sram_bytes_per_s, 1.0 / hw.fabric_bytes_per_s, hw.fill_s, 1.0 / hw.compute_frac,
            m > FEW_ROWS,
        )
    )  # fmt: skip


def _collective_s(op: Operator, payload: float, design: Design, like: Chips) -> float:
    """A collective: the fitted line inside of a scale-up domain; all-reduces and hand-overs beyond by level."""
    kind, span, kernels = str(op.collective), op.span_count, like.kernels
    assert isinstance(kernels, SystolicKernels)
    fitted, domain = kernels.collectives, float(design.scale_up_domain_count)
    up, out = float(design.scale_up_bytes_per_s), float(design.scale_out_bytes_per_s)
    shown = 1.0
    if kind in like.overlap_frac and (op.may_overlap or kind == "all_reduce"):
        shown = 1.0 - float(like.overlap_frac[kind][0])
    latencies = float(like.links[0].latency_s[0]), float(like.links[-1].latency_s[0])
    if kind in fitted.lines and span <= domain:
        line = fitted.lines[kind]
        more = max(latencies[0] - fitted.link_latency_s, latencies[0] - line.fixed_s)
        time = more + float(line_seconds(line, kind, up, span, np.array(payload)))
        return time * float(like.class_frac["collective"][0]) * shown
    reached = float(like.link_efficiency_frac[kind][0])
    fixed = float(like.collective_base_s[kind][0])
    if kind == "point_to_point":
        inside = span <= domain
        return (payload / ((up if inside else out) * reached) + fixed + latencies[0 if inside else 1]) * shown
    fixed += float(like.collective_per_rank_s[kind][0]) * (min(span, domain) - 1)
    time, inside_count = fixed, 1.0
    for speed, latency, reach in ((up, latencies[0], domain), (out, latencies[1], math.inf)):
        ranks = min(float(span), reach) / inside_count
        if ranks > 1 and (inside_count < span):
            time += payload * volume_frac(kind, ranks) / inside_count / (speed * reached)
            time += hops_count(ranks, like.links[0]) * latency
            inside_count *= ranks
    return time * shown
