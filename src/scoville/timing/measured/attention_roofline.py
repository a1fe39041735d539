"""The fitted roofline of attention: for chips and formats without tables, from peaks and a few shared parameters.

FLOP and bytes are those of `transformer.blocks`: scores and values per query x context pair, the cache read, the new
tokens appended, queries read and outputs written. Example: 32 heads on 8 KV heads of 128, one sequence of 100,000
tokens in bf16, read 0.41 GB; an H100 takes 0.41 GB / (3.35 TB/s x 0.9) = 136 us and its launch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoville.timing.measured.attention import AttentionSides, HeadLayout, Phase, Side

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Facts

LATENT_DIM = 576  # head size that stands for DeepSeek-V3's latent cache: 512 and 64 rotated
DECODE_ROWS = 16  # rows of a tensor core's tile: query heads of a group are padded to it
PREFILL_ROWS = 128  # query tokens of a tile: half of its diagonal block is masked, yet computed


@dataclass(frozen=True, slots=True)
class AttentionChip:
    """What attention needs of a chip: peak FLOP/s of bf16 and of fp8 (bf16's where there is none), bytes/s."""

    bf16_flop_per_s: float
    fp8_flop_per_s: float
    memory_bytes_per_s: float

    @classmethod
    def of(cls, chip: Accelerator) -> AttentionChip:
        """From a chip's facts, which must have a bf16 rate and a main memory with a bandwidth."""
        bf16 = chip.compute["bf16", "bf16"].number
        fp8 = chip.compute["fp8", "fp8"].number if ("fp8", "fp8") in chip.compute else bf16
        main = next(t.bandwidth for t in chip.memory if t.name == "main")
        assert main is not None
        return cls(bf16, fp8, main.number)


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """Parameters of one phase.

    fixed_s           start and end of the kernels of a layer
    compute_frac      share of the bf16 peak; `compute_fp8_frac`: of the fp8 peak
    memory_frac       share of the memory bandwidth; `memory_fp8_frac`: where the cache is fp8. In prefill only the
                      context counts: queries and outputs are still on the chip, their cost is in `block_s`
    block_s           of a unit of work beside its arithmetic and traffic: a sequence x KV head in decode, a tile of
                      query tokens x head in prefill
    overlap_frac      of decode: how much of the shorter of arithmetic and traffic shows, 0 none, 1 all
    """

    fixed_s: float
    compute_frac: float
    compute_fp8_frac: float
    memory_frac: float
    memory_fp8_frac: float
    block_s: float
    overlap_frac: float

    @classmethod
    def of(cls, facts: Facts, phase: Phase) -> AttentionKernel:
        """From the facts `kernel-attention`. What was measured of one phase only counts for both."""

        def number(name: str) -> float:
            return facts.get("kernel-attention", name).number

        return cls(
            fixed_s=number(f"{phase}_fixed"),
            compute_frac=number(f"{phase}_compute_bf16"),
            compute_fp8_frac=number("prefill_compute_fp8" if phase == "prefill" else "decode_compute_bf16"),
            memory_frac=number("decode_memory_bf16"),
            memory_fp8_frac=number("decode_memory_fp8"),
            block_s=number(f"{phase}_block"),
            overlap_frac=number("decode_overlap"),
        )


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
    fp8 = layout.query == "fp8"
    flop, token_bytes = sizes(phase, layout.head_dim, layout.cache)
    rate = chip.fp8_flop_per_s * kernel.compute_fp8_frac if fp8 else chip.bf16_flop_per_s * kernel.compute_frac
    memory = kernel.memory_fp8_frac if layout.cache == "fp8" else kernel.memory_frac
    per_byte = 1 / (chip.memory_bytes_per_s * memory)
    latent = layout.head_dim == LATENT_DIM
    width = (576 + 512 if phase == "decode" else 192 + 128) if latent else 2 * layout.head_dim
    append = layout.kv_heads * token_bytes + layout.heads * width * 2.0
    read = layout.heads * width * 2.0 if latent and phase == "prefill" else layout.kv_heads * token_bytes
    if phase == "decode":
        o, moved = kernel.overlap_frac, append * per_byte
        padded = layout.kv_heads * DECODE_ROWS * -(-layout.group // DECODE_ROWS)
        pair, query, sequence = flop * padded / rate, 0.0, kernel.block_s * layout.kv_heads
    else:
        o, moved = 0.0, 0.0
        pair, sequence = flop * layout.heads / rate, 0.0
        masked = PREFILL_ROWS / 2 if layout.window is None else PREFILL_ROWS  # a window has two edges
        query = pair * masked + kernel.block_s * layout.heads / PREFILL_ROWS
    kv = read * per_byte
    return AttentionSides(
        kernel.fixed_s,
        Side(0.0, pair, o * kv, query + o * moved, o * sequence),
        Side(0.0, o * pair, kv, moved + o * query, sequence),
    )
