"""Ways to serve a demand over years, as cash flows: rent for a term or by the hour, own chips, pay for an API's tokens.

Owned chips are bought or of one's own design; what they do not serve is rented. All serve the same demand, so what it
earns is left out: a better option is one that costs less. docs/own.md works one through.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scoville.economics.annuity import Array
from scoville.economics.cashflow import PER_YEAR, QUARTER_S, RESIDUAL, TAX, CashFlows, written_off
from scoville.economics.demand import beyond
from scoville.economics.equipment import Equipment
from scoville.economics.holding import Holding, hold

CHIPS, SYSTEM, FACILITY, ENERGY, OPERATION = "chips", "system and network", "data centre", "energy", "operation"
RENT, PREPAID, API, NRE, SOFTWARE = "rent", "prepaid rent", "API tokens", "one-time cost of the chip", "software"


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """What must be served: mean tokens/s and capacity for the busiest hour, (n, q); the week's shape (168,)."""

    mean_tokens_per_s: Array
    peak_tokens_per_s: Array
    week_frac: Array

    def scaled(self, factor: float) -> Need:
        """So many times as much."""
        return Need(self.mean_tokens_per_s * factor, self.peak_tokens_per_s * factor, self.week_frac)


@dataclass(frozen=True, slots=True, eq=False)
class Money:
    """How money is reckoned: yearly WACC, tax rate and resale price a year later (n,); depreciation by quarter."""

    wacc_frac: Array
    tax_frac: Array
    schedule_frac: Array
    facility_schedule_frac: Array
    resale_frac: Array


@dataclass(frozen=True, slots=True, eq=False)
class Generations:
    """A newer chip every so many quarters (inf: never): its tokens/s, price and power over its predecessor's, (n,)."""

    every_count: float
    speed_frac: Array
    price_frac: Array
    power_frac: Array

    def at(self, quarters: int, first_count: Array | float = 0.0) -> Array:
        """How many generations after the first are out in each quarter, counted from `first_count`; (n, q)."""
        first = np.broadcast_to(np.asarray(first_count, float), self.speed_frac.shape)
        return np.asarray(np.maximum(np.floor((np.arange(quarters)[None, :] - first[:, None]) / self.every_count), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Rental:
    """Chips of a landlord: tokens/s of one, today's hour and what it costs a year later over that, each (n,).

    `term_count` quarters are signed for at the price of the day; 0 is by the hour, as many chips as the hour needs.
    `take_or_pay_frac` of the price is owed for chips that stand idle; `prepaid_frac` of what is owed is paid when
    signed.
    """

    name: str
    tokens_per_s: Array
    usd_per_h: Array
    path_frac: Array
    generations: Generations
    chips_per_replica_count: float = 1.0
    term_count: int = 12
    take_or_pay_frac: float = 1.0
    prepaid_frac: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """Chips of one's own: what one costs when bought in a quarter (n, q), and what limits their number.

    `generation_count` (n, q) is how many generations after the first a chip is that begins to serve in a quarter; it
    multiplies speed and power, prices have it in them. `maturity_frac` is of the software in a quarter of service.
    `base_frac` is the share of the need that is owned at most; limits (n, q) are chips that may begin, and watts.
    """

    equipment: Equipment
    tokens_per_s: Array
    chip_usd: Array
    system_usd: Array
    generations: Generations
    generation_count: Array
    chips_per_replica_count: float = 1.0
    maturity_frac: Array | float = 1.0
    base_frac: float = 1.0
    most_begun_count: Array | float = np.inf
    most_w: Array | float = np.inf
    resale_frac: Array | float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """An option worked out: its flows, its chips in service, idle ones and watts by quarter, (n, q) each."""

    name: str
    flows: CashFlows
    owned_count: Array
    rented_count: Array
    idle_count: Array
    power_w: Array
    notes: tuple[str, ...] = field(default=())

    @property
    def chips_count(self) -> Array:
        """Owned and rented."""
        return self.owned_count + self.rented_count


def rent(name: str, need: Need, rental: Rental, money: Money) -> Option:
    """All of it rented."""
    flows, count, idle = _rented(need.peak_tokens_per_s, None, need, rental)
    zero = np.zeros_like(count)
    return Option(name, _taxed(flows, money, None), zero, count, idle, zero)


def api(name: str, need: Need, usd_per_token: Array, path_frac: Array, money: Money) -> Option:
    """Tokens of somebody else's: price of the average token today (n,), and what it is a year later over that (n,)."""
    quarters = need.mean_tokens_per_s.shape[1]
    price = usd_per_token[:, None] * path_frac[:, None] ** (np.arange(quarters) / PER_YEAR)
    paid = -need.mean_tokens_per_s * QUARTER_S * price
    zero = np.zeros_like(paid)
    return Option(name, _taxed({API: paid}, money, None), zero, zero, zero, zero)


def own(
    name: str, need: Need, owned: Ownership, money: Money, rest: Rental, one_time: dict[str, Array] | None = None
) -> Option:
    """Owned as far as limits and the base share allow, the rest rented; `one_time` are further costs, (n, q) each."""
    n, quarters = need.peak_tokens_per_s.shape
    e, g = owned.equipment, owned.generation_count
    speed, power = owned.generations.speed_frac[:, None] ** g, owned.generations.power_frac[:, None] ** g
    watts = np.broadcast_to(np.asarray(owned.most_w, float), (n, quarters))
    held = hold(
        need.peak_tokens_per_s * owned.base_frac,
        owned.tokens_per_s[:, None] * speed,
        np.maximum(np.round(e.life_s / QUARTER_S), 1),
        chips_per_replica=owned.chips_per_replica_count,
        maturity_frac=owned.maturity_frac,
        most_begun_count=owned.most_begun_count,
        most_serving_count=np.floor(watts / (e.site_w[:, None] * power.max(axis=1, keepdims=True))),
    )
    drawn = held.over_life(power)
    building, building_left = _building(drawn * e.facility_usd[:, None], e.facility_life_s)
    begun = _before(held.begun_count)
    chips, systems = begun * owned.chip_usd, begun * owned.system_usd
    sold, sales = _sold(held, chips + systems, money.resale_frac, owned.resale_frac)
    repairs = held.over_life(_after(owned.chip_usd + owned.system_usd)) * e.repairs_count_per_s[:, None]
    flows = {
        CHIPS: -chips,
        SYSTEM: -systems,
        FACILITY: -building,
        ENERGY: -drawn * e.energy_usd_per_s[:, None] * QUARTER_S,
        OPERATION: -(drawn * e.operation_usd_per_s[:, None] + repairs) * QUARTER_S,
        **{line: -usd for line, usd in (one_time or {}).items()},
    }
    missing = np.maximum(need.peak_tokens_per_s - held.served_tokens_per_s, 0.0)
    if np.any(missing > 1e-9 * need.peak_tokens_per_s):
        rented, count, idle = _rented(missing, held.served_tokens_per_s, need, rest)
        flows |= rented
    else:
        count, idle = np.zeros((n, quarters)), np.zeros((n, quarters))
    flows[RESIDUAL] = sold + building_left
    off = written_off(chips + systems, money.schedule_frac, held.life_count, sales)
    at_end = np.zeros((n, quarters))
    at_end[:, -1] = building_left[:, -1]
    # The building is sold at the end: what is left of its book value then counts as well.
    never = np.full(n, float(quarters))
    off += written_off(building, money.facility_schedule_frac, never, np.zeros((n, quarters))) - at_end
    return Option(
        name,
        _taxed(flows, money, off),
        held.serving_count,
        count,
        held.idle_count + idle,
        drawn * e.site_w[:, None],
    )


def _rented(missing: Array, served: Array | None, need: Need, rental: Rental) -> tuple[dict[str, Array], Array, Array]:
    """Lines, chips and idle chips of what is rented; by the hour only the hours that are missing cost."""
    n, quarters = missing.shape
    g = rental.generations.at(quarters)
    each = rental.tokens_per_s[:, None] * rental.generations.speed_frac[:, None] ** g
    years = np.arange(quarters) / PER_YEAR
    price = rental.usd_per_h[:, None] * rental.path_frac[:, None] ** years * rental.generations.price_frac[:, None] ** g
    hours = QUARTER_S / 3600
    if rental.term_count == 0:
        short = beyond(need.peak_tokens_per_s, np.zeros_like(missing) if served is None else served, need.week_frac)
        return {RENT: -short / each * price * hours}, np.ceil(missing / each * (1 - 1e-12)), np.zeros((n, quarters))
    held = hold(missing, each, float(rental.term_count), chips_per_replica=rental.chips_per_replica_count)
    with np.errstate(divide="ignore", invalid="ignore"):
        busy = np.where(held.serving_count > 0, held.needed_count / held.serving_count, 0.0)
    due = held.over_life(price) * (busy + (1 - busy) * rental.take_or_pay_frac) * hours
    flows = {RENT: -due}
    if rental.prepaid_frac > 0:
        share = rental.prepaid_frac * rental.take_or_pay_frac * hours
        left = np.minimum(float(rental.term_count), quarters - np.arange(quarters))
        flows = {RENT: -(due - held.over_life(price) * share)}
        flows[PREPAID] = -_before(held.begun_count * price * share * left)
    return flows, held.serving_count, held.idle_count


def _before(by_service: Array) -> Array:
    """What serves in a quarter is paid in the one before."""
    return np.concatenate([by_service[:, 1:], np.zeros((len(by_service), 1))], axis=1)


def _after(by_payment: Array) -> Array:
    """The reverse: what was paid for that which begins in a quarter."""
    return np.concatenate([by_payment[:, :1], by_payment[:, :-1]], axis=1)


def _building(worth_usd: Array, life_s: Array) -> tuple[Array, Array]:
    """Paid for buildings a quarter before they are first needed, and at the end what is left of their lives."""
    n, quarters = worth_usd.shape
    most = np.maximum.accumulate(worth_usd, axis=1)
    paid = _before(np.diff(most, axis=1, prepend=0.0))
    age = (quarters - 1 - np.arange(quarters))[None, :] * QUARTER_S
    left = np.zeros((n, quarters))
    left[:, -1] = (paid * np.maximum(1 - age / life_s[:, None], 0.0)).sum(axis=1)
    return paid, left


def _sold(held: Holding, paid: Array, a_year_frac: Array, factor: Array | float) -> tuple[Array, Array]:
    """What used equipment fetches: by the quarter of its sale, and by the quarter in which it was paid for; (n, q)."""
    n, quarters = paid.shape
    k = np.arange(quarters)[None, :]
    when = np.minimum(k + held.life_count[:, None], quarters - 1).astype(int)
    years = (when - k) / PER_YEAR
    sales = paid * np.broadcast_to(np.asarray(factor, float).reshape(-1, 1), (n, 1)) * a_year_frac[:, None] ** years
    sold = np.zeros((n, quarters))
    np.add.at(sold, (np.repeat(np.arange(n), quarters), when.ravel()), sales.ravel())
    return sold, sales


def _taxed(flows: dict[str, Array], money: Money, written_usd: Array | None) -> CashFlows:
    """With the line of taxes: running costs count when they are paid, purchases as they are written off."""
    running = np.sum([usd for name, usd in flows.items() if name not in (CHIPS, SYSTEM, FACILITY, RESIDUAL)], axis=0)
    taken = -running + (0.0 if written_usd is None else written_usd)
    return CashFlows({**flows, TAX: taken * money.tax_frac[:, None]})
