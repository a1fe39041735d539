"""What the answer hangs on: which uncertain facts move it, from the same samples that gave its range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.facts import Draws, Fact
from scoville.study.answer import Driver

Array = NDArray[np.float64]


class RecordedDraws(Draws):
    """Draws that remember every fact they were asked for, by the name of its random stream."""

    def __init__(self, seed: int, samples: int) -> None:
        super().__init__(seed, samples)
        self.seen: dict[str, list[Fact]] = {}
        self._asked: dict[str, Fact] = {}

    @property
    def asked(self) -> tuple[Fact, ...]:
        """Every fact that was sampled, fixed ones included."""
        return tuple(self._asked.values())

    def sample(self, fact: Fact) -> Array:
        """See `Draws.sample`."""
        self._asked[fact.key] = fact
        if fact.distribution != "fixed" and fact.low < fact.high:
            known = self.seen.setdefault(fact.driver or fact.key, [])
            if fact not in known:
                known.append(fact)
        return super().sample(fact)


def ranks(values: Array) -> Array:
    """Ranks 0..n-1, ties in order of appearance."""
    order = np.argsort(values, kind="stable")
    out = np.empty(len(values))
    out[order] = np.arange(len(values))
    return out


def drivers(draws: RecordedDraws, outcome: Array, measure: str, most: int = 8) -> tuple[Driver, ...]:
    """The facts whose draws explain the outcome (n,), strongest first; samples with a NaN outcome are left out.

    Share of variance: squared Spearman correlation (Saltelli et al., "Global Sensitivity Analysis", 2008, section
    1.2.5), which suits independent inputs and a monotone outcome. Shares that chance alone gives one in a thousand
    times are left out.
    """
    ok = np.isfinite(outcome)
    n = int(ok.sum())
    if n < 30:
        return ()
    y = ranks(outcome[ok])
    chance = (3.29 / np.sqrt(n)) ** 2
    found = []
    for key, facts in draws.seen.items():
        u = draws.uniform(key)[ok]
        share = float(np.corrcoef(ranks(u), y)[0, 1]) ** 2
        if share > chance:
            low, high = outcome[ok][u < np.quantile(u, 0.1)], outcome[ok][u > np.quantile(u, 0.9)]
            found.append(Driver(key, _label(facts), share, float(low.mean()), float(high.mean()), measure))
    return tuple(sorted(found, key=lambda d: -d.variance_share_frac)[:most])


def _label(facts: list[Fact]) -> str:
    """A name for people: of the fact, or of the driver that several facts share."""
    first = facts[0]
    words = f"{first.subject}: {first.name}".replace("_", " ")
    if len({f.subject for f in facts}) > 1 or len(facts) > 3:
        return (first.driver or words).replace("-", " ") + f" ({len(facts)} facts)"
    return words if len(facts) == 1 else f"{first.subject}: " + ", ".join(f.name.replace("_", " ") for f in facts)
