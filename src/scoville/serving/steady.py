"""The steady state of one replica under continuous batching with chunked prefill: an estimate, no request replayed.

At `batch` sequences in decode, with t the time of a decode step and a the extra time per prefill token in a mixed step
with as many prompts as usual, log-normal in length:

    TPOT    = t(batch) + a I batch / O                     each output token carries I/O prompt tokens (flows balance)
    rate    = batch / (O TPOT)                             Little's law: requests per second of the replica
    share   = rate I a prefill + rate O t / batch decode   the two sum to 1: engine time per token of each class

for I fresh prompt and O output tokens per request. Worked by hand for t = 20 ms, a = 0.1 ms, batch 32, I = 1000 and
O = 200: TPOT = 20 + 0.1 x 1000 x 32 / 200 = 36 ms; rate = 32 / (200 x 0.036) = 4.44 requests/s; prefill takes
4.44 x 1000 x 0.1 ms = 44.4 % of the time.

Percentiles come from named approximations:
- TPOT: an answer of O tokens is O decode steps' work, interrupted by the prompts that arrive meanwhile, like the busy
  period that so much work starts in M/G/1 (Kleinrock, "Queueing Systems" I, 1975, section 5.9): with S = a I the work
  of a prompt and q = t / TPOT the share of time that prompts leave, its variance per token is
  rate TPOT E[S^2] E[1/O] / q^2. The number in decode is Poisson with mean `batch` (M/G/infinity, insensitive to the
  length distribution), which adds the variance of t. The percentile is that of a gamma distribution, no longer than a
  step full of prompts takes;
- wait for prefill: G/G/1 at the engine's full-chunk prefill rate by Allen and Cunneen's correction of
  Pollaczek-Khinchine (Allen, "Probability, Statistics and Queueing Theory", 1990, section 5.3); arrivals are split at
  random over replicas, which brings the gap variation towards Poisson's (Whitt, "The Queueing Network Analyzer", 1983);
- with data-parallel attention a prompt is prefilled by one of the groups, so there are as many queues, each with its
  share of the arrivals and of the rate: waits and own prefill are as many times as long;
- under a pipeline a piece of a prompt passes all stages before its successor starts, and all micro-batches wait for
  the one with the most prompt tokens (Agrawal et al., "Sarathi-Serve", 2024, arXiv 2403.02310, on pipeline bubbles);
- prompts that arrive later in the same step are worked on in the same next step, and lengthen it;
- TTFT = half a step + wait + own prefill + those later prompts, its percentile that of a gamma distribution with the
  same mean and variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from scoville.serving.shape import TrafficShape
from scoville.timing import Chips, Timer, cache_room_bytes
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import Parallelism, StepMix, Window

Array = NDArray[np.float64]
CHUNKS = 4

APPROXIMATIONS = (
    "Steady state: TPOT and throughput from the balance of prompt and output tokens under chunked prefill and "
    "Little's law; no request is replayed. Where answers are short beside their prompts, the mean TPOT is too low.",
    "TPOT percentile: an answer's steps are interrupted by prompts as in the busy period of M/G/1, and the number of "
    "running sequences is Poisson (M/G/infinity); gamma tail up to the longest step.",
    "TTFT percentile: Allen-Cunneen G/G/1 wait for prefill at full chunks, gamma tail; arrivals split at random "
    "over replicas and, with data-parallel attention, over its groups, each of which prefills its own prompts.",
    "Pipelines: a cycle takes as long as if every micro-batch had the prompt tokens of the fullest, by the expected "
    "maximum of normal deviations.",
    "Data-parallel attention: prompt tokens of a step are spread over the groups like the sequences in decode; no "
    "waiting for the group with the most prompt tokens.",
    "Memory holds the 99th percentile of running sequences without preemption.",
)


@dataclass(frozen=True, slots=True)
class Targets:
    """Latency targets: seconds, and the share of requests that must meet each."""

    ttft_s: float
    tpot_s: float
    ttft_percentile_frac: float = 0.95
    tpot_percentile_frac: float = 0.95


@dataclass(frozen=True, slots=True)
class SteadyState:
    """A replica at each batch size; arrays of shape (n, m): n chips or samples, m batch sizes; `batch_count` is (m,).

    `prefill_s_per_token` and `decode_s_per_token` are engine seconds per fresh prompt token and per output token; with
    `cached_s_per_token` they weigh the price of each class. `fits`, `stable`, `ttft_met`, `tpot_met` say what a batch
    breaks; `memory_frac` is the share of the cache's room that it needs.
    """

    batch_count: Array
    requests_per_s: Array
    tpot_s: Array
    tpot_percentile_s: Array
    ttft_s: Array
    ttft_percentile_s: Array
    prefill_s_per_token: Array
    decode_s_per_token: Array
    cached_s_per_token: Array
    compute_s: Array
    memory_s: Array
    link_s: Array
    overhead_s: Array
    energy_j_per_token: Array
    memory_frac: Array
    fits: NDArray[np.bool_]
    stable: NDArray[np.bool_]
    ttft_met: NDArray[np.bool_]
    tpot_met: NDArray[np.bool_]

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Where memory, stability and both targets hold."""
        return self.fits & self.stable & self.ttft_met & self.tpot_met


def _expected_maximum(draws: int) -> float:
    """Expected maximum of that many standard normal draws, by Blom ("Statistical Estimates", 1958), within 5 %.

    >>> round(_expected_maximum(8), 2), _expected_maximum(1)  # exact: 1.42 and 0
    (1.43, 0.0)
    """
    return NormalDist().inv_cdf((draws - 0.375) / (draws + 0.25))


def worst_rank_frac(sequences: Array, groups: int) -> Array:
    """Share of sequences at the busiest of `groups` groups that requests join at random.

    Mean plus the expected maximum of `groups` independent normal deviations; 1 for one group. For 256 sequences in 8
    groups: 32 + 5.7 x 1.43 = 40.1 of 256, or 16 % instead of 12.5 %.
    """
    if groups == 1:
        return np.ones_like(sequences)
    mean = sequences / groups
    return np.asarray(np.minimum(1.0, (mean + _expected_maximum(groups) * np.sqrt(mean)) / sequences))


def full_chunk_tokens(shape: TrafficShape, parallelism: Parallelism, batch: Array | float) -> Array:
    """Prompt tokens in a step that its budget fills up: each attention-data group has a scheduler with its own budget.

    For 8,192 tokens, 4 groups and 768 sequences in decode: 32,000.
    """
    return np.maximum(shape.chunk_tokens * parallelism.attention_data - np.asarray(batch, float), 1.0)


def usual_chunk_tokens(shape: TrafficShape, parallelism: Parallelism, batch: Array) -> Array:
    """Prompt tokens of steps that have any, (CHUNKS, m): equally likely sizes of a log-normal distribution.

    As many prompts come in a step as answers end, by Poisson, and one at least where there are any: for 32 sequences in
    decode and answers of 200 tokens 0.16 a step, 1.08 where there is one. Nothing is more than fills the step.
    """
    per_step = np.asarray(batch, float) / (shape.output_tokens * parallelism.pipeline)
    prompts = per_step / -np.expm1(-per_step)
    deviation = np.sqrt(np.log1p((shape.prompt_second_frac - 1) / prompts))
    middle = np.array([NormalDist().inv_cdf((i + 0.5) / CHUNKS) for i in range(CHUNKS)])
    size = np.exp(middle[:, None] * deviation)
    size *= shape.fresh_input_tokens * prompts / size.mean(axis=0)
    return np.asarray(np.minimum(size, full_chunk_tokens(shape, parallelism, batch)))


def bubble_frac(shape: TrafficShape, parallelism: Parallelism, batch: Array) -> Array:
    """Prompt tokens of a pipeline's fullest micro-batch over the mean of all, (m,); 1 without a pipeline.

    Prompts join micro-batches at random, so of m prompt tokens in the mean the variance is m times the mean prompt
    weighted by its length; the fullest of P holds no more than all do together and no more than a step's budget. For
    prompts of 1,000 tokens each, P = 2 and m = 4,000: 1 + 0.59 x 0.5 = 1.29.
    """
    stages = parallelism.pipeline
    mean = shape.fresh_input_tokens * np.asarray(batch, float) / (shape.output_tokens * stages)
    weighted = shape.fresh_input_tokens * shape.prompt_second_frac
    most = np.minimum(1 + _expected_maximum(stages) * np.sqrt(weighted / mean), shape.chunk_tokens / mean)
    return np.asarray(np.clip(most, 1.0, float(stages)))


def average_step(shape: TrafficShape, parallelism: Parallelism, batch: float, prefill: float) -> StepMix:
    """One micro-batch of the average step: `batch` sequences in decode on the replica, `prefill` tokens of prompts."""
    return _mix(shape, np.array([batch / parallelism.pipeline]), np.array([prefill]), parallelism.attention_data)


def _mix(shape: TrafficShape, batch: Array, prefill: Array, groups: int) -> StepMix:
    """The average step at these decode sequences and prefill tokens, both (m,)."""
    prompts = prefill / shape.fresh_input_tokens
    per: Mapping[Window, Array] = {w: prompts * v for w, v in shape.pairs_tokens.items()}
    return StepMix(
        decode_sequences_count=batch,
        decode_tokens=batch,
        prefill_sequences_count=np.ceil(prompts),
        prefill_tokens=prefill,
        sampled_tokens=batch + prompts,
        decode_pairs_tokens={w: batch * v for w, v in shape.held_tokens.items()},
        decode_kv_tokens={w: batch * v for w, v in shape.held_tokens.items()},
        prefill_pairs_tokens=per,
        prefill_kv_tokens={w: prompts * v for w, v in shape.prompt_kv_tokens.items()},
        worst_rank_frac=worst_rank_frac(np.maximum(batch, 1.0), groups),
    )


def steady_state(
    table: OperatorTable,
    chips: Chips,
    shape: TrafficShape,
    batch: Array,
    targets: Targets,
    timer: Timer,
    *,
    demand_requests_per_s: float = 0.0,
    block_tokens: float = 16.0,
    sequence_s: float = 0.0,
) -> SteadyState:
    """The replica at each batch size (m,), on each of n chips.

    `demand_requests_per_s` is what the whole fleet must serve at peak (0: a single replica gets all arrivals),
    `sequence_s` what the engine takes for each sampled token beside its kernels.
    """
    p = table.parallelism
    m = len(batch)
    high = batch + np.sqrt(batch)
    held = batch + NormalDist().inv_cdf(0.99) * np.sqrt(batch)
    chunk, usual = full_chunk_tokens(shape, p, batch), usual_chunk_tokens(shape, p, batch)
    # Sequences are spread over the micro-batches that fill the pipeline.
    steps = (
        _mix(shape, b / p.pipeline, c, p.attention_data)
        for b, c in ((batch, 0 * batch), (high, 0 * batch), (batch, chunk), *((batch, u) for u in usual))
    )
    x = np.concatenate([table.layout.features(mix) for mix in steps])
    t = timer.time(table, chips, x)
    sampling_s = x[:, table.layout.column("rank_sampled_tokens")] * sequence_s
    idle_j = sampling_s * chips.idle_w[:, None] * p.chips
    t = replace(
        t,
        stage_s=t.stage_s + sampling_s,
        latency_s=t.latency_s + sampling_s,
        overhead_s=t.overhead_s + sampling_s,
        energy_j=t.energy_j + idle_j,
    )
    decode, busy, filled = (slice(i * m, (i + 1) * m) for i in range(3))

    def per_prefill_token(values: Array) -> Array:
        """What a prompt token adds to a step, (n, m), on average over the usual steps."""
        mixed = values[:, 3 * m :].reshape(-1, CHUNKS, m).sum(axis=1)
        return np.asarray(np.maximum(mixed - CHUNKS * values[:, decode], 0.0) / usual.sum(axis=0))

    cycle = np.maximum(t.latency_s, p.pipeline * t.stage_s)
    step, step_high = cycle[:, decode], cycle[:, busy]
    full = t.stage_s[:, filled]
    extra, through = per_prefill_token(t.stage_s), per_prefill_token(t.latency_s)  # engine seconds; through all stages

    fresh, out = shape.fresh_input_tokens, shape.output_tokens
    paid = extra * bubble_frac(shape, p, batch)  # what the engine spends per prefill token
    tpot = step + paid * fresh * batch / out
    rate = batch / (out * tpot)

    # Prefill as a queue: service at the full-chunk rate.
    service = full / chunk
    load = rate * fresh * service
    stable = load < 1
    idle = np.where(stable, 1 - load, 1e-9)
    groups = p.attention_data
    replicas = np.maximum(1.0, demand_requests_per_s / rate)
    gap_scv = 1 + (shape.gap_scv_frac - 1) / (replicas * groups)
    bursty = (gap_scv + shape.prompt_second_frac - 1) / shape.prompt_second_frac
    prompt = fresh * service * groups
    arrivals = rate / groups
    poisson_wait = arrivals * shape.prompt_second_frac * prompt**2 / (2 * idle)
    wait = bursty * poisson_wait
    wait_variance = bursty**2 * (poisson_wait**2 + arrivals * shape.prompt_third_frac * prompt**3 / (3 * idle))
    pieces = np.maximum(1.0, fresh * groups / chunk)
    own_prefill = fresh * through * groups
    own = pieces * step + own_prefill
    own_variance = (shape.prompt_second_frac - 1) * own_prefill**2
    half_step = tpot / 2
    ttft = half_step + wait + own
    variance = wait_variance + own_variance + tpot**2 / 12

    # What prompts do to steps: work per token of answers has this variance, and quiet is the share of time without it.
    quiet = step / tpot
    work_variance = (paid * fresh) ** 2 * ((shape.gap_scv_frac - 1) / replicas + shape.prompt_second_frac) * batch / out
    tpot_variance = (work_variance * shape.output_inverse_frac / out + (step_high - step) ** 2) / quiet**2
    tpot_high = gamma_percentile(tpot, tpot_variance, targets.tpot_percentile_frac)
    # No answer's mean step is longer than the longest step: full of prompts, with many sequences in decode.
    many = max(NormalDist().inv_cdf(targets.tpot_percentile_frac), 0.0)
    longest = cycle[:, filled] + many * (step_high - step)
    tpot_high = np.where(tpot_high > tpot, np.maximum(np.minimum(tpot_high, longest), tpot), tpot_high)
    step_variance = work_variance / (1 - (1 - quiet) ** 2)
    later = (1 - quiet) * (tpot + step_variance / tpot) / 2
    variance *= (1 + later / ttft) ** 2
    ttft = ttft + later
    ttft_high = np.where(stable, gamma_percentile(ttft, variance, targets.ttft_percentile_frac), np.inf)

    tokens = {w: v + (block_tokens / 2) for w, v in shape.held_tokens.items()}
    per_sequence = float(table.cache_bytes({w: np.array([v]) for w, v in tokens.items()})[0])
    per_sequence += table.cache_bytes_per_sequence_bytes
    # A group holds a step's budget of prompts, or the one prompt in work, whose mean length is weighted by its length.
    prompts = max(shape.chunk_tokens, shape.cached_input_tokens + fresh * shape.prompt_second_frac)
    prefill_held = {w: np.array([prompts if w is None else min(prompts, w + shape.chunk_tokens)]) for w in tokens}
    need = held * worst_rank_frac(held, groups) * per_sequence + float(table.cache_bytes(prefill_held)[0])
    room = cache_room_bytes(table, chips)[:, None]
    memory = np.where(room > 0, need / np.maximum(room, 1.0), np.inf)

    cached = float(sum(table.cache_bytes_per_token.values()))
    seconds_per_byte = 1 / (chips.memory_bytes_per_s * chips.memory_efficiency_frac["attention_decode"])
    prefill = fresh * batch / out  # tokens per decode cycle
    parts = tuple(
        part[:, decode] + prefill / p.pipeline * per_prefill_token(part)
        for part in (t.compute_s, t.memory_s, t.link_s, t.overhead_s)
    )
    joules = p.pipeline * t.energy_j[:, decode] + prefill * per_prefill_token(t.energy_j)
    return SteadyState(
        batch_count=batch,
        requests_per_s=rate,
        tpot_s=tpot,
        tpot_percentile_s=tpot_high,
        ttft_s=np.where(stable, ttft, np.inf),
        ttft_percentile_s=ttft_high,
        prefill_s_per_token=paid,
        decode_s_per_token=step / batch,
        cached_s_per_token=np.broadcast_to((cached * seconds_per_byte)[:, None], tpot.shape),
        compute_s=parts[0],
        memory_s=parts[1],
        link_s=parts[2],
        overhead_s=parts[3],
        energy_j_per_token=joules / (batch * (1 + shape.input_tokens / out)),
        memory_frac=memory,
        fits=(memory <= 1) & (batch / groups < shape.chunk_tokens),
        stable=stable,
        ttft_met=ttft_high <= targets.ttft_s,
        tpot_met=tpot_high <= targets.tpot_s,
    )


def gamma_percentile(mean: Array, variance: Array, percentile_frac: float) -> Array:
    """Percentile of a gamma distribution, any shape; above the median never less where the variance is more.

    The percentile of a gamma distribution with shape k = mean^2 / variance falls again where k is small (below 0.09
    for P95), to less than the mean and to 0: nearly all values are next to 0 there. No times are like that, so below
    the k with the highest percentile that one stays: for P95 5.8 times the mean.

    >>> float(gamma_percentile(np.array(1.0), np.array(1.0), 0.95).round(3))  # exponential: -ln 0.05
    2.996
    """
    deviation, over_mean = _gamma_table(percentile_frac)
    return np.asarray(mean * np.interp(np.sqrt(variance) / mean, deviation, over_mean))


@lru_cache
def _gamma_table(percentile_frac: float) -> tuple[Array, Array]:
    """Deviation over mean, k^-1/2, ascending, and the percentile over the mean there; both (j,).

    Up to k = 100 the logarithm of x is bisected in the regularised incomplete gamma function (Abramowitz and Stegun,
    1964, 6.5.29), P(k, x) = x^k e^-x / Gamma(k + 1) (1 + x / (k + 1) + x^2 / ((k + 1) (k + 2)) + ...), between
    (p Gamma(k + 1))^(1/k), as P is at most x^k / Gamma(k + 1), and k + (2 k L)^1/2 + L with L = -ln(1 - p)
    (Boucheron, Lugosi and Massart, "Concentration Inequalities", 2013, section 2.4). Beyond, Wilson and Hilferty's
    (1 - 1 / (9 k) + z / (3 k^1/2))^3 (1931) is within 1e-4.
    """
    normal = np.linspace(0.0, 0.1, 20, endpoint=False)
    z = NormalDist().inv_cdf(percentile_frac)
    narrow = (1 - normal**2 / 9 + z * normal / 3) ** 3

    skewed = np.concatenate([np.linspace(0.1, 4.0, 391), np.geomspace(4.0, 40.0, 231)[1:]])
    k = skewed**-2.0
    log_gamma = np.array([math.lgamma(v + 1) for v in k])
    tail = -math.log(1 - percentile_frac)
    low = (math.log(percentile_frac) + log_gamma) / k
    high = np.log(k + np.sqrt(2 * k * tail) + tail)
    for _ in range(50):
        middle = (low + high) / 2
        x = np.exp(middle)
        term, total, n = np.ones_like(k), np.ones_like(k), 0
        while float((term / total).max()) > 1e-13:
            n += 1
            term = term * x / (k + n)
            total = total + term
        below = k * middle - x - log_gamma + np.log(total) < math.log(percentile_frac)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    wide = np.exp(low) / k

    over_mean = np.concatenate([narrow, wide])
    if percentile_frac > 0.5:
        over_mean = np.maximum.accumulate(over_mean)
    return np.concatenate([normal, skewed]), over_mean
