"""What timing gives back, and what any timer must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scoville.timing.chips import Chips
from scoville.transformer.operators import OperatorTable

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepTime:
    """Time, work and energy of steps. Arrays have shape (n, m): n chips or samples, m steps; work has shape (m,).

    stage_s       time of the slowest pipeline stage, engine overhead included: one micro-batch leaves per stage_s
    latency_s     time of one micro-batch through all stages
    compute_s, memory_s, link_s, overhead_s   parts of latency_s by what bounds each operator; they sum to latency_s.
                  A collective's own latency is link time; launches of kernels and the engine's overhead are overhead
    flop, memory_bytes, link_bytes            per step and replica, every chip taken as the busiest one; link_bytes
                  counts payload, not the copies that a ring sends
    energy_j      per step and replica, idle power included
    throttled     where the power cap made the step longer
    """

    stage_s: Array
    latency_s: Array
    compute_s: Array
    memory_s: Array
    link_s: Array
    overhead_s: Array
    flop: Array
    memory_bytes: Array
    link_bytes: Array
    energy_j: Array
    throttled: NDArray[np.bool_]
    provenance: str
    relative_uncertainty_frac: float

    def limit(self) -> NDArray[np.str_]:
        """Which resource takes the most time, shape (n, m): 'compute', 'memory bandwidth', 'link', 'overhead'."""
        parts = np.stack([self.compute_s, self.memory_s, self.link_s, self.overhead_s])
        names = np.array(["compute", "memory bandwidth", "link", "overhead"])
        return np.asarray(names[np.argmax(parts, axis=0)])


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator of one step, for people: seconds per run, runs per step over all stages, and what bounds it.

    `fixed_s` is the part of `time_s` that no work explains; `source` is 'measured', 'extrapolated', 'fitted',
    'systolic' or 'roofline'.
    """

    name: str
    kind: str
    runs_count: int
    flop: float
    memory_bytes: float
    link_bytes: float
    time_s: float
    limit: str
    rate: str
    peak_flop_per_s: float
    fixed_s: float
    source: str


class Timer(Protocol):
    """Anything that can say how long a step takes."""

    def time(self, table: OperatorTable, chips: Chips, features: Array) -> StepTime:
        """Time `features` (m, columns of table.layout) on each of the n chips. Results have shape (n, m)."""
        ...
