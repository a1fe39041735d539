"""A replay in numbers, as records: what was run, what requests saw, what the replicas did, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from scoville.serving import Targets
from scoville.serving.load import Tried
from scoville.serving.settings import EngineSettings, Fleet


@dataclass(frozen=True, slots=True)
class Deployed:
    """One pool's chips: what they are, how well their timing is known, how a replica is spread over them.

    `usd_per_chip_h` is their price, NaN if none is known, and `price` says whose it is.
    """

    accelerator: str
    accelerator_name: str
    evidence: str
    parallelism: str
    usd_per_chip_h: float = float("nan")
    price: str = ""


@dataclass(frozen=True, slots=True)
class SplitTried:
    """A split of the chips into two pools, at the highest load that it takes."""

    prefill_replicas_count: int
    decode_replicas_count: int
    chips_count: int
    load_frac: float
    requests_per_s: float
    tokens_per_s: float
    tokens_per_s_per_chip: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What was asked: the traffic and its load, the model, the pools it is served by.

    `load_frac` is the load as a multiple of the trace's own; `load_found` says that it is the highest one that meets
    the targets, `tried` the loads that this took and `splits` the splits into two pools, best first.
    `assumptions` are sentences on what was filled in for what was not said; `user_facts` facts of the user's own, with
    their places.
    """

    trace: str
    source: str
    load_frac: float
    load_found: bool
    model: str
    precision: str
    deployed: tuple[Deployed, ...]
    offline_trace: str = ""
    tried: tuple[Tried, ...] = ()
    splits: tuple[SplitTried, ...] = ()
    assumptions: tuple[str, ...] = ()
    user_facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """One latency over requests, or over gaps between tokens; NaN where there are none."""

    mean_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class PoolSummary:
    """What the replicas of one engine were and did.

    cache_blocks_count, cache_tokens   of a replica
    busy_frac, compute_frac, memory_frac, link_frac   of the time paid for: in steps; of peak FLOP/s, memory bandwidth
    and scale-up bandwidth that the steps' work would take
    mean_sequences_count, mean_cache_frac   over time and replicas, idle time included; most_...   of a lane
    lanes_count, ranks_count   schedulers of a replica; its data-parallel ranks
    mean_replicas_count   that were paid for, over the whole run
    """

    name: str
    deployed: Deployed
    engine: EngineSettings
    fleet: Fleet
    chips_count: int
    lanes_count: int
    ranks_count: int
    cache_blocks_count: int
    cache_tokens: int
    busy_frac: float
    compute_frac: float
    memory_frac: float
    link_frac: float
    mean_sequences_count: float
    most_sequences_count: int
    mean_cache_frac: float
    most_cache_frac: float
    mean_replicas_count: float
    steps_count: int
    recomputed_tokens: int
    moved_blocks_count: int
    energy_j: float
    mean_w_per_chip: float


@dataclass(frozen=True, slots=True)
class Client:
    """One client's part of a replay; NaN where it has no value."""

    client: int
    requests_count: int
    served_count: int
    input_tokens: int
    output_tokens: int
    met_frac: float
    ttft_p50_s: float
    ttft_p95_s: float
    share_frac: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What the chip time of the run costs, idle time included; per request by its share of all tokens in each step."""

    usd_per_chip_h: float
    total_usd: float
    usd_per_token: float
    usd_per_output_token: float
    request_mean_usd: float
    request_p50_usd: float
    request_p95_usd: float


@dataclass(frozen=True, slots=True)
class Offline:
    """Requests that waited from the start: those done by the time the others were, and when all were done."""

    requests_count: int
    done_meanwhile_count: int
    preemptions_count: int
    tokens_per_s: float
    tokens_per_s_per_chip: float
    all_done_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A replay in numbers; latencies over the requests that were served.

    ttft, queue, end   over requests; tpot, max_gap   over those with more than one answer token (`single_token_count`
    have one); gap   over all gaps between tokens, percentiles within 2 %
    load_...   what arrives while requests arrive; requests_per_s and so on   what is done until the last answer ends
    goodput_requests_per_s, met_frac   requests that meet both targets; shares are of the requests that came
    ttft_percentile_s, tpot_percentile_s   at the percentiles of the targets, infinite if so many were not served
    cached_frac   prompt tokens found in the prefix cache at the first admission
    energy_j   of all pools over the whole run, what offline requests took included
    """

    scoville_version: str
    setting: Setting
    pools: tuple[PoolSummary, ...]
    replicas_count: int
    chips_count: int
    targets: Targets
    targets_met: bool
    ttft_percentile_s: float
    tpot_percentile_s: float
    requests_count: int
    served_count: int
    rejected_count: int
    abandoned_count: int
    never_came_count: int
    retried_count: int
    single_token_count: int
    input_tokens: int
    output_tokens: int
    duration_s: float
    load_requests_per_s: float
    load_tokens_per_s: float
    queue: Latency
    ttft: Latency
    tpot: Latency
    gap: Latency
    max_gap: Latency
    end: Latency
    requests_per_s: float
    output_tokens_per_s: float
    tokens_per_s: float
    tokens_per_s_per_chip: float
    goodput_requests_per_s: float
    met_frac: float
    ttft_met_frac: float
    tpot_met_frac: float
    cached_frac: float
    preemptions_count: int
    preempted_requests_count: int
    recomputed_tokens: int
    energy_j: float
    energy_j_per_token: float
    mean_w_per_chip: float
    cost: Cost | None = None
    offline: Offline | None = None
    top_clients: tuple[Client, ...] = field(default=())
