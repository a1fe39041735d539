"""Fits what no count of blocks sees, on two chips: `python -m scoville.silicon.fit` prints the facts `chip-overhead`.

Two equations each, linear in the unknowns: die area = (1 + share) x (blocks + lane area x lanes), and TDP =
(1 + share) x (digital work + lane energy x lanes' clocks) + the rest. No other chip is looked at; docs/silicon.md has
what the constants predict for others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scoville.facts import Facts, load
from scoville.silicon.area import area
from scoville.silicon.design import read_design
from scoville.silicon.power import bound_by_products, power
from scoville.silicon.technology import technology

CHIPS = ("a100", "mtia-2i")


@dataclass(frozen=True, slots=True)
class Overheads:
    """The four constants of `chip-overhead`: shares over all blocks, and a lane's area and energy a clock in N7."""

    area_frac: float
    lane_mm2: float
    power_frac: float
    lane_j: float


def fit(facts: Facts, chips: tuple[str, str] = CHIPS) -> Overheads:
    """The overheads that give the published die area and TDP (subjects `published-*`) of these two bundled designs.

    Both are taken to be hottest in a step bound by its products.
    """
    area_rows, mm2, power_rows, w = [], [], [], []
    for chip in chips:
        design = read_design(chip)
        t = technology(design, facts)
        smaller = t.vector_lane_mm2 / facts.get("chip-overhead", "lane_area").number
        cooler = t.lane_j / facts.get("chip-overhead", "lane_energy").number
        bare = replace(t, overhead_frac=0.0, vector_lane_mm2=0.0, power_overhead_frac=0.0, lane_j=0.0)
        die = facts.get(f"published-{chip}", "die_area").number
        blocks = area(design, bare)
        area_rows.append([blocks.compute_die_mm2, design.slices_count * design.vector_lanes_per_slice_count * smaller])
        mm2.append(die)

        built = replace(blocks, compute_die_mm2=die)
        busy = bound_by_products(bare)
        total = power(design, bare, built, busy).total_w
        digital = power(design, replace(bare, power_overhead_frac=1.0), built, busy).total_w - total
        lanes = power(design, replace(bare, lane_j=cooler), built, busy).total_w - total
        power_rows.append([digital, lanes])
        w.append(facts.get(f"published-{chip}", "tdp").number - (total - digital))
    over, lane_mm2 = np.linalg.solve(np.array(area_rows, float), np.array(mm2, float))
    power_over, lane_j = np.linalg.solve(np.array(power_rows, float), np.array(w, float))
    return Overheads(float(over) - 1.0, float(lane_mm2 / over), float(power_over) - 1.0, float(lane_j / power_over))


def main() -> None:
    """Prints the four constants as they stand in facts/silicon.toml."""
    found = fit(load())
    for name, value in (
        ("area", f"{100 * found.area_frac:.1f} %"),
        ("lane_area", f"{found.lane_mm2:.4f} mm2"),
        ("power", f"{100 * found.power_frac:.1f} %"),
        ("lane_energy", f"{found.lane_j * 1e12:.2f} pJ"),
    ):
        print(f'[chip-overhead.{name}]\nvalue = "{value}"\n')


if __name__ == "__main__":
    main()
