"""What a chip is made of: a design to area, power, yield, cost, dates, and an `Accelerator` like any other.

`read_design` reads a design file, `technology` draws what its process and memory are worth, `area` and `power` follow.
"""

from scoville.silicon.accelerator import accelerator, as_facts
from scoville.silicon.area import Area, area
from scoville.silicon.chip import Chip, build
from scoville.silicon.design import Design, bundled, read_design
from scoville.silicon.floorplan import Floorplan, Rectangle, floorplan
from scoville.silicon.limits import broken, check
from scoville.silicon.peak import peak_flop_per_s
from scoville.silicon.power import Activity, Power, power
from scoville.silicon.technology import Technology, technology

__all__ = [
    "Activity",
    "Area",
    "Chip",
    "Design",
    "Floorplan",
    "Power",
    "Rectangle",
    "Technology",
    "accelerator",
    "area",
    "as_facts",
    "broken",
    "build",
    "bundled",
    "check",
    "floorplan",
    "peak_flop_per_s",
    "power",
    "read_design",
    "technology",
]
