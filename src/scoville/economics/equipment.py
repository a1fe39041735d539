"""What one chip costs to have and to run, before any annuity: purchase, building, energy, operation and repairs.

The same figures that `hourly.owned` turns into an hour; a test holds the two to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scoville.economics.annuity import YEAR_S, Array
from scoville.economics.hourly import NotOffered
from scoville.economics.terms import OwnershipTerms, Power, Reading, newest
from scoville.facts import Accelerator, Draws, Fact, Facts


@dataclass(frozen=True, slots=True, eq=False)
class Equipment:
    """One chip with its share of server, network and building; each shape (n,).

    `chip_usd` is what its seller gets, `system_usd` server and network. Energy is at the average load, repairs are a
    share of chip and system a second. `site_w` is drawn at rating.
    """

    name: str
    chip_usd: Array
    system_usd: Array
    facility_usd: Array
    energy_usd_per_s: Array
    operation_usd_per_s: Array
    repairs_count_per_s: Array
    site_w: Array
    life_s: Array
    facility_life_s: Array
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def price_usd(self) -> Array:
        """Chip and system."""
        return self.chip_usd + self.system_usd

    @property
    def running_usd_per_s(self) -> Array:
        """Energy, operation and repairs."""
        return self.energy_usd_per_s + self.operation_usd_per_s + self.repairs_count_per_s * self.price_usd

    def priced(self, chip_usd: Array, system_usd: Array) -> Equipment:
        """The same at other prices."""
        return replace(self, chip_usd=chip_usd, system_usd=system_usd)


def equipment(
    accelerator: Accelerator, facts: Facts, draws: Draws, terms: OwnershipTerms, *, chip_usd: Array | None = None
) -> Equipment | NotOffered:
    """What a chip takes of its owner. `chip_usd` (n,) in the place of a known price: what its owner pays for it.

    Otherwise price_system or price_chip, newest up to the terms' vintage, as `hourly.owned` reads them; a chip of which
    only a published hourly cost is known has no purchase price and is refused, as is one without any power.
    """
    reading = Reading(facts, draws, terms)
    power = reading.power(accelerator)
    if power is None:
        return NotOffered("own", f"{accelerator.name}: neither all-in power, utility power nor TDP is known")
    factor = reading.term("purchase_factor")
    zero = np.zeros(draws.n)
    server, network, paid = reading.term("system_adder") * factor, zero, chip_usd
    includes_network = False
    if paid is None:
        found = [
            (name, fact)
            for name in ("price_system", "price_chip")
            if (fact := newest(accelerator.facts.get(name, ()), terms.vintage, terms.owner))
        ]
        if not found:
            return NotOffered("own", f"no purchase price of {accelerator.name} for a {terms.owner} is known")
        name, price = found[0]
        paid = reading.sample(price) * (1.0 if price.owner else factor)
        if name == "price_system":
            server, includes_network = zero, "network" in price.includes
    if not includes_network:
        share = reading.term("network_share")
        network = (paid + server) * share / (1 - share)
    return _equipment(accelerator, reading, power, paid, server + network)


def _equipment(accelerator: Accelerator, reading: Reading, power: Power, chip: Array, system: Array) -> Equipment:
    terms = reading.terms
    electricity = reading.term("electricity", terms.electricity_usd_per_j)
    return Equipment(
        name=accelerator.name,
        chip_usd=chip,
        system_usd=system,
        facility_usd=reading.term("facility", terms.facility_usd_per_w) * power.it_w,
        energy_usd_per_s=power.site_w * reading.term("load") * electricity,
        operation_usd_per_s=power.it_w * reading.term("operation"),
        repairs_count_per_s=reading.term("failure_rate") * reading.term("failure_cost"),
        site_w=power.site_w,
        life_s=np.maximum(reading.term("it_life", terms.it_life_s), YEAR_S / 4),
        facility_life_s=reading.term("facility_life", terms.facility_life_s),
        facts=tuple(reading.used),
        notes=tuple(reading.notes),
    )
