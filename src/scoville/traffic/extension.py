"""A longer trace of the same structure: repetitions one after another, each with prefixes and sessions of its own.

Unlike a drawn trace (`synthesise`) an extended one keeps all that a repetition holds: waves, the order of lengths, who
follows whom, and which blocks are shared at what distance. It repeats itself, so its waves are periodic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic.trace import Trace


def extended(trace: Trace, requests: int) -> Trace:
    """The trace continued to `requests` requests: repeated, each time later by the trace's length plus its mean gap.

    Nothing is shared between repetitions: block ids and sessions of each are its own, renumbered from 0; parents point
    into the same repetition. Clients stay. The last repetition is cut (so are `requests` below the trace's own number).
    Ten requests over 9 s repeat every 10 s.

    Raises TrafficError if requests < 1, or if a trace to be repeated has no duration.
    """
    if requests < 1:
        raise TrafficError(f"{trace.name}: cannot extend to {requests} requests; expected an integer >= 1")
    n = len(trace)
    repetitions = -(-requests // n)
    if repetitions > 1 and trace.duration_s <= 0:
        raise TrafficError(
            f"{trace.name}: cannot repeat {n} requests in {trace.duration_s:g} s, since they have no gap to be"
            f" continued with; expected arrivals at two times or more, or at most {n} requests"
        )
    period_s = trace.duration_s * n / max(n - 1, 1)

    def repeated(column: NDArray[np.generic], step: float, length: int) -> NDArray[np.generic]:
        """The column once for each repetition, raised by `step` from one to the next, cut to `length`."""
        steps = np.arange(repetitions)[:, None] * np.asarray(step, dtype=column.dtype)
        return (column + steps).ravel()[:length]  # type: ignore[no-any-return, operator]

    columns: dict[str, NDArray[np.generic] | None] = {
        name: repeated(getattr(trace, name), 0, requests)
        for name in trace.columns()
        if name not in ("block_hashes", "block_offsets")
    }
    # Rounding can let a repetition begin before the end of the one before, where the mean gap is too small for a float.
    columns["arrival_s"] = np.maximum.accumulate(repeated(trace.arrival_s, period_s, requests))
    if trace.session_ids is not None:
        sessions, dense = _dense(trace.session_ids)
        columns["session_ids"] = repeated(dense, sessions, requests)
    if trace.parent is not None:
        columns["parent"] = np.where(columns["parent"] == -1, -1, repeated(trace.parent, n, requests))
    if trace.block_hashes is not None and trace.block_offsets is not None:
        counts = repeated(np.diff(trace.block_offsets), 0, requests)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        blocks, dense = _dense(trace.block_hashes)
        columns["block_hashes"] = repeated(dense, blocks, int(offsets[-1]))
        columns["block_offsets"] = offsets
    if repetitions == 1:
        note = f"the first {requests} of {n} requests"
    else:
        note = (
            f"{n} requests repeated to {requests}, every {period_s:.6g} s: prefix blocks and sessions of each"
            " repetition are its own, clients are the same"
        )
    return replace(trace, name=f"{trace.name}, extended", notes=(*trace.notes, note), **columns)  # type: ignore[arg-type]


def _dense(ids: NDArray[np.integer]) -> tuple[int, NDArray[np.int64]]:
    """How many different ids there are, and the ids numbered from 0."""
    found, dense = np.unique(ids, return_inverse=True)
    return len(found), dense.astype(np.int64)
