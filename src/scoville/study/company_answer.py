"""The answer about a company: plain records, SI inside, a value for each year in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.facts import Range
from scoville.study.answer import Driver

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fan:
    """One quantity by year: at the facts' central values, and P10, P50 and P90 over the samples."""

    name: str
    measure: str
    central: tuple[float, ...]
    p10: tuple[float, ...]
    p50: tuple[float, ...]
    p90: tuple[float, ...]

    @classmethod
    def of(cls, name: str, measure: str, central: Array, samples: Array) -> Fan:
        """From the central years (1, y) and the sampled ones (n, y)."""
        low, middle, high = (tuple(float(x) for x in row) for row in np.percentile(samples, (10, 50, 90), axis=0))
        return cls(name, measure, tuple(float(x) for x in central[0]), low, middle, high)


@dataclass(frozen=True, slots=True)
class ByShare:
    """What a share of inference on own chips saves by year, none of them idle."""

    share_frac: float
    saving: Fan


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What the programme changes if a token on it costs what the claim says.

    `profitable_frac` is the share of samples with a positive operating result in the last year; `needed` the share of
    the last year's inference that would have to run on own chips for a result of nil (0: none; None at an end where no
    share is enough, because a token costs no less than a bought one), above 1 where even all of it is too little.
    """

    name: str
    said: str
    ratio: Range
    served: Fan
    idle: Fan
    saving: Fan
    inference: Fan
    result: Fan
    profitable_frac: float
    needed: Range
    by_share: tuple[ByShare, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """A model released at the end of the known year: what its training and the inference of its life cost, how long
    it takes until inference has cost as much, and the share of samples in which that is within its life.
    """

    training: Range
    inference: Range
    life: Range
    overtakes: Range
    within_life_frac: float


@dataclass(frozen=True, slots=True)
class Check:
    """A figure of the arithmetic beside one that was published and is no input of it."""

    what: str
    unit: str
    computed: Range
    published: float
    measure: str
    source: str


@dataclass(frozen=True, slots=True)
class CompanyAnswer:
    """Everything that the question came to."""

    title: str
    study_file: str
    scoville_version: str
    years: tuple[int, ...]
    samples_count: int
    seed: int
    fans: tuple[Fan, ...]
    claim: str
    claims: tuple[ClaimOutcome, ...]
    profitable_without_frac: float
    plan: Range
    checks: tuple[Check, ...]
    drivers: tuple[Driver, ...]
    claim_variance_frac: float
    drivers_saving: tuple[Driver, ...]
    life: Life
    overtakes_year: int | None  # at whose end all inference since the known year has cost what all training has
    findings: tuple[str, ...]
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]

    def fan(self, name: str) -> Fan:
        """The quantity of that name."""
        return next(f for f in self.fans if f.name == name)

    @property
    def headline(self) -> ClaimOutcome:
        """The outcome of the claim that the study names."""
        return next(c for c in self.claims if c.name == self.claim)
