"""Samples of the facts' ranges for Monte Carlo: seeded, shared within a driver group, independent of call order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.facts.records import Fact


class Draws:
    """`samples` joint draws of all facts.

    Facts of one driver group (electricity, WACC, HBM price, ...) take the same quantile in every sample, each on its
    own range: a sample with dear memory has dear memory for every chip. The stream of a fact depends only on the seed
    and on its driver or key, so adding a fact changes no other.
    """

    def __init__(self, seed: int, samples: int) -> None:
        if samples < 1:
            raise ValueError(f"samples is {samples}; expected at least 1")
        self.n = samples
        self._seed: int | None = seed

    @classmethod
    def central(cls) -> Draws:
        """One sample with every fact at its value."""
        draws = cls(0, 1)
        draws._seed = None
        return draws

    def uniform(self, key: str) -> NDArray[np.float64]:
        """Quantiles of that name, shape (n,), in [0, 1); 0.5 in the central draw."""
        if self._seed is None:
            return np.full(1, 0.5)
        digest = hashlib.blake2b(f"{self._seed}\0{key}".encode(), digest_size=16).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).random(self.n)

    def sample(self, fact: Fact) -> NDArray[np.float64]:
        """Values of the fact in its measure, shape (n,). Raises TypeError for a text fact (a programming error).

        Triangular: the inverse of the distribution function over low, value, high. Balanced: two halves of a triangle,
        one over low to value and one over value to high, with half of the samples each, so that the value is the
        median however skewed the range.
        """
        value, low, high = fact.number, fact.low, fact.high
        if self._seed is None or fact.distribution == "fixed" or low == high:
            return np.full(self.n, value)
        u = self.uniform(fact.driver or fact.key)
        if fact.distribution == "uniform":
            return low + u * (high - low)
        if fact.distribution == "balanced":
            below = low + np.sqrt(2 * u) * (value - low)
            above = high - np.sqrt(2 * (1 - u)) * (high - value)
            return np.where(u < 0.5, below, above)
        left = (value - low) / (high - low)
        rising = low + np.sqrt(u * (high - low) * (value - low))
        falling = high - np.sqrt((1 - u) * (high - low) * (high - value))
        return np.where(u < left, rising, falling)


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity with its range: `central` at the facts' central values, P10 and P90 over the samples.

    `measure` is the SI measure of all three ("usd_per_token", "tokens_per_s", ...).
    """

    p10: float
    central: float
    p90: float
    measure: str

    @classmethod
    def of(cls, central: float, samples: NDArray[np.float64], measure: str) -> Range:
        """From samples of any shape; those that are not finite (no deployment met the targets) are left out."""
        finite = samples[np.isfinite(samples)]
        low, high = np.percentile(finite, (10, 90)) if len(finite) else (central, central)
        return cls(float(low), float(central), float(high), measure)
