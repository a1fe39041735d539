"""What a trace looks like: load, lengths, burstiness, shape of the day, prefix reuse, sessions.

Burstiness is told twice, since one number hides the other. The squared coefficient of variation of the gaps (SCV) is 1
for a Poisson process and sees neighbouring requests. The index of dispersion for counts (variance over mean of the
counts per window; Cox and Lewis 1966, ch. 4) is 1 for Poisson at every window, and rises with the window where load
drifts or comes in waves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.traffic.trace import Trace

_WINDOWS_S = (1.0, 10.0, 60.0)
_HOUR_S = 3600.0
# A day with no request in its first and last minutes still has a shape.
_DAY_S = 86400.0 - 600.0


@dataclass(frozen=True)
class LengthStatistics:
    """Tokens per request: mean, extremes, percentiles (linear interpolation), and a histogram by powers of two.

    by_power_of_two_count[k] requests have from 2**k to 2**(k+1) - 1 tokens.
    """

    total_tokens: int
    mean_tokens: float
    min_tokens: int
    p10_tokens: float
    p50_tokens: float
    p90_tokens: float
    p95_tokens: float
    p99_tokens: float
    max_tokens: int
    by_power_of_two_count: tuple[int, ...]


@dataclass(frozen=True)
class Dispersion:
    """Index of dispersion for the counts of whole windows from the first arrival; None with fewer than two windows."""

    window_s: float
    windows_count: int
    index_frac: float | None


@dataclass(frozen=True)
class DiurnalShape:
    """Mean load by hour since the trace's first request (hour 0), days folded together; peak over mean in tokens."""

    hourly_count_per_s: tuple[float, ...]
    hourly_tokens_per_s: tuple[float, ...]
    peak_to_mean_frac: float


@dataclass(frozen=True)
class PrefixReuse:
    """Input tokens in the leading run of blocks that an earlier request had too: the hit rate of an endless cache."""

    block_tokens: int
    distinct_blocks_count: int
    reused_tokens: int
    reused_frac: float


@dataclass(frozen=True)
class SessionStatistics:
    """Conversations, and the turns that wait for their predecessor's end; mean_think_s is None without any."""

    sessions_count: int
    turns_per_session_count: float
    following_turns_count: int
    mean_think_s: float | None


@dataclass(frozen=True)
class TraceStatistics:
    """All of the above; what a trace cannot tell is None, and `notes` says why, after the trace's own notes."""

    name: str
    source: str
    requests_count: int
    duration_s: float
    requests_count_per_s: float | None
    demand_tokens_per_s: float | None
    input: LengthStatistics
    output: LengthStatistics
    gap_scv_frac: float | None
    dispersion: tuple[Dispersion, ...]
    diurnal: DiurnalShape | None
    prefix: PrefixReuse | None
    clients_count: int | None
    sessions: SessionStatistics | None
    notes: tuple[str, ...]


def statistics(trace: Trace) -> TraceStatistics:
    """Statistics of the whole trace; rates are per second between first and last arrival."""
    n, duration_s = len(trace), trace.duration_s
    diurnal = _diurnal(trace)
    prefix = _prefix(trace)
    notes = trace.notes
    if duration_s == 0:
        notes += ("all requests arrive at once: no rates",)
    if diurnal is None:
        notes += (f"spans {duration_s / _HOUR_S:.3g} h, less than a day: no diurnal shape",)
    if prefix is None:
        notes += ("no block hashes: prefix reuse unknown",)
    return TraceStatistics(
        name=trace.name,
        source=trace.source,
        requests_count=n,
        duration_s=duration_s,
        requests_count_per_s=n / duration_s if duration_s else None,
        demand_tokens_per_s=trace.demand_tokens_per_s if duration_s else None,
        input=_lengths(trace.input_tokens),
        output=_lengths(trace.output_tokens),
        gap_scv_frac=gap_scv_frac(trace),
        dispersion=tuple(_dispersion(trace, w) for w in _WINDOWS_S),
        diurnal=diurnal,
        prefix=prefix,
        clients_count=None if trace.client_ids is None else len(np.unique(trace.client_ids)),
        sessions=_sessions(trace),
        notes=notes,
    )


def gap_scv_frac(trace: Trace) -> float | None:
    """Variance over squared mean of the gaps between arrivals; None with fewer than two gaps or no time at all.

    Gaps of 1, 1 and 4 s have mean 2 and variance 2, so 0.5.
    """
    if len(trace) < 3 or trace.duration_s == 0:
        return None
    gaps = np.diff(trace.arrival_s)
    return float(gaps.var() / gaps.mean() ** 2)


def reused_tokens(trace: Trace) -> NDArray[np.int64]:
    """Input tokens of each request that an endless prefix cache holds on its arrival, shape (n,); 0 without hashes.

    They are the leading run of blocks that some earlier request had; a request's own blocks don't count.
    """
    n = len(trace)
    if trace.block_hashes is None or trace.block_offsets is None or len(trace.block_hashes) == 0:
        return np.zeros(n, dtype=np.int64)
    counts = np.diff(trace.block_offsets)
    request = np.repeat(np.arange(n), counts)
    _, first, inverse = np.unique(trace.block_hashes, return_index=True, return_inverse=True)
    # The first place of an id in flat order is in its earliest request, since requests are in order of arrival.
    unseen = request[first][inverse] == request
    place = np.arange(len(request)) - trace.block_offsets[request]
    run = counts.copy()  # blocks before the first unseen one
    np.minimum.at(run, request[unseen], place[unseen])
    return np.minimum(run * np.int64(trace.block_tokens), trace.input_tokens.astype(np.int64))


def _lengths(tokens: NDArray[np.int32]) -> LengthStatistics:
    p10, p50, p90, p95, p99 = (float(p) for p in np.percentile(tokens, (10, 50, 90, 95, 99)))
    _, exponents = np.frexp(tokens)
    return LengthStatistics(
        total_tokens=int(tokens.sum(dtype=np.int64)),
        mean_tokens=float(tokens.mean(dtype=np.float64)),
        min_tokens=int(tokens.min()),
        p10_tokens=p10,
        p50_tokens=p50,
        p90_tokens=p90,
        p95_tokens=p95,
        p99_tokens=p99,
        max_tokens=int(tokens.max()),
        by_power_of_two_count=tuple(int(c) for c in np.bincount(exponents - 1)),
    )


def _dispersion(trace: Trace, window_s: float) -> Dispersion:
    windows = int(trace.duration_s // window_s)
    if windows < 2:
        return Dispersion(window_s, windows, None)
    index = ((trace.arrival_s - trace.arrival_s[0]) // window_s).astype(np.int64)
    # Sums over the windows that have a request; the empty ones count in the mean only, and cost no memory.
    _, counts = np.unique(index[index < windows], return_counts=True)
    mean = counts.sum() / windows
    variance = float((counts.astype(np.float64) ** 2).sum()) / windows - mean**2
    return Dispersion(window_s, windows, float(variance / mean))


def _diurnal(trace: Trace) -> DiurnalShape | None:
    if trace.duration_s < _DAY_S:
        return None
    since = trace.arrival_s - trace.arrival_s[0]
    hour = ((since // _HOUR_S) % 24).astype(np.int64)
    whole_days, rest_s = divmod(max(trace.duration_s, 24 * _HOUR_S), 24 * _HOUR_S)
    exposure_s = whole_days * _HOUR_S + np.clip(rest_s - np.arange(24) * _HOUR_S, 0, _HOUR_S)
    requests = np.bincount(hour, minlength=24) / exposure_s
    weights = trace.input_tokens.astype(np.float64) + trace.output_tokens
    tokens = np.bincount(hour, weights=weights, minlength=24) / exposure_s
    return DiurnalShape(
        hourly_count_per_s=tuple(float(r) for r in requests),
        hourly_tokens_per_s=tuple(float(t) for t in tokens),
        peak_to_mean_frac=float(tokens.max() / tokens.mean()),
    )


def _prefix(trace: Trace) -> PrefixReuse | None:
    if trace.block_hashes is None:
        return None
    reused = int(reused_tokens(trace).sum())
    return PrefixReuse(
        block_tokens=trace.block_tokens,
        distinct_blocks_count=len(np.unique(trace.block_hashes)),
        reused_tokens=reused,
        reused_frac=reused / int(trace.input_tokens.sum(dtype=np.int64)),
    )


def _sessions(trace: Trace) -> SessionStatistics | None:
    if trace.session_ids is None:
        return None
    sessions = len(np.unique(trace.session_ids))
    follows = np.zeros(len(trace), dtype=bool) if trace.parent is None else trace.parent >= 0
    think = None if trace.think_s is None or not follows.any() else float(trace.think_s[follows].mean())
    return SessionStatistics(sessions, len(trace) / sessions, int(follows.sum()), think)
