"""AIPerf per-request records (ai-dynamo/aiperf, profile_export.jsonl): a line has metadata, metrics and error.

Read: metadata.request_start_ns, request_end_ns, x_correlation_id (the session), turn_index, benchmark_phase;
metrics.input_sequence_length and output_sequence_length (tokens). A later turn of a session follows its predecessor's
end, so its think time is start minus that end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic.readers.columns import opened
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.readers.records import integer, json_lines, shown, table
from scoville.traffic.trace import Trace, build

_INT64_MAX = 2**63 - 1


class AiperfReader:
    """Arrivals count from the first request. Warm-up requests are left out, and a note says how many."""

    name = "aiperf"
    title = "AIPerf per-request records (profile_export.jsonl)"
    takes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        """By its field names; GenAI-Perf's profile_export.json is recognised too, to say why it cannot be read."""
        return b'"request_start_ns"' in head or (b'"experiments"' in head and b'"response_timestamps"' in head)

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """All profiled requests. Raises TrafficError at one that failed: its lengths are unknown."""
        starts_ns, ends_ns, inputs, outputs, turns = [], [], [], [], []
        sessions: list[int] = []
        numbers: dict[str, int] = {}
        warm_up = 0
        with opened(path) as lines:
            if '"experiments"' in lines.read(4096):
                raise TrafficError(
                    f"{path.name}: GenAI-Perf keeps texts, not token counts; expected AIPerf's profile_export.jsonl"
                )
        for where, record in json_lines(path):
            about = table(record, "metadata", where)
            if about.get("benchmark_phase") == "warmup":
                warm_up += 1
                continue
            if record.get("error") is not None:
                raise TrafficError(f"{where}: the request failed ({shown(record, 'error')}); expected all to succeed")
            metrics = table(record, "metrics", where)
            starts_ns.append(integer(about, "request_start_ns", where, low=0, high=_INT64_MAX))
            ends_ns.append(integer(about, "request_end_ns", where, low=starts_ns[-1], high=_INT64_MAX))
            inputs.append(_tokens(metrics, "input_sequence_length", where))
            outputs.append(_tokens(metrics, "output_sequence_length", where))
            turns.append(integer(about, "turn_index", where, low=0) if about.get("turn_index") is not None else 0)
            session = about.get("x_correlation_id") or about.get("conversation_id") or f"request {len(starts_ns)}"
            sessions.append(numbers.setdefault(str(session), len(numbers)))
        if not starts_ns:
            raise TrafficError(f"{path.name}: the trace is empty; expected at least one profiled request")
        start, end = np.array(starts_ns, np.int64), np.array(ends_ns, np.int64)
        return build(
            name=path.name,
            source=str(path),
            arrival_s=(start - start.min()) / 1e9,
            input_tokens=np.array(inputs),
            output_tokens=np.array(outputs),
            notes=(f"{warm_up} warm-up requests left out",) if warm_up else (),
            **_turns(start, end, np.array(sessions, np.int64), np.array(turns, np.int64)),  # type: ignore[arg-type]
        )


def _tokens(metrics: Mapping[str, object], key: str, where: str) -> int:
    value = table(metrics, key, where)
    return integer({key: value.get("value")}, key, where)


def _turns(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    session: NDArray[np.int64],
    turn: NDArray[np.int64],
) -> dict[str, NDArray[np.generic]]:
    """session_ids, parent and think_s where sessions have several turns; nothing where every request is alone."""
    if len(np.unique(session)) == len(session):
        return {}
    order = np.lexsort((turn, session))
    before, after = order[:-1], order[1:]
    # A turn that began before its predecessor's end did not wait for it.
    follows = (session[before] == session[after]) & (turn[before] < turn[after]) & (end[before] <= start[after])
    parent = np.full(len(session), -1, np.int64)
    parent[after[follows]] = before[follows]
    think = np.zeros(len(session))
    think[after[follows]] = (start[after[follows]] - end[before[follows]]) / 1e9
    return {"session_ids": session, "parent": parent, "think_s": think}
