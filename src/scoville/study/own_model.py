"""A question of owning with its figures drawn once: every scenario, scale and share of the claim is worked from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scoville.economics import NotOffered, OwnershipTerms, rented
from scoville.economics import options as ways
from scoville.economics.build import Risks, Schedule, schedule
from scoville.economics.cashflow import PER_YEAR, QUARTER_S, declining_balance, npv, straight_line
from scoville.economics.demand import capacity, first_month, growth_path, quarter, week
from scoville.economics.equipment import Equipment, equipment
from scoville.economics.options import Generations, Money, Need, Option, Ownership, Rental
from scoville.errors import StudyError, UnitError
from scoville.facts import Draws, Facts
from scoville.silicon.area import area
from scoville.silicon.cost import UnitCost, prices, unit_cost
from scoville.silicon.design import read_design
from scoville.silicon.program import Program, program
from scoville.silicon.technology import technology
from scoville.study.own_capacity import Capacity
from scoville.study.own_question import TERM_QUARTERS, OptionTable, OwnFile, ScenarioTable
from scoville.study.own_schedule import begun_count, moved
from scoville.units import parse

Array = NDArray[np.float64]
AS_PLANNED = ScenarioTable(name="as planned")
_LATE = 1e6  # quarters: never


@dataclass(frozen=True, eq=False)
class Built:
    """A chip of one's own: its programme, a unit's cost in each quarter (n, q), and its bill in the first of volume.

    `first_count` is that quarter; without a bill (`first` is None) the file states the price.
    """

    plan: Program
    unit_usd: Array
    first_count: int
    first: UnitCost | None
    successor_usd: Array


@dataclass(eq=False)
class OwnModel:
    """What of a question does not change with the scenario; n samples, q quarters, the first without service."""

    file: OwnFile
    facts: Facts
    draws: Draws
    capacities: dict[str, Capacity]
    built: dict[str, Built] = field(default_factory=dict)

    def __post_init__(self) -> None:
        q = self.file.question
        self.start = quarter(q.time.start)
        self.quarters = round(q.time.horizon / QUARTER_S) + 1
        self.month = q.time.start if "Q" not in q.time.start else first_month(self.start)
        self.owner = OwnershipTerms.of(q.ownership, self.month)
        self.equipment: dict[str, Equipment] = {}
        for option in q.option:
            if option.kind == "build":
                self.built[option.name] = self._built(option)
            if option.kind in ("buy", "build"):
                self.equipment[option.name] = self._equipment(option)

    # -- figures ---------------------------------------------------------------------------------------------------

    def fact(self, name: str, stated: float | None = None) -> Array:
        """A fact of owning, (n,), unless the file states it."""
        if stated is not None:
            return np.full(self.draws.n, stated)
        return self.draws.sample(self.facts.get("ownership", name))

    def wacc(self) -> Array:
        """The owner's, (n,)."""
        stated = self.owner.wacc_frac
        found = self.facts.find(f"terms-{self.owner.owner}", "wacc", vintage=self.month)
        if stated is not None:
            return np.full(self.draws.n, stated)
        return self.draws.sample(found or self.facts.get("site", "wacc"))

    def money(self) -> Money:
        """Discounting, taxes and resale."""
        q = self.file.question.money
        life, building = (self.facts.get("ownership", name).number for name in ("tax_life", "facility_tax_life"))
        schedules = {
            "straight": (straight_line(life), straight_line(building)),
            "declining": (declining_balance(life), declining_balance(building, 1.5)),
            "at once": (np.ones(1), np.ones(1)),
        }
        return Money(
            self.wacc(), self.fact("tax_rate", q.tax_rate), *schedules[q.depreciation], self.fact("resale_path")
        )

    def need(self, scenario: ScenarioTable) -> Need:
        """What must be served."""
        d = self.file.question.demand
        growth = scenario.growth or d.growth
        if any(g <= -1 for g in growth):
            raise StudyError(
                f"{self.file.path}: a growth of {min(growth):.0%} leaves less than nothing; expected above -100 %"
            )
        mean = growth_path(np.full(self.draws.n, d.first * scenario.demand), growth, self.quarters)
        peak = capacity(
            mean, peak_to_average=d.peak_to_average, headroom_frac=d.headroom,
            max_utilisation_frac=d.highest_utilisation, spares_frac=self.fact("spares")[:, None],
        )  # fmt: skip
        try:
            shape = week(d.peak_to_average, d.weekend)
        except ValueError as error:
            raise self.file.refuse("[demand] peak_to_average", "[demand] weekend", str(error)) from None
        return Need(mean, peak, shape)

    def generations(self) -> Generations:
        """Merchant generations."""
        every = self.facts.get("ownership", "generation_time").number / QUARTER_S
        return Generations(
            every if self.file.question.generations else np.inf,
            self.fact("generation_speed"), self.fact("generation_price"), self.fact("generation_power"),
        )  # fmt: skip

    def rental(self, option: OptionTable, scenario: ScenarioTable) -> Rental:
        """What a landlord takes."""
        place = f"{self.file.path}: option '{option.name}'"
        chip = self.capacities[option.chip]
        n = self.draws.n
        if option.hourly is not None:
            hour = np.full(n, option.hourly)
        else:
            accelerator = self.facts.accelerator(option.chip)
            asked = rented(accelerator, self.draws, vintage=self.month, term=option.term)
            if isinstance(asked, NotOffered) and option.term == "on_demand":
                asked = rented(accelerator, self.draws, vintage=self.month, term="3yr")
                premium = self.fact("on_demand_premium")
            else:
                premium = np.ones(n)
            if isinstance(asked, NotOffered):
                raise StudyError(f"{place}: {asked.reason}; state it as hourly")
            hour = asked.total_usd_per_h * premium
        return Rental(
            chip.name, chip.sample(self.draws), hour * scenario.rent * scenario.merchant_price,
            self.fact("rent_path", scenario.rent_path), self.generations(), chip.chips_per_replica_count,
            TERM_QUARTERS[option.term], 1.0 if option.take_or_pay is None else option.take_or_pay,
            option.prepaid or 0.0,
        )  # fmt: skip

    def _equipment(self, option: OptionTable) -> Equipment:
        accelerator = self.facts.accelerator(option.chip)
        price = None if option.price is None else np.full(self.draws.n, option.price)
        if option.kind == "build" and price is None:
            price = self.built[option.name].unit_usd[:, self.built[option.name].first_count]
        found = equipment(accelerator, self.facts, self.draws, self.owner, chip_usd=price)
        if isinstance(found, NotOffered):
            raise StudyError(f"{self.file.path}: option '{option.name}': {found.reason}; state it as price")
        return found

    def _built(self, option: OptionTable) -> Built:
        drawn = None if self.draws.n == 1 else self.draws
        design = read_design(self.file.resolve(option.design).__str__())
        plan = program(design, self.facts, drawn, start=self.month)
        plan = moved(self.file, option, plan, self.start, self.quarters)
        later = program(design, self.facts, drawn, start=self.month, reused_frac=None)
        successor = np.broadcast_to(np.asarray(later.nre_usd, float), (self.draws.n,))
        volume = option.volume or 100_000.0
        t = technology(design, self.facts, drawn)
        size = area(design, t)

        def unit(k: int) -> UnitCost:
            priced = prices(
                design, self.facts, drawn, date=first_month(self.start + k), volume=volume,
                seller=option.seller or "broadcom_xpu",
            )  # fmt: skip
            return unit_cost(design, size, priced)

        first = min(int(np.ceil(float(np.median(plan.volume_s)) / QUARTER_S)), self.quarters - 1)
        if option.price is not None:
            flat = np.full((self.draws.n, self.quarters), option.price)
            return Built(plan, flat, first, None, successor)
        # A price a year, and straight lines between: costs hang on the date by wafers' and memory's prices alone.
        years = [*range(0, self.quarters, PER_YEAR), self.quarters - 1]
        known = np.stack([np.broadcast_to(unit(k).price_usd, (self.draws.n,)) for k in years], axis=1)
        path = np.stack([np.interp(np.arange(self.quarters), years, row) for row in known])
        return Built(plan, path, first, unit(first), successor)

    # -- options ---------------------------------------------------------------------------------------------------

    def options(
        self, scenario: ScenarioTable = AS_PLANNED, *, scale: float = 1.0, claim: float | None = None,
        names: tuple[str, ...] = (),
    ) -> dict[str, Option]:  # fmt: skip
        """Every option (or those named), at so many times the demand, at a share of the claim other than the drawn."""
        need, money = self.need(scenario).scaled(scale), self.money()
        found = {}
        for option in self.file.question.option:
            if names and option.name not in names:
                continue
            if option.kind == "rent":
                found[option.name] = ways.rent(option.name, need, self.rental(option, scenario), money)
            elif option.kind == "api":
                found[option.name] = ways.api(option.name, need, self._api(option), self.fact("api_path"), money)
            else:
                rest = next(o for o in self.file.question.option if o.name == option.rest)
                owned, extra = self._owned(option, scenario, claim)
                found[option.name] = ways.own(option.name, need, owned, money, self.rental(rest, scenario), extra)
        return found

    def npv_usd(self, option: Option) -> Array:
        """At the owner's WACC, (n,)."""
        return npv(option.flows.net_usd, self.wacc())

    def _api(self, option: OptionTable) -> Array:
        if option.per_token is not None:
            return np.full(self.draws.n, option.per_token)
        share = self.file.question.demand.output_share
        price = {name: self.facts.get(option.api, name, vintage=self.month) for name in ("input", "output")}
        return self.draws.sample(price["input"]) * (1 - share) + self.draws.sample(price["output"]) * share

    def _owned(
        self, option: OptionTable, scenario: ScenarioTable, claim: float | None
    ) -> tuple[Ownership, dict[str, Array]]:
        n, quarters = self.draws.n, self.quarters
        e, chip = self.equipment[option.name], self.capacities[option.chip]
        generations, maturity = self.generations(), np.ones((n, quarters))
        begun = np.full((n, quarters), np.inf if option.chips_per_quarter is None else option.chips_per_quarter)
        extra: dict[str, Array] = {}
        resale: Array | float = 1.0
        rate = chip.sample(self.draws)
        years = np.arange(quarters) / PER_YEAR
        if option.kind == "buy":
            g = generations.at(quarters)
            g_paid = np.concatenate([g[:, 1:], g[:, -1:]], axis=1)
            path = self.fact("price_path")[:, None] ** years * generations.price_frac[:, None] ** g_paid
            chip_usd = e.chip_usd[:, None] * path * scenario.merchant_price
            system_usd = e.system_usd[:, None] * path * scenario.merchant_price
        else:
            made, risks = self.programme(option, scenario, claim)
            serves = np.where(np.isfinite(made.serves_count), made.serves_count, _LATE)
            if not (option.successors and np.isfinite(generations.every_count)):
                generations = replace(generations, every_count=_LATE)
            g = generations.at(quarters, serves)
            if option.state_of is not None and self.file.question.generations:
                late = np.where(serves < _LATE, serves + self.start - quarter(option.state_of), 0.0)
                g = g + np.maximum(np.floor(late / self.generations().every_count), 0.0)[:, None]
            g_paid = np.concatenate([g[:, 1:], g[:, -1:]], axis=1)
            chip_usd = self.built[option.name].unit_usd * generations.price_frac[:, None] ** g_paid * scenario.own_price
            system_usd = e.system_usd[:, None] * generations.price_frac[:, None] ** g_paid
            begun = np.where(np.arange(quarters)[None, :] >= serves[:, None], begun, 0.0)
            maturity, rate = made.maturity_frac, rate * risks.claim_frac
            extra = {ways.NRE: made.nre_usd, ways.SOFTWARE: made.software_usd}
            resale = self.fact("own_resale")
        return Ownership(
            e, rate, chip_usd, system_usd, generations, g, chip.chips_per_replica_count, maturity,
            1.0 if option.base is None else option.base, begun, self._power_w(option), resale,
        ), extra  # fmt: skip

    def programme(
        self, option: OptionTable, scenario: ScenarioTable = AS_PLANNED, claim: float | None = None
    ) -> tuple[Schedule, Risks]:
        """When a chip of one's own serves and what its programme pays, with the chances drawn."""
        n, built = self.draws.n, self.built[option.name]
        late = self.draws.uniform("event-delay") < self.fact("delay_chance")
        stopped = self.draws.uniform("event-cancel") < self.fact("cancel_chance")
        if n == 1:
            late, stopped = np.zeros(1, bool), np.zeros(1, bool)
        share = next((x for x in (claim, scenario.claim_share, option.claim_share) if x is not None), None)
        risks = Risks(
            np.where(late, self.fact("delay_time"), 0.0) + scenario.delay, self.fact("claim_share", share),
            np.asarray(stopped | scenario.cancelled, float), self.fact("porting_start"), self.fact("porting_time"),
            self.fact("porting_cost") / 3600,
        )  # fmt: skip
        every = self.generations().every_count if option.successors else np.inf
        successor = built.successor_usd if option.successors else None
        made = schedule(
            built.plan, risks, self.quarters, begun_count=begun_count(option, self.start), successor_usd=successor,
            successor_count=every,
        )  # fmt: skip
        return made, risks

    def _power_w(self, option: OptionTable) -> Array | float:
        """The most watts by quarter, from dated steps; none before the first."""
        if not option.power:
            return np.inf
        path = np.zeros(self.quarters)
        for date, text in option.power:
            try:
                watts = parse(text, "w", f"{self.file.path}: option '{option.name}': power")
                path[max(quarter(date) - self.start, 0) :] = watts
            except UnitError as error:
                raise StudyError(str(error)) from None
        return np.broadcast_to(path, (self.draws.n, self.quarters))
