"""Area of a compute die and of an I/O die, block by block.

A block is its count times its unit area; what lies between them (clocks, control, test, white space) is a share on
top, fitted on two chips (docs/silicon.md). A multiplier of composed parts serves several formats: its area is that of
the most demanding one, and each further format adds its wiring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.silicon.design import Array, Design
from scoville.silicon.peak import pair
from scoville.silicon.technology import Technology

MATRIX, VECTOR, SLICE_SRAM, SHARED_SRAM = "matrix units", "vector units", "slice SRAM", "shared SRAM"
FABRIC, MEMORY_PHY, LINKS, HOST, DIE_LINKS = "fabric", "memory PHYs", "links", "host link", "die-to-die links"
OVERHEAD = "overhead"


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """mm2, scalars or shape (n,): blocks of one compute die (they sum to it), of one I/O die (empty without one).

    `matrix_mm2` divides the matrix units by the format that asks for them.
    """

    blocks_mm2: Mapping[str, float | Array]
    io_blocks_mm2: Mapping[str, float | Array]
    matrix_mm2: Mapping[str, float | Array]
    compute_die_mm2: float | Array
    io_die_mm2: float | Array

    @property
    def silicon_mm2(self) -> float | Array:
        """One compute die and one I/O die."""
        return self.compute_die_mm2 + self.io_die_mm2


def area(design: Design, technology: Technology) -> Area:
    """The area of the design's dies; n designs with central figures, or one design with n samples.

    Source of the composition: Jouppi et al. 2021 (ISCA), table 2, and Zhang et al. 2024 (LLMCompass), section III-C,
    count arrays, lanes, SRAM macros and PHYs in this way; the constants are facts.
    """
    t = technology
    dies = design.compute_dies_count
    cells = design.slices_count * design.arrays_per_slice_count * design.rows_count * design.columns_count
    matrix = matrix_blocks(design, t)
    blocks: dict[str, float | Array] = {
        MATRIX: cells * sum(matrix.values()),
        VECTOR: design.slices_count * design.vector_lanes_per_slice_count * t.vector_lane_mm2,
        SLICE_SRAM: design.slices_count * design.sram_per_slice_bytes * t.slice_sram_mm2_per_byte,
        SHARED_SRAM: design.sram_shared_bytes * t.shared_sram_mm2_per_byte,
        FABRIC: design.slices_count * design.fabric_bandwidth_per_slice_bytes_per_s * t.fabric_mm2_per_bytes_per_s,
        MEMORY_PHY: design.stacks_count / dies * t.memory_mm2,
    }
    links = {
        LINKS: (design.scale_up_bytes_per_s + design.scale_out_bytes_per_s) * t.link_mm2_per_bytes_per_s,
        HOST: design.host_bytes_per_s * t.host_mm2_per_bytes_per_s,
    }
    between = die_link_bytes_per_s(design, t) * t.die_link_mm2_per_bytes_per_s
    blocks[DIE_LINKS] = between
    io_blocks: dict[str, float | Array] = {}
    if design.io_process:
        io = design.io_dies_count
        io_blocks = {name: mm2 / io for name, mm2 in links.items()}
        io_blocks[DIE_LINKS] = outside_bytes_per_s(design) / io * t.die_link_mm2_per_bytes_per_s
        io_blocks[OVERHEAD] = sum(io_blocks.values()) * t.overhead_frac
    else:
        blocks |= {name: mm2 / dies for name, mm2 in links.items()}
    blocks[OVERHEAD] = sum(blocks.values()) * t.overhead_frac
    return Area(
        blocks_mm2=blocks,
        io_blocks_mm2=io_blocks,
        matrix_mm2={key: cells * mm2 for key, mm2 in matrix.items()},
        compute_die_mm2=sum(blocks.values()),
        io_die_mm2=sum(io_blocks.values()),
    )


def matrix_blocks(design: Design, technology: Technology) -> dict[str, float | Array]:
    """mm2 of one cell by format: the most demanding one whole, of the others the share that composing them adds.

    A mixed pair runs on the multiplier of its wider operand and adds nothing.
    """
    alone = {key: rate * _cell_mm2(key, technology) for key, rate in design.rate_frac.items()}
    largest: float | Array = 0.0
    for mm2 in alone.values():
        largest = np.maximum(largest, mm2)
    extra = technology.further_format_frac
    asks = {key: 1.0 * (mm2 == largest) for key, mm2 in alone.items()}
    asking = sum(asks.values())
    return {
        key: mm2 * (1.0 - extra) * asks[key] / asking + (0.0 if "_" in key else mm2 * extra)
        for key, mm2 in alone.items()
    }


def _cell_mm2(key: str, technology: Technology) -> float | Array:
    weights, activations = pair(key)
    return np.maximum(technology.cell_mm2[weights], technology.cell_mm2[activations])


def memory_bytes_per_s(design: Design, technology: Technology) -> float | Array:
    """Bandwidth of all stacks of a package."""
    own = design.stack_bytes_per_s
    return design.stacks_count * np.where(np.asarray(own) > 0, own, technology.stack_bytes_per_s)


def outside_bytes_per_s(design: Design) -> float | Array:
    """What the package's links carry a direction."""
    return design.scale_up_bytes_per_s + design.scale_out_bytes_per_s + design.host_bytes_per_s


def die_link_bytes_per_s(design: Design, technology: Technology) -> float | Array:
    """What one compute die sends to its neighbours in the package, a direction.

    Each of several compute dies reads the others' memory (or takes the others' links) as fast as its own; an I/O die
    passes what the links carry.
    """
    dies = design.compute_dies_count
    own = np.maximum(memory_bytes_per_s(design, technology), outside_bytes_per_s(design)) / dies
    to_io = outside_bytes_per_s(design) / dies if design.io_process else 0.0
    return own * (np.asarray(dies) > 1) + to_io


def die_sides_mm(
    die_mm2: float | Array, technology: Technology, edge_mm: float | Array = 0.0
) -> tuple[float | Array, float | Array]:
    """(short side, long side) of a die with the proportions of the reticle, drawn out where its PHYs need the edge.

    It is drawn out to the reticle's height and `aspect_ratio_frac` at most.
    """
    t = technology
    most = np.minimum(np.sqrt(die_mm2 * t.aspect_ratio_frac), t.reticle_height_mm)
    alike = np.sqrt(die_mm2 * t.reticle_height_mm / t.reticle_width_mm)
    long = np.maximum(alike, np.minimum(edge_mm, most))
    return die_mm2 / long, long


def memory_edge_mm(design: Design, technology: Technology) -> float | Array:
    """What the memory PHYs need of each long side of a compute die, half of its stacks on either."""
    on_a_die = np.ceil(design.stacks_count / design.compute_dies_count)
    return np.ceil(on_a_die / 2.0) * technology.memory_edge_mm
