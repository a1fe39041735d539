"""One design as a finished chip: area, power, yield, cost, programme and carbon, each with its range and its parts.

`build` runs the same arithmetic twice, with central figures and with drawn ones; it is what `scoville chip` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.errors import DesignError
from scoville.facts import Draws, Facts, Range
from scoville.silicon.area import Area, area
from scoville.silicon.carbon import Carbon, embodied
from scoville.silicon.cost import UnitCost, prices, unit_cost
from scoville.silicon.design import Array, Design
from scoville.silicon.floorplan import Floorplan, floorplan
from scoville.silicon.limits import check
from scoville.silicon.peak import peak_flop_per_s
from scoville.silicon.power import Power, power
from scoville.silicon.program import Program, month_after, program, start_for
from scoville.silicon.technology import Technology, technology


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A design built: every figure with P10, base and P90.

    `figures` are the headline ones by name; `area` (one compute die), `io_area` (one I/O die), `power`, `cost`, `nre`
    and `carbon` divide them into parts. `milestones` are months (P10, base, P90). `floorplan` is that of the central
    figures. `notes` say what was assumed.
    """

    design: Design
    month: str
    start: str
    volume_count: float
    seller: str
    peak_flop_per_s: Mapping[str, float]
    figures: Mapping[str, Range]
    area: Mapping[str, Range]
    io_area: Mapping[str, Range]
    power: Mapping[str, Range]
    cost: Mapping[str, Range]
    nre: Mapping[str, Range]
    carbon: Mapping[str, Range]
    milestones: Mapping[str, tuple[str, str, str]]
    floorplan: Floorplan
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """One run of the arithmetic: central, or n samples side by side."""

    technology: Technology
    area: Area
    power: Power
    unit: UnitCost
    program: Program
    carbon: Carbon

    def figures(self, volume: float) -> dict[str, tuple[float | Array, str]]:
        """The headline figures, each with its measure."""
        unit, once = self.unit, self.program.nre_usd
        return {
            "compute die": (self.area.compute_die_mm2, "mm2"),
            "I/O die": (self.area.io_die_mm2, "mm2"),
            "interposer": (unit.interposer_mm2, "mm2"),
            "TDP": (self.power.tdp_w, "w"),
            "power density": (self.power.w_per_mm2, "w_per_mm2"),
            "memory bandwidth under the cap": (self.power.memory_bytes_per_s_under_cap, "bytes_per_s"),
            "gross dies a wafer": (unit.gross_dies_count, "count"),
            "die yield": (unit.die_yield_frac, "frac"),
            "package yield": (unit.package_yield_frac, "frac"),
            "known good die": (unit.die_usd, "usd"),
            "unit cost": (unit.total_usd, "usd"),
            "price": (unit.price_usd, "usd"),
            "one-time cost": (once, "usd"),
            "one-time cost per chip": (once / volume, "usd"),
            "price with one-time cost": (unit.price_usd + once / volume, "usd"),
            "embodied carbon": (self.carbon.total_kg, "kg"),
        }


def build(
    design: Design,
    facts: Facts,
    draws: Draws,
    *,
    date: str,
    volume: float,
    seller: str = "broadcom_xpu",
    start: str = "",
    reused_frac: float | None = 0.0,
) -> Chip:
    """The chip that one design becomes, bought at the prices of month `date` (YYYY-MM), `volume` of them in all.

    The programme begins in month `start`; left out, so that volume is reached in `date`. `seller` is a fact of
    vendor-margin or "none"; `reused_frac` as in `program`. Raises DesignError for several designs at once, for one that
    breaks a limit on central figures (`limits.check`), and for whatever `prices` and `program` refuse.
    """
    if any(np.size(x) != 1 for x in (design.compute_dies_count, design.slices_count, design.stacks_count)):
        raise DesignError(f"{design.name}: several designs side by side; expected one design")
    begun = start or start_for(date, program(design, facts, start=date))
    central, sampled = (
        _built(design, facts, d, date=date, volume=volume, seller=seller, start=begun, reused_frac=reused_frac)
        for d in (None, draws)
    )

    check(design, central.area, central.power, central.technology)

    def ranges(
        base: Mapping[str, float | Array], samples: Mapping[str, float | Array], measure: str
    ) -> dict[str, Range]:
        return {name: _range(base[name], samples[name], measure) for name in base}

    drawn = sampled.figures(volume)
    return Chip(
        design=design,
        month=date,
        start=begun,
        volume_count=volume,
        seller=seller,
        peak_flop_per_s={_formats(*pair): float(rate) for pair, rate in peak_flop_per_s(design).items()},
        figures={n: _range(base, drawn[n][0], m) for n, (base, m) in central.figures(volume).items()},
        area=ranges(central.area.blocks_mm2, sampled.area.blocks_mm2, "mm2"),
        io_area=ranges(central.area.io_blocks_mm2, sampled.area.io_blocks_mm2, "mm2"),
        power=ranges(central.power.blocks_w, sampled.power.blocks_w, "w"),
        cost=ranges(central.unit.parts_usd, sampled.unit.parts_usd, "usd"),
        nre=ranges(central.program.parts_usd, sampled.program.parts_usd, "usd"),
        carbon=ranges(central.carbon.parts_kg, sampled.carbon.parts_kg, "kg"),
        milestones={
            name: _months(begun, getattr(central.program, field), getattr(sampled.program, field))
            for name, field in (
                ("first RTL", "rtl_s"),
                ("tape-out", "tape_out_s"),
                ("first silicon", "silicon_s"),
                ("volume", "volume_s"),
            )
        },
        floorplan=floorplan(design, central.area, central.technology),
        notes=_notes(design, facts, seller),
    )


def _built(
    design: Design,
    facts: Facts,
    draws: Draws | None,
    *,
    date: str,
    volume: float,
    seller: str,
    start: str,
    reused_frac: float | None,
) -> _Built:
    price = prices(design, facts, draws, date=date, volume=volume, seller=seller)
    figures = technology(design, facts, draws)
    size = area(design, figures)
    unit = unit_cost(design, size, price)
    return _Built(
        figures,
        size,
        power(design, figures, size),
        unit,
        program(design, facts, draws, start=start, reused_frac=reused_frac),
        embodied(design, size, unit, price, facts, draws),
    )


def _formats(weights: str, activations: str) -> str:
    return weights if weights == activations else f"{weights}_{activations}"


def _range(base: float | Array, samples: float | Array, measure: str) -> Range:
    return Range.of(float(base), np.atleast_1d(np.asarray(samples, float)), measure)


def _months(start: str, base: float | Array, samples: float | Array) -> tuple[str, str, str]:
    span = _range(base, samples, "s")
    return month_after(start, span.p10), month_after(start, span.central), month_after(start, span.p90)


def _notes(design: Design, facts: Facts, seller: str) -> tuple[str, ...]:
    clustering = facts.get("yield-model", "clustering").number
    notes = [
        f"yield: negative binomial, clustering {clustering:g}",
        "matrix units are spared by the array, all else of a slice with its slice",
        "SRAM is taken without repair by spare rows and columns",
        "masks, design and respins of one compute die" + (" and one I/O die" if design.io_process else ""),
        "one-time cost is that of the process for a large chip, however small or regular this one is",
    ]
    if facts.find("consigned-memory", seller):
        notes.append("the seller takes the customer's memory at cost; its margin is on all else")
    return tuple(notes)
