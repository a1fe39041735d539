"""What a process, a memory and a package are worth per unit: densities, PHYs, energies, drawn from their facts.

Figures of matrix and vector units are of N7 and go to other processes by logic density (areas) and by the energy that
foundries state for the same work; PHYs and links hardly shrink and are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoville.errors import DesignError, nearest
from scoville.facts import Draws, Facts
from scoville.facts.names import FORMATS
from scoville.silicon.design import Array, Design

_REFERENCE = "process-n7"
# What area and power are computed from, a process needs all of it.
NEEDED = ("logic_density", "sram_bitcell_area", "logic_energy", "leakage")


@dataclass(frozen=True, slots=True, eq=False)
class Technology:
    """Unit areas, edges and energies for one design's words; floats, or arrays of one shape (samples,).

    By format: `cell_mm2` of a cell with one product a clock, `matrix_j_per_flop`. PHY figures are per stack;
    `*_mm_per_bytes_per_s` is die edge; a die's sides have the reticle's ratio, or up to `aspect_ratio_frac`.
    `lane_j` is what a lane's instruction takes a clock beside its arithmetic. `overhead_frac` is what a die has beside
    its blocks, over the blocks; `power_overhead_frac` is clocks, control and regulators over the digital work; a TDP
    may be `tdp_error_frac` off. At TDP, what bounds the step has `bound_frac` of its peak and all else `beside_frac`.
    """

    cell_mm2: Mapping[str, float | Array]
    further_format_frac: float | Array
    vector_lane_mm2: float | Array
    slice_sram_mm2_per_byte: float | Array
    shared_sram_mm2_per_byte: float | Array
    fabric_mm2_per_bytes_per_s: float | Array
    link_mm2_per_bytes_per_s: float | Array
    host_mm2_per_bytes_per_s: float | Array
    die_link_mm2_per_bytes_per_s: float | Array
    link_mm_per_bytes_per_s: float | Array
    die_link_mm_per_bytes_per_s: float | Array
    memory_mm2: float | Array
    memory_edge_mm: float | Array
    stack_width_mm: float | Array
    stack_height_mm: float | Array
    stack_bytes: float | Array
    stack_bytes_per_s: float | Array
    overhead_frac: float | Array
    reticle_width_mm: float
    reticle_height_mm: float
    aspect_ratio_frac: float
    matrix_j_per_flop: Mapping[str, float | Array]
    vector_j_per_flop: float | Array
    lane_j: float | Array
    sram_j_per_byte: float | Array
    wire_j_per_byte_per_mm: float | Array
    memory_interface_j_per_byte: float | Array
    memory_stack_j_per_byte: float | Array
    link_j_per_byte: float | Array
    host_j_per_byte: float | Array
    die_link_j_per_byte: float | Array
    leakage_w_per_mm2: float | Array
    io_leakage_w_per_mm2: float | Array
    power_overhead_frac: float | Array
    tdp_error_frac: float
    bound_frac: float
    beside_frac: float


def technology(design: Design, facts: Facts, draws: Draws | None = None) -> Technology:
    """The figures for the design's process, memory and package: central ones as floats, or drawn, shape (draws.n,).

    Raises DesignError for a process or memory that nothing is known of, FactError for a figure that is missing.
    """
    process = _known(design.process, "process", facts, f"{design.id}: compute.process")
    io = _known(design.io_process, "process", facts, f"{design.id}: io.process") if design.io_process else process
    stack = _known(design.memory, "memory", facts, f"{design.id}: memory.kind") if design.memory != "none" else ""

    def of(subject: str, name: str) -> float | Array:
        fact = facts.get(subject, name)
        return fact.number if draws is None or draws.n == 1 else draws.sample(fact)

    def memory(name: str) -> float | Array:
        return of(stack, name) if stack else 0.0

    smaller = of(_REFERENCE, "logic_density") / of(process, "logic_density")
    link_smaller = of(_REFERENCE, "logic_density") / of(io, "logic_density")
    energy = of(process, "logic_energy")
    cell = of("matrix-unit", "area_bf16") * smaller
    multiply = of("matrix-unit", "energy_bf16") * energy
    byte = 8.0 * of(process, "sram_bitcell_area")
    memory_energy = memory("energy")
    on_die = of("interface-energy", "memory_share_on_die")
    return Technology(
        cell_mm2={f: cell * of("matrix-unit", f"area_share_{f}") for f in FORMATS},
        further_format_frac=of("matrix-unit", "further_format_share"),
        vector_lane_mm2=of("chip-overhead", "lane_area") * smaller,
        slice_sram_mm2_per_byte=byte / of("sram", "slice_efficiency"),
        shared_sram_mm2_per_byte=byte / of("sram", "shared_efficiency"),
        fabric_mm2_per_bytes_per_s=of("fabric", "area") * smaller,
        link_mm2_per_bytes_per_s=of("interface-area", "link") + of("interface-area", "link_controller") * link_smaller,
        host_mm2_per_bytes_per_s=of("interface-area", "host_link"),
        die_link_mm2_per_bytes_per_s=of("interface-area", "die_to_die"),
        link_mm_per_bytes_per_s=of("interface-edge", "link"),
        die_link_mm_per_bytes_per_s=of("interface-edge", "die_to_die"),
        memory_mm2=memory("phy_area") + memory("channels") * of("interface-area", "memory_controller") * smaller,
        memory_edge_mm=memory("phy_edge"),
        stack_width_mm=memory("width"),
        stack_height_mm=memory("height"),
        stack_bytes=memory("capacity"),
        stack_bytes_per_s=memory("bandwidth"),
        overhead_frac=of("chip-overhead", "area"),
        reticle_width_mm=facts.get("reticle", "width").number,
        reticle_height_mm=facts.get("reticle", "height").number,
        aspect_ratio_frac=facts.get("reticle", "die_aspect").number,
        matrix_j_per_flop={f: multiply * of("matrix-unit", f"energy_share_{f}") for f in FORMATS},
        vector_j_per_flop=of("vector-unit", "energy") * energy,
        lane_j=of("chip-overhead", "lane_energy") * energy,
        sram_j_per_byte=of("energy", "large_sram") * energy,
        wire_j_per_byte_per_mm=of("fabric", "energy"),
        memory_interface_j_per_byte=memory_energy * on_die,
        memory_stack_j_per_byte=memory_energy * (1 - on_die),
        link_j_per_byte=of("energy", "board_serdes"),
        host_j_per_byte=of("energy", "board_serdes"),
        die_link_j_per_byte=of("energy", "interposer_link"),
        leakage_w_per_mm2=of(process, "leakage"),
        io_leakage_w_per_mm2=of(io, "leakage"),
        power_overhead_frac=of("chip-overhead", "power"),
        tdp_error_frac=facts.get("chip-overhead", "tdp_error").number,
        bound_frac=facts.get("tdp-activity", "bound").number,
        beside_frac=facts.get("tdp-activity", "beside").number,
    )


def _known(word: str, kind: str, facts: Facts, field: str) -> str:
    """The subject of a process or memory kind. Raises DesignError naming those that areas are known of."""
    subjects = facts.subjects("process" if kind == "process" else "memory")
    asked = NEEDED if kind == "process" else ("phy_area",)
    known = [s for s in subjects if all(facts.find(s, name) for name in asked)]
    if f"{kind}-{word}" not in known:
        words = [s.removeprefix(f"{kind}-") for s in known]
        raise DesignError(f"{field}: the {kind} '{word}' is unknown; {nearest(word, words)}")
    return f"{kind}-{word}"
