"""Disaggregated prefill and decode: two fleets, the cache of each prompt sent from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scoville.errors import DeploymentError
from scoville.serving.costs import TICKS_PER_S
from scoville.serving.engine import Engine
from scoville.serving.load import Capacity, capacity
from scoville.serving.replay import FINISHED, Replay
from scoville.serving.settings import Fleet
from scoville.serving.simulate import (
    Ints,
    gap_edges_s,
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

if TYPE_CHECKING:
    from scoville.serving.compiled import Compiled


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


def scale_out(accelerator_name: str, prefill: Engine, achieved_frac: float) -> Link:
    """The scale-out links of a prefill replica's chips together, at the share of them that transfers achieve."""
    if prefill.scale_out_bytes_per_s <= 0:
        raise DeploymentError(f"{accelerator_name} has no link that leaves the replica; name one for the transfers")
    return Link(
        f"scale-out of {accelerator_name}", prefill.scale_out_bytes_per_s * achieved_frac, prefill.scale_out_latency_s
    )


def disaggregate(
    trace: Trace, prefill: Engine, decode: Engine, prefill_fleet: Fleet, decode_fleet: Fleet, link: Link
) -> Replay:
    """Replay a trace on a fleet for prompts and one for answers (docs/simulator.md, "Two pools").

    Raises DeploymentError for a request that never fits one of them, and for closed loops and turns that follow.
    """
    for fleet in (prefill_fleet, decode_fleet):
        if fleet.users is not None or fleet.turns_follow:
            raise DeploymentError(
                "two pools: closed loops and turns that follow each other are for one pool; use the trace's arrivals"
            )
    refuse_what_never_fits(replace(trace, output_tokens=np.ones_like(trace.output_tokens)), prefill)
    refuse_what_never_fits(trace, decode)
    n = len(trace)
    work = requests_of(trace, prefill, prefill_fleet)
    output = work.output
    one, first_parts = run(replace(work, output=np.ones(n, np.int64)), prefill, prefill_fleet)
    if any(c.out_of_ticks for c in first_parts):
        raise DeploymentError(too_long(trace))
    # Replicas that ran by themselves had the requests in turn, and number their lanes each from 0.
    apart = len(first_parts) > 1
    replica = np.arange(n) % len(first_parts) if apart else one["lane"] % prefill_fleet.replicas
    arrives = _sent(work.prompt, one["finish"], replica, prefill, link)
    goes_on = np.flatnonzero((one["outcome"] == FINISHED) & (output > 1))
    order = goes_on[np.argsort(arrives[goes_on], kind="stable")]
    second_parts: Sequence[Compiled] = ()
    shares = [one["share"], np.zeros(n)]
    two = {name: values.copy() for name, values in one.items()}
    if len(order):
        calm = replace(decode, settings=replace(decode.settings, patience_s=None, prefix_cache=False))
        asked = requests_of(trace, calm, decode_fleet)
        later = workload(
            arrives[order],
            work.prompt[order],
            output[order],
            klass=asked.klass[order],
            client=asked.client[order],
            session=asked.session[order],
            computed=work.prompt[order],
            got=np.ones(len(order), np.int64),
            token_at=one["first"][order],
        )
        found, second_parts = run(later, calm, decode_fleet)
        if any(c.out_of_ticks for c in second_parts):
            raise DeploymentError(too_long(trace))
        for name in ("finish", "outcome"):
            two[name][order] = found[name]
        two["max_gap"][order] = found["max_gap"]
        for name in ("preemptions", "retries"):
            two[name][order] += found[name]
        shares[1][order] = found["share"]
    both = (*first_parts, *second_parts)
    end = max(c.end for c in both)
    made = (
        pool_of("prefill", prefill, prefill_fleet, first_parts, end),
        pool_of("decode", decode, decode_fleet, second_parts, end),
    )
    chip_s = sum(p.chip_s for p in made)
    return Replay(
        pools=made,
        duration_s=end / TICKS_PER_S,
        outcome=two["outcome"],
        share_frac=sum(
            (s / s.sum() * (p.chip_s / chip_s) for s, p in zip(shares, made, strict=True) if s.sum() > 0), np.zeros(n)
        ),
        input_tokens=trace.input_tokens,
        output_tokens=trace.output_tokens,
        client_ids=trace.client_ids,
        gap_s=gap_edges_s(),
        gap_count=np.sum([c.histogram for c in both], axis=0),
        preemptions_count=two["preemptions"],
        retries_count=two["retries"],
        cached_tokens=one["cached"],
        **times_s(trace, prefill, one["arrival"], one["scheduled"], one["first"], two["finish"], two["max_gap"]),
    )


def _sent(prompt: Ints, finish: Ints, replica: Ints, prefill: Engine, link: Link) -> Ints:
    """When the cache of each prompt has arrived: a replica sends one at a time, in order of their ends.

    A sending ends at the latest of (end of prompt j + what is sent from j on), over all j up to it: with running sums,
    a running maximum.
    """
    ticks = np.round(prompt * (prefill.cache_bytes_per_token / link.bytes_per_s * TICKS_PER_S)).astype(np.int64)
    arrives = np.full(len(prompt), -1, np.int64)
    for k in np.unique(replica[finish >= 0]):
        mine = np.flatnonzero((replica == k) & (finish >= 0))
        mine = mine[np.argsort(finish[mine], kind="stable")]
        through = np.cumsum(ticks[mine])
        arrives[mine] = through + np.maximum.accumulate(finish[mine] - (through - ticks[mine]))
    return arrives + round(link.latency_s * TICKS_PER_S)


@dataclass(frozen=True, eq=False)
class Split:
    """Replicas of the two pools, and the load that they take."""

    prefill_replicas: int
    decode_replicas: int
    capacity: Capacity
    tokens_per_s_per_chip: float


def best_split(
    trace: Trace,
    prefill: Engine,
    decode: Engine,
    chips: int,
    link: Link,
    targets: Targets,
    *,
    tolerance_frac: float = 0.03,
    progress: Callable[[Split], None] | None = None,
) -> tuple[Split, ...]:
    """Every split of so many chips into prefill and decode replicas with the highest load it takes, best first.

    By tokens per second and chip in use. Raises DeploymentError where the chips don't do for one replica of each, or no
    split meets the targets at any load.
    """
    found: list[Split] = []
    reason = ""
    for p in range(1, chips // prefill.chips_count + 1):
        d = (chips - p * prefill.chips_count) // decode.chips_count
        if d < 1:
            break
        fleets = Fleet(replicas=p, routing="least_loaded"), Fleet(replicas=d, routing="least_loaded")

        def replay(some: Trace, fleets: tuple[Fleet, Fleet] = fleets) -> Replay:
            return disaggregate(some, prefill, decode, *fleets, link)

        try:
            best = capacity(trace, replay, targets, tolerance_frac=tolerance_frac)
        except DeploymentError as error:
            reason = str(error)
            continue
        used = p * prefill.chips_count + d * decode.chips_count
        found.append(Split(p, d, best, best.replay.tokens_per_s / used))
        if progress is not None:
            progress(found[-1])
    if not found:
        least = prefill.chips_count + decode.chips_count
        raise DeploymentError(
            reason
            or f"two pools: {chips} chips are too few for a prefill and a decode replica; expected at least {least}"
        )
    return tuple(sorted(found, key=lambda split: -split.tokens_per_s_per_chip))
