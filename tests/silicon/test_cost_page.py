"""The tables of docs/silicon-cost.md, reckoned anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoville.facts import Facts, load
from scoville.silicon import yields
from scoville.silicon.area import FABRIC, MATRIX, MEMORY_PHY, OVERHEAD, SLICE_SRAM, VECTOR, Area
from scoville.silicon.carbon import embodied
from scoville.silicon.cost import DIES, INTERPOSER, IO_DIES, LOST, MEMORY, SUBSTRATE, TEST, prices, unit_cost
from scoville.silicon.design import Design, read_design
from scoville.silicon.program import program
from scoville.silicon.wafer import chiplet_actuary_dies, gross_dies

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "silicon-cost.md"
WAFER = {"scribe_mm": 0.1, "edge_mm": 3.0, "wafer_mm": 300.0}


def divided(die_mm2: float, matrix: float, slices: float, io_mm2: float = 0.0) -> Area:
    """A die of which these shares are matrix units and the rest of the slices."""
    blocks = {
        MATRIX: matrix * die_mm2, VECTOR: slices * die_mm2, SLICE_SRAM: 0.0, FABRIC: 0.0, OVERHEAD: 0.0,
        MEMORY_PHY: (1 - matrix - slices) * die_mm2,
    }  # fmt: skip
    return Area(blocks, {}, {}, die_mm2, io_mm2)


def wafers(_: Facts) -> list[str]:
    sizes = ((26, 33), (26, 31.3), (20, 20), (10, 10), (5, 5))
    return [
        f"| {w} x {h} mm | {int(gross_dies(w, h, **WAFER)):,} | {float(chiplet_actuary_dies(w * h)):,.1f} |"
        for w, h in sizes
    ]


def formulas(_: Facts) -> list[str]:
    of: list[tuple[str, Callable[[float], float]]] = [
        ("Poisson", lambda d: float(yields.poisson(858, d))),
        ("Murphy", lambda d: float(yields.murphy(858, d))),
        ("Seeds", lambda d: float(yields.seeds(858, d))),
        ("negative binomial, a = 3", lambda d: float(yields.negative_binomial(858, d, 3))),
        ("negative binomial, a = 10", lambda d: float(yields.negative_binomial(858, d, 10))),
        ("Bose-Einstein, n = 1", lambda d: float(yields.bose_einstein(858, d, 1))),
    ]
    return [f"| {name} | {y(0.0007):.3f} | {y(0.001):.3f} | {y(0.0015):.3f} |" for name, y in of]


def spares(_: Facts) -> list[str]:
    die = {"array_mm2": 0.2, "arrays_count": 16, "slice_rest_mm2": 3.2, "slices_count": 64, "rest_mm2": 840 - 64 * 6.4}
    rows = []
    for arrays, slices in ((0, 0), (1, 0), (0, 2), (1, 2), (1, 4)):
        y = yields.harvested(0.001, **die, spare_arrays_count=arrays, spare_slices_count=slices)
        rows.append(f"| {arrays} | {slices} | {float(y):.3f} |")
    return rows


def h100() -> Design:
    return read_design("h100")


def b200() -> Design:
    return replace(
        h100(), compute_dies_count=2, slices_count=80, spare_slices_count=6, memory="hbm3e", stacks_count=8,
        stack_bytes=24 * 2.0**30, package="cowos-l",
    )  # fmt: skip


def bills(facts: Facts) -> list[str]:
    bought = (
        unit_cost(h100(), divided(814, 0.15, 0.45), prices(h100(), facts, date="2023-01", volume=1e6, seller="none")),
        unit_cost(b200(), divided(800, 0.15, 0.45), prices(b200(), facts, date="2025-01", volume=1e6, seller="none")),
    )
    jalapeno = read_design("jalapeno")
    size = divided(840, 0.2, 0.25, io_mm2=100)
    ours = (*bought, unit_cost(jalapeno, size, prices(jalapeno, facts, date="2026-12", volume=7e5, seller="none")))
    rows = []
    for part in (DIES, IO_DIES, MEMORY, INTERPOSER, SUBSTRATE, TEST, LOST):
        rows.append(f"| {part} | " + " | ".join(f"{float(u.parts_usd[part]):,.0f}" for u in ours) + " |")
    rows.append("| **sum** | " + " | ".join(f"**{float(u.total_usd):,.0f}**" for u in ours) + " |")
    for name, values in (
        ("gross dies", [f"{float(u.gross_dies_count):.0f}" for u in ours]),
        ("die yield", [f"{float(u.die_yield_frac):.3f}" for u in ours]),
        ("good die, USD", [f"{float(u.die_usd):,.0f}" for u in ours]),
        ("package yield", [f"{float(u.package_yield_frac):.3f}" for u in ours]),
    ):
        rows.append(f"| {name} | " + " | ".join(values) + " |")
    return rows


def memories(facts: Facts) -> list[str]:
    rows = []
    for month in ("2023-01", "2024-01", "2025-01", "2026-01", "2027-01", "2028-01"):
        row = []
        for kind in ("hbm3", "hbm3e", "hbm4"):
            first = next(f.vintage for f in facts.of(f"memory-price-{kind}"))
            if month < first:
                row.append("-")
                continue
            priced = prices(replace(h100(), memory=kind), facts, date=month, volume=1.0)
            row.append(f"{float(priced.memory_usd_per_byte) * 2**30:.1f}")
        rows.append(f"| {month} | {' | '.join(row)} |")
    return rows


def programmes(facts: Facts) -> list[str]:
    design = read_design("jalapeno")
    new = program(design, facts, start="2024-10")
    successor = program(design, facts, start="2024-10", reused_frac=None)
    rows = [
        f"| {part} | {float(new.parts_usd[part]) / 1e6:.0f} | {float(successor.parts_usd[part]) / 1e6:.0f} |"
        for part in new.parts_usd
    ]
    rows.append(f"| **sum** | **{float(new.nre_usd) / 1e6:.0f}** | **{float(successor.nre_usd) / 1e6:.0f}** |")
    for name, field, was in (
        ("first RTL", "rtl_s", "2025-02"), ("tape-out", "tape_out_s", "2025-11"),
        ("first silicon", "silicon_s", "2026-05"), ("volume", "volume_s", "end of 2027"),
    ):  # fmt: skip
        rows.append(f"| {name} | {new.month(float(getattr(new, field)))} | {was} |")
    return rows


def carbons(facts: Facts) -> list[str]:
    design, size = h100(), divided(814, 0.15, 0.45)
    priced = prices(design, facts, date="2023-01", volume=1e6)
    found = embodied(design, size, unit_cost(design, size, priced), priced, facts)
    rows = [f"| {part} | {float(kg):.1f} |" for part, kg in found.parts_kg.items() if np.any(kg > 0)]
    return [*rows, f"| **sum** | **{float(found.total_kg):.1f}** |"]


@pytest.mark.parametrize(
    "table", [wafers, formulas, spares, bills, memories, programmes, carbons], ids=lambda t: str(t.__name__)
)
def test_the_pages_tables_are_what_the_code_gives(table: Callable[[Facts], list[str]]) -> None:
    lines = DOCUMENT.read_text("utf-8").splitlines()
    for line in table(load()):
        assert line in lines, f"docs/silicon-cost.md lacks or contradicts: {line}"
