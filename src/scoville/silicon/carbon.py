"""Embodied carbon of one good package: what making it put into the air (CO2 equivalent), by ACT's model.

Gupta et al., "ACT: Designing Sustainable Computer Systems With an Architectural Carbon Modeling Tool", ISCA 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.facts import Draws, Facts
from scoville.silicon.area import Area
from scoville.silicon.cost import DIES, INTERPOSER, IO_DIES, LOST, MEMORY, Prices, UnitCost, drawn, known_process
from scoville.silicon.cost import stack_bytes as bytes_of_a_stack
from scoville.silicon.design import Array, Design, needs_interposer

PACKAGING = "packaging"
_NEEDED = ("gas_emissions", "fab_energy")
_INTERPOSER_PROCESS = "process-n28"  # the oldest that ACT knows


@dataclass(frozen=True, slots=True, eq=False)
class Carbon:
    """kg of CO2 equivalent of one good package; `parts_kg` sums to `total_kg`. Shapes as the unit cost's."""

    parts_kg: Mapping[str, Array]
    total_kg: Array


def embodied(
    design: Design, area: Area, unit: UnitCost, prices: Prices, facts: Facts, draws: Draws | None = None
) -> Carbon:
    """Carbon of dies, interposer, memory and packaging, and of what packaging loses, with the yields of `unit`.

    A good mm2 costs (gas + fab energy x grid + materials) / yield. Memory goes by capacity. An interposer counts as
    28 nm, an upper bound for its few layers. Raises DesignError for a process without figures.
    """

    def of(subject: str, name: str) -> float | Array:
        return drawn(facts.get(subject, name), draws)

    def per_mm2(process: str) -> float | Array:
        energy = of(process, "fab_energy") * of("foundry", "grid_emissions")
        return of(process, "gas_emissions") + energy + of("foundry", "materials_emissions")

    dies = design.compute_dies_count
    compute = dies * area.compute_die_mm2 * per_mm2(known_process(design.process, facts, _NEEDED))
    compute = compute / unit.die_yield_frac
    links: float | Array = 0.0
    parts_count = dies
    if design.io_process:
        links = design.io_dies_count * area.io_die_mm2 * per_mm2(known_process(design.io_process, facts, _NEEDED))
        links = links / unit.io_die_yield_frac
        parts_count = parts_count + design.io_dies_count
    interposer = unit.interposer_mm2 * per_mm2(_INTERPOSER_PROCESS) / unit.interposer_yield_frac
    memory: float | Array = 0.0
    if design.memory != "none":
        kind = "hbm_per_gb" if needs_interposer(design.memory) else "dram_per_gb"
        memory = design.stacks_count * bytes_of_a_stack(design, prices) / 1e9 * of("memory-emissions", kind)
        parts_count = parts_count + design.stacks_count
    on_package = memory if design.package.startswith("cowos") else 0.0
    parts: dict[str, float | Array] = {
        DIES: compute,
        IO_DIES: links,
        MEMORY: memory,
        INTERPOSER: interposer,
        PACKAGING: parts_count * of("packaging", "emissions"),
        LOST: (compute + links + interposer + on_package) * (1 / unit.package_yield_frac - 1),
    }
    total: Array = np.asarray(sum(parts.values()), float)
    return Carbon({name: np.broadcast_to(np.asarray(kg, float), total.shape) for name, kg in parts.items()}, total)
