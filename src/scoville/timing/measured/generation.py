"""What sets kernels on one chip apart from another's beside peaks and bandwidth: clock, instructions, matrix units."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Facts

CLOCK_HZ = 1.83e9  # at which fitted starts of kernels stand: an H100's
FASTEST = "h100-sxm"  # of the measured chips the one whose matrix units are the fastest in every format


class Generation(NamedTuple):
    """Of one chip; defaults of the facts where nobody has said anything.

    clock_count_per_s          of the cycles that the start of a kernel takes
    warpgroup         whether matrix instructions are wider than a warp: Hopper's and later, not Ampere's and Ada's
    unit_frac         bf16 peak of a matrix unit, in those of an H100; 1 where units are not counted
    units_count       matrix units; a unit faster than an H100's counts as several
    unit_memory_frac  memory bandwidth to a unit and cycle, in those of an H100
    launch_s          of a kernel's start, what no clock shortens
    """

    clock_count_per_s: float
    warpgroup: bool
    unit_frac: float
    units_count: float
    unit_memory_frac: float
    launch_s: float

    @classmethod
    def of(cls, chip: Accelerator, facts: Facts) -> Generation:
        """From the facts `kernel-attention` and `kernel-gemm`."""

        def known(name: str) -> float | str:
            own = facts.find("kernel-attention", f"{name}_{chip.id}")
            return (own or facts.get("kernel-attention", f"{name}_default")).value

        fastest = facts.accelerator(FASTEST)
        fast_count = facts.get("kernel-gemm", f"units_{FASTEST}").number
        fast = fastest.compute["bf16", "bf16"].number / fast_count
        counted = facts.find("kernel-gemm", f"units_{chip.id}")
        count = (counted or facts.get("kernel-gemm", "units_default")).number
        peak = chip.compute["bf16", "bf16"].number if ("bf16", "bf16") in chip.compute else 0.0
        clock_count_per_s, units = float(known("clock")), max(count, peak / fast)
        own, other = chip.tier("main") or chip.tier("sram"), fastest.tier("main")
        ratio = 1.0
        if own and own.bandwidth and other and other.bandwidth:
            ratio = own.bandwidth.number / other.bandwidth.number * fast_count / units * CLOCK_HZ / clock_count_per_s
        unit_frac = peak / count / fast if counted and peak else 1.0
        launch_s = facts.get("kernel-attention", "launch").number
        return cls(clock_count_per_s, known("instruction") == "warpgroup", unit_frac, units, ratio, launch_s)

    def start_s(self, fixed_s: float) -> float:
        """Start of kernels that takes `fixed_s` at CLOCK_HZ, and a launch."""
        return self.launch_s + fixed_s * CLOCK_HZ / self.clock_count_per_s
