"""What a step's time comes to for those served: latency, power, cost of one point, compiled for many.

`plain(point)` is the source: the formulas and symbols of `serving.steady`, with these differences. What a prompt token
adds to a step is its share of a step full of prompts; the number in decode is its mean; the gamma percentile is Wilson
and Hilferty's cube (1931), (1 - d^2/9 + z d/3)^3 at deviation over mean d, level where it would fall: 1 % off at d = 1,
8 % at 2.
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
    room: float, spare: float, static: float, hourly: float, nre: float, allowed: float,
    batch: float, need: float, possible: float, tokens: float, bubble: float,
    stages: float, groups: float, chunk: float, fresh: float, output: float, second: float, third: float,
    inverse: float, z_ttft: float, z_tpot: float, ttft_target: float, tpot_target: float,
) -> tuple[float, float, float, float, float, float, float, float, float, float, float]:  # fmt: skip
    """RESULTS of one design at one batch, from its step of decodes and its step of `chunk` prompt tokens.

    A step that would draw more than the cap leaves (`spare`, 1 / W) runs longer. `tokens` are those served while each
    sequence gets one, in and out, by chip; the truth of `allowed`, `possible`, fits and feasible is 1 or 0.
    """
    slow = max(joules / stage * spare, 1.0)
    full_slow = max(full_joules / full_stage * spare, 1.0)
    step, longest = max(latency, stages * stage) * slow, max(full_latency, stages * full_stage) * full_slow
    service = full_stage * full_slow / chunk
    ends = batch / output
    paid = service * bubble
    tpot = step + paid * fresh * ends
    per_tpot = 1.0 / tpot
    quiet = step * per_tpot

    load = ends * fresh * service * per_tpot
    idle = 1.0 / max(1.0 - load, 1e-9)
    prompt = fresh * groups * service
    arrivals = ends / groups * per_tpot
    wait = arrivals * (second * 0.5) * prompt * prompt * idle
    pieces = fresh * groups / chunk
    own = pieces * full_latency * full_slow
    variance = wait * wait + arrivals * (third / 3.0) * prompt * prompt * prompt * idle
    variance += (second - 1.0) * own * own + tpot * tpot / 12.0
    ttft = tpot * 0.5 + wait + max(1.0, pieces) * step + own
    spread = ends * second * (paid * fresh) * (paid * fresh)
    later = (1.0 - quiet) * (tpot + spread * per_tpot / (1.0 - (1.0 - quiet) * (1.0 - quiet))) * 0.5
    deviation = math.sqrt(variance) / ttft
    ttft = ttft + later
    ttft_high = ttft * _percentile(deviation, z_ttft)
    deviation = math.sqrt(spread * (inverse / output)) / step
    tpot_high = max(min(tpot * _percentile(deviation, z_tpot), longest + step), tpot)

    served = tokens * per_tpot
    memory = need / max(room, 1.0)
    fits = possible if memory <= 1.0 and room > 0.0 else 0.0
    fast = allowed if load < 1.0 and tpot_high <= tpot_target and ttft_high <= ttft_target else 0.0
    power = static + (stages * joules + full_joules / chunk * fresh * ends) * per_tpot
    cost = hourly / 3600.0 / served
    return (
        tpot,
        tpot_high,
        ttft,
        ttft_high,
        served,
        power,
        memory,
        cost,
        cost + nre / 3600.0 / served,
        fits,
        fits * fast,
    )


@compiled
def points(
    out: Array, joules: Array, stage: Array, latency: Array, energies: Array, work: Array, design: Array, batch: Array,
    stages: float, groups: float, chunk: float, fresh: float, output: float, second: float, third: float,
    inverse: float, z_ttft: float, z_tpot: float, ttft_target: float, tpot_target: float,
) -> None:  # fmt: skip
    """Writes RESULTS (results, m, n) to `out`.

    stage, latency (m + 1, n): decodes of each batch, then `chunk` prompt tokens alone; energies (kinds, n) for work
    (kinds, m + 1) add up to `joules`, room of the shape of `stage`. design is room for the cache, 1 / W under the cap,
    power at rest, hourly cost, that of NRE and what is allowed (6, n); batch its size, need of memory, what is
    possible, tokens served by chip while each sequence gets one, and what bubbles add (5, m).
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
        size, need, possible, tokens, bubble = batch[0, j], batch[1, j], batch[2, j], batch[3, j], batch[4, j]
        for i in range(n):
            (
                out[0, j, i], out[1, j, i], out[2, j, i], out[3, j, i], out[4, j, i], out[5, j, i], out[6, j, i],
                out[7, j, i], out[8, j, i], out[9, j, i], out[10, j, i],
            ) = point(
                stage[j, i], latency[j, i], joules[j, i], stage[m, i], latency[m, i], joules[m, i],
                design[0, i], design[1, i], design[2, i], design[3, i], design[4, i], design[5, i],
                size, need, possible, tokens, bubble, stages, groups, chunk, fresh, output, second, third, inverse,
                z_ttft, z_tpot, ttft_target, tpot_target,
            )  # fmt: skip
