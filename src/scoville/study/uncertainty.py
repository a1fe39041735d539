"""The whole chain of a study's chip as one function of draws: facts, timing spread, capacity, fleet, cost per token.

Capacity comes from a response surface fitted to computed points, with its error in every sample; the rest is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.economics import NotOffered
from scoville.economics.sensitivity import Outcome
from scoville.economics.surface import Surface, fit
from scoville.errors import StudyError
from scoville.facts import Draws, Facts
from scoville.study.deploy import Choice, Workload, sample
from scoville.study.pricing import Terms

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chain:
    """A chip under one tenure. `surface` stands for the requests per second of a chip; without one, all is computed."""

    choice: Choice
    facts: Facts
    work: Workload
    terms: Terms
    tenure: str
    surface: Surface | None = None

    def capacity(self, draws: Draws) -> Array:
        """Requests per second of a chip, (n,), at the best of the candidates' batches that meets the targets."""
        if self.surface is not None:
            return self.surface.sample(draws)
        found = sample(self.choice, self.facts, draws, self.work)
        return found.requests_per_s / found.chips_per_replica_count

    def usd_per_token(self, draws: Draws) -> Array:
        """What the average token costs, (n,), input and output alike. Raises StudyError where the chip is not offered.

        Fleets are counted in replicas of the choice at central values.
        """
        chips = float(self.choice.deployment.parallelism.chips)
        accelerator = self.choice.accelerator
        hourly = self.terms.hourly(accelerator, self.facts, draws, self.tenure)
        if isinstance(hourly, NotOffered):
            raise StudyError(f"{accelerator.id} is not offered: {hourly.reason}")
        size = self.terms.fleet(accelerator, self.facts, draws, self.capacity(draws) * chips, np.full(draws.n, chips))
        return size.cost_usd_per_s(hourly.total_usd_per_h) / self.terms.question.traffic.demand

    def with_surface(self, points: int = 300, seed: int = 1) -> Chain:
        """The chain on a surface of its capacity. Raises StudyError where targets are missed at one of the points."""
        outcome: Outcome = Chain(self.choice, self.facts, self.work, self.terms, self.tenure).capacity
        surface = fit(outcome, f"capacity of {self.choice.accelerator.id}", "count_per_s", points=points, seed=seed)
        return Chain(self.choice, self.facts, self.work, self.terms, self.tenure, surface)
