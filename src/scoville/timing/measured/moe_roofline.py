"""The fitted roofline of routed experts: one set of parameters per engine family and format for all chips.

The form is that of `moe.roofline_seconds`. What differs between chips beside peaks and bandwidth is their `Generation`:
starts go with the clock, kernels of warp-wide instructions have a start and a share of the peak of their own, and most
of what rows cost beside arithmetic (gathering, activation, summing) takes the units' time, not the memory's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from scoville.timing.measured.generation import Generation
from scoville.timing.measured.moe import MoeKernel

if TYPE_CHECKING:
    from scoville.facts import Facts


@dataclass(frozen=True, slots=True)
class MoeAcross:
    """Parameters as in `MoeKernel`; `..._warp_...` those of warp-wide instructions, starts at an H100's clock."""

    fixed_s: float
    fixed_warp_s: float
    compute_frac: float
    compute_warp_frac: float
    memory_frac: float
    overlap_frac: float
    row_count: float
    routing_count: float
    cache_frac: float
    unit_frac: float

    @classmethod
    def of(cls, facts: Facts, family: str, fmt: str) -> MoeAcross:
        """Central values of the facts `kernel-moe`."""
        named = {
            f.name: facts.get("kernel-moe", f"{f.name.rpartition('_')[0]}_{fmt}_{family}").number for f in fields(cls)
        }
        return cls(**named)

    def on(self, generation: Generation) -> MoeKernel:
        """The kernel of a chip."""
        wide = generation.warpgroup
        return MoeKernel(
            generation.start_s(self.fixed_s if wide else self.fixed_warp_s),
            self.compute_frac if wide else self.compute_warp_frac,
            self.memory_frac,
            self.overlap_frac,
            self.row_count,
            self.routing_count,
            self.cache_frac,
            self.unit_frac,
        )
