"""Floorplans: to scale, nothing overlaps, PHYs at the edges, memory beside the die."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from scoville.errors import DesignError
from scoville.facts import Facts, load
from scoville.silicon import Design, Floorplan, Rectangle, area, bundled, floorplan, read_design, technology
from scoville.silicon.area import MEMORY_PHY, OVERHEAD, Area
from scoville.silicon.floorplan import COMPUTE_DIE, IO_DIE, SITE, SLICE

NEAR = 1e-6


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def planned(design: Design, facts: Facts) -> tuple[Floorplan, Area]:
    t = technology(design, facts)
    size = area(design, t)
    return floorplan(design, size, t), size


def apart(rectangles: Iterable[Rectangle]) -> bool:
    """No two of them overlap: a sweep from left to right."""
    active: list[Rectangle] = []
    for r in sorted(rectangles, key=lambda r: r.x_mm):
        active = [a for a in active if a.x_mm + a.width_mm > r.x_mm + NEAR]
        if any(a.y_mm + NEAR < r.y_mm + r.height_mm and r.y_mm + NEAR < a.y_mm + a.height_mm for a in active):
            return False
        active.append(r)
    return True


VARIANTS = {
    **{id: {} for id in bundled()},
    "h100 with one stack": {"stacks_count": 1.0},
    "jalapeno without I/O die": {"io_process": "", "io_dies_count": 0.0},
    "jalapeno of three dies": {"compute_dies_count": 3.0},
    "jalapeno with two I/O dies": {"io_dies_count": 2.0},
    "jalapeno of 7 slices": {"slices_count": 7.0, "stacks_count": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_overlaps_and_everything_lies_in_its_parent(name: str, facts: Facts) -> None:
    plan, _ = planned(replace(read_design(name.split(maxsplit=1)[0]), **VARIANTS[name]), facts)
    named = {r.name: r for r in plan.rectangles}
    assert len(named) == len(plan.rectangles), "names are unique"
    children = defaultdict(list)
    for r in plan.rectangles:
        children[r.inside].append(r)
        parent = named.get(r.inside) or Rectangle("", "", "", 0.0, 0.0, plan.width_mm, plan.height_mm)
        assert parent.x_mm - NEAR <= r.x_mm and r.x_mm + r.width_mm <= parent.x_mm + parent.width_mm + NEAR, r
        assert parent.y_mm - NEAR <= r.y_mm and r.y_mm + r.height_mm <= parent.y_mm + parent.height_mm + NEAR, r
    assert all(apart(siblings) for siblings in children.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_block_has_its_area(name: str, facts: Facts) -> None:
    design = replace(read_design(name.split(maxsplit=1)[0]), **VARIANTS[name])
    plan, size = planned(design, facts)
    drawn: dict[str, float] = defaultdict(float)
    for r in plan.rectangles:
        drawn[r.kind] += r.area_mm2
    dies, io = float(design.compute_dies_count), float(design.io_dies_count)
    for block in {*size.blocks_mm2, *size.io_blocks_mm2} - {OVERHEAD}:
        whole = dies * float(size.blocks_mm2.get(block, 0.0)) + io * float(size.io_blocks_mm2.get(block, 0.0))
        assert drawn[block] == pytest.approx(whole), block
    assert drawn[COMPUTE_DIE] == pytest.approx(dies * float(size.compute_die_mm2))
    assert drawn[IO_DIE] == pytest.approx(io * float(size.io_die_mm2))
    kinds = [r.kind for r in plan.rectangles]
    assert kinds.count(SITE) == kinds.count(MEMORY_PHY) == float(design.stacks_count)
    assert kinds.count(SLICE) == dies * float(design.slices_count)


def test_phys_stand_at_the_edge_next_to_the_memory(facts: Facts) -> None:
    plan, _ = planned(read_design("h100"), facts)
    die = next(r for r in plan.rectangles if r.kind == COMPUTE_DIE)
    for phy in (r for r in plan.rectangles if r.kind == MEMORY_PHY):
        assert min(abs(phy.x_mm - die.x_mm), abs(phy.x_mm + phy.width_mm - die.x_mm - die.width_mm)) < NEAR
    sites = [r for r in plan.rectangles if r.kind == SITE]
    assert all(r.x_mm + r.width_mm <= die.x_mm or r.x_mm >= die.x_mm + die.width_mm for r in sites)
    assert {(round(s.width_mm), round(s.height_mm)) for s in sites} == {(11, 11)}


def test_dies_of_a_column_stand_above_each_other_and_the_io_die_on_top(facts: Facts) -> None:
    plan, _ = planned(replace(read_design("jalapeno"), compute_dies_count=2.0), facts)
    dies = [r for r in plan.rectangles if r.kind in (COMPUTE_DIE, IO_DIE)]
    assert [r.kind for r in dies] == [COMPUTE_DIE, COMPUTE_DIE, IO_DIE]
    assert all(below.y_mm + below.height_mm <= above.y_mm for below, above in pairwise(dies))


def test_a_die_too_narrow_for_its_phys_is_refused(facts: Facts) -> None:
    with pytest.raises(DesignError, match=r"the memory PHYs need 48\.0 mm"):
        planned(replace(read_design("jalapeno"), stacks_count=12.0), facts)
    design = read_design("jalapeno")
    bare = replace(technology(design, facts), overhead_frac=0.0)
    with pytest.raises(DesignError, match="are left between the memory PHYs"):
        floorplan(design, area(design, bare), bare)
