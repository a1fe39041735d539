"""Embodied carbon: ACT's arithmetic by hand, and what must hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoville.facts import Draws, Facts, load
from scoville.silicon import carbon
from scoville.silicon.area import area
from scoville.silicon.carbon import Carbon, embodied
from scoville.silicon.cost import DIES, INTERPOSER, LOST, MEMORY, prices, unit_cost
from scoville.silicon.design import Design, read_design
from scoville.silicon.technology import technology


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def of(design: Design, facts: Facts, draws: Draws | None = None) -> Carbon:
    size = area(design, technology(design, facts, draws))
    price = prices(design, facts, draws, date="2026-06", volume=1e5)
    return embodied(design, size, unit_cost(design, size, price), price, facts, draws)


def test_a_die_is_acts_sum_over_its_yield(facts: Facts) -> None:
    design = read_design("h100")
    size = area(design, technology(design, facts))
    price = prices(design, facts, date="2026-06", volume=1e5)
    unit = unit_cost(design, size, price)
    # ACT, 5 nm: 430 g/cm2 of gases, 2.75 kWh/cm2 at Taiwan's 642 g/kWh, 500 g/cm2 of materials.
    kg_per_cm2 = 0.430 + 2.75 * 0.642 + 0.500
    by_hand = float(size.compute_die_mm2) / 100 * kg_per_cm2 / float(unit.die_yield_frac)
    assert float(embodied(design, size, unit, price, facts).parts_kg[DIES]) == pytest.approx(by_hand, rel=1e-9)


def test_memory_goes_by_capacity(facts: Facts) -> None:
    design = read_design("h100")
    kg = float(of(design, facts).parts_kg[MEMORY])
    assert kg == pytest.approx(80 * facts.get("memory-emissions", "hbm_per_gb").number)
    assert float(of(replace(design, stacks_count=10), facts).parts_kg[MEMORY]) == pytest.approx(2 * kg)
    bare = of(replace(design, memory="none", stacks_count=0), facts)
    assert float(bare.parts_kg[MEMORY]) == 0


def test_parts_add_up_for_samples_too(facts: Facts) -> None:
    found = of(read_design("jalapeno"), facts, Draws(1, 50))
    assert found.total_kg.shape == (50,)
    assert sum(found.parts_kg.values()) == pytest.approx(found.total_kg)
    assert all((kg >= 0).all() for kg in found.parts_kg.values())
    assert set(found.parts_kg) >= {DIES, INTERPOSER, LOST, carbon.PACKAGING}


def test_without_an_interposer_there_is_none_to_make(facts: Facts) -> None:
    design = replace(read_design("h100"), package="organic", memory="lpddr5x", stacks_count=8)
    assert float(of(design, facts).parts_kg[INTERPOSER]) == 0
