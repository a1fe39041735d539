"""Rows that contradict Little's law: N = X W, what is in flight is throughput times time in the system (Little 1961).

A closed loop with N in flight spends `output x TPOT` of every `TTFT + output x TPOT` seconds decoding, so that
n = N output TPOT / (TTFT + output TPOT) sequences decode at a time. Example: 512 in flight, TTFT 117.8 s,
8,192 tokens at 3.57 ms make n = 512 x 29.3 / 147 = 102: 410 wait for a place while the batch is 102, and yet each token
comes twice as fast as with 64 in flight and nobody waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoville.validation.rows import Measured, Setting

_DECODING_FRAC = 0.5
_BELOW_FRAC = 0.8

RULE = (
    "Little's law gives how many of the N requests in flight decode at a time: n = N output TPOT / (TTFT + output "
    f"TPOT). Where n is less than {_DECODING_FRAC:.0%} of N, the rest wait because the engine is full, and TPOT cannot "
    "be lower than what the same configuration shows with fewer in flight: neither than at the highest of the lower "
    "concurrencies, nor than a straight line through the two highest of them says for n. A run whose TPOT is below "
    f"{_BELOW_FRAC:.0%} of that contradicts its own configuration and is set aside"
)


@dataclass(frozen=True, slots=True)
class _Run:
    users: int
    decoding_count: float
    tpot_s: float


def contradictions(rows: Sequence[Measured]) -> dict[Setting, str]:
    """The settings whose measured TTFT and TPOT contradict the same configuration at lower concurrency, and how."""
    seen: dict[Setting, dict[str, list[float]]] = {}
    for row in rows:
        if row.setting.concurrency is not None and row.metric in ("ttft", "tpot"):
            seen.setdefault(row.setting, {}).setdefault(row.metric, []).append(row.value)
    runs: dict[Setting, list[tuple[Setting, _Run]]] = {}
    for setting, figures in seen.items():
        if set(figures) == {"ttft", "tpot"}:
            same = replace(setting, concurrency=None, requests_count=0)
            runs.setdefault(same, []).append((setting, _run(setting, figures)))
    found: dict[Setting, str] = {}
    for same_configuration in runs.values():
        ordered = sorted(same_configuration, key=lambda item: item[1].users)
        for i, (setting, run) in enumerate(ordered):
            lower = [r for s, r in ordered[:i] if s not in found]
            if lower and run.decoding_count < _DECODING_FRAC * run.users:
                least = _least_tpot_s(lower, run.decoding_count)
                if run.tpot_s < _BELOW_FRAC * least:
                    found[setting] = (
                        f"contradicts Little's law: {run.decoding_count:.0f} of {run.users} decode at a time, at "
                        f"{run.tpot_s * 1e3:.3g} ms a token; with {lower[-1].users} in flight so many would take at "
                        f"least {least * 1e3:.3g} ms"
                    )
    return found


def _run(setting: Setting, figures: Mapping[str, list[float]]) -> _Run:
    users = setting.concurrency or 0
    ttft, tpot = (float(np.mean(figures[name])) for name in ("ttft", "tpot"))
    decode = setting.output_tokens * tpot
    return _Run(users, users * decode / (ttft + decode), tpot)


def _least_tpot_s(lower: Sequence[_Run], decoding: float) -> float:
    """What so many decoding sequences take per token at least, from runs with fewer in flight, the highest last."""
    last = lower[-1].tpot_s
    if len(lower) == 1 or lower[-1].decoding_count == lower[-2].decoding_count:
        return last
    slope = (last - lower[-2].tpot_s) / (lower[-1].decoding_count - lower[-2].decoding_count)
    return max(last, last + slope * (decoding - lower[-1].decoding_count))
