"""A replay in numbers: what was run, what requests saw, what the replicas did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville import __version__
from scoville.serving import Targets
from scoville.serving.settings import EngineSettings
from scoville.serving.replay import Replay

Array = NDArray[np.float64]
_PERCENTILES_FRAC = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Setting:
    """What was asked: the traffic and its load, the model, the chips and how well their timing is known.

    `load_frac` is the load as a multiple of the trace's own; `load_found` says that it is the highest one that meets
    the targets. `user_facts` are facts of the user's own, with their places.
    """

    trace: str
    source: str
    load_frac: float
    load_found: bool
    model: str
    precision: str
    accelerator: str
    accelerator_name: str
    evidence: str
    parallelism: str
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
class Summary:
    """A replay in numbers.

    ttft, tpot, queue, end, max_gap   over requests; a single-token answer counts with a TPOT and a gap of 0, and
    `single_token_count` says how many there are. gap   over all gaps between tokens, percentiles within 2 %
    load_...   what arrives while requests arrive; requests_per_s and so on   what is done until the last answer ends
    goodput_requests_per_s, met_frac   requests that meet both targets
    ttft_percentile_s, tpot_percentile_s   at the percentiles of the targets
    mean_sequences_count, mean_cache_frac   over time and replicas, idle time included
    """

    scoville_version: str
    setting: Setting
    engine: EngineSettings
    replicas_count: int
    chips_count: int
    cache_blocks_count: int
    cache_tokens: int
    targets: Targets
    targets_met: bool
    ttft_percentile_s: float
    tpot_percentile_s: float
    requests_count: int
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
    busy_frac: float
    mean_sequences_count: float
    most_sequences_count: int
    mean_cache_frac: float
    most_cache_frac: float
    preemptions_count: int
    preempted_requests_count: int
    recomputed_tokens: int
    steps_count: int
    energy_j: float
    energy_j_per_token: float
    mean_w_per_chip: float


def summarise(replay: Replay, setting: Setting, targets: Targets) -> Summary:
    """The numbers of a replay. What has no value, such as the rate of requests that all come at once, is NaN."""
    n = len(replay)
    prompts = int(replay.input_tokens.sum(dtype=np.int64))
    answers = int(replay.output_tokens.sum(dtype=np.int64))
    span_s = float(replay.arrival_s[-1] - replay.arrival_s[0])
    pool = replay.pools[0]
    blocks = pool.engine.cache_blocks
    widths = np.diff(pool.timeline_s, prepend=0.0)
    return Summary(
        scoville_version=__version__,
        setting=setting,
        engine=replay.settings,
        replicas_count=replay.replicas_count,
        chips_count=replay.chips_count,
        cache_blocks_count=blocks,
        cache_tokens=blocks * replay.settings.block_tokens,
        targets=targets,
        targets_met=replay.meets(targets),
        ttft_percentile_s=float(np.quantile(replay.ttft_s, targets.ttft_percentile_frac, method="higher")),
        tpot_percentile_s=float(np.quantile(replay.tpot_s, targets.tpot_percentile_frac, method="higher")),
        requests_count=n,
        single_token_count=int((replay.output_tokens == 1).sum()),
        input_tokens=prompts,
        output_tokens=answers,
        duration_s=replay.duration_s,
        load_requests_per_s=n / span_s if span_s > 0 else float("nan"),
        load_tokens_per_s=(prompts + answers) / span_s if span_s > 0 else float("nan"),
        queue=_latency(replay.queue_s),
        ttft=_latency(replay.ttft_s),
        tpot=_latency(replay.tpot_s),
        gap=_gaps(replay),
        max_gap=_latency(replay.max_gap_s),
        end=_latency(replay.end_s),
        requests_per_s=n / replay.duration_s,
        output_tokens_per_s=answers / replay.duration_s,
        tokens_per_s=replay.tokens_per_s,
        tokens_per_s_per_chip=replay.tokens_per_s / replay.chips_count,
        goodput_requests_per_s=replay.goodput_per_s(targets),
        met_frac=float(replay.met(targets).mean()),
        ttft_met_frac=float((replay.ttft_s <= targets.ttft_s).mean()),
        tpot_met_frac=float((replay.tpot_s <= targets.tpot_s).mean()),
        busy_frac=replay.busy_frac,
        mean_sequences_count=float(np.average(pool.timeline_sequences_count, weights=widths)),
        most_sequences_count=replay.most_sequences_count,
        mean_cache_frac=float(np.average(pool.timeline_cache_frac, weights=widths)),
        most_cache_frac=replay.most_cache_frac,
        preemptions_count=int(replay.preemptions_count.sum()),
        preempted_requests_count=int((replay.preemptions_count > 0).sum()),
        recomputed_tokens=replay.recomputed_tokens,
        steps_count=replay.steps_count,
        energy_j=replay.energy_j,
        energy_j_per_token=replay.energy_j / (prompts + answers),
        mean_w_per_chip=replay.energy_j / replay.duration_s / replay.chips_count,
    )


def _latency(values_s: Array) -> Latency:
    """Percentiles are values that occurred, the next one up, as the targets are checked."""
    found = np.quantile(values_s, _PERCENTILES_FRAC, method="higher")
    return _made(float(values_s.mean()), found, float(values_s.max()))


def _gaps(replay: Replay) -> Latency:
    """Over all gaps between tokens: percentiles are upper edges of the histogram's bins, mean and largest exact."""
    count = int(replay.gap_count.sum())
    if count == 0:
        return _made(float("nan"), np.full(len(_PERCENTILES_FRAC), np.nan), float("nan"))
    largest = float(replay.max_gap_s.max())
    through = np.cumsum(replay.gap_count)
    at = np.searchsorted(through, [p * count for p in _PERCENTILES_FRAC])
    found = np.minimum(replay.gap_s[at], largest)
    mean = float((replay.end_s - replay.ttft_s).sum()) / count
    return _made(mean, found, largest)


def _made(mean_s: float, percentiles_s: Array, largest_s: float) -> Latency:
    p50, p90, p95, p99 = (float(x) for x in percentiles_s)
    return Latency(mean_s, p50, p90, p95, p99, largest_s)
