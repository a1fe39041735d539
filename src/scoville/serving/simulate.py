"""Replay a trace on the replicas of a deployment. The rules are in docs/simulator.md."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError, TrafficError
from scoville.serving.costs import TICKS_PER_S, WORK
from scoville.serving.engine import Engine
from scoville.serving.replay import Pool, Replay
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.workload import Workload, workload
from scoville.traffic import Trace, prefix_blocks

if TYPE_CHECKING:
    from scoville.serving.compiled import Compiled

Ints = NDArray[np.int64]
Array = NDArray[np.float64]
LONGEST_S = (2**63 - 1) // TICKS_PER_S - 1
_LEAST_ID_TOKENS = 16  # of a conversation's blocks where those of the cache are smaller
_SECONDS = 1 / TICKS_PER_S
_LEAST_INTERVAL_S = 1e-3  # of autoscaling, all of whose checks are made
_MOST_RATIO = 1e9  # compared in thousandths, as an integer


def simulate(
    trace: Trace, one: Engine, replicas: int | Fleet, *, leap: bool = True, threads: int | None = None
) -> Replay:
    """Replay `trace` on a fleet of equal engines; a number of replicas is a fleet that takes them round robin.

    The result does not depend on `threads`. `leap = False` takes every step by itself (slower, the same result).
    Raises DeploymentError before the run for a request that can never fit, and TrafficError for a trace that lacks
    what the fleet goes by.
    """
    fleet = replicas if isinstance(replicas, Fleet) else Fleet(replicas=replicas)
    refuse_what_never_fits(trace, one)
    if trace.duration_s > LONGEST_S:
        raise DeploymentError(too_long(trace))
    work = requests_of(trace, one, fleet)
    found, parts = run(work, one, fleet, leap=leap, threads=threads)
    if any(c.out_of_ticks for c in parts):
        raise DeploymentError(too_long(trace))
    end = max(c.end for c in parts)
    pool = pool_of("serving", one, fleet, parts, end)
    share = found["share"]
    return Replay(
        pools=(pool,),
        duration_s=end * _SECONDS,
        outcome=found["outcome"],
        share_frac=share / share.sum() if share.sum() > 0 else share,
        input_tokens=trace.input_tokens,
        output_tokens=trace.output_tokens,
        client_ids=trace.client_ids,
        gap_s=gap_edges_s(),
        gap_count=np.sum([c.histogram for c in parts], axis=0),
        preemptions_count=found["preemptions"],
        retries_count=found["retries"],
        cached_tokens=found["cached"],
        **times_s(trace, one, found["arrival"], found["scheduled"], found["first"], found["finish"], found["max_gap"]),
    )


def times_s(
    trace: Trace, one: Engine, arrival: Ints, scheduled: Ints, first: Ints, finish: Ints, max_gap: Ints
) -> dict[str, Array]:
    """A replay's times from instants in ticks; NaN for what was never served. What requests spend outside the engine
    that takes them in, before and after, delays their tokens.
    """
    served = finish >= 0
    outside = one.settings.request_s

    def seconds(ticks: Ints, known: NDArray[np.bool_], since: float = 0.0) -> Array:
        values = np.asarray(ticks * _SECONDS + since)
        values[~known] = np.nan
        return values

    tpot = seconds(finish - first, served)
    tpot /= np.maximum(trace.output_tokens - 1, 1)
    return {
        "arrival_s": seconds(arrival, arrival >= 0, float(trace.arrival_s[0])),
        "queue_s": seconds(scheduled - arrival, served),
        "ttft_s": seconds(first - arrival, served, outside),
        "tpot_s": tpot,
        "max_gap_s": seconds(max_gap, served),
        "end_s": seconds(finish - arrival, served, outside),
    }


def refuse_what_never_fits(trace: Trace, one: Engine) -> None:
    """Raises DeploymentError naming a request whose prompt and answer exceed the cache of a lane."""
    drafts = one.settings.speculation.drafts_count if one.settings.speculation else 0
    tokens = trace.input_tokens.astype(np.int64) + trace.output_tokens + drafts
    longest = int(np.argmax(tokens))
    if -(-int(tokens[longest]) // one.settings.block_tokens) + one.sequence_blocks > one.lane_blocks:
        room = (one.lane_blocks - one.sequence_blocks) * one.settings.block_tokens
        share = "" if one.costs.stages == 1 else f" for each of the {one.costs.stages} microbatches of a pipeline"
        raise DeploymentError(
            f"request {longest} of {trace.name} has {trace.input_tokens[longest]:,} prompt and "
            f"{trace.output_tokens[longest]:,} answer tokens; the cache of a replica holds {room:,}{share}; use more "
            f"chips per replica or a narrower cache format"
        )


def too_long(trace: Trace) -> str:
    """Why a replay that outlasts the clock is refused."""
    return (
        f"{trace.name}: the replay takes more than {LONGEST_S / 86400:.3g} days, the most that the simulator's clock "
        f"counts; use a shorter trace, or more replicas if they can't keep up"
    )


def requests_of(trace: Trace, one: Engine, fleet: Fleet) -> Workload:
    """The trace in the simulator's integers. Raises TrafficError where it lacks a column that is asked for."""
    s = one.settings
    _refuse_what_the_clock_lacks(fleet, s)

    def column(name: str, why: str) -> NDArray[np.integer]:
        values = getattr(trace, name)
        if values is None:
            raise TrafficError(f"{trace.name} has no {name}, which {why} goes by; it has {', '.join(trace.columns())}")
        return np.asarray(values)

    ids = offsets = None
    id_tokens = 1
    if s.prefix_cache or fleet.routing == "prefix_aware":
        unit = s.block_tokens * max(1, -(-_LEAST_ID_TOKENS // s.block_tokens))
        found = prefix_blocks(trace, unit)
        if found is None:
            what = "a prefix cache" if s.prefix_cache else "prefix-aware routing"
            raise TrafficError(f"{trace.name} has neither block hashes nor sessions, which {what} goes by")
        ids, offsets, id_tokens = found
    parent = think = None
    if fleet.turns_follow:
        parent = column("parent", "turns that follow each other").astype(np.int64)
        think_s = column("think_s", "the time between turns") + s.request_s
        if think_s.max() > LONGEST_S:
            raise DeploymentError(too_long(trace))
        think = np.round(think_s * TICKS_PER_S).astype(np.int64)
    return workload(
        np.round((trace.arrival_s - trace.arrival_s[0]) * TICKS_PER_S).astype(np.int64),
        trace.input_tokens.astype(np.int64),
        trace.output_tokens.astype(np.int64),
        klass=None if trace.priority is None else _numbered(trace.priority),
        client=_numbered(column("client_ids", "fairness")) if s.fair else None,
        session=_numbered(column("session_ids", "sticky routing")) if fleet.routing == "sticky" else None,
        parent=parent,
        think=think,
        ids=ids,
        offsets=offsets,
        id_tokens=id_tokens,
    )


def _refuse_what_the_clock_lacks(fleet: Fleet, s: EngineSettings) -> None:
    """Raises DeploymentError for settings of a fleet that a run of some days cannot have."""
    spans = [("fleet: think_s", fleet.think_s), ("engine: patience_s", s.patience_s or 0.0)]
    if fleet.autoscaling:
        spans.append(("autoscaling: interval_s", fleet.autoscaling.interval_s))
        spans.append(("autoscaling: startup_s", fleet.autoscaling.startup_s))
    spans += [(f"fleet: repaired_s of replica {f.replica}", f.repaired_s) for f in fleet.failures]
    for what, span_s in spans:
        if not span_s <= LONGEST_S:
            raise DeploymentError(
                f"{what} is {span_s:g} s; the simulator's clock counts {LONGEST_S / 86400:.3g} days, {LONGEST_S:,} s"
            )
    if fleet.autoscaling and fleet.autoscaling.interval_s < _LEAST_INTERVAL_S:
        raise DeploymentError(
            f"autoscaling: interval_s is {fleet.autoscaling.interval_s:g}; expected at least {_LEAST_INTERVAL_S:g} s"
        )
    if fleet.queue_limit == 0:
        raise DeploymentError(
            "fleet: queue_limit is 0, which turns every request away; expected an integer >= 1, or none"
        )
    if not 0 <= fleet.balance_ratio <= _MOST_RATIO:
        raise DeploymentError(
            f"fleet: balance_ratio is {fleet.balance_ratio:g}; expected a number from 0 to {_MOST_RATIO:g}"
        )
    if fleet.seed >= 2**63:
        raise DeploymentError(f"fleet: seed is {fleet.seed}; expected an integer below 2^63")


def _numbered(values: NDArray[np.integer]) -> Ints:
    """Equal values by the same number, in their order, without gaps."""
    return np.asarray(np.unique(values, return_inverse=True)[1], np.int64)


def run(
    work: Workload, one: Engine, fleet: Fleet, *, leap: bool = True, threads: int | None = None
) -> tuple[dict[str, NDArray[Any]], Sequence[Compiled]]:
    """Run the compiled simulator: replicas by themselves, in parallel, where nothing ties them to one another.

    What the requests saw, and what each part of the fleet did.
    """
    from scoville.serving import compiled

    apart = (
        fleet.routing == "round_robin"
        and fleet.users is None
        and not (fleet.turns_follow or fleet.autoscaling or fleet.failures)
    )
    count = fleet.replicas if apart else 1
    # The engine's clock runs behind the users' by what a request spends outside, so that it comes between two turns.
    small = replace(fleet, replicas=fleet.replicas // count, think_s=fleet.think_s + one.settings.request_s)

    def part(k: int) -> Compiled:
        mine = slice(k, None, count)
        return compiled.replay(
            work if count == 1 else work.part(mine),
            one.costs, one.settings, small, one.cache_blocks, one.sequence_blocks,
            leap=leap, numbers=range(len(work))[mine],
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(min(count, len(work)))))
    return compiled.woven(parts), parts


def pool_of(name: str, one: Engine, fleet: Fleet, made: Sequence[Compiled], end: int) -> Pool:
    """What the replicas of a run did until `end`, in ticks; of none, if nothing came to them."""
    from scoville.serving.compiled.state import FIRST_BIN_TICKS, TIMELINE_BINS

    bin_ticks = max((c.bin_ticks for c in made), default=FIRST_BIN_TICKS)
    while bin_ticks * TIMELINE_BINS < end:
        bin_ticks *= 2
    timeline = np.sum([_in_bins(c, bin_ticks) for c in made], axis=0) if made else np.zeros((2, TIMELINE_BINS))
    used = -(-end // bin_ticks)
    ends = np.minimum(np.arange(1.0, used + 1) * bin_ticks, end)
    widths = np.diff(ends, prepend=0.0) * fleet.replicas
    lanes = one.costs.ranks * one.costs.stages
    paid = float(made[0].replica_ticks) if fleet.autoscaling and made else float(end * fleet.replicas)
    total = dict(zip(WORK, np.sum([np.zeros(len(WORK)), *(c.work for c in made)], axis=0).tolist(), strict=True))
    replica_s = paid * _SECONDS
    return Pool(
        name=name,
        engine=one,
        fleet=fleet,
        timeline_s=ends * _SECONDS,
        timeline_sequences_count=timeline[0, :used] / widths,
        timeline_cache_frac=timeline[1, :used] / widths / (one.lane_blocks * lanes),
        steps_count=sum(c.steps for c in made),
        leaps_count=sum(c.leaps for c in made),
        busy_frac=sum(c.busy for c in made) / paid,
        compute_frac=total["flop"] / (one.peak_flop_per_s * replica_s),
        memory_frac=total["memory_bytes"] / (one.peak_bytes_per_s * replica_s),
        link_frac=total["link_bytes"] / (one.peak_link_bytes_per_s * replica_s),
        replica_s=replica_s,
        most_sequences_count=max((c.most_sequences for c in made), default=0),
        most_cache_frac=max((c.most_blocks for c in made), default=0) / one.lane_blocks,
        recomputed_tokens=sum(c.recomputed_tokens for c in made),
        moved_blocks_count=sum(c.moved_blocks for c in made),
        energy_j=total["energy_j"] + one.costs.idle_w * replica_s,
    )


def _in_bins(c: Compiled, bin_ticks: int) -> Array:
    """A part's timeline in bins twice, four times and so on as wide as its own."""
    times = bin_ticks // c.bin_ticks
    bins = c.timeline.shape[1]
    wider = np.zeros_like(c.timeline)
    padded = np.pad(c.timeline, ((0, 0), (0, -bins % times)))
    summed = padded.reshape(2, -1, times).sum(axis=2)
    wider[:, : summed.shape[1]] = summed
    return wider


def gap_edges_s() -> Array:
    """Upper edges of the bins of gaps between tokens."""
    from scoville.serving.compiled.state import HISTOGRAM_BINS
    from scoville.serving.compiled.structures import bin_end

    return np.array([float(getattr(bin_end, "py_func", bin_end)(i)) for i in range(HISTOGRAM_BINS)]) * _SECONDS
