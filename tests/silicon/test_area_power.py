"""Area and power: parts make the whole, more of anything is never smaller, one code for designs and samples."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from scoville.errors import DesignError
from scoville.facts import Draws, Facts, load
from scoville.silicon import Activity, Design, area, broken, bundled, power, read_design, technology
from scoville.silicon.area import MATRIX, OVERHEAD, die_sides_mm
from scoville.silicon.limits import excess
from scoville.silicon.power import CLOCKS, LEAKAGE, STACKS, bound_by_products


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def measured(design: Design, facts: Facts) -> tuple[float, float]:
    t = technology(design, facts)
    size = area(design, t)
    return float(size.compute_die_mm2 + size.io_die_mm2), float(power(design, t, size).tdp_w)


@pytest.mark.parametrize("id", bundled())
def test_blocks_add_up_to_dies_and_watts(id: str, facts: Facts) -> None:
    design = read_design(id)
    t = technology(design, facts)
    size = area(design, t)
    assert float(sum(size.blocks_mm2.values())) == pytest.approx(float(size.compute_die_mm2))
    assert float(sum(size.io_blocks_mm2.values())) == pytest.approx(float(size.io_die_mm2))
    assert float(sum(size.matrix_mm2.values())) == pytest.approx(float(size.blocks_mm2[MATRIX]))
    without = sum(float(b) for name, b in size.blocks_mm2.items() if name != OVERHEAD)
    assert float(size.blocks_mm2[OVERHEAD]) == pytest.approx(without * t.overhead_frac)
    drawn = power(design, t, size)
    assert float(sum(drawn.blocks_w.values())) == pytest.approx(float(drawn.tdp_w)) == pytest.approx(drawn.total_w)
    width, height = die_sides_mm(size.compute_die_mm2, t)
    assert float(width * height) == pytest.approx(float(size.compute_die_mm2))


def test_tdp_is_the_hotter_of_two_steps(facts: Facts) -> None:
    for id in bundled():
        design = read_design(id)
        t = technology(design, facts)
        size = area(design, t)
        tdp = float(power(design, t, size).tdp_w)
        products = float(power(design, t, size, bound_by_products(t)).total_w)
        half, full = t.beside_frac, t.bound_frac
        streams = float(power(design, t, size, Activity(half, half, half, full, full, half)).total_w)
        assert tdp == pytest.approx(max(products, streams)), id


def test_an_idle_chip_only_leaks(facts: Facts) -> None:
    design = read_design("jalapeno")
    t = technology(design, facts)
    idle = power(design, t, area(design, t), Activity(0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert float(idle.total_w) == pytest.approx(float(idle.blocks_w[LEAKAGE]))
    assert float(idle.blocks_w[STACKS]) == float(idle.blocks_w[CLOCKS]) == 0.0


def test_work_in_a_narrower_format_takes_less_power(facts: Facts) -> None:
    design = read_design("h100")
    t = technology(design, facts)
    size = area(design, t)
    bf16, fp8 = (float(power(design, t, size, Activity(format=f)).blocks_w[MATRIX]) for f in ("bf16", "fp8"))
    assert fp8 < bf16


@pytest.mark.parametrize(
    "field",
    [
        "slices_count", "arrays_per_slice_count", "rows_count", "vector_lanes_per_slice_count", "sram_per_slice_bytes",
        "fabric_bandwidth_per_slice_bytes_per_s", "stacks_count", "scale_up_bytes_per_s", "host_bytes_per_s",
    ],
)  # fmt: skip
def test_more_of_anything_takes_area_and_no_less_power(field: str, facts: Facts) -> None:
    for id in ("h100", "jalapeno"):
        design = read_design(id)
        less, more = measured(design, facts), measured(replace(design, **{field: 2 * getattr(design, field)}), facts)
        assert more[0] > less[0], field
        assert more[1] >= less[1], field


def test_a_smaller_process_makes_logic_smaller_but_not_sram_from_n5_to_n3(facts: Facts) -> None:
    dies = {p: area(d := replace(read_design("h100"), process=p), technology(d, facts)) for p in ("n7", "n5", "n3")}
    assert dies["n7"].compute_die_mm2 > dies["n5"].compute_die_mm2 > dies["n3"].compute_die_mm2
    assert dies["n5"].blocks_mm2["slice SRAM"] == pytest.approx(dies["n3"].blocks_mm2["slice SRAM"])  # IEDM 2022


def test_n_designs_at_once_are_each_design_alone(facts: Facts) -> None:
    rng = np.random.default_rng(7)
    n = 24
    base = read_design("jalapeno")
    many = replace(
        base,
        slices_count=rng.integers(4, 128, n).astype(float),
        rows_count=2.0 ** rng.integers(4, 8, n),
        stacks_count=rng.integers(0, 9, n).astype(float),
        sram_per_slice_bytes=2.0 ** rng.integers(18, 24, n),
        compute_dies_count=rng.integers(1, 4, n).astype(float),
        power_cap_w=rng.uniform(200, 2000, n),
    )
    t = technology(many, facts)
    size = area(many, t)
    used = power(many, t, size)
    wrong = broken(many, size, used, t)
    assert wrong.any() and not wrong.all()
    for i in range(n):
        values = {f.name: getattr(many, f.name) for f in fields(many)}
        alone = replace(base, **{k: float(v[i]) for k, v in values.items() if isinstance(v, np.ndarray)})
        small = area(alone, t)
        drawn = power(alone, t, small)
        assert float(small.compute_die_mm2) == pytest.approx(size.compute_die_mm2[i])
        assert float(drawn.tdp_w) == pytest.approx(used.tdp_w[i])
        assert float(drawn.flop_per_s_under_cap["fp4"]) == pytest.approx(used.flop_per_s_under_cap["fp4"][i])
        assert float(drawn.memory_bytes_per_s_under_cap) == pytest.approx(used.memory_bytes_per_s_under_cap[i])
        assert bool(broken(alone, small, drawn, t)) == wrong[i]
        assert bool(max(float(np.asarray(v)) for v in excess(alone, small, drawn, t).values()) > 0) == wrong[i]


def test_samples_of_the_facts_go_through_the_same_code(facts: Facts) -> None:
    design = read_design("jalapeno")
    t = technology(design, facts, Draws(3, 500))
    size = area(design, t)
    used = power(design, t, size)
    assert size.compute_die_mm2.shape == used.tdp_w.shape == used.total_w.shape == (500,)
    assert np.std(size.compute_die_mm2) > 0 < np.std(used.tdp_w)
    central, sampled = technology(design, facts), technology(design, facts, Draws.central())
    assert float(area(design, central).compute_die_mm2) == float(area(design, sampled).compute_die_mm2)


def test_under_a_cap_fits_what_the_cap_leaves(facts: Facts) -> None:
    design = read_design("jalapeno")
    t = technology(design, facts)
    size = area(design, t)
    free = power(replace(design, power_cap_w=5000.0), t, size)
    assert float(free.flop_per_s_under_cap["fp4"]) == pytest.approx(13.37e15, rel=1e-3)
    assert float(free.memory_bytes_per_s_under_cap) == pytest.approx(15.36e12)
    streams = power(design, t, size, Activity(0.5, 0.5, 0.5, 1.0, 1.0, 0.5))
    tight = replace(design, power_cap_w=float(streams.total_w) - 100.0)
    held = power(tight, t, size)
    assert float(held.memory_bytes_per_s_under_cap) < 15.36e12
    share = float(held.memory_bytes_per_s_under_cap) / 15.36e12
    again = power(tight, t, size, Activity(0.5, 0.5, 0.5, 1.0, share, 0.5))
    assert float(again.total_w) == pytest.approx(tight.power_cap_w), (
        "at the bandwidth under the cap the cap is just met"
    )
    nothing = power(replace(design, power_cap_w=1.0), t, size)
    assert float(nothing.flop_per_s_under_cap["fp4"]) == float(nothing.memory_bytes_per_s_under_cap) == 0.0


def test_unknown_processes_and_memories_name_the_known(facts: Facts) -> None:
    with pytest.raises(DesignError, match="the process 'n4x' is unknown"):
        technology(replace(read_design("h100"), process="n4x"), facts)
    with pytest.raises(DesignError, match="the memory 'hbm5' is unknown; did you mean"):
        technology(replace(read_design("h100"), memory="hbm5"), facts)
