"""The simulator: requests per second and core, memory, linear growth, and ratios to slower ways of the same replay.

Loads are 80 % of the capacity that the simulator itself finds. Peers replay about 800 requests/s (Vidur), 800 to 1,000
(BLIS) and 107 (splitwise-sim) on such cores.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable

import numpy as np

from scoville import facts, traffic, transformer
from scoville.serving import Targets
from scoville.serving.costs import TICKS_PER_S
from scoville.serving.reference import replay as plain
from scoville.serving.settings import preset
from scoville.serving.simulate import Engine, capacity, engine, simulate
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

Row = tuple[str, str, str, bool]
TARGETS = Targets(ttft_s=1.0, tpot_s=0.05)
REPLICAS = 8
MILLION = 1_000_000


def llama() -> Engine:
    """Llama-3.1-70B in FP8 on four H200, vLLM-like."""
    table = operator_table(transformer.load("llama-3.1-70b"), Precision("fp8", "fp8", "fp8"), Parallelism(tensor=4))
    book = facts.load()
    return engine(book.accelerator("h200-sxm"), book, table, preset("vllm", book))


def loaded(trace: traffic.Trace, one: Engine, requests: int) -> traffic.Trace:
    """So many requests of the trace's statistics, at 80 % of what eight replicas can take."""
    fit = traffic.fit(trace)
    factor, _ = capacity(traffic.synthesise(fit, 100_000, 1), one, REPLICAS, TARGETS)
    return traffic.synthesise(fit, requests, 1).stretched(1 / (0.8 * factor))


def reasoning() -> traffic.Trace:
    """500 tokens in, 4,000 out, Poisson arrivals."""
    gaps = np.random.default_rng(1).exponential(1.0, 10_000)
    return traffic.Trace("reasoning", "500 in, 4,000 out", np.cumsum(gaps), np.full(10_000, 500), np.full(10_000, 4000))


def timed(trace: traffic.Trace, one: Engine, *, leap: bool = True) -> float:
    """Seconds of a replay on one thread, the best of five up to a million requests."""
    best = np.inf
    for _ in range(5 if len(trace) <= MILLION else 1):
        start = time.perf_counter()
        simulate(trace, one, REPLICAS, leap=leap, threads=1)
        best = min(best, time.perf_counter() - start)
    return best


def rows() -> Iterable[Row]:
    """Speed on chat and on reasoning, ratios, growth, memory."""
    one = llama()
    azure = traffic.load("azure-2023-conv")
    simulate(azure, one, REPLICAS)  # compiles
    million = loaded(azure, one, MILLION)
    seconds = timed(million, one)
    yield _speed("simulate, 1M requests of Azure chat, one core", seconds, MILLION)
    yield _speed("simulate, 1M of 500 in, 4,000 out, one core", timed(loaded(reasoning(), one, MILLION), one), MILLION)

    stepped = timed(million, one, leap=False)
    yield "ratio to every step by itself, compiled, chat", "reported", f"{stepped / seconds:.1f} x", True
    ratio = plain_s_per_request(azure, one) / (seconds / MILLION)
    yield "ratio to the plain Python reference, chat", "reported", f"{ratio:,.0f} x", True

    per_request = []
    for n in (10**4, 10**5, 10**6, 10**7):
        took = seconds if n == MILLION else timed(loaded(azure, one, n), one)
        per_request.append(took / n)
        yield f"  {n:>10,} requests of chat", "", f"{took:.2f} s, {took / n * 1e9:.0f} ns each", True
    growth = per_request[-1] / per_request[-2]
    yield "cost per request, 10^7 against 10^6", "<= 1.5 x", f"{growth:.2f} x", growth <= 1.5
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    yield "peak memory of all of the above, 10^7 requests included", "reported", f"{peak / 1e9:.2f} GB", True


def plain_s_per_request(azure: traffic.Trace, one: Engine) -> float:
    """Seconds per request of the reference simulator, on one replica's share of the loaded trace."""
    trace = loaded(azure, one, 8_000)
    arrival = np.round((trace.arrival_s - trace.arrival_s[0]) * TICKS_PER_S).astype(np.int64)
    rows = zip(arrival[::REPLICAS], trace.input_tokens[::REPLICAS], trace.output_tokens[::REPLICAS], strict=True)
    requests = [(int(a), int(i), int(o)) for a, i, o in rows]
    start = time.perf_counter()
    plain(requests, one.costs, one.settings, one.cache_blocks)
    return (time.perf_counter() - start) / len(requests)


def _speed(what: str, seconds: float, requests: int) -> Row:
    rate = requests / seconds
    return what, ">= 1,000,000 requests/s", f"{rate:,.0f} requests/s", rate >= 1e6
