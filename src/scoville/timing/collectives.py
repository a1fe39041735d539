"""Collectives by latency and bandwidth, inside and across scale-up domains.

Ring volumes of Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH" (2005):
an all-reduce of V bytes among p ranks moves 2 (p-1)/p V per rank, an all-gather or reduce-scatter (p-1)/p V, an
all-to-all of V bytes per rank (p-1)/p V. Across domains reductions and gathers are hierarchical: reduce-scatter inside,
all-reduce of the 1/p1 part across, all-gather inside; so an all-reduce is a reduce-scatter and an all-gather at every
span. Example: 16 MiB among 8 ranks at 450 GB/s take 2 * 7/8 * 16.8 MB / 450 GB/s = 65 us.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.timing.chips import Chips, Link

Array = NDArray[np.float64]


def volume_frac(kind: str, ranks: float) -> float:
    """Bytes that cross a rank's link per byte of payload."""
    return (2.0 if kind == "all_reduce" else 1.0) * (ranks - 1) / ranks


def hops_count(ranks: float, link: Link) -> float:
    """Link latencies on the critical path: one through a switch; on a torus half the ring, or half of each axis of a
    cube, whichever is shorter.

    A switch's latency fact is that of a small all-reduce between two chips, so an all-reduce counts it once as well.
    """
    return 1.0 if link.switched else float(max(1.0, np.ceil(min(ranks, 3 * ranks ** (1 / 3)) / 2)))


def travel_count(ranks: float, link: Link) -> float:
    """Links that a byte of an all-to-all crosses on average: one through a switch; on a torus a quarter of the ring, or
    of each axis of a cube. Every link that it crosses is taken from somebody else.

    A cube of 4 x 4 x 4 chips: 3 axes x 4 / 4 = 3 links, of the 63/64 of the payload that leaves a chip 3.05.
    """
    return 1.0 if link.switched else max(1.0, min(ranks, 3 * ranks ** (1 / 3)) / 4 * ranks / (ranks - 1))


def collective(kind: str, span: int, chips: Chips) -> tuple[Array, Array]:
    """Seconds per byte of payload and fixed seconds, each (n,), of a collective among `span` chips.

    Levels are filled from inside out; each level's time adds up for reductions and gathers, while an all-to-all uses
    all levels at once and is as slow as the slowest. Payload is the reduced vector of an all-reduce or reduce-scatter,
    the gathered total of an all-gather, and what one rank sends in an all-to-all.
    """
    n = chips.n
    level = chips.link_for(span)
    efficiency = chips.link_efficiency_frac[kind]
    base = chips.collective_base_s[kind]
    if kind == "point_to_point":
        link = chips.links[level]
        return 1 / (link.bandwidth_bytes_per_s * efficiency), base + link.latency_s
    latency = base + chips.collective_per_rank_s[kind] * (min(span, chips.links[0].domain_count) - 1)

    per_byte, fixed = np.zeros(n), np.zeros(n) + latency
    inside = 1.0  # ranks already joined by inner levels
    for link in chips.links[: level + 1]:
        ranks = min(float(span), link.domain_count) / inside
        if ranks <= 1:
            continue
        speed = link.bandwidth_bytes_per_s * efficiency
        if kind == "all_to_all":
            crossing = (min(float(span), link.domain_count) - inside) / span
            per_byte = np.maximum(per_byte, crossing * travel_count(ranks, link) / speed)
        else:
            per_byte = per_byte + volume_frac(kind, ranks) / inside / speed
        fixed = fixed + hops_count(ranks, link) * link.latency_s
        inside *= ranks
    return per_byte, fixed
