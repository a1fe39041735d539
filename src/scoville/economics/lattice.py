"""Decisions in stages on a binomial lattice: what it is worth that one may wait, and that one may stop.

Cox, Ross and Rubinstein, "Option pricing: a simplified approach", Journal of Financial Economics 7 (1979): in each step
of t years a value rises by u = exp(sigma sqrt(t)) or falls by 1 / u, and is reckoned with the probability
p = (exp((r - y) t) - 1 / u) / (u - 1 / u), which makes it earn the riskless rate r less its yield y; decisions are
taken backwards from the end. A programme is an option on an option: each stage's payment buys the next one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoville.economics.annuity import Array
from scoville.economics.cashflow import YEAR_S


@dataclass(frozen=True, slots=True)
class Walk:
    """How a value moves: volatility and riskless rate of a year, what is lost each year by not having it."""

    volatility_frac: float
    riskless_frac: float
    yield_frac: float = 0.0

    def __post_init__(self) -> None:
        if self.volatility_frac < 0 or not all(
            math.isfinite(x) for x in (self.volatility_frac, self.riskless_frac, self.yield_frac)
        ):
            raise ValueError("a value's walk needs a volatility >= 0 and finite rates")


@dataclass(frozen=True, slots=True)
class Stage:
    """A payment that is due `after_s` from the start; who does not make it stops, and gets nothing."""

    after_s: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Staged:
    """A programme's worth at its start: committed to every payment, free to stop, and free to wait as well."""

    committed_usd: float
    stopping_usd: float
    waiting_usd: float

    @property
    def abandonment_usd(self) -> float:
        """What the right to stop adds."""
        return self.stopping_usd - self.committed_usd

    @property
    def deferral_usd(self) -> float:
        """What the right to begin later adds; nothing where beginning now is best."""
        return self.waiting_usd - max(self.stopping_usd, 0.0)


def option(
    value_usd: float,
    strike_usd: float,
    life_s: float,
    walk: Walk,
    steps: int,
    *,
    put: bool = False,
    early: bool = False,
) -> float:
    """A call or put on a value, exercised at the end or, `early`, at any step.

    A year's call at the money, 100, with 20 % volatility and 5 % interest, is worth 10.45 by Black and Scholes:

    >>> round(option(100, 100, YEAR_S, Walk(0.2, 0.05), 2000), 2)
    10.45
    """
    up, rise, keep = _step(walk, life_s / YEAR_S / steps)
    sign = -1.0 if put else 1.0
    worth = np.maximum(sign * (_values(value_usd, up, steps) - strike_usd), 0.0)
    for step in range(steps - 1, -1, -1):
        worth = keep * (rise * worth[1:] + (1 - rise) * worth[:-1])
        if early:
            worth = np.maximum(worth, sign * (_values(value_usd, up, step) - strike_usd))
    return float(worth[0])


def staged(
    value_usd: float, stages: Sequence[Stage], walk: Walk, *, wait_s: float = 0.0, steps_per_year: int = 24
) -> Staged:
    """What a programme is worth whose result is worth `value_usd` today and is had with the last payment.

    `stages` in order of time. Free to wait, it may begin at any step of the first `wait_s` or never; all dates then
    move with the beginning, and who waits loses the walk's `yield_frac` of the value a year. Steps are whole: dates are
    rounded to one. Raises ValueError for stages out of order, or none.
    """
    times = [s.after_s for s in stages]
    if not stages or times != sorted(times) or times[0] < 0 or value_usd < 0 or wait_s < 0:
        raise ValueError("a staged decision needs payments in order of time, a value >= 0 and a wait >= 0")
    step_s = YEAR_S / steps_per_year
    at = [round(t / step_s) for t in times]
    up, rise, keep = _step(replace(walk, yield_frac=0.0), 1 / steps_per_year)
    waiting = _step(walk, 1 / steps_per_year)[1]
    paid = sum(s.cost_usd * keep**k for s, k in zip(stages, at, strict=True))

    def begun(start_usd: Array) -> Array:
        """The programme's worth to who begins at these values and may stop."""
        return np.array([_compound(float(v), stages, at, up, rise, keep) for v in start_usd])

    now = float(begun(np.array([value_usd]))[0])
    waits = round(wait_s / step_s)
    worth = np.maximum(begun(_values(value_usd, up, waits)), 0.0)
    for step in range(waits - 1, -1, -1):
        worth = keep * (waiting * worth[1:] + (1 - waiting) * worth[:-1])
        worth = np.maximum(worth, begun(_values(value_usd, up, step)))
    return Staged(committed_usd=value_usd - paid, stopping_usd=now, waiting_usd=float(max(worth[0], 0.0)))


def _compound(
    value_usd: float, stages: Sequence[Stage], at: Sequence[int], up: float, rise: float, keep: float
) -> float:
    """Backwards through the payments: each is made only where what follows is worth it; the first is a duty."""
    last = at[-1]
    worth = _values(value_usd, up, last)
    due: dict[int, float] = {}
    for stage, step in zip(stages, at, strict=True):
        due[step] = due.get(step, 0.0) + stage.cost_usd
    for step in range(last, -1, -1):
        if step < last:
            worth = keep * (rise * worth[1:] + (1 - rise) * worth[:-1])
        if step in due:
            worth = worth - due[step] if step == 0 else np.maximum(worth - due[step], 0.0)
    return float(worth[0])


def _step(walk: Walk, years: float) -> tuple[float, float, float]:
    """Factor up, probability of it, and discount of one step. A volatility of 0 is one that no step can tell from it.

    Raises ValueError where steps are too long for such a small volatility: the probability would leave 0 to 1.
    """
    up = math.exp(max(walk.volatility_frac, 1e-9) * math.sqrt(years))
    grown = math.exp((walk.riskless_frac - walk.yield_frac) * years)
    rise = (grown - 1 / up) / (up - 1 / up)
    if not 0 <= rise <= 1:
        raise ValueError(
            f"the lattice's steps of {years * 365:.3g} days are too long for a volatility of {walk.volatility_frac:.3g}"
        )
    return up, rise, math.exp(-walk.riskless_frac * years)


def _values(value_usd: float, up: float, step: int) -> Array:
    """The values that can be reached after so many steps, lowest first."""
    return np.asarray(value_usd * up ** (2.0 * np.arange(step + 1) - step), dtype=np.float64)
