"""Requests that nobody waits for: they are there from the start, in the last class, and fill what the others leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.serving.load import Replayer
from scoville.serving.replay import Replay
from scoville.traffic import Trace

Ints = NDArray[np.int64]
_LAST_CLASS = 127  # of 8 bits
_PER_REQUEST = (
    "outcome", "arrival_s", "queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s", "preemptions_count", "retries_count",
    "cached_tokens", "share_frac", "input_tokens", "output_tokens",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mixed:
    """A replay taken apart: what waits from the start, and the rest as if alone; `run_s` is how long both took.

    Their `duration_s` ends with the last answer of the rest. Pools and shares of chip time are those of the whole run;
    gaps between tokens are not told apart and are left out of both.
    """

    online: Replay
    offline: Replay
    run_s: float

    @property
    def offline_tokens_per_s(self) -> float:
        """Input and output tokens of offline requests that were done by the time the rest was, per second of that."""
        o = self.offline
        done = o.served & (o.end_s <= self.online.duration_s)
        return int((o.input_tokens.astype(np.int64) + o.output_tokens)[done].sum()) / self.online.duration_s


def with_offline(trace: Trace, offline: Trace) -> Trace:
    """Both traces as one: the offline requests first, waiting from the first arrival on, in a class after all others.

    Their clients are one more client, their arrivals, sessions and turns are forgotten; block hashes count where both
    traces have blocks of the same size. Raises TrafficError where no class is left for them.
    """
    n, m = len(trace), len(offline)
    classes = np.zeros(n, np.int16) if trace.priority is None else trace.priority.astype(np.int16)
    last = int(classes.max()) + 1
    if last >= _LAST_CLASS:
        raise TrafficError(f"{trace.name}: priority {last - 1} is the last class; none is left for offline requests")
    columns: dict[str, Any] = {}
    for name, value in (("client_ids", _next(trace.client_ids)), ("parent", -1), ("think_s", 0.0)):
        own = getattr(trace, name)
        if own is not None:
            shifted = np.where(own >= 0, own + m, own) if name == "parent" else own
            columns[name] = np.concatenate([np.full(m, value, own.dtype), shifted])
    if trace.session_ids is not None:
        columns["session_ids"] = np.concatenate([_next(trace.session_ids) + np.arange(m), trace.session_ids])
    if trace.block_hashes is not None and trace.block_offsets is not None:
        columns |= _blocks(trace.block_hashes, trace.block_offsets, trace.block_tokens, offline)
    return Trace(
        name=trace.name,
        source=trace.source,
        arrival_s=np.concatenate([np.full(m, trace.arrival_s[0]), trace.arrival_s]),
        input_tokens=np.concatenate([offline.input_tokens, trace.input_tokens]),
        output_tokens=np.concatenate([offline.output_tokens, trace.output_tokens]),
        priority=np.concatenate([np.full(m, last), classes]),
        notes=trace.notes,
        **columns,
    )


def mixed(trace: Trace, offline: Trace, replay: Replayer) -> Mixed:
    """Replay both together and take the result apart."""
    whole = replay(with_offline(trace, offline))
    m = len(offline)
    ends = (whole.arrival_s + whole.end_s)[m:]
    served = np.flatnonzero(np.isfinite(ends))
    online_s = float(ends[served].max()) - float(trace.arrival_s[0]) if len(served) else whole.duration_s
    return Mixed(_some(whole, slice(m, None), online_s), _some(whole, slice(m), online_s), whole.duration_s)


def _some(whole: Replay, mine: slice, duration_s: float) -> Replay:
    return replace(
        whole,
        duration_s=duration_s,
        client_ids=None if whole.client_ids is None else whole.client_ids[mine],
        gap_count=np.zeros_like(whole.gap_count),
        **{name: getattr(whole, name)[mine] for name in _PER_REQUEST},
    )


def _next(ids: NDArray[np.int32] | None) -> int:
    return 0 if ids is None else int(ids.max()) + 1


def _blocks(hashes: Ints, offsets: Ints, block_tokens: int, offline: Trace) -> dict[str, Any]:
    """Block hashes of both; none of the offline requests where their blocks are of another size."""
    theirs, cuts = np.zeros(0, np.int64), np.zeros(len(offline), np.int64)
    if offline.block_hashes is not None and offline.block_offsets is not None and offline.block_tokens == block_tokens:
        theirs, cuts = offline.block_hashes, offline.block_offsets[:-1]
    return {
        "block_hashes": np.concatenate([theirs, hashes]),
        "block_offsets": np.concatenate([cuts, len(theirs) + offsets]),
        "block_tokens": block_tokens,
    }
