"""Bad designs are refused with the block that breaks the limit and by how much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoville.errors import DesignError
from scoville.facts import Facts, load
from scoville.silicon import Design, area, broken, bundled, check, power, read_design, technology


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def refusal(design: Design, facts: Facts) -> str:
    t = technology(design, facts)
    size = area(design, t)
    used = power(design, t, size)
    assert bool(broken(design, size, used, t)), "what `check` refuses, `broken` counts as broken"
    with pytest.raises(DesignError) as refused:
        check(design, size, used, t)
    return str(refused.value)


@pytest.mark.parametrize("id", bundled())
def test_chips_that_exist_are_not_refused(id: str, facts: Facts) -> None:
    design = read_design(id)
    t = technology(design, facts)
    size = area(design, t)
    used = power(design, t, size)
    check(design, size, used, t)
    assert not broken(design, size, used, t)


def test_over_the_reticle(facts: Facts) -> None:
    design = replace(read_design("h100"), slices_count=300.0, power_cap_w=5000.0)
    size = float(area(design, technology(design, facts)).compute_die_mm2)
    said = refusal(design, facts)
    assert f"{size:,.0f} mm2 are {size - 858:,.0f} mm2 over the reticle's 26 x 33 mm" in said
    assert "vector units take the most" in said


def test_an_io_die_over_the_reticle(facts: Facts) -> None:
    said = refusal(replace(read_design("jalapeno"), scale_out_bytes_per_s=1.2e13, power_cap_w=9000.0), facts)
    assert "the I/O die's" in said and "links take the most" in said


def test_over_the_cap_by_more_than_the_models_error(facts: Facts) -> None:
    said = refusal(replace(read_design("jalapeno"), power_cap_w=500.0), facts)
    assert "W over the power cap of 500 W, more than the model's error of 20%; memory stacks take the most" in said


def test_memory_phys_beyond_the_edge(facts: Facts) -> None:
    said = refusal(replace(read_design("jalapeno"), stacks_count=12.0, power_cap_w=2000.0), facts)
    assert (
        "the memory PHYs of 12 stacks need 48.0 mm of a long side of the compute die, 15.0 mm more than the 33.0"
        in said
    )


def test_links_beyond_the_edge(facts: Facts) -> None:
    said = refusal(
        replace(read_design("gc200"), scale_up_bytes_per_s=6e12, slices_count=300.0, power_cap_w=5000.0), facts
    )
    assert "the links need" in said and "short sides of the compute die" in said


def test_hbm_on_an_organic_substrate(facts: Facts) -> None:
    said = refusal(replace(read_design("h100"), package="organic"), facts)
    assert "the memory 'hbm3' has more wires than the package 'organic' carries; expected cowos-s" in said


def test_the_block_named_is_one_that_can_be_changed(facts: Facts) -> None:
    said = refusal(replace(read_design("jalapeno"), slices_count=130.0, power_cap_w=3000.0), facts)
    assert "matrix units take the most" in said, "the share over all blocks is no block"
    said = refusal(replace(read_design("jalapeno"), fabric_bandwidth_per_slice_bytes_per_s=9e12), facts)
    assert "fabric takes the most" in said


def test_no_memory_at_all(facts: Facts) -> None:
    assert "memory.stacks is 0; expected stacks of a kind" in refusal(
        replace(read_design("h100"), stacks_count=0.0), facts
    )
    nothing = replace(read_design("gc200"), sram_per_slice_bytes=0.0)
    assert "memory.kind is 'none' and there is no SRAM" in refusal(nothing, facts)
