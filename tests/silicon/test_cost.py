"""Unit cost: against published bills of materials, part by part, and what must hold whatever the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville.errors import DesignError, FactError
from scoville.facts import Draws, Facts, load
from scoville.silicon import cost
from scoville.silicon.area import Area, area, die_sides_mm, memory_edge_mm
from scoville.silicon.cost import Prices, UnitCost, prices, unit_cost
from scoville.silicon.design import Design, read_design
from scoville.silicon.technology import technology
from scoville.silicon.wafer import gross_dies, gross_dies_of_area


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def disclosed(design: Design, die_mm2: float, facts: Facts) -> Area:
    """The model's blocks, scaled so that the compute die has the area that is published."""
    computed = area(design, technology(design, facts))
    times = die_mm2 / float(computed.compute_die_mm2)
    blocks = {name: mm2 * times for name, mm2 in computed.blocks_mm2.items()}
    return replace(computed, blocks_mm2=blocks, compute_die_mm2=die_mm2)


def h100() -> Design:
    return read_design("h100")


def b200() -> Design:
    """Two dies of about 800 mm2 (SiliconAnalysts), 148 of 160 multiprocessors enabled, eight stacks of 24 GB."""
    return replace(
        h100(),
        name="B200",
        compute_dies_count=2,
        slices_count=80,
        spare_slices_count=6,
        memory="hbm3e",
        stacks_count=8,
        stack_bytes=24 * 2.0**30,
        package="cowos-l",
    )


def bill(cost: UnitCost, *parts: str) -> NDArray[np.float64]:
    return np.sum([cost.parts_usd[p] for p in parts], axis=0)


# A chip's published lines, and which of our parts each one holds. SiliconAnalysts' H100 and Epoch's B200 (its line for
# the rest is loss in packaging and 480 USD of everything else); Jalapeño's without memory is a derived estimate.
LINES = {
    "bom_logic": (cost.DIES, cost.IO_DIES),
    "bom_memory": (cost.MEMORY,),
    "bom_packaging": (cost.INTERPOSER, cost.SUBSTRATE),
    "bom_test": (cost.TEST, cost.LOST),
    "bom_other": (cost.TEST, cost.LOST),
}
CHIPS = {"h100-sxm": (h100, 814.0, "2023-01"), "b200-sxm": (b200, 800.0, "2025-01")}


@pytest.mark.parametrize("chip", CHIPS)
def test_published_bills_of_materials_are_met_in_total_and_by_part(chip: str, facts: Facts) -> None:
    make, die_mm2, date = CHIPS[chip]
    design = make()
    published = facts.accelerator(chip).facts
    size = disclosed(design, die_mm2, facts)
    central = unit_cost(design, size, prices(design, facts, date=date, volume=1e6, seller="none"))
    drawn = unit_cost(design, size, prices(design, facts, Draws(1, 2000), date=date, volume=1e6, seller="none"))
    total = published["bom_total"][-1]
    assert total.low <= float(central.total_usd) <= total.high, "the total lies outside of the published range"
    for name, parts in LINES.items():
        if name not in published:
            continue
        line = published[name][-1]
        usd = float(bill(central, *parts))
        p10, p90 = np.percentile(bill(drawn, *parts), (10, 90))
        assert p10 <= line.high and p90 >= line.low, f"{name}: {p10:.0f} to {p90:.0f} misses {line.low} to {line.high}"
        # B200's dies are 5 % below Epoch's least: the same wafer price and defects as H100's, harvested alike.
        assert 0.94 * line.low <= usd <= line.high, f"{name} is {usd:.0f}, published {line.low} to {line.high}"


def test_jalapenos_silicon_costs_what_was_estimated_without_memory(facts: Facts) -> None:
    design = read_design("jalapeno")
    estimated = facts.accelerator("jalapeno").facts
    size = disclosed(design, facts.accelerator("jalapeno").facts["die_area"][-1].number, facts)
    found = unit_cost(design, size, prices(design, facts, date="2026-12", volume=7e5))
    bought = float(found.total_usd - found.parts_usd[cost.MEMORY])
    assert 1800 <= bought <= 3800, "the bill without memory is outside of the estimate of 1,800 to 3,800 USD"
    die = facts.get("process-n3", "die_cost_reticle")
    assert (die.low, die.high) == (400, 1300)
    assert die.low <= float(found.die_usd) <= die.high
    logic, test = estimated["bom_logic"][-1], estimated["bom_test"][-1]
    assert logic.low <= float(bill(found, cost.DIES, cost.IO_DIES)) <= logic.high
    assert test.low <= float(found.parts_usd[cost.TEST]) <= test.high
    # The estimate's 1,000 to 2,000 USD of packaging with its loss take B200's share of loss; TSMC reported less since.
    packaging = float(bill(found, cost.INTERPOSER, cost.SUBSTRATE, cost.LOST))
    assert packaging < estimated["bom_packaging"][-1].low
    early = unit_cost(design, size, prices(design, facts, date="2026-04", volume=7e5))
    assert float(bill(early, cost.INTERPOSER, cost.SUBSTRATE, cost.LOST)) == pytest.approx(1000, rel=0.06)


def test_interposers_of_a_wafer_are_as_many_as_published(facts: Facts) -> None:
    # "16 at 3.3x (B200), 9 at 5.5x" reticles, packaging.packages_per_cowos_wafer.
    note = facts.get("packaging", "packages_per_cowos_wafer").note
    assert "16 at 3.3x" in note and "9 at 5.5x" in note
    reticles = np.array([3.3, 5.5]) * 858
    field = (float("inf"), float("inf"))
    found = gross_dies_of_area(reticles, field_mm=field, scribe_mm=0.1, edge_mm=3.0, wafer_mm=300.0)
    assert list(found) == [16, 9]


def reckoned(design: Design, facts: Facts, date: str = "2026-06", seller: str = "broadcom_xpu") -> UnitCost:
    return unit_cost(
        design, area(design, technology(design, facts)), prices(design, facts, date=date, volume=1e5, seller=seller)
    )


def test_whose_memory_is_at_cost_is_a_fact(tmp_path: Path, facts: Facts) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[consigned-memory.nvidia_corporate]\nvalue = "at cost"\nsource = "a test"\nas_of = "2026"\nkind = "derived"\n',
        encoding="utf-8",
    )
    design, date = read_design("h100"), "2026-09"
    usual, consigned = (
        unit_cost(design, area(design, technology(design, f)),
                  prices(design, f, date=date, volume=1e5, seller="nvidia_corporate"))
        for f in (facts, load([own]))
    )  # fmt: skip
    saved = usual.parts_usd["margin"] - consigned.parts_usd["margin"]
    assert float(saved) == pytest.approx(float(usual.parts_usd["memory"]) * 0.75 / 0.25)


def test_parts_add_up_and_the_margin_is_of_the_price_without_consigned_memory(facts: Facts) -> None:
    found = reckoned(read_design("jalapeno"), facts)
    parts = {name: float(usd) for name, usd in found.parts_usd.items()}
    assert all(usd >= 0 for usd in parts.values())
    assert sum(parts.values()) == pytest.approx(float(found.price_usd))
    assert sum(parts.values()) - parts[cost.MARGIN] == pytest.approx(float(found.total_usd))
    sold = float(found.price_usd) - parts[cost.MEMORY]
    assert parts[cost.MARGIN] / sold == pytest.approx(facts.get("vendor-margin", "broadcom_xpu").number)
    vendor = reckoned(read_design("h100"), facts, seller="nvidia_corporate")
    share = float(vendor.parts_usd[cost.MARGIN] / vendor.price_usd)
    assert share == pytest.approx(facts.get("vendor-margin", "nvidia_corporate").number)
    assert float(reckoned(read_design("h100"), facts, seller="none").parts_usd[cost.MARGIN]) == 0


def test_loss_in_packaging_is_the_cost_of_all_that_was_attached(facts: Facts) -> None:
    found = reckoned(b200(), facts, "2025-01", "none")
    attached = float(bill(found, cost.DIES, cost.MEMORY, cost.INTERPOSER)) + facts.get("packaging", "assembly").number
    good = facts.get("packaging", "attach_yield_cowos_l", vintage="2025-01").number ** 10
    assert float(found.package_yield_frac) == pytest.approx(good)
    assert float(found.parts_usd[cost.LOST]) == pytest.approx(attached * (1 / good - 1))
    later = reckoned(b200(), facts, "2026-06", "none")
    assert float(later.package_yield_frac) > good, "attaching to CoWoS-L got no better by June 2026"


def test_a_die_costs_its_share_of_the_wafer_and_its_test_over_the_yield(facts: Facts) -> None:
    design = h100()
    size = disclosed(design, 814.0, facts)
    found = unit_cost(design, size, prices(design, facts, date="2025-06", volume=1e5))
    raw = facts.get("process-n5", "wafer_price").number / float(found.gross_dies_count)
    test = facts.get("packaging", "sort_test").number * 814
    assert float(found.die_usd) == pytest.approx((raw + test) / float(found.die_yield_frac))


def test_wafers_are_dearer_from_2026_on_and_each_year_to_2029(facts: Facts) -> None:
    def wafer(date: str) -> float:
        return float(prices(read_design("jalapeno"), facts, date=date, volume=1).wafer_usd)

    base = facts.get("process-n3", "wafer_price").number
    assert wafer("2026-01") == pytest.approx(base * 1.05)
    assert wafer("2027-06") == pytest.approx(base * 1.05 * 1.05)
    assert wafer("2029-01") == wafer("2031-01") == pytest.approx(base * 1.05**4)


def test_memory_follows_its_price_path(facts: Facts) -> None:
    def per_gib(date: str) -> float:
        return float(prices(read_design("jalapeno"), facts, date=date, volume=1).memory_usd_per_byte) * 2**30

    path = [f for f in facts.of("memory-price-hbm4") if f.name == "price"]
    for fact in path:
        assert per_gib(fact.vintage) == pytest.approx(fact.number * 2**30)
    assert per_gib("2027-07") == pytest.approx((30.8 + 29) / 2)
    assert per_gib("2033-01") == pytest.approx(29)
    # Bernstein's Jalapeño: 1,107 USD for a stack of 36 GB under contracts of 2027.
    assert per_gib("2027-01") * 36 == pytest.approx(1107, rel=0.01)


@pytest.mark.parametrize(
    ("change", "date", "volume", "seller", "says"),
    [
        ({}, "2025-12", 1e5, "none", "2025-12 is before the price path of hbm4, which begins in 2026-01"),
        ({}, "2026-13", 1e5, "none", "'2026-13' is no month; expected YYYY-MM"),
        ({}, "2027-01", 0.0, "none", "the volume is 0 chips; expected a number above 0"),
        ({}, "2027-01", -5.0, "none", "expected a number above 0"),
        ({}, "2027-01", float("nan"), "none", "expected a number above 0"),
        ({"process": "n3x"}, "2027-01", 1e5, "none", "the process 'n3x' is unknown; did you mean 'n3'"),
        ({"io_process": "28"}, "2027-01", 1e5, "none", "the process '28' is unknown"),
        ({"memory": "hbm9"}, "2027-01", 1e5, "none", "the memory 'hbm9' has no price path"),
        ({}, "2027-01", 1e5, "broadcom", "the seller 'broadcom' is unknown; did you mean 'broadcom_"),
    ],
)
def test_contradictions_are_refused(
    change: dict[str, str], date: str, volume: float, seller: str, says: str, facts: Facts
) -> None:
    with pytest.raises(DesignError, match=says):
        prices(replace(read_design("jalapeno"), **change), facts, date=date, volume=volume, seller=seller)  # type: ignore[arg-type]


def test_a_price_path_of_a_users_file_needs_months(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[memory-price-hbm4.price]\nvalue = "20 USD/GiB"\nsource = "a quote"\nas_of = "2026"\nkind = "reported"\n',
        encoding="utf-8",
    )
    with pytest.raises(FactError, match=r'own.toml:1: .*expected vintage = "YYYY-MM"'):
        prices(read_design("jalapeno"), load([own]), date="2027-01", volume=1)
    own.write_text(own.read_text(encoding="utf-8") + 'vintage = "2027-01"\n', encoding="utf-8")
    found = prices(read_design("jalapeno"), load([own]), date="2027-01", volume=1)
    assert float(found.memory_usd_per_byte) * 2**30 == pytest.approx(20)


def test_many_designs_and_many_samples_are_the_same_arithmetic(facts: Facts) -> None:
    design = read_design("jalapeno")
    price = prices(design, facts, date="2026-06", volume=1e5)
    stacks = np.array([4.0, 6.0, 8.0])
    many = replace(design, stacks_count=stacks, slices_count=np.array([48.0, 64.0, 64.0]))
    together = unit_cost(many, area(many, technology(many, facts)), price)
    for i, s in enumerate(stacks):
        one = replace(design, stacks_count=s, slices_count=float(np.asarray(many.slices_count)[i]))
        alone = unit_cost(one, area(one, technology(one, facts)), price)
        assert together.price_usd[i] == pytest.approx(float(alone.price_usd), rel=1e-7)
    draws = Draws(3, 64)
    sampled = unit_cost(
        design, area(design, technology(design, facts, draws)), prices(design, facts, draws, date="2026-06", volume=1e5)
    )
    assert sampled.price_usd.shape == sampled.parts_usd[cost.TEST].shape == (64,)
    assert sampled.price_usd.std() > 0


def test_dearer_inputs_never_make_a_cheaper_chip(facts: Facts) -> None:
    design = read_design("jalapeno")
    size = area(design, technology(design, facts))
    price = prices(design, facts, date="2026-06", volume=1e5)

    def total(p: Prices) -> float:
        return float(unit_cost(design, size, p).total_usd)

    base = total(price)
    for name in ("wafer_usd", "defects_count_per_mm2", "memory_usd_per_byte", "interposer_wafer_usd", "final_test_usd",
                 "interposer_defects_count_per_mm2", "substrate_usd_per_mm2", "sort_usd_per_mm2"):  # fmt: skip
        assert total(replace(price, **{name: getattr(price, name) * 1.2})) > base, name
    assert total(replace(price, attach_frac=0.9)) > base
    spared = replace(design, spare_slices_count=4)
    assert float(unit_cost(spared, size, price).die_usd) < float(unit_cost(design, size, price).die_usd)


def test_dies_are_counted_with_the_sides_that_the_floorplan_gives_them(facts: Facts) -> None:
    design = read_design("jalapeno")
    figures = technology(design, facts)
    many = replace(
        design, stacks_count=np.array([2.0, 6.0, 6.0, 10.0]), slices_count=np.array([64.0, 30.0, 64.0, 40.0])
    )
    size = area(many, figures)
    short, long = die_sides_mm(size.compute_die_mm2, figures, memory_edge_mm(many, figures))
    found = unit_cost(many, size, prices(many, facts, date="2026-06", volume=1e5))
    wanted = gross_dies(short, long, scribe_mm=0.1, edge_mm=3.0, wafer_mm=300.0)
    assert list(found.gross_dies_count) == list(wanted)


def test_a_die_that_no_wafer_holds_costs_without_limit(facts: Facts) -> None:
    design = read_design("jalapeno")
    huge = disclosed(design, 90_000.0, facts)
    assert np.isinf(unit_cost(design, huge, prices(design, facts, date="2026-06", volume=1e5)).total_usd)
