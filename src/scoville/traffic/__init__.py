"""What is asked: traces of requests, from many formats, with their statistics, synthesis and scaling.

A Trace is columns of numpy arrays, one row per request; `load` makes one from a bundled name or a file.
"""

from __future__ import annotations

from scoville.traffic.bundled import BUNDLED
from scoville.traffic.extension import extended
from scoville.traffic.loading import load
from scoville.traffic.prefixes import prefix_blocks
from scoville.traffic.summary import TraceStatistics, reused_tokens, statistics
from scoville.traffic.synthesis import TraceFit, fit, scale_to_demand, synthesise
from scoville.traffic.trace import Trace
from scoville.traffic.writers import write

__all__ = [
    "BUNDLED",
    "Trace",
    "TraceFit",
    "TraceStatistics",
    "extended",
    "fit",
    "load",
    "prefix_blocks",
    "reused_tokens",
    "scale_to_demand",
    "statistics",
    "synthesise",
    "write",
]
