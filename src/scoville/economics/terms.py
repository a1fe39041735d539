"""Under which terms a chip is owned, and the reading of facts under them.

All chips of a vintage are reckoned with one set of terms: what differs between chips is their price and their power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from scoville.economics.annuity import Array
from scoville.errors import StudyError
from scoville.facts import Accelerator, Draws, Fact, Facts

Owner = Literal["hyperscaler", "neocloud"]
OWNERS: tuple[Owner, ...] = ("hyperscaler", "neocloud")


class Settings(Protocol):
    """An [ownership] table as a file's reader has it, in SI: None where it leaves a term to the facts."""

    owner: Owner
    wacc: float | None
    it_life: float | None
    facility_life: float | None
    electricity: float | None
    pue: float | None
    facility: float | None


@dataclass(frozen=True, slots=True)
class OwnershipTerms:
    """Who owns, and prices of which month (YYYY-MM); a term that is None comes from the facts of site and owner.

    `facility_usd_per_w` is per watt of all-in IT power, `pue_frac` the ratio of a site's power to its IT power (>= 1).
    Raises StudyError for an unknown owner or a term out of its range.
    """

    owner: Owner
    vintage: str
    wacc_frac: float | None = None
    it_life_s: float | None = None
    facility_life_s: float | None = None
    electricity_usd_per_j: float | None = None
    pue_frac: float | None = None
    facility_usd_per_w: float | None = None

    @classmethod
    def of(cls, table: Settings, vintage: str) -> OwnershipTerms:
        """Those that a file's [ownership] table gives, at prices of that month."""
        return cls(
            owner=table.owner,
            vintage=vintage,
            wacc_frac=table.wacc,
            it_life_s=table.it_life,
            facility_life_s=table.facility_life,
            electricity_usd_per_j=table.electricity,
            pue_frac=table.pue,
            facility_usd_per_w=table.facility,
        )

    def __post_init__(self) -> None:
        if self.owner not in OWNERS:
            raise StudyError(f"ownership: owner is '{self.owner}'; allowed: {', '.join(OWNERS)}")
        for name, low in (
            ("wacc_frac", 0.0), ("it_life_s", 1.0), ("facility_life_s", 1.0), ("electricity_usd_per_j", 0.0),
            ("pue_frac", 1.0), ("facility_usd_per_w", 0.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= low):
                raise StudyError(f"ownership: {name} is {value:g}; expected a finite number >= {low:g}")


@dataclass(frozen=True, slots=True)
class Power:
    """At rating, shape (n,): of a chip with its share of host and network, and of the site for it (cooling, losses)."""

    it_w: Array
    site_w: Array


@dataclass
class Reading:
    """Reads facts under terms, and remembers which were used and what is to be said about them."""

    facts: Facts
    draws: Draws
    terms: OwnershipTerms
    used: list[Fact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sample(self, fact: Fact) -> Array:
        """Draws of the fact, shape (n,), remembered as used."""
        if fact not in self.used:
            self.used.append(fact)
        return self.draws.sample(fact)

    def term(self, name: str, override: float | None = None) -> Array:
        """A term of the owner or, where owners do not differ, of the site; shape (n,). The override wins.

        Raises FactError where neither states it.
        """
        if override is not None:
            return np.full(self.draws.n, override)
        vintage = self.terms.vintage
        fact = self.facts.find(f"terms-{self.terms.owner}", name, vintage=vintage)
        return self.sample(fact if fact is not None else self.facts.get("site", name, vintage=vintage))

    def power(self, accelerator: Accelerator) -> Power | None:
        """What the chip's equipment takes, and what the site takes for it; None where nobody states any power.

        From all_in_power, which is IT power, times PUE; else from utility_power, which has PUE inside; else from the
        package's TDP times the ratio of all-in power to it seen on other chips, times PUE. A substitute is noted.
        """
        it = self._rating(accelerator, "all_in_power", "all-in power")
        if it is None:
            site = self._rating(accelerator, "utility_power", "utility power")
            if site is not None:
                self.notes.append("power is the published utility power, which has PUE inside")
                return Power(site / self.pue(), site)
            tdp = newest(accelerator.facts.get("tdp", ()), self.terms.vintage, self.terms.owner)
            if tdp is None:
                return None
            self.notes.append("all-in power estimated from TDP by the ratio seen on other chips")
            it = self.sample(tdp) * self.term("all_in_per_tdp")
        return Power(it, it * self.pue())

    def _rating(self, accelerator: Accelerator, name: str, words: str) -> Array | None:
        """The newest figure up to the vintage; else, noted, the earliest later one: power does not go out of date."""
        candidates = accelerator.facts.get(name, ())
        fact = newest(candidates, self.terms.vintage, self.terms.owner)
        if fact is None and candidates:
            fact = min(candidates, key=lambda f: f.vintage)
            self.notes.append(f"{words} is the figure of {fact.vintage or fact.as_of}")
        return None if fact is None else self.sample(fact)

    def pue(self) -> Array:
        """Site power over IT power, shape (n,)."""
        return self.term("pue", self.terms.pue_frac)


def newest(candidates: Sequence[Fact], vintage: str, owner: str) -> Fact | None:
    """The newest fact up to a vintage that holds for the owner.

    Stated for that owner, else for "external" ones (any but the vendor), else for nobody in particular. A fact without
    a vintage holds at any time and is the oldest. None where only others' or later ones exist.
    """
    for wanted in (owner, "external", ""):
        fitting = [f for f in candidates if f.owner == wanted and (not vintage or f.vintage <= vintage)]
        if fitting:
            return max(fitting, key=lambda f: (f.vintage, f.as_of))
    return None


def site_power_w(accelerator: Accelerator, facts: Facts, draws: Draws, terms: OwnershipTerms) -> Array | None:
    """What one chip takes from the grid when its equipment runs at its rating; shape (n,).

    All-in power x PUE, or utility power as it is. None where nobody states the chip's power. An H100 at 1.37 kW all-in
    and PUE 1.2 takes 1.64 kW.
    """
    power = Reading(facts, draws, terms).power(accelerator)
    return None if power is None else power.site_w
