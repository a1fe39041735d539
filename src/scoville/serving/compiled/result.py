"""Run the compiled simulator on a workload, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
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
_ROWS = 1024  # of a part that are put in place together, while they are in a processor's cache


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
    numbers: range | None = None,
) -> Compiled:
    """Replay on the replicas of a fleet. `leap = False` takes every step by itself. `numbers` are those that random
    numbers depend on, the positions if left out.
    """
    n = len(work)
    m = state.allocate(work, numbers or range(n), costs, settings, fleet, cache_blocks, sequence_blocks, leap=leap)
    f = m.view(np.float64)
    loop.run(m, f)
    told = m[m[C.OUTPUTS] :][: len(Q.COLUMNS) * n].reshape(-1, n).copy()
    of: dict[str, NDArray[Any]] = dict(zip(Q.COLUMNS, told, strict=True))
    of["outcome"] = (of["outcome"] - state.FINISHED).astype(np.int8)
    of["lane"] = np.maximum((of["lane"] - m[C.LANES]) // L.SIZE, -1)
    of["share"] = of["share"].view(np.float64)

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


def woven(parts: Sequence[Compiled]) -> dict[str, NDArray[Any]]:
    """The columns of parts that had the requests in turn, put together: part k of p those numbered k, k + p, ..."""
    n, p = sum(len(c.lane) for c in parts), len(parts)
    found: dict[str, NDArray[Any]] = {}
    for name in Q.COLUMNS:
        own = [getattr(c, name) for c in parts]
        column = np.empty(n, own[0].dtype)
        rows = column[: n // p * p].reshape(-1, p)
        for at in range(0, len(rows), _ROWS):
            for k, values in enumerate(own):
                rows[at : at + _ROWS, k] = values[at : min(at + _ROWS, len(rows))]
        for k in range(n % p):
            column[len(rows) * p + k] = own[k][-1]
        found[name] = column
    return found
