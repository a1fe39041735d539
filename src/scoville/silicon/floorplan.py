"""Where everything stands, to scale: dies, memory sites and blocks as rectangles in millimetres, drawn elsewhere.

Compute dies stand in a column with their long sides upright, memory to the left and right of them, an I/O die on top.
On a die, memory PHYs line the long sides beside their stacks, links the top and PHYs to other dies the bottom; between
them a band of shared SRAM and network, and a grid of slices above and below it. What a die has beside its blocks is
the space that stays free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from scoville.errors import DesignError
from scoville.silicon.area import (
    DIE_LINKS,
    FABRIC,
    HOST,
    LINKS,
    MATRIX,
    MEMORY_PHY,
    OVERHEAD,
    SHARED_SRAM,
    SLICE_SRAM,
    VECTOR,
    Area,
    die_sides_mm,
    memory_edge_mm,
)
from scoville.silicon.design import Design
from scoville.silicon.technology import Technology

COMPUTE_DIE, IO_DIE, SITE, SLICE = "compute die", "I/O die", "memory site", "slice"
_GAP_MM = 0.5


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Lower left corner and sides. `kind` is a block's name, or a die, memory site or slice; `inside` names its parent.

    Rectangles with one parent do not overlap, and lie within it.
    """

    name: str
    kind: str
    inside: str
    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float

    @property
    def area_mm2(self) -> float:
        """Its area."""
        return self.width_mm * self.height_mm


@dataclass(frozen=True, slots=True)
class Floorplan:
    """All rectangles, parents before what is in them, in a field of `width_mm` x `height_mm` from the origin."""

    rectangles: tuple[Rectangle, ...]
    width_mm: float
    height_mm: float


def floorplan(design: Design, area: Area, technology: Technology) -> Floorplan:
    """The floorplan of one design with central figures.

    Raises DesignError where the memory PHYs do not fit the die's edge, or the slices between them.
    """
    dies, stacks = int(design.compute_dies_count), int(design.stacks_count)
    edge = memory_edge_mm(design, technology)
    width, height = (float(side) for side in die_sides_mm(area.compute_die_mm2, technology, edge))
    if edge > height:
        raise DesignError(
            f"{design.id}: the memory PHYs need {float(edge):.1f} mm of the die's long side of {height:.1f}; "
            "fewer stacks or more dies fit"
        )
    site_width, site_height = float(technology.stack_height_mm), float(technology.stack_width_mm)
    margin = site_width + _GAP_MM if stacks else 0.0
    pitch = max(height, math.ceil(math.ceil(stacks / dies) / 2) * (site_height + _GAP_MM)) + _GAP_MM
    found: list[Rectangle] = []
    for die in range(dies):
        name = f"compute die {die + 1}"
        bottom = die * pitch + (pitch - _GAP_MM - height) / 2
        outline = Rectangle(name, COMPUTE_DIE, "", margin, bottom, width, height)
        found.append(outline)
        here = stacks * (die + 1) // dies - stacks * die // dies
        phys: list[Rectangle] = []
        for side, count in ((0, here - here // 2), (1, here // 2)):
            for nth in range(count):
                middle = bottom + height * (nth + 0.5) / count
                spread = bottom + height / 2 + (nth + 0.5 - count / 2) * (site_height + _GAP_MM)
                left = 0.0 if side == 0 else margin + width + _GAP_MM
                number = sum(r.kind == SITE for r in found) + 1
                y = (middle if count * (site_height + _GAP_MM) <= height else spread) - site_height / 2
                found.append(Rectangle(f"{design.memory} {number}", SITE, "", left, y, site_width, site_height))
                phys.append(_phy(design, area, technology, name, number, margin, width, middle, side))
        found += phys + _inside(design, area, outline, phys)
    top = dies * pitch
    if design.io_process:
        found += _io_dies(design, area, technology, margin + width / 2, top)
    left, low = min(r.x_mm for r in found), min(r.y_mm for r in found)
    found = [replace(r, x_mm=r.x_mm - left, y_mm=r.y_mm - low) for r in found]
    return Floorplan(
        tuple(found),
        max(r.x_mm + r.width_mm for r in found),
        max(r.y_mm + r.height_mm for r in found),
    )


def _phy(
    design: Design, area: Area, t: Technology, die: str, number: int, x: float, width: float, y: float, side: int
) -> Rectangle:
    """One stack's PHY on the left (side 0) or right edge of a die that begins at x."""
    edge = float(t.memory_edge_mm)
    deep = float(area.blocks_mm2[MEMORY_PHY]) / float(design.stacks_count / design.compute_dies_count) / edge
    left = x if side == 0 else x + width - deep
    return Rectangle(f"PHY {number}", MEMORY_PHY, die, left, y - edge / 2, deep, edge)


def _inside(design: Design, area: Area, die: Rectangle, phys: list[Rectangle]) -> list[Rectangle]:
    """The blocks of one compute die between its PHYs."""
    die_name = die.name
    mm2 = {name: float(np.asarray(block)) for name, block in area.blocks_mm2.items()}
    left = max((p.width_mm for p in phys if p.x_mm == die.x_mm), default=0.0)
    right = max((p.width_mm for p in phys if p.x_mm > die.x_mm), default=0.0)
    x, width = die.x_mm + left, die.width_mm - left - right
    y, top = die.y_mm, die.y_mm + die.height_mm
    found: list[Rectangle] = []
    if mm2[DIE_LINKS] > 0:
        found.append(_band(DIE_LINKS, die_name, x, y, width, mm2[DIE_LINKS]))
        y += found[-1].height_mm
    ports = mm2.get(LINKS, 0.0) + mm2.get(HOST, 0.0)
    if ports > 0:
        deep = ports / width
        top -= deep
        begin = x
        for name in (LINKS, HOST):
            if mm2[name] > 0:
                found.append(Rectangle(f"{die_name} {name}", name, die_name, begin, top, mm2[name] / deep, deep))
                begin += mm2[name] / deep
    bands = [name for name in (SHARED_SRAM, FABRIC) if mm2[name] > 0]
    deep = sum(mm2[name] for name in bands) / width
    field = top - y - deep
    slices = int(design.slices_count)
    in_slice = {name: mm2[name] / slices for name in (MATRIX, VECTOR, SLICE_SRAM) if mm2[name] > 0}
    columns, rows = _grid(slices, max(width, 1e-9), max(field, 1e-9))
    cell_width, cell_height = width / columns, field / rows
    if field <= 0 or width <= 0 or cell_width * cell_height < sum(in_slice.values()):
        raise DesignError(
            f"{design.id}: the slices need {slices * sum(in_slice.values()):,.0f} mm2 and "
            f"{max(field, 0.0) * max(width, 0.0):,.0f} are left between the memory PHYs, which leave {width:.1f} mm of "
            f"the die's {die.width_mm:.1f}; fewer stacks fit"
        )
    below = rows // 2
    middle = y + below * cell_height
    begin = middle
    for name in bands:
        found.append(_band(name, die_name, x, begin, width, mm2[name]))
        begin += found[-1].height_mm
    for nth in range(slices):
        row, column = divmod(nth, columns)
        low = y + row * cell_height if row < below else middle + deep + (row - below) * cell_height
        found += _slice(die_name, nth + 1, x + column * cell_width, low, cell_width, cell_height, in_slice)
    return found


def _band(name: str, die: str, x: float, y: float, width: float, mm2: float) -> Rectangle:
    return Rectangle(f"{die} {name}", name, die, x, y, width, mm2 / width)


def _slice(
    die: str, number: int, x: float, y: float, width: float, height: float, blocks: dict[str, float]
) -> list[Rectangle]:
    """One slice, and its blocks side by side from its left, each as high as the slice."""
    name = f"{die} slice {number}"
    found = [Rectangle(name, SLICE, die, x, y, width, height)]
    for block, mm2 in blocks.items():
        found.append(Rectangle(f"{name} {block}", block, name, x, y, mm2 / height, height))
        x += mm2 / height
    return found


def _grid(count: int, width: float, height: float) -> tuple[int, int]:
    """(columns, rows) for so many cells: few left empty, and the cells near to squares."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        shape = (width / columns) / (height / rows)
        return 2.0 * (columns * rows / count - 1.0) + abs(math.log(shape))

    columns = min(range(1, count + 1), key=cost)
    return columns, math.ceil(count / columns)


def _io_dies(design: Design, area: Area, t: Technology, centre: float, y: float) -> list[Rectangle]:
    """The I/O dies in a row on top of the column, long sides along it, their blocks as bands."""
    deep, wide = (float(side) for side in die_sides_mm(area.io_die_mm2, t))
    count = int(design.io_dies_count)
    x = centre - (count * wide + (count - 1) * _GAP_MM) / 2
    found: list[Rectangle] = []
    for die in range(count):
        name = f"I/O die {die + 1}"
        found.append(Rectangle(name, IO_DIE, "", x, y, wide, deep))
        begin = y
        for block, mm2 in area.io_blocks_mm2.items():
            if block != OVERHEAD and float(np.asarray(mm2)) > 0:
                found.append(_band(block, name, x, begin, wide, float(np.asarray(mm2))))
                begin += found[-1].height_mm
        x += wide + _GAP_MM
    return found
