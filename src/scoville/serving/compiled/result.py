"""Run the compiled simulator on a workload, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.serving.compiled import loop, state
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import request as Q
from scoville.serving.costs import WORK, StepCosts
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.workload import Workload

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_COLUMNS = {
    "arrival": Q.ARRIVAL,
    "scheduled": Q.SCHEDULED,
    "first": Q.FIRST,
    "finish": Q.FINISH,
    "max_gap": Q.MAX_GAP,
    "preemptions": Q.PREEMPTIONS,
    "retries": Q.RETRIES,
    "cached": Q.CACHED,
    "lane": Q.LANE,
    "outcome": Q.PHASE,
    "share": Q.SHARE,
}
Columns = Mapping[str, NDArray[Any]]


def columns(n: int) -> Columns:
    """Room for what n requests see, arrays of shape (n,), by the names of `Compiled`."""
    kinds = {"outcome": np.int8, "share": np.float64}
    return {name: np.empty(n, kinds.get(name, np.int64)) for name in _COLUMNS}


@dataclass(frozen=True, eq=False)
class Compiled:
    """What every request saw, in ticks, arrays of shape (n,); -1 for what never was.

    outcome   position in serving.replay.OUTCOMES; cached: tokens found in the prefix cache at the first admission
    share     replica ticks that a request is charged with
    timeline  ticks x sequences, ticks x blocks by bins of `bin_ticks`, shape (2, bins)
    work      see costs.WORK, over the run; without idling
    """

    arrival: Ints
    lane: Ints
    scheduled: Ints
    first: Ints
    finish: Ints
    max_gap: Ints
    preemptions: Ints
    retries: Ints
    cached: Ints
    outcome: NDArray[np.int8]
    share: Floats
    histogram: Ints
    timeline: Floats
    bin_ticks: int
    steps: int
    busy: int
    end: int
    most_sequences: int
    most_blocks: int
    recomputed_tokens: int
    moved_blocks: int
    replica_ticks: int
    leaps: int
    out_of_ticks: bool
    work: Floats

    @property
    def sequence_ticks(self) -> float:
        """Time x running sequences."""
        return float(self.timeline[0].sum())

    @property
    def block_ticks(self) -> float:
        """Time x blocks in use."""
        return float(self.timeline[1].sum())


def replay(
    work: Workload,
    costs: StepCosts,
    settings: EngineSettings,
    fleet: Fleet,
    cache_blocks: int,
    sequence_blocks: int = 0,
    *,
    leap: bool = True,
    numbers: Ints | None = None,
    into: Columns | None = None,
) -> Compiled:
    """Replay on the replicas of a fleet. `leap = False` takes every step by itself. `numbers` are those that random
    numbers depend on, the positions if left out; `into` is where the columns are written, new ones if left out.
    """
    own = np.arange(len(work)) if numbers is None else numbers
    m = state.allocate(work, own, costs, settings, fleet, cache_blocks, sequence_blocks, leap=leap)
    f = m.view(np.float64)
    loop.run(m, f)
    of = columns(len(work)) if into is None else into
    _read_requests(m, f, of)

    def floats(position: int, size: int) -> Floats:
        return f[m[position] :][:size]

    return Compiled(
        **of,
        histogram=m[m[C.HISTOGRAM] :][: state.HISTOGRAM_BINS].copy(),
        timeline=floats(C.TIMELINE, 2 * state.TIMELINE_BINS).reshape(2, -1).copy(),
        bin_ticks=int(m[C.BIN_TICKS]),
        steps=int(m[C.STEPS]),
        busy=int(m[C.BUSY]),
        end=int(m[C.END]),
        most_sequences=int(m[C.MOST_SEQUENCES]),
        most_blocks=int(m[C.MOST_BLOCKS]),
        recomputed_tokens=int(m[C.RECOMPUTED]),
        moved_blocks=int(m[C.MOVED]),
        replica_ticks=int(m[C.REPLICA_TICKS]),
        leaps=int(m[C.LEAPS]),
        out_of_ticks=bool(m[C.OUT_OF_TICKS]),
        work=floats(C.WORK, len(WORK))
        + costs.work_head * float(m[C.SAMPLED_SUM])
        + floats(C.SUMS, costs.size) @ costs.work_v,
    )


def _read_requests(m: Ints, f: Floats, of: Columns) -> None:
    """The columns out of the records of the requests."""
    n = len(of["lane"])
    request, floats = (x[m[C.REQUESTS] :].reshape(n, Q.SIZE) for x in (m, f))
    lanes = int(m[C.LANES])
    for part in state.parts(n):
        for name, field in _COLUMNS.items():
            if name == "share":
                of[name][part] = floats[part, field]
            elif name == "outcome":
                of[name][part] = request[part, field] - state.FINISHED
            elif name == "lane":
                of[name][part] = (request[part, field] - lanes) // L.SIZE
            else:
                of[name][part] = request[part, field]
    np.maximum(of["lane"], -1, out=of["lane"])
