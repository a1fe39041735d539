"""What one good chip costs: dies off a wafer, memory, package, tests, what packaging loses, and the seller's margin.

`prices` reads what things cost in a month; `unit_cost` is arithmetic on arrays, the same for one design with n samples
of the prices and for n designs with central prices. docs/silicon-cost.md works it through with numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from scoville.errors import DesignError, FactError, nearest
from scoville.facts import Draws, Fact, Facts
from scoville.silicon.area import (
    FABRIC,
    MATRIX,
    OVERHEAD,
    SLICE_SRAM,
    VECTOR,
    Area,
    die_sides_mm,
    memory_edge_mm,
)
from scoville.silicon.design import Array, Design
from scoville.silicon.technology import Technology, technology
from scoville.silicon.wafer import gross_dies, gross_dies_of_area, gross_dies_of_outline
from scoville.silicon.yields import harvested, negative_binomial

DIES, IO_DIES, MEMORY, INTERPOSER = "compute dies", "I/O dies", "memory", "interposer"
SUBSTRATE, TEST, LOST, MARGIN = "substrate and assembly", "test", "lost in packaging", "margin"

_NEEDED = ("wafer_price", "defect_density")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_ANY_SIDE = (math.inf, math.inf)
_FEW = 16


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What things cost in `month`, for the words of one design; floats, or arrays of one shape (samples,).

    `wafer_usd` and `defects_count_per_mm2` are of the compute dies' process, `io_*` of the I/O dies'. `attach_frac` is
    the share of attachments that succeed, one for each die or stack. `margin_frac` is of the price; a seller who takes
    the customer's memory (`memory_at_cost`) has none on it. `technology` gives dies their sides.
    """

    month: str
    volume_count: float
    seller: str
    memory_at_cost: bool
    wafer_usd: float | Array
    defects_count_per_mm2: float | Array
    clustering_count: float | Array
    io_wafer_usd: float | Array
    io_defects_count_per_mm2: float | Array
    memory_usd_per_byte: float | Array
    stack_bytes: float | Array
    stack_mm2: float | Array
    interposer_wafer_usd: float | Array
    interposer_area_frac: float | Array
    interposer_defects_count_per_mm2: float | Array
    interposer_clustering_count: float | Array
    attach_frac: float | Array
    substrate_area_frac: float | Array
    substrate_usd_per_mm2: float | Array
    assembly_usd: float | Array
    sort_usd_per_mm2: float | Array
    final_test_usd: float | Array
    margin_frac: float | Array
    wafer_mm: float
    edge_mm: float
    scribe_mm: float
    technology: Technology


@dataclass(frozen=True, slots=True, eq=False)
class UnitCost:
    """One good package; every figure of the common shape of design and prices.

    `parts_usd` sums to `price_usd`, without its margin to `total_usd`. `*die_usd` is one known good die, `gross_*`
    whole dies on a wafer, `*_yield_frac` the good ones among them, harvested ones included.
    """

    parts_usd: Mapping[str, Array]
    total_usd: Array
    price_usd: Array
    die_usd: Array
    io_die_usd: Array
    gross_dies_count: Array
    gross_io_dies_count: Array
    die_yield_frac: Array
    io_die_yield_frac: Array
    interposer_mm2: Array
    interposer_yield_frac: Array
    package_yield_frac: Array


def prices(
    design: Design,
    facts: Facts,
    draws: Draws | None = None,
    *,
    date: str,
    volume: float,
    seller: str = "broadcom_xpu",
) -> Prices:
    """Prices in month `date` (YYYY-MM) for `volume` chips sold by `seller`, a fact of vendor-margin, or "none".

    Raises DesignError for an unknown process, memory, seller or month, one before the memory's price path, a volume
    that is not positive; FactError for a price path with an undated price.
    """
    if not _MONTH.fullmatch(date):
        raise DesignError(f"'{date}' is no month; expected YYYY-MM")
    if not (math.isfinite(volume) and volume > 0):
        raise DesignError(f"the volume is {volume:g} chips; expected a number above 0")
    process = known_process(design.process, facts, _NEEDED)
    io = known_process(design.io_process, facts, _NEEDED) if design.io_process else process

    def of(subject: str, name: str, vintage: str = "") -> float | Array:
        return drawn(facts.get(subject, name, vintage=vintage), draws)

    interposer = design.package.startswith("cowos")
    memory = design.memory != "none"
    return Prices(
        month=date,
        volume_count=volume,
        seller=seller,
        memory_at_cost=facts.find("consigned-memory", seller) is not None,
        wafer_usd=_wafer(process, facts, draws, date),
        defects_count_per_mm2=of(process, "defect_density"),
        clustering_count=of("yield-model", "clustering"),
        io_wafer_usd=_wafer(io, facts, draws, date),
        io_defects_count_per_mm2=of(io, "defect_density"),
        memory_usd_per_byte=_memory(design.memory, facts, draws, date) if memory else 0.0,
        stack_bytes=of(f"memory-{design.memory}", "capacity") if memory else 0.0,
        stack_mm2=of(f"memory-{design.memory}", "width") * of(f"memory-{design.memory}", "height") if memory else 0.0,
        interposer_wafer_usd=of("packaging", f"{design.package.replace('-', '_')}_wafer") if interposer else 0.0,
        interposer_area_frac=of("packaging", "interposer_area_ratio") if interposer else 0.0,
        interposer_defects_count_per_mm2=of("packaging", "interposer_defect_density"),
        interposer_clustering_count=of("packaging", "interposer_clustering"),
        attach_frac=of("packaging", f"attach_yield_{design.package.replace('-', '_')}", date),
        substrate_area_frac=of("packaging", "substrate_area_ratio" + ("" if interposer else "_organic")),
        substrate_usd_per_mm2=of("packaging", "substrate_price"),
        assembly_usd=of("packaging", "assembly"),
        sort_usd_per_mm2=of("packaging", "sort_test"),
        final_test_usd=of("packaging", "final_test"),
        margin_frac=0.0 if seller == "none" else drawn(_margin(seller, facts), draws),
        wafer_mm=facts.get("dies", "wafer_diameter").number,
        edge_mm=facts.get("dies", "edge_exclusion").number,
        scribe_mm=facts.get("dies", "scribe_lane").number,
        technology=technology(design, facts, draws),
    )


def drawn(fact: Fact, draws: Draws | None) -> float | Array:
    """The fact's value as a float, or its samples, shape (draws.n,)."""
    return fact.number if draws is None or draws.n == 1 else draws.sample(fact)


def known_process(word: str, facts: Facts, needed: tuple[str, ...]) -> str:
    """The subject of a process of which all `needed` facts are known. Raises DesignError naming such processes."""
    known = [s for s in facts.subjects("process") if all(facts.find(s, name) for name in needed)]
    if f"process-{word}" not in known:
        words = [s.removeprefix("process-") for s in known]
        raise DesignError(f"the process '{word}' is unknown; {nearest(word, words)}")
    return f"process-{word}"


def _wafer(process: str, facts: Facts, draws: Draws | None, date: str) -> float | Array:
    """A wafer's price: as its source states it, raised for each later year from 2026 to 2029 that has begun by `date`.

    Before its source's date a price is left as it is.
    """
    fact = facts.get(process, "wafer_price")
    price = drawn(fact, draws)
    for year in range(max(2026, int(fact.as_of[:4]) + 1), min(2029, int(date[:4])) + 1):
        rise = "price_escalation_2026" if year == 2026 else "price_escalation_later"
        price = price * (1 + drawn(facts.get("foundry", rise), draws))
    return price


def _memory(kind: str, facts: Facts, draws: Draws | None, date: str) -> float | Array:
    """USD per byte in that month: straight lines between the dated prices, level after the last."""
    kinds = [s.removeprefix("memory-price-") for s in facts.subjects() if s.startswith("memory-price-")]
    if kind not in kinds:
        raise DesignError(f"the memory '{kind}' has no price path; {nearest(kind, kinds)}")
    path = [f for f in facts.of(f"memory-price-{kind}") if f.name == "price"]
    if undated := next((f for f in path if not f.vintage), None):
        raise FactError(f'{undated.place}: a price path needs each price\'s month; expected vintage = "YYYY-MM"')
    if date < path[0].vintage:
        raise DesignError(f"{date} is before the price path of {kind}, which begins in {path[0].vintage}")
    later = next((i for i, f in enumerate(path) if f.vintage > date), None)
    if later is None:
        return drawn(path[-1], draws)
    before, after = path[later - 1], path[later]
    share = (_months(date) - _months(before.vintage)) / (_months(after.vintage) - _months(before.vintage))
    return drawn(before, draws) * (1 - share) + drawn(after, draws) * share


def _months(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:7])


def _margin(seller: str, facts: Facts) -> Fact:
    fact = facts.find("vendor-margin", seller)
    if fact is None:
        sellers = ["none", *(f.name for f in facts.of("vendor-margin"))]
        raise DesignError(f"the seller '{seller}' is unknown; {nearest(seller, sellers)}")
    return fact


def die_yield(design: Design, area: Area, prices: Prices) -> Array:
    """The share of compute dies that have enough slices with enough arrays; everything else on the die is good.

    Matrix units can be spared by the array; vector units, SRAM and fabric of a slice with their slice. Overhead lies
    evenly on all blocks.
    """
    blocks = area.blocks_mm2
    spread = area.compute_die_mm2 / (area.compute_die_mm2 - blocks[OVERHEAD])
    matrix = blocks[MATRIX] * spread
    slices = (blocks[VECTOR] + blocks[SLICE_SRAM] + blocks[FABRIC]) * spread
    return harvested(
        prices.defects_count_per_mm2,
        array_mm2=matrix / (design.slices_count * design.arrays_per_slice_count),
        arrays_count=design.arrays_per_slice_count,
        spare_arrays_count=design.spare_arrays_per_slice_count,
        slice_rest_mm2=slices / design.slices_count,
        slices_count=design.slices_count,
        spare_slices_count=design.spare_slices_count,
        rest_mm2=area.compute_die_mm2 - matrix - slices,
        parameter=prices.clustering_count,
    )


def unit_cost(design: Design, area: Area, prices: Prices) -> UnitCost:
    """What one good package costs and sells for; shapes of design, area and prices broadcast.

    A die costs its share of the wafer and its sort test, over its yield; an interposer likewise. Parts are attached one
    by one to a good interposer (or substrate); one that fails costs all that is on it. The margin is a share of the
    price, without the memory where the seller takes the customer's. Structure after Feng and Ma, "Chiplet Actuary", DAC
    2022.
    """
    yielded = die_yield(design, area, prices)
    gross = _gross(area.compute_die_mm2, memory_edge_mm(design, prices.technology), prices)
    die = _good_die(area.compute_die_mm2, gross, prices.wafer_usd, yielded, prices)
    io_count = np.asarray(design.io_dies_count, float) if design.io_process else np.zeros(())
    io_yield, io_gross, io_die = np.ones(()), np.zeros(()), np.zeros(())
    if design.io_process:
        io_yield = negative_binomial(area.io_die_mm2, prices.io_defects_count_per_mm2, prices.clustering_count)
        io_gross = _gross(area.io_die_mm2, 0.0, prices)
        io_die = _good_die(area.io_die_mm2, io_gross, prices.io_wafer_usd, io_yield, prices)
    dies_mm2 = design.compute_dies_count * area.compute_die_mm2 + io_count * area.io_die_mm2
    parts_count = design.compute_dies_count + io_count
    memory = design.stacks_count * stack_bytes(design, prices) * prices.memory_usd_per_byte
    carried_mm2, interposer, interposer_yield, on_package = np.asarray(dies_mm2, float), np.zeros(()), np.ones(()), 0.0
    if design.package.startswith("cowos"):
        parts_count = parts_count + design.stacks_count
        on_package = 1.0
        carried_mm2 = prices.interposer_area_frac * (dies_mm2 + design.stacks_count * prices.stack_mm2)
        interposer_yield = negative_binomial(
            carried_mm2, prices.interposer_defects_count_per_mm2, prices.interposer_clustering_count
        )
        squares = gross_dies_of_area(carried_mm2, field_mm=_ANY_SIDE, **_wafer_mm(prices))
        interposer = _share(prices.interposer_wafer_usd, squares) / interposer_yield
    package_yield = prices.attach_frac**parts_count
    substrate = carried_mm2 * prices.substrate_area_frac * prices.substrate_usd_per_mm2
    compute = design.compute_dies_count * die
    links = io_count * io_die
    at_risk = compute + links + on_package * memory + interposer + prices.assembly_usd
    parts: dict[str, float | Array] = {
        DIES: compute,
        IO_DIES: links,
        MEMORY: memory,
        INTERPOSER: interposer,
        SUBSTRATE: substrate + prices.assembly_usd,
        TEST: prices.final_test_usd,
        LOST: at_risk * (1 / package_yield - 1),
    }
    total: Array = np.asarray(sum(parts.values()), float)
    marked_up = total - (memory if prices.memory_at_cost else 0.0)
    parts[MARGIN] = marked_up * prices.margin_frac / (1 - np.asarray(prices.margin_frac))
    shape = total.shape

    def full(x: float | Array) -> Array:
        return np.broadcast_to(np.asarray(x, float), shape)

    return UnitCost(
        parts_usd={name: full(usd) for name, usd in parts.items()},
        total_usd=total,
        price_usd=total + full(parts[MARGIN]),
        die_usd=full(die),
        io_die_usd=full(io_die),
        gross_dies_count=full(gross),
        gross_io_dies_count=full(io_gross),
        die_yield_frac=full(yielded),
        io_die_yield_frac=full(io_yield),
        interposer_mm2=full(carried_mm2 if on_package else 0.0),
        interposer_yield_frac=full(interposer_yield),
        package_yield_frac=full(package_yield),
    )


def stack_bytes(design: Design, prices: Prices) -> float | Array:
    """What a stack holds: the design's own figure where it gives one, else that of its kind."""
    own = np.asarray(design.stack_bytes, float)
    return np.where(own > 0, own, prices.stack_bytes)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Dies with the sides that the design's area gives them; equal where these figures are."""

    edge_mm: float
    figures: tuple[float, ...]
    technology: Technology = field(compare=False)

    def sides_mm(self, area_mm2: Array) -> tuple[Array, Array]:
        """Short and long sides of dies of these areas."""
        short, long = die_sides_mm(area_mm2, self.technology, self.edge_mm)
        return np.asarray(short, float), np.asarray(long, float)


def _gross(die_mm2: float | Array, edge_mm: float | Array, prices: Prices) -> Array:
    """Whole dies on a wafer, of dies whose PHYs need that much of a long side.

    Designs have few such needs, samples each their own; where they are few, counts are remembered by area.
    """
    t = prices.technology
    mm2, edges = np.broadcast_arrays(np.asarray(die_mm2, float), np.asarray(edge_mm, float))
    needs = np.unique(edges)
    if len(needs) > _FEW:
        short, long = die_sides_mm(mm2, t, edges)
        return gross_dies(short, long, **_wafer_mm(prices)).astype(float)
    figures = (t.reticle_width_mm, t.reticle_height_mm, t.aspect_ratio_frac)
    gross = np.empty(mm2.shape)
    for need in needs:
        these = edges == need
        gross[these] = gross_dies_of_outline(mm2[these], _Drawn(float(need), figures, t), **_wafer_mm(prices))
    return gross


def _good_die(mm2: float | Array, gross: Array, wafer_usd: float | Array, yielded: Array, prices: Prices) -> Array:
    """One known good die: its share of the wafer and its sort test, over the yield."""
    usd: Array = (_share(wafer_usd, gross) + prices.sort_usd_per_mm2 * mm2) / yielded
    return usd


def _share(wafer_usd: float | Array, gross: ArrayLike) -> Array:
    """A die's share of its wafer's price; infinite where none fits."""
    with np.errstate(divide="ignore"):
        return np.asarray(wafer_usd / np.asarray(gross, float), float)


def _wafer_mm(prices: Prices) -> dict[str, float]:
    return {"scribe_mm": prices.scribe_mm, "edge_mm": prices.edge_mm, "wafer_mm": prices.wafer_mm}
