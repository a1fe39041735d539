"""The fitted roofline of attention: for chips and formats without tables, from peaks and a few shared parameters.

FLOP and bytes are those of `transformer.blocks`: scores and values per query x context pair, the cache read, the new
tokens appended, queries read and outputs written. Example: 32 heads on 8 KV heads of 128, one sequence of 100,000
tokens in bf16, read 0.41 GB; an H100 takes 0.41 GB / (3.35 TB/s x 0.9) = 136 us and its launch.

What differs between chips beside peaks and bandwidth: the start of a kernel is a number of cycles, so that it goes with
the clock; and kernels come in two generations, for matrix instructions of a warp (Ampere, Ada) and of a warpgroup
(Hopper: FlashAttention-3, Shah et al. 2024), with a start, a share of the peak and a share of the bandwidth each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoville.timing.measured.attention_sides import AttentionSides, HeadLayout, Phase, Side
from scoville.timing.measured.generation import CLOCK_HZ, Generation

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Facts

Values = NDArray[np.float64]
LATENT_DIM = 576  # head size that stands for DeepSeek-V3's latent cache: 512 and 64 rotated
DECODE_ROWS = 16  # rows of a tensor core's tile: query heads of a group are padded to it
PREFILL_ROWS = 128  # query tokens of a tile: half of its diagonal block is masked, yet computed
HEAD_DIM = 128  # at which `block_s` stands


@dataclass(frozen=True, slots=True)
class AttentionChip:
    """What attention needs of a chip; fields may be arrays, one chip each.

    bf16_flop_per_s, fp8_flop_per_s   peaks; fp8's is bf16's where there is none
    clock_count_per_s                          of the cycles that a kernel's start takes
    warpgroup                         whether matrix instructions are wider than a warp
    unit_frac                         bf16 peak of a matrix unit, in those of an H100; 1 where units are not counted
    """

    bf16_flop_per_s: float | Values
    fp8_flop_per_s: float | Values
    memory_bytes_per_s: float | Values
    clock_count_per_s: float | Values = CLOCK_HZ
    warpgroup: bool | NDArray[np.bool_] = True
    unit_frac: float | Values = 1.0

    @classmethod
    def of(cls, chip: Accelerator, facts: Facts) -> AttentionChip:
        """From a chip's facts, which must have a bf16 rate and a main memory with a bandwidth."""
        main = next(t.bandwidth for t in chip.memory if t.name == "main")
        assert main is not None
        bf16 = chip.compute["bf16", "bf16"].number
        fp8 = chip.compute["fp8", "fp8"].number if ("fp8", "fp8") in chip.compute else bf16
        g = Generation.of(chip, facts)
        return cls(bf16, fp8, main.number, g.clock_count_per_s, g.warpgroup, g.unit_frac)


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """Parameters of one phase in the kernels of one engine family; `..._warp_...` those of warp-wide instructions.

    launch_s          of a start, what no clock shortens
    fixed_s           the rest of start and end of the kernels of a layer, at CLOCK_HZ
    fixed_fp8_s       of decode on an fp8 cache with warpgroup-wide instructions; of packed groups if `packed`
    compute_frac      share of the bf16 peak; `compute_fp8_frac`: of the fp8 peak
    mixed_frac        of prefill: share of the speed in bf16 that is left where the cache is fp8
    memory_frac       share of the memory bandwidth; `memory_fp8_frac`: where the cache is fp8. In prefill only the
                      context counts: queries and outputs are still on the chip, their cost is in `block_s`
    block_s           of a unit of work beside its arithmetic and traffic: a sequence x KV head in decode; in prefill a
                      tile of query tokens x head of HEAD_DIM, half of which grows with the head size
    kv_token_s        of prefill: to gather a token of a KV head from the pages of the cache
    overlap_frac      of decode: how much of the shorter of arithmetic and traffic shows, 0 none, 1 all
    hidden_frac       of prefill: share of its peak that a matrix unit reaches whose other work hides behind it
    packed            TensorRT-LLM's: an fp8 cache is multiplied in fp8 by warpgroup-wide instructions, in decode where
                      query heads are packed into a group
    """

    launch_s: float
    fixed_s: float
    fixed_warp_s: float
    fixed_fp8_s: float
    compute_frac: float
    compute_warp_frac: float
    compute_fp8_frac: float
    mixed_frac: float
    memory_frac: float
    memory_warp_frac: float
    memory_fp8_frac: float
    block_s: float
    kv_token_s: float
    overlap_frac: float
    hidden_frac: float
    packed: bool = False

    @classmethod
    def of(cls, facts: Facts, phase: Phase, family: str) -> AttentionKernel:
        """From the facts `kernel-attention`: of the phase, else of the other, else of both and all families."""
        other = "prefill" if phase == "decode" else "decode"

        def number(name: str) -> float:
            asked = (facts.find("kernel-attention", f"{p}_{name}_{family}") for p in (phase, other))
            return (next((fact for fact in asked if fact), None) or facts.get("kernel-attention", name)).number

        known: dict[str, Any] = {f.name: number(f.name.rpartition("_")[0]) for f in fields(cls) if f.name != "packed"}
        return cls(**known, packed=family == "trtllm")


class Shape(NamedTuple):
    """A layout as the roofline sees it: numbers or arrays of them.

    flop   per query head and pair; width: elements of a query and its output; kv_bytes: per KV head and cached token
    """

    heads: float | Values
    kv_heads: float | Values
    flop: float | Values
    width: float | Values
    kv_bytes: float | Values
    latent: bool | NDArray[np.bool_]
    windowed: bool | NDArray[np.bool_]
    fp8_query: bool | NDArray[np.bool_]
    fp8_cache: bool | NDArray[np.bool_]

    @classmethod
    def of(cls, layout: HeadLayout, phase: Phase) -> Shape:
        """The layout's FLOP and bytes."""
        flop, kv_bytes = sizes(phase, layout.head_dim, layout.cache)
        latent = layout.head_dim == LATENT_DIM
        return cls(
            layout.heads, layout.kv_heads, flop, flop / 2, kv_bytes, latent, layout.window is not None,
            layout.query == "fp8", layout.cache == "fp8",
        )  # fmt: skip


def sizes(phase: Phase, head_dim: int, cache: str) -> tuple[float, float]:
    """FLOP per query head and pair, bytes per KV head and cached token; of LATENT_DIM those of DeepSeek-V3's MLA.

    Its decode multiplies with the latent (576 wide, values 512), its prefill expands keys to 192 and values to 128.
    """
    element = 1.0 if cache == "fp8" else 2.0
    if head_dim == LATENT_DIM:
        return 2.0 * (576 + 512 if phase == "decode" else 192 + 128), 576 * element
    return 4.0 * head_dim, 2.0 * head_dim * element


def roofline_sides(layout: HeadLayout, phase: Phase, chip: AttentionChip, kernel: AttentionKernel) -> AttentionSides:
    """The sides of a layout on a chip that nobody measured."""
    found = shape_sides(Shape.of(layout, phase), phase, chip, kernel)
    compute, memory = (Side(*(float(x) for x in side)) for side in (found.compute, found.memory))
    return AttentionSides(float(found.fixed_s), compute, memory)


def light_sides(layout: HeadLayout, phase: Phase, chip: AttentionChip) -> tuple[float, float]:
    """Seconds per pair at full peak, and per cached token at full bandwidth: no kernel is faster.

    Full peak is that of the narrowest format at hand. A prefill's context may still be on the chip: 0.
    """
    s = Shape.of(layout, phase)
    rate = np.maximum(chip.bf16_flop_per_s, chip.fp8_flop_per_s) if s.fp8_cache else chip.bf16_flop_per_s
    read = s.kv_heads * s.kv_bytes / chip.memory_bytes_per_s if phase == "decode" else 0.0
    return float(s.heads * s.flop / rate), float(read)


def shape_sides(s: Shape, phase: Phase, chip: AttentionChip, kernel: AttentionKernel) -> AttentionSides:
    """`roofline_sides` of many layouts on many chips at once: the sides' numbers are arrays then."""
    group = s.heads / s.kv_heads
    fast = np.logical_and(s.fp8_cache, chip.warpgroup)
    fixed = np.where(chip.warpgroup, kernel.fixed_s, kernel.fixed_warp_s)
    if phase == "decode":
        fixed = np.where(fast & ((group > 1) | (not kernel.packed)), kernel.fixed_fp8_s, fixed)
    fixed = kernel.launch_s + fixed * CLOCK_HZ / chip.clock_count_per_s
    memory = np.where(s.fp8_cache, kernel.memory_fp8_frac, kernel.memory_frac)
    per_byte = 1 / (chip.memory_bytes_per_s * np.where(chip.warpgroup, memory, kernel.memory_warp_frac))
    append = s.kv_heads * s.kv_bytes + s.heads * s.width * 2.0
    if phase == "decode":
        pair = s.flop * s.kv_heads * DECODE_ROWS * np.ceil(group / DECODE_ROWS)
        pair, kv, sequence = (
            pair / (chip.bf16_flop_per_s * kernel.compute_frac),
            s.kv_heads * s.kv_bytes * per_byte,
            kernel.block_s * s.kv_heads,
        )
        return _sides(fixed, pair, 0.0, 0.0, kv, append * per_byte, sequence, kernel.overlap_frac)
    share = np.where(chip.warpgroup, _unit_share(kernel.compute_frac, kernel, chip), kernel.compute_warp_frac)
    rate = chip.bf16_flop_per_s * share
    in_fp8 = np.logical_or(s.fp8_query, fast & kernel.packed)
    rate = np.where(s.fp8_cache, rate * kernel.mixed_frac, rate)
    rate = np.where(in_fp8, chip.fp8_flop_per_s * _unit_share(kernel.compute_fp8_frac, kernel, chip), rate)
    pair = s.heads * s.flop / rate
    masked = np.where(s.windowed, PREFILL_ROWS, PREFILL_ROWS / 2)  # a window has two edges
    tile = kernel.block_s * s.heads / PREFILL_ROWS * (0.5 + s.width / (4 * HEAD_DIM))
    expanded = np.where(s.latent, s.heads, s.kv_heads)
    read = np.where(s.latent, s.heads * s.width * 2.0, s.kv_heads * s.kv_bytes)
    return _sides(fixed, pair, pair * masked + tile, kernel.kv_token_s * expanded, read * per_byte, 0.0, 0.0, 0.0)


def _unit_share(share: float, kernel: AttentionKernel, chip: AttentionChip) -> Values:
    """Share of the peak of a unit slower than an H100's: what it does beside multiplying takes as long, and so hides.

    1 / share = 1 / hidden_frac + a rest that goes with the unit's speed; not beyond the speeds that were fitted.
    """
    rest = max(1 / share - 1 / kernel.hidden_frac, 0.0)
    return np.asarray(1 / (1 / share - rest * (1 - np.minimum(chip.unit_frac, 1.0))))


def _sides(*numbers: float | Values) -> AttentionSides:
    """fixed + max(c, m) + overlap min(c, m), with c by pairs, query and context tokens, m by the rest of `numbers`."""
    fixed, pair, query, gather, kv, moved, sequence, o = numbers
    compute = (0.0, pair, gather + o * kv, query + o * moved, o * sequence)
    memory = (0.0, o * pair, kv + o * gather, moved + o * query, sequence)
    return AttentionSides(fixed, Side(*compute), Side(*memory))  # type: ignore[arg-type]
