"""A company that serves models, by year: revenue, compute, costs, and what its own chips change.

Arrays are (n, y): n samples of the facts, y years from the first, whose figures are known. Money is nominal USD of a
whole year, spent in it. `project` gives the years without chips of one's own, `own` what those change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.economics.annuity import Array

YEAR_S = 365 * 86400.0
_HOURS = 8760.0
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class FirstYear:
    """The known year, shape (n,) each; its parts add up to the total costs in every sample.

    Cost of revenue is taken as the compute of inference; `training_frac` is the share of research that is compute.
    """

    revenue_usd: Array
    total_costs_usd: Array
    cost_of_revenue_usd: Array
    research_usd: Array
    training_frac: Array

    @property
    def training_usd(self) -> Array:
        """Compute in research: 65 % of 19.18 are 12.5 BUSD."""
        return self.research_usd * self.training_frac

    @property
    def staff_usd(self) -> Array:
        """Research but its compute."""
        return self.research_usd - self.training_usd

    @property
    def other_usd(self) -> Array:
        """What is neither cost of revenue nor research: 34.0 - 7.5 - 19.18 = 7.32 BUSD."""
        return self.total_costs_usd - self.cost_of_revenue_usd - self.research_usd

    @property
    def compute_usd(self) -> Array:
        """Inference and training."""
        return self.cost_of_revenue_usd + self.training_usd


@dataclass(frozen=True, slots=True)
class Plan:
    """Where it is to go, shape (n,) each: `compute_usd` in all years from `counted_from`, an index of the years.

    `cost_elasticity_frac` is the growth of costs other than compute over that of revenue, in logarithms.
    """

    revenue_usd: Array
    compute_usd: Array
    counted_from: int
    inference_frac: Array
    cost_elasticity_frac: Array


@dataclass(frozen=True, slots=True)
class Years:
    """Every year of the company, shape (n, y)."""

    revenue_usd: Array
    inference_usd: Array
    training_usd: Array
    staff_usd: Array
    other_usd: Array

    @property
    def compute_usd(self) -> Array:
        """Inference and training."""
        return self.inference_usd + self.training_usd

    @property
    def research_usd(self) -> Array:
        """Training with its staff."""
        return self.training_usd + self.staff_usd

    @property
    def total_costs_usd(self) -> Array:
        """All costs of a year."""
        return self.inference_usd + self.research_usd + self.other_usd

    @property
    def result_usd(self) -> Array:
        """Operating result: revenue less all costs."""
        return self.revenue_usd - self.total_costs_usd


def project(first: FirstYear, plan: Plan, years: int) -> Years:
    """The company over that many years, all compute bought or rented.

    Revenue grows at one rate from the known year to the plan's last: 13.07 to 280 in five years are x 1.846 a year,
    so 24.1 in the next. Compute grows at the rate at which it adds up to the plan (`growth`). Inference's share of
    it moves on a line from the known to the planned. Other costs are those of the first year times revenue's growth
    to the power of the elasticity: 14.0 x 21.4 ** 0.6 = 88.
    """
    when = np.arange(years, dtype=float)
    up = plan.revenue_usd / first.revenue_usd
    revenue = first.revenue_usd[:, None] * up[:, None] ** (when / (years - 1))
    rate = growth(first.compute_usd, plan.compute_usd, plan.counted_from, years)
    compute = first.compute_usd[:, None] * rate[:, None] ** when
    start = (first.cost_of_revenue_usd / first.compute_usd)[:, None]
    share = start + (plan.inference_frac[:, None] - start) * when / (years - 1)
    grown = (revenue / first.revenue_usd[:, None]) ** plan.cost_elasticity_frac[:, None]
    return Years(
        revenue, compute * share, compute * (1 - share), first.staff_usd[:, None] * grown,
        first.other_usd[:, None] * grown,
    )  # fmt: skip


def growth(first_usd: Array, sum_usd: Array, since: int, years: int) -> Array:
    """The yearly factor f, shape (n,), at which first x (f ** since + ... + f ** (years - 1)) is the sum; by bisection.

    100 growing to 110 + 121 = 231 in two years: f = 1.1. Where the first year counts, the sum must be above it.
    """
    when = np.arange(since, years, dtype=float)
    low, high = np.full(len(first_usd), -12.0), np.full(len(first_usd), 12.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        less = first_usd * np.exp(middle[:, None] * when).sum(axis=1) < sum_usd
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return np.asarray(np.exp((low + high) / 2))


@dataclass(frozen=True, slots=True)
class Product:
    """One product by year, shape (n, y)."""

    revenue_usd: Array
    price_usd_per_token: Array

    @property
    def sold_tokens(self) -> Array:
        """Tokens of a year, read and written: revenue over price."""
        return self.revenue_usd / self.price_usd_per_token


def sell(
    years: Years, share_first_frac: Array, share_last_frac: Array, tokens_per_s: Array, price_change_frac: Array
) -> Product:
    """A product from its share of revenue in the first and last year (a line between), its tokens in the first year,
    and the yearly change of a token's price; shape (n,) each.

    4e9 tokens/min are 2.1e15 a year; of 3.92 BUSD each million costs 1.87 USD.
    """
    y = years.revenue_usd.shape[1]
    when = np.arange(y, dtype=float)
    share = share_first_frac[:, None] + (share_last_frac - share_first_frac)[:, None] * when / (y - 1)
    revenue = years.revenue_usd * share
    first = revenue[:, 0] / (tokens_per_s * YEAR_S)
    return Product(revenue, first[:, None] * (1 + price_change_frac[:, None]) ** when)


@dataclass(frozen=True, slots=True)
class Chips:
    """A programme of one's own: `power_w` in service at each year's end, (n, y), grid power; the rest (n,).

    `chip_w` is what one chip takes of the grid with its share of host, network and cooling; `usd_per_h` one chip's
    hour with capital, power and operation; `highest_frac` the share of inference that can run on it.
    """

    power_w: Array
    chip_w: Array
    usd_per_h: Array
    highest_frac: Array

    @property
    def mean_power_w(self) -> Array:
        """Over each year: the mean of its two ends."""
        before = np.concatenate([np.zeros_like(self.power_w[:, :1]), self.power_w[:, :-1]], axis=1)
        return (before + self.power_w) / 2

    @property
    def chips_count(self) -> Array:
        """Over each year: 1.3 GW at 1.35 kW are 963,000 chips."""
        return self.mean_power_w / self.chip_w[:, None]

    @property
    def fleet_usd(self) -> Array:
        """What they cost a year, busy or idle: 1 GW is 741,000 chips, at 1.27 USD/h 8.24 BUSD."""
        return self.chips_count * self.usd_per_h[:, None] * _HOURS


def in_service(start: int, power_by_year_w: Mapping[int, Array], years: int, delay_s: Array) -> Array:
    """Power at each year's end, (n, y), from the announced ends (index of the year: (n,)), all `delay_s` later.

    Lines between the ends, from nothing at the end of year `start`, which is before all of them; after the last nothing
    is added. Nothing at the end of 2026, 1.3 GW of 2027 and 5 of 2028, three months late: 1.3 x 0.75 = 0.975 and 1.3 +
    3.7 x 0.75 = 4.075.
    """
    known = sorted(power_by_year_w)
    n = len(delay_s)
    at = np.array([start, *known], dtype=float)
    ends = np.column_stack([np.zeros(n), *(power_by_year_w[k] for k in known)])
    asked = np.clip(np.arange(years)[None, :] - (delay_s / YEAR_S)[:, None], at[0], at[-1])
    i = np.clip(np.searchsorted(at, asked, side="right") - 1, 0, len(at) - 2)
    frac = (asked - at[i]) / (at[i + 1] - at[i])
    low, high = np.take_along_axis(ends, i, axis=1), np.take_along_axis(ends, i + 1, axis=1)
    return np.asarray(low + (high - low) * frac)


@dataclass(frozen=True, slots=True)
class Owned:
    """What chips of one's own change, shape (n, y).

    `displaced_usd` is the bought inference that they take over, `fleet_usd` what they cost, busy or idle.
    """

    displaced_usd: Array
    fleet_usd: Array
    served_frac: Array
    idle_frac: Array

    @property
    def saving_usd(self) -> Array:
        """Bought inference avoided less the cost of the chips; negative where they cost more than they replace."""
        return self.displaced_usd - self.fleet_usd


def own(years: Years, chips: Chips, ratio_frac: Array) -> Owned:
    """Own chips on inference, a token on them costing `ratio_frac` (n,) of one that is bought.

    A fleet of 8.24 BUSD a year at a ratio of 0.5 does the work of 16.5 BUSD bought, up to `highest_frac` of all
    inference; chips beyond that stand idle and are paid for.
    """
    fleet = chips.fleet_usd
    could = fleet / ratio_frac[:, None]
    displaced = np.minimum(could, chips.highest_frac[:, None] * years.inference_usd)
    with np.errstate(invalid="ignore", divide="ignore"):
        idle = np.where(could > 0, 1 - displaced / could, 0.0)
    return Owned(displaced, fleet, displaced / years.inference_usd, idle)


def saving_at_share(inference_usd: Array, share_frac: float, ratio_frac: Array) -> Array:
    """What is saved a year where that share of inference runs on own chips and none of them is idle.

    Half of 100 BUSD at a ratio of 0.66: 17.
    """
    return inference_usd * share_frac * (1 - ratio_frac[:, None])


def share_needed(years: Years, ratio_frac: Array) -> Array:
    """The share of inference on own chips, none idle, at which the result is nil; (n, y).

    0 where it is positive without them; infinite where a token on them costs no less than a bought one.
    """
    per_share = years.inference_usd * (1 - ratio_frac[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(per_share > 0, -years.result_usd / per_share, np.inf)
    return np.where(years.result_usd >= 0, 0.0, needed)


@dataclass(frozen=True, slots=True)
class ModelLife:
    """One model from release to its end, shape (n,) each: what its training cost, and spending on its inference, which
    begins at `inference_usd_per_s` and grows as exp(growth_per_s t) for `life_s`.
    """

    training_usd: Array
    inference_usd_per_s: Array
    growth_per_s: Array
    life_s: Array

    @property
    def inference_usd(self) -> Array:
        """All inference of its life, i (exp(g L) - 1) / g: 3.75 BUSD a year growing by 0.6 for 1.5 years are 9.12."""
        x = self.growth_per_s * self.life_s
        return self.inference_usd_per_s * self.life_s * np.where(np.abs(x) > 1e-12, np.expm1(x) / _not_nil(x), 1.0)

    @property
    def overtakes_s(self) -> Array:
        """From release until all its inference has cost what its training did; infinite if never.

        i (exp(g t) - 1) / g = T, so t = ln(1 + g T / i) / g, without growth T / i. Training of 1 BUSD and inference
        that begins at 2 BUSD a year: half a year; growing by 0.8 a year 0.42. All inference of a model whose use falls
        (g < 0) costs i / -g, which may never be T.
        """
        simple = self.training_usd / self.inference_usd_per_s
        x = self.growth_per_s * simple
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(x > -1, np.log1p(np.maximum(x, -1.0)) / _not_nil(x), np.inf)
        return np.asarray(simple * np.where(np.abs(x) > 1e-12, grown, 1.0))


def _not_nil(x: Array) -> Array:
    return np.where(np.abs(x) > 1e-12, x, 1.0)
