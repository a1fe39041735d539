"""What the systolic timer needs of a chip: arrays, clock, on-chip memory, off-chip bandwidth.

Read from the accelerator's facts alone, so that a designed chip and a bought one are timed alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from scoville.errors import FactError
from scoville.facts import Accelerator, Fact, Facts
from scoville.facts.names import FORMATS as RATES
from scoville.facts.names import WIDER
from scoville.transformer.architecture import FORMATS, Format

Operand = Literal["weights", "activations"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """A chip of equal slices, each with matrix units and its share of on-chip memory.

    arrays_count, sram_bytes, sram_bytes_per_s   of one slice, spare arrays left out
    fabric_bytes_per_s   into and out of a slice over the chip's own network; infinite where nobody states it
    rows_count, columns_count   multiply-accumulate cells of one array
    compute_flop_per_s   dense peak of the chip by rate class of weights and activations
    memory_bytes_per_s   off-chip memory, of the chip; `memory_frac` is the share of it that long streams reach
    vector_flop_per_s    vector units of the chip; infinite where nobody states them
    compute_frac         share of its cycles in which a busy array does multiply
    off_chip             the operands that come from, or go to, off-chip memory. A TPU v1 keeps activations on chip
    """

    name: str
    slices_count: int
    arrays_count: int
    rows_count: int
    columns_count: int
    clock_count_per_s: float
    compute_flop_per_s: Mapping[tuple[str, str], float]
    memory_bytes_per_s: float
    sram_bytes: float
    sram_bytes_per_s: float = math.inf
    fabric_bytes_per_s: float = math.inf
    vector_flop_per_s: float = math.inf
    memory_frac: float = 1.0
    compute_frac: float = 1.0
    off_chip: tuple[Operand, ...] = ("weights", "activations")

    @property
    def native_flop_per_s(self) -> float:
        """One multiply-accumulate per cell and clock: 64 x 15 arrays of 64 x 64 at 1.7 GHz make 13.4 PFLOP/s."""
        cells = self.rows_count * self.columns_count * self.arrays_count * self.slices_count
        return 2 * cells * self.clock_count_per_s

    @property
    def stream_bytes_per_s(self) -> float:
        """What long streams get of the off-chip bandwidth."""
        return self.memory_bytes_per_s * self.memory_frac

    @property
    def fill_cycles_count(self) -> int:
        """Cycles of the first fold that nothing hides, 2 R + C - 2: load a stationary tile, skew the streamed one in,
        let the last sum out (Samajdar et al. 2020, "A systematic methodology for characterizing scalability of DNN
        accelerators using SCALE-Sim", section II: 2 R + C + T - 2 cycles a fold, T of which are the stream)."""
        return 2 * self.rows_count + self.columns_count - 2

    @property
    def fill_s(self) -> float:
        """The same in seconds."""
        return self.fill_cycles_count / self.clock_count_per_s

    def peak_flop_per_s(self, weight: Format, activation: Format) -> float:
        """Dense peak for these formats. Raises FactError where the chip cannot multiply them."""
        pair = weight.rate, activation.rate
        if pair not in self.compute_flop_per_s:
            raise FactError(
                f"{self.name}: no compute rate for {weight.name} weights and {activation.name} activations or anything "
                f"wider; add compute_{weight.rate} or compute_bf16 to its facts"
            )
        return self.compute_flop_per_s[pair]

    def pace(self, weight: Format, activation: Format) -> tuple[float, float]:
        """(products that a cell sums per clock, clocks that a streamed vector takes); one of them is 1.

        Narrow formats on a wide cell are packed along the reduction, so the array is that much deeper. Wide formats on
        a narrow cell take several clocks, as 8 x 16 and 16 x 16 bits take two and four on a TPU v1 (Jouppi et al. 2017,
        "In-Datacenter Performance Analysis of a Tensor Processing Unit", section 2).
        """
        speed = self.peak_flop_per_s(weight, activation) / self.native_flop_per_s
        return max(speed, 1.0), max(1 / speed, 1.0)


def format_named(name: str) -> Format:
    """The stored format of that name. Raises FactError naming the known ones."""
    if name not in FORMATS:
        raise FactError(f"unknown number format '{name}'; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def hardware(accelerator: Accelerator, facts: Facts) -> Hardware | None:
    """The chip at its central figures, or None where its arrays are not known.

    On-chip memory and network without a published bandwidth are taken as built to feed the arrays. Raises FactError
    for a chip with arrays but without on-chip memory or without what any timer needs.
    """
    m = accelerator.microarchitecture
    if m is None:
        return None
    if accelerator.missing:
        raise FactError(
            f"{accelerator.id} cannot be timed, because nobody has published: {', '.join(accelerator.missing)}; "
            f"add them with --facts my.toml"
        )
    slices = _count(m.slices, 1)
    memory = next(
        t.bandwidth.number
        for t in sorted(accelerator.memory, key=lambda t: t.name != "main")
        if t.bandwidth and t.name in ("main", "sram")
    )
    total = accelerator.tier("sram")
    sram = m.sram_per_slice.number if m.sram_per_slice else total.capacity.number / slices if total else 0.0
    active = _count(m.arrays_per_slice, 1) - _count(m.spare_arrays_per_slice, 0)
    if sram <= 0:
        raise FactError(f"{accelerator.id}: on-chip memory is unknown; add sram_per_slice to its facts")
    if active < 1:
        raise FactError(f"{accelerator.id}: spare_arrays_per_slice leaves no active array; expected fewer than arrays")
    return Hardware(
        name=accelerator.id,
        slices_count=slices,
        arrays_count=active,
        rows_count=_count(m.rows, 1),
        columns_count=_count(m.columns, 1),
        clock_count_per_s=m.clock.number,
        compute_flop_per_s=_rates(accelerator),
        memory_bytes_per_s=memory,
        sram_bytes=sram,
        sram_bytes_per_s=m.sram_bandwidth_per_slice.number if m.sram_bandwidth_per_slice else math.inf,
        fabric_bytes_per_s=m.fabric_bandwidth_per_slice.number if m.fabric_bandwidth_per_slice else math.inf,
        vector_flop_per_s=m.vector_rate.number if m.vector_rate else math.inf,
        memory_frac=facts.get("systolic", "memory_share").number,
        compute_frac=facts.get("systolic", "compute_share").number,
    )


def _count(fact: Fact | None, otherwise: int) -> int:
    return round(fact.number) if fact else otherwise


def _rates(accelerator: Accelerator) -> dict[tuple[str, str], float]:
    """Peak for every pair of rate classes that the chip can multiply: as they are, with wider activations, or both."""
    known = {pair: fact.number for pair, fact in accelerator.compute.items()}
    rates = {}
    for weight, activation in product(RATES, repeat=2):
        for pair in product(WIDER[weight], WIDER[activation]):
            if pair in known:
                rates[weight, activation] = known[pair]
                break
    return rates
