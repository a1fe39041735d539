"""What a design may not break: memory that it reaches, the reticle, the die's edge, the power cap.

`excess` says by how much each limit is passed over n designs, `check` refuses one design in words.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DesignError
from scoville.silicon.area import (
    DIE_LINKS,
    OVERHEAD,
    Area,
    die_link_bytes_per_s,
    die_sides_mm,
    memory_edge_mm,
    outside_bytes_per_s,
)
from scoville.silicon.design import Array, Design, needs_interposer
from scoville.silicon.power import CLOCKS, Power
from scoville.silicon.technology import Technology

MEMORY, RETICLE, IO_RETICLE = "memory", "reticle", "I/O die's reticle"
MEMORY_EDGE, LINK_EDGE, CAP = "edge for memory PHYs", "edge for links", "power cap"


def excess(design: Design, area: Area, power: Power, technology: Technology) -> Mapping[str, float | Array]:
    """By limit, how much a design is over it (mm2, mm, W; 1 without memory that the dies reach), 0 or less if it fits.

    Memory PHYs stand along the two long sides of a compute die, half on each, which may be drawn out for them; links,
    and PHYs to other dies, along the short ones. A TDP counts as over the cap once it is so by more than the model's
    own error.
    """
    t = technology
    field_mm2 = t.reticle_width_mm * t.reticle_height_mm
    edge = memory_edge_mm(design, t)
    width, height = die_sides_mm(area.compute_die_mm2, t, edge)
    between = die_link_bytes_per_s(design, t) * t.die_link_mm_per_bytes_per_s
    links = 0.0 if design.io_process else outside_bytes_per_s(design) / design.compute_dies_count
    if design.memory == "none":
        without = (design.slices_count * design.sram_per_slice_bytes + design.sram_shared_bytes) <= 0
    else:
        without = (np.asarray(design.stacks_count) <= 0) | _unreachable(design)
    missing: float | Array = np.asarray(without, dtype=np.float64)
    return {
        MEMORY: missing,
        RETICLE: area.compute_die_mm2 - field_mm2,
        IO_RETICLE: area.io_die_mm2 - field_mm2,
        MEMORY_EDGE: edge - height,
        LINK_EDGE: links * t.link_mm_per_bytes_per_s + between - 2.0 * width,
        CAP: power.tdp_w - design.power_cap_w * (1.0 + t.tdp_error_frac),
    }


def broken(design: Design, area: Area, power: Power, technology: Technology) -> NDArray[np.bool_]:
    """Which of n designs break any limit, shape (n,) or ()."""
    over = excess(design, area, power, technology)
    found = np.asarray(over[MEMORY]) > 0
    for by in over.values():
        found = found | (np.asarray(by) > 0)
    return found


def check(design: Design, area: Area, power: Power, technology: Technology) -> None:
    """Refuses one design that breaks a limit. Raises DesignError: the block, the limit, and by how much."""
    t = technology
    over = {name: float(np.asarray(by)) for name, by in excess(design, area, power, t).items()}
    field = f"{t.reticle_width_mm:g} x {t.reticle_height_mm:g} mm"
    if over[MEMORY] > 0:
        if design.memory != "none" and _unreachable(design) and float(np.asarray(design.stacks_count)) > 0:
            raise DesignError(
                f"{design.id}: the memory '{design.memory}' has more wires than the package '{design.package}' "
                "carries; expected cowos-s or cowos-l, or lpddr5x or gddr6"
            )
        what = "memory.kind is 'none' and there is no SRAM" if design.memory == "none" else "memory.stacks is 0"
        raise DesignError(f"{design.id}: a chip without memory: {what}; expected stacks of a kind, or SRAM")
    if over[RETICLE] > 0:
        raise DesignError(
            f"{design.id}: the compute die's {float(area.compute_die_mm2):,.0f} mm2 are {over[RETICLE]:,.0f} mm2 over "
            f"the reticle's {field}; {_largest(area.blocks_mm2, 'mm2')}"
        )
    if over[IO_RETICLE] > 0:
        raise DesignError(
            f"{design.id}: the I/O die's {float(area.io_die_mm2):,.0f} mm2 are {over[IO_RETICLE]:,.0f} mm2 over "
            f"the reticle's {field}; {_largest(area.io_blocks_mm2, 'mm2')}"
        )
    edge = memory_edge_mm(design, t)
    width, height = (float(side) for side in die_sides_mm(area.compute_die_mm2, t, edge))
    if over[MEMORY_EDGE] > 0:
        raise DesignError(
            f"{design.id}: the memory PHYs of {float(design.stacks_count):g} stacks need "
            f"{float(edge):.1f} mm of a long side of the compute die, {over[MEMORY_EDGE]:.1f} mm more than the "
            f"{height:.1f} mm that {float(area.compute_die_mm2):,.0f} mm2 can have; fewer stacks or more dies fit"
        )
    if over[LINK_EDGE] > 0:
        what = DIE_LINKS if design.io_process else "links"
        raise DesignError(
            f"{design.id}: the {what} need {over[LINK_EDGE] + 2 * width:.1f} mm of the short sides of the compute die, "
            f"{over[LINK_EDGE]:.1f} mm more than their {2 * width:.1f} mm; less bandwidth or an I/O die fits"
        )
    if over[CAP] > 0:
        tdp, cap = float(power.tdp_w), float(np.asarray(design.power_cap_w))
        raise DesignError(
            f"{design.id}: the TDP of {tdp:,.0f} W is {tdp - cap:,.0f} W over the power cap of {cap:,.0f} W, more than "
            f"the model's error of {t.tdp_error_frac:.0%}; {_largest(power.blocks_w, 'W')}"
        )


def _unreachable(design: Design) -> bool:
    return needs_interposer(design.memory) and not design.package.startswith("cowos")


def _largest(blocks: Mapping[str, float | Array], unit: str) -> str:
    """What a designer can change that takes the most: a block, not the share that lies on all of them."""
    own = {name: float(np.asarray(value)) for name, value in blocks.items() if name not in (OVERHEAD, CLOCKS)}
    name = max(own, key=own.__getitem__)
    return f"{name} {'take' if name.endswith('s') else 'takes'} the most, {own[name]:,.0f} {unit}"
