"""Monte Carlo through the whole chain of a study: facts, timing spread, capacity, fleet, cost of a token.

One chip of the bundled study, owned. The time is that of the surface's points, its fit and all samples, in this process
after a warm-up of a few points; beside it what as many samples computed one by one would take, from a tenth of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoville.study.uncertainty import Chain

TARGET_S = 10.0
SAMPLES = 10_000
DIRECT = 1_000
POINTS = 300
TARGET_ERROR = 0.03
STUDY = Path(__file__).parents[1] / "studies" / "own-the-token.toml"


def chain_of(chip: str) -> Chain:
    """The chain of a chip of the bundled study, all computed."""
    from scoville import traffic, transformer
    from scoville.facts import load
    from scoville.study.deploy import choose
    from scoville.study.pricing import Terms
    from scoville.study.question import read_question
    from scoville.study.run import _workload
    from scoville.study.uncertainty import Chain

    file, facts = read_question(STUDY), load()
    q = file.question
    trace, architecture = traffic.load(file.resolve(q.traffic.trace)), transformer.load(file.resolve(q.model.config))
    work = _workload(q, trace, architecture, facts)
    choice = choose(facts.accelerator(chip), facts, work)
    if isinstance(choice, str):
        raise SystemExit(choice)
    return Chain(choice, facts, work, Terms.of(q, work.shape), "own")


def rows() -> Iterable[tuple[str, str, str, bool]]:
    """Seconds of 10,000 samples on a surface, how far its P10, median and P90 are from computed ones, Sobol indices."""
    import numpy as np

    from scoville.economics.sensitivity import sobol, streams
    from scoville.facts import Draws

    chain = chain_of("gb300-nvl72")
    chain.usd_per_token(Draws(9, 10))
    start = time.perf_counter()
    quick = chain.with_surface(POINTS)
    fitted = time.perf_counter()
    cost = quick.usd_per_token(Draws(1, SAMPLES))
    end = time.perf_counter()
    what = f"{SAMPLES:,} samples from facts to cost per token, {POINTS} points computed and fitted"
    yield what, f"< {TARGET_S:.0f} s", f"{end - start:.2f} s ({end - fitted:.2f} s sampled)", end - start < TARGET_S

    start = time.perf_counter()
    direct = chain.usd_per_token(Draws(1, DIRECT))
    each = (time.perf_counter() - start) / DIRECT
    here, there = (np.percentile(x, (10, 50, 90)) for x in (cost[:DIRECT], direct))
    off = float(np.max(np.abs(here / there - 1)))
    yield (
        f"surface against computed, P10, median, P90 of {DIRECT:,}",
        f"< {100 * TARGET_ERROR:.0f} %",
        f"{100 * off:.2f} % ({each * SAMPLES:.0f} s computed)",
        off < TARGET_ERROR,
    )
    start = time.perf_counter()
    names = tuple(streams(quick.usd_per_token))
    found = sobol(quick.usd_per_token, names, 1024, 1, "usd_per_token")
    seconds = time.perf_counter() - start
    yield (
        f"Sobol indices of {len(names)} inputs, {found.evaluations_count:,} evaluations",
        f"< {TARGET_S:.0f} s",
        f"{seconds:.2f} s",
        seconds < TARGET_S,
    )
