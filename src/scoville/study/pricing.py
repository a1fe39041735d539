"""From a chip's deployments to dollars: the fleet for the demand, an hour's cost, a token's price by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.economics import (
    EngineTime,
    Fleet,
    HourlyCost,
    NotOffered,
    OwnershipTerms,
    TokenPrices,
    TokenVolume,
    fleet,
    owned,
    rented,
    site_power_w,
    token_prices,
)
from scoville.facts import Accelerator, Draws, Facts
from scoville.serving import TrafficShape
from scoville.study.question import Question

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What the study asks for in money: demand and its margins, tenure, vintage, owner."""

    question: Question
    ownership: OwnershipTerms
    shape: TrafficShape

    @classmethod
    def of(cls, question: Question, shape: TrafficShape) -> Terms:
        """From the question file."""
        return cls(
            question=question,
            ownership=OwnershipTerms.of(question.ownership, question.prices.vintage),
            shape=shape,
        )

    @property
    def volume(self) -> TokenVolume:
        """The demand by class of token, per second."""
        s = self.shape
        requests = self.question.traffic.demand / (s.input_tokens + s.output_tokens)
        return TokenVolume(
            np.array([requests * s.fresh_input_tokens]),
            np.array([requests * s.cached_input_tokens]),
            np.array([requests * s.output_tokens]),
        )

    def hourly(self, accelerator: Accelerator, facts: Facts, draws: Draws, tenure: str) -> HourlyCost | NotOffered:
        """USD per chip-hour, rented or owned."""
        if tenure == "own":
            return owned(accelerator, facts, draws, self.ownership)
        p = self.question.prices
        return rented(accelerator, draws, vintage=p.vintage, term=p.rent_term)

    def fleet(
        self, accelerator: Accelerator, facts: Facts, draws: Draws, requests_per_s: Array, chips_per_replica: Array
    ) -> Fleet:
        """Replicas, chips and grid power for the demand; power is NaN where nobody states the chip's."""
        power = site_power_w(accelerator, facts, draws, self.ownership)
        t = self.question.traffic
        return fleet(
            t.demand,
            peak_to_average=t.peak_to_average,
            headroom_frac=t.headroom,
            max_utilisation_frac=t.highest_utilisation,
            replica_tokens_per_s=requests_per_s * (self.shape.input_tokens + self.shape.output_tokens),
            chips_per_replica=chips_per_replica,
            site_power_w=np.nan if power is None else power,
        )

    def prices(self, size: Fleet, hourly: HourlyCost, prefill: Array, cached: Array, decode: Array) -> TokenPrices:
        """USD per token by class; the engine seconds per token of each class weigh the fleet's cost."""
        return token_prices(
            size.cost_usd_per_s(hourly.total_usd_per_h), self.volume, EngineTime(prefill, cached, decode)
        )
