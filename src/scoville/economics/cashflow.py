"""Money over time: net present value, internal rates of return, pay-back, depreciation and what it saves of taxes.

NPV, the net present value, discounts each payment to the start of the study; IRR, the internal rate of return, is a
rate at which NPV is zero. Time runs in quarters; a quarter's money counts at its end. What is paid is negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scoville.economics.annuity import Array

PER_YEAR = 4
YEAR_S = 365 * 86400.0
QUARTER_S = YEAR_S / PER_YEAR
_HIGHEST_RATE = 100.0  # 10,000 % a year
_LOWEST_RATE = -0.999
_HALVINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class CashFlows:
    """What an option pays and gets by line, each shape (n, q): samples, quarters. Their sum is `net_usd`."""

    lines_usd: Mapping[str, Array]

    @property
    def net_usd(self) -> Array:
        """The sum of all lines, shape (n, q)."""
        total: Array = np.sum([*np.broadcast_arrays(*self.lines_usd.values())], axis=0)
        return total

    @property
    def spent_usd(self) -> Array:
        """What is paid in cash before taxes and before what is sold, as a positive sum, shape (n, q)."""
        return np.maximum(-sum((usd for name, usd in self.lines_usd.items() if name not in (TAX, RESIDUAL))), 0.0)


TAX, RESIDUAL = "tax saved", "residual value"


def discount(rate_frac: ArrayLike, quarters: int) -> Array:
    """What a dollar at each quarter's end is worth at the start: (1 + r)^(-(k + 1) / 4), shape (..., q).

    rate_frac is a year's, shape (n,) or a number above -1. At 8 % the end of the first year is worth 1 / 1.08:

    >>> [round(float(x), 4) for x in discount(0.08, 4)]
    [0.9809, 0.9623, 0.9439, 0.9259]
    """
    rate = np.asarray(rate_frac, dtype=np.float64)
    if np.any(rate <= -1):
        raise ValueError("a discount rate must be above -100 %")
    return np.power(1 + rate[..., None], -np.arange(1, quarters + 1) / PER_YEAR)


def npv(flows_usd: ArrayLike, rate_frac: ArrayLike) -> Array:
    """Net present value of flows (..., q) at quarters' ends, at a yearly rate; shape (...). Broadcasts.

    -1,000 now would be undiscounted; paid after a quarter at 8 % it is worth 980.94 now, and 1,166.40 after two years
    and a quarter are 980.94 as well, so that both come to nothing:

    >>> flows = [-1000.0, *[0.0] * 7, 1166.4]
    >>> abs(float(npv(flows, 0.08))) < 1e-9
    True
    """
    flows = np.asarray(flows_usd, dtype=np.float64)
    return np.asarray((flows * discount(rate_frac, flows.shape[-1])).sum(axis=-1))


def irr(flows_usd: ArrayLike) -> tuple[float, ...]:
    """All yearly rates between -99.9 % and 10,000 % at which flows (q,) are worth nothing, lowest first.

    () where there is none: flows of one sign, or such as no rate balances. Several are several: none of them then says
    whether the investment pays, NPV does. Roots are bracketed on a fine grid of discount factors, so two closer than a
    thousandth of its logarithmic span may be missed, always in pairs.
    """
    flows = np.asarray(flows_usd, dtype=np.float64)
    if flows.ndim != 1:
        raise ValueError("irr takes one row of flows")
    if not (np.any(flows > 0) and np.any(flows < 0)):
        return ()
    grid = np.unique(
        np.concatenate([np.geomspace(1 + _LOWEST_RATE, 1.0, 1000), np.geomspace(1.0, 1 + _HIGHEST_RATE, 1000)])
    )
    # Each value is scaled by its largest term: the sign counts, and low rates would overflow.
    powers = -np.arange(1, len(flows) + 1)[None, :] / PER_YEAR * np.log(grid)[:, None]
    values = (flows * np.exp(powers - powers.max(axis=1, keepdims=True))).sum(axis=1)
    found = [float(g) - 1 for g, v in zip(grid, values, strict=True) if v == 0]
    for k in np.flatnonzero(values[:-1] * values[1:] < 0):
        low, high, rising = float(grid[k]), float(grid[k + 1]), values[k] < 0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if (float(npv(flows, middle - 1)) < 0) == rising else (low, middle)
        found.append((low + high) / 2 - 1)
    return tuple(sorted(found))


def pay_back(flows_usd: ArrayLike, rate_frac: ArrayLike = 0.0) -> Array:
    """Seconds until the discounted flows (..., q) sum to zero or more for good; NaN where they do not by the end.

    For good: a project that is ahead, and then pays again for a replacement that it does not earn back, has not paid
    back. Inside of the quarter that does it the money comes evenly. 0 where the sum is never negative.
    """
    flows = np.asarray(flows_usd, dtype=np.float64)
    worth = np.cumsum(flows * discount(rate_frac, flows.shape[-1]), axis=-1)
    below = worth < -1e-9 * np.maximum(np.abs(worth).max(axis=-1, keepdims=True), 1e-300)
    quarters = flows.shape[-1]
    last = np.where(below.any(axis=-1), quarters - 1 - np.argmax(below[..., ::-1], axis=-1), -1)
    at = np.clip(last, 0, quarters - 2)[..., None]
    before = np.take_along_axis(worth, at, axis=-1)[..., 0]
    after = np.take_along_axis(worth, at + 1, axis=-1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(after > before, -before / (after - before), 0.0)
    found = np.where(last < 0, 0.0, (last + 1 + share) * QUARTER_S)
    return np.asarray(np.where(last == quarters - 1, np.nan, found))


def straight_line(life_s: float) -> Array:
    """Share of a purchase written off in each quarter after it, equal over its life, shape (quarters of the life,)."""
    quarters = max(round(life_s / QUARTER_S), 1)
    return np.full(quarters, 1 / quarters)


def declining_balance(life_s: float, factor: float = 2.0) -> Array:
    """The same by declining balance, the half-year convention and the change to straight line where that is more.

    The way of the US tax code (MACRS, IRS Publication 946): with a factor of 2 over 5 years 20, 32, 19.2, 11.52, 11.52
    and 5.76 % a year, each year's share in four equal parts.

    >>> [round(float(x), 4) for x in declining_balance(5 * YEAR_S).reshape(-1, 4).sum(axis=1)]
    [0.2, 0.32, 0.192, 0.1152, 0.1152, 0.0576]
    """
    years = max(round(life_s / YEAR_S), 1)
    left, shares = 1.0, []
    for year in range(years + 1):
        part = 0.5 if year == 0 else 1.0
        remaining = years if year == 0 else years - year + 0.5
        written = left if remaining <= part else left * max(factor / years, 1 / remaining) * part
        shares.append(written)
        left -= written
    return np.repeat(np.array(shares) / PER_YEAR, PER_YEAR)


def written_off(purchases_usd: Array, schedule_frac: Array, sold_after_count: Array, sales_usd: Array) -> Array:
    """What a tax return takes off in each quarter for purchases (n, q): depreciation, and what a sale leaves or adds.

    A purchase is written off from the quarter after it by `schedule_frac`; after `sold_after_count` quarters (n,), or
    at the end, it is sold for `sales_usd` (n, q: the price got for what was bought in quarter k) and the difference
    from its book value counts in that quarter, as a loss or, negative, a gain. Shape (n, q).
    """
    n, quarters = purchases_usd.shape
    taken = np.zeros((n, quarters))
    written = np.concatenate([[0.0], schedule_frac, np.zeros(quarters)])[:quarters]
    book = 1 - np.cumsum(written)
    index = np.arange(n)
    for bought in range(quarters):
        usd = purchases_usd[:, bought]
        if not usd.any():
            continue
        sold = np.minimum(bought + sold_after_count, quarters - 1).astype(int)
        later = np.arange(bought, quarters)
        alive = later[None, :] <= sold[:, None]
        taken[:, bought:] += usd[:, None] * np.where(alive, written[: quarters - bought][None, :], 0.0)
        taken[index, sold] += usd * book[sold - bought] - sales_usd[:, bought]
    return taken
