"""Which batch sizes a replica can be tried at, and what stops a larger one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.serving.shape import TrafficShape
from scoville.serving.steady import SteadyState
from scoville.transformer.step import Parallelism

Array = NDArray[np.float64]

_AROUND = 2000  # batch sizes between two neighbours of a coarse grid; every integer up to batches of some 6,000


def most_batch(shape: TrafficShape, parallelism: Parallelism) -> float:
    """The most sequences in decode that leave room for a prompt token: each attention-data group has its own budget.

    For 8,192 tokens in 4 groups: 32,767.
    """
    return shape.chunk_tokens * parallelism.attention_data - 1


def batch_sizes(most: float, ratio: float = 1.15) -> Array:
    """Integers from 1 to `most`, each about `ratio` times the one before."""
    count = int(np.log(max(most, 1.0)) / np.log(ratio)) + 2
    return np.unique(np.round(np.geomspace(1, max(most, 1.0), count)))


def around(tried: Array, j: int) -> Array:
    """Integers between the neighbours of the j-th of the batch sizes that were tried, and one beyond."""
    low, high = tried[max(j - 1, 0)], tried[min(j + 1, len(tried) - 1)] + 1
    return np.unique(np.round(np.linspace(low, high, int(min(high - low + 1, _AROUND)))))


def limit(state: SteadyState, k: int) -> str:
    """What the next larger batch after the k-th would break; where nothing, the resource that takes most of a step.

    "memory capacity", "token budget", "prefill throughput", "latency target (TPOT)" or "latency target (TTFT)", else as
    `busiest`.
    """
    if k + 1 < len(state.batch_count):
        broken = {
            "memory capacity": state.memory_frac[0, k + 1] > 1,
            "token budget": not state.fits[0, k + 1],
            "prefill throughput": not state.stable[0, k + 1],
            "latency target (TPOT)": not state.tpot_met[0, k + 1],
            "latency target (TTFT)": not state.ttft_met[0, k + 1],
        }
        for name, is_broken in broken.items():
            if is_broken:
                return name
    return busiest(state, k)


def busiest(state: SteadyState, k: int) -> str:
    """The resource that takes most of the average step: compute, memory bandwidth, link or overhead."""
    parts = {
        "compute": state.compute_s[0, k],
        "memory bandwidth": state.memory_s[0, k],
        "link": state.link_s[0, k],
        "overhead": state.overhead_s[0, k],
    }
    return max(parts, key=lambda name: float(parts[name]))
