"""Power of a package, block by block, at a given activity; TDP; what fits under a cap.

Work times its energy, clocks and control as a share on top of the work of the dies, and leakage by area.
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
    """Shares of the peak rates in use, all 1 at TDP; `format` is a key of `rate_frac` ("" = the hottest)."""

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

    `blocks_w` sum to `total_w` at the activity asked for; `tdp_w` has everything at full rate in the hottest format.
    `w_per_mm2` is TDP without the memory stacks over the area of all dies. Under the design's cap fit
    `flop_per_s_under_cap` (by key of `rate_frac`, all else as at TDP) and `memory_bytes_per_s_under_cap`
    (the matrix units' work running at full).
    """

    blocks_w: Mapping[str, float | Array]
    total_w: float | Array
    tdp_w: float | Array
    w_per_mm2: float | Array
    flop_per_s_under_cap: Mapping[str, float | Array]
    memory_bytes_per_s_under_cap: float | Array


def power(design: Design, technology: Technology, area: Area, activity: Activity | None = None) -> Power:
    """The power of the package at an activity (None = at TDP); n designs with central figures, or one with n samples.

    Energies per operation: Horowitz 2014 (ISSCC), Jouppi et al. 2021 (ISCA), table 2, times what the process saves.
    """
    full = Activity()
    most = _blocks(design, technology, area, full)
    blocks = most if activity is None else _blocks(design, technology, area, activity)
    tdp = sum(most.values())
    over = 1.0 + technology.power_overhead_frac
    silicon = design.compute_dies_count * area.compute_die_mm2 + design.io_dies_count * area.io_die_mm2
    matrix = {key: over * w for key, w in _matrix_w(design, technology).items()}
    rest = tdp - over * most[MATRIX]
    peak = {key: peak_flop_per_s(design)[pair(key)] for key in design.rate_frac}
    room = np.maximum(design.power_cap_w - rest, 0.0)
    bandwidth = stacks_bytes_per_s(design, technology)
    per_byte = over * technology.memory_interface_j_per_byte + technology.memory_stack_j_per_byte
    spare = np.maximum(design.power_cap_w - (tdp - per_byte * bandwidth), 0.0)
    return Power(
        blocks_w=blocks,
        total_w=sum(blocks.values()),
        tdp_w=tdp,
        w_per_mm2=(tdp - most[STACKS]) / silicon,
        flop_per_s_under_cap={key: peak[key] * np.minimum(room / matrix[key], 1.0) for key in peak},
        memory_bytes_per_s_under_cap=np.minimum(spare / np.maximum(per_byte, 1e-300), bandwidth),
    )


def _matrix_w(design: Design, technology: Technology) -> dict[str, float | Array]:
    """W of the multipliers at full rate by key of `rate_frac`; a pair costs what its wider operand does."""
    j = technology.matrix_j_per_flop
    peak = peak_flop_per_s(design)
    return {key: peak[pair(key)] * np.maximum(j[pair(key)[0]], j[pair(key)[1]]) for key in design.rate_frac}


def _blocks(design: Design, t: Technology, area: Area, activity: Activity) -> dict[str, float | Array]:
    """W by block; the blocks of the dies' work first, then what is charged on them."""
    by_format = _matrix_w(design, t)
    if activity.format:
        matrix = by_format[activity.format]
    else:
        matrix = np.maximum.reduce(np.broadcast_arrays(*by_format.values()))
    slices = design.active_slices_count
    lanes = slices * design.vector_lanes_per_slice_count
    wire_mm = 0.5 * np.sqrt(area.compute_die_mm2)  # from a slice to the middle of the die
    memory = stacks_bytes_per_s(design, t) * activity.memory_frac
    both = 2.0 * activity.links_frac  # the two directions of a link
    work = {
        MATRIX: matrix * activity.matrix_frac,
        VECTOR: lanes * 2.0 * design.clock_count_per_s * t.vector_j_per_flop * activity.vector_frac,
        SRAM: slices * design.sram_bandwidth_per_slice_bytes_per_s * t.sram_j_per_byte * activity.sram_frac,
        FABRIC: slices
        * design.fabric_bandwidth_per_slice_bytes_per_s
        * t.wire_j_per_byte_per_mm
        * wire_mm
        * activity.fabric_frac,
        INTERFACE: memory * t.memory_interface_j_per_byte,
        LINKS: (design.scale_up_bytes_per_s + design.scale_out_bytes_per_s) * t.link_j_per_byte * both,
        HOST: design.host_bytes_per_s * t.host_j_per_byte * both,
        DIE_LINKS: design.compute_dies_count * die_link_bytes_per_s(design, t) * t.die_link_j_per_byte * both,
    }
    return work | {
        CLOCKS: sum(work.values()) * t.power_overhead_frac,
        LEAKAGE: design.compute_dies_count * area.compute_die_mm2 * t.leakage_w_per_mm2
        + design.io_dies_count * area.io_die_mm2 * t.io_leakage_w_per_mm2,
        STACKS: memory * t.memory_stack_j_per_byte,
    }
