"""Demand over years: tokens by quarter, the shape of a week, and the capacity that it takes.

Quarters are numbered from the one in which is decided and paid first; the first of them serves nothing. Capacity is in
tokens per second, input and output together, at the highest load that meets the latency targets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from scoville.economics.annuity import Array
from scoville.economics.cashflow import PER_YEAR
from scoville.errors import StudyError

WEEK_HOURS = 168
_BUSIEST_HOUR = 14
_QUARTER = re.compile(r"(20\d\d)-Q([1-4])")


def quarter(text: str) -> int:
    """A quarter's number since the year 0, from '2026-Q4' or from a month in it, '2026-11'. Raises StudyError.

    >>> quarter("2026-Q4") - quarter("2026-01")
    3
    """
    if found := _QUARTER.fullmatch(text):
        return int(found[1]) * PER_YEAR + int(found[2]) - 1
    if found := re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text):
        return int(found[1]) * PER_YEAR + (int(found[2]) - 1) // 3
    raise StudyError(f"'{text}' is no quarter; expected one such as '2026-Q4', or a month such as '2026-11'")


def label(number: int) -> str:
    """The quarter of that number: '2026-Q4'."""
    return f"{number // PER_YEAR}-Q{number % PER_YEAR + 1}"


def first_month(number: int) -> str:
    """The first month of the quarter of that number: '2026-10'."""
    return f"{number // PER_YEAR}-{number % PER_YEAR * 3 + 1:02d}"


def growth_path(first_tokens_per_s: ArrayLike, growth_frac: Sequence[ArrayLike], quarters: int) -> Array:
    """Mean tokens/s by quarter, shape (n, q): 0 in the first, then `first_tokens_per_s`, growing evenly.

    `growth_frac` are the growths of the years (1.0 doubles), the last one for all years after it too; each a number or
    (n,). Raises ValueError for a growth of -100 % or below.

    A hundred tokens/s that double in the first year and stay from then on:

    >>> [round(float(x)) for x in growth_path(100.0, [1.0, 0.0], 8)[0]]
    [0, 100, 119, 141, 168, 200, 200, 200]
    """
    first, *growths = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, float)) for x in (first_tokens_per_s, *growth_frac))
    )
    if not growths or any(np.any(g <= -1) for g in growths):
        raise ValueError("a demand needs a growth for at least one year, each above -100 %")
    path = np.zeros((len(first), quarters))
    level = first.astype(float)
    for k in range(1, quarters):
        path[:, k] = level
        level = level * (1 + growths[min((k - 1) // PER_YEAR, len(growths) - 1)]) ** (1 / PER_YEAR)
    return path


def week(peak_to_average: float, weekend_frac: float = 1.0) -> Array:
    """Load of each hour of a week over its mean, shape (168,), Monday first: a wave by day, weekends lower.

    `weekend_frac` is a weekend day's load over a weekday's. The wave's depth is what makes the busiest hour
    `peak_to_average`. Raises ValueError where no wave does: the peak is below what the weekend alone gives, or so high
    that the night would be negative.

    >>> w = week(1.5, 0.8)
    >>> round(float(w.mean()), 9), round(float(w.max()), 9), round(float(w.min()), 3)
    (1.0, 1.5, 0.497)
    """
    days = np.array([1.0] * 5 + [weekend_frac] * 2)
    days = days / days.mean()
    depth = peak_to_average / days.max() - 1
    if not (weekend_frac > 0 and -1e-12 <= depth <= 1):
        low, high = float(days.max()), 2 * float(days.max())
        raise ValueError(f"a peak to average of {peak_to_average:g} is not between {low:.3g} and {high:.3g}")
    hours = 1 + depth * np.cos(2 * np.pi * (np.arange(24) - _BUSIEST_HOUR) / 24)
    return np.asarray((days[:, None] * hours[None, :]).ravel())


def capacity(
    mean_tokens_per_s: ArrayLike,
    *,
    peak_to_average: ArrayLike,
    headroom_frac: ArrayLike,
    max_utilisation_frac: ArrayLike,
    spares_frac: ArrayLike,
) -> Array:
    """Tokens/s that a fleet must be able to serve: mean x peak x (1 + headroom) x (1 + spares) / utilisation.

    Broadcasts; divided by what a replica serves and rounded up it is the replicas of `tokens.fleet`.
    """
    mean, peak, headroom, most, spares = (
        np.asarray(x, dtype=np.float64)
        for x in (mean_tokens_per_s, peak_to_average, headroom_frac, max_utilisation_frac, spares_frac)
    )
    return np.asarray(mean * peak * (1 + headroom) * (1 + spares) / most)


def beyond(needed_tokens_per_s: Array, owned_tokens_per_s: Array, week_frac: Array) -> Array:
    """Mean tokens/s of capacity that is missing over a week's hours when some is owned; shape of the first two.

    `needed` is for the busiest hour; another hour needs its share of it. Of a need of 150 at the peak of a week whose
    load is 0.5 in half of the hours and 1.5 in the other, 100 owned leave 50 missing half of the time:

    >>> halves = np.repeat([0.5, 1.5], 84)
    >>> float(beyond(np.array([150.0]), np.array([100.0]), halves)[0])
    25.0
    """
    share = week_frac / week_frac.max()
    missing = np.zeros(np.broadcast(needed_tokens_per_s, owned_tokens_per_s).shape)
    levels, hours = np.unique(share, return_counts=True)
    for level, count in zip(levels, hours, strict=True):
        missing += np.maximum(needed_tokens_per_s * level - owned_tokens_per_s, 0.0) * (count / len(share))
    return missing
