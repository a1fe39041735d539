"""The fitted roofline of a chip without tables: its own peaks in the kernels that were fitted across measured chips.

The same answers as `MeasuredKernels`, from a few parameters per class (`gemm`, `moe`, `attention_roofline`,
`collectives`), and for every sample of a chip at its own peaks. The spread with which a class misses a chip that is
left out of its fit is a factor of its own, `Chips.class_frac`.

A format without a set of its own takes the nearest: weights narrower than what is multiplied the weight-only set of as
many bits, FP4 that of FP8 and INT4 that of INT8 with the share of the peak scaled as the facts `efficiency` have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from scoville.timing.curves import ROWS, Curve
from scoville.timing.measured import collectives, gemm, moe
from scoville.timing.measured.attention_roofline import (
    LATENT_DIM,
    AttentionChip,
    AttentionKernel,
    light_sides,
    roofline_sides,
)
from scoville.timing.measured.attention_sides import AttentionSides, HeadLayout, Phase
from scoville.timing.measured.collectives import CollectiveLine, at_clock, line_seconds
from scoville.timing.measured.gemm import GemmChip, GemmFormat, GemmKernel
from scoville.timing.measured.generation import CLOCK_HZ, FASTEST, Generation
from scoville.timing.measured.moe import ExpertLayout, MoeChip, MoeFormat, MoeKernel
from scoville.timing.measured.moe_roofline import MoeAcross
from scoville.timing.measured.moe_routing import Load, routing_load
from scoville.transformer.operators import Operator, OperatorTable

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Facts
    from scoville.timing.chips import Chips

Array = NDArray[np.float64]
Pair = tuple[str, str]
Kernel = TypeVar("Kernel", GemmKernel, MoeKernel)
FAMILIES = ("vllm", "trtllm")
SWITCHED = ("a100-sxm", "h100-sxm", "h200-sxm")  # whose collectives were fitted
STORED = {"fp32": "fp32", "bf16": "bf16", "fp8": "fp8", "int8": "int8", "fp4": "mxfp4", "int4": "int4"}
_BITS = {"fp32": 16, "bf16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}
# By the format multiplied, and for 16-bit arithmetic by the bits of the weights.
_GEMM = {"fp8": "fp8", "fp4": "fp8", "int8": "int8", "int4": "int8"}
_GEMM_16 = {16: "bf16", 8: "int8_bf16", 4: "int4_bf16"}
_MOE = {"fp8": "fp8", "fp4": "fp8", "int8": "fp8", "int4": "fp8"}
_NEAR = {
    "gemm": {"fp4": "fp8", "int4": "int8", "fp32": "bf16"},
    "moe": {"fp4": "fp8", "int4": "fp8", "int8": "fp8", "fp32": "bf16"},
}
_KNOTS = tuple(sorted({round(2.0 ** (i / 2)) for i in range(41)}))


class KernelSides(NamedTuple):
    """Sides of an attention core at a chip's central figures; by sample the factors on them and fixed seconds, (n,)."""

    sides: AttentionSides
    source: str
    compute_frac: Array
    memory_frac: Array
    fixed_s: Array


@dataclass(frozen=True, eq=False)
class FittedKernels:
    """Parameters of all classes for one chip and engine family.

    units_count          matrix units of the chip
    fastest_flop_per_s   of a matrix unit of FASTEST in bf16 and in the 8 bits of fp8
    share_frac           by class and format, shares of the peak as the facts `efficiency` have them
    compute_flop_per_s, memory_bytes_per_s   central figures of the chip, at which attention's sides are drawn
    link_latency_s       of the chips whose collectives were fitted, as it were at this chip's clock
    routing              law by which tokens reach experts, one of `moe_routing.DISTRIBUTIONS`
    """

    chip: str
    family: str
    units_count: float
    fastest_flop_per_s: Mapping[str, float]
    gemm: Mapping[str, GemmKernel]
    moe: Mapping[str, MoeKernel]
    attention: Mapping[Phase, AttentionKernel]
    lines: Mapping[str, CollectiveLine]
    share_frac: Mapping[tuple[str, str], float]
    compute_flop_per_s: Mapping[Pair, float]
    memory_bytes_per_s: float
    generation: Generation
    link_latency_s: float
    routing: str

    def sides(self, op: Operator, chips: Chips) -> KernelSides | None:
        """The two sides of an attention core; None for a cache of another format than bf16 and 8 bits."""
        pair = chips.rate(op.weight_rate, op.activation_rate)
        if op.heads is None or op.weight_rate not in ("bf16", "fp8", "int8") or pair not in self.compute_flop_per_s:
            return None
        if op.heads.latent and op.heads.head_dim != LATENT_DIM:
            return None
        phase: Phase = "decode" if op.kind == "attention_decode" else "prefill"
        peak = self.compute_flop_per_s[pair]
        query, cache = ("bf16" if _BITS[r] == 16 else "fp8" for r in (pair[1], op.weight_rate))
        layout = HeadLayout(op.heads.heads, op.heads.kv_heads, op.heads.head_dim, op.heads.window, query, cache)
        g, fp8 = self.generation, max(peak, self.compute_flop_per_s.get(("fp8", "fp8"), peak))
        chip = AttentionChip(peak, fp8, self.memory_bytes_per_s, g.clock_count_per_s, g.warpgroup, g.unit_frac)
        found = roofline_sides(layout, phase, chip, self.attention[phase])
        # Each side at least as long as at full peak and full bandwidth, whatever is drawn.
        pair_s, token_s = light_sides(layout, phase, chip)
        frac = chips.class_frac["attention"]
        return KernelSides(
            found,
            "fitted",
            np.maximum(frac, pair_s / found.compute.pair_s) * peak / chips.compute_flop_per_s[pair],
            np.maximum(frac, token_s / found.memory.kv_token_s) * self.memory_bytes_per_s / chips.memory_bytes_per_s,
            frac * found.fixed_s,
        )

    def curves(
        self,
        table: OperatorTable,
        chips: Chips,
        pairs: Sequence[Pair | None],
        compute_bound: NDArray[np.bool_],
        shown_frac: Array,
    ) -> tuple[Curve, ...]:
        """The curves of all operators with a fitted set, as `MeasuredKernels.curves`."""
        found = (self.curve(table, i, chips, pair, compute_bound[i], shown_frac[:, i]) for i, pair in enumerate(pairs))
        return tuple(c for c in found if c is not None)

    def curve(
        self,
        table: OperatorTable,
        i: int,
        chips: Chips,
        pair: Pair | None,
        compute_bound: NDArray[np.bool_],
        shown_frac: Array,
    ) -> Curve | None:
        """The curve of operator i; None where no set is near: element-wise work, links that no switch joins."""
        op = table.operators[i]
        columns = np.flatnonzero(table.flop[i] if op.collective is None else table.link_bytes[i])
        if len(columns) != 1:
            return None
        if self.family == "trtllm" and op.name.endswith("rope"):  # inside attention, as in the tables
            return Curve(i, int(columns[0]), np.zeros((1, len(ROWS))), compute_bound, "fitted")
        block = table.precision.weights in ("declared", "fp8_block")
        seconds: Array | None = None
        if op.collective is not None:
            payload_bytes = table.link_bytes[i, columns[0]] * ROWS
            seconds = self._collective(op.collective, op.span_count, payload_bytes, chips)
        elif pair is not None and op.kind == "gemm" and op.shape is not None:
            seconds = self._gemm(op.weight_rate, pair, block, op.shape, chips)
        elif pair is not None and op.kind == "moe" and op.experts is not None and op.shape is not None:
            e = op.experts
            layout = ExpertLayout(e.hidden, e.intermediate, e.experts, e.top_k, e.tensor, e.expert, e.gated)
            # The fit has both products as one: each gets its share of the weights.
            share = op.shape[0] * op.shape[1] / (e.hidden * e.intermediate * (3 if e.gated else 2))
            seconds = self._moe(op.weight_rate, pair, block, layout, chips) * share
        if seconds is None:
            return None
        return Curve(i, int(columns[0]), seconds * same_rows(shown_frac), compute_bound, "fitted")

    def _gemm(self, weight: str, pair: Pair, block: bool, shape: tuple[int, int], chips: Chips) -> Array:
        """Seconds at ROWS, (n or 1, K)."""
        rate, wide = pair[1], _BITS[pair[1]] == 16
        name = _GEMM_16[_BITS[weight]] if wide else _GEMM[rate]
        name = "fp8_block" if block and rate == "fp8" and weight == "fp8" else name
        kernel = self._scaled(self.gemm[name], "gemm", rate)
        peak = same_rows(chips.compute_flop_per_s[pair])
        fmt = GemmFormat(STORED[weight], STORED[rate])
        # Units faster than any measured one count as several: a chip feeds the units that it has.
        units = np.maximum(self.units_count, peak / self.fastest_flop_per_s["bf16" if wide else "fp8"])
        chip = GemmChip(peak, same_rows(chips.memory_bytes_per_s), units)
        time = gemm.roofline_seconds(kernel, chip, fmt, ROWS, *shape) * same_rows(chips.class_frac["gemm"])
        return np.maximum(time, gemm.light_seconds(chip, fmt, ROWS, *shape))

    def _moe(self, weight: str, pair: Pair, block: bool, layout: ExpertLayout, chips: Chips) -> Array:
        """Seconds of both products at ROWS, (n or 1, K)."""
        rate = pair[1]
        if _BITS[rate] == 16:
            name = "bf16" if _BITS[weight] == 16 else "mxfp4_bf16" if weight == "fp4" else "int4_bf16"
        else:
            name = "fp8_block" if block and rate == "fp8" and weight == "fp8" else _MOE[rate]
        kernel = self._scaled(self.moe[name], "moe", rate)
        bandwidth = same_rows(chips.memory_bytes_per_s)
        unit_memory_frac = self.generation.unit_memory_frac * bandwidth / self.memory_bytes_per_s
        chip = MoeChip(same_rows(chips.compute_flop_per_s[pair]), bandwidth, 0.0, unit_memory_frac)
        fmt = MoeFormat(STORED[weight], STORED[rate])
        load = expected_load(layout.experts, layout.top_k, layout.expert, self.routing)
        time = moe.roofline_seconds(kernel, chip, fmt, layout, ROWS, load) * same_rows(chips.class_frac["moe"])
        return np.maximum(time, moe.light_seconds(chip, fmt, layout, load))

    def _scaled(self, kernel: Kernel, kind: str, rate: str) -> Kernel:
        """The nearest set for a format that has none: its share of the peak, less what the facts say it loses."""
        near = _NEAR[kind].get(rate, rate)
        ratio = self.share_frac[kind, rate] / self.share_frac[kind, near]
        return replace(kernel, compute_frac=kernel.compute_frac * ratio)

    def _collective(self, kind: str, ranks: int, payload_bytes: Array, chips: Chips) -> Array | None:
        """Seconds, (n or 1, K); None beyond the links that a switch joins.

        The chip's own link latency takes the place of the fitted chips'.
        """
        if kind not in self.lines or ranks < 2 or chips.link_for(ranks) != 0 or not chips.links[0].switched:
            return None
        line, bandwidth = self.lines[kind], same_rows(chips.links[0].bandwidth_bytes_per_s)
        latency = same_rows(chips.links[0].latency_s)
        more = np.maximum(latency - self.link_latency_s, latency - line.fixed_s)
        time = more + line_seconds(line, kind, bandwidth, ranks, payload_bytes)
        time = time * same_rows(chips.class_frac["collective"])
        return np.maximum(time, collectives.light_seconds(kind, bandwidth, ranks, payload_bytes))


def same_rows(values: Array) -> Array:
    """Samples as a column, (n, 1); one row where all are equal."""
    return values[:1, None] if np.ptp(values) == 0 else values[:, None]


@lru_cache(maxsize=256)
def expected_load(experts: int, top_k: int, expert: int, routing: str = "") -> Load:
    """Work of the busiest rank at ROWS, (K,), between octave halves of tokens linear in their logarithms.

    Without a law of routing, that of the bundled facts.
    """
    at, knots = np.log(ROWS), np.log(_KNOTS)
    drawn = routing_load(_KNOTS, experts, top_k, expert, routing or _bundled_routing())
    return Load(*(np.exp(np.interp(at, knots, np.log(np.maximum.accumulate(x)))) for x in drawn))


@lru_cache(maxsize=1)
def _bundled_routing() -> str:
    from scoville.facts import load

    return str(load().get("kernel-moe", "routing").value)


def fitted_kernels(accelerator: Accelerator, facts: Facts, family: str) -> FittedKernels:
    """For a chip that can be timed; an engine family without measured kernels takes vLLM's."""
    known = family if family in FAMILIES else "vllm"
    fastest, units = facts.accelerator(FASTEST), facts.get("kernel-gemm", f"units_{FASTEST}").number
    own = facts.find("kernel-gemm", f"units_{accelerator.id}") or facts.get("kernel-gemm", "units_default")
    generation = Generation.of(accelerator, facts)
    tier = accelerator.tier("main")
    tier = tier if tier and tier.bandwidth else accelerator.tier("sram")
    products = {fmt: gemm.fitted_kernel(facts, fmt, known) for fmt in gemm.GEMM_FORMATS}
    if known == "trtllm":  # fixed scales need no kernel to find them, as in `GemmTimes.quantised_seconds`
        fixed_s = min(products["fp8"].fixed_s, products["bf16"].fixed_s)
        products["fp8"] = replace(products["fp8"], fixed_s=fixed_s)
    fitted = [facts.accelerator(chip) for chip in SWITCHED]
    latencies = [c.links[0].latency.number * Generation.of(c, facts).clock_count_per_s / CLOCK_HZ for c in fitted]
    return FittedKernels(
        chip=accelerator.id,
        family=known,
        units_count=own.number,
        fastest_flop_per_s={rate: fastest.compute[rate, rate].number / units for rate in ("bf16", "fp8")},
        gemm=products,
        moe={
            fmt: MoeAcross.of(facts, "vllm" if fmt == "int4_bf16" else known, fmt).on(generation)
            for fmt in moe.MOE_FORMATS
        },
        attention={phase: AttentionKernel.of(facts, phase, known) for phase in get_args(Phase)},
        lines={
            kind: at_clock(collectives.fitted_line(facts, kind, known), generation.clock_count_per_s)
            for kind in collectives.KINDS
        },
        share_frac={
            (kind, rate): facts.get("efficiency", f"{kind}_compute_{rate}").number
            for kind in ("gemm", "moe")
            for rate in _BITS
        },
        compute_flop_per_s={pair: fact.number for pair, fact in accelerator.compute.items()},
        memory_bytes_per_s=tier.bandwidth.number if tier and tier.bandwidth else np.nan,
        generation=generation,
        link_latency_s=float(np.mean(latencies)) * CLOCK_HZ / generation.clock_count_per_s,
        routing=str(facts.get("kernel-moe", "routing").value),
    )
