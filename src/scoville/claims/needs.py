"""What would have to be true: the parameter at which the model meets a claim, all others left as they are.

Each lever turns one parameter of a timed chip from what the model takes to what physics allows at best (all of the
bandwidth, no time at all) and as far the other way; the value at which the figure equals the claimed one is found by
bisection. Where no lever is enough alone, the one that brings the figure nearest is set to its bound, and the others
are asked again beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville.claims.bench import Timed
from scoville.claims.records import Need
from scoville.timing import Chips, RooflineTimer
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.transformer.operators import OperatorTable
from scoville.units import to_unit

Array = NDArray[np.float64]
_HALVINGS, _EXACT_FRAC = 40, 1e-3
_WORSE = 8.0  # times the usual, the other way


@dataclass(frozen=True)
class Lever:
    """One parameter in `measure`: `turned(chips, value)` is the chip with it; `bound` is better than `usual`, `worst`
    worse."""

    text: str
    unit: str
    measure: str
    usual: float
    bound: float
    worst: float
    turned: Callable[[Chips, float], Chips]


def levers(timed: Timed, table: OperatorTable, features: Array) -> tuple[Lever, ...]:
    """Those of a step (columns,) on the chip at central figures.

    Shares of HBM bandwidth and of the peak that kernels reach while they run, the chip's own timing error in them; the
    time of a kernel beside its work, which is its launch and its share of the engine's overhead, 0 in a step without
    separate kernels; the time of a collective.
    """
    on = timed.central
    slow = float(on.time_frac[0])
    if isinstance(on.kernels, SystolicKernels):
        memory, compute = float(on.kernels.memory_frac[0]), float(on.kernels.compute_frac[0])
    else:
        memory = float(on.memory_efficiency_frac["gemm"][0])
        compute = float(on.compute_efficiency_frac["gemm", "fp8"][0])
    rows = [row for row in RooflineTimer().explain(table, on, features) if row.time_s > 0]
    kernels = [row for row in rows if row.kind != "collective"]
    joins = [row for row in rows if row.kind == "collective"]
    launches = sum(float(on.launch_s[row.kind.split("_")[0]][0]) * row.runs_count for row in kernels)
    each = (launches + float(on.step_overhead_s[0])) * slow / sum(row.runs_count for row in kernels)
    found = [
        Lever(
            "share of the HBM bandwidth that kernels reach", "%", "frac", memory / slow, 1.0, memory / slow / _WORSE,
            lambda c, x: replace(c, memory_bytes_per_s=c.memory_bytes_per_s * (x * slow / memory)),
        ),
        Lever(
            "share of the peak FLOP/s that kernels reach", "%", "frac", compute / slow, 1.0, compute / slow / _WORSE,
            lambda c, x: replace(
                c, compute_flop_per_s={k: v * (x * slow / compute) for k, v in c.compute_flop_per_s.items()}
            ),
        ),
        Lever(
            "time of a kernel beside its work", "us", "s", each, 0.0, each * _WORSE,
            lambda c, x: replace(
                c,
                step_overhead_s=c.step_overhead_s * (x / each),
                launch_s={k: v * (x / each) for k, v in c.launch_s.items()},
            ),
        ),
    ]  # fmt: skip
    if joins:
        joined = sum(row.time_s * row.runs_count for row in joins) / sum(row.runs_count for row in joins)
        found.append(
            Lever(
                "time of a collective", "us", "s", joined, 0.0, joined * _WORSE,
                lambda c, x: replace(
                    c, class_frac={**c.class_frac, "collective": c.class_frac["collective"] * (x / joined)}
                ),
            )
        )  # fmt: skip
    return tuple(found)


def needs(
    found: Sequence[Lever], on: Chips, figure: Callable[[Chips], float], claimed: float, *, more: bool
) -> tuple[Need, ...]:
    """What each lever would have to be for `figure` to be the claimed one; `more` says that higher is better.

    Where the model already gives more, that is the value at which the claim would just hold.
    """
    beside, left = "", list(found)
    answer: list[Need] = []
    while left:
        tried = [_need(lever, on, figure, claimed, beside, more=more) for lever in left]
        answer += tried
        if any(need.possible for need in tried):
            break
        reached = [figure(lever.turned(on, lever.bound)) for lever in left]
        k = int(np.argmax(reached) if more else np.argmin(reached))
        on = left[k].turned(on, left[k].bound)
        bound = to_unit(left[k].bound, left[k].measure, left[k].unit)
        beside += f"{' and a ' if beside else ''}{left[k].text} of {bound:g} {left[k].unit}".rstrip()
        left.pop(k)
    return tuple(answer)


def _need(
    lever: Lever, on: Chips, figure: Callable[[Chips], float], claimed: float, beside: str, *, more: bool
) -> Need:
    def met(x: float) -> bool:
        value = figure(lever.turned(on, x))
        return value >= claimed if more else value <= claimed

    needed = math.nan
    if met(lever.worst):
        needed = lever.worst
    elif met(lever.bound):
        good, bad = lever.bound, lever.worst
        for _ in range(_HALVINGS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if met(middle) else (good, middle)
            if abs(bad - good) <= _EXACT_FRAC * good:
                break
        needed = good
    possible = math.isfinite(needed)
    return Need(lever.text, lever.unit, lever.measure, lever.usual, needed, lever.bound, possible, beside)
