"""What an hour of an accelerator costs: rented at a dated price, or owned, bottom-up or as published.

Owned, per chip and hour (docs/cost.md works an H100 through): the chip, its share of server and network as an annuity
at the WACC over the life of the equipment; its IT power times the facility's price per watt as an annuity over the
facility's life; site power (PUE inside) x average load x electricity; operation per IT watt, repairs per purchase.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from scoville.economics.annuity import Array, hourly
from scoville.economics.terms import OwnershipTerms, Power, Reading, newest
from scoville.errors import StudyError
from scoville.facts import Accelerator, Draws, Fact, Facts

Term = Literal["3yr", "1yr", "on_demand", "spot"]
TERMS: tuple[Term, ...] = ("3yr", "1yr", "on_demand", "spot")


@dataclass(frozen=True, slots=True)
class CostParts:
    """An owned chip-hour by layer, each shape (n,). Where a layer is not known apart it is in `unsplit_usd_per_h`.

    `unsplit` says what that holds ("" when nothing). `packaging` includes test and whatever else a bill of materials
    lists; `vendor_margin` is the price paid less the bill of materials, NRE inside it; `operation` includes repairs.
    """

    silicon_usd_per_h: Array
    memory_usd_per_h: Array
    packaging_usd_per_h: Array
    unsplit_usd_per_h: Array
    vendor_margin_usd_per_h: Array
    system_network_usd_per_h: Array
    data_centre_usd_per_h: Array
    power_usd_per_h: Array
    operation_usd_per_h: Array
    unsplit: str = ""

    def layers(self) -> tuple[tuple[str, Array], ...]:
        """(layer, USD per hour) from the chip outward; the unsplit part under the words that say what it holds."""
        return tuple(
            (self.unsplit or "not split" if f.name == "unsplit_usd_per_h" else _words(f.name), getattr(self, f.name))
            for f in fields(self)
            if f.name != "unsplit"
        )

    @property
    def total_usd_per_h(self) -> Array:
        """The sum of all layers."""
        total: Array = np.sum([value for _, value in self.layers()], axis=0)
        return total


@dataclass(frozen=True, slots=True)
class HourlyCost:
    """USD per accelerator-hour, shape (n,), with what it rests on. `parts` is None where the layers are not known."""

    tenure: Literal["rent", "own"]
    total_usd_per_h: Array
    parts: CostParts | None
    basis: str
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotOffered:
    """A chip that cannot be had that way, and why."""

    tenure: Literal["rent", "own"]
    reason: str


def _words(name: str) -> str:
    """'data_centre_usd_per_h' -> 'data centre'; system_network reads 'system and network'."""
    return name.removesuffix("_usd_per_h").replace("system_network", "system_and_network").replace("_", " ")


def _dated(fact: Fact, vintage: str) -> str:
    """A remark when a figure is of another month than asked, else ''; '2026' may be any of its months."""
    date = (fact.vintage or fact.as_of)[:7]
    return "" if not vintage or vintage.startswith(date) else f"{fact.name} is of {date}, asked for {vintage}"


def rented(accelerator: Accelerator, draws: Draws, *, vintage: str, term: Term = "3yr") -> HourlyCost | NotOffered:
    """Market price of an hour: the newest quote up to the vintage. Raises StudyError for an unknown term.

    Among quotes of one month the one without an
    owner is the market's; else the cheapest counts.
    """
    if term not in TERMS:
        raise StudyError(f"prices: rental term is '{term}'; allowed: {', '.join(TERMS)}")
    offers = {t: accelerator.facts.get(f"rent_{t}", ()) for t in TERMS}
    if not any(offers.values()):
        return NotOffered("rent", f"nobody rents {accelerator.name}")
    if not offers[term]:
        known = ", ".join(t for t in TERMS if offers[t])
        return NotOffered("rent", f"no price of a {term} rental of {accelerator.name} is known; known terms: {known}")
    fitting = [f for f in offers[term] if not vintage or f.vintage <= vintage]
    if not fitting:
        first = min(f.vintage for f in offers[term])
        return NotOffered(
            "rent", f"no {term} rental of {accelerator.name} up to {vintage}; the first price is of {first}"
        )
    fact = min(fitting, key=lambda f: (-_month(f.vintage), f.owner != "", f.number))
    seller = f" from a {fact.owner}" if fact.owner else ""
    note = _dated(fact, vintage)
    return HourlyCost(
        tenure="rent",
        total_usd_per_h=draws.sample(fact),
        parts=None,
        basis=f"{fact.name} {(fact.vintage or fact.as_of)[:7]}{seller}",
        facts=(fact,),
        notes=(note,) if note else (),
    )


def _month(vintage: str) -> int:
    return int(vintage.replace("-", "")[:6] or 0)


def owned(accelerator: Accelerator, facts: Facts, draws: Draws, terms: OwnershipTerms) -> HourlyCost | NotOffered:
    """Cost of an hour of a chip that one owns, shape (n,) throughout.

    Bottom-up from price_system (a share of a server or rack) or price_chip, newest up to the vintage; where there is no
    purchase price, the published own_hourly of that owner, rescaled by nothing. A price that is stated for an owner is
    what that owner pays; any other is a street price and takes the owner's purchase factor. Raises FactError where the
    site's own facts are missing.
    """
    reading = Reading(facts, draws, terms)
    published = newest(accelerator.facts.get("own_hourly", ()), terms.vintage, terms.owner)
    power = reading.power(accelerator)
    for name in ("price_system", "price_chip"):
        price = newest(accelerator.facts.get(name, ()), terms.vintage, terms.owner)
        if price is None:
            continue
        if power is None:
            return NotOffered("own", f"{accelerator.name}: neither all-in power, utility power nor TDP is known")
        parts = _bottom_up(accelerator, reading, price, power)
        total = parts.total_usd_per_h
        if published is not None:
            off = float(np.median(total)) / published.number - 1
            when = (published.vintage or published.as_of)[:7]
            reading.notes.append(f"published for {when}: {published.number:.2f} USD/h, this is {off:+.0%} off it")
        return _cost(reading, total, parts, f"bottom-up from {name} {(price.vintage or price.as_of)[:7]}", price)
    if published is None:
        return NotOffered("own", _why_not(accelerator, terms))
    total = reading.sample(published)
    basis = " ".join(("published own_hourly", (published.vintage or published.as_of)[:7], published.owner)).strip()
    outer = None if power is None else _published(reading, total, power)
    return _cost(reading, total if outer is None else outer.total_usd_per_h, outer, basis, published)


def _why_not(accelerator: Accelerator, terms: OwnershipTerms) -> str:
    known = [f for name in ("price_system", "price_chip", "own_hourly") for f in accelerator.facts.get(name, ())]
    if not known:
        return f"no purchase price and no owner's cost of {accelerator.name} is known"
    which = ", ".join(f"{f.name} {(f.vintage or f.as_of)[:7]} {f.owner}".strip() for f in known)
    return f"no price of {accelerator.name} holds for a {terms.owner} up to {terms.vintage}; known: {which}"


def _cost(reading: Reading, total: Array, parts: CostParts | None, basis: str, price: Fact) -> HourlyCost:
    note = _dated(price, reading.terms.vintage)
    notes = (*((note,) if note else ()), *reading.notes)
    return HourlyCost("own", total, parts, basis, tuple(reading.used), notes)


def _site(reading: Reading, power: Power) -> tuple[Array, Array, Array]:
    """Data centre, energy and operation without repairs, USD per hour."""
    terms = reading.terms
    facility = reading.term("facility", terms.facility_usd_per_w) * power.it_w
    data_centre = hourly(facility, reading.term("wacc", terms.wacc_frac), _facility_life(reading))
    electricity = reading.term("electricity", terms.electricity_usd_per_j)
    energy = power.site_w * reading.term("load") * electricity * 3600
    return data_centre, energy, power.it_w * reading.term("operation") * 3600


def _facility_life(reading: Reading) -> Array:
    return reading.term("facility_life", reading.terms.facility_life_s)


def _bottom_up(accelerator: Accelerator, reading: Reading, price: Fact, power: Power) -> CostParts:
    """Every layer of an owned chip-hour from its purchase price; see the module's first lines."""
    terms = reading.terms
    factor = reading.term("purchase_factor")
    paid = reading.sample(price) * (1.0 if price.owner else factor)
    zero = np.zeros(reading.draws.n)
    is_system = price.name == "price_system"
    server = zero if is_system else reading.term("system_adder") * factor
    network = zero
    if is_system and "network" in price.includes:
        reading.notes.append(f"{price.name} includes networking")
    else:
        share = reading.term("network_share")
        network = (paid + server) * share / (1 - share)

    rate, life = reading.term("wacc", terms.wacc_frac), reading.term("it_life", terms.it_life_s)
    capex = paid + server + network
    repairs = capex * reading.term("failure_rate") * reading.term("failure_cost") * 3600
    silicon, memory, packaging, margin, unsplit, label = _chip(accelerator, reading, paid, is_system)
    data_centre, energy, operation = _site(reading, power)

    def per_hour(usd: Array) -> Array:
        return hourly(usd, rate, life)

    return CostParts(
        silicon_usd_per_h=per_hour(silicon),
        memory_usd_per_h=per_hour(memory),
        packaging_usd_per_h=per_hour(packaging),
        vendor_margin_usd_per_h=per_hour(margin),
        unsplit_usd_per_h=per_hour(unsplit),
        system_network_usd_per_h=per_hour(server + network),
        data_centre_usd_per_h=data_centre,
        power_usd_per_h=energy,
        operation_usd_per_h=operation + repairs,
        unsplit=label,
    )


def _chip(
    accelerator: Accelerator, reading: Reading, paid: Array, is_system: bool
) -> tuple[Array, Array, Array, Array, Array, str]:
    """Silicon, memory, packaging, vendor's margin, unsplit (USD each) and what the unsplit part holds.

    bom_total, where there is one, is drawn and split in proportion to its central parts; packaging takes the rest. In a
    share of a whole system, what is paid beyond the chip's materials is margin and system in one.
    """
    zero = np.zeros(reading.draws.n)
    bom = {
        name: fact
        for name in ("bom_total", "bom_logic", "bom_memory", "bom_packaging", "bom_test", "bom_other")
        if (fact := newest(accelerator.facts.get(name, ()), reading.terms.vintage, reading.terms.owner))
    }
    total = bom.pop("bom_total", None)
    itemised = "bom_logic" in bom and "bom_memory" in bom and (total is not None or "bom_packaging" in bom)
    if not itemised:
        if is_system:
            return zero, zero, zero, zero, paid, "chip and system, not split"
        if total is None:
            return zero, zero, zero, zero, paid, "chip, not split"
        cost = reading.sample(total)
        return zero, zero, zero, paid - cost, cost, "chip's bill of materials, not split"
    if total is None:
        silicon, memory = reading.sample(bom["bom_logic"]), reading.sample(bom["bom_memory"])
        rest = sum((reading.sample(f) for n, f in bom.items() if n not in ("bom_logic", "bom_memory")), start=zero)
    else:
        cost = reading.sample(total)
        listed = max(total.number, sum(f.number for f in bom.values()))
        silicon, memory = (cost * (bom[name].number / listed) for name in ("bom_logic", "bom_memory"))
        rest = cost - silicon - memory
    beyond = paid - silicon - memory - rest
    if is_system:
        return silicon, memory, rest, zero, beyond, "vendor margin and system, not split"
    return silicon, memory, rest, beyond, zero, ""


def _published(reading: Reading, total: Array, power: Power) -> CostParts | None:
    """A published total with the layers that can be reckoned without a price; None where they exceed the total."""
    data_centre, energy, operation = _site(reading, power)
    rest = total - data_centre - energy - operation
    if np.any(rest < 0):
        reading.notes.append("the published cost is below facility, power and operation at this site: not split")
        return None
    zero = np.zeros(reading.draws.n)
    return CostParts(
        silicon_usd_per_h=zero,
        memory_usd_per_h=zero,
        packaging_usd_per_h=zero,
        unsplit_usd_per_h=rest,
        vendor_margin_usd_per_h=zero,
        system_network_usd_per_h=zero,
        data_centre_usd_per_h=data_centre,
        power_usd_per_h=energy,
        operation_usd_per_h=operation,
        unsplit="chip, system and network, not split",
    )
