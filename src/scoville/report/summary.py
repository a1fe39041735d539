"""From a replay to its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville import __version__
from scoville.report.replay_records import Client, Cost, Deployed, Latency, Offline, PoolSummary, Setting, Summary
from scoville.serving import Targets
from scoville.serving.offline import Mixed
from scoville.serving.replay import ABANDONED, NEVER_CAME, REJECTED, Pool, Replay

Array = NDArray[np.float64]
_PERCENTILES_FRAC = (0.5, 0.9, 0.95, 0.99)
_TOP_CLIENTS = 10
INSTANT_S = 1e-9  # gaps below are between tokens of one step: accepted drafts


def summarise(replay: Replay, setting: Setting, targets: Targets, offline: Mixed | None = None) -> Summary:
    """The numbers of a replay. What has no value, such as the rate of requests that all come at once, is NaN.

    With `offline`, `replay` is the part of it that users wait for.
    """
    served, came = replay.served, replay.came
    several = replay.output_tokens > 1
    prompts, answers = (int(x.sum(dtype=np.int64)) for x in (replay.input_tokens, replay.output_tokens))
    out_tokens = int(replay.output_tokens[served].sum(dtype=np.int64))
    in_tokens = int(replay.input_tokens[served].sum(dtype=np.int64))
    all_tokens = in_tokens + out_tokens
    if offline is not None:
        done = offline.offline.served
        all_tokens += int((offline.offline.input_tokens.astype(np.int64) + offline.offline.output_tokens)[done].sum())
    arrivals = replay.arrival_s[came]
    span_s = float(arrivals.max() - arrivals.min()) if len(arrivals) else 0.0
    run_s = replay.duration_s if offline is None else offline.run_s
    rate = 1 / span_s if span_s > 0 else float("nan")
    chips = replay.chip_s / run_s
    clients = per_client(replay, usd_per_chip_h(setting, replay), targets)
    return Summary(
        scoville_version=__version__,
        setting=setting,
        pools=tuple(_pool(p, d, run_s) for p, d in zip(replay.pools, setting.deployed, strict=True)),
        replicas_count=replay.replicas_count,
        chips_count=replay.chips_count,
        targets=targets,
        targets_met=replay.meets(targets),
        ttft_percentile_s=replay.ttft_percentile_s(targets),
        tpot_percentile_s=replay.tpot_percentile_s(targets),
        requests_count=len(replay),
        served_count=int(served.sum()),
        rejected_count=int((replay.outcome == REJECTED).sum()),
        abandoned_count=int((replay.outcome == ABANDONED).sum()),
        never_came_count=int((replay.outcome == NEVER_CAME).sum()),
        retried_count=int((replay.retries_count > 0).sum()),
        single_token_count=int((~several).sum()),
        input_tokens=prompts,
        output_tokens=answers,
        duration_s=replay.duration_s,
        load_requests_per_s=int(came.sum()) * rate,
        load_tokens_per_s=int((replay.input_tokens.astype(np.int64) + replay.output_tokens)[came].sum()) * rate,
        queue=_latency(replay.queue_s[served]),
        ttft=_latency(replay.ttft_s[served]),
        tpot=_latency(replay.tpot_s[served & several]),
        gap=_gaps(replay),
        max_gap=_latency(replay.max_gap_s[served & several]),
        end=_latency(replay.end_s[served]),
        requests_per_s=int(served.sum()) / replay.duration_s,
        output_tokens_per_s=out_tokens / replay.duration_s,
        tokens_per_s=replay.tokens_per_s,
        tokens_per_s_per_chip=replay.tokens_per_s / chips,
        goodput_requests_per_s=replay.goodput_per_s(targets),
        met_frac=_portion(replay.met(targets), came),
        ttft_met_frac=_portion(replay.ttft_s <= targets.ttft_s, came),
        tpot_met_frac=_portion(replay.tpot_s <= targets.tpot_s, came & several),
        cached_frac=int(replay.cached_tokens[served].sum()) / in_tokens if in_tokens else float("nan"),
        preemptions_count=int(replay.preemptions_count.sum()),
        preempted_requests_count=int((replay.preemptions_count > 0).sum()),
        recomputed_tokens=replay.recomputed_tokens,
        energy_j=replay.energy_j,
        energy_j_per_token=replay.energy_j / all_tokens if all_tokens else float("nan"),
        mean_w_per_chip=replay.energy_j / replay.chip_s,
        cost=_cost(replay, setting),
        offline=None if offline is None else _offline(offline, chips),
        top_clients=clients[:_TOP_CLIENTS] if len(clients) > 1 else (),
    )


def usd_per_chip_h(setting: Setting, replay: Replay) -> float:
    """The mean price of the chip time that was paid for; NaN where that of a pool is not known."""
    paid = zip(replay.pools, setting.deployed, strict=True)
    return sum(p.chip_s * d.usd_per_chip_h for p, d in paid) / replay.chip_s


def per_client(replay: Replay, usd_per_chip_h: float, targets: Targets) -> tuple[Client, ...]:
    """A row for each client, the one with the largest share of the chip time first; none without client ids."""
    if replay.client_ids is None:
        return ()
    ids, row, counts = np.unique(replay.client_ids, return_inverse=True, return_counts=True)
    weights = {
        "served": replay.served, "input": replay.input_tokens, "output": replay.output_tokens,
        "met": replay.met(targets), "share": replay.share_frac,
    }  # fmt: skip
    sums = {name: np.bincount(row, values, len(ids)) for name, values in weights.items()}
    order = np.argsort(row, kind="stable")
    cuts = np.concatenate([[0], np.cumsum(counts)])
    usd = replay.chip_s / 3600 * usd_per_chip_h
    made = []
    for i in np.argsort(-sums["share"], kind="stable"):
        seen = replay.ttft_s[order[cuts[i] : cuts[i + 1]]]
        seen = seen[~np.isnan(seen)]
        p50, p95 = np.quantile(seen, (0.5, 0.95), method="higher") if len(seen) else (np.nan, np.nan)
        made.append(
            Client(
                client=int(ids[i]),
                requests_count=int(counts[i]),
                served_count=int(sums["served"][i]),
                input_tokens=int(sums["input"][i]),
                output_tokens=int(sums["output"][i]),
                met_frac=float(sums["met"][i] / counts[i]),
                ttft_p50_s=float(p50),
                ttft_p95_s=float(p95),
                share_frac=float(sums["share"][i]),
                cost_usd=float(sums["share"][i] * usd),
            )
        )
    return tuple(made)


def _pool(p: Pool, deployed: Deployed, run_s: float) -> PoolSummary:
    one = p.engine
    widths = np.diff(p.timeline_s, prepend=0.0)
    ranks = one.costs.ranks
    return PoolSummary(
        name=p.name,
        deployed=deployed,
        engine=one.settings,
        fleet=p.fleet,
        chips_count=p.chips_count,
        lanes_count=ranks * one.costs.stages,
        ranks_count=ranks,
        cache_blocks_count=one.cache_blocks * ranks,
        cache_tokens=one.cache_blocks * ranks * one.settings.block_tokens,
        busy_frac=p.busy_frac,
        compute_frac=p.compute_frac,
        memory_frac=p.memory_frac,
        link_frac=p.link_frac,
        mean_sequences_count=float(np.average(p.timeline_sequences_count, weights=widths)),
        most_sequences_count=p.most_sequences_count,
        mean_cache_frac=float(np.average(p.timeline_cache_frac, weights=widths)),
        most_cache_frac=p.most_cache_frac,
        mean_replicas_count=p.replica_s / run_s,
        steps_count=p.steps_count,
        recomputed_tokens=p.recomputed_tokens,
        moved_blocks_count=p.moved_blocks_count,
        energy_j=p.energy_j,
        mean_w_per_chip=p.energy_j / p.chip_s,
    )


def _cost(replay: Replay, setting: Setting) -> Cost | None:
    price = usd_per_chip_h(setting, replay)
    each = replay.cost_usd(price)[replay.served]
    if not np.isfinite(price) or not len(each):
        return None
    p50, p95 = np.quantile(each, (0.5, 0.95), method="higher")
    answers = int(replay.output_tokens[replay.served].sum(dtype=np.int64))
    tokens = answers + int(replay.input_tokens[replay.served].sum(dtype=np.int64))
    total = float(replay.cost_usd(price).sum())
    return Cost(price, total, total / tokens, total / answers, float(each.mean()), float(p50), float(p95))


def _offline(both: Mixed, chips: float) -> Offline:
    o = both.offline
    return Offline(
        requests_count=len(o),
        done_meanwhile_count=int((o.end_s <= both.online.duration_s).sum()),
        preemptions_count=int(o.preemptions_count.sum()),
        tokens_per_s=both.offline_tokens_per_s,
        tokens_per_s_per_chip=both.offline_tokens_per_s / chips,
        all_done_s=float(o.end_s.max()),
    )


def _portion(met: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    """Share of those; all where there are none."""
    return float(met[of].mean()) if of.any() else 1.0


def _latency(values_s: Array) -> Latency:
    """Percentiles are values that occurred, the next one up, as the targets are checked."""
    if len(values_s) == 0:
        return _made(float("nan"), np.full(len(_PERCENTILES_FRAC), np.nan), float("nan"))
    found = np.quantile(values_s, _PERCENTILES_FRAC, method="higher")
    return _made(float(values_s.mean()), found, float(values_s.max()))


def _gaps(replay: Replay) -> Latency:
    """Over all gaps between tokens: percentiles are upper edges of the histogram's bins, mean and largest exact."""
    count = int(replay.gap_count.sum())
    served = replay.served & (replay.output_tokens > 1)
    if count == 0 or not served.any():
        return _latency(np.zeros(0))
    largest = float(replay.max_gap_s[served].max())
    through = np.cumsum(replay.gap_count)
    at = np.searchsorted(through, [p * count for p in _PERCENTILES_FRAC])
    found = np.where(replay.gap_s[at] < INSTANT_S, 0.0, np.minimum(replay.gap_s[at], largest))
    mean = float((replay.end_s - replay.ttft_s)[served].sum()) / count
    return _made(mean, found, largest)


def _made(mean_s: float, percentiles_s: Array, largest_s: float) -> Latency:
    p50, p90, p95, p99 = (float(x) for x in percentiles_s)
    return Latency(mean_s, p50, p90, p95, p99, largest_s)
