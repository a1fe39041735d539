"""What a step's time comes to for those served: latency, power, cost of one point, compiled for many.

`plain(point)` is the source: the formulas and symbols of `serving.steady`, with what a prompt token takes in a
step full of prompts for what it adds to a usual one, and the gamma percentile by Wilson and Hilferty's cube (1931),
(1 - d^2/9 + z d/3)^3 at deviation over mean d, level where it would fall: 1 % off at d = 1, 8 % at 2.
"""

# numba has no types.
# mypy: disable-error-code="no-untyped-call,misc,no-any-return"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scoville.timing.systolic.closed_form import compiled, inlined

Array = NDArray[np.float64]
RESULTS = (
    "tpot_s", "tpot_percentile_s", "ttft_s", "ttft_percentile_s", "tokens_per_s_per_chip", "power_w", "memory_frac",
    "usd_per_token", "loaded_usd_per_token", "fits", "feasible",
)  # fmt: skip


@inlined
def _percentile(deviation: float, z: float) -> float:
    d = min(deviation, max(1.5 * z, 0.0))
    root = 1.0 + d * (z / 3.0 - d / 9.0)
    return root * root * root


@inlined
def point(
    stage: float, latency: float, joules: float, full_stage: float, full_latency: float, full_joules: float,
    room: float, cap: float, static: float, hourly: float, nre: float, allowed: float,
    batch: float, need: float, possible: float, tokens: float,
    stages: float, groups: float, chunk: float, fresh: float, output: float, second: float, third: float,
    inverse: float, z_ttft: float, z_tpot: float, ttft_target: float, tpot_target: float,
) -> tuple[float, float, float, float, float, float, float, float, float, float, float]:  # fmt: skip
    """RESULTS of one design at one batch, from its balanced step and its step full of prompts.

    A chip that would draw more than its cap (less what it draws at rest) runs longer. `tokens` are those of a step, in
    and out, by chip; the truth of `allowed`, `possible`, fits and feasible is 1 or 0.
    """
    under = 1.0 / max(cap - static, 1e-9)
    slow = max(joules / stage * under, 1.0)
    full_slow = max(full_joules / full_stage * under, 1.0)
    stage, latency = stage * slow, latency * slow
    full_stage, full_latency = full_stage * full_slow, full_latency * full_slow
    tpot, longest = max(latency, stages * stage), max(full_latency, stages * full_stage)
    per_tpot = 1.0 / tpot

    ends = batch / output
    service = full_stage / chunk
    load = ends * fresh * service * per_tpot
    quiet = max(1.0 - load, 1e-9)
    per_quiet = 1.0 / quiet
    prompt = fresh * groups * service
    arrivals = ends / groups * per_tpot
    wait = arrivals * (second * 0.5) * prompt * prompt * per_quiet
    pieces = fresh * groups / chunk
    own = pieces * full_latency
    variance = wait * wait + arrivals * (third / 3.0) * prompt * prompt * prompt * per_quiet
    variance += (second - 1.0) * own * own + tpot * tpot / 12.0
    ttft = wait + own + (0.5 + max(1.0, pieces) * quiet) * tpot
    spread = ends * second * (service * fresh) * (service * fresh)
    later = load * (tpot + spread * per_tpot / (1.0 - (1.0 - quiet) * (1.0 - quiet))) * 0.5
    deviation = math.sqrt(variance) / ttft
    ttft = ttft + later
    ttft_high = ttft * _percentile(deviation, z_ttft)
    deviation = math.sqrt(spread * (inverse / output)) * per_quiet * per_tpot
    tpot_high = max(min(tpot * _percentile(deviation, z_tpot), longest + quiet * tpot), tpot)

    served = tokens * per_tpot
    memory = need / max(room, 1.0)
    fits = possible if memory <= 1.0 and room > 0.0 else 0.0
    fast = allowed if load < 1.0 and tpot_high <= tpot_target and ttft_high <= ttft_target else 0.0
    cost = hourly / 3600.0 / served
    return (
        tpot, tpot_high, ttft, ttft_high, served, static + stages * joules * per_tpot, memory, cost,
        cost + nre / 3600.0 / served, fits, fits * fast,
    )  # fmt: skip


@compiled
def points(
    out: Array, joules: Array, stage: Array, latency: Array, energies: Array, work: Array, design: Array, batch: Array,
    stages: float, groups: float, chunk: float, fresh: float, output: float, second: float, third: float,
    inverse: float, z_ttft: float, z_tpot: float, ttft_target: float, tpot_target: float,
) -> None:  # fmt: skip
    """Writes RESULTS (results, m, n) to `out`.

    stage, latency (m + 1, n), the last step full of prompts; energies (kinds, n) for work (kinds, m + 1) add up to
    `joules`, room of the shape of `stage`; design is room for the cache, cap, power at rest, hourly cost, that of NRE
    and what is allowed (6, n); batch its size, need of memory, what is possible, and tokens of a step by chip (4, m).
    """
    m, n = out.shape[1], out.shape[2]
    for j in range(m + 1):
        for i in range(n):
            joules[j, i] = 0.0
        for k in range(len(energies)):
            amount = work[k, j]
            for i in range(n):
                joules[j, i] += amount * energies[k, i]
    for j in range(m):
        size, need, possible, tokens = batch[0, j], batch[1, j], batch[2, j], batch[3, j]
        for i in range(n):
            (
                out[0, j, i], out[1, j, i], out[2, j, i], out[3, j, i], out[4, j, i], out[5, j, i], out[6, j, i],
                out[7, j, i], out[8, j, i], out[9, j, i], out[10, j, i],
            ) = point(
                stage[j, i], latency[j, i], joules[j, i], stage[m, i], latency[m, i], joules[m, i],
                design[0, i], design[1, i], design[2, i], design[3, i], design[4, i], design[5, i],
                size, need, possible, tokens, stages, groups, chunk, fresh, output, second, third, inverse, z_ttft,
                z_tpot, ttft_target, tpot_target,
            )  # fmt: skip
