"""A replica."""

from __future__ import annotations

(
    STATE,
    READY,  # when it is up, or repaired
    SINCE,  # when it began to be counted
    LOAD,
    SIZE,
) = range(5)
