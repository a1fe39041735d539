"""When a chip of one's own pays, by two rules of thumb: chips to earn the one-time cost back, and "two for two".

No time value, tax or ramp: `cashflow` and `options` have them. These are the sums that published figures rest on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import StudyError
from scoville.facts import Facts

Array = NDArray[np.float64]
_HOURS_PER_YEAR = 8760.0
_YEAR_S = _HOURS_PER_YEAR * 3600


def yearly_saving(own_usd_per_h: ArrayLike, other_usd_per_h: ArrayLike, relative_frac: ArrayLike) -> Array:
    """USD that a chip saves in a year of paid hours against the share of another that it replaces; broadcasts.

    `relative_frac` is its tokens/s over the other's. At 1.27 USD/h against 2.31 and 0.834 of the speed: (0.834 x 2.31 -
    1.27) x 8,760 = 5,742.

    >>> round(float(yearly_saving(1.27, 2.31, 13748.7 / 16493.4)))
    5743
    """
    own, other, relative = (np.asarray(x, float) for x in (own_usd_per_h, other_usd_per_h, relative_frac))
    return np.asarray((relative * other - own) * _HOURS_PER_YEAR)


def break_even_chips(nre_usd: ArrayLike, saving_usd: ArrayLike, life_s: ArrayLike) -> Array:
    """Chips whose savings over their life equal the one-time cost; infinite where nothing is saved; broadcasts.

    0.75e9 / (5,743 x 4) = 32,600.

    >>> [float(x) for x in np.round(break_even_chips([0.75e9, 0.75e9], [5743.0, -10.0], 4 * 365 * 86400.0))]
    [32648.0, inf]
    """
    nre, saving, life = np.broadcast_arrays(*(np.asarray(x, float) for x in (nre_usd, saving_usd, life_s)))
    return np.asarray(
        np.divide(nre, saving * (life / _YEAR_S), out=np.full(nre.shape, np.inf), where=(saving > 0) & (life > 0))
    )


@dataclass(frozen=True, slots=True)
class TwoForTwo:
    """Whether a chip of one's own passes the rule, and the sum behind it.

    tco_over_nre_frac    cost of the computation on the best alternative over the one-time cost
    improvement_frac     the alternative's cost per operation over that on the own chip
    least_*              what the rule asks for
    needed_improvement_frac   at which this one-time cost is just earned back: infinite where it exceeds the whole cost
    saved_usd            of the alternative's cost, less the one-time cost
    """

    tco_over_nre_frac: float
    improvement_frac: float
    least_tco_over_nre_frac: float
    least_improvement_frac: float
    needed_improvement_frac: float
    saved_usd: float

    @property
    def passes(self) -> bool:
        """Both halves of the rule."""
        return (
            self.tco_over_nre_frac >= self.least_tco_over_nre_frac
            and self.improvement_frac >= self.least_improvement_frac
        )

    def said(self) -> str:
        """In a sentence: both halves, the verdict, and what the sum itself says."""
        word = "passes" if self.passes else "fails"
        kept = f"{abs(self.saved_usd) / 1e6:,.0f} MUSD {'saved' if self.saved_usd >= 0 else 'lost'}"
        needed = f"{self.needed_improvement_frac:.2f} times" if np.isfinite(self.needed_improvement_frac) else "none"
        return (
            f"two for two: {word}. The computation costs {self.tco_over_nre_frac:.2f} times the one-time cost (at "
            f"least {self.least_tco_over_nre_frac:g}), an operation {self.improvement_frac:.2f} times what it costs on "
            f"the own chip (at least {self.least_improvement_frac:g}); {kept}, break-even at an improvement of {needed}"
        )


def two_for_two(facts: Facts, tco_usd: float, nre_usd: float, improvement_frac: float) -> TwoForTwo:
    """The rule of ASIC Clouds: own silicon pays where the computation's cost is at least twice the one-time cost, and
    its cost per operation falls by at least half (Khazraee et al., "Moonwalk: NRE Optimization in ASIC Clouds", ASPLOS
    2017; Magaki et al., "ASIC Clouds", ISCA 2016).

    Its sum: of a cost T the chip leaves T / s and costs N once, so it pays where T (1 - 1/s) > N, and at T = 2 N and
    s = 2 it is just paid for. Raises StudyError for amounts that are not above 0.
    """
    for name, value in (
        ("cost of the computation", tco_usd),
        ("one-time cost", nre_usd),
        ("improvement", improvement_frac),
    ):
        if not value > 0:
            raise StudyError(f"two for two: {name} is {value:g}; expected a number above 0")
    ratio = tco_usd / nre_usd
    return TwoForTwo(
        tco_over_nre_frac=ratio,
        improvement_frac=improvement_frac,
        least_tco_over_nre_frac=facts.get("two-for-two", "tco_over_nre").number,
        least_improvement_frac=facts.get("two-for-two", "improvement").number,
        needed_improvement_frac=1 / (1 - 1 / ratio) if ratio > 1 else float("inf"),
        saved_usd=tco_usd * (1 - 1 / improvement_frac) - nre_usd,
    )
