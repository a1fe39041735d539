"""Power of a package, block by block, at a given activity; TDP; what fits under a cap.

Work times its energy, clocks and control as a share on top of the digital work, and leakage by area.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.silicon.area import DIE_LINKS, FABRIC, HOST, LINKS, MATRIX, VECTOR, Area, die_link_bytes_per_s
from scoville.silicon.area import memory_bytes_per_s as stacks_bytes_per_s
from scoville.silicon.design import Array, Design
from scoville.silicon.peak import pair, peak_flop_per_s
from scoville.silicon.technology import Technology

SRAM, INTERFACE, STACKS = "SRAM", "memory interface", "memory stacks"
CLOCKS, LEAKAGE = "clocks and control", "leakage"


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Shares of the peak rates in use; `format` is the key of `rate_frac` that is multiplied ("" = the hottest)."""

    matrix_frac: float | Array = 1.0
    vector_frac: float | Array = 1.0
    sram_frac: float | Array = 1.0
    fabric_frac: float | Array = 1.0
    memory_frac: float | Array = 1.0
    links_frac: float | Array = 1.0
    format: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """Power of a package, scalars or shape (n,).

    `blocks_w` sum to `total_w` at the `activity` asked for. `tdp_w` is that of the hotter of two steps: one bound by
    its products (matrix units and slice SRAM at full rate) and one bound by its memory (memory and network on the
    chip); `w_per_mm2` is TDP without the stacks over the area of all dies. Of the peaks, `products_w` (by key of
    `rate_frac`) and `memory_w` are what they take, `products_room_w` and `memory_room_w` what the cap leaves for them
    in their step. A sweep that asks for TDP alone pays for nothing else.
    """

    at_peak_w: Mapping[str, float | Array]
    activity: Activity
    overhead_frac: float | Array
    tdp_w: float | Array
    w_per_mm2: float | Array
    peak_flop_per_s: Mapping[str, float | Array]
    products_w: Mapping[str, float | Array]
    products_room_w: float | Array
    peak_bytes_per_s: float | Array
    memory_w: float | Array
    memory_room_w: float | Array

    @property
    def blocks_w(self) -> Mapping[str, float | Array]:
        """W by block at the activity, with clocks and control on the digital work; leakage is always there."""
        a = self.activity
        share = {
            MATRIX: a.matrix_frac,
            VECTOR: a.vector_frac,
            SRAM: a.sram_frac,
            FABRIC: a.fabric_frac,
            INTERFACE: a.memory_frac,
            STACKS: a.memory_frac,
            LINKS: a.links_frac,
            HOST: a.links_frac,
            DIE_LINKS: a.fabric_frac,
        }
        blocks = {name: w * share.get(name, 1.0) for name, w in self.at_peak_w.items()}
        digital = sum(blocks[name] for name in (MATRIX, VECTOR, SRAM, FABRIC))
        return blocks | {CLOCKS: digital * self.overhead_frac}

    @property
    def total_w(self) -> float | Array:
        """The sum of the blocks."""
        return sum(self.blocks_w.values())

    @property
    def flop_per_s_under_cap(self) -> Mapping[str, float | Array]:
        """What of the peak rates fits under the design's cap in a step bound by products, by key of `rate_frac`."""
        room = self.products_room_w
        return {key: self.peak_flop_per_s[key] * np.minimum(room / w, 1.0) for key, w in self.products_w.items()}

    @property
    def memory_bytes_per_s_under_cap(self) -> float | Array:
        """What of the memory's bandwidth fits under the design's cap in a step bound by memory."""
        return self.peak_bytes_per_s * np.minimum(self.memory_room_w / np.maximum(self.memory_w, 1e-9), 1.0)


def bound_by_products(technology: Technology) -> Activity:
    """A step whose products take longest: large prompts."""
    full, half = technology.bound_frac, technology.beside_frac
    return Activity(full, half, full, half, half, half)


def power(design: Design, technology: Technology, area: Area, activity: Activity | None = None) -> Power:
    """The power of the package at an activity (None = at TDP); n designs with central figures, or one with n samples.

    Energies per operation: Horowitz 2014 (ISSCC), Jouppi et al. 2021 (ISCA), table 2, times what the process saves.
    """
    t = technology
    over = 1.0 + t.power_overhead_frac
    matrix = matrix_w(design, t)
    peak = _at_peak(design, t, area, matrix)
    products = over * (peak[MATRIX] + peak[SRAM])
    memory = over * peak[FABRIC] + peak[INTERFACE] + peak[STACKS] + peak[DIE_LINKS]
    rest = t.beside_frac * (over * peak[VECTOR] + peak[LINKS] + peak[HOST]) + peak[LEAKAGE]
    hot = rest + t.bound_frac * products + t.beside_frac * memory
    streaming = rest + t.beside_frac * products + t.bound_frac * memory
    tdp = np.maximum(hot, streaming)
    of_products = np.where(hot >= streaming, t.bound_frac, t.beside_frac)
    of_memory = np.where(hot >= streaming, t.beside_frac, t.bound_frac)
    if activity is None:
        activity = Activity(of_products, t.beside_frac, of_products, of_memory, of_memory, t.beside_frac)
    chosen = {**peak, MATRIX: matrix[activity.format]} if activity.format else peak
    dies_mm2 = design.compute_dies_count * area.compute_die_mm2 + design.io_dies_count * area.io_die_mm2
    stacks = peak[INTERFACE] + peak[STACKS]
    flop = peak_flop_per_s(design)
    return Power(
        at_peak_w=chosen,
        activity=activity,
        overhead_frac=t.power_overhead_frac,
        tdp_w=tdp,
        w_per_mm2=(tdp - peak[STACKS] * of_memory) / dies_mm2,
        peak_flop_per_s={key: flop[pair(key)] for key in matrix},
        products_w={key: over * w for key, w in matrix.items()},
        products_room_w=np.maximum(design.power_cap_w - (hot - over * t.bound_frac * peak[MATRIX]), 0.0),
        peak_bytes_per_s=stacks_bytes_per_s(design, t),
        memory_w=stacks,
        memory_room_w=np.maximum(design.power_cap_w - (streaming - stacks * t.bound_frac), 0.0),
    )


def matrix_w(design: Design, technology: Technology) -> dict[str, float | Array]:
    """W of the multipliers at full rate by key of `rate_frac`; a pair costs what its wider operand does."""
    j = technology.matrix_j_per_flop
    flop = peak_flop_per_s(design)
    pairs = {key: pair(key) for key in design.rate_frac}
    return {key: flop[w, a] * np.maximum(j[w], j[a]) for key, (w, a) in pairs.items()}


def _at_peak(
    design: Design, t: Technology, area: Area, matrix: Mapping[str, float | Array]
) -> dict[str, float | Array]:
    """W by block with everything at its peak rate in the hottest format, without clocks and control."""
    hottest: float | Array = 0.0
    for w in matrix.values():
        hottest = np.maximum(hottest, w)
    slices = design.active_slices_count
    lanes = slices * design.vector_lanes_per_slice_count
    to_middle_mm = 0.5 * np.sqrt(area.compute_die_mm2)
    fabric = slices * design.fabric_bandwidth_per_slice_bytes_per_s
    memory = stacks_bytes_per_s(design, t)
    links = design.scale_up_bytes_per_s + design.scale_out_bytes_per_s
    between = design.compute_dies_count * die_link_bytes_per_s(design, t)
    return {
        MATRIX: hottest,
        VECTOR: lanes * design.clock_count_per_s * (2.0 * t.vector_j_per_flop + t.lane_j),
        SRAM: slices * design.sram_bandwidth_per_slice_bytes_per_s * t.sram_j_per_byte,
        FABRIC: fabric * to_middle_mm * t.wire_j_per_byte_per_mm,
        INTERFACE: memory * t.memory_interface_j_per_byte,
        LINKS: 2.0 * links * t.link_j_per_byte,  # both directions
        HOST: 2.0 * design.host_bytes_per_s * t.host_j_per_byte,
        DIE_LINKS: 2.0 * between * t.die_link_j_per_byte,
        LEAKAGE: design.compute_dies_count * area.compute_die_mm2 * t.leakage_w_per_mm2
        + design.io_dies_count * area.io_die_mm2 * t.io_leakage_w_per_mm2,
        STACKS: memory * t.memory_stack_j_per_byte,
    }
