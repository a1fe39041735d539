"""The simulator: requests per second and core, memory, growth, first results, ratios to slower ways of the same replay.

Each case runs in a process of its own at 80 % of the capacity that the simulator finds for it. Speed counts CPU time of
whole replays, from trace to metrics, on one thread, so that other work on the machine does not show; the best of three.
Peers replay about 800 requests/s (Vidur), 800 to 1,000 (BLIS) and 107 (splitwise-sim) on two such cores.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from scoville import facts, traffic, transformer
from scoville.serving import Targets
from scoville.serving.engine import Engine, engine
from scoville.serving.load import capacity
from scoville.serving.reference import replay as plain
from scoville.serving.settings import Autoscaling, Fleet, Speculation, preset
from scoville.serving.simulate import requests_of, simulate
from scoville.traffic import Trace
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

Row = tuple[str, str, str, bool]
REPLICAS = 8
MILLION = 1_000_000
SOME = 100_000  # requests of a feature, and of the traces that capacities are found with
PLAIN_TOKENS = 600_000  # answer tokens of the requests that the reference replays
CHAT_TARGETS = Targets(ttft_s=1.0, tpot_s=0.05)
LONG_TARGETS = Targets(ttft_s=30.0, tpot_s=0.1)  # for prompts of 15,000 tokens, which take seconds


@dataclasses.dataclass(frozen=True)
class Case:
    """What is replayed: a trace of any length, on what, within which targets."""

    trace: Callable[[int], Trace]
    engine: Engine
    fleet: Fleet = Fleet(replicas=REPLICAS)  # noqa: RUF009
    targets: Targets = CHAT_TARGETS


# -- traces ------------------------------------------------------------------------------------------------------------


def chat(requests: int) -> Trace:
    """Requests drawn from the statistics of the Azure conversation trace of 2023."""
    return traffic.synthesise(traffic.fit(traffic.load("azure-2023-conv")), requests, 1)


def reasoning(requests: int) -> Trace:
    """500 tokens in, 4,000 out, Poisson arrivals."""
    gaps = np.random.default_rng(1).exponential(1.0, requests)
    sizes = np.full(requests, 500), np.full(requests, 4000)
    return Trace("reasoning", "500 in, 4,000 out", np.cumsum(gaps), *sizes)


def mooncake(requests: int) -> Trace:
    """The Mooncake trace with its prefixes, as often as it takes."""
    return traffic.extended(traffic.load("mooncake-synthetic"), requests)


def in_classes(requests: int) -> Trace:
    """Chat, a third of it in each of three classes."""
    return dataclasses.replace(chat(requests), priority=(np.arange(requests) % 3).astype(np.int8))


def of_clients(requests: int) -> Trace:
    """Chat of a hundred clients, some of whom ask a lot more than others."""
    clients = np.minimum(np.random.default_rng(1).zipf(1.5, requests), 100) - 1
    return dataclasses.replace(chat(requests), client_ids=clients)


# -- engines -----------------------------------------------------------------------------------------------------------


def deployed(model: str = "llama-3.1-70b", parallelism: Parallelism | None = None, **changes: Any) -> Engine:
    """A model in FP8 on H200, four unless said otherwise, vLLM-like but for the changes."""
    table = operator_table(
        transformer.load(model), Precision("fp8", "fp8", "fp8"), parallelism or Parallelism(tensor=4)
    )
    book = facts.load()
    settings = dataclasses.replace(preset("vllm", book), **changes)
    return engine(book.accelerator("h200-sxm"), book, table, settings)


def fleet(**changes: Any) -> Fleet:
    return Fleet(replicas=REPLICAS, **changes)


DRAFTS = Speculation((0.8, 0.6, 0.4), pass_frac=1 / 80)
SCALING = Autoscaling(least=2, interval_s=10.0, requests_per_replica=64, startup_s=60.0)
CASES: dict[str, Callable[[], Case]] = {
    "chat": lambda: Case(chat, deployed()),
    "reasoning": lambda: Case(reasoning, deployed()),
    "Mooncake, prefix cache": lambda: Case(mooncake, deployed(prefix_cache=True), targets=LONG_TARGETS),
    "Mooncake, prefix cache, host tier": lambda: Case(
        mooncake, deployed(prefix_cache=True, cache_blocks=20_000, host_blocks=100_000), targets=LONG_TARGETS
    ),
    "Mooncake, prefix-aware routing": lambda: Case(
        mooncake, deployed(prefix_cache=True), fleet(routing="prefix_aware", balance_requests=16), LONG_TARGETS
    ),
    "least loaded": lambda: Case(chat, deployed(), fleet(routing="least_loaded")),
    "power of two": lambda: Case(chat, deployed(), fleet(routing="power_of_two")),
    "autoscaling": lambda: Case(chat, deployed(), fleet(routing="least_loaded", autoscaling=SCALING)),
    "users in a closed loop": lambda: Case(chat, deployed(), fleet(routing="least_loaded")),
    "three classes": lambda: Case(in_classes, deployed()),
    "fairness among 100 clients": lambda: Case(of_clients, deployed(fair=True)),
    "small cache, preemption": lambda: Case(chat, deployed(cache_blocks=2_000), targets=LONG_TARGETS),
    "small cache, swapping": lambda: Case(
        chat, deployed(cache_blocks=2_000, on_preemption="swap", host_blocks=100_000), targets=LONG_TARGETS
    ),
    "prompts first": lambda: Case(chat, deployed(policy="prefill_first")),
    "static batching": lambda: Case(chat, deployed(policy="static", max_sequences=32), targets=LONG_TARGETS),
    "asynchronous scheduling": lambda: Case(chat, deployed(asynchronous=True)),
    "speculation, 3 drafts": lambda: Case(chat, deployed(speculation=DRAFTS)),
    "data-parallel attention of 8 ranks": lambda: Case(
        chat, deployed("deepseek-v3", Parallelism(attention_data=8, expert=8))
    ),
    "pipeline of 4 stages": lambda: Case(chat, deployed(parallelism=Parallelism(pipeline=4))),
}
PROMISED = {"chat": (1e6, MILLION), "reasoning": (1e6, MILLION), "Mooncake, prefix cache": (3e5, MILLION)}


# -- in a process of its own -------------------------------------------------------------------------------------------


def measured(name: str, requests: int) -> dict[str, float]:
    """CPU seconds of a replay on one thread, peak memory in bytes, steps, share of prompt tokens found in a cache."""
    case, load_frac = loaded(name)
    trace = case.trace(requests).stretched(1 / load_frac)
    cpu_s = _cpu_s(trace, case)
    r = simulate(trace, case.engine, case.fleet)  # on all threads, as anybody would, which takes more memory
    return {
        "cpu_s": cpu_s,
        "peak_bytes": float(_peak_bytes()),
        "steps": float(r.steps_count),
        "cached_frac": float(r.cached_tokens.sum() / trace.input_tokens.sum(dtype=np.int64)),
    }


def compared(name: str) -> dict[str, float]:
    """CPU seconds per request: with leaps, every step by itself, and by the reference in plain Python."""
    case, load_frac = loaded(name)
    trace = case.trace(SOME).stretched(1 / load_frac)
    count = round(PLAIN_TOKENS / float(trace.output_tokens.mean()))
    few = case.trace(REPLICAS * count).stretched(1 / load_frac)
    share = requests_of(few, case.engine, case.fleet).part(slice(0, None, REPLICAS))
    start = time.process_time()
    plain(share, case.engine.costs, case.engine.settings, Fleet(), case.engine.cache_blocks, 0)
    return {
        "plain": (time.process_time() - start) / count,
        "stepped": _cpu_s(trace, case, leap=False) / SOME,
        "leaping": _cpu_s(trace, case) / SOME,
    }


def loaded(name: str) -> tuple[Case, float]:
    """A case, and 80 % of the load that it takes, as a multiple of its trace's own.

    A fleet that scales gets the load of one that doesn't, users are as many as are in flight at that load.
    """
    case = CASES[name]()
    steady = dataclasses.replace(case.fleet, autoscaling=None)
    sample = case.trace(SOME if case.trace is not mooncake else 20_000)
    load_frac = 0.8 * capacity(
        sample, lambda t: simulate(t, case.engine, steady), case.targets, tolerance_frac=0.02
    ).load_frac  # fmt: skip
    if name == "users in a closed loop":
        r = simulate(sample.stretched(1 / load_frac), case.engine, steady)
        users = round(len(r) / r.duration_s * float(r.end_s.mean()))
        case = dataclasses.replace(case, fleet=fleet(routing="least_loaded", users=users))
    return case, load_frac


def _cpu_s(trace: Trace, case: Case, *, leap: bool = True) -> float:
    times = []
    for _ in range(3 if len(trace) <= MILLION else 1):
        start = time.process_time()
        simulate(trace, case.engine, case.fleet, leap=leap, threads=1)
        times.append(time.process_time() - start)
    return min(times)


def _peak_bytes() -> int:
    """ru_maxrss is in KiB on Linux and in bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _child(command: str, *arguments: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulator", command, *map(str, arguments)],
        check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return json.loads(done.stdout)


# -- the table ---------------------------------------------------------------------------------------------------------


def rows() -> Iterable[Row]:
    """First results, promised speeds, memory, ratios, growth, and the speed of each feature."""
    yield from _first_results()
    chat_s = 0.0
    for name, (target, requests) in PROMISED.items():
        found = _child("measured", name, requests)
        rate = requests / found["cpu_s"]
        chat_s = found["cpu_s"] if name == "chat" else chat_s
        yield (
            f"1M requests of {name}, one core",
            f">= {target:,.0f} requests/s",
            f"{rate:,.0f} requests/s",
            rate >= target,
        )
        gb = found["peak_bytes"] / 1e9
        if name == "chat":
            yield f"  peak memory of {name}", "< 1.5 GB", f"{gb:.2f} GB", gb < 1.5
        else:
            yield f"  peak memory of {name}", "reported", f"{gb:.2f} GB", True
        told = f"{100 * found['cached_frac']:.0f} %" if found["cached_frac"] else f"{found['steps'] / requests:.1f}"
        yield f"  {'prompt tokens cached' if found['cached_frac'] else 'steps per request'}", "reported", told, True
    for name in ("chat", "reasoning"):
        found = _child("compared", name)
        step, oracle = found["stepped"] / found["leaping"], found["plain"] / found["leaping"]
        yield f"ratio to every step by itself, compiled, {name}", "reported", f"{step:.1f} x", True
        yield f"ratio to the plain Python reference, {name}", "reported", f"{oracle:,.0f} x", True
    yield from _growth(chat_s)
    for name in CASES:
        if name not in PROMISED:
            found = _child("measured", name, SOME)
            yield f"  {name}", "reported", f"{SOME / found['cpu_s']:,.0f} requests/s", True


def _first_results() -> Iterable[Row]:
    """From the start of a process to its first result: with the simulator not compiled yet, and with it compiled.

    Python's byte code is there already, as installers leave it.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        installed = [sys.executable, "-m", "benchmarks.simulator", "installed"]
        subprocess.run(installed, check=True, cwd=Path(__file__).parents[1], env=env)
        for what, target in (("first call after installation", 10.0), ("first result of a later process", 2.0)):
            start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "benchmarks.simulator", "first"]
            subprocess.run(command, check=True, cwd=Path(__file__).parents[1], env=env)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            yield what, f"< {target:g} s", f"{wall:.1f} s, {cpu:.1f} s of CPU", wall < target


def _growth(million_s: float) -> Iterable[Row]:
    per_request = {}
    for n in (10**4, 10**5, 10**6, 10**7):
        found = {"cpu_s": million_s} if n == MILLION else _child("measured", "chat", n)
        per_request[n] = found["cpu_s"] / n
        peak = f", {found['peak_bytes'] / 1e9:.1f} GB" if n > MILLION else ""
        yield (
            f"  {n:>10,} requests of chat",
            "",
            f"{found['cpu_s']:.2f} s, {per_request[n] * 1e9:.0f} ns each{peak}",
            True,
        )
    growth = per_request[10**7] / per_request[10**6]
    yield "cost per request, 10^7 against 10^6", "<= 1.5 x", f"{growth:.2f} x", growth <= 1.5


def main(command: str, *arguments: str) -> None:
    """What a process of its own does."""
    if command in ("first", "installed"):
        trace, one = traffic.load("azure-2023-conv"), deployed()
        importlib.import_module("scoville.serving.compiled")
        if command == "first":
            simulate(trace, one, REPLICAS)
    elif command == "measured":
        print(json.dumps(measured(arguments[0], int(arguments[1]))))
    else:
        print(json.dumps(compared(arguments[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
