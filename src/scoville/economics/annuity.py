"""Annuities: what a purchase costs per year and per hour when capital has a price.

CRF, the capital recovery factor, is the constant share of a purchase that repays it with interest over its life;
WACC, the weighted average cost of capital, is the yearly rate it is reckoned with. A year is 365 days of 24 hours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

YEAR_S = 365 * 86400.0
YEAR_H = 8760.0

Array = NDArray[np.float64]


def crf(rate_frac: ArrayLike, life_s: ArrayLike) -> Array:
    """Capital recovery factor: the share of a purchase paid at the end of each year. Broadcasts.

    rate_frac is the yearly rate as a fraction (8 % is 0.08; 0 repays in equal shares), life_s the life in seconds;
    the result is per year. r / (1 - (1 + r)**-n), any textbook of engineering economics. Raises ValueError for a
    negative rate or a life that is not positive.

    At 8 % over 5 years, 25.05 cents of every dollar are paid each year:

    >>> round(float(crf(0.08, 5 * YEAR_S)), 6)
    0.250456
    >>> round(float(crf(0.0, 5 * YEAR_S)), 6)
    0.2
    """
    rate = np.asarray(rate_frac, dtype=np.float64)
    years = np.asarray(life_s, dtype=np.float64) / YEAR_S
    if np.any(rate < 0) or np.any(years <= 0):
        raise ValueError("an annuity needs a rate >= 0 and a life > 0")
    # expm1 and log1p keep tiny rates exact, where 1 - (1 + r)**-n would cancel to noise.
    safe = np.where(rate == 0, 1.0, rate)
    return np.where(rate == 0, 1 / years, safe / -np.expm1(-years * np.log1p(safe)))


def hourly(capex_usd: ArrayLike, rate_frac: ArrayLike, life_s: ArrayLike) -> Array:
    """USD per hour that repays a purchase with interest and leaves nothing: capex x CRF / 8760 h. Broadcasts.

    Raises ValueError as `crf`.

    35,000 USD at 8 % over 5 years cost 35,000 x 0.250456 / 8760 h = 1.00 USD/h:

    >>> round(float(hourly(35_000, 0.08, 5 * YEAR_S)), 3)
    1.001
    """
    return np.asarray(capex_usd, dtype=np.float64) * crf(rate_frac, life_s) / YEAR_H
