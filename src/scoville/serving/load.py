"""How much load a fleet takes: replays at several loads, and the highest one that meets the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scoville.errors import DeploymentError
from scoville.serving.replay import Replay
from scoville.serving.steady import Targets
from scoville.traffic import Trace

Replayer = Callable[[Trace], Replay]
_LEAST_LOAD, _MOST_LOAD = 0.01, 1e6


@dataclass(frozen=True, slots=True)
class Tried:
    """A replay at one load, a multiple of the trace's own; latencies at the targets' percentiles."""

    load_frac: float
    requests_per_s: float
    tokens_per_s: float
    goodput_per_s: float
    ttft_percentile_s: float
    tpot_percentile_s: float
    met: bool


@dataclass(frozen=True, eq=False)
class Capacity:
    """The highest load that meets the targets, its replay, and all loads that were tried, lowest first."""

    load_frac: float
    replay: Replay
    tried: tuple[Tried, ...]


def tried(load_frac: float, replay: Replay, targets: Targets) -> Tried:
    """One point of a sweep."""
    return Tried(
        load_frac=load_frac,
        requests_per_s=float(replay.served.sum()) / replay.duration_s,
        tokens_per_s=replay.tokens_per_s,
        goodput_per_s=replay.goodput_per_s(targets),
        ttft_percentile_s=replay.ttft_percentile_s(targets),
        tpot_percentile_s=replay.tpot_percentile_s(targets),
        met=replay.meets(targets),
    )


def sweep(trace: Trace, replay: Replayer, loads_frac: Sequence[float], targets: Targets) -> tuple[Tried, ...]:
    """The same requests at several loads: arrivals are moved together or apart, their pattern stays."""
    return tuple(tried(x, replay(trace.stretched(1 / x)), targets) for x in loads_frac)


def capacity(
    trace: Trace,
    replay: Replayer,
    targets: Targets,
    *,
    tolerance_frac: float = 0.01,
    progress: Callable[[Tried], None] | None = None,
) -> Capacity:
    """The highest load, as a multiple of the trace's own rate, at which both targets hold.

    Doubling or halving from the trace's own load, then bisection to `tolerance_frac`; `progress` hears of each replay.
    Raises DeploymentError where even a hundredth of the load misses the targets, or where no load does.
    """
    points: dict[float, Tried] = {}

    def at(load_frac: float) -> Replay:
        made = replay(trace.stretched(1 / load_frac))
        points[load_frac] = tried(load_frac, made, targets)
        if progress is not None:
            progress(points[load_frac])
        return made

    best = at(1.0)
    low = high = 1.0
    if points[1.0].met:
        while points[high].met:
            if high > _MOST_LOAD:
                raise DeploymentError(
                    f"{trace.name}: the fleet meets the targets however fast its {len(trace)} requests come; only a "
                    f"longer trace or tighter targets show a limit"
                )
            low, high = high, high * 2
            made = at(high)
            best = made if points[high].met else best
    else:
        while not points[low].met:
            if low < _LEAST_LOAD:
                raise DeploymentError(
                    f"{trace.name}: the fleet misses the targets even at a hundredth of its load; add replicas, or "
                    f"chips per replica, or relax the targets"
                )
            high, low = low, low / 2
            best = at(low)
    while high / low > 1 + tolerance_frac:
        middle = (low * high) ** 0.5
        made = at(middle)
        if points[middle].met:
            low, best = middle, made
        else:
            high = middle
    return Capacity(low, best, tuple(points[x] for x in sorted(points)))
