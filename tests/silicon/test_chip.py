"""The whole chip: ranges around the base, parts that add up, dates that meet, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scoville.errors import DesignError
from scoville.facts import Draws, Facts, load
from scoville.silicon import chip as chips
from scoville.silicon.chip import Chip, build
from scoville.silicon.design import bundled, read_design


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="module")
def jalapeno(facts: Facts) -> Chip:
    return build(read_design("jalapeno"), facts, Draws(1, 300), date="2027-06", volume=700_000)


def test_parts_add_up_to_their_figures(jalapeno: Chip) -> None:
    for parts, figure in (
        (jalapeno.area, "compute die"),
        (jalapeno.io_area, "I/O die"),
        (jalapeno.power, "TDP"),
        (jalapeno.cost, "price"),
        (jalapeno.nre, "one-time cost"),
        (jalapeno.carbon, "embodied carbon"),
    ):
        total = jalapeno.figures[figure]
        assert sum(part.central for part in parts.values()) == pytest.approx(total.central, rel=1e-6), figure
        assert {part.measure for part in parts.values()} == {total.measure}, figure


def test_every_figure_has_a_range_and_yields_are_shares(jalapeno: Chip) -> None:
    for name, figure in jalapeno.figures.items():
        assert np.isfinite([figure.p10, figure.central, figure.p90]).all(), name
        assert 0 < figure.p10 <= figure.p90, name
    for name in ("die yield", "package yield"):
        assert jalapeno.figures[name].p90 < 1, name


@pytest.mark.parametrize("id", bundled())
def test_central_figures_lie_inside_their_ranges(id: str, facts: Facts) -> None:
    made = build(read_design(id), facts, Draws(1, 500), date="2026-09", volume=1e5)
    parts = {f"{group} {name}": r for group in ("area", "io_area", "power", "cost", "nre", "carbon")
             for name, r in getattr(made, group).items()}  # fmt: skip
    outside = [
        n for n, r in {**made.figures, **parts}.items() if not r.p10 * (1 - 1e-9) <= r.central <= r.p90 * (1 + 1e-9)
    ]
    assert outside == []


def test_one_time_cost_is_spread_over_the_volume(jalapeno: Chip) -> None:
    figure = {name: r.central for name, r in jalapeno.figures.items()}
    assert figure["one-time cost per chip"] == pytest.approx(figure["one-time cost"] / 700_000)
    assert figure["price with one-time cost"] == pytest.approx(figure["price"] + figure["one-time cost per chip"])


def test_left_to_itself_the_programme_reaches_volume_in_the_month_of_the_prices(jalapeno: Chip, facts: Facts) -> None:
    assert jalapeno.milestones["volume"][1] == jalapeno.month == "2027-06"
    for early, base, late in jalapeno.milestones.values():
        assert early <= base <= late
    asked = build(read_design("jalapeno"), facts, Draws.central(), date="2027-06", volume=1e5, start="2024-10")
    assert asked.start == "2024-10"
    assert asked.milestones["first RTL"][0] == asked.milestones["first RTL"][2]


def test_the_central_draw_has_no_width(facts: Facts) -> None:
    found = build(read_design("h100"), facts, Draws.central(), date="2025-01", volume=1e6, seller="nvidia_corporate")
    assert all(r.p10 == r.central == r.p90 for r in found.figures.values())
    assert found.io_area == {}


def test_assumptions_are_told(jalapeno: Chip, facts: Facts) -> None:
    assert any("negative binomial, clustering 3" in note for note in jalapeno.notes)
    assert any("memory at cost" in note for note in jalapeno.notes)
    own = build(read_design("jalapeno"), facts, Draws.central(), date="2027-06", volume=1e5, seller="none")
    assert not any("memory at cost" in note for note in own.notes)
    assert own.figures["price"].central == own.figures["unit cost"].central


@pytest.mark.parametrize(
    ("change", "date", "volume", "says"),
    [
        ({"process": "n4z"}, "2027-06", 1e5, "the process 'n4z' is unknown"),
        ({}, "2025-06", 1e5, "2025-06 is before the price path of hbm4, which begins in 2026-01"),
        ({}, "June", 1e5, "'June' is no month; expected YYYY-MM"),
        ({}, "2027-06", 0.0, "the volume is 0 chips"),
        ({"stacks_count": np.array([4.0, 6.0])}, "2027-06", 1e5, "expected one design"),
        ({"slices_count": 256.0}, "2027-06", 1e5, "over the reticle"),
    ],
)
def test_contradictions_are_refused(
    change: dict[str, object], date: str, volume: float, says: str, facts: Facts
) -> None:
    with pytest.raises(DesignError, match=says):
        build(replace(read_design("jalapeno"), **change), facts, Draws(1, 10), date=date, volume=volume)  # type: ignore[arg-type]


def test_the_floorplan_is_that_of_the_dies_paid_for(jalapeno: Chip) -> None:
    dies = [r for r in jalapeno.floorplan.rectangles if r.kind == "compute die"]
    assert len(dies) == 1
    assert dies[0].area_mm2 == pytest.approx(jalapeno.figures["compute die"].central)


def test_formats_are_named_as_in_a_design_file(jalapeno: Chip) -> None:
    assert {"fp4", "fp8", "fp4_fp8"} <= set(jalapeno.peak_flop_per_s)
    assert chips._formats("fp4", "bf16") == "fp4_bf16"
