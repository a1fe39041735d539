"""Disaggregated prefill and decode: two fleets, the cache of each prompt sent from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError
from scoville.serving.engine import Engine
from scoville.serving.load import Capacity, capacity
from scoville.serving.replay import FINISHED, Replay
from scoville.serving.settings import Fleet
from scoville.serving.simulate import (
    Ints,
    gap_edges_s,
    gathered,
    pool_of,
    refuse_what_never_fits,
    requests_of,
    run,
    times_s,
    too_long,
)
from scoville.serving.steady import Targets
from scoville.serving.workload import workload
from scoville.traffic import Trace

_SECONDS_PER_TICK_BITS = 63


@dataclass(frozen=True, slots=True)
class Link:
    """What carries the cache of a prompt from a prefill replica: bandwidth of one replica, and latency."""

    name: str
    bytes_per_s: float
    latency_s: float

    def __post_init__(self) -> None:
        if not self.bytes_per_s > 0 or not self.latency_s >= 0:
            raise DeploymentError(
                f"link {self.name}: {self.bytes_per_s:g} bytes/s and a latency of {self.latency_s:g} s; expected a "
                f"bandwidth above 0 and a latency of at least 0"
            )
