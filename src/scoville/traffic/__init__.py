"""What is asked: traces of requests, from many formats, with their statistics, synthesis and scaling.

A Trace is columns of numpy arrays, one row per request; `load` makes one from a bundled name or a file.
"""

from __future__ import annotations

from scoville.traffic.bundled import BUNDLED
from scoville.traffic.loading import load
from scoville.traffic.trace import Trace

__all__ = ["BUNDLED", "Trace", "load"]
